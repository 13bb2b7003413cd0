//! The objective: mean loss and penalty as a function of the solver's vector, and its gradient. The vector's coordinates are
//! `scaling.rs`'s; how it is minimised is `solve.rs`'s.

use super::scaling::Scaling;
use crate::error::Result;
use crate::exec::Exec;
use crate::kernel::{Loss, Sweep, plan};
use crate::matrix::{AnyRows, Batch, FeatureOrder, OnRows};
use crate::memory;
use crate::parameters::Parameters;
use crate::simd::Element;
use alloc::vec::Vec;
use ndarray::Array2;

/// The value of the objective.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Value {
    /// The mean loss.
    pub(super) loss: f64,
    /// The mean loss and the penalty.
    pub(super) objective: f64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Objective<'a> {
    exec: Exec,
    batch: Batch<'a>,
    order: FeatureOrder,
    scaling: Scaling,
    /// On each feature's `V`, `[features]`.
    penalty: Vec<f64>,
    sweep: Sweep,
    parameters: Parameters,
    gradient: Parameters,
    losses: Vec<f64>,
}

impl<'a> Objective<'a> {
    /// The objective of checked targets.
    pub(super) fn new(exec: Exec, batch: Batch<'a>, classes: usize, scaling: Scaling) -> Result<Self> {
        let features = batch.x.features();
        let permuted = batch.x.permutation().is_some() && plan::uses_block_sparse(features, classes);
        Ok(Self {
            exec,
            batch,
            order: if permuted { FeatureOrder::Permuted } else { FeatureOrder::Natural },
            scaling,
            penalty: memory::filled("penalty", features, 0.0)?,
            sweep: Sweep::new(),
            parameters: Parameters::try_zeros(features, classes)?,
            gradient: Parameters::try_zeros(features, classes)?,
            losses: memory::filled("losses", batch.x.rows(), 0.0)?,
        })
    }

    /// Rows, features and classes.
    pub(super) fn shape(&self) -> (usize, usize, usize) {
        (self.batch.x.rows(), self.parameters.features(), self.parameters.classes())
    }

    /// Sets the penalty on each feature's `V`, `[features]`.
    pub(super) fn set_penalty(&mut self, penalty: Vec<f64>) {
        self.penalty = penalty;
    }

    /// Of each feature, `[features]`.
    pub(super) fn kurtosis(&self) -> &[f64] {
        self.scaling.kurtosis()
    }

    /// The value at a vector, and the gradient there; the value is infinite where f32 cannot hold the weights or the
    /// logits, and the gradient then of no use.
    pub(super) fn evaluate(&mut self, v: &[f64], gradient: &mut [f64]) -> Result<Value> {
        const TOO_FAR: Value = Value { loss: f64::INFINITY, objective: f64::INFINITY };
        let Self { exec, batch, order, scaling, penalty, sweep, parameters, gradient: summed, losses } = self;
        let permutation = batch.x.permutation().filter(|_| *order == FeatureOrder::Permuted).map(|p| p.features());
        if !scaling.write_parameters(v, permutation, parameters) {
            return Ok(TOO_FAR);
        }
        let Loss { sum, weight } = sweep.run_in_order(*exec, *batch, *order, parameters, losses, summed)?;
        if !sum.is_finite() {
            return Ok(TOO_FAR);
        }
        let classes = parameters.classes();
        let (mut squares, bias) = (0.0, gradient.len() - classes);
        for (gradient, &sum) in gradient[bias..].iter_mut().zip(summed.bias()) {
            *gradient = f64::from(sum) / weight;
        }
        let (gradient, bias) = gradient.split_at_mut(bias);
        for place in 0..parameters.features() {
            let feature = permutation.map_or(place, |features| features[place]);
            let ([mean, deviation], penalty) = (scaling.of(feature), penalty[feature]);
            let row = feature * classes..(feature + 1) * classes;
            for (class, (gradient, v)) in gradient[row.clone()].iter_mut().zip(&v[row]).enumerate() {
                let sum = f64::from(summed.weight(place, class)) / weight;
                *gradient = (sum - mean * bias[class]) / deviation + penalty * v;
                squares += penalty * v * v;
            }
        }
        let loss = sum / weight;
        Ok(Value { loss, objective: loss + 0.5 * squares })
    }

    /// So many of the rows, spread evenly, in the coordinates: `[rows, features]`, each times the root of its share of
    /// their weight.
    pub(super) fn sample(&self, rows: usize) -> Result<Array2<f32>> {
        let (of, features) = (self.batch.x.rows(), self.batch.x.features());
        let rows = rows.min(of);
        let cells = rows.saturating_mul(features);
        let mut sample = Array2::from_shape_vec((rows, features), memory::filled("sample", cells, 0.0)?)
            .unwrap_or_else(|_| Array2::zeros((0, features)));
        let picked = |i: usize| {
            // One of each of as many ranges of rows, its place in the range spread evenly too: rows may be periodic.
            const GOLDEN: f64 = 0.618_033_988_749_894_9;
            let (start, end) = (i as u128 * of as u128 / rows as u128, (i as u128 + 1) * of as u128 / rows as u128);
            (start as f64 + (i as f64 * GOLDEN).fract() * (end - start) as f64) as usize
        };
        self.batch.x.on_rows(FeatureOrder::Natural, SampleOf { objective: self, picked, sample: &mut sample });
        Ok(sample)
    }
}

/// Writes rows into a sample.
struct SampleOf<'a, 's, P> {
    objective: &'s Objective<'a>,
    picked: P,
    sample: &'s mut Array2<f32>,
}

impl<'a, P: Fn(usize) -> usize> OnRows<'a> for SampleOf<'a, '_, P> {
    fn run<T: Element>(self, x: AnyRows<'a, T>) {
        let AnyRows::Dense(x) = x else { return };
        let Self { objective: Objective { batch, scaling, parameters, .. }, picked, sample } = self;
        let (classes, scale, mut total) = (parameters.classes(), f64::from(batch.x.scale()), 0.0);
        for (i, mut to) in sample.rows_mut().into_iter().enumerate() {
            let weight = batch.targets.get(picked(i), classes).sum(classes);
            total += weight;
            if let Some(to) = to.as_slice_mut() {
                scaling.write_row(x.row(picked(i)), scale, weight.sqrt(), to);
            }
        }
        if total > 0.0 {
            sample.mapv_inplace(|z| (f64::from(z) / total.sqrt()) as f32);
        }
    }
}
