//! The history that `softreg train --history` writes, read back for its curves. Writing it is `train`'s work, drawing it
//! `picture`'s.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::picture::CurvePoint;
use crate::report::Failure;
use crate::text::excerpt;

/// Longer than the history of any training: 64 MiB.
const LARGEST_FILE: u64 = 1 << 26;
const HINT: &str = "`softreg train --history FILE` makes one";

/// Reads the points of a CSV file whose first line names its columns. `steps` and `training_loss` have to be among them.
pub(crate) fn read(path: &Path) -> Result<Vec<CurvePoint>, Failure> {
    let fail = |message: String| Failure::Failed(format!("--history {}: {message}; {HINT}", path.display()));
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST_FILE + 1).read_to_string(&mut text));
    let bytes = read.map_err(|error| fail(error.to_string()))?;
    if bytes as u64 > LARGEST_FILE {
        return Err(fail(format!("found more than {LARGEST_FILE} bytes, expected a line for each point")));
    }
    parse(&text).map_err(fail)
}

fn parse(text: &str) -> Result<Vec<CurvePoint>, String> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let (_, header) = lines.next().ok_or("found an empty file, expected CSV")?;
    let names: Vec<&str> = header.split(',').map(str::trim).collect();
    let column = |name: &str| names.iter().position(|&found| found == name);
    let needed = |name: &str| column(name).ok_or_else(|| format!("found no column {name} in {:?}", excerpt(header)));
    let (steps, training) = (needed("steps")?, needed("training_loss")?);
    let [loss, accuracy] = [column("validation_loss"), column("validation_accuracy")];
    lines
        .map(|(i, line)| {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            let value = |column: Option<usize>| match column.map(|column| fields.get(column).copied()) {
                None | Some(Some("")) => Ok(None),
                Some(Some(field)) if field.parse::<f64>().is_ok() => Ok(field.parse().ok()),
                Some(found) => {
                    Err(format!("line {}: found {:?}, expected a number", i + 1, excerpt(found.unwrap_or_default())))
                }
            };
            Ok(CurvePoint {
                steps: value(Some(steps))?.ok_or_else(|| format!("line {}: found no steps", i + 1))?,
                training_loss: value(Some(training))?,
                validation_loss: value(loss)?,
                validation_accuracy: value(accuracy)?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_read_by_the_names_of_their_columns() {
        let text = "training_loss,other,steps,validation_loss\r\n0.5,x,10,\n\n0.25,,20,0.75\n";
        let point = |steps, loss, validation_loss| CurvePoint {
            steps,
            training_loss: Some(loss),
            validation_loss,
            validation_accuracy: None,
        };
        assert_eq!(parse(text).unwrap(), [point(10.0, 0.5, None), point(20.0, 0.25, Some(0.75))]);
        assert_eq!(parse("steps,training_loss\n").unwrap(), []);
    }

    #[test]
    fn errors_name_the_line() {
        for (text, expected) in [
            ("", "an empty file"),
            ("steps,loss\n", "no column training_loss"),
            ("steps,training_loss\n1,2\nx,3\n", "line 3: found \"x\", expected a number"),
            ("steps,training_loss\n1\n", "line 2: found \"\", expected a number"),
            ("steps,training_loss\n,1\n", "line 2: found no steps"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
