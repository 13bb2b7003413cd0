//! The update of rows of either form, as threads share it out: the panels of A, and the bias. The three products are in
//! the folders beside this file, what becomes of their sums in `rule`.

use super::block_sparse;
use super::class_lanes;
use super::feature_lanes;
use super::output::Panels;
use super::prefetch::Ahead;
use super::rule::Rule;
use crate::exec::Divide;
use crate::layout::{Lanes, Line, PANEL};
use crate::matrix::AnyRows;
use crate::simd::{Element, Kernel, Simd, load_start, padded};

/// `A [features, classes] = rule(A, x^T [features, n] * residual [n, classes])`. The fields' shapes are checked by who
/// makes one.
pub(super) struct Update<'a, T, R> {
    pub(super) x: AnyRows<'a, T>,
    /// `[n, classes]`
    pub(super) residual: &'a [f32],
    pub(super) lanes: Lanes,
    pub(super) panels: Panels<'a, R>,
    pub(super) ahead: Ahead,
}

impl<T: Element, R: Rule> Kernel for Update<'_, T, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, residual, lanes, panels, ahead } = self;
        if x.len() == 0 && !panels.rule.keeps() {
            return panels.lines.fill(Line::ZERO);
        }
        match (x, lanes) {
            (AnyRows::Dense(x), Lanes::Features) => feature_lanes::update(simd, x, residual, panels, ahead),
            (AnyRows::Dense(x), Lanes::Classes) => class_lanes::update(simd, x, residual, panels),
            (AnyRows::BlockSparse(x), _) => block_sparse::update(simd, x, residual, panels),
        }
    }
}

impl<T: Element, R: Rule> Divide for Update<'_, T, R> {
    /// Whole panels: threads share features, so that no sum depends on their number.
    fn len(&self) -> usize {
        self.panels.len()
    }

    fn work(&self) -> usize {
        self.panels.lines.len().saturating_mul(PANEL).saturating_mul(self.x.len())
    }

    fn split_at(self, panel: usize) -> (Self, Self) {
        let Panels { lines, panel_lines, first, .. } = self.panels;
        let (left, right) = lines.split_at_mut(panel * panel_lines);
        let left = Panels { lines: left, ..self.panels };
        let right = Panels { lines: right, first: first + panel, ..self.panels };
        (Self { panels: left, ..self }, Self { panels: right, ..self })
    }
}

/// Independent sums of a column, so that an addition need not wait for the one before.
const BIAS_SUMS: usize = 4;

/// The same for the bias, which is the weight of a feature that is always 1:
/// `bias [classes] = rule(bias, alpha * sums of the columns of residual [n, classes])`. The product is rounded before the
/// rule.
pub(super) struct UpdateBias<'a, R> {
    pub(super) residual: &'a [f32],
    pub(super) alpha: f32,
    pub(super) rule: R,
    pub(super) bias: &'a mut [f32],
}

impl<R: Rule> Kernel for UpdateBias<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let classes = self.bias.len();
        for (chunk, bias) in self.bias.chunks_mut(S::LANES).enumerate() {
            let first = chunk * S::LANES;
            let mut acc = [simd.splat(0.0); BIAS_SUMS];
            for rows in self.residual.chunks(BIAS_SUMS * classes) {
                for (acc, residual) in acc.iter_mut().zip(rows.chunks_exact(classes)) {
                    *acc = simd.add(*acc, load_start(simd, &residual[first..first + bias.len()]));
                }
            }
            let sum = simd.add(simd.add(acc[0], acc[1]), simd.add(acc[2], acc[3]));
            let scaled = simd.mul(simd.splat(self.alpha), sum);
            let mut lanes = padded::<S, f32>(bias, 0.0);
            simd.store(self.rule.apply(simd, scaled, simd.load(&lanes)), &mut lanes);
            for (bias, &lane) in bias.iter_mut().zip(lanes.as_ref()) {
                *bias = lane;
            }
        }
    }
}
