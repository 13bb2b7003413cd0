//! Taking times on a noisy machine: everything measured takes turns in short rounds, and each one's best round counts.
//! What else the machine does lengthens some rounds of everyone and leaves the best alone. Every benchmark of the
//! workspace takes its times here, but for those that criterion takes. What is run is the caller's business.

#![allow(unreachable_pub, reason = "softreg-bench exports this module, the program does not")]

use softreg::Result;
use std::time::{Duration, Instant};

/// How long times are taken.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// A round is at least this long, so that reading the clock is nothing beside it. Zero: a round is one run.
    pub length: Duration,
    /// Everyone has this many rounds.
    pub fewest: usize,
    /// And more, until this much time has passed.
    pub time: Duration,
}

impl Rounds {
    /// Everything runs once: enough to see that it runs.
    pub const ONCE: Self = Self { length: Duration::ZERO, fewest: 1, time: Duration::ZERO };
}

/// Something whose time is taken.
pub struct Contender<'a> {
    run: Box<dyn FnMut() -> Result<()> + 'a>,
    runs: u32,
    best: Duration,
}

impl<'a> Contender<'a> {
    /// What one run does.
    pub fn new(run: impl FnMut() -> Result<()> + 'a) -> Self {
        Self { run: Box::new(run), runs: 1, best: Duration::MAX }
    }

    /// The time of one run in the best round, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.best.as_secs_f64() / f64::from(self.runs)
    }

    /// What is short starts with what it reads in the caches, as the run before left it.
    fn round(&mut self) -> Result<Duration> {
        if self.runs > 1 {
            (self.run)()?;
        }
        let begin = Instant::now();
        for _ in 0..self.runs {
            (self.run)()?;
        }
        Ok(begin.elapsed())
    }

    /// Finds how many runs fill a round: from the better of two, so that a disturbed one does not leave rounds short.
    fn fill_round(&mut self, length: Duration) -> Result<()> {
        while !length.is_zero() && self.round()?.min(self.round()?) < length {
            self.runs *= 2;
        }
        Ok(())
    }
}

/// Takes the times of all, by turns.
///
/// # Errors
/// The first error of a run.
pub fn take_turns(contenders: &mut [&mut Contender<'_>], rounds: Rounds) -> Result<()> {
    contenders.iter_mut().try_for_each(|contender| contender.fill_round(rounds.length))?;
    let (begin, mut done) = (Instant::now(), 0);
    while done < rounds.fewest || begin.elapsed() < rounds.time {
        for contender in &mut *contenders {
            contender.best = contender.best.min(contender.round()?);
        }
        done += 1;
    }
    Ok(())
}
