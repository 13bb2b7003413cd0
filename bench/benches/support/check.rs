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
    /// Where every case starts.
    pub(crate) fn start() -> Self {
        Self::random(FEATURES, CLASSES)
    }

    /// Small random weights, so that the classes of a row differ.
    pub(crate) fn random(features: usize, classes: usize) -> Self {
        let mut random = Random::new(0);
        Self { w: random.numbers(features * classes, 0.05), b: random.numbers(classes, 0.05) }
    }

    pub(crate) fn of(model: &SoftmaxRegression) -> Self {
        Self { w: model.to_row_major(), b: model.bias().to_vec() }
    }

    pub(crate) fn unpacked(packed: &softreg::Parameters) -> Self {
        Self { w: packed.to_row_major(), b: packed.bias().to_vec() }
    }

    fn zeros(&self) -> Self {
        Self { w: vec![0.0; self.w.len()], b: vec![0.0; self.b.len()] }
    }

    /// The same, packed for the kernels.
    pub(crate) fn packed(&self) -> softreg::Parameters {
        softreg::Parameters::from_row_major(&self.w, &self.b, self.features(), self.b.len()).expect("whole rows")
    }

    pub(crate) fn model(&self, level: Level) -> SoftmaxRegression {
        let model = SoftmaxRegression::from_row_major(&self.w, &self.b, self.features(), self.b.len());
        model.expect("whole rows").with_level(level)
    }

    /// Our side: a trainer for batches of `rows`.
    pub(crate) fn trainer(&self, level: Level, rows: usize) -> Trainer {
        self.trainer_at(level, learning_rate(rows))
    }

    /// The same with another learning rate on the summed loss.
    pub(crate) fn trainer_at(&self, level: Level, learning_rate: f32) -> Trainer {
        Trainer::new(self.model(level), Sgd::new(learning_rate.into())).reduction(Reduction::Sum)
    }

    fn features(&self) -> usize {
        self.w.len() / self.b.len()
    }
}

/// What a forward pass and a step from the same start must give on one batch.
pub(crate) struct Answer {
    logits: Expected,
    residual: Vec<f64>,
    loss: Expected,
    w: Expected,
    b: Expected,
}

impl Answer {
    /// A step on images, at their learning rate.
    pub(crate) fn new(images: &Images, start: &Parameters) -> Self {
        Self::of_step(&images.wide(), &images.wide_one_hot(), learning_rate(images.rows()), start)
    }

    /// A step on rows `[n, features]` and target probabilities `[n, classes]`.
    pub(crate) fn of_step(x: &[f64], targets: &[f64], learning_rate: f32, start: &Parameters) -> Self {
        Self::of(x, targets, learning_rate.into(), start, start)
    }

    /// The gradient of the summed loss in place of the parameters after a step: it is a step of learning rate -1 from
    /// zeros.
    pub(crate) fn of_gradient(x: &[f64], targets: &[f64], start: &Parameters) -> Self {
        Self::of(x, targets, -1.0, start, &start.zeros())
    }

    /// A step's budget is that of its last kernel plus what the errors before it become on the way:
    ///
    /// - Logits off by at most `d` change a row's loss by at most `2 d`, and its probabilities by a factor within
    ///   `exp(+-2 d)`, since numerator and denominator each change by a factor within `exp(+-d)`.
    /// - Residuals off by `e` change the weights by at most the learning rate times `|x|^T e`.
    fn of(x: &[f64], targets: &[f64], rate: f64, model: &Parameters, before: &Parameters) -> Self {
        let (features, classes) = (model.features(), model.b.len());
        let logits = expect::forward(x, &wide(&model.w), &wide(&model.b));
        let (losses, residual) = expect::cross_entropy(&logits.values, targets, classes);
        let largest = |row: &[f64]| row.iter().copied().fold(0.0, f64::max);
        let off: Vec<f64> = logits.tolerances.chunks_exact(classes).map(largest).collect();

        let probabilities = residual.values.iter().zip(targets).map(|(residual, y)| residual + y);
        let errors = probabilities.zip(&residual.tolerances).enumerate();
        let errors: Vec<f64> = errors.map(|(at, (p, own))| own + p * (2.0 * off[at / classes]).exp_m1()).collect();
        let sizes: Vec<f64> = x.iter().map(|x| x.abs()).collect();
        let (w_errors, b_errors) = reference::gradient(&sizes, &errors, features, classes);
        let (mut w, mut b) = expect::sgd_step(x, &residual.values, rate, &wide(&before.w), &wide(&before.b));
        widen(&mut w, w_errors.iter().map(|error| rate.abs() * error));
        widen(&mut b, b_errors.iter().map(|error| rate.abs() * error));

        // A rival may round each row's loss to f32 before it adds them up in f64.
        let tolerance = losses.tolerances.iter().zip(&off).zip(&losses.values);
        let tolerance = tolerance.map(|((own, off), loss)| own + 2.0 * off + 2.0 * UNIT * loss).sum();
        let loss = Expected { values: vec![losses.values.iter().sum()], tolerances: vec![tolerance], columns: 1 };

        let answer = Self { logits, residual: residual.values, loss, w, b };
        // A budget wide enough for the weights as they were would prove nothing.
        assert!(
            answer.w.check(&before.w).is_err() && answer.b.check(&before.b).is_err(),
            "the step is lost in its budget"
        );
        answer
    }

    /// `p - y`, `[n, classes]`. Of its rounding the budget of the gradient has room.
    pub(crate) fn residual(&self) -> Vec<f32> {
        self.residual.iter().map(|&r| r as f32).collect()
    }

    /// Panics unless these are the logits.
    pub(crate) fn check_forward(&self, who: &str, logits: &[f32]) {
        self.logits.check(logits).unwrap_or_else(|error| panic!("{who}: logits: {error}"));
    }

    /// Panics unless these are the loss and the parameters of a step, or the gradient.
    pub(crate) fn check_step(&self, who: &str, loss: f64, after: &Parameters) {
        self.loss.check(&[loss]).unwrap_or_else(|error| panic!("{who}: loss: {error}"));
        self.check_parameters(who, after);
    }

    /// Panics unless these are the parameters of a step, or the gradient.
    pub(crate) fn check_parameters(&self, who: &str, after: &Parameters) {
        self.w.check(&after.w).unwrap_or_else(|error| panic!("{who}: weights: {error}"));
        self.b.check(&after.b).unwrap_or_else(|error| panic!("{who}: bias: {error}"));
    }
}

fn widen(expected: &mut Expected, by: impl Iterator<Item = f64>) {
    expected.tolerances.iter_mut().zip(by).for_each(|(tolerance, by)| *tolerance += by);
}
