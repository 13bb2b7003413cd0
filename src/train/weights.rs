//! The model that is trained, in the order of the features that a batch's rows gain most from. Nothing is computed here.

use crate::error::Result;
use crate::kernel::plan;
use crate::matrix::{FeatureOrder, Matrix, Permutation};
use crate::model::SoftmaxRegression;
use crate::parameters::Parameters;
use alloc::sync::Arc;

/// A model, and its parameters in the permutation of block-sparse rows.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    model: SoftmaxRegression,
    permuted: Option<Permuted>,
}

#[derive(Clone, Debug)]
struct Permuted {
    permutation: Arc<Permutation>,
    parameters: Parameters,
    newest: Newest,
}

/// Which of the model and its permuted copy has the last step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Newest {
    Both,
    Model,
    Permuted,
}

impl Weights {
    pub(super) const fn new(model: SoftmaxRegression) -> Self {
        Self { model, permuted: None }
    }

    /// The model with the last step.
    pub(super) fn model(&mut self) -> &SoftmaxRegression {
        self.bring_model_up_to_date();
        &self.model
    }

    pub(super) fn into_model(mut self) -> SoftmaxRegression {
        self.bring_model_up_to_date();
        self.model
    }

    /// The model, for its shape and how it is run: its parameters may be those of an earlier step.
    pub(super) const fn shape(&self) -> &SoftmaxRegression {
        &self.model
    }

    /// The parameters in an order that was [entered](Self::enter_order_of).
    pub(super) const fn parameters(&self, order: FeatureOrder) -> &Parameters {
        match (&self.permuted, order) {
            (Some(permuted), FeatureOrder::Permuted) => &permuted.parameters,
            _ => self.model.parameters(),
        }
    }

    /// The same, to be changed.
    pub(super) fn parameters_mut(&mut self, order: FeatureOrder) -> &mut Parameters {
        match (&mut self.permuted, order) {
            (Some(permuted), FeatureOrder::Permuted) => {
                permuted.newest = Newest::Permuted;
                &mut permuted.parameters
            }
            (permuted, _) => {
                permuted.iter_mut().for_each(|permuted| permuted.newest = Newest::Model);
                self.model.parameters_mut()
            }
        }
    }

    /// The permutation of an order that was entered.
    pub(super) fn permutation(&self, order: FeatureOrder) -> Option<&Arc<Permutation>> {
        match order {
            FeatureOrder::Permuted => self.permuted.as_ref().map(|permuted| &permuted.permutation),
            FeatureOrder::Natural => None,
        }
    }

    /// Puts the parameters in the order in which the rows gain most, and says which it is.
    pub(super) fn enter_order_of(&mut self, x: Matrix<'_>) -> Result<FeatureOrder> {
        let (features, classes) = (self.model.features(), self.model.classes());
        let gains = x.features() == features && plan::uses_block_sparse(features, classes);
        let Some(permutation) = x.permutation().filter(|_| gains) else {
            self.bring_model_up_to_date();
            return Ok(FeatureOrder::Natural);
        };
        let known = self.permuted.as_ref().is_some_and(|permuted| Arc::ptr_eq(&permuted.permutation, permutation));
        if !known {
            self.bring_model_up_to_date();
            let parameters = Parameters::try_zeros(features, classes)?;
            let permutation = Arc::clone(permutation);
            self.permuted = Some(Permuted { permutation, parameters, newest: Newest::Model });
        }
        if let Some(Permuted { permutation, parameters, newest }) = &mut self.permuted
            && *newest == Newest::Model
        {
            parameters.permute_from(self.model.parameters(), permutation);
            *newest = Newest::Both;
        }
        Ok(FeatureOrder::Permuted)
    }

    fn bring_model_up_to_date(&mut self) {
        if let Some(Permuted { permutation, parameters, newest }) = &mut self.permuted
            && *newest == Newest::Permuted
        {
            self.model.parameters_mut().restore_from(parameters, permutation);
            *newest = Newest::Both;
        }
    }
}
