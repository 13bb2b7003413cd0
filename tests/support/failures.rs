//! Collects failures, so that a test names every shape that fails and not only the first.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The failures so far, and how many checks were made.
#[derive(Default)]
pub(crate) struct Failures {
    lines: Vec<String>,
    checks: usize,
}

impl Failures {
    /// Runs one check; an error or a panic becomes a line that begins with `label`.
    pub(crate) fn check(&mut self, label: impl Display, check: impl FnOnce() -> Result<(), String>) {
        self.checks += 1;
        let outcome = catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            Err(format!("panicked: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no text")))
        });
        if let Err(error) = outcome {
            self.lines.push(format!("{label}: {error}"));
        }
    }

    /// What failed, and out of how many checks; nothing if all passed.
    pub(crate) fn report(&self) -> Option<String> {
        let Self { lines, checks } = self;
        (!lines.is_empty()).then(|| format!("{} of {checks} checks failed\n{}", lines.len(), lines.join("\n")))
    }

    /// # Panics
    ///
    /// If a check failed, or none was made: a loop over nothing is not a pass.
    pub(crate) fn finish(self) {
        assert!(self.checks > 0, "nothing was checked");
        if let Some(report) = self.report() {
            panic!("{report}");
        }
    }
}

/// A library error as the text of a failure.
pub(crate) fn text(error: softreg::Error) -> String {
    format!("unexpected error: {error}")
}
