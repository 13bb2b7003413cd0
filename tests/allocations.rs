//! What must not allocate: a training step, a batch, the prediction of one row; counted, on the thread that does it.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use softreg::{Batch, Dataset, Matrix, Sgd, SoftmaxRegression, Targets, Trainer};
use support::levels::levels;
use support::random::Random;

/// The system's allocator, which counts the calling thread's allocations.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

#[allow(unsafe_code, reason = "an allocator is an unsafe trait, and only an allocator sees every allocation")]
// SAFETY: every call goes to the system's allocator as it came; the counter is a plain thread-local number, which
// neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is the one that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as in `alloc`; the memory came from the system's allocator, like all that this one gives out.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as in `realloc`.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many allocations `work` makes on this thread.
fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

const ROWS: usize = 250;
const FEATURES: usize = 784;
const CLASSES: usize = 10;

fn pixels() -> Dataset {
    let mut random = Random::new(1);
    let labels = random.labels(ROWS, CLASSES).into_iter().map(|label| label as u8).collect();
    Dataset::from_u8(random.pixels(ROWS * FEATURES), labels, FEATURES, CLASSES).expect("the lengths fit")
}

fn values() -> Dataset {
    let mut random = Random::new(2);
    let labels = random.labels(ROWS, CLASSES);
    Dataset::from_f32(random.numbers(ROWS * FEATURES, 1.0), labels, FEATURES, CLASSES).expect("the lengths fit")
}

/// Pixels of which most are zero, with their index.
fn skipped() -> Dataset {
    let mut random = Random::new(5);
    let labels = random.labels(ROWS, CLASSES).into_iter().map(|label| label as u8).collect();
    let mut pixels = random.pixels(ROWS * FEATURES);
    pixels.chunks_exact_mut(FEATURES).for_each(|row| row[random.below(FEATURES)..].fill(0));
    let data = Dataset::from_u8(pixels, labels, FEATURES, CLASSES).expect("the lengths fit").skip_zeros();
    assert!(data.skips_zeros());
    data
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| ()), 0);
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![0u8; 10]))), 1);
}

#[test]
fn a_step_after_the_first_allocates_nothing() {
    for data in [pixels(), values(), skipped()] {
        for level in levels() {
            let model = SoftmaxRegression::zeros(FEATURES, CLASSES).with_level(level);
            let mut trainer = Trainer::new(model, Sgd::new(0.001));
            let mut batches = data.batches(100);
            trainer.step(batches.next_batch()).expect("the shapes fit");
            // Ten steps of 100 cross the end of an epoch of 250 rows four times.
            let counted = allocations(|| {
                for _ in 0..10 {
                    trainer.step(batches.next_batch()).expect("the shapes fit");
                }
            });
            assert_eq!(counted, 0, "{level}, {data:?}");
        }
    }
}

/// A smaller batch fits the workspace of a larger one, and soft targets need no more than labels.
#[test]
fn a_smaller_step_and_one_of_soft_targets_allocate_nothing() {
    let data = values();
    let soft = Random::new(3).soft_targets(ROWS, CLASSES);
    let soft =
        Batch::new(data.x(), Targets::from_probabilities(&soft, CLASSES).expect("whole rows")).expect("rows agree");
    let (small, _) = data.split_at(33).expect("33 of 250");
    for level in levels() {
        let model = SoftmaxRegression::zeros(FEATURES, CLASSES).with_level(level);
        let mut trainer = Trainer::new(model, Sgd::new(0.001));
        trainer.step(data.as_batch()).expect("the shapes fit");
        let counted = allocations(|| {
            trainer.step(small.as_batch()).expect("the shapes fit");
            trainer.step(soft).expect("the shapes fit");
        });
        assert_eq!(counted, 0, "{level}");
    }
}

#[test]
fn a_batch_allocates_nothing() {
    let data = pixels();
    // Less than, as much as and more than an epoch.
    for size in [1, 100, ROWS, 3 * ROWS + 1] {
        let mut shuffled = data.batches(size).seed(5);
        let mut in_order = data.batches(size).in_file_order();
        let counted = allocations(|| {
            for _ in 0..2 * ROWS {
                assert_eq!(shuffled.next_batch().x.rows(), size);
                assert_eq!(in_order.next_batch().x.rows(), size);
            }
        });
        assert_eq!(counted, 0, "batches of {size}");
    }
}

#[test]
fn predicting_one_row_into_a_buffer_allocates_nothing() {
    let mut random = Random::new(4);
    let (w, b) = (random.numbers(FEATURES * CLASSES, 0.1), random.numbers(CLASSES, 0.1));
    let (value, pixel) = (random.numbers(FEATURES, 1.0), random.pixels(FEATURES));
    for level in levels() {
        let model =
            SoftmaxRegression::from_row_major(&w, &b, FEATURES, CLASSES).expect("the lengths fit").with_level(level);
        for x in [Matrix::from_f32(&value, FEATURES), Matrix::from_u8(&pixel, FEATURES)] {
            let (x, mut out) = (x.expect("one row"), [0.0; CLASSES]);
            let counted = allocations(|| {
                model.logits_into(x, &mut out).expect("the shapes fit");
                model.predict_proba_into(x, &mut out).expect("the shapes fit");
            });
            assert_eq!(counted, 0, "{level}");
            assert!((out.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{level}: {out:?} are probabilities");
        }
    }
}
