//! Taking times on a noisy machine: everything measured takes turns in short rounds, and each one's best round counts.
//! What else the machine does lengthens some rounds of everyone and leaves the best alone. What is run is the caller's
//! business.

use super::Time;
use crate::error::Result;
use alloc::boxed::Box;
use core::time::Duration;
use std::time::Instant;

/// A round is at least this long, so that reading the clock is nothing beside it.
const ROUND: Duration = Duration::from_millis(1);

const ROUNDS: usize = 60;

/// Something whose time is taken.
pub(super) struct Contender<'a> {
    run: Box<dyn FnMut() -> Result<()> + 'a>,
    runs: u32,
    best: Duration,
}

impl<'a> Contender<'a> {
    pub(super) fn new(run: impl FnMut() -> Result<()> + 'a) -> Self {
        Self { run: Box::new(run), runs: 1, best: Duration::MAX }
    }

    /// The best time of one run, in seconds.
    pub(super) fn seconds(&self) -> f64 {
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
    fn fill_round(&mut self) -> Result<()> {
        while self.round()?.min(self.round()?) < ROUND {
            self.runs *= 2;
        }
        Ok(())
    }
}

/// Takes the times of all, by turns.
pub(super) fn take_turns(contenders: &mut [&mut Contender<'_>], time: Time) -> Result<()> {
    let rounds = match time {
        Time::Best => {
            contenders.iter_mut().try_for_each(|contender| contender.fill_round())?;
            ROUNDS
        }
        Time::Once => 1,
    };
    for _ in 0..rounds {
        for contender in &mut *contenders {
            contender.best = contender.best.min(contender.round()?);
        }
    }
    Ok(())
}
