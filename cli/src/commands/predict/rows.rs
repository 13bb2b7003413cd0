//! The classes of rows of arrays and tables, a line for each, some rows at a time: the probabilities of many rows and
//! classes would take more memory than the rows.

use serde::Serialize;
use softreg::Matrix;

use super::check;
use crate::data::SourceArgs;
use crate::model_file::Loaded;
use crate::report::{Failure, Output};
use crate::text::visible;

/// Probabilities that are computed at a time.
const PIECE: usize = 1 << 18;

/// What `--json` prints of a row.
#[derive(Serialize)]
struct Report<'a> {
    /// From 0.
    row: usize,
    class: usize,
    name: &'a str,
    probability: f32,
    /// By class.
    probabilities: &'a [f32],
}

/// Prints the class of each row: as comma-separated values with a line of names, or as JSON.
pub(super) fn run(loaded: &Loaded, data: &SourceArgs, json: bool) -> Result<(), Failure> {
    let Loaded { model, schema } = loaded;
    let data = data.load_unlabelled(schema)?;
    let (features, classes) = (model.features(), model.classes());
    data.check_features(features)?;
    let rows_at_a_time = (PIECE / classes).max(1);
    let mut probabilities = vec![0.0; rows_at_a_time * classes];
    let mut out = Output::new();
    if !json {
        out.line("row,class,probability")?;
    }
    let mut row = 0;
    for values in data.values().chunks(rows_at_a_time * features) {
        let x = Matrix::from_f32(values, features)?;
        let probabilities = &mut probabilities[..x.rows() * classes];
        model.predict_proba_into(x, probabilities)?;
        let mut lines = String::new();
        for probabilities in probabilities.chunks_exact(classes) {
            check(probabilities, schema).map_err(|message| Failure::Failed(format!("row {row}: {message}")))?;
            // Of equal ones the first.
            let class = (1..classes).fold(
                0,
                |best, class| {
                    if probabilities[class] > probabilities[best] { class } else { best }
                },
            );
            let (name, probability) = (&schema.classes[class], probabilities[class]);
            if json {
                out.json(&Report { row, class, name, probability, probabilities })?;
            } else {
                lines.push_str(&format!("{row},{},{probability:.6}\n", quoted(name)));
            }
            row += 1;
        }
        if !json {
            out.line(lines.trim_end())?;
        }
        if out.is_closed() {
            break;
        }
    }
    Ok(())
}

/// A name as a field of comma-separated values.
fn quoted(name: &str) -> String {
    if name.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", visible(&name.replace('"', "\"\"")));
    }
    visible(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_commas_are_quoted() {
        assert_eq!(quoted("ash"), "ash");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(quoted("a\nb"), "\"a b\"");
    }
}
