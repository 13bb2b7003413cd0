//! Tables as text: comma-separated values with a line of column names or without one, numbers as features and one column
//! of labels. How a record is quoted and cut into fields is the crate `csv-core`'s business.
//!
//! Memory is bounded by what the file holds: a record is read to a buffer that does not grow, and a longer one is an error.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::Table;
use super::labels::Labels;
use crate::nearest;
use crate::report::Failure;
use crate::text::excerpt;

/// Bytes of a record: more than 100,000 numbers take.
const LONGEST_RECORD: usize = 8 << 20;
/// Fields of a record.
const MOST_COLUMNS: usize = 1 << 20;
/// Bytes that are read at a time.
const PIECE: usize = 256 << 10;
/// What stands for a value that is not there, in any case of letters.
const MISSING: [&str; 6] = ["", "na", "n/a", "nan", "null", "?"];

/// Which columns are taken for what.
pub(crate) struct Columns<'a> {
    /// The name or, where the file has no names, the number from 1 of the labels' column.
    pub(crate) label: Option<&'a str>,
    /// Those that are left out.
    pub(crate) drop: &'a [String],
    /// Those that a model knows, in its order; all others are left out. `None` takes all.
    pub(crate) features: Option<&'a [String]>,
}

/// Reads a whole file.
pub(crate) fn read(path: &Path, wanted: &Columns<'_>) -> Result<Table, Failure> {
    table(path, wanted).map_err(|message| Failure::Failed(format!("{}: {message}", path.display())))
}

fn table(path: &Path, wanted: &Columns<'_>) -> Result<Table, String> {
    let mut records = Records::new(BufReader::with_capacity(PIECE, open(path)?), path)?;
    if !records.advance()? {
        return Err("found an empty file, expected a line of column names and lines of values".to_owned());
    }
    let first: Vec<String> =
        (0..records.len()).map(|at| records.field(at).map(str::to_owned)).collect::<Result<_, _>>()?;
    let has_names = first.iter().any(|field| number(field).is_none() && !is_missing(field));
    let names = match has_names {
        true => first,
        false => (1..=first.len()).map(|number| number.to_string()).collect(),
    };
    let layout = Layout::new(&names, has_names, wanted)?;
    let mut is_there = if has_names { records.advance()? } else { true };
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    while is_there {
        layout
            .take(&records, &names, &mut values, &mut labels)
            .map_err(|message| format!("line {}{message}", records.line))?;
        is_there = records.advance()?;
    }
    Ok(Table {
        name: path.display().to_string(),
        labels_name: path.display().to_string(),
        features: layout.features.len(),
        values: values.into(),
        labels: layout.label.map(|_| Labels::of_texts(labels)),
        columns: has_names.then(|| layout.features.iter().map(|&column| names[column].clone()).collect()),
    })
}

fn open(path: &Path) -> Result<File, String> {
    let metadata = std::fs::metadata(path).map_err(|error| format!("{error}{}", nearest::hint(path)))?;
    if metadata.is_dir() {
        return Err("found a directory, expected a file of comma-separated values".to_owned());
    }
    File::open(path).map_err(|error| error.to_string())
}

/// The places of the columns in a record.
struct Layout {
    label: Option<usize>,
    features: Vec<usize>,
}

impl Layout {
    fn new(names: &[String], has_names: bool, wanted: &Columns<'_>) -> Result<Self, String> {
        if let Some(twice) = twice(names) {
            return Err(format!("found two columns named {}, expected one of each name", excerpt(twice)));
        }
        let find = |flag: &str, name: &str| {
            names.iter().position(|known| known == name).ok_or_else(|| {
                let known = excerpt(&names.join(", "));
                let near = nearest::of(name, names.iter().cloned());
                let near = near.map_or_else(String::new, |near| format!("; did you mean {}?", excerpt(&near)));
                let kind = if has_names { "a column of the first line" } else { "the number of a column" };
                format!("{flag} {}: found no such column, expected {kind}: {known}{near}", excerpt(name))
            })
        };
        let label = wanted.label.map(|name| find("--label", name)).transpose()?;
        let drop = wanted.drop.iter().map(|name| find("--drop", name)).collect::<Result<Vec<_>, _>>()?;
        let features: Vec<usize> = match wanted.features {
            Some(features) => {
                features.iter().map(|name| find("the model's feature", name)).collect::<Result<_, _>>()?
            }
            None => (0..names.len()).filter(|column| Some(*column) != label && !drop.contains(column)).collect(),
        };
        if features.is_empty() {
            return Err("found no column of features, expected at least one beside the label's".to_owned());
        }
        Ok(Self { label, features })
    }

    /// Appends the values and the label of a record. The error goes on behind the line's number.
    fn take(
        &self,
        records: &Records<impl BufRead>,
        names: &[String],
        values: &mut Vec<f32>,
        labels: &mut Vec<String>,
    ) -> Result<(), String> {
        if records.len() != names.len() {
            return Err(format!(": found {} fields, expected {}, as in the first line", records.len(), names.len()));
        }
        // Room for twice as many, so that values move seldom.
        if values.capacity() - values.len() < self.features.len() {
            values.try_reserve(values.len().max(self.features.len())).map_err(|_| ": out of memory".to_owned())?;
        }
        for &column in &self.features {
            values.push(value(records.field(column)?, &names[column])?);
        }
        if let Some(column) = self.label {
            let label = records.field(column)?.trim();
            if is_missing(label) {
                return Err(format!(", column {}: found no label, expected one", excerpt(&names[column])));
            }
            labels.push(label.to_owned());
        }
        Ok(())
    }
}

/// A name that stands there twice.
fn twice(names: &[String]) -> Option<&str> {
    let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

fn is_missing(field: &str) -> bool {
    let field = field.trim();
    MISSING.iter().any(|missing| field.eq_ignore_ascii_case(missing))
}

fn number(field: &str) -> Option<f32> {
    field.trim().parse().ok()
}

/// A feature's value. The error goes on behind the line's number.
fn value(field: &str, column: &str) -> Result<f32, String> {
    let found = match number(field) {
        Some(value) if value.is_finite() => return Ok(value),
        _ if is_missing(field) => {
            let hint = "fill it in, or leave out the line or, by --drop, the column";
            return Err(format!(", column {}: found no value, expected a number; {hint}", excerpt(column)));
        }
        found => found,
    };
    let column = excerpt(column);
    let hint = match found {
        Some(_) => " that f32 holds".to_owned(),
        None => format!("; --drop {column} leaves the column out"),
    };
    Err(format!(", column {column}: found {:?}, expected a number{hint}", excerpt(field)))
}

/// The records of a file, one after the other.
struct Records<R> {
    source: R,
    reader: Reader,
    /// The fields of a record, one after the other.
    fields: Vec<u8>,
    ends: Vec<usize>,
    /// How many fields the record has.
    len: usize,
    /// The line in which the last record began, from 1.
    line: u64,
}

impl<R: BufRead> Records<R> {
    /// The delimiter is the one of comma, semicolon and tab that the first line has most of.
    fn new(mut source: R, path: &Path) -> Result<Self, String> {
        let start = source.fill_buf().map_err(|error| error.to_string())?;
        if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) {
            return Err("found text in UTF-16, expected UTF-8; save it as such".to_owned());
        }
        if start.contains(&0) {
            return Err("found bytes that are no text, expected a file of comma-separated values".to_owned());
        }
        let mark = if start.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let line = start[mark..].split(|&byte| byte == b'\n').next().unwrap_or_default();
        let count = |delimiter: u8| line.iter().filter(|&&byte| byte == delimiter).count();
        let is_tsv = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tsv"));
        let delimiter = match is_tsv {
            true => b'\t',
            // Of equal counts the last one is taken.
            false => *b"\t;,".iter().max_by_key(|&&delimiter| count(delimiter)).unwrap_or(&b','),
        };
        source.consume(mark);
        let reader = ReaderBuilder::new().delimiter(delimiter).build();
        Ok(Self { source, reader, fields: vec![0; PIECE], ends: vec![0; 1024], len: 0, line: 0 })
    }

    /// Reads the next record; `false` at the end.
    fn advance(&mut self) -> Result<bool, String> {
        self.line = self.reader.line();
        let (mut written, mut ended) = (0, 0);
        loop {
            let input = self.source.fill_buf().map_err(|error| error.to_string())?;
            let (result, read, out, ends) =
                self.reader.read_record(input, &mut self.fields[written..], &mut self.ends[ended..]);
            self.source.consume(read);
            (written, ended) = (written + out, ended + ends);
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => grow(&mut self.fields, LONGEST_RECORD, 0).map_err(|most| {
                    format!("line {}: found more than {most} bytes, expected the end of a line", self.line)
                })?,
                ReadRecordResult::OutputEndsFull => grow(&mut self.ends, MOST_COLUMNS, 0).map_err(|most| {
                    format!("line {}: found more than {most} fields, expected the end of a line", self.line)
                })?,
                ReadRecordResult::End => return Ok(false),
                ReadRecordResult::Record => break,
            }
        }
        self.len = ended;
        Ok(true)
    }

    /// How many fields the last record has.
    fn len(&self) -> usize {
        self.len
    }

    /// A field of the last record.
    fn field(&self, at: usize) -> Result<&str, String> {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        std::str::from_utf8(&self.fields[start..self.ends[at]])
            .map_err(|_| ": found bytes that are no UTF-8, expected text".to_owned())
    }
}

/// Twice the room, up to `most`, which is the error.
fn grow<T: Clone>(room: &mut Vec<T>, most: usize, value: T) -> Result<(), usize> {
    if room.len() >= most {
        return Err(most);
    }
    room.resize(most.min(2 * room.len()), value);
    Ok(())
}
