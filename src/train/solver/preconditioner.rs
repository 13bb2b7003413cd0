//! The preconditioner: an approximate inverse of the objective's Hessian, from the Gram matrix of a sample of rows.
//!
//! At weights of zero the Hessian of the mean loss is `G / classes` for each class (on differences between classes), with
//! `G [features, features]` the mean of `z z^T` over the rows' standardised features `z`. The model is
//!
//! ```text
//! H = (G of the sample + diag(what the sample has not seen of a variance of 1 + s * kurtosis)) / classes + diag(penalty)
//! ```
//!
//! No feature's scale matters. The kurtosis says how far a feature's share of the sample can be trusted: where it is 0
//! in all rows but a few, it is large. How the curvature falls as the weights grow, the solver scales by.
//!
//! `H^-1` is applied by two of the library's own kernels. With `M^T M = H^-1` and `M [features, features]` in f32,
//! `M^T (M g)` is a forward pass and a gradient, and positive definite however it is rounded. Where the sample has fewer
//! rows than features, `H` is diagonal but for the span of the rows, and `M [rows, features]` is what is to be taken away:
//! by Woodbury's formula `H^-1 = R (I - M^T M) R` with `R` the inverse root of the diagonal.
//!
//! The features are centred: the bias, whose curvature is `1 / classes`, has nothing to do with them.
//!
//! MNIST, l2 = 1 / rows, passes to within 1e-3, 1e-4 and 1e-5 of the optimum: 46, 71 and 98. What was compared, before the
//! scale was smoothed, with 47, 74 and 105 (all within 2 of themselves when a digit changes): a sample of 4096 rows and
//! half the shrinkage 46, 74, 105, of all 60,000 rows 46, 73, 106; a shrinkage that is the same for all features, and no
//! scale, 71, 111, 162; the kurtosis, and no scale, 70, 107, 155. Rejected: the Gram matrix weighted by the sample's
//! `1 - sum of p^2` as a new model after 6, 10 or 15 passes (52 to 58, 82 to 98, 115 to 201); a scale a class (48, 78, 134).

use super::cholesky;
use super::objective::Objective;
use crate::error::{Error, Result};
use crate::exec::Exec;
use crate::kernel;
use crate::matrix::Matrix;
use crate::memory;
use crate::parameters::Parameters;
use alloc::vec::Vec;
use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView1, Zip, s};

/// Rows of the sample.
const SAMPLE: usize = 2048;
/// The most features of which all of the sample is taken; of more, so much less that the time stays in proportion.
const WIDE: usize = 1024;
/// The shrinkage of a sample of all rows.
const TRUST: f64 = 1e-3;
/// What it has more, times the rows of the sample, where there are many more rows.
const NOISE: f64 = 60.0;
/// Columns of the Gram matrix at a time: half of it, which is symmetric, is never computed.
const COLUMNS: usize = 128;

/// See the module.
#[derive(Debug)]
pub(super) struct Preconditioner {
    /// `[rows, features]`
    m: Vec<f32>,
    features: usize,
    /// The inverse root of the diagonal, where `m` is what is taken away.
    root: Option<Vec<f64>>,
    curvature: f64,
    vector: Parameters,
    product: Parameters,
    /// `[rows, classes]`
    between: Vec<f32>,
}

/// The model of the loss's Hessian, without the penalty's.
#[derive(Debug)]
pub(super) struct Hessian {
    gram: Gram,
    /// What the diagonal has beside the sample's share, `[features]`.
    diagonal: Vec<f64>,
    /// Of a feature of variance 1.
    curvature: f64,
    classes: usize,
}

/// `G` of the sample.
#[derive(Debug)]
enum Gram {
    /// Its lower triangle, `[features, features]`.
    Product(Array2<f32>),
    /// The standardised features `Z [rows, features]` of fewer rows than features, each times the root of its share of
    /// the weight: `G = Z^T Z`.
    Factor(Array2<f32>),
}

impl Hessian {
    /// From a sample of the objective's rows.
    pub(super) fn new(objective: &Objective<'_>) -> Result<Self> {
        let (rows, features, classes) = objective.shape();
        let wanted = if features <= WIDE { SAMPLE } else { SAMPLE * WIDE / features.min(SAMPLE * WIDE) };
        let z = objective.sample(wanted)?;
        let (sampled, curvature) = (z.nrows() as f64, 1.0 / classes as f64);
        let shrinkage = TRUST + NOISE / sampled * (1.0 - sampled / rows as f64);
        let of_feature = |(z, kurtosis): (ArrayView1<'_, f32>, &f64)| {
            let seen: f64 = z.iter().map(|&z| f64::from(z) * f64::from(z)).sum();
            curvature * ((1.0 - seen).max(0.0) + shrinkage * kurtosis)
        };
        let diagonal = z.columns().into_iter().zip(objective.kurtosis()).map(of_feature).collect();
        let gram = if z.nrows() < features { Gram::Factor(z) } else { Gram::Product(lower_product(&z)?) };
        Ok(Self { gram, diagonal, curvature, classes })
    }

    /// Its approximate inverse, with the penalty on each feature's weights, `[features]`.
    pub(super) fn preconditioner(&self, penalty: &[f64]) -> Result<Preconditioner> {
        let diagonal: Array1<f64> = self.diagonal.iter().zip(penalty).map(|(d, penalty)| d + penalty).collect();
        let (m, root) = match &self.gram {
            Gram::Product(gram) => (inverse_factor(gram, &diagonal, self.curvature)?, None),
            Gram::Factor(z) => {
                let root = diagonal.mapv(|d| 1.0 / d.sqrt());
                (woodbury(z, &root, self.curvature)?, Some(root.to_vec()))
            }
        };
        let between = memory::filled(WHAT, m.nrows().saturating_mul(self.classes), 0.0)?;
        let zeros = || Parameters::try_zeros(diagonal.len(), self.classes);
        Ok(Preconditioner {
            features: diagonal.len(),
            m: m.into_raw_vec_and_offset().0,
            root,
            curvature: self.curvature,
            vector: zeros()?,
            product: zeros()?,
            between,
        })
    }
}

/// The lower triangle of `Z^T Z`.
fn lower_product(z: &Array2<f32>) -> Result<Array2<f32>> {
    let features = z.ncols();
    let mut product = zeros(features, features)?;
    for start in (0..features).step_by(COLUMNS) {
        let end = features.min(start + COLUMNS);
        let (rows, columns) = (z.slice(s![.., start..]), z.slice(s![.., start..end]));
        general_mat_mul(1.0, &rows.t(), &columns, 0.0, &mut product.slice_mut(s![start.., start..end]));
    }
    Ok(product)
}

/// `M [features, features]` with `M^T M = (curvature * G + diag(diagonal))^-1`.
fn inverse_factor(gram: &Array2<f32>, diagonal: &Array1<f64>, curvature: f64) -> Result<Array2<f32>> {
    let mut h: Array2<f64> = zeros(gram.nrows(), gram.ncols())?;
    // Rounding may leave a nearly singular model without a factor; a larger diagonal has one.
    for more in [0.0, 1e-6, 1e-3, 1.0] {
        Zip::from(&mut h).and(gram).for_each(|h, &g| *h = curvature * f64::from(g));
        Zip::from(h.diag_mut()).and(diagonal).for_each(|h, d| *h += d + more * curvature * gram.nrows() as f64);
        if cholesky::invert_factor(&mut h) {
            return Ok(h.mapv(|m| m as f32));
        }
    }
    Err(SINGULAR)
}

/// `M [rows, features]` with `R (I - M^T M) R = H^-1`: with `A` the sample times `R`, `M^T M = A^T (I + A A^T)^-1 A`.
fn woodbury(z: &Array2<f32>, root: &Array1<f64>, curvature: f64) -> Result<Array2<f32>> {
    let mut a: Array2<f64> = zeros(z.nrows(), z.ncols())?;
    for (mut a, z) in a.rows_mut().into_iter().zip(z.rows()) {
        Zip::from(&mut a).and(&z).and(root).for_each(|a, &z, root| *a = f64::from(z) * root * curvature.sqrt());
    }
    let mut inner = a.dot(&a.t());
    inner.diag_mut().mapv_inplace(|d| d + 1.0);
    if !cholesky::invert_factor(&mut inner) {
        return Err(SINGULAR);
    }
    Ok(inner.dot(&a).mapv(|m| m as f32))
}

/// A matrix of zeros.
fn zeros<T: Clone + Default>(rows: usize, columns: usize) -> Result<Array2<T>> {
    let cells = memory::filled(WHAT, rows.saturating_mul(columns), T::default())?;
    Ok(Array2::from_shape_vec((rows, columns), cells).unwrap_or_default())
}

/// What errors call it.
const WHAT: &str = "preconditioner";

/// Finite features always have a factor.
const SINGULAR: Error = Error::NonFinite { what: WHAT, row: 0, column: 0, value: f32::NAN };

impl Preconditioner {
    /// `H^-1 * gradient`, both `[features + 1, classes]` with the bias last.
    pub(super) fn apply(&mut self, exec: Exec, gradient: &[f64], out: &mut [f64]) -> Result<()> {
        let (features, classes) = (self.features, self.vector.classes());
        let (weights, bias) = gradient.split_at(features * classes);
        let (weights_out, bias_out) = out.split_at_mut(features * classes);
        for (out, bias) in bias_out.iter_mut().zip(bias) {
            *out = bias / self.curvature;
        }
        // In f32 between -1 and 1, however small the gradient has become.
        let root = |feature: usize| self.root.as_ref().map_or(1.0, |root| root[feature]);
        let largest =
            weights.iter().enumerate().fold(0.0, |largest: f64, (i, g)| largest.max((g * root(i / classes)).abs()));
        if largest == 0.0 {
            weights_out.fill(0.0);
            return Ok(());
        }
        for (feature, row) in weights.chunks_exact(classes).enumerate() {
            for (class, g) in row.iter().enumerate() {
                *self.vector.weight_mut(feature, class) = (g * root(feature) / largest) as f32;
            }
        }
        let m = Matrix::from_f32(&self.m, features)?;
        kernel::forward(exec, m, &self.vector, &mut self.between)?;
        kernel::gradient(exec, m, &self.between, &mut self.product)?;
        for (feature, row) in weights_out.chunks_exact_mut(classes).enumerate() {
            for (class, out) in row.iter_mut().enumerate() {
                let product = f64::from(self.product.weight(feature, class));
                *out = largest
                    * match &self.root {
                        None => product,
                        Some(root) => root[feature] * (f64::from(self.vector.weight(feature, class)) - product),
                    };
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Level;

    /// `H z` with the Gram matrix of `Z`, in f64.
    fn times(z: &Array2<f32>, diagonal: &[f64], curvature: f64, v: &[f64], classes: usize) -> Vec<f64> {
        let features = z.ncols();
        let mut out: Vec<f64> = (0..features * classes).map(|i| diagonal[i / classes] * v[i]).collect();
        for row in z.rows() {
            for class in 0..classes {
                let sum: f64 = (0..features).map(|j| f64::from(row[j]) * v[j * classes + class]).sum();
                (0..features).for_each(|j| out[j * classes + class] += curvature * f64::from(row[j]) * sum);
            }
        }
        out.extend(v[features * classes..].iter().map(|bias| curvature * bias));
        out
    }

    /// Both ways, by the product and by Woodbury's formula, undo the model of the Hessian.
    #[test]
    fn it_inverts_the_model() {
        for (rows, features, classes) in
            [(5, 5, 3), (40, 17, 10), (200, COLUMNS + 30, 2), (1, 3, 2), (7, 60, 4), (30, 31, 17)]
        {
            let noise = |i: usize, j: usize| ((i * 7919 + j * 104_729) % 1000) as f32 / 500.0 - 1.0;
            let z =
                Array2::from_shape_fn((rows, features), |(i, j)| (noise(i, j) + noise(i, 0)) / (rows as f32).sqrt());
            let diagonal: Vec<f64> = (0..features).map(|j| 0.01 + (j % 5) as f64).collect();
            let penalty: Vec<f64> = (0..features).map(|j| (j % 3) as f64 * 0.1).collect();
            let both: Vec<f64> = diagonal.iter().zip(&penalty).map(|(d, penalty)| d + penalty).collect();
            let curvature = 1.0 / classes as f64;
            let grams = [Gram::Factor(z.clone()), Gram::Product(lower_product(&z).expect("memory"))];
            for (gram, name) in grams.into_iter().zip(["Woodbury", "product"]) {
                let hessian = Hessian { gram, diagonal: diagonal.clone(), curvature, classes };
                let mut preconditioner = hessian.preconditioner(&penalty).expect("a factor");
                for size in [1.0, 1e-30, 1e30] {
                    let v: Vec<f64> = (0..(features + 1) * classes).map(|i| size * f64::from(noise(i, 3))).collect();
                    let hv = times(&z, &both, curvature, &v, classes);
                    let mut found = vec![f64::NAN; v.len()];
                    preconditioner.apply(Level::best().into(), &hv, &mut found).expect("the shapes fit");
                    for (found, v) in found.iter().zip(&v) {
                        assert!((found - v).abs() <= 2e-3 * size, "{name} {rows}x{features}: {found:e} for {v:e}");
                    }
                }
                let mut found = vec![f64::NAN; (features + 1) * classes];
                let mut bias = vec![0.0; (features + 1) * classes];
                bias[features * classes] = curvature;
                preconditioner.apply(Level::best().into(), &bias, &mut found).expect("the shapes fit");
                bias[features * classes] = 1.0;
                assert_eq!(found, bias);
            }
        }
    }

    /// Rows that repeat each other, without a diagonal of their own.
    #[test]
    fn a_singular_model_gets_a_larger_diagonal() {
        let z = Array2::from_elem((3, 3), 1.0f32);
        let m = inverse_factor(&lower_product(&z).expect("memory"), &Array1::zeros(3), 1.0).expect("a factor");
        assert!(m.iter().all(|m| m.is_finite()));
        let found = inverse_factor(&lower_product(&z).expect("memory"), &Array1::from_elem(3, f64::NAN), 1.0);
        assert!(matches!(found, Err(Error::NonFinite { what: WHAT, .. })));
    }
}
