//! The two products with the lanes along the classes, for shapes with many classes or few features: `kernel/plan.rs` says
//! which these are. Here is what `forward` and `update` have in common.
//!
//! Class lanes need no sum across lanes; with few features, that sum would dominate the time. A loaded weight serves
//! several rows from a register; with many classes this matters, because the weights overflow the caches. The price is
//! lanes left empty where the classes are no multiple of 16, and a broadcast of each feature.
//!
//! Tried and rejected for the update (avx512, one core of a Sapphire Rapids, beside what stands here):
//!
//! - the rows of `x` read where they stand instead of packed: 1.15 times as fast with 16 or 64 features and 16 classes,
//!   0.8 times as fast with 2048 features and 100 classes, whose rows push each other out of the first-level cache;
//! - the residual packed too, so that its vectors start at cache lines: 1.05 times as fast with 1000 classes, 0.85 times
//!   with 16;
//! - matrixmultiply for 2048 classes and more, which packs both operands: 1.2 times as fast there, but it allocates, and
//!   chooses its instructions itself, so that a level's results would differ from CPU to CPU.

mod forward;
mod update;

pub(super) use forward::forward;
pub(super) use update::update;

use crate::kernel::plan;
use crate::kernel::split::split_evenly;
use crate::layout::PANEL;
use crate::simd::{Element, Simd};
use core::ops::Range;

/// A group of neighbouring classes that tiles are as wide as.
#[derive(Clone, Copy)]
struct Group {
    /// The first class, a multiple of 16.
    first: usize,
    /// The classes; only those of the last group may be no multiple of 16.
    len: usize,
}

impl Group {
    const fn range(self) -> Range<usize> {
        self.first..self.first + self.len
    }
}

/// Cuts the classes into groups: whole panels, as many as a tile takes, and what is left over.
#[inline(always)]
fn groups<S: Simd>(classes: usize) -> impl Iterator<Item = Group> {
    let most = const { plan::class_panels::<S>() };
    let whole = classes / PANEL;
    let rest = Group { first: whole * PANEL, len: classes % PANEL };
    let group = |panels: Range<usize>| Group { first: panels.start * PANEL, len: panels.len() * PANEL };
    split_evenly(whole, most).map(group).chain((rest.len > 0).then_some(rest))
}

/// Copies up to a panel of a row as f32, filled up with zeros.
#[inline(always)]
fn pack<'a, S: Simd, T: Element>(simd: S, row: &[T], packed: &'a mut [f32; PANEL]) -> &'a [f32; PANEL] {
    match row.first_chunk::<PANEL>() {
        Some(whole) => {
            for (to, from) in S::arrays_mut(packed).0.iter_mut().zip(S::arrays(whole).0) {
                simd.store(T::load(simd, from), to);
            }
        }
        None => {
            *packed = [0.0; PANEL];
            for (to, &from) in packed.iter_mut().zip(row) {
                *to = from.into();
            }
        }
    }
    packed
}
