//! MNIST's training images in memory, as pixels and as f32; the first rows of it as a batch that stays hot; and batches
//! shuffled and gathered for the rivals, which need their rows contiguous. Our own batches are the library's.

use super::random::Random;
use super::{CLASSES, FEATURES};
use softreg::{Batch, Dataset, Matrix, Targets, idx};
use std::fmt;

/// What a row is stored as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Element {
    F32,
    U8,
}

impl Element {
    pub(crate) const BOTH: [Self; 2] = [Self::F32, Self::U8];

    /// In bytes.
    pub(crate) const fn size(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::U8 => 1,
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::F32 => "f32",
            Self::U8 => "u8",
        })
    }
}

/// Training images of MNIST, in file order: the same rows as pixels and as `pixel / 255`.
pub(crate) struct Images {
    pub(crate) pixels: Vec<u8>,
    pub(crate) values: Vec<f32>,
    pub(crate) labels: Vec<u8>,
}

impl Images {
    /// All 60,000.
    pub(crate) fn all() -> Self {
        let [images, labels] = [0, 1].map(|file| {
            let (name, bytes) = softreg_mnist::FILES[file];
            idx::read(bytes, name).expect("the embedded files are whole").data
        });
        Self::new(images, labels)
    }

    /// A copy of the first `rows`.
    pub(crate) fn first(&self, rows: usize) -> Self {
        Self::new(self.pixels[..rows * FEATURES].to_vec(), self.labels[..rows].to_vec())
    }

    fn new(pixels: Vec<u8>, labels: Vec<u8>) -> Self {
        let values = pixels.iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
        Self { pixels, values, labels }
    }

    pub(crate) fn rows(&self) -> usize {
        self.labels.len()
    }

    pub(crate) fn x(&self, element: Element) -> Matrix<'_> {
        match element {
            Element::F32 => Matrix::from_f32(&self.values, FEATURES),
            Element::U8 => Matrix::from_u8(&self.pixels, FEATURES),
        }
        .expect("whole rows")
    }

    pub(crate) fn targets(&self) -> Targets<'_> {
        Targets::from_u8(&self.labels)
    }

    pub(crate) fn batch(&self, element: Element) -> Batch<'_> {
        Batch::new(self.x(element), self.targets()).expect("a label a row")
    }

    /// A copy as the library's own dataset.
    pub(crate) fn dataset(&self, element: Element) -> Dataset {
        match element {
            Element::F32 => {
                let labels = self.labels.iter().map(|&label| u32::from(label)).collect();
                Dataset::from_f32(self.values.clone(), labels, FEATURES, CLASSES)
            }
            Element::U8 => Dataset::from_u8(self.pixels.clone(), self.labels.clone(), FEATURES, CLASSES),
        }
        .expect("labels are digits")
    }

    /// The exact values of the pixels.
    pub(crate) fn wide(&self) -> Vec<f64> {
        self.pixels.iter().map(|&pixel| f64::from(pixel) / 255.0).collect()
    }

    /// The labels as target probabilities `[rows, classes]`.
    pub(crate) fn wide_one_hot(&self) -> Vec<f64> {
        let mut hot = vec![0.0; self.rows() * CLASSES];
        hot.chunks_exact_mut(CLASSES).zip(&self.labels).for_each(|(row, &label)| row[usize::from(label)] = 1.0);
        hot
    }
}

/// Batches for the rivals: each epoch shuffled anew, the rows of a batch brought together as f32, copied or widened from
/// what they are stored as. The order costs what the library's own `Batches` costs.
pub(crate) struct Gathered<'a> {
    images: &'a Images,
    element: Element,
    order: Vec<usize>,
    used: usize,
    random: Random,
    /// One batch.
    values: Vec<f32>,
    labels: Vec<u8>,
}

impl<'a> Gathered<'a> {
    pub(crate) fn new(images: &'a Images, element: Element, size: usize) -> Self {
        Self {
            images,
            element,
            order: (0..images.rows()).collect(),
            used: images.rows(),
            random: Random::new(0),
            values: vec![0.0; size * FEATURES],
            labels: vec![0; size],
        }
    }

    /// The next batch: its rows and their labels.
    pub(crate) fn next_batch(&mut self) -> (&[f32], &[u8]) {
        for (values, label) in self.values.chunks_exact_mut(FEATURES).zip(&mut self.labels) {
            if self.used == self.order.len() {
                self.used = 0;
                for last in (1..self.order.len()).rev() {
                    self.order.swap(last, self.random.below(last + 1));
                }
            }
            let row = self.order[self.used];
            self.used += 1;
            let cells = row * FEATURES..(row + 1) * FEATURES;
            match self.element {
                Element::F32 => values.copy_from_slice(&self.images.values[cells]),
                Element::U8 => {
                    let pixels = &self.images.pixels[cells];
                    values.iter_mut().zip(pixels).for_each(|(value, &pixel)| *value = f32::from(pixel) * (1.0 / 255.0));
                }
            }
            *label = self.images.labels[row];
        }
        (&self.values, &self.labels)
    }
}
