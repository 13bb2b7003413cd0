//! The crate's one error type. Every value says what was found and what was expected. Only lengths are checked here.

use alloc::string::String;
use core::fmt;

/// The crate's result type.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Checks a length.
pub(crate) const fn expect(what: &'static str, found: usize, expected: usize) -> Result<()> {
    if found == expected { Ok(()) } else { Err(Error::Shape { what, found, expected }) }
}

/// Checks a setting.
pub(crate) const fn expect_setting(name: &'static str, found: f64, holds: bool, expected: &'static str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::Setting { name, found, expected }) }
}

/// What can go wrong. Nothing in this crate panics on data.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A slice or view does not have the length its partners imply.
    Shape {
        /// What was measured, for example `"logits"`.
        what: &'static str,
        /// The length found, in elements.
        found: usize,
        /// The length expected, in elements.
        expected: usize,
    },
    /// A slice is not a whole number of rows.
    PartialRow {
        /// What was measured, for example `"matrix values"`.
        what: &'static str,
        /// The length found, in elements.
        found: usize,
        /// The length of a row, in elements.
        width: usize,
    },
    /// A count is outside its range: no features, no classes, no rows in a batch, more rows than there are.
    Size {
        /// What was asked for.
        what: &'static str,
        /// The value found.
        found: usize,
        /// What was expected, in words.
        expected: &'static str,
    },
    /// A class label is not below the number of classes.
    Label {
        /// The row whose label it is, counted within the batch or dataset at hand.
        row: usize,
        /// The label found.
        label: u32,
        /// The number of classes; labels go from 0 to `classes - 1`.
        classes: usize,
    },
    /// A target probability is negative, infinite or NaN.
    Target {
        /// The row whose target it is, counted within the batch or dataset at hand.
        row: usize,
        /// The class whose probability it is.
        class: usize,
        /// The value found.
        value: f32,
    },
    /// The weight of a row or a class is negative, infinite or NaN.
    Weight {
        /// `"row"` or `"class"`.
        of: &'static str,
        /// Which one, counted within the batch or dataset at hand.
        index: usize,
        /// The value found.
        value: f32,
    },
    /// A predicted probability is not from 0 to 1, or is NaN: it may be a logit.
    Probability {
        /// The row whose probability it is.
        row: usize,
        /// The class whose probability it is.
        class: usize,
        /// The value found.
        value: f32,
    },
    /// Every row's targets sum to 0: no row has a weight.
    NoWeight {
        /// The number of rows.
        rows: usize,
    },
    /// A number that has to be finite is infinite or NaN.
    NonFinite {
        /// What holds it: `"weights"` `[features, classes]`, `"bias"` `[1, classes]`, `"features"` `[n, features]`,
        /// `"logits"` or `"probabilities"` `[n, classes]`, a scaler's `"offsets"` or `"scales"` `[1, features]`, or the
        /// solver's `"preconditioner"`.
        what: &'static str,
        /// Its row.
        row: usize,
        /// Its column.
        column: usize,
        /// The value found.
        value: f32,
    },
    /// A row index points outside its matrix.
    RowIndex {
        /// The position in the list of indices.
        position: usize,
        /// The index found.
        index: usize,
        /// The number of rows.
        rows: usize,
    },
    /// An array's elements do not lie in memory as they are read, in row-major order without gaps.
    #[cfg(feature = "ndarray")]
    Layout {
        /// What the array holds: `"matrix values"`, `"target probabilities"` or `"labels"`.
        what: &'static str,
        /// The strides found, in elements: from row to row and from column to column. A vector is one column.
        strides: [isize; 2],
        /// The number of columns. `[columns, 1]` are the strides expected.
        columns: usize,
    },
    /// A numeric setting is outside its range, such as a negative learning rate.
    Setting {
        /// The setting's name.
        name: &'static str,
        /// The value found.
        found: f64,
        /// What was expected, in words.
        expected: &'static str,
    },
    /// The loss became infinite or NaN. The step that found it changed nothing.
    NonFiniteLoss {
        /// The loss found.
        loss: f64,
    },
    /// The step would have made a weight or a bias infinite or NaN. It changed nothing.
    NonFiniteStep,
    /// Memory cannot be had for what the data's or the settings' size asks for.
    Memory {
        /// What it was wanted for, for example `"logits"`.
        what: &'static str,
        /// How much was wanted; `usize::MAX` where the number of bytes itself overflows.
        bytes: usize,
    },
    /// The name is not that of any level.
    UnknownLevel {
        /// The name found.
        name: String,
    },
    /// The level exists, but this CPU or this build does not have it.
    UnavailableLevel {
        /// The level's name.
        name: &'static str,
    },
    /// A file could not be opened, read or written.
    #[cfg(any(feature = "mnist", feature = "safetensors", feature = "npy"))]
    Io {
        /// The file's path, or the name its reader was given.
        file: String,
        /// What the operating system or the decompressor said.
        source: std::io::Error,
    },
    /// A file is not what its name or its partner promises, or its format does not take what is to be written.
    #[cfg(any(feature = "mnist", feature = "safetensors", feature = "npy"))]
    Format {
        /// The file's path, or the name its reader was given.
        file: String,
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape { what, found, expected } => {
                write!(f, "{what}: found {found} elements, expected {expected}")
            }
            Self::PartialRow { what, found, width } => {
                write!(f, "{what}: found {found} elements, expected a multiple of {width} (whole rows)")
            }
            Self::Size { what, found, expected } => write!(f, "{what}: found {found}, expected {expected}"),
            Self::Label { row, label, classes } => write!(
                f,
                "row {row}: found label {label}, expected 0 to {} ({classes} classes)",
                classes.saturating_sub(1)
            ),
            Self::Target { row, class, value } => {
                write!(f, "row {row}: found target {value} for class {class}, expected a finite number of at least 0")
            }
            Self::Weight { of, index, value } => {
                write!(f, "{of} {index}: found weight {value}, expected a finite number of at least 0")
            }
            Self::Probability { row, class, value } => {
                write!(f, "row {row}: found {value} for class {class}, expected a probability, 0 to 1")
            }
            Self::NoWeight { rows } => {
                write!(f, "targets: found {rows} rows whose targets all sum to 0, expected a row with a weight")
            }
            Self::NonFinite { what, row, column, value } => {
                write!(f, "{what}: found {value} in row {row}, column {column}, expected finite numbers")
            }
            Self::RowIndex { position, index, rows } => {
                write!(f, "row index {position}: found {index}, expected less than {rows} (the number of rows)")
            }
            #[cfg(feature = "ndarray")]
            Self::Layout { what, strides, columns } => write!(
                f,
                "{what}: found strides {strides:?}, expected [{columns}, 1] (row-major order without gaps); \
                 copy with `as_standard_layout`, or take `Matrix::columns` of the whole array"
            ),
            Self::Setting { name, found, expected } => write!(f, "{name}: found {found}, expected {expected}"),
            Self::NonFiniteLoss { loss } => write!(
                f,
                "the loss became {loss}; the model was left as it was before this step; \
                 try a smaller learning rate, or look for NaN and infinities in the data"
            ),
            Self::NonFiniteStep => f.write_str(
                "the step would have made the weights infinite or NaN; the model was left as it was before this step; \
                 try a smaller learning rate, or scale the features",
            ),
            Self::Memory { what, bytes } => write!(f, "{what}: found no memory for {bytes} bytes"),
            Self::UnknownLevel { name } => {
                write!(f, "unknown level {name:?}, expected one of: avx512, avx2, neon, portable")
            }
            Self::UnavailableLevel { name } => {
                write!(f, "level {name} is not available on this CPU or in this build")
            }
            #[cfg(any(feature = "mnist", feature = "safetensors", feature = "npy"))]
            Self::Io { file, source } => write!(f, "{file}: {source}"),
            #[cfg(any(feature = "mnist", feature = "safetensors", feature = "npy"))]
            Self::Format { file, found, expected } => write!(f, "{file}: found {found}, expected {expected}"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            #[cfg(any(feature = "mnist", feature = "safetensors", feature = "npy"))]
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
