//! The check before the timing: the logits and one whole step against the f64 reference. A wrong result panics.

use super::compare::{Expected, UNIT};
use super::data::Images;
use super::expect::{self, wide};
use super::random::Random;
use super::{CLASSES, FEATURES, learning_rate, reference};
use softreg::{Level, Reduction, Sgd, SoftmaxRegression, Trainer};

/// A model in the layout that everyone can give: `w [features, classes]`, row-major, and `b [classes]`.
#[derive(Clone)]
pub(crate) struct Parameters {
    pub(crate) w: Vec<f32>,
    pub(crate) b: Vec<f32>,
}

impl Parameters {
    /// Where every case starts: small random weights, so that the classes of a row differ.
    pub(crate) fn start() -> Self {
        let mut random = Random::new(0);
        Self { w: random.numbers(FEATURES * CLASSES, 0.05), b: random.numbers(CLASSES, 0.05) }
    }

    pub(crate) fn of(model: &SoftmaxRegression) -> Self {
        Self { w: model.to_row_major(), b: model.bias().to_vec() }
    }

    /// The same, packed for the kernels.
    pub(crate) fn packed(&self) -> softreg::Parameters {
        softreg::Parameters::from_row_major(&self.w, &self.b, FEATURES, CLASSES).expect("the job's shape")
    }

    pub(crate) fn model(&self, level: Level) -> SoftmaxRegression {
        let model = SoftmaxRegression::from_row_major(&self.w, &self.b, FEATURES, CLASSES);
        model.expect("the job's shape").with_level(level)
    }

    /// Our side: a trainer for batches of `rows`.
    pub(crate) fn trainer(&self, level: Level, rows: usize) -> Trainer {
        Trainer::new(self.model(level), Sgd::new(learning_rate(rows))).reduction(Reduction::Sum)
    }
}

/// What a forward pass and a step from the same start must give on one batch.
pub(crate) struct Answer {
    logits: Expected,
    loss: Expected,
    w: Expected,
    b: Expected,
}

impl Answer {
    /// A step's budget is that of its last kernel plus what the errors before it become on the way:
    ///
    /// - Logits off by at most `d` change a row's loss by at most `2 d`, and its probabilities by a factor within
    ///   `exp(+-2 d)`, since numerator and denominator each change by a factor within `exp(+-d)`.
    /// - Residuals off by `e` change the weights by at most the learning rate times `|x|^T e`.
    pub(crate) fn new(images: &Images, start: &Parameters) -> Self {
        let (x, targets, (w, b)) = (images.wide(), images.wide_one_hot(), (wide(&start.w), wide(&start.b)));
        let rate = f64::from(learning_rate(images.rows()));
        let logits = expect::forward(&x, &w, &b);
        let (losses, residual) = expect::cross_entropy(&logits.values, &targets, CLASSES);
        let largest = |row: &[f64]| row.iter().copied().fold(0.0, f64::max);
        let off: Vec<f64> = logits.tolerances.chunks_exact(CLASSES).map(largest).collect();

        let probabilities = residual.values.iter().zip(&targets).map(|(residual, y)| residual + y);
        let errors = probabilities.zip(&residual.tolerances).enumerate();
        let errors: Vec<f64> = errors.map(|(at, (p, own))| own + p * (2.0 * off[at / CLASSES]).exp_m1()).collect();
        let (w_errors, b_errors) = reference::gradient(&x, &errors, FEATURES, CLASSES);
        let (mut w, mut b) = expect::sgd_step(&x, &residual.values, rate, &w, &b);
        widen(&mut w, w_errors.iter().map(|error| rate * error));
        widen(&mut b, b_errors.iter().map(|error| rate * error));

        // A rival may round each row's loss to f32 before it adds them up in f64.
        let tolerance = losses.tolerances.iter().zip(&off).zip(&losses.values);
        let tolerance = tolerance.map(|((own, off), loss)| own + 2.0 * off + 2.0 * UNIT * loss).sum();
        let loss = Expected { values: vec![losses.values.iter().sum()], tolerances: vec![tolerance], columns: 1 };

        let answer = Self { logits, loss, w, b };
        // A budget wide enough for the weights as they were would prove nothing.
        assert!(
            answer.w.check(&start.w).is_err() && answer.b.check(&start.b).is_err(),
            "the step is lost in its budget"
        );
        answer
    }

    /// Panics unless these are the logits.
    pub(crate) fn check_forward(&self, who: &str, logits: &[f32]) {
        self.logits.check(logits).unwrap_or_else(|error| panic!("{who}: logits: {error}"));
    }

    /// Panics unless these are the loss and the parameters of a step.
    pub(crate) fn check_step(&self, who: &str, loss: f64, after: &Parameters) {
        self.loss.check(&[loss]).unwrap_or_else(|error| panic!("{who}: loss: {error}"));
        self.w.check(&after.w).unwrap_or_else(|error| panic!("{who}: weights after a step: {error}"));
        self.b.check(&after.b).unwrap_or_else(|error| panic!("{who}: bias after a step: {error}"));
    }
}

fn widen(expected: &mut Expected, by: impl Iterator<Item = f64>) {
    expected.tolerances.iter_mut().zip(by).for_each(|(tolerance, by)| *tolerance += by);
}
