//! The sections of the page: which words, figures, tables and pictures stand where. How they are drawn is `picture`'s
//! business, how they become HTML `page`'s.

use softreg::ModelFile;
use softreg::metrics::{Averages, ClassReport, ClassificationReport};

use super::results::Results;
use super::{Named, Subject};
use crate::model_file::{class_names, image};
use crate::page::Page;
use crate::picture::{self, CurvePoint, Drawing, Mistake, grouped};
use crate::report::Failure;
use crate::text::excerpt;

/// The pictures that there may be.
pub(super) const NAMES: [&str; 5] = ["weights", "confusion", "reliability", "mistakes", "curves"];

const WEIGHTS: &str = "What each class looks for: bright pixels speak for it where it is blue, against it where it is red. \
                       One scale holds for all classes.";
const CONFUSION: &str = "Test rows by their true and their predicted class. Colours are shares of a row: blue for what is \
                         right, red for mistakes, at full strength from a tenth of the class.";
const RELIABILITY: &str = "How often answers of a given confidence are right. Below the diagonal the model is surer than it \
                           should be; above it, less sure.";
const MISTAKES: &str = "The wrong answers whose true class got the lowest probability, the worst first. Blue: the true \
                        class and its probability; red: the answer's.";
const CURVES: &str = "Mean loss of a row and share of right answers over the steps of the training.";

/// The pictures of what is known, in the order of the page.
pub(super) fn pictures(
    Subject { file, .. }: &Subject,
    results: Option<&Results>,
    points: Option<&[CurvePoint]>,
) -> Result<Vec<Named>, Failure> {
    let (names, image) = (class_names(file), image(file).ok().flatten());
    let have_room = names.len() <= picture::MOST_CLASSES;
    let mut pictures = Vec::new();
    let mut push = |name, caption, drawing| pictures.push(Named { name, drawing, caption });
    if let Some(image) = image.filter(|_| have_room) {
        push("weights", WEIGHTS, picture::weights(&file.model.to_class_major(), image, &names)?);
    }
    if let Some(results) = results {
        if have_room {
            push("confusion", CONFUSION, picture::confusion(&results.confusion, &names)?);
        }
        push("reliability", RELIABILITY, picture::reliability(&results.confidences, &results.right));
        if let Some(image) = image.filter(|_| !results.worst.is_empty()) {
            push("mistakes", MISTAKES, mistakes(results, image, &names));
        }
    }
    if let Some(points) = points {
        push("curves", CURVES, picture::curves(points));
    }
    Ok(pictures)
}

fn mistakes(results: &Results, image: [usize; 2], names: &[String]) -> Drawing {
    let worst = results.worst.iter().map(|worst| Mistake {
        pixels: worst.features.clone(),
        truth: names[worst.truth].clone(),
        answer: names[worst.answer].clone(),
        probability: worst.probability,
        truth_probability: worst.truth_probability,
    });
    picture::mistakes(&worst.collect::<Vec<_>>(), image)
}

/// The page as HTML.
pub(super) fn page(
    subject: &Subject,
    results: Option<&Results>,
    pictures: &[Named],
    model: &str,
) -> Result<String, Failure> {
    let Subject { file, data, .. } = subject;
    let below = match results {
        Some(_) => format!("Softmax regression, tested on {data}"),
        None => "Softmax regression, not tested".to_owned(),
    };
    let mut page = Page::new(model, &below);
    figures(&mut page, file, results);
    let show = |page: &mut Page, name: &str, heading: &str| -> Result<(), Failure> {
        let Some(picture) = pictures.iter().find(|picture| picture.name == name) else { return Ok(()) };
        page.heading(heading);
        page.picture(name, &picture.drawing, picture.caption)
    };
    show(&mut page, "weights", "Weights")?;
    if let Some(results) = results {
        page.heading("Scores of each class");
        scores(&mut page, &results.report, &class_names(file));
    } else {
        page.words("There is no test data of this model's shape; --data names some.");
    }
    show(&mut page, "confusion", "Confusion matrix")?;
    show(&mut page, "reliability", "Reliability")?;
    show(&mut page, "mistakes", "Worst mistakes")?;
    show(&mut page, "curves", "Learning curves")?;
    page.heading("Model");
    page.settings(&settings(file));
    Ok(page.into_html(&format!("Made by softreg {}", env!("CARGO_PKG_VERSION"))))
}

fn figures(page: &mut Page, file: &ModelFile, results: Option<&Results>) {
    let mut figures = Vec::new();
    if let Some(results) = results {
        let error = picture::calibration_error(&results.confidences, &results.right);
        figures.push(("Test accuracy", format!("{:.2} %", 100.0 * results.evaluation.accuracy())));
        figures.push(("Test log loss", format!("{:.4}", results.evaluation.log_loss)));
        figures.extend(error.map(|error| ("Calibration error", format!("{:.2} %", 100.0 * error))));
        figures.push(("Test rows", grouped(&results.evaluation.rows.to_string())));
    }
    figures.push(("Classes", grouped(&file.model.classes().to_string())));
    figures.push(("Features", grouped(&file.model.features().to_string())));
    page.figures(&figures);
}

fn scores(page: &mut Page, report: &ClassificationReport, names: &[String]) {
    let score = |value: f64| format!("{value:.3}");
    let count = |support: u64| grouped(&support.to_string());
    let row = |name: &str, [precision, recall, f1]: [f64; 3], support: u64| {
        vec![excerpt(name), score(precision), score(recall), score(f1), count(support)]
    };
    let each = names.iter().zip(&report.classes);
    let mut rows: Vec<Vec<String>> = each
        .map(|(name, &ClassReport { precision, recall, f1, support, .. })| row(name, [precision, recall, f1], support))
        .collect();
    for (name, average) in [("macro average", report.macro_average), ("weighted average", report.weighted_average)] {
        let Averages { precision, recall, f1, .. } = average;
        rows.push(row(name, [precision, recall, f1], report.support));
    }
    page.table(&["Class", "Precision", "Recall", "F1", "Support"], &rows, 2);
}

/// What the file says of itself, and what its numbers do.
fn settings(ModelFile { model, metadata, .. }: &ModelFile) -> Vec<(String, String)> {
    let norm = |values: &[f32]| values.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt();
    let mut settings = vec![
        ("Weights".to_owned(), format!("{} classes × {} features", model.classes(), model.features())),
        ("Norm of the weights".to_owned(), format!("{:.4}", norm(&model.to_class_major()))),
        ("Norm of the bias".to_owned(), format!("{:.4}", norm(model.bias()))),
    ];
    let said = metadata.iter().filter(|(name, _)| !["features", "classes"].contains(&name.as_str()));
    settings.extend(said.map(|(name, value)| (sentence(&excerpt(name)), excerpt(value))));
    settings
}

/// `learning_rate` as words.
fn sentence(name: &str) -> String {
    let words = name.replace('_', " ");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests;
