//! `softreg info`: the version, the instruction sets this machine has, the one that is chosen, the threads.

use std::num::NonZero;

use clap::Args;
use serde::Serialize;
use softreg::Level;

use crate::report::{Failure, Output};

/// Options of `softreg info`.
#[derive(Args)]
pub(crate) struct InfoArgs {
    /// Print one JSON object and nothing else
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    levels: Vec<&'static str>,
    level: &'static str,
    threads: usize,
}

pub(crate) fn run(args: &InfoArgs) -> Result<(), Failure> {
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        levels: Level::available().into_iter().map(|level| level.name()).collect(),
        level: Level::best().name(),
        // Where the system does not say, one thread is what there surely is.
        threads: std::thread::available_parallelism().map_or(1, NonZero::get),
    };
    let mut out = Output::new();
    if args.json {
        return out.json(&report);
    }
    out.line(format_args!("softreg    {}", report.version))?;
    out.line(format_args!("levels     {}", report.levels.join(", ")))?;
    out.line(format_args!("chosen     {}", report.level))?;
    out.line(format_args!("threads    {} available, 1 used unless --threads says otherwise", report.threads))
}
