//! What the program says and where: results on standard output, one line for an error or a note on standard error.
//! What the results are is the commands' business; how foreign text is made fit for a line is [`text`](crate::text)'s.

use std::fmt;
use std::io::{self, Stdout, Write};

use serde::Serialize;

use crate::text::{bounded, visible};

/// How a command ends when it does not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments cannot be meant: exit code 2.
    Usage(String),
    /// The work failed: exit code 1.
    Failed(String),
    /// The work failed and standard error has already said why: exit code 1.
    AlreadyTold,
    /// The user interrupted the work: exit code 130, as a shell has it.
    Interrupted(String),
}

impl From<softreg::Error> for Failure {
    fn from(error: softreg::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Says one error on standard error, on one line of bounded length whatever the message holds.
pub(crate) fn complain(message: &str) {
    // Where standard error is closed there is nobody left to tell; the exit code still says it.
    let _ = writeln!(io::stderr(), "softreg: {}", visible(&bounded(message)));
}

/// Says on standard error, as [`complain`] does, what does not stop the work but makes its result doubtful.
pub(crate) fn note(message: &str) {
    complain(&format!("note: {message}"));
}

/// The error of a figure that is not finite: it would stand for no result at all.
pub(crate) fn finite(what: &str, figure: f64, hint: &str) -> Result<f64, Failure> {
    if figure.is_finite() {
        Ok(figure)
    } else {
        Err(Failure::Failed(format!("{what}: found {figure}, expected a finite number; {hint}")))
    }
}

/// The end of a write to standard output, `None` where its reader has gone away, as `head` does: that is no failure.
pub(crate) fn written(result: io::Result<()>) -> Result<Option<()>, Failure> {
    match result {
        Ok(()) => Ok(Some(())),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(None),
        Err(error) => Err(Failure::Failed(format!("standard output: {error}"))),
    }
}

/// Standard output. Once its reader has gone away the rest is dropped silently, and [`Output::is_closed`] tells a
/// command that it may stop.
pub(crate) struct Output {
    stdout: Stdout,
    closed: bool,
}

impl Output {
    /// Standard output, which is taken to have a reader.
    pub(crate) fn new() -> Self {
        Self { stdout: io::stdout(), closed: false }
    }

    /// Writes one line.
    pub(crate) fn line(&mut self, line: impl fmt::Display) -> Result<(), Failure> {
        if self.closed {
            return Ok(());
        }
        let result = writeln!(self.stdout, "{line}").and_then(|()| self.stdout.flush());
        self.closed = written(result)?.is_none();
        Ok(())
    }

    /// Writes one JSON object on one line. Floats read back to the same bits.
    pub(crate) fn json(&mut self, object: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(object).map_err(|error| Failure::Failed(format!("JSON: {error}")))?;
        self.line(text)
    }

    /// Whether the reader has gone away.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }
}
