//! The options that choose the optimizer and the schedule of its learning rate, and what they stand for. Formulas and checks
//! are the library's.

use clap::{Args, ValueEnum};
use serde::Serialize;
use softreg::{Adagrad, Adam, AdamW, Optimizer, Plateau, Reduction, RmsProp, Schedule, Sgd};

use crate::report::Failure;

/// The momentum of `momentum` and `nesterov`.
const MOMENTUM: f64 = 0.9;
/// Where cosine and exponential end.
const LEAST: f64 = 0.01;

/// The options of the optimizer.
#[derive(Args)]
pub(crate) struct OptimizerArgs {
    /// How a step follows the gradient
    #[arg(long, value_name = "NAME", default_value = "sgd")]
    pub(crate) optimizer: Name,
    /// Learning rate [default: sgd 0.01, momentum and nesterov 0.001, adagrad 0.1, adam, adamw and rmsprop 0.002]
    #[arg(long = "lr", value_name = "RATE", allow_negative_numbers = true, value_parser = learning_rate)]
    learning_rate: Option<f64>,
    /// How the learning rate falls until the last step; plateau halves it where no epoch of three lowers the loss
    #[arg(long, value_name = "NAME", default_value = "constant")]
    pub(crate) schedule: Course,
    /// First steps, in which the learning rate rises from a hundredth
    #[arg(long, value_name = "STEPS", default_value = "0", allow_negative_numbers = true)]
    warm_up: u64,
    /// Strength of a penalty l2/2 * |W|^2 beside the mean loss of a row, as `softreg fit` has it
    #[arg(long, value_name = "L2", allow_negative_numbers = true, value_parser = at_least_0, conflicts_with = "weight_decay")]
    l2: Option<f64>,
    /// What the optimizer itself takes of the weights, in PyTorch's units
    #[arg(long, value_name = "DECAY", allow_negative_numbers = true, value_parser = at_least_0)]
    weight_decay: Option<f64>,
    /// Largest norm of a step's gradient
    #[arg(long, value_name = "NORM", allow_negative_numbers = true, value_parser = above_0)]
    pub(crate) clip_norm: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Name {
    Sgd,
    Momentum,
    Nesterov,
    Adagrad,
    #[value(name = "rmsprop")]
    RmsProp,
    Adam,
    #[value(name = "adamw")]
    AdamW,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Course {
    Constant,
    /// A tenth after each third of the steps
    Step,
    Exponential,
    InverseScaling,
    Cosine,
    OneCycle,
    Plateau,
}

/// The name that an option takes.
pub(crate) fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

impl OptimizerArgs {
    /// The learning rate.
    pub(crate) fn learning_rate(&self) -> f64 {
        self.learning_rate.unwrap_or(match self.optimizer {
            Name::Sgd => 0.01,
            Name::Momentum | Name::Nesterov => 0.001,
            Name::Adagrad => 0.1,
            Name::RmsProp | Name::Adam | Name::AdamW => 0.002,
        })
    }

    /// The optimizer's settings. On the sum of a batch's losses a penalty beside their mean counts once for each row.
    pub(crate) fn optimizer(&self, reduction: Reduction, batch: usize) -> Result<Optimizer, Failure> {
        let rate = self.learning_rate();
        let of_a_row = if reduction == Reduction::Sum { batch as f64 } else { 1.0 };
        let decay = self.weight_decay.or(self.l2.map(|l2| l2 * of_a_row));
        let decayed = decay.unwrap_or_default();
        Ok(match self.optimizer {
            Name::Sgd => Sgd::new(rate).weight_decay(decayed).into(),
            Name::Momentum => Sgd::new(rate).momentum(MOMENTUM).weight_decay(decayed).into(),
            Name::Nesterov => Sgd::new(rate).momentum(MOMENTUM).nesterov(true).weight_decay(decayed).into(),
            Name::Adagrad => Adagrad::new(rate).weight_decay(decayed).into(),
            Name::RmsProp => RmsProp::new(rate).weight_decay(decayed).into(),
            Name::Adam => Adam::new(rate).weight_decay(decayed).into(),
            Name::AdamW if self.l2.is_some() => {
                return Err(Failure::Usage(
                    "--l2: adamw takes the weights' decay beside the gradient and not as a penalty; use --weight-decay, or \
                     --optimizer adam"
                        .to_owned(),
                ));
            }
            Name::AdamW => match decay {
                Some(decay) => AdamW::new(rate).weight_decay(decay).into(),
                None => AdamW::new(rate).into(),
            },
        })
    }

    /// The schedule over a run of so many steps, a plateau's over its epochs.
    pub(crate) fn schedule(&self, steps: u64) -> Result<Schedule, Failure> {
        let left = steps.saturating_sub(self.warm_up).max(1);
        let schedule = match self.schedule {
            Course::Constant => Schedule::constant(),
            Course::Step => Schedule::step(left.div_ceil(3), 0.1),
            Course::Exponential => Schedule::exponential(LEAST.powf(1.0 / left as f64)),
            Course::InverseScaling => Schedule::inverse_scaling(0.5),
            Course::Cosine => Schedule::cosine(left, LEAST),
            Course::OneCycle => Schedule::one_cycle(left),
            Course::Plateau => Schedule::on_plateau(Plateau { factor: 0.5, patience: 2, ..Plateau::default() }),
        };
        match (self.warm_up, self.schedule) {
            (0, _) => Ok(schedule),
            (_, Course::OneCycle) => {
                Err(Failure::Usage("--warm-up: one-cycle warms up by itself; leave one of them out".to_owned()))
            }
            (warm_up, _) => Ok(schedule.warm_up(warm_up, LEAST)),
        }
    }

    /// What a model file says about it: what decides its values, beside the learning rate.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        let number = |value: Option<f64>| value.map(|value| format!("{value:?}"));
        let all = [
            ("optimizer", Some(name(&self.optimizer)).filter(|_| self.optimizer != Name::Sgd)),
            ("schedule", Some(name(&self.schedule)).filter(|_| self.schedule != Course::Constant)),
            ("warm_up", (self.warm_up > 0).then(|| self.warm_up.to_string())),
            ("l2", number(self.l2)),
            ("weight_decay", number(self.weight_decay)),
            ("clip_norm", number(self.clip_norm)),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

fn learning_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate as f32 > 0.0 && (rate as f32).is_finite() => Ok(rate),
        _ => Err("expected a finite number above 0".to_owned()),
    }
}

pub(crate) fn at_least_0(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "expected a finite number of at least 0".to_owned())
}

fn above_0(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "expected a finite number above 0".to_owned())
}
