//! The model files of this program: a model of any shape with what it has to know of its rows. The file's format is the
//! library's business, and writing it in one piece `output_file`'s.

use std::path::Path;

use softreg::{Error, ModelFile, SoftmaxRegression};

use crate::data::{Schema, image_size};
use crate::nearest;
use crate::report::Failure;
use crate::text::excerpt;

/// Pixels of MNIST's images.
const MNIST: usize = 28 * 28;

/// The settings of a file that are a [`Schema`]'s, beside the names of the classes.
const PREPROCESSING: &str = "preprocessing";
const IMAGE: &str = "image";
const FEATURE_NAMES: &str = "feature_names";

/// A model and its rows' schema.
pub(crate) struct Loaded {
    pub(crate) model: SoftmaxRegression,
    pub(crate) schema: Schema,
}

/// The bytes of a model file: a model of any shape with its schema. The same model and settings give the same bytes.
pub(crate) fn to_bytes(
    model: &SoftmaxRegression,
    schema: &Schema,
    settings: &[(&str, String)],
) -> Result<Vec<u8>, Failure> {
    let Schema { classes, preprocessing, image, columns } = schema;
    let columns = columns.as_ref().map(serde_json::to_string).transpose();
    let columns = columns.map_err(|error| Failure::Failed(format!("names of the features: {error}")))?;
    let own = [
        ("features", Some(model.features().to_string())),
        ("classes", Some(model.classes().to_string())),
        (PREPROCESSING, preprocessing.clone()),
        (IMAGE, image.map(|[height, width]| format!("{height}x{width}"))),
        (FEATURE_NAMES, columns),
    ];
    let own = own.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let file = ModelFile::new(model.clone()).with_class_names(classes);
    let file = own.fold(file, |file, (name, value)| file.with_metadata(name, value));
    let file = settings.iter().fold(file, |file, (name, value)| file.with_metadata(*name, value));
    Ok(file.to_bytes()?)
}

/// The entry of the metadata that only the state of a training has.
const TRAINING: &str = "training";

/// What a file holds.
pub(crate) enum Contents {
    Model(ModelFile),
    /// The state of a training, whose weights may be of scaled features.
    State(ModelFile),
}

/// Reads a model of any shape, or a training's state.
pub(crate) fn open(path: &Path) -> Result<Contents, Failure> {
    match ModelFile::load(path) {
        Ok(file) if file.metadata.contains_key(TRAINING) => Ok(Contents::State(file)),
        Ok(file) => Ok(Contents::Model(file)),
        // Of a state's several pairs of tensors, the model's is the one without a prefix.
        Err(error @ Error::Format { .. }) => match ModelFile::load_tensors(path, "") {
            Ok(file) if file.metadata.contains_key(TRAINING) => Ok(Contents::State(file)),
            _ => Err(error.into()),
        },
        Err(error) => Err(not_read(&error, path)),
    }
}

/// The error of a file that cannot be read.
fn not_read(error: &Error, path: &Path) -> Failure {
    let nearest = nearest::hint(path);
    let hint = if nearest.is_empty() { "; --model takes a file made by `softreg train --save FILE`" } else { &nearest };
    Failure::Failed(format!("{error}{hint}"))
}

/// Reads a model of any shape. A file from elsewhere may have no metadata; what it does say has to be true.
pub(crate) fn load(path: &Path) -> Result<Loaded, Failure> {
    let (file, schema) = load_whole(path)?;
    Ok(Loaded { model: file.model, schema })
}

/// [`load`] with all that the file says.
pub(crate) fn load_whole(path: &Path) -> Result<(ModelFile, Schema), Failure> {
    let file = ModelFile::load(path).map_err(|error| match error {
        Error::Io { .. } => not_read(&error, path),
        Error::Format { .. } => does_not_fit(&error.to_string()),
        other => other.into(),
    })?;
    let schema = schema(&file).map_err(|message| does_not_fit(&format!("{}: {message}", path.display())))?;
    Ok((file, schema))
}

fn does_not_fit(message: &str) -> Failure {
    Failure::Failed(format!("{message}; `softreg train --save FILE` makes a model that fits"))
}

fn schema(file: &ModelFile) -> Result<Schema, String> {
    let (features, classes) = (file.model.features(), file.model.classes());
    for (name, expected) in [("features", features), ("classes", classes)] {
        match file.metadata.get(name) {
            Some(found) if *found != expected.to_string() => {
                return Err(wrong(name, found, &format!("{:?}", expected.to_string())));
            }
            _ => {}
        }
    }
    let columns = match file.metadata.get(FEATURE_NAMES) {
        Some(text) => {
            let names: Option<Vec<String>> = serde_json::from_str(text).ok();
            let expected = format!("a JSON array of {features} strings");
            let names = names.filter(|names| names.len() == features);
            Some(names.ok_or_else(|| wrong(FEATURE_NAMES, text, &expected))?)
        }
        None => None,
    };
    let preprocessing = file.metadata.get(PREPROCESSING).cloned();
    Ok(Schema { classes: class_names(file), preprocessing, image: image(file)?, columns })
}

/// The names of the classes in a file, or the classes' numbers.
pub(crate) fn class_names(file: &ModelFile) -> Vec<String> {
    let numbers = || (0..file.model.classes()).map(|class| class.to_string()).collect();
    file.class_names.clone().unwrap_or_else(numbers)
}

/// Height and width of the images that a model knows, if it knows images: what its file says, or MNIST's.
pub(crate) fn image(file: &ModelFile) -> Result<Option<[usize; 2]>, String> {
    let features = file.model.features();
    let Some(text) = file.metadata.get(IMAGE) else { return Ok((features == MNIST).then_some([28, 28])) };
    let fits = |[height, width]: &[usize; 2]| height.checked_mul(*width) == Some(features);
    let expected = format!("HEIGHTxWIDTH of {features} pixels");
    image_size(text).filter(fits).map(Some).ok_or_else(|| wrong(IMAGE, text, &expected))
}

fn wrong(name: &str, found: &str, expected: &str) -> String {
    format!("metadata {name}: found {:?}, expected {expected}", excerpt(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_what_the_file_says_or_mnists() {
        let of = |features, said: Option<&str>| {
            let file = ModelFile::new(SoftmaxRegression::zeros(features, 2));
            image(&said.into_iter().fold(file, |file, said| file.with_metadata(IMAGE, said)))
        };
        assert_eq!(of(784, None), Ok(Some([28, 28])));
        assert_eq!(of(784, Some("14x56")), Ok(Some([14, 56])));
        assert_eq!(of(12, Some("3x4")), Ok(Some([3, 4])));
        assert_eq!(of(64, None), Ok(None));
        for (features, said) in [(12, "3x5"), (12, "12"), (12, "-3x-4"), (784, "9x9"), (1, "99999999999999999999x1")] {
            assert!(of(features, Some(said)).is_err(), "{features} {said}");
        }
    }
}
