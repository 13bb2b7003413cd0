//! One file a command, and here what they share: the options that choose how to compute, and the threads.

pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod eval;
pub(crate) mod export;
pub(crate) mod fit;
pub(crate) mod info;
pub(crate) mod inspect;
pub(crate) mod man;
pub(crate) mod predict;
pub(crate) mod report_page;
pub(crate) mod train;

use clap::Args;
use softreg::{Error, Level};

use crate::report::Failure;

/// More threads than any machine has; a typo beyond it is told rather than tried.
const MOST_THREADS: usize = 4096;

/// The options that choose how to compute. They change the speed; threads never change a bit of the result.
#[derive(Args)]
pub(crate) struct ComputeArgs {
    /// Threads; the result is the same at any number
    #[arg(long, value_name = "N", default_value = "1", allow_negative_numbers = true, value_parser = threads)]
    pub(crate) threads: usize,
    /// Instruction set: auto, avx512, avx2, neon or portable
    #[arg(long, value_name = "LEVEL", default_value = "auto", value_parser = level)]
    pub(crate) level: Level,
}

impl ComputeArgs {
    /// Runs work on these threads.
    pub(crate) fn run(&self, work: impl FnOnce() -> Result<(), Failure> + Send) -> Result<(), Failure> {
        on_threads(self.threads, work)
    }
}

/// Runs work on a pool of exactly `threads` threads: the library shares large work out in the pool it is called from,
/// and a step that starts inside the pool wakes one thread fewer. One thread needs no pool.
fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> Result<T, Failure> + Send) -> Result<T, Failure> {
    if threads == 1 {
        return work();
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|error| Failure::Failed(format!("cannot start {threads} threads: {error}; try fewer")))?;
    pool.install(work)
}

/// `auto` or a level's name.
fn level(name: &str) -> Result<Level, String> {
    if name == "auto" {
        return Ok(Level::best());
    }
    Level::from_name(name).map_err(|error| match error {
        Error::UnknownLevel { .. } => "expected auto, avx512, avx2, neon or portable".to_owned(),
        error => format!("{error}; `softreg info` lists those that are"),
    })
}

fn threads(text: &str) -> Result<usize, String> {
    whole_number(text, MOST_THREADS)
}

/// A whole number from 1 to `most`.
fn whole_number(text: &str, most: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => Err(format!("expected a whole number from 1 to {most}")),
    }
}
