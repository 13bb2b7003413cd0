//! How rows count: the options that weigh classes and smooth labels. What is trained on them is the commands' business.

use clap::Args;
use softreg::{Dataset, Targets};

use crate::report::Failure;
use crate::text::excerpt;

/// The options that say how rows count.
#[derive(Args)]
pub(crate) struct WeightingArgs {
    /// Weights of the classes: balanced, or 0=1,1=2 by the classes' names, 1 for those not named
    #[arg(long, value_name = "WEIGHTS")]
    class_weight: Option<String>,
    /// Share of each label that is spread over all classes, 0 to 1
    #[arg(long, value_name = "SHARE", default_value = "0", allow_negative_numbers = true, value_parser = share)]
    label_smoothing: f32,
}

impl WeightingArgs {
    /// The weights that `--class-weight` asks for.
    pub(crate) fn class_weights(&self, rows: &Dataset, classes: &[String]) -> Result<Option<Vec<f32>>, Failure> {
        let Some(text) = &self.class_weight else { return Ok(None) };
        if text == "balanced" {
            return Ok(Some(rows.targets().balanced_class_weights(classes.len())?));
        }
        let bad = |found: &str| {
            let known = excerpt(&classes.join(", "));
            Failure::Usage(format!(
                "--class-weight: found {found:?}, expected balanced, or CLASS=WEIGHT,... of: {known}"
            ))
        };
        let mut weights = vec![1.0; classes.len()];
        for part in text.split(',') {
            let (class, weight) = part.rsplit_once('=').ok_or_else(|| bad(part))?;
            let class = classes.iter().position(|known| known == class).ok_or_else(|| bad(part))?;
            let weight: f32 = weight.parse().map_err(|_| bad(part))?;
            weights[class] = Some(weight).filter(|w| w.is_finite() && *w >= 0.0).ok_or_else(|| bad(part))?;
        }
        Ok(Some(weights))
    }

    /// The rows' labels, weighed and smoothed.
    pub(crate) fn targets<'a>(
        &self,
        rows: &'a Dataset,
        class_weights: &'a Option<Vec<f32>>,
    ) -> Result<Targets<'a>, Failure> {
        let mut targets = rows.targets();
        if let Some(weights) = class_weights {
            targets = targets.with_class_weights(weights);
        }
        // Rows without it take the shorter way.
        if self.label_smoothing != 0.0 {
            targets = targets.with_label_smoothing(self.label_smoothing)?;
        }
        Ok(targets)
    }

    /// What a model file says about it.
    pub(crate) fn settings(&self) -> [(&'static str, String); 2] {
        [
            ("class_weight", self.class_weight.clone().unwrap_or_else(|| "none".to_owned())),
            ("label_smoothing", format!("{:?}", self.label_smoothing)),
        ]
    }
}

fn share(text: &str) -> Result<f32, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a share from 0 to 1".to_owned())
}
