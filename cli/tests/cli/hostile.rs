//! Two hundred files that are not what they say, of every format that the program reads: each is an error of one line that
//! names the file, within 512 MB, and never a panic. The lines are for a person to read: the test writes them down.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::common::*;

/// Address space of a run, in KiB; all of the program is in it.
const MOST_MEMORY: usize = 512 << 10;

/// A corpus in the making.
struct Corpus {
    dir: TempDir,
    /// What was done to each file, its name, and the options that have it read.
    files: Vec<(String, String, String)>,
}

impl Corpus {
    /// Adds a file that options read, which have `FILE` in its place.
    fn add(&mut self, format: &str, what: impl std::fmt::Display, bytes: &[u8], options: &str) {
        let name = format!("{:03}.{format}", self.files.len());
        let path = put(&self.dir, &name, bytes).display().to_string();
        self.files.push((format!("{format}: {what}"), name, options.replace("FILE", &path)));
    }

    /// Adds a file cut short at several places.
    fn add_cut(&mut self, format: &str, bytes: &[u8], places: &[usize], options: &str) {
        for &place in places {
            let place = if place < 1000 { place } else { bytes.len() + place - 2000 };
            self.add(format, format_args!("cut to {place} of {} bytes", bytes.len()), &bytes[..place], options);
        }
    }
}

/// Six rows of four features.
fn values() -> Vec<u8> {
    (0..24).flat_map(|at| (at as f32 / 7.0).to_le_bytes()).collect()
}

fn arrays(corpus: &mut Corpus) {
    let labels = put(&corpus.dir, "labels.txt", b"0\n1\n0\n1\n0\n1\n").display().to_string();
    let read = format!("fit --features FILE --labels {labels} --l2 1");
    let good = npy_file(1, &npy_dictionary("<f4", "(6, 4)"), &values());
    // The last of these are counted from the end.
    corpus.add_cut("npy", &good, &[0, 1, 5, 6, 7, 8, 9, 10, 11, 40, 1996, 1999], &read);
    for version in [0, 4, 255] {
        let mut bytes = good.clone();
        bytes[6] = version;
        corpus.add("npy", format_args!("version {version}"), &bytes, &read);
    }
    for (what, length) in [("all of 16 bits", [255, 255]), ("one too short", [10, 0])] {
        let mut bytes = good.clone();
        bytes[8..10].copy_from_slice(&length);
        corpus.add("npy", format_args!("a header's length of {what}"), &bytes, &read);
    }
    let mut bytes = npy_file(2, &npy_dictionary("<f4", "(6, 4)"), &values());
    bytes[8..12].copy_from_slice(&[255; 4]);
    corpus.add("npy", "a header of 4 GB", &bytes, &read);
    for header in
        ["", "{}", "[]", "{'descr': '<f4', 'shape': (6, 4), }", "{'descr': '<f4', 'fortran_order': 7, 'shape': (6, 4)}"]
    {
        corpus.add("npy", format_args!("the header {header:?}"), &npy_file(1, header, &values()), &read);
    }
    for shape in [
        "(6,)",
        "(24,)",
        "()",
        "(6, 4, 1)",
        "(2, 3, 4)",
        "(6, 0)",
        "(0, 4)",
        "(7, 4)",
        "(5, 4)",
        "(-6, 4)",
        "(6.0, 4)",
        "(a, 4)",
        "6, 4",
        "(6, 4",
        "(1000000000000, 4)",
        "(4611686018427387904, 4)",
        "(99999999999999999999999, 4)",
        "(1, 18446744073709551615)",
    ] {
        corpus.add(
            "npy",
            format_args!("the shape {shape}"),
            &npy_file(1, &npy_dictionary("<f4", shape), &values()),
            &read,
        );
    }
    for descr in [">f4", "|O", "<c8", "<U4", "<M8[ns]", "|V4", "<f3", "f4", "", "<f16", "<i3", "|S4"] {
        corpus.add(
            "npy",
            format_args!("the type {descr:?}"),
            &npy_file(1, &npy_dictionary(descr, "(6, 4)"), &values()),
            &read,
        );
    }
    for (what, value) in [("NaN", f32::NAN), ("infinity", f32::INFINITY)] {
        let mut bytes = good.clone();
        let at = bytes.len() - 8;
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        corpus.add("npy", what, &bytes, &read);
    }
    let doubles: Vec<u8> = (0..24).flat_map(|at| (1e300 * f64::from(at)).to_le_bytes()).collect();
    corpus.add(
        "npy",
        "doubles that f32 does not hold",
        &npy_file(1, &npy_dictionary("<f8", "(6, 4)"), &doubles),
        &read,
    );
    corpus.add("npy", "bytes behind the end", &[&good[..], b"x"].concat(), &read);

    let features = put(&corpus.dir, "features.npy", &good).display().to_string();
    let read = format!("fit --features {features} --labels FILE --l2 1");
    let bytes = |count: usize| vec![1; count];
    for (what, descr, shape, data) in [
        ("floats", "<f4", "(6,)", bytes(24)),
        ("two dimensions", "|u1", "(6, 1)", bytes(6)),
        ("too few", "|u1", "(5,)", bytes(5)),
        ("too many", "|u1", "(7,)", bytes(7)),
        ("none", "|u1", "(0,)", bytes(0)),
        ("one class", "|u1", "(6,)", bytes(6)),
        ("beyond 64 bits", "<u8", "(6,)", vec![255; 48]),
        ("big-endian", ">i4", "(6,)", bytes(24)),
        ("texts that are none", "<U1", "(6,)", vec![255; 24]),
        ("texts of one kind", "|S4", "(6,)", bytes(24)),
        ("a text too long", "<U4294967295", "(6,)", bytes(24)),
    ] {
        corpus.add("npy", format_args!("labels, {what}"), &npy_file(1, &npy_dictionary(descr, shape), &data), &read);
    }
    for (what, text) in [
        ("too few lines", &b"0\n1\n"[..]),
        ("an empty line", b"0\n1\n\n1\n0\n1\n"),
        ("nothing", b""),
        ("one class", b"a\na\na\na\na\na\n"),
        ("no text", b"\xff\xfe0\n1\n"),
        ("zeros", &[0; 100]),
    ] {
        corpus.add("txt", format_args!("labels, {what}"), text, &read);
    }
}

fn archives(corpus: &mut Corpus) {
    use std::io::Write;
    let labels = put(&corpus.dir, "labels.txt", b"0\n1\n0\n1\n0\n1\n").display().to_string();
    let read = format!("fit --features FILE --labels {labels} --l2 1");
    let archive = |entries: &[(&str, &[u8])]| {
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, content) in entries {
            let packed = zip::CompressionMethod::Deflated;
            let options = zip::write::SimpleFileOptions::default().compression_method(packed);
            writer.start_file(*name, options).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    };
    let array = npy_file(1, &npy_dictionary("<f4", "(6, 4)"), &values());
    let good = archive(&[("x.npy", &array)]);
    corpus.add_cut("npz", &good, &[0, 3, 10, 30, 60, 1979, 1999], &read);
    for at in [40, 60, 100, good.len() - 20, good.len() - 10] {
        let mut bytes = good.clone();
        bytes[at] ^= 0x55;
        // Some bytes, a time's among them, say nothing of the content.
        corpus.add("npz", format_args!("another byte at {at}"), &bytes, &read);
    }
    for (what, bytes) in [
        ("no entries", archive(&[])),
        ("no arrays", archive(&[("readme.txt", b"hello")])),
        ("two arrays", archive(&[("x.npy", &array), ("z.npy", &array)])),
        ("an array cut short", archive(&[("x.npy", &array[..array.len() - 1])])),
        ("an entry that is no array", archive(&[("x.npy", b"hello")])),
        ("an array of objects", archive(&[("x.npy", &npy_file(1, &npy_dictionary("|O", "(6, 4)"), &values()))])),
        ("an empty entry", archive(&[("x.npy", b"")])),
        ("a name that leaves the archive", archive(&[("../../x", &array)])),
    ] {
        corpus.add("npz", what, &bytes, &read);
    }
    // A gigabyte of zeros in a megabyte.
    let mut bomb = npy_file(1, &npy_dictionary("<f4", "(67108864, 4)"), &[]);
    bomb.resize(bomb.len() + (1 << 30), 0);
    corpus.add("npz", "a bomb", &archive(&[("x.npy", &bomb)]), &read);
}

fn tensors(corpus: &mut Corpus) {
    let labels = put(&corpus.dir, "labels.txt", b"0\n1\n0\n1\n0\n1\n").display().to_string();
    let file = |header: &str, data: &[u8]| [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat();
    let tensor = |dtype: &str, shape: &str, end: usize| {
        format!("{{\"x\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[0,{end}]}}}}")
    };
    let good = file(&tensor("F32", "[6,4]", 96), &values());
    let model = "eval --model FILE";
    let rows = format!("fit --features FILE --labels {labels} --l2 1");
    for read in [rows.as_str(), model] {
        corpus.add_cut("safetensors", &good, &[0, 1, 7, 8, 9, 40, 1999], read);
        for (what, length) in [("all", u64::MAX), ("a gigabyte", 1 << 30), ("nothing", 0), ("a byte more", 200)] {
            let mut bytes = good.clone();
            bytes[..8].copy_from_slice(&length.to_le_bytes());
            corpus.add("safetensors", format_args!("a header of {what}"), &bytes, read);
        }
        for header in ["", "{}", "[]", "{\"x\":7}", "{\"x\":{}}", "null", "{\"__metadata__\":{}}"] {
            corpus.add("safetensors", format_args!("the header {header}"), &file(header, &values()), read);
        }
        for (dtype, shape, end) in [
            ("F32", "[6,4]", 95),
            ("F32", "[6,4]", 97),
            ("F32", "[7,4]", 96),
            ("F32", "[4294967296,4294967296]", 96),
            ("F32", "[18446744073709551615,4]", 96),
            ("F32", "[6,4]", usize::MAX),
            ("F32", "[6,4,1]", 96),
            ("F32", "[24]", 96),
            ("F32", "[-6,4]", 96),
            ("F9", "[6,4]", 96),
            ("F8_E4M3", "[6,16]", 96),
            ("C64", "[6,2]", 96),
            ("F32", "[24,0]", 0),
        ] {
            let bytes = file(&tensor(dtype, shape, end), &values());
            corpus.add("safetensors", format_args!("{dtype} {shape} to {end}"), &bytes, read);
        }
    }
}

fn tables(corpus: &mut Corpus) {
    let read = "fit --csv FILE --label kind --l2 1";
    let line = |columns: usize| vec!["1"; columns].join(",");
    for (what, text) in [
        ("nothing", String::new()),
        ("a byte order mark alone", "\u{feff}".to_owned()),
        ("names alone", "a,b,kind".to_owned()),
        ("a line too short", "a,b,kind\n1,2,x\n1,y\n".to_owned()),
        ("a line too long", "a,b,kind\n1,2,x\n1,2,y,3\n".to_owned()),
        ("a text", "a,b,kind\n1,two,x\n".to_owned()),
        ("a missing value", "a,b,kind\n1,,x\n".to_owned()),
        ("NA", "a,b,kind\n1,NA,x\n".to_owned()),
        ("no label", "a,b,kind\n1,2,\n".to_owned()),
        ("one class", "a,b,kind\n1,2,x\n1,3,x\n".to_owned()),
        ("a column twice", "a,a,kind\n1,2,x\n1,3,y\n".to_owned()),
        ("no column of that name", "a,b,sort\n1,2,x\n1,3,y\n".to_owned()),
        ("labels alone", "kind\nx\ny\n".to_owned()),
        ("numbers alone", "1,2,3\n4,5,6\n".to_owned()),
        ("too large a number", "a,kind\n1e39,x\n1,y\n".to_owned()),
        ("a long text", format!("a,kind\n{},x\n1,y\n", "z".repeat(100_000))),
        ("a long name", format!("{},b\n1,x\n", "z".repeat(100_000))),
        ("a date", "a,kind\n2026-01-01,x\n".to_owned()),
        ("a price", "a,kind\n$3,x\n".to_owned()),
        ("a decimal comma", "a;kind\n1,5;x\n2,5;y\n".to_owned()),
        ("markup", "<html><body>404</body></html>".to_owned()),
        ("a hundred thousand columns", format!("{}\n{}\n", line(100_000), line(99_999))),
        ("20 MB of commas", ",".repeat(20 << 20)),
        ("20 MB of a field", "x".repeat(20 << 20)),
        ("20 MB in a quotation", format!("\"{}", "x\n".repeat(10 << 20))),
        ("20 MB of empty lines", "\n".repeat(20 << 20)),
    ] {
        corpus.add("csv", what, text.as_bytes(), read);
    }
    corpus.add("csv", "UTF-16", &[0xff, 0xfe, b'a', 0, b',', 0], read);
    corpus.add("csv", "zeros", &[0; 1000], read);
    corpus.add("csv", "no UTF-8", b"a,kind\n1,\xc3\n", read);
    corpus.add("csv", "a workbook", b"PK\x03\x04\x14\x00\x06\x00[Content_Types].xml", read);
}

fn pictures(corpus: &mut Corpus) {
    let model = at(&corpus.dir, "model.safetensors");
    let data = tiny_data();
    assert_eq!(words(&format!("train --data {} --steps 1 --save {model}", data.path().display())).code, Some(0));
    let read = format!("predict --model {model} FILE");
    let picture = corpus.dir.path().join("good.png");
    png(&picture, png::ColorType::Grayscale, png::BitDepth::Eight, None, &tiny_set(1).0);
    let good = fs::read(&picture).unwrap();
    corpus.add_cut("png", &good, &[0, 1, 8, 16, 30, 33, 41, 60], &read);
    for (width, height) in [(0_u32, 28_u32), (28, 0), (60_000, 60_000), (u32::MAX, u32::MAX), (1, 70_000)] {
        let mut bytes = good.clone();
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        // The checksum of the header is right, so that its word is taken.
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
        corpus.add("png", format_args!("{width} x {height}"), &bytes, &read);
    }
    let mut bytes = good.clone();
    bytes[30] ^= 1;
    corpus.add("png", "a wrong checksum", &bytes, &read);
    let jpeg = [
        &b"\xff\xd8\xff\xc0\x00\x0b\x08\xff\xff\xff\xff\x01\x01\x11\x00"[..],
        b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\xff\xd9",
    ]
    .concat();
    corpus.add("jpg", "65,535 x 65,535", &jpeg, &read);
    corpus.add_cut("jpg", &jpeg, &[2, 3, 10], &read);
    let mut bmp = b"BM\x46\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00".to_vec();
    bmp.extend(60_000_i32.to_le_bytes());
    bmp.extend(60_000_i32.to_le_bytes());
    bmp.extend(b"\x01\x00\x18\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00");
    corpus.add("bmp", "60,000 x 60,000", &bmp, &read);
    corpus.add_cut("bmp", &bmp, &[2, 20], &read);
    for (format, what, bytes) in [
        ("webp", "a header alone", &b"RIFF\x24\x00\x00\x00WEBPVP8 \x18\x00\x00\x00"[..]),
        ("webp", "cut short", b"RIFF"),
        ("tif", "a header alone", b"II*\x00\x08\x00\x00\x00"),
        ("tif", "a directory that points at itself", b"II*\x00\x08\x00\x00\x00\x00\x00\x08\x00\x00\x00"),
        ("gif", "a GIF", b"GIF89a\x1c\x00\x1c\x00\x00\x00\x00;"),
        ("pdf", "a PDF", b"%PDF-1.7\n"),
        ("svg", "an SVG", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("txt", "a text", b"seven"),
        ("png", "zeros", &[0; 1000]),
    ] {
        corpus.add(format, what, bytes, &read);
    }
}

/// A directory of images, one file of which is replaced.
fn folders(corpus: &mut Corpus) {
    let (images, labels) = tiny_set(TRAIN_ROWS);
    let good = [idx(&[TRAIN_ROWS as u32, 28, 28], &images), idx(&[TRAIN_ROWS as u32], &labels)];
    let mut cases: Vec<(usize, String, Vec<u8>)> = Vec::new();
    for (place, whole) in good.iter().enumerate() {
        for length in [0, 1, 3, 4, 7, whole.len() - 1] {
            cases.push((place, format!("cut to {length} bytes"), whole[..length].to_vec()));
        }
        for (what, at, byte) in [
            ("floats", 2, 0x0d),
            ("an unknown type", 2, 7),
            ("rank 0", 3, 0),
            ("rank 255", 3, 255),
            ("a wrong start", 0, 9),
            ("the start of a gzip file", 0, 0x1f),
            ("4 billion rows", 4, 255),
        ] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            cases.push((place, what.to_owned(), bytes));
        }
        cases.push((place, "a byte too many".to_owned(), [&whole[..], &[0]].concat()));
        cases.push((place, "a web page".to_owned(), b"<!DOCTYPE html>".to_vec()));
    }
    cases.push((1, "images".to_owned(), good[0].clone()));
    cases.push((0, "labels".to_owned(), good[1].clone()));
    cases.push((1, "a label of 200".to_owned(), idx(&[TRAIN_ROWS as u32], &[200; TRAIN_ROWS])));
    for (place, what, bytes) in cases {
        let name = format!("{:03}.idx", corpus.files.len());
        let dir = corpus.dir.path().join(&name);
        fs::create_dir(&dir).unwrap();
        for (kind, set) in [("images-idx3", 0), ("labels-idx1", 1)] {
            for (at, prefix) in ["train", "t10k"].into_iter().enumerate() {
                let content = if (at, set) == (0, place) { &bytes } else { &good[set] };
                fs::write(dir.join(format!("{prefix}-{kind}-ubyte")), content).unwrap();
            }
        }
        corpus.files.push((format!("idx: {what}"), name, format!("train --steps 1 --data {}", dir.display())));
    }
}

#[test]
fn two_hundred_files_are_two_hundred_lines() {
    let mut corpus = Corpus { dir: scratch(), files: Vec::new() };
    for make in [arrays, archives, tensors, tables, pictures, folders] {
        make(&mut corpus);
    }
    assert!(corpus.files.len() >= 200, "{} files", corpus.files.len());
    let (mut lines, mut failures) = (String::new(), String::new());
    for (what, name, options) in &corpus.files {
        let run = if cfg!(target_os = "linux") {
            in_shell(&format!("ulimit -v {MOST_MEMORY}; exec \"$@\" {options}"))
        } else {
            words(options)
        };
        let is_harmless = what.starts_with("npz: another byte") && run.code == Some(0);
        let is_one_line = run.stderr.lines().count() == 1 && run.stderr.starts_with("softreg: ");
        let is_good = matches!(run.code, Some(1 | 2)) && is_one_line && run.stdout.is_empty();
        let names_it = run.stderr.contains(name.as_str()) && !run.stderr.contains("panicked");
        if !(is_harmless || is_good && names_it) {
            failures += &format!("{what}: {run:?}\n");
        }
        lines += &format!("{what}\n    {}", run.stderr.replace(corpus.dir.path().to_str().expect("UTF-8"), ""));
    }
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile.txt"), lines).unwrap();
    assert!(failures.is_empty(), "{failures}");
}
