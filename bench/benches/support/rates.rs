//! How the criterion benches measure, and what their rates count. What they run is theirs.

use super::data::Element;
use super::{CLASSES, FEATURES};
use criterion::{BenchmarkId, Criterion, Throughput};
use std::fmt::Display;
use std::time::Duration;

/// Short measurements, as there are hundreds of them; the command line overrides them.
pub(crate) fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30)
        .configure_from_args()
}

/// A product of `rows` rows with the weights: its multiply-adds (one is two FLOP), and the bytes of the rows.
pub(crate) fn product(rows: usize, element: Element) -> Throughput {
    let values = (rows * FEATURES) as u64;
    Throughput::ElementsAndBytes { elements: values * CLASSES as u64, bytes: values * element.size() }
}

/// A step: the multiply-adds of its two products, and the bytes of the rows, which each product reads once.
pub(crate) fn step(rows: usize, element: Element) -> Throughput {
    let values = (rows * FEATURES) as u64;
    Throughput::ElementsAndBytes { elements: 2 * values * CLASSES as u64, bytes: 2 * values * element.size() }
}

/// What is done to each of `rows` rows of logits, f32 in place: the logits, and their bytes.
pub(crate) fn rows_of_logits(rows: usize) -> Throughput {
    let logits = (rows * CLASSES) as u64;
    Throughput::ElementsAndBytes { elements: logits, bytes: logits * size_of::<f32>() as u64 }
}

/// A case and its batch: `avx512/100`.
pub(crate) fn id(who: impl Display, rows: usize) -> BenchmarkId {
    BenchmarkId::new(who.to_string(), rows)
}
