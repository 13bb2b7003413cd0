//! What is measured: the limits, every kernel, and whole steps, hot and over shuffled rows. How times are taken is
//! `sampling`, what the limits do is the library's `bench_internals`.

use super::sampling::{Case, Sampling, take_turns};
use super::{Bandwidth, Limit, Measurement, Roofline};
use softreg::bench_internals::{Ordered, forward, multiply_adds, read, sgd_step, sweep};
use softreg::kernel::{self, Sweep};
use softreg::{Batch, Dataset, Error, Exec, Matrix, Parameters, Reduction, Result, Sgd, SoftmaxRegression, Trainer};

/// The parts of the memory: what each thread reads of it to measure it, and the most bytes a thread that are taken to
/// come from it.
const PARTS: [(&str, usize, usize); 4] = [
    ("l1", 16 << 10, 32 << 10),
    ("l2", 256 << 10, 512 << 10),
    ("l3", 4 << 20, 16 << 20),
    ("memory", 256 << 20, usize::MAX),
];

/// Bytes read in a sample of a part that is smaller.
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

/// Rows of a case, and the bytes of one of their values, which the library does not show.
#[derive(Clone, Copy)]
struct Rows<'a> {
    x: Matrix<'a>,
    value_bytes: usize,
}

impl<'a> Rows<'a> {
    const fn of<T>(x: Matrix<'a>) -> Self {
        Self { x, value_bytes: size_of::<T>() }
    }

    const fn row_bytes(self) -> usize {
        self.x.features() * self.value_bytes
    }
}

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
    case: Case<'a>,
}

pub(super) fn measure(exec: Exec, data: &Dataset, sampling: Sampling) -> Result<Roofline> {
    let Exec { level, threads } = exec;
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
    let job = Job { exec, data, features: data.features(), classes: data.classes() };
    let values = Aligned::new(data.to_f32().into_iter());
    // The library shows no pixels, but their values are exact.
    let first = &values.get()[..MOST_ROWS * job.features];
    let pixels = Aligned::new(first.iter().map(|value| (value * 255.0).round() as u8));
    let memory = Aligned::new(std::iter::repeat_n(1.0, floats));

    let skipping = data.clone().skip_zeros();
    let mut firsts = Vec::new();
    for rows in [1, BATCH, MOST_ROWS] {
        firsts.push(skipping.split_at(rows)?.0);
    }

    let flop = multiply_adds(exec); // of each run of the peak's
    let mut peak = job.peak();
    let mut reads = PARTS.map(|(_, bytes, _)| job.reading(memory.get(), bytes));
    let mut entries = Vec::new();
    for first in &firsts {
        let rows = first.rows();
        let cells = rows * job.features;
        let f32 = Rows::of::<f32>(Matrix::from_f32(&values.get()[..cells], job.features)?);
        let u8 = Rows::of::<u8>(Matrix::from_u8(&pixels.get()[..cells], job.features)?);
        let skipping = Rows::of::<u8>(first.x());
        entries.extend(job.kernels(["forward_f32", "gradient_update_f32", "step_f32"], f32)?);
        entries.extend(job.kernels(["forward_u8", "gradient_update_u8", "step_u8"], u8)?);
        entries.extend(job.kernels(["forward_u8_skip", "gradient_update_u8_skip", "step_u8_skip"], skipping)?);
        entries.push(job.softmax(rows)?);
    }
    entries.push(job.softmax(data.rows())?);
    entries.push(job.forward("forward_file_order", Rows::of::<u8>(data.x())));
    entries.push(job.forward("forward_file_order_skip", Rows::of::<u8>(skipping.x())));
    let all = Rows::of::<f32>(Matrix::from_f32(values.get(), job.features)?);
    entries.extend([job.sweep("sweep_f32", all), job.gradient("gradient_f32", all)]);
    let all = Rows::of::<u8>(data.x());
    entries.extend([job.sweep("sweep_u8", all), job.gradient("gradient_u8", all)]);
    entries.push(job.sweep("sweep_skip_u8", Rows::of::<u8>(skipping.x())));
    entries.push(job.shuffled("mnist_shuffled_dense", data));
    entries.push(job.shuffled("mnist_shuffled_skip", &skipping));

    let limits = std::iter::once(&mut peak).chain(&mut reads);
    let mut cases: Vec<_> = limits.chain(entries.iter_mut().map(|entry| &mut entry.case)).collect();
    take_turns(&mut cases, sampling)?;

    let peak_gflops = flop as f64 / peak.seconds() / 1e9;
    let mut read = PARTS.map(|(name, bytes, _)| Bandwidth { name, bytes, gbps: 0.0 });
    for (bandwidth, case) in read.iter_mut().zip(&reads) {
        bandwidth.gbps = (bandwidth.bytes * passes(bandwidth.bytes) * threads) as f64 / case.seconds() / 1e9;
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
            aligned.extend(std::iter::repeat_n(first, start));
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
        let nanoseconds = self.case.seconds() * 1e9 / self.batches as f64;
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

/// Numbers of a residual's size.
fn some_residual(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i % 7) as f32 / 7.0 - 0.4).collect()
}

/// What all that is measured has in common.
#[derive(Clone, Copy)]
struct Job<'a> {
    exec: Exec,
    data: &'a Dataset,
    features: usize,
    classes: usize,
}

impl<'a> Job<'a> {
    fn peak(self) -> Case<'a> {
        Case::new(move || {
            multiply_adds(self.exec);
            Ok(())
        })
    }

    fn reading(self, memory: &'a [f32], bytes: usize) -> Case<'a> {
        let (piece, passes) = (bytes / size_of::<f32>(), passes(bytes));
        let values = &memory[..piece * self.exec.threads];
        Case::new(move || {
            read(self.exec, values, piece, passes);
            Ok(())
        })
    }

    /// A forward pass, an update and a whole step, on the same rows again and again.
    fn kernels(self, names: [&'static str; 3], rows: Rows<'a>) -> Result<[Entry<'a>; 3]> {
        let Self { exec, classes, .. } = self;
        let [forward, update, step] = names;
        let x = rows.x;

        let mut parameters = Ordered::new(Parameters::zeros(self.features, classes), x);
        let residual = some_residual(x.rows() * classes);
        let update =
            self.entry(update, rows, 1.0, move || sgd_step(exec, x, &residual, LEARNING_RATE, &mut parameters));
        let labels = self.first(x.rows())?;
        let mut trainer = self.trainer(LEARNING_RATE.into());
        let step = self.entry(step, rows, 2.0, move || {
            let batch = Batch::new(x, labels.targets())?;
            trainer.step(batch).map(drop)
        });
        Ok([self.forward(forward, rows), update, step])
    }

    fn forward(self, name: &'static str, rows: Rows<'a>) -> Entry<'a> {
        let Self { exec, classes, .. } = self;
        let x = rows.x;
        let parameters = Ordered::new(Parameters::zeros(self.features, classes), x);
        let mut logits = vec![0.0; x.rows() * classes];
        self.entry(name, rows, 1.0, move || forward(exec, x, &parameters, &mut logits))
    }

    /// The gradient of a residual.
    fn gradient(self, name: &'static str, rows: Rows<'a>) -> Entry<'a> {
        let residual = some_residual(rows.x.rows() * self.classes);
        let mut gradient = Parameters::zeros(self.features, self.classes);
        self.entry(name, rows, 1.0, move || kernel::gradient(self.exec, rows.x, &residual, &mut gradient))
    }

    /// Losses and gradient in one pass.
    fn sweep(self, name: &'static str, rows: Rows<'a>) -> Entry<'a> {
        let zeros = || Ordered::new(Parameters::zeros(self.features, self.classes), rows.x);
        let (parameters, mut gradient, mut swept) = (zeros(), zeros(), Sweep::new());
        let (data, mut losses) = (self.data, vec![0.0; rows.x.rows()]);
        self.entry(name, rows, 2.0, move || {
            let batch = Batch::new(rows.x, data.targets())?;
            sweep(self.exec, &mut swept, batch, &parameters, &mut losses, &mut gradient).map(drop)
        })
    }

    /// Softmax, losses and gradient of the logits. Runs on what the run before it left, which is as good as any logits.
    fn softmax(self, rows: usize) -> Result<Entry<'a>> {
        let Self { exec, classes, .. } = self;
        let labels = self.first(rows)?;
        let (mut logits, mut losses) = (vec![0.0; rows * classes], vec![0.0; rows]);
        let bytes = size_of_val(&logits[..]) + size_of_val(&losses[..]);
        Ok(Entry {
            name: "softmax",
            rows,
            flop: SOFTMAX_FLOP * logits.len() as f64,
            bytes,
            working_set: bytes,
            batches: 1,
            case: Case::new(move || {
                kernel::cross_entropy(exec, labels.targets(), classes, &mut logits, &mut losses).map(drop)
            }),
        })
    }

    /// The tutorial's job: a model of zeros, batches of shuffled rows, picking them included.
    fn shuffled(self, name: &'static str, data: &'a Dataset) -> Entry<'a> {
        let rows = Rows::of::<u8>(data.x());
        let entry = self.entry(name, rows, 2.0, move || {
            let mut trainer = self.trainer(0.01);
            let mut batches = data.batches(BATCH);
            (0..STEPS).try_for_each(|_| trainer.step(batches.next_batch()).map(drop))
        });
        let flop = entry.flop / data.rows() as f64 * BATCH as f64;
        Entry { rows: BATCH, flop, bytes: BATCH * rows.row_bytes() + self.weight_bytes(), batches: STEPS, ..entry }
    }

    /// An entry that makes `products` products of the rows with the weights.
    fn entry(
        self,
        name: &'static str,
        rows: Rows<'_>,
        products: f64,
        run: impl FnMut() -> Result<()> + 'a,
    ) -> Entry<'a> {
        let bytes = rows.x.rows() * rows.row_bytes() + self.weight_bytes();
        let rows = rows.x.rows();
        Entry {
            name,
            rows,
            flop: products * 2.0 * (rows * self.features * self.classes) as f64,
            bytes,
            working_set: bytes,
            batches: 1,
            case: Case::new(run),
        }
    }

    fn first(self, rows: usize) -> Result<Dataset> {
        Ok(self.data.split_at(rows)?.0)
    }

    const fn weight_bytes(self) -> usize {
        self.features * self.classes * size_of::<f32>()
    }

    fn trainer(self, learning_rate: f64) -> Trainer {
        let model = SoftmaxRegression::zeros(self.features, self.classes);
        let model = model.with_level(self.exec.level).with_threads(self.exec.threads);
        Trainer::new(model, Sgd::new(learning_rate)).reduction(Reduction::Sum)
    }
}
