//! No kernel touches a byte outside its slices. In this binary every allocation lies against a page that can be neither
//! read nor written, behind its end or before its start, so that one byte too far ends the process with a word on what
//! was going on. Results are `kernels.rs`'s business.
#![cfg(unix)] // the pages are made by mmap and mprotect
#![allow(unsafe_code, reason = "an allocator is an unsafe trait, and so are calls into the C library")]

mod support;

use softreg::{Batch, Dataset, Level, Matrix, Parameters, Sgd, SoftmaxRegression, Targets, Trainer, kernel};
use support::cases::Shape;
use support::levels::levels;
use support::random::Random;

/// The allocator whose pages are fenced.
mod fence {
    use std::alloc::{GlobalAlloc, Layout};
    use std::cell::Cell;
    use std::ptr::null_mut;

    /// Which side of an allocation lies against a page out of reach. On the other there is room up to the page's end.
    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Edge {
        Start,
        End,
    }

    thread_local! {
        static EDGE: Cell<Edge> = const { Cell::new(Edge::End) };
    }

    /// Makes this thread's next allocations lie so.
    pub(crate) fn lay_against(edge: Edge) {
        EDGE.set(edge);
    }

    fn page() -> usize {
        // SAFETY: the call has no precondition.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        page as usize
    }

    struct Fenced;

    #[global_allocator]
    static ALLOCATOR: Fenced = Fenced;

    // SAFETY: memory comes in whole pages from the system, never twice, aligned to a page or, within the first, to what
    // the layout says; nothing here unwinds. The provided `realloc` goes through these two and moves every time.
    unsafe impl GlobalAlloc for Fenced {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            let page = page();
            let len = layout.size().next_multiple_of(page);
            let (private, none) = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, libc::PROT_NONE);
            // SAFETY: a new mapping, where the system has room for it.
            let all = unsafe { libc::mmap(null_mut(), len + 2 * page, none, private, -1, 0) };
            if all == libc::MAP_FAILED || layout.align() > page {
                return null_mut();
            }
            let inner = all.wrapping_byte_add(page);
            // SAFETY: these pages are the middle of the mapping, which nobody else knows of.
            if unsafe { libc::mprotect(inner, len, libc::PROT_READ | libc::PROT_WRITE) } != 0 {
                return null_mut();
            }
            let gap = match EDGE.get() {
                Edge::Start => 0,
                Edge::End => (len - layout.size()) / layout.align() * layout.align(),
            };
            inner.wrapping_byte_add(gap).cast()
        }

        unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
            let page = page();
            let len = layout.size().next_multiple_of(page);
            // The gap is less than a page.
            let before = memory.addr() % page + page;
            // SAFETY: that is the whole mapping that `alloc` made for this layout, and the caller is done with it.
            unsafe { libc::munmap(memory.wrapping_byte_sub(before).cast(), len + 2 * page) };
        }
    }

    /// Whether the system can read the byte: it refuses to copy from a page out of reach where a load would fault.
    pub(crate) fn is_readable(byte: *const u8) -> bool {
        let mut pipe = [0; 2];
        // SAFETY: the array has room for the two descriptors.
        assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0, "a pipe can be had");
        // SAFETY: the system checks the address.
        let written = unsafe { libc::write(pipe[1], byte.cast(), 1) };
        for end in pipe {
            // SAFETY: the descriptor is open and this function's own.
            unsafe { libc::close(end) };
        }
        written == 1
    }
}

/// What to say when a fault ends the process.
mod last_words {
    use std::iter::repeat;
    use std::sync::Once;
    use std::sync::atomic::{AtomicU8, Ordering};

    /// Spaces fill it up.
    static TEXT: [AtomicU8; 200] = [const { AtomicU8::new(b' ') }; 200];

    static INSTALLED: Once = Once::new();

    extern "C" fn say(signal: libc::c_int) {
        let begin = "\ntouched a byte outside its slice: ";
        for (text, len) in
            [(begin.as_ptr(), begin.len()), (TEXT.as_ptr().cast(), TEXT.len()), (c"\n".as_ptr().cast(), 1)]
        {
            // SAFETY: so many bytes are there, for as long as the process; a handler may call this.
            unsafe { libc::write(2, text.cast(), len) };
        }
        // SAFETY: a handler may call this too. What faulted is tried again on return, and ends the process.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }

    /// Sets the words for all that follows.
    pub(crate) fn are(text: &str) {
        for (to, byte) in TEXT.iter().zip(text.bytes().chain(repeat(b' '))) {
            to.store(byte, Ordering::Relaxed);
        }
        INSTALLED.call_once(|| {
            for signal in [libc::SIGSEGV, libc::SIGBUS] {
                let handler = say as extern "C" fn(libc::c_int);
                // SAFETY: the handler does nothing but what a handler may do.
                unsafe { libc::signal(signal, handler as libc::sighandler_t) };
            }
        });
    }
}

use fence::Edge;

const EDGES: [Edge; 2] = [Edge::Start, Edge::End];

/// Tails of every vector, in bytes and in floats; and whole vectors and panels, which have none.
const FEATURES: [usize; 14] = [1, 2, 3, 5, 7, 8, 9, 13, 15, 16, 17, 31, 33, 100];

/// The lanes run along the features with some, along the classes with others.
const CLASSES: [usize; 10] = [1, 3, 7, 8, 10, 13, 16, 20, 33, 48];

const ROWS: [usize; 3] = [1, 4, 19];

/// Exactly as long as its allocation, which is fenced.
fn exact<T: Copy>(values: &[T]) -> Box<[T]> {
    values.into()
}

/// Elements from the end of a strided row to the start of the next.
const GAP: usize = 7;

/// Rows of numbers and of pixels, one after the other and a stride apart, some of them picked.
struct Rows {
    values: Box<[f32]>,
    pixels: Box<[u8]>,
    /// Nothing follows the last row.
    strided_values: Box<[f32]>,
    strided_pixels: Box<[u8]>,
    /// The last row first.
    picked: Box<[usize]>,
}

impl Rows {
    fn new(Shape { rows, features, .. }: Shape, random: &mut Random) -> Self {
        let strided = (rows - 1) * (features + GAP) + features;
        Self {
            values: exact(&random.numbers(rows * features, 1.0)),
            pixels: exact(&random.pixels(rows * features)),
            strided_values: exact(&random.numbers(strided, 1.0)),
            strided_pixels: exact(&random.pixels(strided)),
            picked: (0..rows).rev().collect(),
        }
    }

    fn views<'a>(&'a self, features: usize) -> [(&'static str, Matrix<'a>); 8] {
        let stride = features + GAP;
        let values = Matrix::from_f32(&self.values, features).expect("whole rows");
        let pixels = Matrix::from_u8(&self.pixels, features).expect("whole rows");
        let strided_values = Matrix::from_f32_strided(&self.strided_values, features, stride).expect("whole rows");
        let strided_pixels = Matrix::from_u8_strided(&self.strided_pixels, features, stride).expect("whole rows");
        let picked = |x: Matrix<'a>| x.select(&self.picked).expect("indices in range");
        [
            ("f32", values),
            ("u8", pixels),
            ("picked f32", picked(values)),
            ("picked u8", picked(pixels)),
            ("strided f32", strided_values),
            ("strided u8", strided_pixels),
            ("picked strided f32", picked(strided_values)),
            ("picked strided u8", picked(strided_pixels)),
        ]
    }
}

fn products(level: Level, shape: Shape, random: &mut Random, label: &dyn Fn(&str) -> String) {
    let Shape { rows, features, classes } = shape;
    let data = Rows::new(shape, random);
    let w = exact(&random.numbers(features * classes, 1.0));
    let b = exact(&random.numbers(classes, 1.0));
    let residual = exact(&random.numbers(rows * classes, 1.0));
    let mut logits = exact(&vec![0.0; rows * classes]);
    let mut parameters = Parameters::from_row_major(&w, &b, features, classes).expect("the lengths fit");
    for (name, x) in data.views(features) {
        last_words::are(&label(&format!("forward, {name}")));
        kernel::forward(level, x, &parameters, &mut logits).expect("the shapes fit");
        last_words::are(&label(&format!("sgd_step, {name}")));
        kernel::sgd_step(level, x, &residual, 0.1, &mut parameters).expect("the shapes fit");
        last_words::are(&label(&format!("gradient_accumulate, {name}")));
        kernel::gradient_accumulate(level, x, &residual, &mut parameters).expect("the shapes fit");
        last_words::are(&label(&format!("gradient, {name}")));
        kernel::gradient(level, x, &residual, &mut parameters).expect("the shapes fit");
    }
}

fn rows_of_logits(level: Level, rows: usize, classes: usize, random: &mut Random, label: &dyn Fn(&str) -> String) {
    let logits = exact(&random.numbers(rows * classes, 5.0));
    let labels = exact(&random.labels(rows, classes));
    let bytes: Box<[u8]> = labels.iter().map(|&label| label as u8).collect();
    let soft = exact(&random.soft_targets(rows, classes));
    let mut losses = exact(&vec![0.0; rows]);
    last_words::are(&label("softmax"));
    kernel::softmax(level, &mut logits.clone(), classes).expect("whole rows");
    last_words::are(&label("log_softmax"));
    kernel::log_softmax(level, &mut logits.clone(), classes).expect("whole rows");
    last_words::are(&label("exp"));
    kernel::exp(level, &mut logits.clone());
    let soft = Targets::from_probabilities(&soft, classes).expect("whole rows");
    for (name, targets) in
        [("u8 labels", Targets::from_u8(&bytes)), ("u32 labels", Targets::from_u32(&labels)), ("soft targets", soft)]
    {
        last_words::are(&label(&format!("cross_entropy, {name}")));
        kernel::cross_entropy(level, targets, classes, &mut logits.clone(), &mut losses).expect("the shapes fit");
    }
}

/// Steps and predictions of a trainer, over all rows and over shuffled ones; what it allocates is fenced like the rows.
fn training(level: Level, shape: Shape, random: &mut Random, label: &dyn Fn(&str) -> String) {
    let Shape { rows, features, classes } = shape;
    let mut pixels = random.pixels(rows * features);
    pixels.iter_mut().enumerate().filter(|(at, _)| at % features % 3 != at / features % 3).for_each(|(_, p)| *p = 0);
    let values = pixels.iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
    let labels = random.labels(rows, classes);
    let bytes = labels.iter().map(|&label| label as u8).collect();
    let model = SoftmaxRegression::zeros(features, classes).with_level(level);
    for (name, data) in [
        ("u8", Dataset::from_u8(pixels, bytes, features, classes)),
        ("f32", Dataset::from_f32(values, labels, features, classes)),
    ] {
        let data = data.expect("the lengths fit");
        last_words::are(&label(&format!("skip_zeros, {name}")));
        for (index, data) in [("plain", data.clone()), ("indexed where it pays", data.skip_zeros())] {
            last_words::are(&label(&format!("training, {name}, {index}")));
            let mut trainer = Trainer::new(model.clone(), Sgd::new(0.01));
            trainer.step(Batch::from(&data)).expect("a step");
            trainer.step(data.batches(rows + 2).next_batch()).expect("a step");
            trainer.model().predict_proba(data.x()).expect("the shapes fit");
            trainer.into_model().evaluate(&data).expect("the shapes fit");
        }
    }
}

#[test]
fn a_byte_outside_an_allocation_is_out_of_reach() {
    for len in [1, 100, 5000, 100_000] {
        for edge in EDGES {
            fence::lay_against(edge);
            let bytes = exact(&vec![1_u8; len]);
            assert!(fence::is_readable(bytes.as_ptr()) && fence::is_readable(&raw const bytes[len - 1]));
            let outside = match edge {
                Edge::Start => bytes.as_ptr().wrapping_sub(1),
                Edge::End => bytes.as_ptr().wrapping_add(len),
            };
            assert!(!fence::is_readable(outside), "{edge:?} of {len} bytes");
        }
    }
}

/// One test, since a fault is the whole process's: its last words must be about the call that made it.
#[test]
fn no_kernel_touches_a_byte_outside_its_slices() {
    let mut random = Random::new(1);
    for level in levels() {
        for edge in EDGES {
            fence::lay_against(edge);
            for (rows, classes) in ROWS.into_iter().flat_map(|rows| CLASSES.map(|classes| (rows, classes))) {
                let place = format!("at {level}, {rows} rows, {classes} classes, slices fenced at their {edge:?}");
                rows_of_logits(level, rows, classes, &mut random, &|kernel| format!("{kernel} {place}"));
                for features in FEATURES {
                    let label = |kernel: &str| format!("{kernel} {place}, {features} features");
                    products(level, Shape { rows, features, classes }, &mut random, &label);
                }
            }
            for (rows, features) in [3, 70, 131].into_iter().flat_map(|rows| [17, 33, 100].map(|f| (rows, f))) {
                for classes in [8, 10, 13, 48] {
                    let shape = Shape { rows, features, classes };
                    let label = |job: &str| format!("{job} at {level}, {shape}, memory fenced at its {edge:?}");
                    training(level, shape, &mut random, &label);
                }
            }
        }
    }
}
