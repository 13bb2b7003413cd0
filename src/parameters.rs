//! Weights and bias as the kernels read and write them, and the conversions from and to the usual layouts and between
//! orders of the features. Nothing is computed here.

use crate::error::{Error, Result, expect};
use crate::kernel::plan;
use crate::layout::{Lanes, Line, PANEL};
use crate::matrix::Permutation;
use crate::memory;
use alloc::vec::Vec;
use core::fmt;

/// Weights `[features, classes]` and bias `[classes]`, in f32; a model's, or their gradient.
///
/// The weights are packed for the kernels. The features are cut into panels of 16, the last one filled up with zeros. A
/// panel holds 16 features of each class in turn, `[features / 16, classes, 16]`; where the classes are many or the
/// features few, 16 classes of each feature in turn, the last 16 filled up with zeros:
/// `[features / 16, classes / 16, 16, 16]`. So a kernel reads the weights as one stream of whole cache lines, whatever
/// the number of features, and threads share them out by panels.
///
/// ```
/// use softreg::Parameters;
///
/// let parameters = Parameters::from_row_major(&[1.0, 2.0, 3.0, 4.0], &[0.5, 0.25], 2, 2)?;
/// assert_eq!(parameters.to_class_major(), [1.0, 3.0, 2.0, 4.0]);
/// assert_eq!(parameters.bias(), [0.5, 0.25]);
/// # Ok::<(), softreg::Error>(())
/// ```
pub struct Parameters {
    lines: Vec<Line>,
    bias: Vec<f32>,
    features: usize,
    lanes: Lanes,
    panel_lines: usize,
}

impl Parameters {
    /// All zeros.
    ///
    /// # Panics
    /// Where [`try_zeros`](Self::try_zeros) fails: dimensions are the program's own, not data's.
    #[must_use]
    pub fn zeros(features: usize, classes: usize) -> Self {
        match Self::try_zeros(features, classes) {
            Ok(zeros) => zeros,
            Err(error) => panic!("weights of {features} features and {classes} classes: {error}"),
        }
    }

    /// All zeros, for dimensions that come with the data.
    ///
    /// # Errors
    /// [`Error::Size`] where a dimension is 0, [`Error::Memory`] where there is no memory for their product.
    pub fn try_zeros(features: usize, classes: usize) -> Result<Self> {
        for (what, found) in [("features", features), ("classes", classes)] {
            if found == 0 {
                return Err(Error::Size { what, found, expected: "at least 1" });
            }
        }
        let lanes = plan::lanes(features, classes);
        let panel_lines = lanes.panel_lines(classes);
        let lines = memory::filled("weights", panel_lines.saturating_mul(features.div_ceil(PANEL)), Line::ZERO)?;
        Ok(Self { lines, bias: memory::filled("bias", classes, 0.0)?, features, lanes, panel_lines })
    }

    /// Packs weights `w [features, classes]` in row-major order and bias `b [classes]`.
    ///
    /// # Errors
    /// [`Error::Size`] where a dimension is 0, [`Error::Shape`] where a length does not fit, [`Error::Memory`].
    pub fn from_row_major(w: &[f32], b: &[f32], features: usize, classes: usize) -> Result<Self> {
        Self::pack(w, b, features, classes, |feature, class| feature * classes + class)
    }

    /// Packs weights `w [classes, features]` in row-major order, the layout of PyTorch's `nn.Linear`, and bias
    /// `b [classes]`.
    ///
    /// # Errors
    /// As [`from_row_major`](Self::from_row_major).
    pub fn from_class_major(w: &[f32], b: &[f32], features: usize, classes: usize) -> Result<Self> {
        Self::pack(w, b, features, classes, |feature, class| class * features + feature)
    }

    fn pack(w: &[f32], b: &[f32], features: usize, classes: usize, at: impl Fn(usize, usize) -> usize) -> Result<Self> {
        // A product that overflows is not the length of any slice.
        let expected = features.saturating_mul(classes);
        if w.len() != expected && features > 0 && classes > 0 {
            return Err(Error::Shape { what: "weights", found: w.len(), expected });
        }
        let mut parameters = Self::try_zeros(features, classes)?;
        expect("bias", b.len(), classes)?;
        parameters.bias.copy_from_slice(b);
        for feature in 0..features {
            for class in 0..classes {
                *parameters.weight_mut(feature, class) = w[at(feature, class)];
            }
        }
        Ok(parameters)
    }

    /// The weights as `[features, classes]` in row-major order.
    #[must_use]
    pub fn to_row_major(&self) -> Vec<f32> {
        let row = |feature| (0..self.classes()).map(move |class| self.weight(feature, class));
        (0..self.features).flat_map(row).collect()
    }

    /// The weights as `[classes, features]` in row-major order: the layout of PyTorch's `nn.Linear`.
    #[must_use]
    pub fn to_class_major(&self) -> Vec<f32> {
        let row = |class| (0..self.features).map(move |feature| self.weight(feature, class));
        (0..self.classes()).flat_map(row).collect()
    }

    /// The bias, `[classes]`.
    #[must_use]
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// The number of features.
    #[must_use]
    pub const fn features(&self) -> usize {
        self.features
    }

    /// The number of classes.
    #[must_use]
    pub const fn classes(&self) -> usize {
        self.bias.len()
    }

    /// The weight of one class for one feature.
    pub(crate) fn weight(&self, feature: usize, class: usize) -> f32 {
        let (line, lane) = self.position(feature, class);
        self.lines[line].0[lane]
    }

    /// The same, to be changed.
    pub(crate) fn weight_mut(&mut self, feature: usize, class: usize) -> &mut f32 {
        let (line, lane) = self.position(feature, class);
        &mut self.lines[line].0[lane]
    }

    /// The line and the lane of a weight.
    fn position(&self, feature: usize, class: usize) -> (usize, usize) {
        let panel = feature / PANEL * self.panel_lines();
        match self.lanes {
            Lanes::Features => (panel + class, feature % PANEL),
            Lanes::Classes => (panel + class / PANEL * PANEL + feature % PANEL, class % PANEL),
        }
    }

    /// Takes over `natural`, whose features stand in their natural order, in the order of a permutation. Both have the
    /// same shape.
    pub(crate) fn permute_from(&mut self, natural: &Self, permutation: &Permutation) {
        self.bias.copy_from_slice(&natural.bias);
        for (place, &feature) in permutation.features().iter().enumerate() {
            for class in 0..self.classes() {
                *self.weight_mut(place, class) = natural.weight(feature, class);
            }
        }
    }

    /// Undoes [`permute_from`](Self::permute_from): takes over `permuted` in the natural order.
    pub(crate) fn restore_from(&mut self, permuted: &Self, permutation: &Permutation) {
        self.bias.copy_from_slice(&permuted.bias);
        for (place, &feature) in permutation.features().iter().enumerate() {
            for class in 0..self.classes() {
                *self.weight_mut(feature, class) = permuted.weight(place, class);
            }
        }
    }

    /// Makes all zeros.
    pub(crate) fn clear(&mut self) {
        self.lines.fill(Line::ZERO);
        self.bias.fill(0.0);
    }

    /// Makes all equal to a value, but for what fills the last panels up.
    pub(crate) fn fill(&mut self, value: f32) {
        self.clear();
        self.bias.fill(value);
        for feature in 0..self.features {
            for class in 0..self.classes() {
                *self.weight_mut(feature, class) = value;
            }
        }
    }

    /// The same with one class more, whose weights and bias are `value`.
    pub(crate) fn with_class(&self, value: f32) -> Result<Self> {
        let mut wider = Self::try_zeros(self.features, self.classes().saturating_add(1))?;
        wider.fill(value);
        wider.bias[..self.classes()].copy_from_slice(&self.bias);
        for feature in 0..self.features {
            for class in 0..self.classes() {
                *wider.weight_mut(feature, class) = self.weight(feature, class);
            }
        }
        Ok(wider)
    }

    /// Whether no value is below 0 or NaN.
    #[cfg(feature = "safetensors")]
    pub(crate) fn is_nonnegative(&self) -> bool {
        let lines = self.lines.iter().flat_map(|line| &line.0);
        lines.chain(&self.bias).all(|&value| value >= 0.0)
    }

    /// A copy, where there is memory for one.
    pub(crate) fn try_clone(&self) -> Result<Self> {
        let mut copy = Self::try_zeros(self.features, self.classes())?;
        copy.copy_from(self);
        Ok(copy)
    }

    /// Takes over values of the same shape without a new allocation.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.lines.copy_from_slice(&other.lines);
        self.bias.copy_from_slice(&other.bias);
    }

    /// Checks that every weight and every bias is finite.
    ///
    /// # Errors
    /// [`Error::NonFinite`] for the first that is not.
    pub(crate) fn check_finite(&self) -> Result<()> {
        for row in 0..self.features {
            for column in 0..self.classes() {
                let value = self.weight(row, column);
                if !value.is_finite() {
                    return Err(Error::NonFinite { what: "weights", row, column, value });
                }
            }
        }
        match self.bias.iter().position(|value| !value.is_finite()) {
            Some(column) => Err(Error::NonFinite { what: "bias", row: 0, column, value: self.bias[column] }),
            None => Ok(()),
        }
    }

    /// Which way the lanes run.
    pub(crate) const fn lanes(&self) -> Lanes {
        self.lanes
    }

    /// Lines of a panel of 16 features.
    pub(crate) const fn panel_lines(&self) -> usize {
        self.panel_lines
    }

    /// The panels one after the other.
    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The panels and the bias. What fills the last panel up must stay zero.
    pub(crate) fn parts_mut(&mut self) -> (&mut [Line], &mut [f32]) {
        (&mut self.lines, &mut self.bias)
    }
}

/// [`clone_from`](Clone::clone_from) allocates nothing where the shapes are the same.
impl Clone for Parameters {
    fn clone(&self) -> Self {
        Self { lines: self.lines.clone(), bias: self.bias.clone(), ..*self }
    }

    fn clone_from(&mut self, source: &Self) {
        let Self { lines, bias, features, lanes, panel_lines } = self;
        lines.clone_from(&source.lines);
        bias.clone_from(&source.bias);
        (*features, *lanes, *panel_lines) = (source.features, source.lanes, source.panel_lines);
    }
}

/// Equal values.
impl PartialEq for Parameters {
    fn eq(&self, other: &Self) -> bool {
        (self.features, &self.bias) == (other.features, &other.bias) && self.lines == other.lines
    }
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parameters")
            .field("features", &self.features)
            .field("classes", &self.classes())
            .finish_non_exhaustive()
    }
}
