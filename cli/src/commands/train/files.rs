//! The files that a training leaves: that they can be written, what the history has, and what is said of them where the
//! training was interrupted.

use std::path::{Path, PathBuf};

use super::TrainArgs;
use super::checkpoint::Checkpoint;
use crate::output_file::OutputFile;
use crate::progress::Point;
use crate::report::Failure;

/// Where the results will go.
pub(super) struct Files<'a> {
    pub(super) checkpoint: Option<Checkpoint<'a>>,
    pub(super) save: Option<OutputFile>,
    pub(super) weights_png: Option<OutputFile>,
    pub(super) history: Option<OutputFile>,
}

impl<'a> Files<'a> {
    /// Checks them, before anything else takes time.
    pub(super) fn check(args: &'a TrainArgs) -> Result<Self, Failure> {
        let check = |flag: &str, path: &Option<PathBuf>| {
            path.as_deref().map(|path: &Path| OutputFile::check(flag, path)).transpose()
        };
        let options = [("--save", &args.save), ("--weights-png", &args.weights_png), ("--history", &args.history)];
        let [save, weights_png, history] = options;
        let files = [check(save.0, save.1)?, check(weights_png.0, weights_png.1)?, check(history.0, history.1)?];
        let checkpoint = Checkpoint::check(args)?;
        let places = options.map(|(option, _)| option).into_iter().zip(files.iter().map(Option::as_ref));
        let places: Vec<(&str, &OutputFile)> = places
            .chain([("--checkpoint", checkpoint.as_ref().map(Checkpoint::file))])
            .filter_map(|(option, file)| Some((option, file?)))
            .collect();
        for (i, (a, file)) in places.iter().enumerate() {
            if let Some((b, _)) = places[..i].iter().find(|(_, other)| other == file) {
                return Err(Failure::Usage(format!("{b} and {a} name the same file; choose two")));
            }
        }
        let [save, weights_png, history] = files;
        Ok(Self { checkpoint, save, weights_png, history })
    }

    /// Whether there are any.
    pub(super) const fn any(&self) -> bool {
        self.save.is_some() || self.weights_png.is_some() || self.history.is_some() || self.checkpoint.is_some()
    }
}

/// What is said of a training that was interrupted.
pub(super) fn interruption(args: &TrainArgs, steps: u64) -> String {
    let files = [("the state", &args.checkpoint), ("the model", &args.save), ("the weights", &args.weights_png)];
    let files = files.into_iter().chain([("the history", &args.history)]);
    let saved: Vec<String> =
        files.filter_map(|(what, path)| path.as_ref().map(|path| format!("{what} in {}", path.display()))).collect();
    format!("interrupted after step {steps}; saved {}", saved.join(", "))
}

/// The history as CSV; what is not there is left empty.
pub(super) fn csv(history: &[Point], batch: usize, rows: usize) -> String {
    let mut csv = "steps,epochs,learning_rate,training_loss,validation_loss,validation_accuracy\n".to_owned();
    for Point { steps, learning_rate, training_loss, validation } in history {
        let per_epoch = rows as f64 / batch as f64;
        let epochs = *steps as f64 / per_epoch;
        let field = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        let (loss, accuracy) = (validation.map(|found| found.log_loss), validation.map(|found| found.accuracy()));
        let (loss, accuracy) = (field(loss), field(accuracy));
        csv.push_str(&format!("{steps},{epochs:.3},{learning_rate:e},{training_loss},{loss},{accuracy}\n"));
    }
    csv
}
