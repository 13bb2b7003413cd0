//! The training itself: what the options make of trainer, batches and run, and the loop over steps or epochs. What is said of
//! it, tested and saved is the command's business.

use softreg::{Batches, EarlyStopping, Epoch, Error, Run, Scaler, SoftmaxRegression, Trainer};

use super::checkpoint::Checkpoint;
use super::{Loss, Order, TrainArgs};
use crate::data::Split;
use crate::optimizer;
use crate::progress::{Point, Progress};
use crate::report::{Failure, Output};
use crate::temporary::is_interrupted;

/// Epochs of a training that is to stop early, where nobody says.
const EPOCHS_AT_MOST: u64 = 100;

/// The losses of two steps, each before its update; of epochs, their means.
#[derive(Clone, Copy)]
pub(super) struct Losses {
    pub(super) first: f64,
    pub(super) last: f64,
}

impl Losses {
    fn after(before: Option<Self>, loss: f64) -> Self {
        Self { first: before.map_or(loss, |before| before.first), last: loss }
    }
}

/// What a training leaves.
pub(super) struct Trained {
    pub(super) model: SoftmaxRegression,
    /// `None` without steps.
    pub(super) losses: Option<Losses>,
    pub(super) steps: u64,
    pub(super) epochs: Option<u64>,
    pub(super) history: Vec<Point>,
}

/// What is to be trained, and how.
pub(super) struct Training<'a> {
    pub(super) args: &'a TrainArgs,
    pub(super) data: &'a Split,
    class_weights: Option<Vec<f32>>,
    /// What it begins with.
    start: SoftmaxRegression,
    checkpoint: Option<&'a Checkpoint<'a>>,
    /// At most.
    steps: u64,
    /// Where epochs are counted, at most so many.
    pub(super) epochs: Option<u64>,
}

impl<'a> Training<'a> {
    /// Of a model to begin with, or zeros.
    pub(super) fn new(
        args: &'a TrainArgs,
        data: &'a Split,
        start: Option<SoftmaxRegression>,
        checkpoint: Option<&'a Checkpoint<'a>>,
    ) -> Result<Self, Failure> {
        if args.early_stopping.is_some() && data.validation.rows() == 0 {
            return Err(Failure::Usage(
                "--early-stopping: no validation rows to stop by; give --validation".to_owned(),
            ));
        }
        if args.optimizer.schedule == optimizer::Course::Plateau && !args.counts_epochs() {
            return Err(Failure::Usage(
                "--schedule plateau looks at the loss after each epoch; give --epochs".to_owned(),
            ));
        }
        let class_weights = args.weighting.class_weights(&data.train, &data.schema.classes)?;
        let epochs = args.epochs.or(args.early_stopping.map(|_| EPOCHS_AT_MOST));
        let per_epoch = data.train.rows().div_ceil(args.batch) as u64;
        let steps = epochs.map_or(args.steps, |epochs| epochs.saturating_mul(per_epoch));
        let zeros = || SoftmaxRegression::try_zeros(data.train.features(), data.train.classes());
        let start = start.map_or_else(zeros, Ok)?;
        Ok(Self { args, data, class_weights, start, checkpoint, steps, epochs })
    }

    fn batches(&self) -> Result<Batches<'_>, Failure> {
        let batches = self.data.train.batches(self.args.batch);
        let batches = batches.targets(self.args.weighting.targets(&self.data.train, &self.class_weights)?)?;
        Ok(match self.args.order {
            Order::Shuffled => batches.seed(self.args.seed),
            Order::File => batches.in_file_order(),
        })
    }

    fn trainer(&self) -> Result<Trainer, Failure> {
        let Self { args, data, .. } = self;
        let model = self.start.clone();
        let model = model.with_level(args.compute.level).with_threads(args.compute.threads);
        let reduction = args.reduction();
        let trainer = Trainer::new(model, args.optimizer.optimizer(reduction, args.batch)?).reduction(reduction);
        let trainer = trainer.schedule(args.optimizer.schedule(self.steps)?);
        let trainer = match args.optimizer.clip_norm {
            Some(largest) => trainer.clip_norm(largest),
            None => trainer,
        };
        Ok(if args.standardize { trainer.scaled_by(Scaler::standard(data.train.x())?)? } else { trainer })
    }

    /// Trains. `None` means that the reader of the output went away and there is no file to finish for.
    pub(super) fn run(&self, has_files: bool, out: &mut Output) -> Result<Option<Trained>, Failure> {
        match self.epochs {
            Some(epochs) => self.run_epochs(epochs, has_files, out),
            None => self.run_steps(has_files, out),
        }
    }

    fn run_steps(&self, has_files: bool, out: &mut Output) -> Result<Option<Trained>, Failure> {
        let Self { args, data, steps, .. } = self;
        let (mut trainer, mut batches) = (self.trainer()?, self.batches()?);
        let mut progress = Progress::new(*steps, args.json);
        let evaluates = data.validation.rows() > 0 && (progress.shows_lines() || args.history.is_some());
        let (mut losses, mut history): (Option<Losses>, _) = (None, Vec::new());
        let (mut sum, mut since) = (0.0, 0);
        if let Some(checkpoint) = self.checkpoint
            && checkpoint.resume_steps(&mut trainer, &mut batches)?
        {
            self.say_resumed(trainer.steps(), out)?;
        }
        for done in trainer.steps() + 1..=*steps {
            let batch = batches.next_batch();
            if batch.x.rows() == 0 {
                return Err(Failure::Failed(format!(
                    "a batch of {} rows: out of memory; try a smaller --batch",
                    args.batch
                )));
            }
            let last = trainer.step(batch).map_err(|error| {
                progress.finish();
                at_step(done, &error)
            })?;
            losses = Some(Losses::after(losses, last));
            (sum, since) = (sum + last, since + 1);
            if progress.is_due(done) {
                let rows = match args.loss {
                    Loss::Sum => args.batch as f64,
                    Loss::Mean => 1.0,
                };
                // Weights that give no logits are what the next step or the test says.
                let validation = evaluates.then(|| trainer.model().evaluate(&data.validation).ok()).flatten();
                let learning_rate = trainer.learning_rate();
                let training_loss = sum / since as f64 / rows;
                let point = Point { steps: done, learning_rate, training_loss, validation };
                progress.show(&point, out)?;
                history.push(point);
                (sum, since) = (0.0, 0);
            }
            if let Some(checkpoint) = self.checkpoint.filter(|checkpoint| checkpoint.is_due(done)) {
                checkpoint.write(trainer.to_bytes())?;
            }
            if is_interrupted() {
                break;
            }
            if out.is_closed() && !has_files {
                return Ok(None);
            }
        }
        progress.finish();
        if let Some(checkpoint) = self.checkpoint {
            checkpoint.write(trainer.to_bytes())?;
        }
        let steps = trainer.steps();
        Ok(Some(Trained { model: trainer.into_model(), losses, steps, epochs: None, history }))
    }

    fn run_epochs(&self, epochs: u64, has_files: bool, out: &mut Output) -> Result<Option<Trained>, Failure> {
        let Self { args, data, steps, .. } = self;
        let mut run = Run::new(self.trainer()?, self.batches()?);
        if data.validation.rows() > 0 {
            run = run.validation(&data.validation);
        }
        if let Some(patience) = args.early_stopping {
            run = run.early_stopping(EarlyStopping::new(patience));
        }
        if let Some(checkpoint) = self.checkpoint
            && checkpoint.resume_run(&mut run)?
        {
            self.say_resumed(run.trainer().steps(), out)?;
        }
        let mut progress = Progress::new(*steps, args.json);
        let mut history: Vec<Point> = run.history().iter().map(point).collect();
        while (run.history().len() as u64) < epochs && !run.has_stopped() && !is_interrupted() {
            let step = run.trainer().steps() + 1;
            let epoch = run.step().map_err(|error| {
                progress.finish();
                at_step(step, &error)
            })?;
            if let Some(checkpoint) = self.checkpoint.filter(|checkpoint| checkpoint.is_due(step)) {
                checkpoint.write(run.to_bytes())?;
            }
            let Some(point) = epoch.as_ref().map(point) else { continue };
            if progress.is_due(point.steps) || run.has_stopped() {
                progress.show(&point, out)?;
            }
            history.push(point);
            if out.is_closed() && !has_files {
                return Ok(None);
            }
        }
        if let Some(checkpoint) = self.checkpoint {
            checkpoint.write(run.to_bytes())?;
        }
        progress.finish();
        let losses = history.iter().fold(None, |losses, point| Some(Losses::after(losses, point.training_loss)));
        let (steps, epochs) = (run.trainer().steps(), Some(history.len() as u64));
        Ok(Some(Trained { model: run.into_model(), losses, steps, epochs, history }))
    }

    fn say_resumed(&self, steps: u64, out: &mut Output) -> Result<(), Failure> {
        if self.args.json {
            return Ok(());
        }
        out.line(format_args!("resumed     after step {steps}"))
    }

    /// What the model file says about its training: all that decides its values, and nothing that does not.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        let Self { args, data, .. } = self;
        let length = match self.epochs {
            Some(epochs) => ("epochs", epochs.to_string()),
            None => ("steps", args.steps.to_string()),
        };
        let mut settings = vec![
            length,
            ("batch", args.batch.to_string()),
            ("learning_rate", format!("{:?}", args.optimizer.learning_rate())),
            ("loss", args.loss.to_string()),
            ("order", args.order.to_string()),
            ("seed", args.seed.to_string()),
            ("validation_rows", data.validation.rows().to_string()),
            ("level", args.compute.level.name().to_owned()),
        ];
        settings.extend(args.early_stopping.map(|patience| ("early_stopping", patience.to_string())));
        settings.extend(args.standardize.then(|| ("standardize", "true".to_owned())));
        settings.extend(args.optimizer.settings());
        settings.extend(args.weighting.settings());
        settings
    }
}

fn point(epoch: &Epoch) -> Point {
    Point {
        steps: epoch.steps,
        learning_rate: epoch.learning_rate,
        training_loss: epoch.loss,
        validation: epoch.validation,
    }
}

fn at_step(step: u64, error: &Error) -> Failure {
    Failure::Failed(format!("step {step}: {error}"))
}
