//! The choice of algorithm: the only place that chooses. Which way the lanes run, dense or block-sparse, the tile for a
//! group of classes, how many rows are walked at a time, how far ahead they are prefetched. Each threshold stands here
//! with its reason; the algorithms are in the folders beside this file, and the work that is worth a thread in
//! `exec/threads.rs`.
//!
//! A choice that affects the order of a sum depends only on features and classes, never on the number of threads; on that
//! of rows in a sweep alone, whose parts they decide, and in a step that may be one.

use crate::layout::{Lanes, PANEL};
use crate::simd::{Element, Kernel, Simd};

/// The fewest classes for block-sparse rows: with fewer, a tile one row or one vector wide has too few sums to hide the
/// latency of a multiply-add.
const BLOCK_SPARSE_CLASSES: usize = 8;

/// The most features that are few: a row's dot products with them are short, and their sums over lanes weigh more than
/// lanes left empty. With [`VERY_FEW_FEATURES`], more than an eighth of the lanes may be.
const FEW_FEATURES: usize = 256;
const VERY_FEW_FEATURES: usize = 32;

/// The fewest weights that overflow the second-level cache (512 KB). Class lanes read each of them once for several rows.
const LARGE_WEIGHTS: usize = 1 << 17;

/// The faster way for the lanes of a shape, which decides how its weights are packed.
pub(crate) const fn lanes(features: usize, classes: usize) -> Lanes {
    let empty = (PANEL - classes % PANEL) % PANEL;
    let full = classes >= PANEL && empty.saturating_mul(8) <= classes.saturating_add(empty);
    let few = features <= FEW_FEATURES;
    let large = features.saturating_mul(classes) >= LARGE_WEIGHTS;
    let very_few = features <= VERY_FEW_FEATURES && classes >= PANEL;
    if very_few || full && (few || large) { Lanes::Classes } else { Lanes::Features }
}

/// Whether a product of this shape gains from block-sparse rows. They come with feature lanes only.
pub(crate) const fn uses_block_sparse(features: usize, classes: usize) -> bool {
    classes >= BLOCK_SPARSE_CLASSES && matches!(lanes(features, classes), Lanes::Features)
}

/// Rows that a forward pass with feature lanes walks once for each group of classes: 16 rows of 784 f32 are 50 KB, which
/// the second-level cache holds between two walks with those of the next block, which are prefetched meanwhile. A full
/// pass took 0.6 to 0.7 times as long as with 64 rows and a prefetch distance of 4 (avx2, Zen 3). Pixels mostly need one
/// walk.
pub(super) const fn forward_rows<T: Element>() -> usize {
    if T::WIDENED { 64 } else { 16 }
}

/// Whether it prefetches whole matrices. With few classes the loads of rows take all the time there is: 100 rows of 784
/// f32 and 2 classes took 1.6 times as long. Pixels come as fast by themselves: with ten classes a full pass took 1.06
/// times as long (avx2, Zen 3). Picked rows are prefetched always, since the hardware cannot foresee them.
pub(super) const fn prefetches_whole<T: Element>(classes: usize) -> bool {
    !T::WIDENED && classes >= 4
}

/// Panels of a row between two prefetches: those that a cache line of 64 bytes holds.
pub(super) const fn panels_of_line<T>() -> usize {
    64 / size_of::<[T; PANEL]>()
}

/// The most rows that an update with feature lanes walks once for each tile: fewer, and the sums go into A more often.
pub(crate) const UPDATE_MOST_ROWS: usize = 128;

/// Rows that it walks once for each tile. 64 rows of 784 f32 are 200 KB, which the second-level cache holds between two
/// walks, and lie in some 50 pages, which the first-level TLB holds (64 to 96 entries). With 128 rows of f32 AVX2 loses a
/// tenth to the TLB; with 32, AVX-512 loses a twentieth to the tiles' ends. 128 rows of pixels lie in 25 pages, and gain
/// 2 % at AVX-512 and 4 % at AVX2 over 64.
pub(super) const fn update_rows<T: Element>() -> usize {
    if T::WIDENED { UPDATE_MOST_ROWS } else { 64 }
}

/// Panels of a strip where the classes need several groups: 64 rows of 2 panels are 8 KB, which stay in the first-level
/// cache from group to group.
pub(super) const UPDATE_STRIP: usize = 2;

/// Prefetch distance of block-sparse rows. A row takes 35 ns at avx512, several times less than a memory's latency. With
/// 4, 6 and 12 rows a forward pass and an update of 100 shuffled rows took 1.08, 1.01 and 0.99 times as long (Zen 5).
pub(super) const BLOCK_SPARSE_PREFETCH_ROWS: usize = 8;

/// Rows that a forward pass with class lanes reads a chunk's weights for: 128 rows of a chunk are 64 KB, which the
/// second-level cache holds.
pub(super) const CLASS_FORWARD_ROWS: usize = 128;

/// Panels of a chunk: 128 features of 48 classes are 24 KB, half of a first-level cache. With one panel, which would read
/// large weights in the order of the memory, one row of 768 features and 1000 classes took twice as long (avx2, Zen 3).
pub(super) const CLASS_FORWARD_CHUNK: usize = 8;

/// The most rows of a tile that prefetches the next group's weights: few rows wait for large weights, of which a group has
/// a line in every panel of a chunk. With 4 to 32 rows of 4096 features and 1000 classes it takes 0.6 to 0.8 of the time
/// (avx2, Zen 3); one row, which reads the weights at the memory's pace either way, as long.
pub(super) const CLASS_FORWARD_PREFETCH_MOST_ROWS: usize = 4;

/// Panels of classes that a group has with class lanes: with vectors of 16, three panels and 8 rows are 24 sums.
pub(super) const fn class_panels<S: Simd>() -> usize {
    if S::LANES == PANEL { 3 } else { 1 }
}

/// Rows that an update with class lanes walks once for each tile: the pages of 64 rows of x fit into the first-level TLB,
/// and 64 rows of 1000 classes of the residual, 256 KB, into the second-level cache. With 128 and 256 rows some shapes
/// gain a twentieth and others lose a tenth.
pub(super) const CLASS_UPDATE_ROWS: usize = 64;

/// The fewest rows with which a tile of it prefetches its lines of A before it goes through them: large weights come from
/// far away, and its end would wait for them. 100 rows of 2048 features and 1000 classes took 1.8 times as long without
/// (Zen 5). With one row there is nothing to wait behind, and prefetching took a sixth of the time.
pub(super) const CLASS_UPDATE_PREFETCH_ROWS: usize = 8;

/// Rows of so many bytes, a page, are prefetched a panel ahead: the hardware does not foresee columns of them.
pub(super) const CLASS_UPDATE_PREFETCH_BYTES: usize = 4096;

/// How rows are swept.
pub(super) struct SweepPlan {
    /// Parts of the rows, each with its own gradient.
    pub(super) parts: usize,
    /// The most rows of a block.
    pub(super) block: usize,
}

/// Rows of a part: its gradient is added to the others' in a hundredth of the time that its rows take.
const SWEEP_PART_ROWS: usize = 512;

/// The most parts: enough for 64 threads.
const SWEEP_MOST_PARTS: usize = 64;

/// Bytes of the rows of a block: with those of the next block and the weights they fill half of a second-level cache of
/// 512 KB.
const SWEEP_BLOCK_BYTES: usize = 200 << 10;

/// The least and the most rows of a block; a multiple of those that an update walks.
const SWEEP_LEAST_ROWS: usize = 16;
const SWEEP_MOST_ROWS: usize = 512;

/// Rows of a block whose products the threads share.
const SWEEP_SHARED_ROWS: usize = 512;

/// The least bytes of a batch that a step sweeps: more than a second-level cache holds of it from pass to pass. Steps on
/// 1000 rows of 784 pixels, 784 KB, take 1.07 to 1.16 times as long swept (avx2, Zen 3).
const SWEEP_STEP_BYTES: usize = 1 << 20;

/// Whether a step sweeps a batch.
pub(crate) const fn sweeps_step(rows: usize, row_bytes: usize, features: usize, classes: usize) -> bool {
    rows > most_rows_not_swept(row_bytes) && features.saturating_mul(classes) < LARGE_WEIGHTS
}

/// The most rows that it does not.
pub(crate) const fn most_rows_not_swept(row_bytes: usize) -> usize {
    SWEEP_STEP_BYTES / row_bytes
}

/// How rows are swept. Where the weights are large there is one part: gradients of parts would take more memory than the
/// rows.
pub(super) const fn sweep(rows: usize, row_bytes: usize, features: usize, classes: usize) -> SweepPlan {
    if features.saturating_mul(classes) >= LARGE_WEIGHTS {
        return SweepPlan { parts: 1, block: SWEEP_SHARED_ROWS };
    }
    let parts = rows.div_ceil(SWEEP_PART_ROWS);
    let block = SWEEP_BLOCK_BYTES / row_bytes / SWEEP_LEAST_ROWS * SWEEP_LEAST_ROWS;
    let (least, most) = (SWEEP_LEAST_ROWS, SWEEP_MOST_ROWS);
    SweepPlan {
        parts: if parts == 0 {
            1
        } else if parts > SWEEP_MOST_PARTS {
            SWEEP_MOST_PARTS
        } else {
            parts
        },
        block: if block < least {
            least
        } else if block > most {
            most
        } else {
            block
        },
    }
}

/// The most columns of a tile: classes with feature lanes, vectors of classes with class lanes.
const MOST_COLUMNS: usize = 12;

/// The size that goes with a group of 1, 2, ... columns; 0 where no group is that wide.
type Sizes = [usize; MOST_COLUMNS];

/// Tile sizes: how many rows, or vectors of features in an update, go with a group of columns. With 32 registers up to 24
/// hold sums, with 16 up to 12; some 8 are needed to hide the latency of a multiply-add (4 cycles, two a cycle). Among
/// the tiles that fit, those with the fewest loads a multiply-add.
pub(super) struct TileSizes {
    /// 32 registers of 16 lanes.
    avx512: Sizes,
    /// 16 registers of 8 lanes.
    avx2: Sizes,
    /// 32 registers of 4 lanes.
    neon: Sizes,
    /// 16 registers of 4 lanes.
    portable: Sizes,
}

impl TileSizes {
    /// Sizes that depend on the number of registers alone: with 32 and with 16.
    const fn by_registers(many: Sizes, few: Sizes) -> Self {
        Self { avx512: many, avx2: few, neon: many, portable: few }
    }

    const fn get<S: Simd>(&self) -> &Sizes {
        match (S::REGISTERS >= 32, S::LANES >= 8) {
            (true, true) => &self.avx512,
            (false, true) => &self.avx2,
            (true, false) => &self.neon,
            (false, false) => &self.portable,
        }
    }

    /// The size that goes with a group of `columns`.
    const fn size<S: Simd>(&self, columns: usize) -> usize {
        self.get::<S>()[columns - 1]
    }

    /// The widest group.
    pub(super) const fn most_columns<S: Simd>(&self) -> usize {
        let sizes = self.get::<S>();
        let mut columns = MOST_COLUMNS;
        while columns > 1 && sizes[columns - 1] == 0 {
            columns -= 1;
        }
        columns
    }
}

/// Rows with feature lanes.
pub(super) const FORWARD: TileSizes =
    TileSizes::by_registers([8, 8, 6, 6, 4, 4, 3, 3, 2, 2, 2, 2], [8, 4, 4, 3, 2, 2, 0, 0, 0, 0, 0, 0]);

/// The same for pixels, which are widened anew for each group: that costs more than loads. With 16 registers, ten classes
/// run at 0.79 of the peak as 1 x 10, at 0.52 as 2 x 5 twice.
pub(super) const FORWARD_PIXELS: TileSizes =
    TileSizes::by_registers([8, 8, 6, 6, 4, 4, 3, 3, 2, 2, 2, 2], [8, 4, 4, 3, 2, 2, 1, 1, 1, 1, 1, 1]);

/// Vectors of features with feature lanes; a power of two, so that a tile covers whole panels or divides one.
pub(super) const UPDATE: TileSizes =
    TileSizes::by_registers([8, 8, 4, 4, 4, 2, 2, 2, 2, 2, 2, 2], [8, 4, 4, 2, 2, 2, 0, 0, 0, 0, 0, 0]);

/// Rows with class lanes.
pub(super) const CLASS_FORWARD: TileSizes =
    TileSizes::by_registers([8, 8, 8, 6, 0, 0, 0, 0, 0, 0, 0, 0], [8, 6, 4, 2, 0, 0, 0, 0, 0, 0, 0, 0]);

/// Features with class lanes; they divide a panel.
pub(super) const CLASS_UPDATE: TileSizes =
    TileSizes::by_registers([16, 8, 8, 4, 0, 0, 0, 0, 0, 0, 0, 0], [8, 4, 4, 2, 0, 0, 0, 0, 0, 0, 0, 0]);

/// Block-sparse rows, one at a time. Eight classes and more make groups of at least four. With 16 registers, a block of
/// two vectors leaves room for 12 classes, one of four for 6.
pub(super) const BLOCK_SPARSE_FORWARD: TileSizes = TileSizes {
    avx512: [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    avx2: [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    neon: [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    portable: [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0],
};

/// Vectors of a block-sparse row's panel, all of them.
pub(super) const BLOCK_SPARSE_UPDATE: TileSizes = TileSizes {
    avx512: [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    avx2: [0, 0, 0, 2, 2, 2, 0, 0, 0, 0, 0, 0],
    neon: [0, 0, 0, 4, 4, 4, 0, 0, 0, 0, 0, 0],
    portable: [0, 4, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// Work on tiles whose size is a constant.
pub(super) trait Tiled {
    /// The sizes.
    const SIZES: TileSizes;
    /// Does the work on tiles of `SIZE` by `COLUMNS`, and what is left over on smaller ones.
    fn tiles<S: Simd, const SIZE: usize, const COLUMNS: usize>(self, simd: S);
}

/// Work on tiles of one size: a function of its own, so that each is compiled once and by itself.
struct Tiles<W, const SIZE: usize, const COLUMNS: usize>(W);

impl<W: Tiled, const SIZE: usize, const COLUMNS: usize> Kernel for Tiles<W, SIZE, COLUMNS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        self.0.tiles::<S, SIZE, COLUMNS>(simd);
    }
}

/// Does work on tiles of the size for a group of `columns`.
#[inline(always)]
pub(super) fn on_tiles<S: Simd, W: Tiled>(simd: S, columns: usize, work: W) {
    // Only the sizes of the table are compiled: the conditions are constants.
    macro_rules! sizes {
        ($($columns:literal)+) => {
            match columns {
                $($columns => sizes!($columns: 1 2 3 4 6 8 16),)+
                _ => {}
            }
        };
        ($columns:literal: $($size:literal)+) => {{
            $(if const { W::SIZES.size::<S>($columns) == $size } {
                return simd.call(Tiles::<W, $size, $columns>(work));
            })+
        }};
    }
    sizes!(1 2 3 4 5 6 7 8 9 10 11 12);
    unreachable!("no table has tiles of {columns} columns");
}
