//! Training in the coordinates of scaled features over rows as they are: the scaling goes into the weights before a product
//! and into the gradient after it, and no row is copied. The arithmetic is `model/scaler.rs`'s.

use crate::error::Result;
use crate::exec::Exec;
use crate::kernel;
use crate::model::{Scaler, SoftmaxRegression};
use crate::parameters::Parameters;

/// A scaling, and the model of the features as they are that the weights in scaled coordinates stand for.
#[derive(Clone, Debug)]
pub(super) struct Scaled {
    pub(super) scaler: Scaler,
    pub(super) model: SoftmaxRegression,
}

impl Scaled {
    /// A scaling, and the weights of scaled features.
    pub(super) fn new(scaler: Scaler, weights: &SoftmaxRegression) -> Result<Self> {
        let model = scaler.fold(weights)?;
        Ok(Self { scaler, model })
    }

    /// Makes the gradient that of the weights of scaled features.
    pub(super) fn scale_gradient(&self, exec: Exec, gradient: &mut Parameters) {
        self.scaler.scale_gradient(exec, gradient);
    }

    /// Brings the model up to date; whether it is finite.
    pub(super) fn update(&mut self, exec: Exec, weights: &Parameters) -> bool {
        self.scaler.fold_into(exec, weights, self.model.parameters_mut());
        kernel::all_finite(exec, self.model.parameters())
    }
}
