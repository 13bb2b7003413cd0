//! Taking times on a noisy machine: everything measured takes turns in short samples, and each one's best sample counts.
//! What else the machine does lengthens some samples of everyone and leaves the best alone. Every benchmark of the
//! workspace takes its times here, but for those that criterion takes. What is run is the caller's business.

#![allow(unreachable_pub, reason = "softreg-bench exports this module, the program does not")]

use softreg::Result;
use std::time::{Duration, Instant};

/// How long times are taken.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// A sample is at least this long, so that reading the clock is nothing beside it. Zero: a sample is one run.
    pub length: Duration,
    /// Everyone has this many samples.
    pub fewest: usize,
    /// And more, until this much time has passed.
    pub time: Duration,
}

impl Sampling {
    /// Everything runs once: enough to see that it runs.
    pub const ONCE: Self = Self { length: Duration::ZERO, fewest: 1, time: Duration::ZERO };
}

/// Something whose time is taken.
pub struct Case<'a> {
    run: Box<dyn FnMut() -> Result<()> + 'a>,
    runs: u32,
    best: Duration,
}

impl<'a> Case<'a> {
    /// What one run does.
    pub fn new(run: impl FnMut() -> Result<()> + 'a) -> Self {
        Self { run: Box::new(run), runs: 1, best: Duration::MAX }
    }

    /// The time of one run in the best sample, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.best.as_secs_f64() / f64::from(self.runs)
    }

    /// What is short starts with what it reads in the caches, as the run before left it.
    fn sample(&mut self) -> Result<Duration> {
        if self.runs > 1 {
            (self.run)()?;
        }
        let begin = Instant::now();
        for _ in 0..self.runs {
            (self.run)()?;
        }
        Ok(begin.elapsed())
    }

    /// Finds how many runs fill a sample: from the better of two, so that a disturbed one does not leave samples short.
    fn fill_sample(&mut self, length: Duration) -> Result<()> {
        while !length.is_zero() && self.sample()?.min(self.sample()?) < length {
            self.runs *= 2;
        }
        Ok(())
    }
}

/// Takes the times of all, by turns.
///
/// # Errors
/// The first error of a run.
pub fn take_turns(cases: &mut [&mut Case<'_>], sampling: Sampling) -> Result<()> {
    cases.iter_mut().try_for_each(|case| case.fill_sample(sampling.length))?;
    let (begin, mut done) = (Instant::now(), 0);
    while done < sampling.fewest || begin.elapsed() < sampling.time {
        for case in &mut *cases {
            case.best = case.best.min(case.sample()?);
        }
        done += 1;
    }
    Ok(())
}
