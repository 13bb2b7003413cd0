//! The tutorial's whole job as a user starts it, beside the part of it that no training can save:
//! `cargo bench -p softreg-cli --bench whole_run`. The process `softreg train --json` loads, trains 1000 steps of 100
//! rows and tests; inflating is the decoder alone over the same four files, one after the other, into memory that is
//! already there. The two take turns and each one's best run counts: what else the machine does meanwhile lengthens
//! some runs of both and leaves the best alone.
//!
//! Cargo passes `--bench`. With `--test`, or without `--bench`, each runs once and nothing is timed.

use flate2::bufread::GzDecoder;
use serde_json::Value;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 60;

fn main() {
    let flag = |name: &str| std::env::args().any(|argument| argument == name);
    let mut memory = softreg_mnist::FILES.map(|(_, packed)| vec![1; unpacked_len(packed)]);
    if !flag("--bench") || flag("--test") {
        train();
        inflate(&mut memory);
        println!("whole_run: the process trains and the files inflate");
        return;
    }

    let (mut inflating, mut process, mut report) = (Duration::MAX, Duration::MAX, Value::Null);
    for _ in 0..ROUNDS {
        inflating = inflating.min(time(|| inflate(&mut memory)).0);
        let (taken, printed) = time(train);
        if taken < process {
            (process, report) = (taken, printed);
        }
    }
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let part = |name: &str| report[name].as_f64().expect("a time in seconds") * 1e3;
    println!("milliseconds, the best of {ROUNDS} runs by turns");
    println!("softreg train     {:8.1}", milliseconds(process));
    println!("  loading         {:8.1}", part("load_seconds"));
    println!("  training        {:8.1}", part("train_seconds"));
    println!("inflating alone   {:8.1}", milliseconds(inflating));
    println!("ratio             {:8.2}", process.as_secs_f64() / inflating.as_secs_f64());
}

fn time<T>(run: impl FnOnce() -> T) -> (Duration, T) {
    let begin = Instant::now();
    let result = run();
    (begin.elapsed(), result)
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
