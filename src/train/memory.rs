//! What an optimizer remembers from step to step, beside the parameters: its states, each in their shape, and their mean
//! over the steps. Which state is what is said in `kernel/descent.rs`.

use super::optimizer::Optimizer;
use crate::error::Result;
use crate::matrix::Permutation;
use crate::model::SoftmaxRegression;
use crate::parameters::Parameters;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

/// States and mean, all in one order of the features.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    pub(super) states: Vec<Parameters>,
    pub(super) mean: Option<Parameters>,
    /// `None`: the natural order.
    permutation: Option<Arc<Permutation>>,
}

impl Memory {
    /// The states of a model before its first step.
    pub(super) fn new(optimizer: &Optimizer, model: &SoftmaxRegression) -> Result<Self> {
        let mut states = Vec::new();
        for &initial in optimizer.initial_states() {
            let mut state = Parameters::try_zeros(model.features(), model.classes())?;
            state.fill(initial as f32);
            states.push(state);
        }
        Ok(Self { states, mean: None, permutation: None })
    }

    /// What was remembered, in the natural order.
    #[cfg(feature = "safetensors")]
    pub(super) const fn restored(states: Vec<Parameters>, mean: Option<Parameters>) -> Self {
        Self { states, mean, permutation: None }
    }

    /// Puts everything in the order of a permutation, or in the natural one. What `spare` holds is lost.
    pub(super) fn enter_order(&mut self, permutation: Option<&Arc<Permutation>>, spare: &mut Parameters) {
        let there = match (&self.permutation, permutation) {
            (None, None) => true,
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            _ => false,
        };
        if there {
            return;
        }
        for state in self.states.iter_mut().chain(&mut self.mean) {
            if let Some(old) = &self.permutation {
                spare.restore_from(state, old);
                mem::swap(spare, state);
            }
            if let Some(new) = permutation {
                spare.permute_from(state, new);
                mem::swap(spare, state);
            }
        }
        self.permutation = permutation.cloned();
    }

    /// The same, in the natural order, with one class more.
    pub(super) fn with_class(&self, optimizer: &Optimizer) -> Result<Self> {
        let initial = optimizer.initial_states().iter();
        let states = self.states.iter().zip(initial).map(|(state, &initial)| state.with_class(initial as f32));
        let mean = self.mean.as_ref().map(|mean| mean.with_class(0.0)).transpose()?;
        Ok(Self { states: states.collect::<Result<_>>()?, mean, permutation: None })
    }
}
