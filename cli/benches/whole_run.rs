//! The tutorial's whole job as a user starts it, beside the part of it that no training can save:
//! `cargo bench -p softreg-cli --bench whole_run`. The process `softreg train --json` loads, trains 1000 steps of 100
//! rows and tests; inflating is the decoder alone over the same four files, one after the other, into memory that is
//! already there. The two take turns, as `sampling` has it.
//!
//! Cargo passes `--bench`. With `--test`, or without `--bench`, each runs once and nothing is timed.

#[path = "../src/roofline/sampling.rs"]
mod sampling;

use flate2::bufread::GzDecoder;
use sampling::{Case, Sampling, take_turns};
use serde_json::Value;
use std::cell::Cell;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A run of either is a sample.
const SAMPLING: Sampling = Sampling { length: Duration::ZERO, fewest: 60, time: Duration::ZERO };

fn main() {
    let flag = |name: &str| std::env::args().any(|argument| argument == name);
    let mut memory = softreg_mnist::FILES.map(|(_, packed)| vec![1; unpacked_len(packed)]);
    let measure = flag("--bench") && !flag("--test");

    let (loading, training) = (Cell::new(f64::INFINITY), Cell::new(f64::INFINITY));
    let mut process = Case::new(|| {
        let report = train();
        for (best, part) in [(&loading, "load_seconds"), (&training, "train_seconds")] {
            best.set(best.get().min(report[part].as_f64().expect("a time in seconds")));
        }
        Ok(())
    });
    let mut inflating = Case::new(|| {
        inflate(&mut memory);
        Ok(())
    });
    let sampling = if measure { SAMPLING } else { Sampling::ONCE };
    take_turns(&mut [&mut inflating, &mut process], sampling).expect("what runs panics rather");
    let (process, inflating) = (process.seconds(), inflating.seconds());
    if !measure {
        println!("whole_run: the process trains and the files inflate");
        return;
    }
    println!("milliseconds, the best of {} runs by turns", SAMPLING.fewest);
    println!("softreg train     {:8.1}", process * 1e3);
    println!("  loading         {:8.1}", loading.get() * 1e3);
    println!("  training        {:8.1}", training.get() * 1e3);
    println!("inflating alone   {:8.1}", inflating * 1e3);
    println!("ratio             {:8.2}", process / inflating);
}

/// The whole process, from its start to its end; returns the object that it prints.
fn train() -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_softreg"));
    let output = command.args(["train", "--json"]).stdin(Stdio::null()).output().expect("the binary starts");
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert!(report["test_accuracy"].as_f64() > Some(0.9), "{report}");
    report
}

/// Unpacks the four files, each into memory of its unpacked length.
fn inflate(memory: &mut [Vec<u8>; 4]) {
    for ((name, packed), memory) in softreg_mnist::FILES.iter().zip(memory) {
        let mut decoder = GzDecoder::new(*packed);
        decoder.read_exact(memory).unwrap_or_else(|error| panic!("{name}: {error}"));
        // Only here, at the end, is the checksum compared.
        assert_eq!(decoder.read(&mut [0]).ok(), Some(0), "{name} goes on, or its checksum is wrong");
    }
}

/// What a gzip file of one member unpacks to, by its last four bytes.
fn unpacked_len(packed: &[u8]) -> usize {
    let len = packed.last_chunk().expect("a whole gzip file");
    u32::from_le_bytes(*len) as usize
}
