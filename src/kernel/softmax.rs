//! Softmax, log-softmax and cross-entropy over logits `[n, classes]`, each row by its own maximum `m`:
//!
//! ```text
//! s = sum over c of exp(z[c] - m)
//! p[c] = exp(z[c] - m) / s          log p[c] = (z[c] - m) - ln s
//! loss = (m - z[y]) + ln s          d loss / d z[c] = p[c] - (c == y)
//! ```
//!
//! With few classes, a tile of as many rows as a vector has lanes is transposed, so that a lane is a row
//! and a vector a class: no lane is empty, and no sum goes across lanes. With many classes the lanes are
//! the classes of one row. The subtraction of the row's maximum keeps every exponential in (0, 1] and
//! the sum in [1, classes].

#![allow(clippy::needless_range_loop, reason = "loops over a vector's lanes, which must unroll")]

use super::exp::{exp_of_negative, ln};
use crate::exec::Divide;
use crate::matrix::{Target, Targets};
use crate::simd::{Kernel, Simd, padded};

/// The most classes of a transposed tile, a multiple of every `LANES`; the tile is 2 KB with vectors of 16.
const TILE: usize = 32;

/// The most lanes that a vector has.
const MOST_LANES: usize = 16;

/// The size of the work on a logit, in multiply-adds or what takes as long: an exponential, its share of a loss, and the
/// way into a tile and back.
pub(super) const WORK_OF_A_LOGIT: usize = 16;

/// The loss of some rows.
#[derive(Clone, Copy, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Loss {
    /// The sum of the rows' losses, in nats.
    pub sum: f64,
    /// The sum of the rows' weights: their number, where targets are labels.
    pub weight: f64,
}

/// What a softmax leaves in place of the logits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Probabilities,
    LogProbabilities,
}

/// Softmax in place. The length is a whole number of rows.
pub(crate) struct Softmax<'a> {
    pub(crate) logits: &'a mut [f32],
    pub(crate) classes: usize,
    pub(crate) form: Form,
}

/// Cross-entropy: the losses, and `p - y` in place of the logits.
pub(crate) struct CrossEntropy<'a> {
    pub(crate) logits: &'a mut [f32],
    pub(crate) classes: usize,
    pub(crate) targets: Targets<'a>,
    pub(crate) losses: &'a mut [f64],
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if self.classes <= TILE {
            let mut tile = [S::array(0.0); TILE];
            for rows in self.logits.chunks_mut(S::LANES * self.classes) {
                read_tile(simd, rows, self.classes, &mut tile);
                normalise(simd, &mut tile[..self.classes], self.form);
                write_tile(simd, &tile, self.classes, rows);
            }
        } else {
            for row in self.logits.chunks_exact_mut(self.classes) {
                let (max, sum) = row_sums(simd, row);
                normalise_row(simd, row, max, sum, self.form);
            }
        }
    }
}

impl Kernel for CrossEntropy<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { logits, classes, targets, losses } = self;
        let mut first = 0;
        if classes <= TILE {
            let mut tile = [S::array(0.0); TILE];
            let (mut max, mut ln_sum) = (S::array(0.0), S::array(0.0));
            for (rows, losses) in logits.chunks_mut(S::LANES * classes).zip(losses.chunks_mut(S::LANES)) {
                read_tile(simd, rows, classes, &mut tile);
                let (m, s) = normalise(simd, &mut tile[..classes], Form::Probabilities);
                simd.store(m, &mut max);
                simd.store(ln(simd, s), &mut ln_sum);
                for (lane, (row, loss)) in rows.chunks_exact(classes).zip(&mut *losses).enumerate() {
                    *loss = row_loss(targets.get(first + lane, classes), row, max[lane], ln_sum[lane]);
                }
                write_tile(simd, &tile, classes, rows);
                for (lane, row) in rows.chunks_exact_mut(classes).enumerate() {
                    subtract(targets.get(first + lane, classes), row);
                }
                first += losses.len();
            }
        } else {
            for (row, loss) in logits.chunks_exact_mut(classes).zip(losses) {
                let target = targets.get(first, classes);
                let (max, sum) = row_sums(simd, row);
                *loss = row_loss(target, row, max, lane_0(simd, ln(simd, sum)));
                normalise_row(simd, row, max, sum, Form::Probabilities);
                subtract(target, row);
                first += 1;
            }
        }
    }
}

impl Divide for Softmax<'_> {
    fn len(&self) -> usize {
        self.logits.len() / self.classes
    }

    fn work(&self) -> usize {
        self.logits.len().saturating_mul(WORK_OF_A_LOGIT)
    }

    fn split_at(self, row: usize) -> (Self, Self) {
        let (left, right) = self.logits.split_at_mut(row * self.classes);
        (Self { logits: left, ..self }, Self { logits: right, ..self })
    }
}

impl Divide for CrossEntropy<'_> {
    fn len(&self) -> usize {
        self.losses.len()
    }

    fn work(&self) -> usize {
        self.logits.len().saturating_mul(WORK_OF_A_LOGIT)
    }

    fn split_at(self, row: usize) -> (Self, Self) {
        let Self { logits, classes, targets, losses } = self;
        let (left_logits, right_logits) = logits.split_at_mut(row * classes);
        let (left_losses, right_losses) = losses.split_at_mut(row);
        let (left, right) = targets.split_at(row);
        (
            Self { logits: left_logits, classes, targets: left, losses: left_losses },
            Self { logits: right_logits, classes, targets: right, losses: right_losses },
        )
    }
}

/// The loss of a row of logits. In double precision, where the difference of two finite f32 is finite.
#[inline(always)]
fn row_loss(target: Target<'_>, row: &[f32], max: f32, ln_sum: f32) -> f64 {
    let (max, ln_sum) = (f64::from(max), f64::from(ln_sum));
    match target {
        // Ignored, even where its logits are not finite.
        Target::Label { weight: 0.0, .. } => 0.0,
        Target::Label { label, weight } => weight * ((max - f64::from(row[label as usize])) + ln_sum),
        Target::Shares(t) => {
            let mut loss = 0.0;
            let mut weight = 0.0;
            for (class, &logit) in row.iter().enumerate() {
                let t = t.of(class);
                // A class that was not wanted adds nothing, even where its logit is -inf.
                if t != 0.0 {
                    loss += t * (max - f64::from(logit));
                    weight += t;
                }
            }
            if weight == 0.0 { 0.0 } else { loss + weight * ln_sum }
        }
    }
}

/// The sum of losses, in the order of the rows.
pub(super) fn sum(losses: &[f64]) -> f64 {
    losses.iter().fold(0.0, |sum, loss| sum + loss)
}

/// Turns a row's probabilities into the gradient of its loss.
#[inline(always)]
fn subtract(target: Target<'_>, row: &mut [f32]) {
    match target {
        Target::Label { label, weight: 1.0 } => row[label as usize] -= 1.0,
        target => match target.sum(row.len()) {
            0.0 => row.fill(0.0),
            sum => {
                for (class, p) in row.iter_mut().enumerate() {
                    let t = match target {
                        Target::Label { label, .. } if label as usize == class => sum,
                        Target::Label { .. } => 0.0,
                        Target::Shares(t) => t.of(class),
                    };
                    *p = (f64::from(*p) * sum - t) as f32;
                }
            }
        },
    }
}

/// Transposes up to `LANES` rows: lane `r` of `tile[c]` is `rows[r][c]`, and 0 where there is no such row.
#[inline(always)]
fn read_tile<S: Simd>(simd: S, rows: &[f32], classes: usize, tile: &mut [S::Array<f32>; TILE]) {
    for first in (0..classes).step_by(S::LANES) {
        let width = S::LANES.min(classes - first);
        let mut block = [simd.splat(0.0); MOST_LANES];
        for lane in 0..S::LANES {
            if let Some(row) = rows.get(lane * classes + first..lane * classes + first + width) {
                block[lane] = match S::arrays(row).0.first() {
                    Some(row) => simd.load(row),
                    None => simd.load_partial(row),
                };
            }
        }
        let block = transpose(simd, block);
        for lane in 0..S::LANES {
            simd.store(block[lane], &mut tile[first + lane]);
        }
    }
}

/// Undoes [`read_tile`].
#[inline(always)]
fn write_tile<S: Simd>(simd: S, tile: &[S::Array<f32>; TILE], classes: usize, rows: &mut [f32]) {
    for first in (0..classes).step_by(S::LANES) {
        let width = S::LANES.min(classes - first);
        let mut block = [simd.splat(0.0); MOST_LANES];
        for lane in 0..S::LANES {
            block[lane] = simd.load(&tile[first + lane]);
        }
        let block = transpose(simd, block);
        for lane in 0..S::LANES {
            if let Some(row) = rows.get_mut(lane * classes + first..lane * classes + first + width) {
                match S::arrays_mut(row).0.first_mut() {
                    Some(row) => simd.store(block[lane], row),
                    None => simd.store_partial(block[lane], row),
                }
            }
        }
    }
}

/// Transposes the first `LANES` vectors: each of log2(LANES) perfect shuffles of all lanes moves the first
/// bit of an element's place to the end, until row and lane have changed places.
#[inline(always)]
fn transpose<S: Simd>(simd: S, mut block: [S::Vector; MOST_LANES]) -> [S::Vector; MOST_LANES] {
    let half = S::LANES / 2;
    for _ in 0..S::LANES.ilog2() {
        let before = block;
        for i in 0..half {
            (block[2 * i], block[2 * i + 1]) = simd.interleave(before[i], before[i + half]);
        }
    }
    block
}

/// Normalises a tile in place; returns each lane's maximum and sum of exponentials.
#[inline(always)]
fn normalise<S: Simd>(simd: S, tile: &mut [S::Array<f32>], form: Form) -> (S::Vector, S::Vector) {
    let mut max = simd.load(&tile[0]);
    for column in &tile[1..] {
        max = simd.max(max, simd.load(column));
    }
    let mut sum = simd.splat(0.0);
    for column in tile.iter_mut() {
        let shifted = simd.sub(simd.load(column), max);
        let e = exp_of_negative(simd, shifted);
        sum = simd.add(sum, e);
        simd.store(if form == Form::Probabilities { e } else { shifted }, column);
    }
    match form {
        Form::Probabilities => {
            let inverse = simd.div(simd.splat(1.0), sum);
            for column in tile {
                simd.store(probability(simd, simd.load(column), inverse), column);
            }
        }
        Form::LogProbabilities => {
            let ln_sum = ln(simd, sum);
            for column in tile {
                simd.store(simd.sub(simd.load(column), ln_sum), column);
            }
        }
    }
    (max, sum)
}

/// `e / sum`, or 0 where that would be subnormal: on many CPUs a product with a subnormal number takes a
/// hundred cycles, and these go into the gradient.
#[inline(always)]
fn probability<S: Simd>(simd: S, e: S::Vector, inverse: S::Vector) -> S::Vector {
    let p = simd.mul(e, inverse);
    simd.select_less(p, simd.splat(f32::MIN_POSITIVE), simd.splat(0.0), p)
}

/// A long row's maximum, and its sum of exponentials in every lane.
#[inline(always)]
fn row_sums<S: Simd>(simd: S, row: &[f32]) -> (f32, S::Vector) {
    let (arrays, rest) = S::arrays(row);
    // The filling is no maximum, and its exponential is 0.
    let rest = simd.load(&padded::<S, f32>(rest, f32::NEG_INFINITY));
    let mut max = rest;
    for array in arrays {
        max = simd.max(max, simd.load(array));
    }
    let mut lanes = S::array(0.0);
    simd.store(max, &mut lanes);
    let mut max = lanes[0];
    for &lane in &lanes.as_ref()[1..] {
        max = if lane > max { lane } else { max };
    }
    let m = simd.splat(max);
    let mut sum = exp_of_negative(simd, simd.sub(rest, m));
    for array in arrays {
        sum = simd.add(sum, exp_of_negative(simd, simd.sub(simd.load(array), m)));
    }
    let mut sums = S::array(simd.splat(0.0));
    sums[0] = sum;
    (max, simd.splat(lane_0(simd, simd.sum_lanes(sums))))
}

/// Normalises a long row in place.
#[inline(always)]
fn normalise_row<S: Simd>(simd: S, row: &mut [f32], max: f32, sum: S::Vector, form: Form) {
    let max = simd.splat(max);
    let inverse = simd.div(simd.splat(1.0), sum);
    let ln_sum = ln(simd, sum);
    let (arrays, rest) = S::arrays_mut(row);
    let mut last = padded::<S, f32>(rest, 0.0);
    for array in arrays.iter_mut().chain([&mut last]) {
        let shifted = simd.sub(simd.load(array), max);
        let out = match form {
            Form::Probabilities => probability(simd, exp_of_negative(simd, shifted), inverse),
            Form::LogProbabilities => simd.sub(shifted, ln_sum),
        };
        simd.store(out, array);
    }
    rest.copy_from_slice(&last.as_ref()[..rest.len()]);
}

#[inline(always)]
fn lane_0<S: Simd>(simd: S, v: S::Vector) -> f32 {
    let mut lanes = S::array(0.0);
    simd.store(v, &mut lanes);
    lanes[0]
}
