//! Every kernel and whole steps beside what the machine gives, at every level, on one thread and on all:
//! `cargo bench --bench roofline`. What is measured, and how, is `softreg_bench::roofline`; `softreg bench` prints the
//! same. For other crates' times see `ratios.rs` and `shapes.rs`.
//!
//! `cargo bench --bench roofline -- avx2` measures at the levels that are named.
//!
//! Cargo passes `--bench`. With `--test`, or without `--bench`, everything runs once and no table is printed.

use softreg::{Level, mnist};
use softreg_bench::roofline::{self, Time};
use std::num::NonZero;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let flag = |name: &str| arguments.iter().any(|argument| argument == name);
    let time = if flag("--bench") && !flag("--test") { Time::Best } else { Time::Once };
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();

    let all = std::thread::available_parallelism().map_or(1, NonZero::get);
    let data = mnist::read_files(softreg_mnist::FILES, 0).expect("the embedded files are whole").train;
    for level in Level::available() {
        if !wanted.is_empty() && !wanted.iter().any(|name| *name == level.name()) {
            continue;
        }
        for threads in [1, all] {
            let roofline = roofline::measure(level, threads, &data, time).expect("MNIST has rows enough");
            if time == Time::Best {
                println!("\n{roofline}");
            }
        }
    }
    if time == Time::Once {
        println!("roofline: every kernel ran at every level");
    }
}
