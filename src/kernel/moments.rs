//! Means, variances and kurtoses of the features, in one pass over the rows. What is scaled by them is the scaler's and the
//! solver's business.
//!
//! ```text
//! for each block of rows                       pivot = its first row, which cancels what all rows have in common
//!     sums of w * (x[j] - pivot[j])^k, k = 1 to 4
//!     the block's moments join those before it (Pébay 2008, equations 2.1, 3.1)
//! ```
//!
//! All in f64, where the fourth powers of f32 values neither overflow nor vanish.

use crate::error::Result;
use crate::exec::Exec;
use crate::matrix::{AnyRows, FeatureOrder, Matrix, OnRows, Targets};
use crate::memory;
use crate::simd::{Element, Kernel, Simd};
use alloc::vec::Vec;

/// Rows of a block: few enough that its pivot is near them, many enough that joining blocks costs little.
const BLOCK: usize = 128;

/// Mean, variance and kurtosis of each feature, `[features]`, of rows by their weight.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    pub(crate) mean: Vec<f64>,
    pub(crate) variance: Vec<f64>,
    /// The fourth central moment over the variance's square, at least 1: `1 / p` for a feature that is 0 but in a small
    /// share `p` of the rows. 1 where the variance is 0.
    #[cfg_attr(not(feature = "fit"), allow(dead_code, reason = "only the solver asks for it"))]
    pub(crate) kurtosis: Vec<f64>,
}

impl Moments {
    /// The deviation of each feature, `[features]`; 1 for one that is constant.
    pub(crate) fn deviations(&self) -> impl Iterator<Item = f64> {
        // What rounding leaves of a constant f32 feature is below this share of its mean.
        let deviation = |(variance, mean): (&f64, &f64)| {
            let deviation = libm::sqrt(*variance);
            if deviation > 1e-9 * mean.abs() { deviation } else { 1.0 }
        };
        self.variance.iter().zip(&self.mean).map(deviation)
    }
}

/// The moments of rows, all alike or each by the weight of its target, of so many classes. The targets are checked. Where a
/// feature is not finite in a row of any weight, its variance is not.
pub(crate) fn moments(exec: Exec, x: Matrix<'_>, targets: Option<(Targets<'_>, usize)>) -> Result<Moments> {
    let zeros = |what| memory::filled(what, x.features(), 0.0);
    let mut joined = [zeros("means")?, zeros("variances")?, zeros("moments")?, zeros("kurtoses")?];
    let sums = [zeros("pivots")?, zeros("sums")?, zeros("sums")?, zeros("sums")?, zeros("sums")?];
    let mut weight = 0.0;
    let work = MomentsOn { exec, targets, joined: &mut joined, weight: &mut weight, sums };
    x.on_rows(FeatureOrder::Natural, work);
    let [mut mean, mut variance, _, mut kurtosis] = joined;
    let scale = f64::from(x.scale());
    for (kurtosis, &second) in kurtosis.iter_mut().zip(&variance) {
        *kurtosis = (*kurtosis * weight / (second * second)).max(1.0);
    }
    mean.iter_mut().for_each(|mean| *mean *= scale);
    variance.iter_mut().for_each(|sum| *sum *= scale * scale / weight);
    Ok(Moments { mean, variance, kurtosis })
}

struct MomentsOn<'a, 'm> {
    exec: Exec,
    targets: Option<(Targets<'a>, usize)>,
    /// Means, and sums of the second, third and fourth powers of what differs from them.
    joined: &'m mut [Vec<f64>; 4],
    weight: &'m mut f64,
    /// A block's pivots, and sums of the first to the fourth power of what differs from them.
    sums: [Vec<f64>; 5],
}

impl<'a> OnRows<'a> for MomentsOn<'a, '_> {
    fn run<T: Element>(self, x: AnyRows<'a, T>) {
        self.exec.run_here(MomentsOf { x, on: self });
    }
}

struct MomentsOf<'a, 'm, T> {
    x: AnyRows<'a, T>,
    on: MomentsOn<'a, 'm>,
}

impl<T: Element> Kernel for MomentsOf<'_, '_, T> {
    type Output = ();

    /// Loops that the compiler puts on the level's vectors.
    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let AnyRows::Dense(x) = self.x else { return };
        let MomentsOn { targets, joined: [mean, second, third, fourth], weight: total, sums, .. } = self.on;
        let [mut pivot, mut s1, mut s2, mut s3, mut s4] = sums;
        for start in (0..x.len()).step_by(BLOCK) {
            for (pivot, &x) in pivot.iter_mut().zip(x.row(start)) {
                *pivot = f64::from(x.into());
            }
            [&mut s1, &mut s2, &mut s3, &mut s4].into_iter().for_each(|sums| sums.fill(0.0));
            let mut weight = 0.0;
            for row in start..x.len().min(start + BLOCK) {
                let w = match targets {
                    Some((targets, classes)) => targets.get(row, classes).weight(),
                    None => 1.0,
                };
                weight += w;
                let sums = s1.iter_mut().zip(&mut s2).zip(&mut s3).zip(&mut s4);
                for ((((s1, s2), s3), s4), (&pivot, &x)) in sums.zip(pivot.iter().zip(x.row(row))) {
                    let x = f64::from(x.into()) - pivot;
                    let square = w * x * x;
                    *s1 += w * x;
                    *s2 += square;
                    *s3 += square * x;
                    *s4 += square * x * x;
                }
            }
            if weight == 0.0 {
                continue;
            }
            let (before, after) = (*total, *total + weight);
            for j in 0..pivot.len() {
                // The block's own, about its mean `pivot + d`.
                let d = s1[j] / weight;
                // Rounding may leave a constant feature's squares below those of its mean.
                let m2 = (s2[j] - d * s1[j]).max(0.0);
                let m3 = s3[j] - 3.0 * d * s2[j] + 2.0 * d * d * s1[j];
                let m4 = s4[j] - 4.0 * d * s3[j] + 6.0 * d * d * s2[j] - 3.0 * d * d * d * s1[j];
                let apart = pivot[j] + d - mean[j];
                let (step, both) = (apart / after, apart * apart * before * weight / after);
                let squares = before * before - before * weight + weight * weight;
                fourth[j] += m4.max(0.0)
                    + both * step * step * squares
                    + 6.0 * step * step * (before * before * m2 + weight * weight * second[j])
                    + 4.0 * step * (before * m3 - weight * third[j]);
                third[j] += m3 + both * step * (before - weight) + 3.0 * step * (before * m2 - weight * second[j]);
                second[j] += m2 + both;
                mean[j] += weight * step;
            }
            *total = after;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Level;

    /// In two passes.
    fn naive(x: &[f64], weights: &[f64]) -> [f64; 3] {
        let sum =
            |power: i32, about: f64| -> f64 { x.iter().zip(weights).map(|(x, w)| w * (x - about).powi(power)).sum() };
        let weight: f64 = weights.iter().sum();
        let mean = sum(1, 0.0) / weight;
        let variance = sum(2, mean) / weight;
        let kurtosis = if variance > 0.0 { sum(4, mean) / weight / (variance * variance) } else { 1.0 };
        [mean, variance, kurtosis]
    }

    fn check(rows: usize, x: Matrix<'_>, wide: &[f64], budget: f64) {
        let features = x.features();
        let labels = vec![0u8; rows];
        let weights: Vec<f32> = (0..rows).map(|row| [1.0, 0.25, 3.0, 0.0][row % 4]).collect();
        let whole = Targets::from_u8(&labels);
        for targets in [None, Some(whole), Some(whole.with_row_weights(&weights).expect("a weight a row"))] {
            let weight = |row| targets.map_or(1.0, |targets| targets.get(row, 1).weight());
            let weights: Vec<f64> = (0..rows).map(weight).collect();
            for level in Level::available() {
                let found = moments(level.into(), x, targets.map(|targets| (targets, 1))).expect("memory");
                for j in 0..features {
                    let column: Vec<f64> = wide.iter().skip(j).step_by(features).copied().collect();
                    let expected = naive(&column, &weights);
                    let found = [found.mean[j], found.variance[j], found.kurtosis[j]];
                    for ((found, expected), size) in found.iter().zip(expected).zip([expected[1].sqrt(), 0.0, 0.0]) {
                        let tolerance = budget * (expected.abs() + size);
                        assert!((found - expected).abs() <= tolerance, "{rows} rows, {j}: {found} for {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn moments_are_those_of_two_passes() {
        for rows in [1, 2, 3, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 17] {
            let noise = |i: usize| ((i * 2_654_435_761) % 1000) as f32 / 1000.0;
            let f32s: Vec<f32> =
                (0..rows * 3).map(|i| [1e3, 0.0, 5e6][i % 3] + noise(i) * [1.0, 1e-20, 1e3][i % 3]).collect();
            let wide: Vec<f64> = f32s.iter().copied().map(f64::from).collect();
            check(rows, Matrix::from_f32(&f32s, 3).expect("whole rows"), &wide, 1e-7);
            let rare: Vec<u8> =
                (0..rows * 2).map(|i| if i % 2 == 0 { (i % 251) as u8 } else { u8::from(i == 201) }).collect();
            let wide: Vec<f64> = rare.iter().map(|&x| f64::from(x) * f64::from(0.5f32)).collect();
            check(rows, Matrix::from_u8_scaled(&rare, 2, 0.5).expect("whole rows"), &wide, 1e-9);
        }
    }

    #[test]
    fn what_is_not_finite_is_not_hidden() {
        for bad in [f32::NAN, f32::INFINITY] {
            for row in [0, 5, BLOCK + 3] {
                let mut x = vec![1.0; 2 * (BLOCK + 9)];
                x[2 * row + 1] = bad;
                let x = Matrix::from_f32(&x, 2).expect("whole rows");
                let found = moments(Level::best().into(), x, None).expect("memory");
                assert!(found.variance[0] == 0.0 && !found.variance[1].is_finite(), "{bad} in {row}");
            }
        }
    }
}
