//! Shared by the tests of the command line: running the built binary, and small data directories to run it on.
//! What is expected of it is in the tests.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Rows of [`tiny_data`].
pub(crate) const TRAIN_ROWS: usize = 120;
pub(crate) const TEST_ROWS: usize = 40;
pub(crate) const PIXELS: usize = 28 * 28;

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The command that starts the binary. `SOFTREG_TEST_RUNNER` names an emulator, for a binary of another architecture.
pub(crate) fn command() -> Command {
    let binary = env!("CARGO_BIN_EXE_softreg");
    let mut command = match std::env::var_os("SOFTREG_TEST_RUNNER") {
        Some(runner) => {
            let mut command = Command::new(runner);
            command.arg(binary);
            command
        }
        None => Command::new(binary),
    };
    command.stdin(Stdio::null());
    command
}

/// Whether [`command`] starts an emulator.
#[cfg(unix)]
pub(crate) fn is_emulated() -> bool {
    std::env::var_os("SOFTREG_TEST_RUNNER").is_some()
}

/// Runs a command to its end.
pub(crate) fn finish(command: &mut Command) -> Run {
    let output = command.output().expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs `softreg` with these arguments.
pub(crate) fn softreg<I: IntoIterator<Item: AsRef<OsStr>>>(arguments: I) -> Run {
    finish(command().args(arguments))
}

/// Runs `softreg` with these words; no argument of the call may hold a space.
pub(crate) fn words(line: &str) -> Run {
    softreg(line.split_whitespace())
}

/// Runs `softreg` with these words, and with a standard output that nobody reads any more, as after `head` has had
/// enough.
#[cfg(unix)]
pub(crate) fn run_without_a_reader(line: &str) -> Run {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let child = command()
        .args(line.split_whitespace())
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    Run { code: output.status.code(), stdout: String::new(), stderr }
}

impl Run {
    /// The one object on standard output of a run that succeeded and said nothing else.
    pub(crate) fn json(&self) -> Value {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        let value: Value = serde_json::from_str(&self.stdout).expect("standard output is JSON");
        assert!(value.is_object(), "{self:?}");
        value
    }

    /// Standard output of a run that succeeded and said nothing on standard error.
    pub(crate) fn plain(&self) -> &str {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        &self.stdout
    }

    /// Checks that the run failed with this code and nothing but one line on standard error, and returns the line.
    pub(crate) fn error(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "expected one line: {self:?}");
        assert!(self.stderr.ends_with('\n'), "{self:?}");
        let line = self.stderr.strip_prefix("softreg: ").expect("the line says who speaks");
        assert!(!line.contains("panicked"), "{self:?}");
        line.trim_end()
    }

    /// The one note on standard error of a run that succeeded.
    pub(crate) fn note(&self) -> &str {
        let line = self.error(0);
        line.strip_prefix("note: ").unwrap_or_else(|| panic!("no note: {line}"))
    }

    /// [`Run::error`], with nothing on standard output.
    pub(crate) fn silent_error(&self, code: i32) -> &str {
        assert_eq!(self.stdout, "", "{self:?}");
        self.error(code)
    }
}

/// Runs a shell line whose `"$@"` is the binary.
#[cfg(unix)]
pub(crate) fn in_shell(line: &str) -> Run {
    let binary = command();
    let mut shell = Command::new("sh");
    shell.args(["-c", line, "sh"]).arg(binary.get_program()).args(binary.get_args());
    // The runtime's own words are one line without it.
    finish(shell.env_remove("RUST_BACKTRACE").stdin(Stdio::null()))
}

/// The text that `key` has in a JSON object on one line: floats compare to the last digit that way.
pub(crate) fn field<'a>(json: &'a str, key: &str) -> &'a str {
    let quoted = format!("\"{key}\":");
    let start = json.find(&quoted).unwrap_or_else(|| panic!("no {key} in {json}")) + quoted.len();
    json[start..].split([',', '}']).next().expect("split gives one piece at least")
}

/// A directory that is removed at the end of the test.
pub(crate) fn scratch() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// A path in `dir` as an argument.
pub(crate) fn at(dir: &TempDir, name: &str) -> String {
    dir.path().join(name).to_str().expect("temporary paths are UTF-8").to_owned()
}

/// The names in a directory, sorted.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("the directory can be read")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

/// An IDX file of bytes.
pub(crate) fn idx(dims: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, u8::try_from(dims.len()).expect("a small rank")];
    bytes.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
    bytes.extend(data);
    bytes
}

/// Images and labels that a few steps learn: each digit has a bright band of its own, over faint noise.
pub(crate) fn tiny_set(rows: usize) -> (Vec<u8>, Vec<u8>) {
    let labels: Vec<u8> = (0..rows).map(|row| (row * 7 % 10) as u8).collect();
    let images = labels
        .iter()
        .enumerate()
        .flat_map(|(row, &label)| {
            (0..PIXELS).map(move |pixel| {
                let noise = ((row * 31 + pixel * 17) % 23) as u8;
                if pixel / 78 == usize::from(label) { 200 + noise } else { noise }
            })
        })
        .collect();
    (images, labels)
}

/// Writes the four files of a small data set.
pub(crate) fn tiny_data() -> TempDir {
    data_of(TRAIN_ROWS)
}

/// [`tiny_data`] with another number of training rows.
pub(crate) fn data_of(train_rows: usize) -> TempDir {
    data_in_order(train_rows, false)
}

/// [`data_of`] with the training rows sorted by their label, or in the order of [`tiny_set`].
pub(crate) fn data_in_order(train_rows: usize, sorted: bool) -> TempDir {
    let dir = scratch();
    for (name, rows) in [("train", train_rows), ("t10k", TEST_ROWS)] {
        let (mut images, mut labels) = tiny_set(rows);
        if sorted && name == "train" {
            let mut order: Vec<usize> = (0..rows).collect();
            order.sort_by_key(|&row| labels[row]);
            images = order.iter().flat_map(|&row| images[row * PIXELS..][..PIXELS].to_vec()).collect();
            labels.sort_unstable();
        }
        put(&dir, &format!("{name}-images-idx3-ubyte"), &idx(&[rows as u32, 28, 28], &images));
        put(&dir, &format!("{name}-labels-idx1-ubyte"), &idx(&[rows as u32], &labels));
    }
    dir
}

/// Writes a file and returns its path.
pub(crate) fn put(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, bytes).expect("a file can be written");
    path
}

/// Writes a PNG of 28x28 pixels.
pub(crate) fn png(path: &Path, color: png::ColorType, depth: png::BitDepth, palette: Option<Vec<u8>>, samples: &[u8]) {
    picture(path, (28, 28), color, depth, palette, samples);
}

/// Writes a PNG of any size.
pub(crate) fn picture(
    path: &Path,
    (width, height): (u32, u32),
    color: png::ColorType,
    depth: png::BitDepth,
    palette: Option<Vec<u8>>,
    samples: &[u8],
) {
    let file = fs::File::create(path).expect("a file can be written");
    let mut encoder = png::Encoder::new(file, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if let Some(palette) = palette {
        encoder.set_palette(palette);
    }
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(samples).expect("the samples fit the header");
    writer.finish().expect("an end");
}

/// The first `count` test images of MNIST, from the embedded files, with their labels.
pub(crate) fn mnist_test_images(count: usize) -> Vec<(Vec<u8>, u8)> {
    let unpack = |index: usize| {
        let (name, bytes) = softreg_mnist::FILES[index];
        softreg::idx::read(bytes, name).expect("the embedded files are whole")
    };
    let (images, labels) = (unpack(2), unpack(3));
    images.data.chunks_exact(PIXELS).map(<[u8]>::to_vec).zip(labels.data).take(count).collect()
}

/// An `.npy` file of this version with this dictionary.
pub(crate) fn npy_file(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = b"\x93NUMPY".to_vec();
    file.extend([version, 0]);
    match version {
        1 => file.extend((header.len() as u16).to_le_bytes()),
        _ => file.extend((header.len() as u32).to_le_bytes()),
    }
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

/// The dictionary of an array by rows.
pub(crate) fn npy_dictionary(descr: &str, shape: &str) -> String {
    format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n")
}

/// Writes a `.npy` file and returns its path.
pub(crate) fn npy(dir: &Path, name: &str, descr: &str, shape: &str, data: &[u8]) -> String {
    let path = dir.join(name);
    fs::write(&path, npy_file(1, &npy_dictionary(descr, shape), data)).unwrap();
    path.display().to_string()
}

/// Features of three classes that overlap a little, and their names, one a line.
pub(crate) fn own_rows(dir: &Path, name: &str, rows: usize) -> (String, String) {
    let (mut data, mut names) = (Vec::new(), String::new());
    for row in 0..rows {
        let class = row % 3;
        names += ["oak\n", "ash\n", "elm\n"][class];
        for feature in 0..4 {
            let noise = ((row * 7919 + feature * 104_729) % 1000) as f32 / 500.0 - 1.0;
            data.extend((noise + if feature == class { 1.0 } else { 0.0 }).to_le_bytes());
        }
    }
    let labels = dir.join(format!("{name}.txt"));
    fs::write(&labels, names).unwrap();
    let features = npy(dir, &format!("{name}.npy"), "<f4", &format!("({rows}, 4)"), &data);
    (features, labels.display().to_string())
}
