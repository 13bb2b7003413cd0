//! The comparer: results against expected values, each with a tolerance of its own. Computes no expected value.
#![allow(dead_code, reason = "each crate that includes this file needs some of it")]

/// The unit roundoff of f32, `u`: one correctly rounded operation is off by a factor within `1 +- u`.
pub(crate) const UNIT: f64 = f32::EPSILON as f64 / 2.0;

/// What one flushed or underflowing operation may lose, whatever its operands.
pub(crate) const UNDERFLOW: f64 = f32::MIN_POSITIVE as f64;

/// The budget of an f32 sum of products that meets `roundings` rounded operations from any one operand to the result;
/// `magnitude` is the same sum over absolute values.
///
/// In whatever order, in however many lanes and blocks a sum of m products is taken, its error is at most
/// `gamma_m * magnitude` with `gamma_m = m u / (1 - m u)` (Higham, Accuracy and Stability of Numerical Algorithms,
/// 2nd ed., sections 3.1 and 4.2). That is certain, and far too lenient for a long sum, whose roundings mostly cancel:
/// with independent roundings `sqrt(m)` takes the place of `m`, and `8 sqrt(m) u` is exceeded with a probability below
/// `2 exp(-8^2 / 2)`, 3e-14 (section 2.8 names the rule; Hoeffding's inequality gives the figure). The smaller of the
/// two is the budget: the certain one up to 64 roundings.
pub(crate) fn sum_budget(roundings: usize, magnitude: f64) -> f64 {
    let m = roundings as f64;
    let m = m.min(8.0 * m.sqrt());
    m * UNIT / (1.0 - m * UNIT) * magnitude + roundings as f64 * UNDERFLOW
}

/// Expected values `[n, columns]`, row-major, and how far from each a result may be.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) values: Vec<f64>,
    pub(crate) tolerances: Vec<f64>,
    pub(crate) columns: usize,
}

impl Expected {
    /// These budgets around another computation's result: two results that both keep the budget differ by at most twice
    /// the budget.
    pub(crate) fn around<T: Copy + Into<f64>>(&self, values: &[T]) -> Self {
        Self {
            values: values.iter().map(|&value| value.into()).collect(),
            tolerances: self.tolerances.iter().map(|tolerance| 2.0 * tolerance).collect(),
            columns: self.columns,
        }
    }

    /// Accepts `got` if it is as long as the expected values, NaN exactly where they are, infinite exactly where and
    /// with the sign they are, and within the tolerance everywhere else. Otherwise says how many differ, and the worst.
    pub(crate) fn check<T: Copy + Into<f64>>(&self, got: &[T]) -> Result<(), String> {
        if got.len() != self.values.len() || self.tolerances.len() != self.values.len() {
            return Err(format!("{} values where {} are wanted", got.len(), self.values.len()));
        }
        let (mut wrong, mut worst, mut worst_excess) = (0, 0, 0.0);
        for (at, &value) in got.iter().enumerate() {
            let excess = excess(value.into(), self.values[at], self.tolerances[at]);
            if excess > 1.0 {
                wrong += 1;
                if excess > worst_excess {
                    (worst, worst_excess) = (at, excess);
                }
            }
        }
        if wrong == 0 {
            return Ok(());
        }
        Err(format!(
            "{wrong} of {} wrong, the worst in row {}, column {}: {:e}, wanted {:e} +- {:e}",
            got.len(),
            worst / self.columns,
            worst % self.columns,
            got[worst].into(),
            self.values[worst],
            self.tolerances[worst],
        ))
    }
}

/// The error in units of the tolerance; infinite where no tolerance can help.
fn excess(got: f64, want: f64, tolerance: f64) -> f64 {
    if got == want || (got.is_nan() && want.is_nan()) {
        return 0.0;
    }
    let excess = (got - want).abs() / tolerance;
    if want.is_finite() && tolerance.is_finite() && excess.is_finite() { excess } else { f64::INFINITY }
}

/// How many f32 steps lie between two numbers; `u32::MAX` if only one of them is NaN.
pub(crate) fn ulps(a: f32, b: f32) -> u32 {
    let step = |x: f32| {
        let magnitude = (x.to_bits() & 0x7fff_ffff) as i32;
        if x.is_sign_negative() { -magnitude } else { magnitude }
    };
    match (a.is_nan(), b.is_nan()) {
        (true, true) => 0,
        (false, false) => step(a).abs_diff(step(b)),
        _ => u32::MAX,
    }
}

/// Accepts the same bits, NaN for NaN whatever its payload.
pub(crate) fn same_bits(got: &[f32], want: &[f32]) -> Result<(), String> {
    if got.len() != want.len() {
        return Err(format!("{} values where {} are wanted", got.len(), want.len()));
    }
    let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
    match got.iter().zip(want).position(|pair| !same(pair)) {
        None => Ok(()),
        Some(at) => Err(format!("other bits, first at {at}: {:e} instead of {:e}", got[at], want[at])),
    }
}
