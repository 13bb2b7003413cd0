//! The state of a training as a safetensors file: that it goes on with the same bits as if it had never stopped. The file's
//! bytes are `model/file`'s business.
//!
//! Tensors: `weight` and `bias`, the model (of a trainer on scaled features that of these), so that the file is one of a
//! model too; `state.0.weight`, `state.0.bias` and so
//! on, what the optimizer remembers; `mean.weight` and `mean.bias`, the parameters' mean; `best.weight` and `best.bias`,
//! those of a run's best epoch. The metadata has the rest as JSON under `training`, and a run's under `run`.

use super::memory::Memory;
use super::run::{Best, Epoch, Run, UnderWay};
use super::settings::{Progress, Settings};
use super::trainer::Trainer;
use crate::data::Position;
use crate::error::{Error, Result};
use crate::model::file::{BYTES, Contents, Pairs, format_error, load_pairs, read_pairs};
use crate::model::{Scaler, SoftmaxRegression};
use crate::parameters::Parameters;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

/// The entries of the metadata.
const TRAINING: &str = "training";
const RUN: &str = "run";

/// The prefixes of the tensors beside the model's.
const MEAN: &str = "mean.";
const BEST: &str = "best.";

fn state_prefix(state: usize) -> String {
    format!("state.{state}.")
}

/// What a trainer has beside parameters.
#[derive(Serialize, Deserialize)]
struct Training {
    settings: Settings,
    progress: Progress,
    /// How many states the optimizer has; none before its first step.
    states: usize,
    /// Where the weights are those of scaled features.
    scaler: Option<Scaler>,
}

/// What a run has beside its trainer and parameters.
#[derive(Serialize, Deserialize)]
struct RunState {
    position: Position,
    history: Vec<Epoch>,
    under_way: UnderWay,
    best_epoch: Option<usize>,
}

impl Trainer {
    /// Writes the whole state of the training to a safetensors file: the model, what the optimizer remembers, settings and
    /// progress. [`SoftmaxRegression::load`] does not read it, [`ModelFile::load_tensors`](crate::ModelFile::load_tensors)
    /// without a prefix does. Written as [`ModelFile::save`](crate::ModelFile::save) does it.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings that a step would refuse, and those of `ModelFile::save`.
    pub fn save(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.with_contents(None, |contents| contents.save(path.as_ref()))
    }

    /// The bytes of the file that [`save`](Self::save) writes.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub fn to_bytes(&mut self) -> Result<Vec<u8>> {
        self.with_contents(None, |contents| contents.to_bytes(BYTES))
    }

    /// Goes on from a file that [`save`](Self::save) wrote, with the same bits as if the training had never stopped. All
    /// settings are the file's; level and threads stay as they are.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be read, [`Error::Format`] for one that is no state, is cut short, has a state of
    /// another optimizer or of a model of another shape, or values that no training has; [`Error::Setting`] for settings out
    /// of their range, [`Error::Memory`]. The trainer is then as it was.
    pub fn resume(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let (pairs, name) = load_pairs(path.as_ref())?;
        self.resume_from(pairs, &name)
    }

    /// The same from the file's bytes.
    ///
    /// # Errors
    /// As [`resume`](Self::resume).
    pub fn resume_from_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.resume_from(read_pairs(Cursor::new(bytes), bytes.len() as u64, BYTES)?, BYTES)
    }

    /// A trainer from a file that [`save`](Self::save) wrote, whatever its optimizer and shape.
    ///
    /// # Errors
    /// As [`resume`](Self::resume).
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let (pairs, name) = load_pairs(path.as_ref())?;
        Ok(State::new(pairs, &name)?.trainer)
    }

    fn resume_from(&mut self, pairs: Pairs, name: &str) -> Result<()> {
        let State { trainer, .. } = State::new(pairs, name)?;
        self.take_over(trainer, name)
    }

    /// Becomes another trainer of the same optimizer and shape.
    fn take_over(&mut self, other: Self, name: &str) -> Result<()> {
        let kinds = [&other, self].map(|trainer| trainer.optimizer().name());
        if kinds[0] != kinds[1] {
            let expected = format!("that of {}, which this trainer has", kinds[1]);
            return Err(format_error(name, format!("the state of {}", kinds[0]), expected));
        }
        let shapes = [&other, self].map(|trainer| trainer.shape());
        if shapes[0] != shapes[1] {
            let [found, expected] =
                shapes.map(|(features, classes)| format!("{features} features and {classes} classes"));
            return Err(format_error(name, format!("a model of {found}"), format!("{expected}, as this trainer has")));
        }
        let exec = self.exec();
        *self = other.with_exec(exec);
        Ok(())
    }

    /// Does something with what a file holds.
    fn with_contents<T>(
        &mut self,
        run: Option<(&RunState, Option<&Parameters>)>,
        work: impl FnOnce(&Contents<'_>) -> Result<T>,
    ) -> Result<T> {
        self.settings().check()?;
        let (settings, progress, scaler) = (*self.settings(), *self.progress(), self.scaler().cloned());
        let (model, memory) = self.in_natural_order()?;
        let (states, mean) = memory.map_or((&[][..], None), |memory| (&memory.states[..], memory.mean.as_ref()));
        let training = Training { settings, progress, states: states.len(), scaler };
        let mut metadata = BTreeMap::from([(TRAINING.to_owned(), to_json(&training)?)]);
        let prefixes: Vec<String> = (0..states.len()).map(state_prefix).collect();
        let mut pairs = vec![("", model.parameters())];
        pairs.extend(prefixes.iter().map(String::as_str).zip(states));
        pairs.extend(mean.map(|mean| (MEAN, mean)));
        if let Some((run, best)) = run {
            metadata.insert(RUN.to_owned(), to_json(run)?);
            pairs.extend(best.map(|best| (BEST, best)));
        }
        work(&Contents { pairs: &pairs, class_names: None, metadata: &metadata })
    }
}

impl Run<'_> {
    /// Writes the whole state of the run to a safetensors file: what [`Trainer::save`] does, and the position of the batches,
    /// the history and the best epoch's parameters. Epochs may be under way.
    ///
    /// # Errors
    /// As [`Trainer::save`].
    pub fn save(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let (trainer, run, best) = self.parts();
        trainer.with_contents(Some((&run, best)), |contents| contents.save(path.as_ref()))
    }

    /// The bytes of the file that [`save`](Self::save) writes.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub fn to_bytes(&mut self) -> Result<Vec<u8>> {
        let (trainer, run, best) = self.parts();
        trainer.with_contents(Some((&run, best)), |contents| contents.to_bytes(BYTES))
    }

    /// Goes on from a file that [`save`](Self::save) wrote, with the same bits as if the run had never stopped. The dataset,
    /// the size of the batches, the validation rows and early stopping are this run's, and have to be the same.
    ///
    /// # Errors
    /// As [`Trainer::resume`], [`Error::Format`] for a file without a run, [`Error::Size`] where its position is not one of
    /// this dataset's. The run is then as it was.
    pub fn resume(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let (pairs, name) = load_pairs(path.as_ref())?;
        let State { trainer, run, best } = State::new(pairs, &name)?;
        let run = run.ok_or_else(|| format_error(&name, "the state of a trainer alone", "that of a run"))?;
        let best = match (run.best_epoch, best) {
            (Some(epoch), Some(parameters)) if epoch < run.history.len() => Some(Best { epoch, parameters }),
            (None, None) => None,
            _ => return Err(format_error(&name, "a best epoch that does not hold together", STATE)),
        };
        self.go_on(run, best, |this| this.take_over(trainer, &name))
    }

    fn parts(&mut self) -> (&mut Trainer, RunState, Option<&Parameters>) {
        let Self { trainer, batches, history, under_way, best, .. } = self;
        let run = RunState {
            position: batches.position(),
            history: history.clone(),
            under_way: *under_way,
            best_epoch: best.as_ref().map(|best| best.epoch),
        };
        (trainer, run, best.as_ref().map(|best| &best.parameters))
    }

    fn go_on(
        &mut self,
        run: RunState,
        best: Option<Best>,
        go_on: impl FnOnce(&mut Trainer) -> Result<()>,
    ) -> Result<()> {
        let before = self.batches.position();
        self.batches.go_to(run.position)?;
        if let Err(error) = go_on(&mut self.trainer) {
            self.batches.go_to(before)?;
            return Err(error);
        }
        (self.history, self.under_way, self.best) = (run.history, run.under_way, best);
        Ok(())
    }
}

/// What errors expect.
const STATE: &str = "the state of a training, as Trainer::save writes it";

/// What a file holds.
struct State {
    trainer: Trainer,
    run: Option<RunState>,
    best: Option<Parameters>,
}

impl State {
    fn new((mut pairs, metadata): Pairs, name: &str) -> Result<Self> {
        let Some(training) = metadata.get(TRAINING) else {
            return Err(format_error(name, format!("no entry {TRAINING:?} in the metadata"), STATE));
        };
        let training: Training = from_json(training, name)?;
        training.settings.check()?;
        training.progress.check()?;
        let run = metadata.get(RUN).map(|run| from_json(run, name)).transpose()?;
        let missing = |what: &str| format_error(name, format!("no tensors {what}weight and {what}bias"), STATE);
        let model = pairs.remove("").ok_or_else(|| missing(""))?;
        let optimizer = &training.settings.optimizer;
        let (found, all) = (training.states, optimizer.initial_states().len());
        if found != all && found != 0 {
            let expected = format!("{all}, or none");
            return Err(format_error(name, format!("{found} states of {}", optimizer.name()), expected));
        }
        let states = (0..found).map(state_prefix).map(|prefix| pairs.remove(&prefix).ok_or_else(|| missing(&prefix)));
        let states = states.collect::<Result<Vec<_>>>()?;
        if let Some(square) = optimizer.square().and_then(|square| states.get(square))
            && !square.is_nonnegative()
        {
            return Err(format_error(name, "a mean of squares below 0", STATE));
        }
        let mean = pairs.remove(MEAN);
        let memory = (found == all).then(|| Memory::restored(states, mean));
        let Training { settings, progress, scaler, .. } = training;
        let trainer = Trainer::restored(SoftmaxRegression::new(model)?, scaler, settings, progress, memory)?;
        Ok(Self { trainer, run, best: pairs.remove(BEST) })
    }
}

fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Io { file: BYTES.to_owned(), source: error.into() })
}

fn from_json<T: DeserializeOwned>(text: &str, name: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| format_error(name, format!("metadata with {error}"), STATE))
}
