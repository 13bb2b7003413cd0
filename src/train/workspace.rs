//! The buffers that a step needs, kept from one to the next. What is computed in them is `step`'s.

use crate::error::Result;
use crate::kernel::Sweep;
use crate::model::SoftmaxRegression;
use crate::parameters::Parameters;
use alloc::vec::Vec;

/// Buffers, each as large as the largest batch so far asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Workspace {
    /// `[n, classes]`: the logits of a step, then `p - y` in their place.
    pub(super) logits: Vec<f32>,
    /// `[n]`
    pub(super) losses: Vec<f64>,
    /// For batches that are larger than a cache.
    pub(super) sweep: Sweep,
    /// The gradient, where a step needs it as a whole.
    pub(super) gradient: Option<Parameters>,
    /// Whether the last step's labels were of u8.
    pub(super) labels_of_u8: bool,
    /// What the parameters and the states were before a step that might ruin them.
    pub(super) backup: Vec<Parameters>,
}

impl Workspace {
    /// The buffer of a gradient.
    pub(super) fn gradient(&mut self, model: &SoftmaxRegression) -> Result<&mut Parameters> {
        gradient_of(&mut self.gradient, model)
    }
}

/// The same, with the other buffers free.
pub(super) fn gradient_of<'a>(
    gradient: &'a mut Option<Parameters>,
    model: &SoftmaxRegression,
) -> Result<&'a mut Parameters> {
    Ok(match gradient {
        Some(gradient) => gradient,
        none => none.insert(Parameters::try_zeros(model.features(), model.classes())?),
    })
}
