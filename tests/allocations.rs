//! What must not allocate: a training step, a batch, the prediction of one row; and how much predicting many rows may.
//! Counted on the thread that does it.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use softreg::{Batch, Dataset, Matrix, Schedule, Sgd, SoftmaxRegression, Targets, Trainer, kernel};
use support::descent::Kind;
use support::levels::levels;
use support::random::Random;

/// The system's allocator, which counts the calling thread's allocations.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    /// Bytes that the thread holds, less those that it gave back, and their peak.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
    HELD.set(HELD.get() + bytes as isize);
    PEAK.set(PEAK.get().max(HELD.get()));
}

fn uncount(bytes: usize) {
    HELD.set(HELD.get() - bytes as isize);
}

#[allow(unsafe_code, reason = "an allocator is an unsafe trait, and only an allocator sees every allocation")]
// SAFETY: every call goes to the system's allocator as it came; the counter is a plain thread-local number, which
// neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise is the one that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        uncount(layout.size());
        count(size);
        // SAFETY: as in `alloc`; the memory came from the system's allocator, like all that this one gives out.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        uncount(layout.size());
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

/// What `work` returns, and the most bytes that it holds at once on this thread.
fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let result = work();
    (result, (PEAK.get() - before) as usize)
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

/// Whatever the optimizer remembers, clips and averages; by the epoch too, whose last batch is smaller.
#[test]
fn a_step_of_any_optimizer_after_the_first_allocates_nothing() {
    for data in [pixels(), values(), skipped()] {
        for level in levels() {
            for kind in Kind::ALL {
                let model = SoftmaxRegression::zeros(FEATURES, CLASSES).with_level(level);
                let trainer = Trainer::new(model, kind.settings(0.001)).clip_norm(0.5).averaging(0);
                let mut trainer = trainer.schedule(Schedule::cosine(100, 0.1).warm_up(3, 0.1));
                let mut batches = data.batches(100);
                trainer.step(batches.next_batch()).expect("the shapes fit");
                let mut shown = trainer.model().clone();
                let counted = allocations(|| {
                    for _ in 0..3 {
                        trainer.epoch(&mut batches).expect("the shapes fit");
                        trainer.observe(1.0).expect("a finite loss");
                        shown.clone_from(trainer.model());
                    }
                });
                assert_eq!(counted, 0, "{level}, {kind:?}, {data:?}");
                assert_eq!(&shown, trainer.model());
            }
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
                model.predict_log_proba_into(x, &mut out).expect("the shapes fit");
                model.predict_proba_into(x, &mut out).expect("the shapes fit");
            });
            assert_eq!(counted, 0, "{level}");
            assert!((out.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{level}: {out:?} are probabilities");
        }
    }
}

/// From its making on, whatever it is asked and whatever becomes of a row.
#[test]
fn a_predictor_allocates_nothing() {
    let mut random = Random::new(10);
    let (w, b) = (random.numbers(FEATURES * CLASSES, 0.1), random.numbers(CLASSES, 0.1));
    let (value, pixel) = (random.numbers(FEATURES, 1.0), random.pixels(FEATURES));
    for level in levels() {
        let model = SoftmaxRegression::from_row_major(&w, &b, FEATURES, CLASSES).expect("the lengths fit");
        let model = model.with_level(level).with_threads(4);
        let mut predictor = model.predictor();
        let counted = allocations(|| {
            for k in 1..=CLASSES {
                assert_eq!(predictor.top_k(&value, k).expect("k in range").len(), k);
                assert_eq!(predictor.top_k(&pixel, k).expect("k in range").len(), k);
            }
            let class = predictor.class(&value).expect("one row");
            assert!(predictor.probabilities(&value).expect("one row")[class as usize] > 0.1);
            assert!(predictor.logits(&pixel).is_ok() && predictor.log_probabilities(&pixel).is_ok());
            assert!(predictor.margin(&pixel).is_ok() && predictor.class(&[f32::NAN; FEATURES]).is_err());
        });
        assert_eq!(counted, 0, "{level}");
    }
}

/// The model of a trainer that skipped zeros predicts single rows of any dataset without an allocation: its weights are in
/// their natural order, whatever the steps used.
#[test]
fn predicting_by_a_trainer_that_skips_zeros_allocates_nothing() {
    let (skipped, other) = (skipped(), values());
    let (first, _) = other.split_at(1).expect("one of 250");
    for level in levels() {
        let model = SoftmaxRegression::zeros(FEATURES, CLASSES).with_level(level);
        let mut trainer = Trainer::new(model, Sgd::new(0.001));
        let mut batches = skipped.batches(100);
        trainer.step(batches.next_batch()).expect("the shapes fit");
        let mut out = [0.0; CLASSES];
        let counted = allocations(|| {
            for _ in 0..3 {
                trainer.step(batches.next_batch()).expect("the shapes fit");
                trainer.model().logits_into(first.x(), &mut out).expect("the shapes fit");
                trainer
                    .model()
                    .predict_proba_into(skipped.x().select(&[7]).expect("a row"), &mut out)
                    .expect("they fit");
            }
        });
        assert_eq!(counted, 0, "{level}");
        assert!((out.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{level}: {out:?} are probabilities");
    }
}

/// All logits of 20,000 rows and 1000 classes are 80 MB; beside data and answer less than 16 MB are held.
#[test]
fn predicting_many_rows_and_classes_takes_bounded_memory() {
    const MOST: usize = 16 << 20;
    let (rows, classes) = (20_000, 1000);
    let values = Random::new(6).numbers(rows * 2, 1.0);
    let (labels, w) = (vec![7_u32; rows], Random::new(7).numbers(2 * classes, 1.0));
    let x = Matrix::from_f32(&values, 2).expect("two features");
    let model = SoftmaxRegression::from_row_major(&w, &vec![0.0; classes], 2, classes).expect("the lengths fit");
    let batch = || Batch::new(x, &labels[..]).expect("rows agree");
    let (answer, predicting) = peak(|| model.predict(x).expect("the shapes fit"));
    let (top, ranking) = peak(|| model.top_k(x, 5).expect("the shapes fit"));
    let (best, scoring) = peak(|| model.top_k_proba(x, 5).expect("the shapes fit"));
    let (temperature, calibrating) = peak(|| model.temperature(batch()).expect("the shapes fit"));
    let (evaluation, evaluating) = peak(|| model.evaluate(batch()).expect("the shapes fit"));
    assert!(predicting < MOST + 4 * rows, "{predicting} bytes to predict");
    assert!(ranking < MOST + 20 * rows, "{ranking} bytes to rank");
    assert!(scoring < MOST + 40 * rows, "{scoring} bytes to rank with probabilities");
    assert!(calibrating < MOST && temperature > 0.0, "{calibrating} bytes to calibrate");
    assert!(evaluating < MOST, "{evaluating} bytes to evaluate");
    assert!(best.iter().map(|best| best.class).eq(top.iter().copied()));
    // The pieces are the whole: the same classes, the same losses in the same order.
    let mut proba = model.predict_log_proba(x).expect("the shapes fit");
    let best =
        |row: &[f32]| (0..).zip(row).fold((0, f32::MIN), |best, at| if *at.1 > best.1 { (at.0, *at.1) } else { best });
    assert!(proba.chunks_exact(classes).map(|row| best(row).0).eq(answer.iter().copied()));
    assert!(top.chunks_exact(5).map(|row| row[0]).eq(answer.iter().copied()));
    model.logits_into(x, &mut proba).expect("the shapes fit");
    let mut losses = vec![0.0; rows];
    let sum =
        kernel::cross_entropy(model.level(), batch().targets, classes, &mut proba, &mut losses).expect("they fit");
    assert_eq!(evaluation.log_loss, sum / rows as f64);
}

/// Not even in a model that was trained on rows with an index of their zeros.
#[test]
fn predicting_with_a_trained_model_allocates_nothing() {
    let (plain, skipped) = (values(), skipped());
    for (level, data) in levels().into_iter().flat_map(|level| [&plain, &skipped].map(|data| (level, data))) {
        let mut trainer = Trainer::new(SoftmaxRegression::zeros(FEATURES, CLASSES).with_level(level), Sgd::new(0.001));
        trainer.step(data.as_batch()).expect("the shapes fit");
        let model = trainer.into_model();
        let mut out = vec![0.0; ROWS * CLASSES];
        for (name, x) in [("plain", plain.x()), ("indexed", skipped.x())] {
            let counted = allocations(|| model.predict_proba_into(x, &mut out).expect("the shapes fit"));
            assert_eq!(counted, 0, "{level}, trained on {data:?}, {name} rows");
        }
    }
}

/// More rows of unknown size than twice the classes might make parameters overflow: what they were is kept in one place.
#[test]
fn a_careful_step_after_the_first_allocates_nothing() {
    let mut random = Random::new(8);
    let (values, labels) = (random.numbers(ROWS * FEATURES, 1.0), random.labels(ROWS, CLASSES));
    let x = Matrix::from_f32(&values, FEATURES).expect("whole rows");
    let batch = Batch::new(x, &labels[..]).expect("rows agree");
    for level in levels() {
        let model = SoftmaxRegression::zeros(FEATURES, CLASSES).with_level(level);
        let mut trainer = Trainer::new(model, Sgd::new(0.001));
        trainer.step(batch).expect("the shapes fit");
        let counted = allocations(|| {
            for _ in 0..3 {
                trainer.step(batch).expect("the shapes fit");
            }
        });
        assert_eq!(counted, 0, "{level}");
    }
}

/// Steps on more than a megabyte of rows are swept: those that follow take the same buffers, swept or not.
#[test]
fn steps_after_a_sweep_allocate_nothing() {
    let (rows, mut random) = (1100, Random::new(9));
    let values = random.numbers(rows * FEATURES, 1.0);
    let data = Dataset::from_f32(values, random.labels(rows, CLASSES), FEATURES, CLASSES).expect("the lengths fit");
    let batches = [1100, 1000, 513, 400, 335, 334, 333, 100, 1].map(|rows| data.split_at(rows).expect("fewer rows").0);
    for level in levels() {
        let model = SoftmaxRegression::zeros(FEATURES, CLASSES).with_level(level);
        let mut trainer = Trainer::new(model, Sgd::new(0.001));
        trainer.step(data.as_batch()).expect("the shapes fit");
        for batch in &batches {
            let counted = allocations(|| {
                trainer.step(batch.as_batch()).expect("the shapes fit");
            });
            assert_eq!(counted, 0, "{level}, {batch:?}");
        }
    }
}
