//! How far the training has come: a bar on a terminal, a line for every tenth of the run when piped, or nothing.
//! The training loop calls it once a step; all but about a hundred calls a run cost one comparison.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use softreg::Pass;
use softreg::metrics::Evaluation;

use crate::report::{Failure, Output};

/// The bar moves this many times a run, and at least once every [`LONGEST_STRIDE`] steps: smooth to the eye, and
/// far too seldom to slow a step.
const BAR_MOVES: u64 = 100;
const LONGEST_STRIDE: u64 = 1000;
/// Lines a run when piped.
const LINES: u64 = 10;

enum View {
    Silent,
    Bar(ProgressBar),
    Lines,
}

/// Where a training has come to.
#[derive(Clone, Copy)]
pub(crate) struct Point {
    pub(crate) steps: u64,
    pub(crate) learning_rate: f64,
    /// The mean loss of a row since the point before, in nats.
    pub(crate) training_loss: f64,
    /// `None` without validation rows, or where nobody sees it.
    pub(crate) validation: Option<Evaluation>,
}

/// See the module.
pub(crate) struct Progress {
    view: View,
    steps: u64,
    stride: u64,
    next: u64,
}

impl Progress {
    /// Follows a run of `steps`; `silent` shows nothing at all.
    pub(crate) fn new(steps: u64, silent: bool) -> Self {
        let (view, stride) = if steps == 0 {
            (View::Silent, u64::MAX)
        } else if silent {
            // Nothing is shown, and a history has its lines all the same.
            (View::Silent, steps.div_ceil(LINES))
        } else {
            let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
            if bar.is_hidden() {
                (View::Lines, steps.div_ceil(LINES))
            } else {
                (View::Bar(bar.with_style(style())), steps.div_ceil(BAR_MOVES).min(LONGEST_STRIDE))
            }
        };
        Self { view, steps, stride, next: stride }
    }

    /// Whether a line is due after so many steps.
    #[inline]
    pub(crate) fn is_due(&self, done: u64) -> bool {
        done >= self.next || done >= self.steps
    }

    /// Whether lines are shown, and not a bar or nothing.
    pub(crate) const fn shows_lines(&self) -> bool {
        matches!(self.view, View::Lines)
    }

    /// Shows how far the training has come.
    pub(crate) fn show(&mut self, point: &Point, out: &mut Output) -> Result<(), Failure> {
        self.next = point.steps.saturating_add(self.stride);
        match &self.view {
            View::Silent => Ok(()),
            View::Bar(bar) => {
                bar.set_message(format!("{:.4}", point.training_loss));
                bar.set_position(point.steps);
                Ok(())
            }
            View::Lines => {
                let steps = HumanCount(self.steps).to_string();
                let line = format!(
                    "step {:>width$} of {steps}  loss {:.4}",
                    HumanCount(point.steps).to_string(),
                    point.training_loss,
                    width = steps.len()
                );
                match &point.validation {
                    Some(validation) => {
                        out.line(format_args!("{line}  validation accuracy {:.4}", validation.accuracy()))
                    }
                    None => out.line(line),
                }
            }
        }
    }

    /// Takes the bar off the screen, so that what follows stands on a clean line.
    pub(crate) fn finish(&self) {
        if let View::Bar(bar) = &self.view {
            bar.finish_and_clear();
        }
    }
}

fn style() -> ProgressStyle {
    // The template is a constant; should indicatif ever refuse it, its own default bar is as good.
    ProgressStyle::with_template("{wide_bar:.blue/white.dim}  {human_pos} of {human_len}  loss {msg}  {eta} left")
        .map(|style| style.progress_chars("━━─"))
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// How far a fit has come: a line on a terminal that says the last pass, a line for every tenth pass when piped, or nothing.
pub(crate) struct Passes {
    view: View,
}

impl Passes {
    /// Follows fits; `silent` shows nothing at all.
    pub(crate) fn new(silent: bool) -> Self {
        let view = if silent {
            View::Silent
        } else {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if bar.is_hidden() { View::Lines } else { View::Bar(bar.with_style(spinner())) }
        };
        Self { view }
    }

    /// Tells a pass of the fit with this strength of the penalty.
    pub(crate) fn pass(&mut self, pass: &Pass, l2: f64, out: &mut Output) -> Result<(), Failure> {
        let Pass { pass, loss, gradient_norm, .. } = pass;
        let line = format!("l2 {l2:e}  pass {pass:>4}  loss {loss:.5}  gradient {gradient_norm:.1e}");
        match &self.view {
            View::Silent => Ok(()),
            View::Bar(bar) => {
                bar.set_message(line);
                bar.inc(1);
                Ok(())
            }
            View::Lines if pass % LINES as usize == 1 => out.line(line),
            View::Lines => Ok(()),
        }
    }

    /// Takes the line off the screen.
    pub(crate) fn finish(&self) {
        if let View::Bar(bar) = &self.view {
            bar.finish_and_clear();
        }
    }
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner:.blue} {msg}  {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// How long work may take before a terminal shows that it goes on.
const UNSHOWN: Duration = Duration::from_millis(500);
/// Between two moves of what it shows.
const TURN: Duration = Duration::from_millis(100);

/// Shows on a terminal what takes more than half a second, until it is dropped; nothing when piped.
pub(crate) struct Busy {
    /// Its loss ends the thread.
    end: Option<mpsc::Sender<()>>,
    shown: Option<thread::JoinHandle<()>>,
}

impl Busy {
    /// Begins with work that is called `what`.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if bar.is_hidden() {
            return Self { end: None, shown: None };
        }
        let bar = bar.with_style(spinner()).with_message(what.into());
        let (end, ended) = mpsc::channel();
        let show = move || {
            let goes_on = |time| ended.recv_timeout(time) == Err(mpsc::RecvTimeoutError::Timeout);
            let mut time = UNSHOWN;
            while goes_on(time) {
                bar.tick();
                time = TURN;
            }
            bar.finish_and_clear();
        };
        // Where there is no thread to be had, the work is done all the same.
        Self { end: Some(end), shown: thread::Builder::new().spawn(show).ok() }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.end = None;
        // A thread that is gone shows nothing any more, which is all that is wanted.
        let _ = self.shown.take().map(thread::JoinHandle::join);
    }
}
