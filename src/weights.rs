//! The weight matrix in the layout that the kernels read and write, and the conversions from and to the
//! usual ones and between orders of the features. Nothing is computed here.

use crate::error::{Error, Result};
use crate::kernel::FEWEST_CLASSES;
use crate::matrix::Matrix;
use crate::order::FeatureOrder;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

/// Features in a panel: one vector of the widest instruction set, one cache line.
pub(crate) const PANEL: usize = 16;

/// One class's weights of one panel. Aligned to a cache line, so that no load crosses one.
#[derive(Clone, Copy, PartialEq, Debug)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [f32; PANEL]);

/// A matrix `[features, classes]` of f32, packed for the kernels: the weights, or their gradient.
///
/// The features are cut into panels of 16, the last one filled up with zeros. A panel holds 16 features of each class in
/// turn, `[features / 16, classes, 16]`; where the classes are many or the features few, 16 classes of each feature in
/// turn, the last 16 filled up with zeros: `[features / 16, classes / 16, 16, 16]`. So a kernel reads the weights as one
/// stream of whole cache lines, whatever the number of features, and threads can share them out by panels.
///
/// The features stand in their own order or in that of an index of zeros: see [`ordered_for`](Self::ordered_for).
#[derive(Clone)]
pub struct Weights {
    lines: Vec<Line>,
    features: usize,
    classes: usize,
    lanes: Lanes,
    /// Where each feature stands, if not at its own place.
    order: Option<Arc<FeatureOrder>>,
}

/// What the 16 values of a line are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lanes {
    /// 16 features of one class.
    Features,
    /// 16 classes of one feature.
    Classes,
}

impl Lanes {
    /// The faster way for a shape. It depends on nothing else, so that a row's logits do not depend on its batch.
    const fn of(features: usize, classes: usize) -> Self {
        let padded = classes.next_multiple_of(PANEL);
        let full = classes >= PANEL && (padded - classes) * 8 <= padded;
        let few = features <= 256;
        let large = features.saturating_mul(classes) >= 1 << 17;
        let very_few = features <= 32 && classes >= PANEL;
        if very_few || full && (few || large) { Self::Classes } else { Self::Features }
    }

    /// The lines of a panel of 16 features.
    const fn panel_lines(self, classes: usize) -> usize {
        match self {
            Self::Features => classes,
            Self::Classes => classes.next_multiple_of(PANEL),
        }
    }
}

impl Weights {
    /// All zeros.
    ///
    /// # Panics
    /// Where `features` or `classes` is 0, or memory cannot address their product: dimensions are the
    /// program's own, not data's.
    #[must_use]
    pub fn zeros(features: usize, classes: usize) -> Self {
        assert!(features > 0 && classes > 0, "weights need at least one feature and one class");
        let lanes = Lanes::of(features, classes);
        let lines = features.div_ceil(PANEL).checked_mul(lanes.panel_lines(classes));
        let lines = lines.expect("the weights fit in memory");
        Self { lines: vec![Line([0.0; PANEL]); lines], features, classes, lanes, order: None }
    }

    /// Packs values of shape `[features, classes]` in row-major order.
    ///
    /// # Errors
    /// [`Error::Size`] where a dimension is 0, [`Error::Shape`] where the length is not their product.
    pub fn from_row_major(values: &[f32], features: usize, classes: usize) -> Result<Self> {
        Self::pack(values, features, classes, |feature, class| feature * classes + class)
    }

    /// Packs values of shape `[classes, features]` in row-major order: the layout of PyTorch's
    /// `nn.Linear`.
    ///
    /// # Errors
    /// As [`Weights::from_row_major`].
    pub fn from_class_major(values: &[f32], features: usize, classes: usize) -> Result<Self> {
        Self::pack(values, features, classes, |feature, class| class * features + feature)
    }

    fn pack(values: &[f32], features: usize, classes: usize, at: impl Fn(usize, usize) -> usize) -> Result<Self> {
        for (what, found) in [("features", features), ("classes", classes)] {
            if found == 0 {
                return Err(Error::Size { what, found, expected: "at least 1" });
            }
        }
        // A product that overflows is not the length of any slice.
        let expected = features.saturating_mul(classes);
        if values.len() != expected {
            return Err(Error::Shape { what: "weights", found: values.len(), expected });
        }
        let mut weights = Self::zeros(features, classes);
        for feature in 0..features {
            for class in 0..classes {
                let (line, lane) = weights.position(feature, class);
                weights.lines[line].0[lane] = values[at(feature, class)];
            }
        }
        Ok(weights)
    }

    /// The values as `[features, classes]` in row-major order.
    #[must_use]
    pub fn to_row_major(&self) -> Vec<f32> {
        let row = |feature| (0..self.classes).map(move |class| self.get(feature, class));
        (0..self.features).flat_map(row).collect()
    }

    /// The values as `[classes, features]` in row-major order: the layout of PyTorch's `nn.Linear`.
    #[must_use]
    pub fn to_class_major(&self) -> Vec<f32> {
        let row = |class| (0..self.features).map(move |feature| self.get(feature, class));
        (0..self.classes).flat_map(row).collect()
    }

    /// The number of features.
    #[must_use]
    pub const fn features(&self) -> usize {
        self.features
    }

    /// The number of classes.
    #[must_use]
    pub const fn classes(&self) -> usize {
        self.classes
    }

    fn get(&self, feature: usize, class: usize) -> f32 {
        let (line, lane) = self.position(feature, class);
        self.lines[line].0[lane]
    }

    fn position(&self, feature: usize, class: usize) -> (usize, usize) {
        let feature = self.order.as_ref().map_or(feature, |order| order.place(feature));
        let panel = feature / PANEL * self.panel_lines();
        match self.lanes {
            Lanes::Features => (panel + class, feature % PANEL),
            Lanes::Classes => (panel + class / PANEL * PANEL + feature % PANEL, class % PANEL),
        }
    }

    /// The same weights with the features in the order of these rows' index
    /// ([`Dataset::skip_zeros`](crate::Dataset::skip_zeros)), so that products with the rows skip their zeros; for rows
    /// without an index, in their own order. A trainer does this by itself.
    ///
    /// Nothing else shows the order. Weights in any go with any rows of as many features; where it is not the rows', a
    /// forward pass copies the weights first, and an update puts them into their own order.
    #[must_use]
    pub fn ordered_for(mut self, x: Matrix<'_>) -> Self {
        self.put_in_order_of(x);
        self
    }

    /// As `ordered_for`, in place.
    pub(crate) fn put_in_order_of(&mut self, x: Matrix<'_>) {
        let skips = !self.lanes_are_classes() && self.classes >= FEWEST_CLASSES && self.features == x.features();
        let order = x.order().filter(|_| skips);
        if !self.is_in(order) {
            *self = self.reordered(order);
        }
    }

    /// Whether the features stand in this order.
    pub(crate) fn is_in(&self, order: Option<&Arc<FeatureOrder>>) -> bool {
        match (&self.order, order) {
            (Some(order), Some(other)) => Arc::ptr_eq(order, other),
            (None, None) => true,
            _ => false,
        }
    }

    /// Whether the features stand in their own order.
    pub(crate) const fn are_plain(&self) -> bool {
        self.order.is_none()
    }

    /// A copy with the features in this order.
    pub(crate) fn reordered(&self, order: Option<&Arc<FeatureOrder>>) -> Self {
        let mut copy = Self { order: order.cloned(), ..Self::zeros(self.features, self.classes) };
        for feature in 0..self.features {
            for class in 0..self.classes {
                let (line, lane) = copy.position(feature, class);
                copy.lines[line].0[lane] = self.get(feature, class);
            }
        }
        copy
    }

    /// Whether a line is 16 classes of one feature, and not 16 features of one class.
    pub(crate) const fn lanes_are_classes(&self) -> bool {
        matches!(self.lanes, Lanes::Classes)
    }

    /// The lines of a panel of 16 features.
    pub(crate) const fn panel_lines(&self) -> usize {
        self.lanes.panel_lines(self.classes)
    }

    /// The panels one after the other, each a line a class.
    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// As [`Weights::lines`]. What fills the last panel up must stay zero.
    pub(crate) fn lines_mut(&mut self) -> &mut [Line] {
        &mut self.lines
    }
}

impl PartialEq for Weights {
    fn eq(&self, other: &Self) -> bool {
        (self.features, self.classes) == (other.features, other.classes)
            && (0..self.features).all(|f| (0..self.classes).all(|c| self.get(f, c) == other.get(f, c)))
    }
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weights")
            .field("features", &self.features)
            .field("classes", &self.classes)
            .finish_non_exhaustive()
    }
}
