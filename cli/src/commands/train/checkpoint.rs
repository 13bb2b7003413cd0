//! The state of a training on disk: where it goes on, and what it leaves every so many steps. The state's bytes are the
//! library's business.

use std::path::Path;

use softreg::{Batches, Run, Trainer};

use super::TrainArgs;
use crate::output_file::OutputFile;
use crate::report::Failure;

/// Where the state goes, and how often.
pub(super) struct Checkpoint<'a> {
    path: &'a Path,
    file: OutputFile,
    every: u64,
}

impl<'a> Checkpoint<'a> {
    /// Checks the place, before anything else takes time.
    pub(super) fn check(args: &'a TrainArgs) -> Result<Option<Self>, Failure> {
        let Some(path) = &args.checkpoint else { return Ok(None) };
        let file = OutputFile::check("--checkpoint", path)?;
        Ok(Some(Self { path, file, every: args.every.unwrap_or(u64::MAX) }))
    }

    /// The file, to be told from others.
    pub(super) const fn file(&self) -> &OutputFile {
        &self.file
    }

    /// Whether the state is due after so many steps, which are not the last ones.
    pub(super) const fn is_due(&self, steps: u64) -> bool {
        steps.is_multiple_of(self.every)
    }

    /// Writes a state.
    pub(super) fn write(&self, bytes: softreg::Result<Vec<u8>>) -> Result<(), Failure> {
        self.file.write(&bytes?)
    }

    /// Goes on where the file says, if it is there: the trainer by its state, the batches by skipping those that were used.
    pub(super) fn resume_steps(&self, trainer: &mut Trainer, batches: &mut Batches<'_>) -> Result<bool, Failure> {
        let is_resumed = self.resume(trainer, |trainer| trainer.resume(self.path), |trainer| trainer)?;
        if is_resumed {
            for _ in 0..trainer.steps() {
                let _ = batches.next_batch();
            }
        }
        Ok(is_resumed)
    }

    /// Goes on where the file says, if it is there.
    pub(super) fn resume_run(&self, run: &mut Run<'_>) -> Result<bool, Failure> {
        self.resume(run, |run| run.resume(self.path), |run| run.trainer())
    }

    /// Goes on where the file says, if it is there. A state of other settings is an error: it would go on with its own.
    fn resume<T>(
        &self,
        training: &mut T,
        resume: impl FnOnce(&mut T) -> softreg::Result<()>,
        trainer: impl Fn(&mut T) -> &mut Trainer,
    ) -> Result<bool, Failure> {
        if !self.path.exists() {
            return Ok(false);
        }
        let hint = "expected the state of this training; remove the file to begin anew, or choose another";
        let wanted = *trainer(training).optimizer();
        resume(training).map_err(|error| Failure::Failed(format!("--checkpoint {error}; {hint}")))?;
        let found = trainer(training).optimizer();
        if *found != wanted {
            let path = self.path.display();
            return Err(Failure::Failed(format!("--checkpoint {path}: found {found:?}, expected {wanted:?}; {hint}")));
        }
        Ok(true)
    }
}
