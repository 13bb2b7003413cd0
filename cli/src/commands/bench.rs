//! `softreg bench`: what each kernel makes of this machine, at every level. What is measured, and how the table looks,
//! is `roofline`; here is what is asked of it, and the JSON.

use clap::Args;
use indicatif::HumanCount;
use serde::Serialize;
use softreg::Level;

use super::{level, on_threads, threads};
use crate::data::{ImagesArgs, Labelled};
use crate::report::{Failure, Output};
use crate::roofline::{self, Limit, Measurement, Roofline, Time};
use crate::text::visible;

/// Options of `softreg bench`.
#[derive(Args)]
#[command(after_help = "Takes 10 to 30 seconds a level, as long again on --threads, and 256 MiB of memory a thread.")]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    data: ImagesArgs,
    /// Measure on this many threads too, after one
    #[arg(long, value_name = "N", default_value = "1", allow_negative_numbers = true, value_parser = threads)]
    threads: usize,
    /// Only this instruction set: auto (the best), avx512, avx2, neon or portable [default: all there are]
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    level: Option<Level>,
    /// Run everything once: enough to see that it works, not to compare times
    #[arg(long)]
    once: bool,
    /// Print one JSON object a line for each level and number of threads, and nothing else
    #[arg(long)]
    json: bool,
}

/// What `--json` prints: one level on a number of threads.
#[derive(Serialize)]
struct Report {
    level: &'static str,
    threads: usize,
    /// Multiply-adds between registers, each counted as two operations.
    fma_peak_gflops: f64,
    read_gbps: ReadGbps,
    results: Vec<KernelReport>,
}

/// How fast each part of the memory is read, by all threads together.
#[derive(Serialize)]
struct ReadGbps {
    l1: f64,
    l2: f64,
    l3: f64,
    memory: f64,
}

/// One kernel; a [`Measurement`], field by field.
#[derive(Serialize)]
struct KernelReport {
    name: &'static str,
    rows: usize,
    microseconds: f64,
    gflops: f64,
    fraction_of_peak: f64,
    gbps: f64,
    /// `"flop"` or `"bytes"`.
    limit: &'static str,
    fraction_of_limit: f64,
}

impl From<&Roofline> for Report {
    fn from(roofline: &Roofline) -> Self {
        let [l1, l2, l3, memory] = roofline.read.map(|part| part.gbps);
        Self {
            level: roofline.level.name(),
            threads: roofline.threads,
            fma_peak_gflops: roofline.peak_gflops,
            read_gbps: ReadGbps { l1, l2, l3, memory },
            results: roofline.results.iter().map(KernelReport::from).collect(),
        }
    }
}

impl From<&Measurement> for KernelReport {
    fn from(result: &Measurement) -> Self {
        Self {
            name: result.name,
            rows: result.rows,
            microseconds: result.microseconds,
            gflops: result.gflops,
            fraction_of_peak: result.fraction_of_peak,
            gbps: result.gbps,
            limit: match result.limit {
                Limit::Flop => "flop",
                Limit::Bytes => "bytes",
            },
            fraction_of_limit: result.fraction_of_limit,
        }
    }
}

pub(crate) fn run(args: &BenchArgs) -> Result<(), Failure> {
    let Labelled { name, rows: data } = args.data.load_training()?;
    let levels = args.level.map_or_else(Level::available, |level| vec![level]);
    let thread_counts = if args.threads == 1 { vec![1] } else { vec![1, args.threads] };
    let time = if args.once { Time::Once } else { Time::Best };

    let mut out = Output::new();
    if !args.json {
        // Said before the first table, which takes a while.
        let rows = HumanCount(data.rows() as u64);
        out.line(format_args!("data        {}: {rows} rows", visible(&name)))?;
    }
    for level in levels {
        for &threads in &thread_counts {
            if out.is_closed() {
                return Ok(());
            }
            let roofline = on_threads(threads, || Ok(roofline::measure(level, threads, &data, time)?))?;
            if args.json {
                out.json(&Report::from(&roofline))?;
            } else {
                out.line("")?;
                out.line(roofline)?;
            }
        }
    }
    Ok(())
}
