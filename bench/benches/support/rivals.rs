//! The same step as a user would compose it from other libraries: products from matrixmultiply, gemm or faer, or with
//! the feature `openblas` from OpenBLAS, with a plain softmax between them, and everything from ndarray. Each runs on
//! one thread, over contiguous f32 rows.
//!
//! The compositions are the best found of eight each: weights as `[features, classes]` and `[classes, features]`,
//! logits as `[n, classes]` and `[classes, n]`, and each product as written and transposed. matrixmultiply packs both
//! operands, so that its times differ by less than 5 %; gemm's gradient is 1.8 times as fast over
//! `[classes, features]`, and its forward pass 1.5 times over `[n, classes]`. faer's gradient of 100 rows is 1.7 times
//! as fast over `[classes, features]`, and of one row its gradient 9 times and its forward pass 8 times (Zen 3).
//! OpenBLAS' gradient of 100 rows is 1.05 times as fast over `[classes, features]`, of one row 9 times and its forward
//! pass 3 times; the forward pass of 100 rows is 1.15 times as fast over `[n, classes]` (0.3.21, Zen 3).
//!
//! All are built with AVX-512. For gemm that is the faster choice, and faer asks the CPU itself. matrixmultiply has the
//! features that the library asks for, and without `avx512` it can be faster: on Zen 4, 100 rows, 45 us instead of 60
//! for the forward pass and 82 instead of 96 for the step.

use super::check::Parameters;
use super::products::{Faer, Gemm, MatrixMultiply, Product, View};
use super::{CLASSES, FEATURES};
use ndarray::{Array1, Array2, ArrayView2, Axis};
use std::marker::PhantomData;

/// A model that another library computes.
pub(crate) trait Rival {
    /// The library.
    fn name(&self) -> &'static str;

    /// The logits `[n, classes]` of contiguous rows.
    fn forward(&mut self, x: &[f32]) -> &[f32];

    /// One step of gradient descent on the summed loss of contiguous rows; the loss before it, in nats.
    fn step(&mut self, x: &[f32], labels: &[u8], learning_rate: f32) -> f64;

    /// Copies of the parameters.
    fn parameters(&self) -> Parameters;
}

/// Every rival, starting from these parameters.
pub(crate) fn all(start: &Parameters) -> Vec<Box<dyn Rival>> {
    vec![
        Box::new(Composed::<MatrixMultiply>::new(start)),
        Box::new(Composed::<Gemm>::new(start)),
        Box::new(Composed::<Faer>::new(start)),
        #[cfg(feature = "openblas")]
        Box::new(Composed::<super::products::openblas::OpenBlas>::new(start)),
        Box::new(Everyday::new(start)),
    ]
}

/// A step over someone's product. Nothing is allocated after the first batch but by the products themselves.
struct Composed<P> {
    product: PhantomData<P>,
    /// `[classes, features]`
    w: Vec<f32>,
    b: [f32; CLASSES],
    /// `[n, classes]`: the logits, then `p - y` in their place.
    logits: Vec<f32>,
}

impl<P: Product> Composed<P> {
    fn new(start: &Parameters) -> Self {
        P::use_one_thread();
        let w = (0..CLASSES).flat_map(|class| start.w.iter().skip(class).step_by(CLASSES)).copied().collect();
        let b = start.b.as_slice().try_into().expect("a bias a class");
        Self { product: PhantomData, w, b, logits: Vec::new() }
    }
}

impl<P: Product> Rival for Composed<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn forward(&mut self, x: &[f32]) -> &[f32] {
        // The product is added to the bias, which saves a pass over the logits.
        self.logits.clear();
        for _ in 0..x.len() / FEATURES {
            self.logits.extend_from_slice(&self.b);
        }
        let (x, w) = (View::row_major(x, FEATURES), View::row_major(&self.w[..], FEATURES));
        P::add(1.0, x, w.transposed(), View::row_major(&mut self.logits, CLASSES));
        &self.logits
    }

    fn step(&mut self, x: &[f32], labels: &[u8], learning_rate: f32) -> f64 {
        self.forward(x);
        let mut loss = 0.0;
        let mut sums = [0.0; CLASSES];
        for (row, &label) in self.logits.as_chunks_mut::<CLASSES>().0.iter_mut().zip(labels) {
            loss += f64::from(residual(row, label.into()));
            sums.iter_mut().zip(row).for_each(|(sum, r)| *sum += *r);
        }
        // The gradient goes straight into the weights.
        let (residual, x) = (View::row_major(&self.logits[..], CLASSES), View::row_major(x, FEATURES));
        P::add(-learning_rate, residual.transposed(), x, View::row_major(&mut self.w, FEATURES));
        self.b.iter_mut().zip(sums).for_each(|(b, sum)| *b -= learning_rate * sum);
        loss
    }

    fn parameters(&self) -> Parameters {
        let w = (0..FEATURES).flat_map(|feature| self.w.iter().skip(feature).step_by(FEATURES)).copied().collect();
        Parameters { w, b: self.b.to_vec() }
    }
}

/// Turns a row of logits into `p - y` and gives its loss: the maximum, one pass of exponentials, one division.
fn residual(row: &mut [f32; CLASSES], label: usize) -> f32 {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let wanted = max - row[label];
    let mut sum = 0.0;
    for z in row.iter_mut() {
        *z = (*z - max).exp();
        sum += *z;
    }
    let factor = 1.0 / sum;
    row.iter_mut().for_each(|z| *z *= factor);
    row[label] -= 1.0;
    wanted + sum.ln()
}

/// The step as it is usually written over ndarray, with an array for each result.
struct Everyday {
    /// `[features, classes]`
    w: Array2<f32>,
    b: Array1<f32>,
    logits: Array2<f32>,
}

impl Everyday {
    fn new(start: &Parameters) -> Self {
        let w = Array2::from_shape_vec((FEATURES, CLASSES), start.w.clone()).expect("the job's shape");
        Self { w, b: start.b.clone().into(), logits: Array2::zeros((0, CLASSES)) }
    }

    fn logits(&self, x: ArrayView2<'_, f32>) -> Array2<f32> {
        x.dot(&self.w) + &self.b
    }
}

impl Rival for Everyday {
    fn name(&self) -> &'static str {
        "ndarray"
    }

    fn forward(&mut self, x: &[f32]) -> &[f32] {
        self.logits = self.logits(rows(x));
        self.logits.as_slice().expect("a new array is contiguous")
    }

    fn step(&mut self, x: &[f32], labels: &[u8], learning_rate: f32) -> f64 {
        let x = rows(x);
        let mut p = self.logits(x);
        let mut loss = 0.0;
        for (mut row, &label) in p.rows_mut().into_iter().zip(labels) {
            let max = row.fold(f32::NEG_INFINITY, |max, &z| max.max(z));
            let wanted = row[usize::from(label)] - max;
            row.mapv_inplace(|z| (z - max).exp());
            let sum = row.sum();
            row /= sum;
            row[usize::from(label)] -= 1.0;
            loss += f64::from(sum.ln() - wanted);
        }
        self.w.scaled_add(-learning_rate, &x.t().dot(&p));
        self.b.scaled_add(-learning_rate, &p.sum_axis(Axis(0)));
        loss
    }

    fn parameters(&self) -> Parameters {
        Parameters { w: self.w.iter().copied().collect(), b: self.b.to_vec() }
    }
}

fn rows(x: &[f32]) -> ArrayView2<'_, f32> {
    ArrayView2::from_shape((x.len() / FEATURES, FEATURES), x).expect("whole rows")
}
