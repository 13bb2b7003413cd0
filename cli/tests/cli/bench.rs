//! `softreg bench`: that it measures every kernel at every level asked for, on one thread and on more, and says so in a
//! table and in JSON. How fast anything is, is no test's business: everything runs once.

use crate::common::*;
use serde_json::Value;

/// Fewer are refused.
const LEAST_ROWS: usize = 1000;

/// What has to be measured at every level.
const NAMES: [&str; 19] = [
    "forward_f32",
    "forward_u8",
    "forward_u8_skip",
    "gradient_update_f32",
    "gradient_update_u8",
    "gradient_update_u8_skip",
    "step_f32",
    "step_u8",
    "step_u8_skip",
    "softmax",
    "forward_file_order",
    "forward_file_order_skip",
    "sweep_f32",
    "sweep_u8",
    "sweep_skip_u8",
    "gradient_f32",
    "gradient_u8",
    "mnist_shuffled_dense",
    "mnist_shuffled_skip",
];

/// The levels of this CPU, best first.
fn levels() -> Vec<String> {
    let info = words("info --json").json();
    let levels = info["levels"].as_array().expect("a list");
    levels.iter().map(|level| level.as_str().expect("a name").to_owned()).collect()
}

/// The object on each line of a run that succeeded.
fn reports(run: &Run) -> Vec<Value> {
    run.plain().lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// A figure of a report, which must be a number above 0; infinities and NaN would be `null`.
fn figure(object: &Value, key: &str) -> f64 {
    let figure = object[key].as_f64().unwrap_or_else(|| panic!("no {key} in {object}"));
    assert!(figure > 0.0 && figure.is_finite(), "{key}: {object}");
    figure
}

fn close(found: f64, expected: f64) -> bool {
    (found / expected - 1.0).abs() < 1e-9
}

#[test]
fn json_is_one_object_for_each_level_and_number_of_threads() {
    let data = data_of(LEAST_ROWS);
    let run = words(&format!("bench --once --json --threads 2 --data {}", data.path().display()));
    let reports = reports(&run);
    let found: Vec<(&str, u64)> =
        reports.iter().map(|report| (report["level"].as_str().unwrap(), report["threads"].as_u64().unwrap())).collect();
    let levels = levels();
    let expected: Vec<(&str, u64)> = levels.iter().flat_map(|level| [(level.as_str(), 1), (level, 2)]).collect();
    assert_eq!(found, expected);

    for report in &reports {
        assert_eq!(keys(report), ["fma_peak_gflops", "level", "read_gbps", "results", "threads"]);
        let reads = &report["read_gbps"];
        assert_eq!(keys(reads), ["l1", "l2", "l3", "memory"]);
        for part in keys(reads) {
            figure(reads, part);
        }
        let peak = figure(report, "fma_peak_gflops");
        let results = report["results"].as_array().unwrap();
        for name in NAMES {
            assert!(results.iter().any(|result| result["name"] == name), "{name} in {report}");
        }
        for result in results {
            check(result, peak);
        }
    }
}

/// Checks one kernel's figures, against each other where they depend on each other.
fn check(result: &Value, peak: f64) {
    let expected = ["fraction_of_limit", "fraction_of_peak", "gbps", "gflops", "limit", "microseconds", "name", "rows"];
    assert_eq!(keys(result), expected);
    let name = result["name"].as_str().unwrap();
    assert!(NAMES.contains(&name), "{name}");
    let (rows, gflops) = (figure(result, "rows"), figure(result, "gflops"));
    let (of_peak, of_limit) = (figure(result, "fraction_of_peak"), figure(result, "fraction_of_limit"));
    assert!(close(of_peak, gflops / peak), "{result}");
    match result["limit"].as_str() {
        Some("flop") => assert!(close(of_limit, of_peak), "{result}"),
        Some("bytes") => assert!(of_limit >= of_peak, "the bytes bind: {result}"),
        limit => panic!("{limit:?} in {result}"),
    }
    if name.starts_with("forward") {
        // A product with 784 x 10 weights.
        let flop = 2.0 * rows * 7840.0;
        assert!(close(gflops, flop / (figure(result, "microseconds") * 1e3)), "{result}");
    }
    figure(result, "gbps");
}

#[test]
fn level_chooses_one() {
    let data = data_of(LEAST_ROWS);
    let run = |level: &str| {
        let run = words(&format!("bench --once --json --level {level} --data {}", data.path().display()));
        let report = run.json();
        assert_eq!(report["threads"], 1, "as for the other commands");
        report["level"].clone()
    };
    assert_eq!(run("portable"), "portable");
    assert_eq!(run("auto"), levels()[0], "the best one");
}

/// Without `--data`, on the embedded images.
#[test]
fn table_names_each_level_and_kernel() {
    let run = words("bench --once");
    let (head, tables) = run.plain().split_once("\n\n").expect("an empty line before each table");
    assert_eq!(head, "data        embedded MNIST: 60,000 rows");
    let tables: Vec<&str> = tables.split("\n\n").collect();
    let levels = levels();
    assert_eq!(tables.len(), levels.len(), "{tables:?}");
    for (table, level) in tables.into_iter().zip(levels) {
        let mut lines = table.lines();
        let limits = lines.next().expect("the limits come first");
        assert!(limits.starts_with(&format!("{level}, threads: 1; multiply-adds ")), "{limits}");
        for part in ["l1", "l2", "l3", "memory"] {
            assert!(limits.contains(&format!("  {part} ")), "{part} in {limits}");
        }
        let headings = lines.next().expect("then the headings");
        for unit in ["rows", "us", "GFLOP/s", "of peak", "GB/s", "bound by"] {
            assert!(headings.contains(unit), "{unit} in {headings}");
        }
        let kernels: Vec<(&str, &str)> =
            lines.map(|line| line.split_once(' ').expect("a name, then its figures")).collect();
        for name in NAMES {
            assert!(kernels.iter().any(|(found, _)| *found == name), "{name} in {table}");
        }
        for (name, figures) in kernels {
            assert!(NAMES.contains(&name), "{name}");
            let words: Vec<&str> = figures.split_whitespace().collect();
            assert!(words[..5].iter().all(|word| word.parse::<f64>().is_ok()), "five figures: {figures}");
            assert!(figures.contains("  multiply-adds, at ") || figures.contains("  bytes, at "), "{figures}");
        }
    }
}

#[test]
fn too_few_rows_are_a_failure() {
    let data = tiny_data();
    let run = words(&format!("bench --once --json --data {}", data.path().display()));
    let line = run.silent_error(1);
    assert!(line.contains(&TRAIN_ROWS.to_string()) && line.contains("at least 1000"), "{line}");
}

#[test]
fn help_says_how_long_it_takes() {
    assert!(words("bench --help").plain().contains("10 to 30 seconds a level"));
    assert!(words("--help").plain().contains("bench"));
}

/// These rows are too few to measure on, which would be a failure: it ends before it measures.
#[cfg(unix)]
#[test]
fn closed_pipe_ends_the_run_quietly() {
    let data = tiny_data();
    let run = run_without_a_reader(&format!("bench --once --data {}", data.path().display()));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
}
