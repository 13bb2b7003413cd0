//! What a model makes of the test rows, as far as the page and its pictures need it.

use softreg::metrics::{self, ClassificationReport, Evaluation};
use softreg::{Dataset, ModelFile};

use crate::data::pieces;
use crate::picture::MOST_MISTAKES;
use crate::report::{Failure, finite};

/// See the module.
pub(super) struct Results {
    pub(super) evaluation: Evaluation,
    pub(super) report: ClassificationReport,
    /// `[truth, predicted]`.
    pub(super) confusion: Vec<u64>,
    /// The probability of each row's answer, and whether it was right.
    pub(super) confidences: Vec<f32>,
    pub(super) right: Vec<bool>,
    /// The wrong answers whose true class got the least, the worst first; at most [`MOST_MISTAKES`].
    pub(super) worst: Vec<Worst>,
}

/// A row that got a wrong answer.
pub(super) struct Worst {
    /// The features, as the model sees them.
    pub(super) features: Vec<f32>,
    pub(super) truth: usize,
    pub(super) answer: usize,
    pub(super) probability: f32,
    pub(super) truth_probability: f32,
}

impl Results {
    /// Tests the model.
    pub(super) fn new(ModelFile { model, .. }: &ModelFile, test: &Dataset) -> Result<Self, Failure> {
        let evaluation = model.evaluate(test)?;
        finite("test log loss", evaluation.log_loss, "the weights are too large, train the model with a smaller --lr")?;
        let classes = model.classes();
        let truth = test.labels();
        let (mut predicted, mut confidences, mut right, mut worst) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for piece in pieces(test) {
            let proba = model.predict_proba(piece.x())?;
            let answers = model.predict(piece.x())?;
            for ((p, &answer), label) in proba.chunks_exact(classes).zip(&answers).zip(piece.labels()) {
                let row = predicted.len();
                let [probability, truth_probability] = [p[answer as usize], p[label as usize]];
                predicted.push(answer);
                confidences.push(probability);
                right.push(answer == label);
                if answer != label {
                    worst.push((truth_probability, probability, row));
                }
            }
            // Only the worst of all can be the worst of the pieces.
            worst.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.2.cmp(&b.2)));
            worst.truncate(MOST_MISTAKES);
        }
        let worst = worst
            .into_iter()
            .map(|(truth_probability, probability, row)| {
                Ok(Worst {
                    features: test.split_at(row)?.1.split_at(1)?.0.to_f32(),
                    truth: truth[row] as usize,
                    answer: predicted[row] as usize,
                    probability,
                    truth_probability,
                })
            })
            .collect::<Result<_, Failure>>()?;
        Ok(Self {
            evaluation,
            report: ClassificationReport::new(&truth, &predicted, classes)?,
            confusion: metrics::confusion_matrix(&truth, &predicted, classes)?,
            confidences,
            right,
            worst,
        })
    }
}
