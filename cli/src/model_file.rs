//! The models this program works with: 784 pixels, 10 digits, one preprocessing. The file's format is the library's
//! business, and writing it in one piece `output_file`'s.

use std::path::Path;

use softreg::{Error, ModelFile, SoftmaxRegression};

use crate::report::Failure;
use crate::text::excerpt;

/// Pixels of a picture, the model's features.
pub(crate) const FEATURES: usize = 28 * 28;
/// Digits.
pub(crate) const CLASSES: usize = 10;

/// What the model expects to be done to the pixels; a model that says otherwise would see other numbers.
pub(crate) const PREPROCESSING: &str = "u8 pixels / 255";

/// The bytes of a model file: a model of any shape with its classes' names. The same model and settings give the same bytes.
pub(crate) fn to_bytes(
    model: &SoftmaxRegression,
    classes: &[String],
    preprocessing: Option<&str>,
    settings: &[(&str, String)],
) -> Result<Vec<u8>, Failure> {
    let file = ModelFile::new(model.clone())
        .with_class_names(classes)
        .with_metadata("features", model.features().to_string())
        .with_metadata("classes", model.classes().to_string());
    let file = preprocessing.iter().fold(file, |file, &value| file.with_metadata("preprocessing", value));
    let file = settings.iter().fold(file, |file, (name, value)| file.with_metadata(*name, value));
    Ok(file.to_bytes()?)
}

/// Reads a model of the shape this program works with.
pub(crate) fn load(path: &Path) -> Result<SoftmaxRegression, Failure> {
    let file = ModelFile::load(path).map_err(|error| match error {
        Error::Io { .. } => {
            Failure::Failed(format!("{error}; --model takes a file made by `softreg train --save FILE`"))
        }
        Error::Format { .. } => does_not_fit(&error.to_string()),
        other => other.into(),
    })?;
    check(&file).map_err(|message| does_not_fit(&format!("{}: {message}", path.display())))?;
    Ok(file.model)
}

fn does_not_fit(message: &str) -> Failure {
    Failure::Failed(format!("{message}; `softreg train --save FILE` makes a model that fits"))
}

/// A file from elsewhere may have no metadata; what it does say has to be true.
fn check(file: &ModelFile) -> Result<(), String> {
    let (found, expected) = ([file.model.classes(), file.model.features()], [CLASSES, FEATURES]);
    if found != expected {
        return Err(format!("weight: found shape {found:?}, expected {expected:?}"));
    }
    let expected = [
        ("preprocessing", PREPROCESSING.to_owned()),
        ("features", FEATURES.to_string()),
        ("classes", CLASSES.to_string()),
    ];
    for (name, expected) in expected {
        match file.metadata.get(name) {
            Some(found) if *found != expected => {
                return Err(format!("metadata {name}: found {:?}, expected {expected:?}", excerpt(found)));
            }
            _ => {}
        }
    }
    Ok(())
}
