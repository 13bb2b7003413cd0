//! What is measured: the limits, every kernel, and whole steps, hot and over shuffled rows. How times are taken is
//! `rounds`, what the limits do is `limits`.

use super::limits::{Flop, MultiplyAdds, Read};
use super::rounds::{Contender, take_turns};
use super::{Bandwidth, Limit, Measurement, Roofline, Time};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::kernel;
use crate::level::Level;
use crate::matrix::{Batch, Matrix, Values};
use crate::model::SoftmaxRegression;
use crate::optimizer::Sgd;
use crate::parallel;
use crate::train::Trainer;
use crate::weights::Weights;
use alloc::vec;
use alloc::vec::Vec;

/// The parts of the memory: what each thread reads of it to measure it, and the most bytes a thread that are taken to
/// come from it.
const PARTS: [(&str, usize, usize); 4] = [
    ("l1", 16 << 10, 32 << 10),
    ("l2", 256 << 10, 512 << 10),
    ("l3", 4 << 20, 16 << 20),
    ("memory", 256 << 20, usize::MAX),
];

/// Bytes read in a round of a part that is smaller.
const READ: usize = 64 << 20;

/// The most rows that a hot batch has.
const MOST_ROWS: usize = 1000;

/// Steps of the tutorial's run.
const STEPS: usize = 1000;

/// The tutorial's batch.
const BATCH: usize = 100;

/// In bytes.
const CACHE_LINE: usize = 64;

/// Small enough that no number of steps on one batch drives the weights out of range.
const LEARNING_RATE: f32 = 1e-6;

/// Floating-point operations that a logit's softmax takes, with its share of the loss: 6 multiply-adds and 5 others of
/// its exponential, its share of the maximum, the difference, the sum and the product.
const SOFTMAX_FLOP: f64 = 22.0;

/// Something measured, and what it takes of the machine.
struct Entry<'a> {
    name: &'static str,
    rows: usize,
    /// Floating-point operations of a batch.
    flop: f64,
    /// Bytes of a batch that have to be read: each row and each weight once.
    bytes: usize,
    /// Bytes that are gone through before any is read again.
    working_set: usize,
    /// Batches of a run.
    batches: usize,
    contender: Contender<'a>,
}

pub(super) fn measure(level: Level, threads: usize, data: &Dataset, time: Time) -> Result<Roofline> {
    if threads == 0 {
        return Err(Error::Size { what: "threads", found: 0, expected: "at least 1" });
    }
    if data.rows() < MOST_ROWS {
        return Err(Error::Size { what: "rows to measure on", found: data.rows(), expected: "at least 1000" });
    }
    // Reserved and given back: where it is refused here, the allocation itself would end the process.
    let floats = (PARTS[3].1 / size_of::<f32>()).saturating_mul(threads);
    if Vec::<f32>::new().try_reserve_exact(floats).is_err() {
        let expected = "at most one for each 256 MiB of memory";
        return Err(Error::Size { what: "threads", found: threads, expected });
    }
    let job = Job { level, threads, data, features: data.features(), classes: data.classes() };
    let values = Aligned::new(data.split_at(MOST_ROWS)?.0.to_f32().into_iter());
    let memory = Aligned::new(core::iter::repeat_n(1.0, floats));

    let pixels = match data.x().values() {
        Values::U8(pixels, _) => Some(Aligned::new(pixels[..MOST_ROWS * job.features].iter().copied())),
        Values::F32(..) => None,
    };

    let skipping = data.clone().skip_zeros();
    let mut firsts = Vec::new();
    for rows in [1, BATCH, MOST_ROWS] {
        firsts.push(skipping.split_at(rows)?.0);
    }

    let mut peak = job.peak();
    let mut reads = PARTS.map(|(_, bytes, _)| job.read(memory.get(), bytes));
    let mut entries = Vec::new();
    for first in &firsts {
        let rows = first.rows();
        let cells = rows * job.features;
        let f32 = Matrix::whole(Values::F32(&values.get()[..cells], None), job.features);
        entries.extend(job.kernels(["forward_f32", "gradient_update_f32", "step_f32"], f32)?);
        if let Some(pixels) = &pixels {
            let u8 = Matrix::whole(Values::U8(&pixels.get()[..cells], None), job.features);
            entries.extend(job.kernels(["forward_u8", "gradient_update_u8", "step_u8"], u8)?);
            entries.extend(job.kernels(["forward_u8_skip", "gradient_update_u8_skip", "step_u8_skip"], first.x())?);
        }
        entries.push(job.softmax(rows));
    }
    entries.push(job.softmax(data.rows()));
    entries.push(job.forward("forward_file_order", data.x()));
    entries.push(job.forward("forward_file_order_skip", skipping.x()));
    entries.push(job.shuffled("mnist_shuffled_dense", data));
    entries.push(job.shuffled("mnist_shuffled_skip", &skipping));

    let limits = core::iter::once(&mut peak).chain(&mut reads);
    let mut contenders: Vec<_> = limits.chain(entries.iter_mut().map(|entry| &mut entry.contender)).collect();
    take_turns(&mut contenders, time)?;

    let peak_gflops = (level.run(Flop) * threads) as f64 / peak.seconds() / 1e9;
    let mut read = PARTS.map(|(name, bytes, _)| Bandwidth { name, bytes, gbps: 0.0 });
    for (bandwidth, contender) in read.iter_mut().zip(&reads) {
        bandwidth.gbps = (bandwidth.bytes * passes(bandwidth.bytes) * threads) as f64 / contender.seconds() / 1e9;
    }
    let results = entries.iter().map(|entry| entry.result(threads, peak_gflops, &read)).collect();
    Ok(Roofline { level, threads, peak_gflops, read, results })
}

/// Values that start at a cache line. Where they start elsewhere, vectors that cross from one line into the next take
/// twice the time to read, which is the data's doing and not the kernel's.
struct Aligned<T> {
    values: Vec<T>,
    start: usize,
}

impl<T: Copy> Aligned<T> {
    fn new(values: impl ExactSizeIterator<Item = T>) -> Self {
        let mut aligned: Vec<T> = Vec::with_capacity(values.len() + CACHE_LINE / size_of::<T>());
        let start = aligned.as_ptr().align_offset(CACHE_LINE);
        let mut values = values.peekable();
        if let Some(&first) = values.peek() {
            aligned.extend(core::iter::repeat_n(first, start));
        }
        aligned.extend(values);
        Self { values: aligned, start }
    }

    fn get(&self) -> &[T] {
        &self.values[self.start..]
    }
}

/// How often a part of the memory is read in a run.
fn passes(bytes: usize) -> usize {
    (READ / bytes).max(1)
}

impl Entry<'_> {
    fn result(&self, threads: usize, peak_gflops: f64, read: &[Bandwidth; 4]) -> Measurement {
        let nanoseconds = self.contender.seconds() * 1e9 / self.batches as f64;
        let part = PARTS.iter().position(|&(_, _, most)| self.working_set / threads <= most).unwrap_or(3);
        let (flop_limit, bytes_limit) = (self.flop / peak_gflops, self.bytes as f64 / read[part].gbps);
        let (limit, least) =
            if flop_limit >= bytes_limit { (Limit::Flop, flop_limit) } else { (Limit::Bytes, bytes_limit) };
        let gflops = self.flop / nanoseconds;
        Measurement {
            name: self.name,
            rows: self.rows,
            microseconds: nanoseconds / 1e3,
            gflops,
            fraction_of_peak: gflops / peak_gflops,
            gbps: self.bytes as f64 / nanoseconds,
            limit,
            fraction_of_limit: least / nanoseconds,
        }
    }
}

/// What all that is measured has in common.
#[derive(Clone, Copy)]
struct Job<'a> {
    level: Level,
    threads: usize,
    data: &'a Dataset,
    features: usize,
    classes: usize,
}

impl<'a> Job<'a> {
    fn peak(self) -> Contender<'a> {
        let Self { level, threads, .. } = self;
        Contender::new(move || {
            parallel::run(level, threads, MultiplyAdds { pieces: threads });
            Ok(())
        })
    }

    fn read(self, memory: &'a [f32], bytes: usize) -> Contender<'a> {
        let Self { level, threads, .. } = self;
        let (piece, passes) = (bytes / size_of::<f32>(), passes(bytes));
        let values = &memory[..piece * threads];
        Contender::new(move || {
            parallel::run(level, threads, Read { values, passes, piece });
            Ok(())
        })
    }

    /// A forward pass, an update and a whole step, on the same rows again and again.
    fn kernels(self, names: [&'static str; 3], x: Matrix<'a>) -> Result<[Entry<'a>; 3]> {
        let Self { level, threads, classes, .. } = self;
        let [forward, update, step] = names;
        let rows = x.rows();

        let (mut weights, mut bias) = (Weights::zeros(self.features, classes).ordered_for(x), vec![0.0; classes]);
        let residual: Vec<f32> = (0..rows * classes).map(|i| (i % 7) as f32 / 7.0 - 0.4).collect();
        let update = self.entry(update, x, 1.0, move || {
            let parameters = (&mut weights, &mut bias[..]);
            kernel::sgd_step_threads(level, threads, x, &residual, LEARNING_RATE, parameters)
        });
        let batch = Batch::new(x, self.data.targets().split_at(rows).0)?;
        let mut trainer = self.trainer(LEARNING_RATE);
        let step = self.entry(step, x, 2.0, move || trainer.step(batch).map(drop));
        Ok([self.forward(forward, x), update, step])
    }

    fn forward(self, name: &'static str, x: Matrix<'a>) -> Entry<'a> {
        let Self { level, threads, classes, .. } = self;
        let (weights, bias) = (Weights::zeros(self.features, classes).ordered_for(x), vec![0.0; classes]);
        let mut logits = vec![0.0; x.rows() * classes];
        self.entry(name, x, 1.0, move || kernel::forward_threads(level, threads, x, &weights, &bias, &mut logits))
    }

    /// Softmax, losses and gradient of the logits. Runs on what the run before it left, which is as good as any logits.
    fn softmax(self, rows: usize) -> Entry<'a> {
        let Self { level, threads, classes, .. } = self;
        let targets = self.data.targets().split_at(rows).0;
        let (mut logits, mut losses) = (vec![0.0; rows * classes], vec![0.0; rows]);
        let bytes = size_of_val(&logits[..]) + size_of_val(&losses[..]);
        Entry {
            name: "softmax",
            rows,
            flop: SOFTMAX_FLOP * logits.len() as f64,
            bytes,
            working_set: bytes,
            batches: 1,
            contender: Contender::new(move || {
                kernel::cross_entropy_threads(level, threads, targets, classes, &mut logits, &mut losses).map(drop)
            }),
        }
    }

    /// The tutorial's job: a model of zeros, batches of shuffled rows, picking them included.
    fn shuffled(self, name: &'static str, data: &'a Dataset) -> Entry<'a> {
        let row_bytes = row_bytes(data.x());
        let entry = self.entry(name, data.x(), 2.0, move || {
            let mut trainer = self.trainer(0.01);
            let mut batches = data.batches(BATCH);
            (0..STEPS).try_for_each(|_| trainer.step(batches.next_batch()).map(drop))
        });
        let flop = entry.flop / data.rows() as f64 * BATCH as f64;
        Entry { rows: BATCH, flop, bytes: BATCH * row_bytes + self.weight_bytes(), batches: STEPS, ..entry }
    }

    /// An entry that makes `products` products of `x` with the weights.
    fn entry(
        self,
        name: &'static str,
        x: Matrix<'_>,
        products: f64,
        run: impl FnMut() -> Result<()> + 'a,
    ) -> Entry<'a> {
        let rows = x.rows();
        let bytes = rows * row_bytes(x) + self.weight_bytes();
        Entry {
            name,
            rows,
            flop: products * 2.0 * (rows * self.features * self.classes) as f64,
            bytes,
            working_set: bytes,
            batches: 1,
            contender: Contender::new(run),
        }
    }

    const fn weight_bytes(self) -> usize {
        self.features * self.classes * size_of::<f32>()
    }

    fn trainer(self, learning_rate: f32) -> Trainer {
        let model = SoftmaxRegression::zeros(self.features, self.classes);
        Trainer::new(model.with_level(self.level).with_threads(self.threads), Sgd::new(learning_rate))
    }
}

const fn row_bytes(x: Matrix<'_>) -> usize {
    match x.values() {
        Values::F32(..) => x.features() * size_of::<f32>(),
        Values::U8(..) => x.features(),
    }
}
