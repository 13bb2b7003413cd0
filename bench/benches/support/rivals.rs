//! The same step as a user would compose it from other libraries: products from matrixmultiply or gemm, or with the
//! features `faer` and `openblas` from those, with a plain softmax between them, and everything from ndarray. Each runs
//! on one thread, over contiguous f32 rows.
//!
//! The compositions are the best found of eight each: weights as `[features, classes]` and `[classes, features]`,
//! logits as `[n, classes]` and `[classes, n]`, and each product as written and transposed. matrixmultiply packs both
//! operands, so that its times differ by less than 5 %; gemm's gradient is 1.8 times as fast over
//! `[classes, features]`, and its forward pass 1.5 times over `[n, classes]`. faer's gradient of 100 rows is 1.7 times
//! as fast over `[classes, features]`, and of one row its gradient 9 times and its forward pass 8 times (Zen 3).
//! OpenBLAS' gradient of 100 rows is 1.05 times as fast over `[classes, features]`, of one row 9 times and its forward
//! pass 3 times; the forward pass of 100 rows is 1.15 times as fast over `[n, classes]` (0.3.21, Zen 3).
//!
//! Over 60,000 rows at once gemm's gradient is 1.5 times as fast over `[features, classes]`, and OpenBLAS' 1.8 times
//! over `[classes, features]`. So for passes each is composed both ways.
//!
//! All are built with AVX-512. For gemm that is the faster choice, and faer asks the CPU itself. matrixmultiply has the
//! features that the library asks for, and without `avx512` it can be faster: on Zen 4, 100 rows, 45 us instead of 60
//! for the forward pass and 82 instead of 96 for the step.

use super::check::Parameters;
use super::products::{Gemm, MatrixMultiply, Product, View};
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
        #[cfg(feature = "faer")]
        Box::new(Composed::<super::products::Faer>::new(start)),
        #[cfg(feature = "openblas")]
        Box::new(Composed::<super::products::openblas::OpenBlas>::new(start)),
        Box::new(Everyday::new(start)),
    ]
}

/// What is composed of someone's product: more than the step that every rival has.
pub(crate) trait Passes: Rival {
    /// The gradient of the summed loss, from `p - y` of contiguous rows, `[n, classes]`.
    fn gradient(&mut self, x: &[f32], residual: &[f32]);

    /// The gradient and, returned, the summed loss of contiguous rows, in nats.
    fn sweep(&mut self, x: &[f32], labels: &[u8]) -> f64;

    /// A copy of the gradient that either left.
    fn last_gradient(&self) -> Parameters;
}

/// Every product's composition for `F` features and `C` classes, both with weights `[classes, features]` and with
/// `[features, classes]`. Passes are cut into products of at most so many rows.
pub(crate) fn composed<const F: usize, const C: usize>(start: &Parameters, rows: usize) -> Vec<[Box<dyn Passes>; 2]> {
    fn both<P: Product + 'static, const F: usize, const C: usize>(
        start: &Parameters,
        rows: usize,
    ) -> [Box<dyn Passes>; 2] {
        [Layout::ClassMajor, Layout::FeatureMajor]
            .map(|layout| -> Box<dyn Passes> { Box::new(Composed::<P, F, C>::laid_out(layout, start, rows)) })
    }
    vec![
        both::<Gemm, F, C>(start, rows),
        #[cfg(feature = "faer")]
        both::<super::products::Faer, F, C>(start, rows),
        #[cfg(feature = "openblas")]
        both::<super::products::openblas::OpenBlas, F, C>(start, rows),
    ]
}

/// Passes and steps over someone's product. Nothing is allocated after the first batch but by the products themselves.
struct Composed<P, const F: usize = FEATURES, const C: usize = CLASSES> {
    product: PhantomData<P>,
    /// A pass is cut into products of at most so many rows.
    rows: usize,
    model: Linear<F, C>,
    /// `[n, classes]`: the logits, then `p - y` in their place.
    logits: Vec<f32>,
    gradient: Linear<F, C>,
}

impl<P: Product> Composed<P, FEATURES, CLASSES> {
    fn new(start: &Parameters) -> Self {
        Self::laid_out(Layout::ClassMajor, start, usize::MAX)
    }
}

impl<P: Product, const F: usize, const C: usize> Composed<P, F, C> {
    fn laid_out(layout: Layout, start: &Parameters, rows: usize) -> Self {
        P::use_one_thread();
        let model = Linear::new(layout, start);
        Self { product: PhantomData, rows, gradient: model.clone(), model, logits: Vec::new() }
    }

    /// The product is added to the bias, which saves a pass over the logits.
    fn begin_logits(&mut self, rows: usize) {
        self.logits.clear();
        for _ in 0..rows {
            self.logits.extend_from_slice(&self.model.b);
        }
    }
}

impl<P: Product, const F: usize, const C: usize> Rival for Composed<P, F, C> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn forward(&mut self, x: &[f32]) -> &[f32] {
        self.begin_logits(x.len() / F);
        let blocks = self.logits.chunks_mut(self.rows.saturating_mul(C));
        for (x, logits) in x.chunks(self.rows.saturating_mul(F)).zip(blocks) {
            self.model.add_logits::<P>(x, logits);
        }
        &self.logits
    }

    fn step(&mut self, x: &[f32], labels: &[u8], learning_rate: f32) -> f64 {
        self.forward(x);
        let loss = residual::<C>(&mut self.logits, labels);
        // The gradient goes straight into the weights.
        self.model.add_gradient::<P>(-learning_rate, x, &self.logits);
        loss
    }

    fn parameters(&self) -> Parameters {
        self.model.to_parameters()
    }
}

impl<P: Product, const F: usize, const C: usize> Passes for Composed<P, F, C> {
    fn gradient(&mut self, x: &[f32], residual: &[f32]) {
        self.gradient.clear();
        let blocks = residual.chunks(self.rows.saturating_mul(C));
        for (x, residual) in x.chunks(self.rows.saturating_mul(F)).zip(blocks) {
            self.gradient.add_gradient::<P>(1.0, x, residual);
        }
    }

    /// Where the rows are cut and a block stays in a cache, it is read from memory once.
    fn sweep(&mut self, x: &[f32], labels: &[u8]) -> f64 {
        self.begin_logits(labels.len());
        self.gradient.clear();
        let mut loss = 0.0;
        let blocks = self.logits.chunks_mut(self.rows.saturating_mul(C)).zip(labels.chunks(self.rows));
        for (x, (logits, labels)) in x.chunks(self.rows.saturating_mul(F)).zip(blocks) {
            self.model.add_logits::<P>(x, logits);
            loss += residual::<C>(logits, labels);
            self.gradient.add_gradient::<P>(1.0, x, logits);
        }
        loss
    }

    fn last_gradient(&self) -> Parameters {
        self.gradient.to_parameters()
    }
}

/// Weights and bias, or their gradient, for `F` features and `C` classes.
#[derive(Clone)]
struct Linear<const F: usize, const C: usize> {
    layout: Layout,
    w: Vec<f32>,
    b: [f32; C],
}

/// How weights lie in memory, row-major.
#[derive(Clone, Copy)]
enum Layout {
    /// `[classes, features]`
    ClassMajor,
    /// `[features, classes]`
    FeatureMajor,
}

impl<const F: usize, const C: usize> Linear<F, C> {
    fn new(layout: Layout, start: &Parameters) -> Self {
        let w = match layout {
            Layout::ClassMajor => transposed(&start.w, C),
            Layout::FeatureMajor => start.w.clone(),
        };
        Self { layout, w, b: start.b.as_slice().try_into().expect("a bias a class") }
    }

    fn to_parameters(&self) -> Parameters {
        let w = match self.layout {
            Layout::ClassMajor => transposed(&self.w, F),
            Layout::FeatureMajor => self.w.clone(),
        };
        Parameters { w, b: self.b.to_vec() }
    }

    fn clear(&mut self) {
        self.w.fill(0.0);
        self.b.fill(0.0);
    }

    /// `logits [n, classes] += x [n, features] * weights`
    fn add_logits<P: Product>(&self, x: &[f32], logits: &mut [f32]) {
        let w = match self.layout {
            Layout::ClassMajor => View::row_major(&self.w[..], F).transposed(),
            Layout::FeatureMajor => View::row_major(&self.w[..], C),
        };
        P::add(1.0, View::row_major(x, F), w, View::row_major(logits, C));
    }

    /// `weights += alpha * x^T [features, n] * residual [n, classes]`, and the bias likewise.
    fn add_gradient<P: Product>(&mut self, alpha: f32, x: &[f32], residual: &[f32]) {
        let mut sums = [0.0; C];
        for row in residual.as_chunks::<C>().0 {
            sums.iter_mut().zip(row).for_each(|(sum, r)| *sum += *r);
        }
        self.b.iter_mut().zip(sums).for_each(|(b, sum)| *b += alpha * sum);
        let (x, residual) = (View::row_major(x, F), View::row_major(residual, C));
        match self.layout {
            Layout::ClassMajor => P::add(alpha, residual.transposed(), x, View::row_major(&mut self.w, F)),
            Layout::FeatureMajor => P::add(alpha, x.transposed(), residual, View::row_major(&mut self.w, C)),
        }
    }
}

/// The transpose of rows of `columns` values.
fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns)).copied().collect()
}

/// Turns rows of logits into `p - y` and gives their summed loss: of a row the maximum, one pass of exponentials, one
/// division.
fn residual<const C: usize>(logits: &mut [f32], labels: &[u8]) -> f64 {
    let mut loss = 0.0;
    for (row, &label) in logits.as_chunks_mut::<C>().0.iter_mut().zip(labels) {
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let wanted = max - row[usize::from(label)];
        let mut sum = 0.0;
        for z in row.iter_mut() {
            *z = (*z - max).exp();
            sum += *z;
        }
        let factor = 1.0 / sum;
        row.iter_mut().for_each(|z| *z *= factor);
        row[usize::from(label)] -= 1.0;
        loss += f64::from(wanted + sum.ln());
    }
    loss
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
