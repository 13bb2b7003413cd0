//! How a [`Roofline`] reads: a table of text. What its figures are is said where its fields are.

use super::{Limit, Roofline};
use std::fmt;

/// A line of the machine's limits, a line of headings, a line a kernel; no newline at the end.
impl fmt::Display for Roofline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { level, threads, peak_gflops, read, results } = self;
        write!(f, "{level}, threads: {threads}; multiply-adds {peak_gflops:.0} GFLOP/s; reads")?;
        for part in read {
            write!(f, "  {} {:.0} GB/s", part.name, part.gbps)?;
        }
        write!(f, "\n{:<24}{:>6}{:>12}{:>10}{:>9}{:>8}  bound by", "", "rows", "us", "GFLOP/s", "of peak", "GB/s")?;
        for result in results {
            let limit = match result.limit {
                Limit::Flop => "multiply-adds",
                Limit::Bytes => "bytes",
            };
            write!(
                f,
                "\n{:<24}{:>6}{:>12.2}{:>10.1}{:>9.2}{:>8.1}  {limit}, at {:.2} of it",
                result.name,
                result.rows,
                result.microseconds,
                result.gflops,
                result.fraction_of_peak,
                result.gbps,
                result.fraction_of_limit
            )?;
        }
        Ok(())
    }
}
