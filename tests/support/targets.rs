//! What targets may be made of, each optional, and the targets made of them. What they stand for is the tests' subject.

use softreg::{Error, Targets};

/// See the module. Without soft labels, targets are labels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ingredients {
    /// `[rows, classes]`
    pub(crate) soft: Option<Vec<f32>>,
    /// `[rows]`
    pub(crate) rows: Option<Vec<f32>>,
    /// `[classes]`
    pub(crate) class_weights: Option<Vec<f32>>,
    pub(crate) smoothing: Option<f32>,
    pub(crate) ignored: Option<u32>,
}

impl Ingredients {
    pub(crate) fn targets<'a>(&'a self, labels: &'a [u32], classes: usize) -> Result<Targets<'a>, Error> {
        let mut targets = match &self.soft {
            Some(soft) => Targets::from_probabilities(soft, classes)?,
            None => Targets::from_u32(labels).with_classes(classes),
        };
        if let Some(weights) = &self.rows {
            targets = targets.with_row_weights(weights)?;
        }
        if let Some(weights) = &self.class_weights {
            targets = targets.with_class_weights(weights);
        }
        if let Some(smoothing) = self.smoothing {
            targets = targets.with_label_smoothing(smoothing)?;
        }
        Ok(match self.ignored {
            Some(label) => targets.with_ignored_label(label),
            None => targets,
        })
    }
}
