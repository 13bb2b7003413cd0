//! What the program says and where: results on standard output, one line for an error on standard error.
//! What the results are is the commands' business.

use std::fmt;
use std::io::{self, Stdout, Write};

use serde::Serialize;

/// How a command ends when it does not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments cannot be meant: exit code 2.
    Usage(String),
    /// The work failed: exit code 1.
    Failed(String),
    /// The work failed and standard error has already said why: exit code 1.
    AlreadyTold,
}

impl From<softreg::Error> for Failure {
    fn from(error: softreg::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Says one error on standard error, on one line whatever the message holds (a path may hold a newline).
pub(crate) fn complain(message: &str) {
    let line: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    // Where standard error is closed there is nobody left to tell; the exit code still says it.
    let _ = writeln!(io::stderr(), "softreg: {line}");
}

/// Standard output. A reader that goes away, as `head` does, is no failure: the rest is dropped silently, and
/// [`Output::is_closed`] tells a command that it may stop.
pub(crate) struct Output {
    stdout: Stdout,
    closed: bool,
}

impl Output {
    pub(crate) fn new() -> Self {
        Self { stdout: io::stdout(), closed: false }
    }

    /// Writes one line.
    pub(crate) fn line(&mut self, line: impl fmt::Display) -> Result<(), Failure> {
        if self.closed {
            return Ok(());
        }
        match writeln!(self.stdout, "{line}").and_then(|()| self.stdout.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            Err(error) => Err(Failure::Failed(format!("standard output: {error}"))),
        }
    }

    /// Writes one JSON object on one line. Floats read back to the same bits; infinities and NaN become `null`.
    pub(crate) fn json(&mut self, object: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(object).map_err(|error| Failure::Failed(format!("JSON: {error}")))?;
        self.line(text)
    }

    /// Whether the reader has gone away.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }
}
