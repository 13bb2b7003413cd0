//! How the learning rate changes from step to step. A schedule is a function of the number of steps, but for the plateau's,
//! which is told losses; what that remembers is here too.

use crate::error::{Result, expect_setting};
use core::f64::consts::PI;

/// What the learning rate is multiplied by, from step to step.
///
/// A schedule counts steps from 0, or with [`every`](Self::every) epochs of so many steps. Formulas are those of PyTorch's
/// `torch.optim.lr_scheduler`, in closed form.
///
/// ```
/// use softreg::Schedule;
///
/// let schedule = Schedule::cosine(1000, 0.01).warm_up(100, 0.1);
/// assert_eq!(schedule.factor(0), 0.1);
/// assert_eq!(schedule.factor(100), 1.0);
/// assert!(schedule.factor(1099) < 0.011);
/// ```
#[doc(alias = "learning rate")]
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Schedule {
    shape: Shape,
    /// Steps that it takes to warm up, and the factor that it begins with.
    warm_up: Option<(u64, f64)>,
    /// Steps that count as one.
    every: u64,
}

#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
enum Shape {
    Constant,
    Step { size: u64, factor: f64 },
    Exponential { factor: f64 },
    InverseScaling { power: f64 },
    Cosine { steps: u64, least: f64 },
    OneCycle { steps: u64, rising: f64, first: f64, last: f64 },
    OnPlateau(Plateau),
}

/// When [`Schedule::on_plateau`] lowers the rate, and by how much. The defaults are PyTorch's.
///
/// A loss is better than the best one so far where it is below `(1 - threshold)` times that. After more than `patience`
/// losses in turn that are not, the rate is multiplied by `factor`; the next `cooldown` losses do not count then.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Plateau {
    /// What the rate is multiplied by, above 0 and below 1; 0.1 unless told.
    pub factor: f64,
    /// How many losses in turn may be no better; 10 unless told.
    pub patience: u32,
    /// By how much a better loss is better, as a share of the best, at least 0 and below 1; 1e-4 unless told.
    pub threshold: f64,
    /// How many losses after a change do not count; 0 unless told.
    pub cooldown: u32,
    /// The least that all changes together multiply the rate by, above 0; 1e-6 unless told.
    pub least: f64,
}

impl Default for Plateau {
    fn default() -> Self {
        Self { factor: 0.1, patience: 10, threshold: 1e-4, cooldown: 0, least: 1e-6 }
    }
}

impl Default for Schedule {
    /// The constant one.
    fn default() -> Self {
        Self::constant()
    }
}

impl Schedule {
    const fn new(shape: Shape) -> Self {
        Self { shape, warm_up: None, every: 1 }
    }

    /// The learning rate as it was given, for all steps.
    #[must_use]
    pub const fn constant() -> Self {
        Self::new(Shape::Constant)
    }

    /// Multiplies by `factor` once every `size` steps: `factor^floor(t / size)`.
    #[must_use]
    pub const fn step(size: u64, factor: f64) -> Self {
        Self::new(Shape::Step { size, factor })
    }

    /// Multiplies by `factor` each step: `factor^t`.
    #[must_use]
    pub const fn exponential(factor: f64) -> Self {
        Self::new(Shape::Exponential { factor })
    }

    /// Divides by a power of the number of steps, the first being 1: `1 / (t + 1)^power`; scikit-learn's `invscaling`.
    #[must_use]
    pub const fn inverse_scaling(power: f64) -> Self {
        Self::new(Shape::InverseScaling { power })
    }

    /// Falls from 1 to `least` along half a cosine, in `steps`, and stays there:
    /// `least + (1 - least) * (1 + cos(pi * t / steps)) / 2`. A `least` of 0 is an error from the last step on.
    #[must_use]
    pub const fn cosine(steps: u64, least: f64) -> Self {
        Self::new(Shape::Cosine { steps, least })
    }

    /// One cycle of `steps` (Smith, Topin: "Super-convergence", 2018): rises from 1/25 to 1 in the first 0.3 of them and
    /// falls to 1/250,000 in the others, each along half a cosine, and stays there.
    #[must_use]
    pub const fn one_cycle(steps: u64) -> Self {
        Self::new(Shape::OneCycle { steps, rising: 0.3, first: 1.0 / 25.0, last: 1.0 / 250_000.0 })
    }

    /// Falls when losses do not: see [`Plateau`] and [`Trainer::observe`](crate::Trainer::observe), which tells it one.
    #[must_use]
    pub const fn on_plateau(plateau: Plateau) -> Self {
        Self::new(Shape::OnPlateau(plateau))
    }

    /// The same after a warm-up: the factor rises in a line from `first` to 1, which it reaches after `steps`; from there on
    /// the schedule counts from 0.
    #[must_use]
    pub const fn warm_up(self, steps: u64, first: f64) -> Self {
        Self { warm_up: Some((steps, first)), ..self }
    }

    /// The same with `steps` counted as one, such as those of an epoch: the factor changes after each `steps`.
    #[must_use]
    pub const fn every(self, steps: u64) -> Self {
        Self { every: steps, ..self }
    }

    /// What the learning rate is multiplied by in a step, counted from 0; of a plateau's schedule only the warm-up.
    #[must_use]
    pub fn factor(&self, step: u64) -> f64 {
        let t = step / self.every.max(1);
        match self.warm_up {
            Some((steps, first)) if t < steps => first + (1.0 - first) * (t as f64 / steps as f64),
            Some((steps, _)) => self.shape.factor(t - steps),
            None => self.shape.factor(t),
        }
    }

    /// The settings of a plateau's schedule.
    pub(super) const fn plateau(&self) -> Option<&Plateau> {
        match &self.shape {
            Shape::OnPlateau(plateau) => Some(plateau),
            _ => None,
        }
    }

    /// Checks the settings.
    pub(super) fn check(&self) -> Result<()> {
        self.shape.check()?;
        check_steps("steps that a schedule counts as one", self.every)?;
        match self.warm_up {
            Some((_, first)) => check_factor("first factor of the warm-up", first),
            None => Ok(()),
        }
    }
}

impl Shape {
    fn factor(&self, t: u64) -> f64 {
        match *self {
            Self::Constant | Self::OnPlateau(_) => 1.0,
            Self::Step { size, factor } => libm::pow(factor, (t / size.max(1)) as f64),
            Self::Exponential { factor } => libm::pow(factor, t as f64),
            Self::InverseScaling { power } => libm::pow(t as f64 + 1.0, -power),
            Self::Cosine { steps, least } => half_cosine(1.0, least, t as f64 / steps.max(1) as f64),
            Self::OneCycle { steps, rising, first, last } => {
                let (t, end) = (t as f64, steps.saturating_sub(1) as f64);
                let top = rising * steps as f64 - 1.0;
                if t <= top {
                    half_cosine(first, 1.0, if top > 0.0 { t / top } else { 1.0 })
                } else {
                    half_cosine(1.0, last, (t - top) / (end - top))
                }
            }
        }
    }

    fn check(&self) -> Result<()> {
        match *self {
            Self::Constant => Ok(()),
            Self::Step { size, factor } => {
                check_steps("steps between two changes of the rate", size)?;
                check_factor("factor of the schedule", factor)
            }
            Self::Exponential { factor } => check_factor("factor of the schedule", factor),
            Self::InverseScaling { power } => expect_setting(
                "power of the schedule",
                power,
                power.is_finite() && power >= 0.0,
                "a finite number of at least 0",
            ),
            Self::Cosine { steps, least } => {
                check_steps("steps of the schedule", steps)?;
                expect_setting("least factor of the schedule", least, (0.0..=1.0).contains(&least), "0 to 1")
            }
            Self::OneCycle { steps, .. } => check_steps("steps of the schedule", steps),
            Self::OnPlateau(Plateau { factor, threshold, least, .. }) => {
                expect_setting("factor of the plateau", factor, factor > 0.0 && factor < 1.0, "above 0 and below 1")?;
                expect_setting(
                    "threshold of the plateau",
                    threshold,
                    (0.0..1.0).contains(&threshold),
                    "at least 0 and below 1",
                )?;
                expect_setting(
                    "least factor of the plateau",
                    least,
                    least > 0.0 && least <= 1.0,
                    "above 0 and at most 1",
                )
            }
        }
    }
}

/// From `start` to `end` along half a cosine, as `t` goes from 0 to 1.
fn half_cosine(start: f64, end: f64, t: f64) -> f64 {
    end + (start - end) * (1.0 + libm::cos(PI * t.min(1.0))) / 2.0
}

fn check_factor(name: &'static str, found: f64) -> Result<()> {
    expect_setting(name, found, found > 0.0 && found.is_finite(), "a finite number above 0")
}

fn check_steps(name: &'static str, found: u64) -> Result<()> {
    expect_setting(name, found as f64, found > 0, "at least 1")
}

/// What a plateau's schedule remembers.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct PlateauState {
    /// What the changes so far multiply the rate by.
    pub(super) factor: f64,
    /// `None` before the first loss.
    best: Option<f64>,
    /// Losses in turn that were no better.
    worse: u32,
    /// Losses that will not count.
    cooling: u32,
}

impl PlateauState {
    pub(super) const START: Self = Self { factor: 1.0, best: None, worse: 0, cooling: 0 };

    /// Takes a loss into account.
    pub(super) fn observe(&mut self, plateau: &Plateau, loss: f64) {
        if self.best.is_none_or(|best| loss < best * (1.0 - plateau.threshold)) {
            self.best = Some(loss);
            self.worse = 0;
        } else {
            self.worse = self.worse.saturating_add(1);
        }
        if self.cooling > 0 {
            self.cooling -= 1;
            self.worse = 0;
        }
        if self.worse > plateau.patience {
            self.factor = (self.factor * plateau.factor).max(plateau.least);
            self.cooling = plateau.cooldown;
            self.worse = 0;
        }
    }
}
