//! Shapes, ragged on purpose, and the inputs of one case. Expected values are `expect`'s business.

use std::fmt;

use softreg::Matrix;

use super::expect::wide;
use super::guarded::{Guarded, SENTINEL};
use super::random::Random;

/// Vectors of features are 4 (NEON), 8 (AVX2) or 16 (AVX-512) lanes, taken singly or in pairs.
pub(crate) const FEATURES: [usize; 26] = [
    1, 2, // less than any vector, odd and even
    3, 4, 5, // one NEON vector
    7, 8, 9, // one AVX2 vector, two of NEON
    15, 16, 17, // one AVX-512 vector, two of AVX2
    31, 32, 33, // two AVX-512 vectors
    47, 48, 49, // three: an odd number of vectors with a full, an empty and a one-lane tail
    63, 64, 65, // one cache line of bytes
    100, 127, 128, // many whole vectors and a tail of 4, of all but one, of none
    784, 785,  // the tutorial's, 49 whole AVX-512 vectors; one more
    1030, // above 1024, where blocks of features would end
];

/// Classes are accumulated in tiles of up to about a dozen, transposed in 4 x 4 to 16 x 16, and run along the lanes in
/// panels of 16, up to three to a tile, where they are many or the features few.
pub(crate) const CLASSES: [usize; 25] = [
    1, // softmax of one class: always 1
    2, // the smallest that learns
    3, 4, 5, // a transposed tile of 4; half a tile of 10
    6, 7, 8, 9, // a tile of 8
    10, 11, // the tutorial's tile and one more
    12, 13, // three tiles of 4 and one more
    16, 17, // a tile of 16
    24, 25, 26, // two tiles of 12, five of 5, and one more
    32, 33, 48, 64, 65, // several tiles with and without a tail; two, three and four panels
    100, 300, // many classes
];

/// Rows go in pairs or fours through the forward, in sixteens through the softmax, in blocks through the gradient.
pub(crate) const ROWS: [usize; 15] = [
    0, // an empty batch is a batch
    1, 2, 3, // one row; a pair; a pair and a half
    4, 5, // a tile of four
    7, 8, // one AVX2 vector of rows
    15, 16, 17,  // one AVX-512 vector of rows
    33,  // two and a rest of one
    100, // the tutorial's batch
    129, 300, // more rows than a small block
];

/// Rows per L2 block are some hundreds at 784 features, thousands at few: these cross a block's end everywhere.
const LONG: [(usize, usize, usize); 6] =
    [(1023, 784, 10), (1025, 785, 10), (4099, 33, 10), (2050, 784, 3), (700, 784, 26), (20_001, 3, 2)];

/// Very many classes of very many rows, with few features.
pub(crate) const WIDE: [(usize, usize, usize); 5] =
    [(511, 3, 2048), (512, 17, 2047), (512, 33, 2048), (1025, 5, 2049), (515, 19, 3075)];

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shape {
    pub(crate) rows: usize,
    pub(crate) features: usize,
    pub(crate) classes: usize,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows x {} features x {} classes", self.rows, self.features, self.classes)
    }
}

/// Every pair of features and classes, of features and rows, and of classes and rows occurs at least once: the row
/// counts run along both diagonals of the features x classes table, both of whose sides are longer than their list.
pub(crate) fn ragged_shapes() -> Vec<Shape> {
    let mut shapes = Vec::new();
    for (i, &features) in FEATURES.iter().enumerate() {
        for (j, &classes) in CLASSES.iter().enumerate() {
            shapes.push(Shape { rows: ROWS[(i + j) % ROWS.len()], features, classes });
        }
    }
    let more = LONG.into_iter().chain(WIDE);
    shapes.extend(more.map(|(rows, features, classes)| Shape { rows, features, classes }));
    shapes
}

/// The type of a case's stored inputs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    F32,
    U8,
}

/// One batch in all its guises: `rows` rows picked with repeats from `stored` rows, and the same rows gathered.
pub(crate) struct Case {
    pub(crate) shape: Shape,
    pub(crate) weights: Vec<f32>,
    pub(crate) bias: Guarded<f32>,
    /// `[rows, classes]`, of the size that `p - y` has.
    pub(crate) residual: Guarded<f32>,
    index: Vec<usize>,
    values: [Guarded<f32>; 2],
    pixels: [Guarded<u8>; 2],
}

impl Case {
    pub(crate) fn new(shape: Shape, seed: u64) -> Self {
        let Shape { rows, features, classes } = shape;
        let mut random = Random::new(seed);
        let stored = rows / 2 + 2;
        let index = random.indices(rows, stored);
        let pixels = random.pixels(stored * features);
        let mut values = random.numbers(stored * features, 2.0);
        // The zeros of an image, for code that skips them; a negative zero is one too.
        values.iter_mut().zip(&pixels).filter(|(_, pixel)| **pixel == 0).for_each(|(value, _)| *value *= 0.0);
        let offset = seed as usize;
        Self {
            shape,
            weights: random.numbers(features * classes, 1.0),
            bias: Guarded::new(&random.numbers(classes, 1.0), offset, SENTINEL),
            residual: Guarded::new(&random.numbers(rows * classes, 1.0), offset + 1, SENTINEL),
            values: pair(&values, &index, features, offset + 2, SENTINEL),
            pixels: pair(&pixels, &index, features, offset, 255),
            index,
        }
    }

    /// The same batch as a gathered matrix and as a selection.
    pub(crate) fn inputs(&self, kind: Kind) -> [(&'static str, Matrix<'_>); 2] {
        let features = self.shape.features;
        let matrix = |which: usize| match kind {
            Kind::F32 => Matrix::from_f32(&self.values[which], features),
            Kind::U8 => Matrix::from_u8(&self.pixels[which], features),
        };
        let whole = matrix(1).expect("the gathered rows are whole");
        let selected = matrix(0).and_then(|stored| stored.select(&self.index)).expect("the index is in range");
        match kind {
            Kind::F32 => [("f32", whole), ("f32 selected", selected)],
            Kind::U8 => [("u8", whole), ("u8 selected", selected)],
        }
    }

    /// What the batch's rows are, `[rows, features]`.
    pub(crate) fn x(&self, kind: Kind) -> Vec<f64> {
        match kind {
            Kind::F32 => wide(&self.values[1]),
            Kind::U8 => self.pixels[1].iter().map(|&pixel| f64::from(pixel) * f64::from(1.0f32 / 255.0)).collect(),
        }
    }
}

/// The stored rows, and the rows of `index` gathered from them.
fn pair<T: Copy + PartialEq>(
    stored: &[T],
    index: &[usize],
    features: usize,
    offset: usize,
    edge: T,
) -> [Guarded<T>; 2] {
    let gathered: Vec<T> = index.iter().flat_map(|row| &stored[row * features..][..features]).copied().collect();
    [Guarded::new(stored, offset, edge), Guarded::new(&gathered, offset + 1, edge)]
}
