//! The command line, tested from outside: each test runs the built binary and looks at what it prints, how it exits
//! and what it leaves on disk.

mod bad_input;
mod bad_models;
mod bench;
mod common;
mod export;
mod finding;
mod fit;
mod framing;
mod going_on;
mod hostile;
mod inspect;
#[cfg(target_os = "linux")]
mod memory;
mod models;
mod pictures;
mod report;
#[cfg(unix)]
mod saving;
mod sources;
mod splits;
mod tables;
mod train;
mod training;
mod words;
