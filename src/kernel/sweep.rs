//! The loss and the gradient of many rows in one pass over them:
//!
//! ```text
//! for each part of the rows, each on a thread                 its own gradient
//!     for each block of rows that stays in the second-level cache
//!         logits = x * W + b                                  prefetches the first half of the next block
//!         losses, logits = p - y
//!         gradient += x^T * (p - y)                           prefetches the second half
//! gradient = the sum of the parts', in their order
//! ```
//!
//! Each row is read from memory once, while the block before it is computed with. The shape alone decides what the parts
//! are: the result is the same to the last bit at any number of threads. Where the gradient is large, there is one part,
//! and the threads share each block's products: rows in the forward pass, features in the update.

use super::forward::{Epilogue, Forward};
use super::output::Panels;
use super::plan::{self, SweepPlan};
use super::prefetch::Ahead;
use super::rule::Linear;
use super::softmax::{self, Loss};
use super::split::{split_evenly, split_into};
use super::update::{Update, UpdateBias};
use crate::error::{Error, Result, expect};
use crate::exec::{Divide, Exec, Level};
use crate::layout::PANEL;
use crate::matrix::{AnyRows, Batch, FeatureOrder, OnRows, Targets};
use crate::memory;
use crate::parameters::Parameters;
use crate::simd::{Element, Kernel, Simd};
use alloc::vec::Vec;
use core::mem;

/// The loss and the gradient of many rows in one pass over them: each row is read once, where
/// [`forward`](super::forward) and [`gradient`](super::gradient) of more rows than a cache holds read it twice. Holds the
/// buffers.
///
/// ```
/// use softreg::{Batch, Exec, Matrix, Parameters, kernel::Sweep};
///
/// let x = Matrix::from_f32(&[0.0, 1.0, 1.0, 0.0], 2)?;
/// let batch = Batch::new(x, &[0u8, 1][..])?;
/// let parameters = Parameters::zeros(2, 2);
/// let mut gradient = Parameters::zeros(2, 2);
/// let mut losses = [0.0; 2];
/// let loss = Sweep::new().run(Exec::default(), batch, &parameters, &mut losses, &mut gradient)?;
/// assert!((loss.sum / loss.weight - 2f64.ln()).abs() < 1e-6);
/// assert_eq!(gradient.to_row_major(), [0.5, -0.5, -0.5, 0.5]);
/// # Ok::<(), softreg::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    parts: Vec<Part>,
}

/// What a part of the rows has of its own.
#[derive(Clone, Debug)]
struct Part {
    rows: usize,
    gradient: Parameters,
    /// `[rows of a block, classes]`
    logits: Vec<f32>,
}

impl Sweep {
    /// Without buffers yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { parts: Vec::new() }
    }

    /// The losses `[n]` of a batch's rows, as from [`cross_entropy`](super::cross_entropy), and the gradient of their sum
    /// with respect to the parameters, as from [`gradient`](super::gradient). Both are overwritten. Returns the sum of the
    /// losses, added in the order of the rows, and of the rows' weights.
    ///
    /// Allocates for the first batch of a shape, and where it has more rows than any before: a gradient for each part of
    /// some 512 rows, at most 64 of them, or one where the parameters are many.
    ///
    /// # Errors
    /// [`Error::Shape`] where shapes disagree, [`Error::Label`] or [`Error::Target`] for a target that does not fit,
    /// [`Error::NonFiniteLoss`] where their sum is NaN or infinite, [`Error::Memory`]. The gradient is then as it was.
    pub fn run(
        &mut self,
        exec: impl Into<Exec>,
        batch: Batch<'_>,
        parameters: &Parameters,
        losses: &mut [f64],
        gradient: &mut Parameters,
    ) -> Result<Loss> {
        let loss = self.run_in_order(exec.into(), batch, FeatureOrder::Natural, parameters, losses, gradient)?;
        if loss.sum.is_finite() { Ok(loss) } else { Err(Error::NonFiniteLoss { loss: loss.sum }) }
    }

    /// [`run`](Self::run) of parameters in either order; where the loss is not finite, the gradient is as it was. In
    /// permuted order the parameters are finite.
    pub(crate) fn run_in_order(
        &mut self,
        exec: Exec,
        Batch { x, targets }: Batch<'_>,
        order: FeatureOrder,
        parameters: &Parameters,
        losses: &mut [f64],
        gradient: &mut Parameters,
    ) -> Result<Loss> {
        let (features, classes) = (parameters.features(), parameters.classes());
        expect("features of x", x.features(), features)?;
        expect("rows of x", x.rows(), targets.rows())?;
        expect("losses", losses.len(), x.rows())?;
        expect("features of the gradient", gradient.features(), features)?;
        expect("classes of the gradient", gradient.classes(), classes)?;
        let weight = targets.check(classes)?;
        let (scale, mut sum) = (x.scale(), Ok(0.0));
        x.on_rows(order, SweepOn { sweep: self, exec, scale, targets, parameters, losses, gradient, sum: &mut sum });
        Ok(Loss { sum: sum?, weight })
    }

    /// The buffers of so many parts.
    fn prepare(&mut self, rows: usize, parts: usize, block: usize, parameters: &Parameters) -> Result<&mut [Part]> {
        let (features, classes) = (parameters.features(), parameters.classes());
        let fits = |part: &Part| (part.gradient.features(), part.gradient.classes()) == (features, classes);
        if !self.parts.iter().all(fits) {
            self.parts.clear();
        }
        while self.parts.len() < parts {
            let gradient = Parameters::try_zeros(features, classes)?;
            self.parts.push(Part { rows: 0, gradient, logits: Vec::new() });
        }
        for (part, rows) in self.parts.iter_mut().zip(split_into(rows, parts)) {
            part.rows = rows.len();
            memory::grow(&mut part.logits, "logits", block.min(rows.len()).saturating_mul(classes), 0.0)?;
        }
        Ok(&mut self.parts[..parts])
    }
}

/// The sweep, on rows of any type.
struct SweepOn<'a, 's> {
    sweep: &'s mut Sweep,
    exec: Exec,
    scale: f32,
    targets: Targets<'a>,
    parameters: &'a Parameters,
    losses: &'s mut [f64],
    gradient: &'s mut Parameters,
    /// Where the sum of the losses goes.
    sum: &'s mut Result<f64>,
}

impl<'a> OnRows<'a> for SweepOn<'a, '_> {
    fn run<T: Element>(self, x: AnyRows<'a, T>) {
        let Self { sweep, exec, scale, targets, parameters, losses, gradient, sum } = self;
        let SweepPlan { parts, block } = plan::sweep(x.len(), x.row_bytes(), x.features(), parameters.classes());
        *sum = sweep.prepare(x.len(), parts, block, parameters).map(|parts| {
            let rows = SweptRows { x, known: x.known(), scale, targets, parameters, block };
            match &mut *parts {
                [part] => rows.sweep(exec, part, losses),
                parts => exec.run(Parts { level: exec.level, rows, losses, parts }),
            }
            let total = softmax::sum(losses);
            match parts {
                _ if !total.is_finite() => {}
                [part] => mem::swap(gradient, &mut part.gradient),
                parts => exec.run_here(SumParts { parts, gradient }),
            }
            total
        });
    }
}

/// Rows, and what is computed with them.
#[derive(Clone, Copy)]
struct SweptRows<'a, T> {
    x: AnyRows<'a, T>,
    /// These rows, and those that are read after them.
    known: usize,
    scale: f32,
    targets: Targets<'a>,
    parameters: &'a Parameters,
    /// Rows of a block.
    block: usize,
}

impl<T: Element> SweptRows<'_, T> {
    /// The losses and the gradient of these rows, a block after the other.
    fn sweep(self, exec: Exec, part: &mut Part, losses: &mut [f64]) {
        let Self { x, known, scale, targets, parameters, block } = self;
        let (lanes, panel_lines, classes) = (parameters.lanes(), parameters.panel_lines(), parameters.classes());
        let Part { gradient, logits, .. } = part;
        if x.len() == 0 {
            gradient.clear();
        }
        for rows in split_evenly(x.len(), block) {
            let (logits, losses) = (&mut logits[..rows.len() * classes], &mut losses[rows.clone()]);
            let (x, targets) = (x.part(rows.clone()), targets.part(rows.clone()));
            let next = x.len()..(known - rows.start).min(2 * x.len());
            let middle = next.start + next.len() / 2;

            let ahead = Ahead::Rows { start: next.start, end: middle };
            let epilogue = Epilogue::CrossEntropy { targets, losses };
            exec.run(Forward { x, scale, parameters, logits: &mut *logits, ahead, epilogue });

            let rule = if rows.start == 0 { Linear::REPLACE } else { Linear::accumulate(1.0) };
            let ahead = Ahead::Rows { start: middle, end: next.end };
            let (lines, bias) = gradient.parts_mut();
            let panels = Panels { lines, panel_lines, first: 0, classes, rule: rule.scaled(scale) };
            exec.run(Update { x, residual: logits, lanes, panels, ahead });
            exec.run_here(UpdateBias { residual: logits, alpha: 1.0, rule, bias });
        }
    }

    /// Those of the parts before and from one.
    fn split_at(self, row: usize) -> (Self, Self) {
        let (x, rest_x) = self.x.split_at(row);
        let (targets, rest_targets) = self.targets.split_at(row);
        (
            Self { x, known: row, targets, ..self },
            Self { x: rest_x, known: self.known - row, targets: rest_targets, ..self },
        )
    }
}

/// The parts of rows, each with a gradient of its own.
struct Parts<'a, T> {
    level: Level,
    rows: SweptRows<'a, T>,
    losses: &'a mut [f64],
    parts: &'a mut [Part],
}

impl<T: Element> Kernel for Parts<'_, T> {
    type Output = ();

    /// The products are kernels of their own.
    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let (mut rest, mut rest_losses) = (self.rows, self.losses);
        for part in self.parts {
            let (rows, after) = rest.split_at(part.rows);
            let (losses, losses_after) = rest_losses.split_at_mut(part.rows);
            SweptRows { known: rest.known, ..rows }.sweep(self.level.into(), part, losses);
            (rest, rest_losses) = (after, losses_after);
        }
    }
}

impl<T: Element> Divide for Parts<'_, T> {
    fn len(&self) -> usize {
        self.parts.len()
    }

    fn work(&self) -> usize {
        let cells = self.rows.x.len().saturating_mul(self.rows.parameters.classes());
        cells.saturating_mul(2 * self.rows.x.features())
    }

    fn split_at(self, part: usize) -> (Self, Self) {
        let (parts, rest_parts) = self.parts.split_at_mut(part);
        let row = parts.iter().map(|part| part.rows).sum();
        let (rows, rest_rows) = self.rows.split_at(row);
        let (losses, rest_losses) = self.losses.split_at_mut(row);
        (Self { rows, losses, parts, ..self }, Self { rows: rest_rows, losses: rest_losses, parts: rest_parts, ..self })
    }
}

/// The sum of the parts' gradients, in f64.
struct SumParts<'a> {
    parts: &'a [Part],
    gradient: &'a mut Parameters,
}

impl Kernel for SumParts<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _simd: S) {
        let Self { parts, gradient } = self;
        let (lines, bias) = gradient.parts_mut();
        for (i, line) in lines.iter_mut().enumerate() {
            let mut sums = [0.0; PANEL];
            for part in parts {
                for (sum, &value) in sums.iter_mut().zip(&part.gradient.lines()[i].0) {
                    *sum += f64::from(value);
                }
            }
            line.0 = sums.map(|sum| sum as f32);
        }
        for (class, bias) in bias.iter_mut().enumerate() {
            let values = parts.iter().map(|part| f64::from(part.gradient.bias()[class]));
            *bias = values.sum::<f64>() as f32;
        }
    }
}
