//! The solver's coordinates, in which every feature has mean 0 and variance 1, and the ways between them and a model. What
//! is minimised in them is `objective.rs`'s.
//!
//! The model `x W + b` is `z V + c` of `z = (x - mean) / deviation` with `V = deviation * W` and `c = b + mean W`. The
//! bias has no penalty, so that centring changes nothing but how well the problem is conditioned; the penalty is on `W`,
//! or where the features are to be standardised on `V`. A vector is `[features + 1, classes]` in f64, `V` and then `c`.
//! The kernels see the rows as they are, with `W` and `b` rounded to f32; where a feature lies so far from 0 that this
//! would lose what it differs by, they see `z`, computed once.

use crate::error::{Result, expect};
use crate::kernel::moments::Moments;
use crate::matrix::{AnyRows, FeatureOrder, Matrix, OnRows};
use crate::memory;
use crate::model::SoftmaxRegression;
use crate::parameters::Parameters;
use crate::simd::Element;
use alloc::vec::Vec;

/// Deviations from 0 beyond which a feature's mean costs more than 1e-4 of a logit in f32.
const FAR: f64 = 1e3;

/// The coordinates' means and deviations, `[features]`.
#[derive(Clone, Debug)]
pub(super) struct Scaling {
    mean: Vec<f64>,
    /// 1 for a feature that is constant.
    deviation: Vec<f64>,
    kurtosis: Vec<f64>,
}

impl Scaling {
    /// Of moments that are finite.
    pub(super) fn new(moments: Moments) -> Self {
        let deviation = moments.deviations().collect();
        let Moments { mean, kurtosis, .. } = moments;
        Self { mean, deviation, kurtosis }
    }

    /// Mean and deviation of a feature.
    pub(super) fn of(&self, feature: usize) -> [f64; 2] {
        [self.mean[feature], self.deviation[feature]]
    }

    /// Of each feature, `[features]`.
    pub(super) fn kurtosis(&self) -> &[f64] {
        &self.kurtosis
    }

    /// Writes a row in the coordinates, times a factor.
    pub(super) fn write_row<T: Element>(&self, x: &[T], scale: f64, factor: f64, z: &mut [f32]) {
        let moments = self.mean.iter().zip(&self.deviation);
        for ((z, &x), (mean, deviation)) in z.iter_mut().zip(x).zip(moments) {
            *z = ((f64::from(x.into()) * scale - mean) / deviation * factor) as f32;
        }
    }

    /// The same features' coordinates, of rows that are in them already.
    pub(super) fn identity(&self) -> Result<Self> {
        let filled = |value| memory::filled("solver", self.mean.len(), value);
        let mut kurtosis = filled(0.0)?;
        kurtosis.copy_from_slice(&self.kurtosis);
        Ok(Self { mean: filled(0.0)?, deviation: filled(1.0)?, kurtosis })
    }

    /// Whether a feature lies so far from 0 that logits computed from it as it is lose what it differs by.
    pub(super) fn is_far(&self) -> bool {
        self.mean.iter().zip(&self.deviation).any(|(mean, deviation)| mean.abs() > FAR * deviation)
    }

    /// The rows in the coordinates, `[n, features]`.
    pub(super) fn apply(&self, x: Matrix<'_>) -> Result<Vec<f32>> {
        let mut z = memory::filled("standardised rows", x.rows().saturating_mul(x.features()), 0.0)?;
        let scale = x.scale();
        x.on_rows(FeatureOrder::Natural, Apply { scaling: self, scale: scale.into(), z: &mut z });
        Ok(z)
    }

    /// The penalty on each feature's `V`, `[features]`: of the weights of the features as they are or as they are
    /// standardised.
    pub(super) fn penalty(&self, l2: f64, standardized: bool) -> Result<Vec<f64>> {
        let mut penalty = memory::filled("penalty", self.mean.len(), l2)?;
        if !standardized {
            penalty.iter_mut().zip(&self.deviation).for_each(|(penalty, deviation)| *penalty /= deviation * deviation);
        }
        Ok(penalty)
    }

    /// The model at a vector.
    pub(super) fn model(&self, v: &[f64], classes: usize) -> Result<SoftmaxRegression> {
        let mut parameters = Parameters::try_zeros(self.mean.len(), classes)?;
        self.write_parameters(v, None, &mut parameters);
        SoftmaxRegression::new(parameters)
    }

    /// The vector of a model.
    pub(super) fn vector(&self, model: &SoftmaxRegression) -> Result<Vec<f64>> {
        let (features, classes) = (self.mean.len(), model.classes());
        expect("features of the model", model.features(), features)?;
        let mut v = memory::filled("solver", (features + 1).saturating_mul(classes), 0.0)?;
        let (weights, c) = v.split_at_mut(features * classes);
        c.iter_mut().zip(model.bias()).for_each(|(c, &b)| *c = f64::from(b));
        for (feature, row) in weights.chunks_exact_mut(classes).enumerate() {
            for (class, v) in row.iter_mut().enumerate() {
                let w = f64::from(model.parameters().weight(feature, class));
                *v = w * self.deviation[feature];
                c[class] += w * self.mean[feature];
            }
        }
        Ok(v)
    }

    /// Writes `W` and `b` of a vector, the features in a permutation or in their own order. Returns whether f32 holds
    /// them all.
    pub(super) fn write_parameters(
        &self,
        v: &[f64],
        permutation: Option<&[usize]>,
        parameters: &mut Parameters,
    ) -> bool {
        let classes = parameters.classes();
        let (weights, c) = v.split_at(parameters.features() * classes);
        let mut finite = true;
        for place in 0..parameters.features() {
            let feature = permutation.map_or(place, |features| features[place]);
            for (class, v) in weights[feature * classes..(feature + 1) * classes].iter().enumerate() {
                let w = (v / self.deviation[feature]) as f32;
                finite &= w.is_finite();
                *parameters.weight_mut(place, class) = w;
            }
        }
        for (class, &c) in c.iter().enumerate() {
            // Of the weights as they were rounded, so that logits near the mean are those of the vector.
            let weight = |place| f64::from(parameters.weight(place, class));
            let feature = |place| permutation.map_or(place, |features: &[usize]| features[place]);
            let shift: f64 = (0..parameters.features()).map(|place| weight(place) * self.mean[feature(place)]).sum();
            let b = (c - shift) as f32;
            finite &= b.is_finite();
            parameters.parts_mut().1[class] = b;
        }
        finite
    }
}

/// Writes rows in their coordinates.
struct Apply<'s> {
    scaling: &'s Scaling,
    scale: f64,
    z: &'s mut [f32],
}

impl<'a> OnRows<'a> for Apply<'_> {
    fn run<T: Element>(self, x: AnyRows<'a, T>) {
        let AnyRows::Dense(x) = x else { return };
        for (row, z) in self.z.chunks_exact_mut(x.features()).enumerate() {
            self.scaling.write_row(x.row(row), self.scale, 1.0, z);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What f32 takes from the weights, the bias gives back at the mean.
    #[test]
    fn the_bias_makes_up_for_what_rounding_takes_from_the_weights() {
        let scaling = Scaling { mean: vec![900.0, 1000.0], deviation: vec![1.0, 1.0], kurtosis: vec![1.0, 1.0] };
        let model = scaling.model(&[1.0 / 3.0, -0.3, 0.5], 1).expect("finite weights");
        let weight = |feature| f64::from(model.parameters().weight(feature, 0));
        let at_mean = weight(0) * 900.0 + weight(1) * 1000.0 + f64::from(model.bias()[0]);
        assert!((at_mean - 0.5).abs() < 1e-7, "{at_mean}");
    }
}
