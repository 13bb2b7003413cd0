//! The line search: how far to go along a direction of descent. It sees the objective and its slope along the direction,
//! a number at a time, and knows nothing of the vectors.
//!
//! A step is taken where it meets the approximate Wolfe conditions (Hager and Zhang 2005, section 2): the slope has
//! fallen to [`SLOPE`] of the first in magnitude, and the objective is no higher than the first but for its rounding. Near the
//! optimum the objective's own decrease drowns in the rounding of f32 losses, and the slope is what still tells; Armijo's
//! condition would refuse every step there. Until then the minimum is kept between a step where the objective falls and
//! one where it rises, and the next is the minimum of the cubic through both.

/// The share of the first slope that may be left: quasi-Newton directions are scaled well, and a full step is tried first.
const SLOPE: f64 = 0.9;
/// The share of the decrease that the first slope promises which must come true, or the slope must not have turned
/// further than this allows.
const DECREASE: f64 = 0.1;
/// The rounding of the objective, relative to it.
const ROUNDING: f64 = 1e-6;
/// Steps longer by this while the objective still falls steeply.
const EXPANSION: f64 = 4.0;
/// Steps that a search tries: the interval is then shorter than any that matters.
const MOST_TRIALS: u32 = 24;

/// The objective at a step, and its derivative with respect to the step.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Point {
    pub(super) step: f64,
    pub(super) value: f64,
    pub(super) slope: f64,
}

/// What to do after a trial.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Verdict {
    /// Take the step tried last.
    Accept,
    /// Try this step.
    Try(f64),
    /// No step is any better than none, as far as f32 can tell.
    GiveUp,
}

/// A search under way.
#[derive(Clone, Debug)]
pub(super) struct LineSearch {
    start: Point,
    /// Where the objective is low and falls.
    low: Point,
    /// Where it is too high or rises.
    high: Option<Point>,
    trials: u32,
}

impl LineSearch {
    /// A search from the objective and its slope, below 0, at step 0.
    pub(super) const fn new(value: f64, slope: f64) -> Self {
        let start = Point { step: 0.0, value, slope };
        Self { start, low: start, high: None, trials: 0 }
    }

    /// Judges a trial. A value that is not finite is too high.
    pub(super) fn judge(&mut self, trial: Point) -> Verdict {
        self.trials += 1;
        let finite = trial.value.is_finite() && trial.slope.is_finite();
        let level = self.start.value + ROUNDING * self.start.value.abs();
        if finite && trial.slope >= SLOPE * self.start.slope {
            let promised = self.start.value + DECREASE * trial.step * self.start.slope;
            let turned = trial.slope <= (2.0 * DECREASE - 1.0) * self.start.slope;
            if trial.value <= promised || (trial.value <= level && turned) {
                return Verdict::Accept;
            }
        }
        if self.trials >= MOST_TRIALS {
            return Verdict::GiveUp;
        }
        if finite && trial.value <= level && trial.slope < 0.0 {
            self.low = trial;
        } else {
            self.high = Some(trial);
        }
        match self.high {
            None => Verdict::Try(trial.step * EXPANSION),
            Some(high) => {
                let width = high.step - self.low.step;
                let minimum = cubic_minimum(self.low, high).unwrap_or(f64::NAN);
                // Within the interval, and away from its ends.
                let (least, most) = (self.low.step + 0.1 * width, high.step - 0.1 * width);
                let next = if high.value.is_finite() && high.slope.is_finite() {
                    if minimum.is_finite() { minimum.clamp(least, most) } else { self.low.step + 0.5 * width }
                } else {
                    least
                };
                if next > self.low.step && next < high.step { Verdict::Try(next) } else { Verdict::GiveUp }
            }
        }
    }
}

/// The step of the minimum of the cubic that has two points' values and slopes (Nocedal and Wright 2006, equation 3.59).
fn cubic_minimum(a: Point, b: Point) -> Option<f64> {
    let d1 = a.slope + b.slope - 3.0 * (a.value - b.value) / (a.step - b.step);
    let d2 = (d1 * d1 - a.slope * b.slope).max(0.0).sqrt() * (b.step - a.step).signum();
    let step = b.step - (b.step - a.step) * (b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2);
    step.is_finite().then_some(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches a function of value and slope, and returns the accepted step and the trials.
    fn search(f: impl Fn(f64) -> (f64, f64), mut step: f64) -> (Option<f64>, u32) {
        let (value, slope) = f(0.0);
        let mut search = LineSearch::new(value, slope);
        loop {
            let (value, slope) = f(step);
            match search.judge(Point { step, value, slope }) {
                Verdict::Accept => return (Some(step), search.trials),
                Verdict::Try(next) => step = next,
                Verdict::GiveUp => return (None, search.trials),
            }
        }
    }

    #[test]
    fn a_step_of_the_right_length_is_taken_at_once() {
        for step in [0.2, 0.5, 1.0, 1.5] {
            assert_eq!(search(|x| ((x - 1.0).powi(2), 2.0 * (x - 1.0)), step), (Some(step), 1));
        }
    }

    #[test]
    fn steps_too_long_or_too_short_are_mended() {
        let parabola = |x: f64| ((x - 1.0).powi(2), 2.0 * (x - 1.0));
        let quartic = |x: f64| ((x - 1.0).powi(4), 4.0 * (x - 1.0).powi(3));
        let cliff = |x: f64| if x > 2.0 { (f64::INFINITY, f64::NAN) } else { parabola(x) };
        let hidden = |x: f64| if x > 2.0 { (0.5, f64::NAN) } else { parabola(x) };
        for step in [1e-4, 1e-2, 1.95, 2.1, 30.0, 1e6] {
            for (name, f) in [
                ("parabola", &parabola as &dyn Fn(f64) -> _),
                ("quartic", &quartic),
                ("cliff", &cliff),
                ("hidden", &hidden),
            ] {
                let (found, trials) = search(f, step);
                let found = found.unwrap_or_else(|| panic!("{name} from {step}"));
                let (from, to) = (f(0.0), f(found));
                assert!(to.0 < from.0 && to.1.abs() <= 0.9 * from.1.abs(), "{name} from {step}: {found}");
                assert!(trials <= 16, "{name} from {step}: {trials} trials");
            }
        }
    }

    /// Close to the minimum the values differ by rounding alone, and the slope still tells.
    #[test]
    fn rounding_of_the_value_stops_no_step() {
        let noisy = |x: f64| (1.0 + 1e-12 * (x - 1.0).powi(2) + if x == 1.0 { 3e-7 } else { 0.0 }, 2e-12 * (x - 1.0));
        assert_eq!(search(noisy, 1.0), (Some(1.0), 1));
        let rising = |x: f64| (1.0 + if x > 0.0 { 1e-5 } else { 0.0 }, 2e-12 * (x - 1.0));
        assert_eq!(search(rising, 1.0).0, None, "more than rounding is no decrease");
    }

    #[test]
    fn a_search_without_end_gives_up() {
        let (found, trials) = search(|x| (-x, -1.0), 1.0);
        assert_eq!((found, trials), (None, MOST_TRIALS));
        let (found, trials) = search(|x| if x == 0.0 { (0.0, -1.0) } else { (f64::NAN, f64::NAN) }, 1.0);
        assert!(found.is_none() && trials <= MOST_TRIALS);
    }
}
