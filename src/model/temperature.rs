//! Temperature scaling: the one number by which logits are divided so that probabilities mean what they say. Source: Guo et
//! al., On Calibration of Modern Neural Networks, 2017, section 4.2.
//!
//! As a function of the inverse temperature `b` the cross-entropy is convex. For a row of logits `z`, targets `t` and weight
//! `w`, the sum of the targets, with `d[c] = z[c] - max z` and `p = softmax(b * z)`:
//!
//! ```text
//! loss     = w * ln(sum over c of exp(b * d[c])) - b * sum over c of t[c] * d[c]
//! loss'    = w * mean - sum over c of t[c] * d[c]               mean = sum over c of p[c] * d[c]
//! loss''   = w * (sum over c of p[c] * d[c]^2 - mean^2)
//! ```
//!
//! Where the slope is 0 is found by Newton's iteration over `ln b`. An interval in which the slope changes its sign is kept;
//! where a step leaves it, or is not half of the step before, the interval is halved instead (as `rtsafe`, Press et al.,
//! Numerical Recipes, section 9.4). So it ends whatever the data, mostly after five to eleven passes.

use super::SoftmaxRegression;
use super::predict::check_logits;
use crate::error::{Error, Result};
use crate::matrix::{Batch, Target};

/// The least and the most of the inverse temperature.
const LEAST: f64 = 1e-3;
const MOST: f64 = 1e3;

/// A step of `ln b` that is the last: the error that it leaves is about its square. And the interval that is not halved.
const LAST_STEP: f64 = 1e-9;

impl SoftmaxRegression {
    /// The temperature at which this model's probabilities fit rows it was not trained on: the `T` that minimises the mean
    /// cross-entropy of `softmax(logits / T)`, each row by its weight, from 1e-3 to 1e3. Above 1 the model is too sure of
    /// itself. [`with_temperature`](Self::with_temperature) applies it.
    ///
    /// Where the loss falls up to a bound, that is the result: 1e-3 for rows that all get their own class, 1e3 for rows that
    /// do so less often than by chance. Where no temperature makes a difference, as with one class, it is 1.
    ///
    /// Logits are f32, and all that comes of them is computed in f64. The rows are gone through some five to eleven times,
    /// a piece at a time: it takes up to 4 MB, as [`evaluate`](Self::evaluate) does, and the logits are computed anew each
    /// time, on the model's threads.
    ///
    /// ```
    /// use softreg::{Batch, Matrix, SoftmaxRegression};
    ///
    /// // Sure of class 0, by a logit of 3 against -3; right three times out of four.
    /// let model = SoftmaxRegression::from_row_major(&[3.0, -3.0], &[0.0, 0.0], 1, 2)?;
    /// let validation = Batch::new(Matrix::from_f32(&[1.0; 4], 1)?, &[0u8, 0, 0, 1][..])?;
    /// let temperature = model.temperature(validation)?;
    /// let calibrated = model.with_temperature(temperature)?;
    /// let probabilities = calibrated.predict_proba(validation.x)?;
    /// assert!((probabilities[0] - 0.75).abs() < 1e-6);
    /// # Ok::<(), softreg::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoWeight`] where no row has a weight, or there is none. As [`evaluate`](Self::evaluate) otherwise.
    #[doc(alias = "calibration")]
    pub fn temperature<'a>(&self, data: impl Into<Batch<'a>>) -> Result<f64> {
        let Batch { x, targets } = data.into();
        let batch = Batch::new(x, targets)?;
        if batch.targets.check(self.classes())? == 0.0 {
            return Err(Error::NoWeight { rows: batch.x.rows() });
        }
        Ok(1.0 / least_loss(|inverse| self.slope(batch, inverse))?)
    }

    /// The slope of the summed loss at an inverse temperature.
    fn slope(&self, Batch { x, targets }: Batch<'_>, inverse: f64) -> Result<Slope> {
        let mut sum = Slope { first: 0.0, second: 0.0 };
        self.for_each_row(x, |row, logits| {
            let target = targets.get(row, self.classes());
            if target.sum(self.classes()) > 0.0 {
                check_logits(row, logits)?;
                sum.add(inverse, logits, target);
            }
            Ok(())
        })?;
        Ok(sum)
    }
}

/// The first two derivatives of the loss with respect to the inverse temperature.
#[derive(Clone, Copy, Debug)]
struct Slope {
    first: f64,
    second: f64,
}

impl Slope {
    /// Adds those of a row: see the top of the file.
    fn add(&mut self, inverse: f64, logits: &[f32], target: Target<'_>) {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // In f64 the difference of two finite f32 is finite.
        let below_max = |class: usize| f64::from(logits[class]) - f64::from(max);
        let (mut sum, mut sum_d, mut sum_d2) = (0.0, 0.0, 0.0);
        for class in 0..logits.len() {
            let d = below_max(class);
            let e = (inverse * d).exp();
            sum += e;
            sum_d += e * d;
            sum_d2 += e * d * d;
        }
        let (mean, weight) = (sum_d / sum, target.sum(logits.len()));
        let wanted = match target {
            Target::Label { label, weight } => weight * below_max(label as usize),
            Target::Shares(t) => (0..logits.len()).map(|class| t.of(class) * below_max(class)).sum(),
        };
        self.first += weight * mean - wanted;
        self.second += weight * (sum_d2 / sum - mean * mean);
    }
}

/// The inverse temperature of the least loss, by its slope.
fn least_loss(mut slope: impl FnMut(f64) -> Result<Slope>) -> Result<f64> {
    let start = slope(1.0)?;
    if start.first == 0.0 {
        return Ok(1.0);
    }
    let bound = if start.first < 0.0 { MOST } else { LEAST };
    let end = slope(bound)?.first;
    if end == 0.0 || (end < 0.0) == (start.first < 0.0) {
        return Ok(bound);
    }
    // Logarithms of inverse temperatures: those on either side of the least loss, and the one reached with its slope.
    let (mut falls, mut rises) = if start.first < 0.0 { (0.0, bound.ln()) } else { (bound.ln(), 0.0) };
    let (mut here, mut last) = ((0.0_f64, start), rises - falls);
    while rises - falls > LAST_STEP {
        let (at, Slope { first, second }) = here;
        let step = -first / (at.exp() * second);
        // Before the interval is asked, whose end the root may be but for rounding.
        if step.abs() <= LAST_STEP {
            return Ok((at + step).exp());
        }
        let is_good = at + step > falls && at + step < rises && step.abs() <= 0.5 * last;
        let next = if is_good { at + step } else { falls + 0.5 * (rises - falls) };
        last = (next - at).abs();
        here = (next, slope(next.exp())?);
        match here.1.first {
            first if first < 0.0 => falls = next,
            first if first > 0.0 => rises = next,
            _ => return Ok(next.exp()),
        }
    }
    Ok(here.0.exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Targets;

    /// The root of a slope, and the times it was asked for.
    fn root(slope: impl Fn(f64) -> (f64, f64)) -> (f64, usize) {
        let mut passes = 0;
        let found = least_loss(|inverse| {
            passes += 1;
            let (first, second) = slope(inverse);
            Ok(Slope { first, second })
        });
        (found.unwrap(), passes)
    }

    #[test]
    fn roots_are_found_whatever_the_slope() {
        for wanted in [0.0011_f64, 0.03, 0.4, 0.999, 1.001, 2.5, 70.0, 999.0] {
            type Slope = fn(f64, f64) -> (f64, f64);
            let slopes: [(&str, Slope); 4] = [
                ("straight", |b, root| (b - root, 1.0)),
                ("exponential", |b, root| ((-root).exp() - (-b).exp(), (-b).exp())),
                ("steep", |b, root| ((b - root).powi(3), 3.0 * (b - root).powi(2))),
                ("without a curvature", |b, root| (b - root, 0.0)),
            ];
            for (name, slope) in slopes {
                // Beyond it the exponential's slope is the same number everywhere.
                let wanted = if name == "exponential" { wanted.min(30.0) } else { wanted };
                let (found, passes) = root(|b| slope(b, wanted));
                let tolerance = if name == "steep" { 1e-4 } else { 1e-6 };
                assert!((found / wanted - 1.0).abs() < tolerance, "{name}: {found} for {wanted}");
                assert!(passes <= 60, "{name}: {passes} passes for {wanted}");
            }
        }
        let (found, passes) = root(|b| (b - 0.7, 1.0));
        assert!((found - 0.7).abs() < 1e-12 && passes <= 8, "{found} after {passes} passes");
    }

    #[test]
    fn the_slope_and_its_own_are_those_of_the_loss() {
        let (logits, shares) = ([1.5, -2.0, 0.25, 4.0], [0.5, 2.0, 0.0, 1.0]);
        let labels = Targets::from_u8(&[2]).with_row_weights(&[2.5]).unwrap();
        let shares = Targets::from_probabilities(&shares, 4).unwrap();
        for (targets, t) in [(labels, [0.0, 0.0, 2.5, 0.0]), (shares, [0.5, 2.0, 0.0, 1.0])] {
            let loss = |b: f64| {
                let z = logits.map(|z| b * f64::from(z));
                let log_sum = z.iter().map(|z| z.exp()).sum::<f64>().ln();
                t.iter().zip(z).map(|(t, z)| t * (log_sum - z)).sum::<f64>()
            };
            for b in [0.1, 1.0, 2.0] {
                let mut slope = Slope { first: 0.0, second: 0.0 };
                slope.add(b, &logits, targets.get(0, 4));
                let step = 1e-4;
                let (left, here, right) = (loss(b - step), loss(b), loss(b + step));
                let (first, second) = ((right - left) / (2.0 * step), (right + left - 2.0 * here) / (step * step));
                assert!((slope.first - first).abs() < 1e-6, "{slope:?} for {first} at {b}");
                assert!((slope.second - second).abs() < 1e-5, "{slope:?} for {second} at {b}");
            }
        }
    }

    #[test]
    fn a_slope_without_a_root_ends_at_a_bound_and_a_flat_one_at_1() {
        assert_eq!(root(|b| (-(-b).exp(), (-b).exp())), (MOST, 2));
        assert_eq!(root(|b| (1.0 / b, 0.0)), (LEAST, 2));
        assert_eq!(root(|b| (if b > 2.0 { 0.0 } else { -1e-300 }, 0.0)), (MOST, 2), "flat from somewhere on");
        assert_eq!(root(|_| (0.0, 0.0)), (1.0, 1));
        assert_eq!(root(|b| ((b - 2.0) * 1e-300, 1e-300)).1, root(|b| (b - 2.0, 1.0)).1, "small slopes have signs");
    }
}
