//! A scaling of the features, and the way between a model of scaled features and one of the features as they are. The
//! arithmetic on packed weights is `kernel/fold.rs`'s; nothing is trained here.

use super::SoftmaxRegression;
use crate::error::{Error, Result, expect};
use crate::exec::Exec;
use crate::kernel;
use crate::kernel::moments::moments;
use crate::matrix::{AnyRows, Batch, FeatureOrder, Matrix, OnRows, Targets};
use crate::memory;
use crate::parameters::Parameters;
use crate::simd::Element;
use alloc::vec::Vec;

/// An offset and a scale for each feature: `z[j] = (x[j] - offset[j]) * scale[j]`, of the values as they read; a pixel of
/// [`Matrix::from_u8`] reads as `pixel / 255`.
///
/// A model trained on scaled features need not be told of the scaling forever: [`fold`](Self::fold) makes it a model of the
/// features as they are, with the same logits.
///
/// ```
/// use softreg::{Batch, Matrix, Scaler, Sgd, SoftmaxRegression, Targets, Trainer};
///
/// let x = [1000.0, 0.01, 1010.0, 0.03, 1005.0, 0.02, 1020.0, 0.05]; // four rows of two features
/// let x = Matrix::from_f32(&x, 2)?;
/// let targets = Targets::from_u8(&[0, 1, 0, 1]);
/// let scaler = Scaler::standard(x)?;
/// let z = scaler.transform(x)?;
/// let mut trainer = Trainer::new(SoftmaxRegression::zeros(2, 2), Sgd::new(1.0));
/// for _ in 0..100 {
///     trainer.step(Batch::new(Matrix::from_f32(&z, 2)?, targets)?)?;
/// }
/// let model = scaler.fold(&trainer.into_model())?;
/// assert_eq!(model.accuracy(Batch::new(x, targets)?)?, 1.0);
/// # Ok::<(), softreg::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(try_from = "Unchecked"))]
#[doc(alias = "StandardScaler")]
pub struct Scaler {
    /// Both in the range of f32, at least one.
    offset: Vec<f64>,
    /// Not 0, as f32 either.
    scale: Vec<f64>,
}

/// A scaler as it is read from a file.
#[cfg(feature = "serde")]
#[derive(serde::Deserialize)]
struct Unchecked {
    offset: Vec<f64>,
    scale: Vec<f64>,
}

#[cfg(feature = "serde")]
impl TryFrom<Unchecked> for Scaler {
    type Error = Error;

    fn try_from(Unchecked { offset, scale }: Unchecked) -> Result<Self> {
        Self::new(offset, scale)
    }
}

impl Scaler {
    /// A scaler of these offsets and scales, `[features]` each.
    ///
    /// # Errors
    /// [`Error::Size`] where there are none, [`Error::Shape`] where there are not as many scales as offsets,
    /// [`Error::NonFinite`] for one that is not finite as f32, [`Error::Setting`] for a scale that is 0 as f32.
    pub fn new(offset: Vec<f64>, scale: Vec<f64>) -> Result<Self> {
        if offset.is_empty() {
            return Err(Error::Size { what: "features", found: 0, expected: "at least 1" });
        }
        expect("scales", scale.len(), offset.len())?;
        for (what, values) in [("offsets", &offset), ("scales", &scale)] {
            if let Some(column) = values.iter().position(|&value| !(value as f32).is_finite()) {
                return Err(Error::NonFinite { what, row: 0, column, value: values[column] as f32 });
            }
        }
        match scale.iter().find(|&&scale| scale as f32 == 0.0) {
            Some(&found) => {
                Err(Error::Setting { name: "scale of a feature", found, expected: "a number that is not 0" })
            }
            None => Ok(Self { offset, scale }),
        }
    }

    /// The scaler that gives each feature mean 0 and deviation 1 over these rows, as scikit-learn's `StandardScaler`: the
    /// deviation is the population's, `sqrt(sum of (x - mean)^2 / n)`. A constant feature has scale 1, and so has one whose
    /// deviation is below the normal numbers of f32.
    ///
    /// # Errors
    /// [`Error::Size`] where there are no rows, [`Error::NonFinite`] for a feature that is not finite, [`Error::Setting`]
    /// where the scale of `x` is not, [`Error::Memory`].
    pub fn standard(x: Matrix<'_>) -> Result<Self> {
        Self::of_moments(x, None)
    }

    /// As [`standard`](Self::standard), each row by its weight: see [`Targets::with_row_weights`].
    ///
    /// # Errors
    /// As [`standard`](Self::standard), and [`Error::Shape`], [`Error::Label`], [`Error::Target`] or [`Error::Weight`] for
    /// targets that do not fit, [`Error::NoWeight`] where all rows have weight 0.
    pub fn standard_weighted<'a>(data: impl Into<Batch<'a>>) -> Result<Self> {
        let Batch { x, targets } = data.into();
        let Batch { x, targets } = Batch::new(x, targets)?;
        let classes = targets.classes();
        if targets.check(classes)? == 0.0 && x.rows() > 0 {
            return Err(Error::NoWeight { rows: x.rows() });
        }
        Self::of_moments(x, Some((targets, classes)))
    }

    fn of_moments(x: Matrix<'_>, weights: Option<(Targets<'_>, usize)>) -> Result<Self> {
        if x.rows() == 0 {
            return Err(Error::Size { what: "rows", found: 0, expected: "at least 1" });
        }
        let moments = moments(Exec::default(), x, weights)?;
        if moments.variance.iter().any(|variance| !variance.is_finite()) {
            let scale = Error::Setting { name: "scale of x", found: x.scale().into(), expected: "a finite number" };
            return Err(x.first_not_finite().unwrap_or(scale));
        }
        let scale = |deviation| if deviation < f64::from(f32::MIN_POSITIVE) { 1.0 } else { 1.0 / deviation };
        let scale = moments.deviations().map(scale).collect();
        Self::new(moments.mean, scale)
    }

    /// What is subtracted from each feature, `[features]`.
    #[must_use]
    pub fn offset(&self) -> &[f64] {
        &self.offset
    }

    /// What the difference is multiplied by, `[features]`.
    #[must_use]
    pub fn scale(&self) -> &[f64] {
        &self.scale
    }

    /// The number of features.
    #[must_use]
    pub const fn features(&self) -> usize {
        self.offset.len()
    }

    /// A scaled copy of rows, `[n, features]`, each value rounded once; what f32 cannot hold becomes infinite, and NaN stays
    /// NaN.
    ///
    /// # Errors
    /// [`Error::Shape`] where `x` has other features, [`Error::Memory`].
    pub fn transform(&self, x: Matrix<'_>) -> Result<Vec<f32>> {
        expect("features of x", x.features(), self.features())?;
        let mut z = memory::filled("scaled rows", x.rows().saturating_mul(x.features()), 0.0)?;
        let unit = x.scale().into();
        x.on_rows(FeatureOrder::Natural, Transform { scaler: self, unit, z: &mut z });
        Ok(z)
    }

    /// The model of the features as they are that has the logits of this one of scaled features, at its level and threads:
    /// `W[j] = scale[j] * V[j]` and `b = c - sum of offset[j] * W[j]`, in f64.
    ///
    /// Where a feature lies many deviations from 0, its logits are differences of large numbers: a million deviations take
    /// six of f32's seven digits.
    ///
    /// # Errors
    /// [`Error::Shape`] where the model has other features, [`Error::NonFinite`] for a weight or bias that f32 cannot hold,
    /// [`Error::Memory`].
    pub fn fold(&self, model: &SoftmaxRegression) -> Result<SoftmaxRegression> {
        expect("features of the model", model.features(), self.features())?;
        let mut folded = Parameters::try_zeros(model.features(), model.classes())?;
        self.fold_into(model.exec(), model.parameters(), &mut folded);
        like(model, folded)
    }

    /// The inverse of [`fold`](Self::fold): from a model of the features as they are, that of scaled features with its
    /// logits. To go on training it on scaled features.
    ///
    /// # Errors
    /// As [`fold`](Self::fold).
    pub fn unfold(&self, model: &SoftmaxRegression) -> Result<SoftmaxRegression> {
        expect("features of the model", model.features(), self.features())?;
        let mut unfolded = Parameters::try_zeros(model.features(), model.classes())?;
        for class in 0..model.classes() {
            let mut bias = f64::from(model.bias()[class]);
            for (feature, (offset, scale)) in self.offset.iter().zip(&self.scale).enumerate() {
                let w = f64::from(model.parameters().weight(feature, class));
                *unfolded.weight_mut(feature, class) = (w / scale) as f32;
                bias += offset * w;
            }
            unfolded.parts_mut().1[class] = bias as f32;
        }
        like(model, unfolded)
    }

    /// Writes into `folded` the parameters of the features as they are that have the logits of those of scaled features;
    /// infinite where f32 cannot hold them. The same bits at every level. Allocates nothing. All have one shape.
    pub(crate) fn fold_into(&self, exec: Exec, scaled: &Parameters, folded: &mut Parameters) {
        exec.run_here(kernel::Fold { offset: &self.offset, scale: &self.scale, scaled, folded });
    }

    /// Makes the gradient with respect to parameters of the features as they are that with respect to those of scaled
    /// features: `scale[j] * (g[j] - offset[j] * g_bias)`, and the bias's as it is. Allocates nothing. Both have one shape.
    pub(crate) fn scale_gradient(&self, exec: Exec, gradient: &mut Parameters) {
        exec.run_here(kernel::ScaleGradient { offset: &self.offset, scale: &self.scale, gradient });
    }
}

/// A model of other parameters at the same level and threads.
fn like(model: &SoftmaxRegression, parameters: Parameters) -> Result<SoftmaxRegression> {
    Ok(SoftmaxRegression::new(parameters)?.with_level(model.level()).with_threads(model.threads()))
}

/// Writes scaled rows.
struct Transform<'s> {
    scaler: &'s Scaler,
    /// What a stored value is multiplied by.
    unit: f64,
    z: &'s mut [f32],
}

impl<'a> OnRows<'a> for Transform<'_> {
    fn run<T: Element>(self, x: AnyRows<'a, T>) {
        let AnyRows::Dense(x) = x else { return };
        let Self { scaler: Scaler { offset, scale }, unit, z } = self;
        for (row, z) in z.chunks_exact_mut(x.features()).enumerate() {
            for ((z, &x), (offset, scale)) in z.iter_mut().zip(x.row(row)).zip(offset.iter().zip(scale)) {
                *z = ((f64::from(x.into()) * unit - offset) * scale) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Level;
    use crate::layout::Lanes;

    /// Features and classes with the lanes both ways, panels and groups of classes that are full and that are not.
    const SHAPES: [(usize, usize); 10] =
        [(1, 1), (5, 3), (16, 8), (33, 9), (784, 10), (31, 16), (20, 33), (16, 48), (300, 17), (1400, 100)];

    /// From -1 to 1.
    fn noise(i: usize) -> f32 {
        ((i * 2_654_435_761) % 2003) as f32 / 1001.0 - 1.0
    }

    /// Of either sign, and over four powers of ten.
    fn scaler(features: usize) -> Scaler {
        let offset = |j: usize| f64::from(noise(3 * j + 1)) * [100.0, 0.1, 0.0, 1.0][j % 4];
        let scale = |j: usize| f64::from(noise(5 * j + 2) + 2.0) * [0.01, 1.0, -30.0][j % 3];
        Scaler::new((0..features).map(offset).collect(), (0..features).map(scale).collect()).expect("finite numbers")
    }

    fn parameters(features: usize, classes: usize, seed: usize) -> Parameters {
        let values = |from: usize, len: usize| (from..from + len).map(noise).collect::<Vec<_>>();
        Parameters::from_row_major(&values(seed, features * classes), &values(seed + 9, classes), features, classes)
            .expect("the lengths fit")
    }

    /// Whether what fills panels up is zero: the same weights packed anew are equal, lanes that nobody reads included.
    fn is_filled_up_with_zeros(parameters: &Parameters) -> bool {
        let (features, classes) = (parameters.features(), parameters.classes());
        let anew = Parameters::from_row_major(&parameters.to_row_major(), parameters.bias(), features, classes);
        anew.expect("the lengths fit") == *parameters
    }

    #[test]
    fn shapes_have_lanes_both_ways() {
        for lanes in [Lanes::Features, Lanes::Classes] {
            assert!(SHAPES.iter().any(|&(f, c)| Parameters::zeros(f, c).lanes() == lanes), "{lanes:?}");
        }
    }

    #[test]
    fn parameters_are_folded_at_every_level_to_the_same_bits() {
        for (features, classes) in SHAPES {
            let (scaler, scaled) = (scaler(features), parameters(features, classes, 1));
            let mut folded = Parameters::zeros(features, classes);
            for level in Level::available() {
                folded.fill(7.0);
                scaler.fold_into(level.into(), &scaled, &mut folded);
                assert!(is_filled_up_with_zeros(&folded), "{level}, {features} x {classes}");
                for class in 0..classes {
                    let (mut sum, mut size) = (0.0, 0.0);
                    for feature in 0..features {
                        let w = (f64::from(scaled.weight(feature, class)) * scaler.scale[feature]) as f32;
                        let found = folded.weight(feature, class);
                        assert_eq!(found, w, "{level}, {features} x {classes}: {feature}, {class}");
                        sum += scaler.offset[feature] * f64::from(w);
                        size += (scaler.offset[feature] * f64::from(w)).abs();
                    }
                    let (found, expected) = (f64::from(folded.bias()[class]), f64::from(scaled.bias()[class]) - sum);
                    // One rounding to f32; the sums are f64's.
                    let budget = f64::from(f32::EPSILON) / 2.0 * expected.abs() + 1e-13 * (size + 1.0);
                    assert!((found - expected).abs() <= budget, "{level}, {class}: {found} for {expected}");
                }
                let mut again = Parameters::zeros(features, classes);
                scaler.fold_into(Level::best().into(), &scaled, &mut again);
                assert!(again == folded, "{level}: other bits than the best level's");
            }
        }
    }

    /// From rows and a residual, `sum of r * z` in f64 is what the gradient over the rows as they are becomes.
    #[test]
    fn the_gradient_becomes_that_of_scaled_features() {
        const ROWS: usize = 13;
        for (features, classes) in SHAPES {
            let scaler = scaler(features);
            let x = |row: usize, j: usize| {
                scaler.offset[j]
                    + f64::from(noise(row * features + j)) / scaler.scale[j]
                    + if row == 0 { 1.0 } else { 0.0 }
            };
            let residual = |row: usize, class: usize| f64::from(noise(7 * row + 11 * class + 3));
            let sum = |of: &dyn Fn(usize) -> f64| (0..ROWS).map(of).sum::<f64>();
            let bias: Vec<f32> = (0..classes).map(|c| sum(&|row| residual(row, c)) as f32).collect();
            let weight = |j: usize, c: usize| sum(&|row| x(row, j) * residual(row, c));
            let weights: Vec<f32> = (0..features * classes).map(|i| weight(i / classes, i % classes) as f32).collect();
            let raw = Parameters::from_row_major(&weights, &bias, features, classes).expect("the lengths fit");
            for level in Level::available() {
                let mut gradient = raw.clone();
                scaler.scale_gradient(level.into(), &mut gradient);
                assert_eq!(gradient.bias(), raw.bias());
                assert!(is_filled_up_with_zeros(&gradient), "{level}, {features} x {classes}");
                for (j, c) in (0..features).flat_map(|j| (0..classes).map(move |c| (j, c))) {
                    let z = |row: usize| (x(row, j) - scaler.offset[j]) * scaler.scale[j];
                    let (found, expected) = (f64::from(gradient.weight(j, c)), sum(&|row| z(row) * residual(row, c)));
                    let size = raw.weight(j, c).abs() + (scaler.offset[j] as f32 * bias[c]).abs();
                    // Both sums were rounded, and so are offset, scale, product, difference and result.
                    let budget = 5.0 * f64::from(f32::EPSILON) * f64::from(size) * scaler.scale[j].abs() + 1e-30;
                    let place = format!("{level}, {features} x {classes}, {j}, {c}");
                    assert!((found - expected).abs() <= budget, "{place}: {found} for {expected}");
                }
            }
        }
    }

    #[test]
    fn a_gradient_that_is_not_finite_leaves_what_fills_panels_up() {
        for (features, classes) in SHAPES {
            for bad in [f32::NAN, f32::INFINITY] {
                for level in Level::available() {
                    let mut gradient = parameters(features, classes, 1);
                    gradient.parts_mut().1[classes - 1] = bad;
                    scaler(features).scale_gradient(level.into(), &mut gradient);
                    let found = gradient.lines().iter().flat_map(|line| line.0).filter(|g| !g.is_finite()).count();
                    // An offset of 0 leaves a feature's gradient without the bias, but for 0 * bad.
                    assert_eq!(found, features, "{level}, {features} x {classes}, {bad}");
                }
            }
        }
    }
}
