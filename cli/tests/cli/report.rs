//! The page of `softreg report`: that everything is on it and nothing comes from outside, that a browser shows it, and
//! what is said where it cannot be made; and the picture of `predict --explain`.

use crate::common::*;
use softreg::{ModelFile, SoftmaxRegression};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PICTURES: [&str; 5] = ["weights", "confusion", "reliability", "mistakes", "curves"];

/// A model that has seen too little to be right, its history, and the data.
fn trained() -> &'static (TempDir, TempDir, String, String) {
    static TRAINED: OnceLock<(TempDir, TempDir, String, String)> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let (data, dir) = (tiny_data(), scratch());
        let (model, history) = (at(&dir, "model"), at(&dir, "history.csv"));
        let rows = data.path().display();
        words(&format!("--data {rows} --validation 20 --steps 2 --batch 2 --save {model} --history {history}")).plain();
        (dir, data, model, history)
    })
}

fn report(options: &str, dir: &TempDir) -> String {
    let (_, data, model, _) = trained();
    let page = at(dir, "page.html");
    let run = words(&format!("report --model {model} --data {} --out {page} {options}", data.path().display()));
    assert!(run.plain().starts_with(&format!("page  {page}, ")), "{run:?}");
    fs::read_to_string(page).unwrap()
}

/// Checks that a page needs nothing but itself, and no script.
fn check_closed(html: &str) {
    for part in ["http://", "https://", "src=", "url(", "<script", "<link", "@import", "<iframe", "<object"] {
        assert!(!html.contains(part), "found {part}");
    }
    for (place, _) in html.match_indices("href=") {
        assert!(html[place..].starts_with("href=\"data:image/png;base64,"), "{}", &html[place..place + 40]);
    }
}

/// The identifiers of the pictures on a page, in order.
fn pictures(html: &str) -> Vec<&str> {
    html.split("<figure id=\"").skip(1).map(|part| part.split('"').next().unwrap()).collect()
}

#[test]
fn everything_is_on_the_page() {
    let dir = scratch();
    let (_, data, model, history) = trained();
    let html = report(&format!("--history {history}"), &dir);
    check_closed(&html);
    assert_eq!(pictures(&html), PICTURES);
    assert!(html.len() < 500_000, "{} bytes", html.len());
    let eval = words(&format!("eval --model {model} --data {} --json", data.path().display())).json();
    for figure in [
        format!("<dd>{:.2} %</dd>", 100.0 * eval["test_accuracy"].as_f64().unwrap()),
        format!("<dd>{:.4}</dd>", eval["test_log_loss"].as_f64().unwrap()),
        format!("<dd>{TEST_ROWS}</dd>"),
        "<td>10 classes × 784 features</td>".to_owned(),
        "<th scope=\"row\">Learning rate</th>".to_owned(),
        "<td>u8 pixels / 255</td>".to_owned(),
        "weighted average".to_owned(),
        "@media print".to_owned(),
        "prefers-color-scheme: dark".to_owned(),
    ] {
        assert!(html.contains(&figure), "no {figure}");
    }
    assert_eq!(names(dir.path()), ["page.html"]);
    assert_eq!(report(&format!("--history {history} --threads 2"), &dir), html, "one model gives one page");
}

#[test]
fn pictures_are_saved_too() {
    let dir = scratch();
    let html = report(&format!("--pictures {}", dir.path().display()), &dir);
    let found: Vec<&str> = pictures(&html);
    assert_eq!(found, PICTURES[..4], "no curves without a history");
    let mut expected: Vec<String> =
        found.iter().flat_map(|name| [format!("{name}.png"), format!("{name}.svg")]).collect();
    expected.push("page.html".to_owned());
    expected.sort();
    assert_eq!(names(dir.path()), expected);
    for name in found {
        let svg = fs::read_to_string(dir.path().join(format!("{name}.svg"))).unwrap();
        assert!(roxmltree::Document::parse(&svg).is_ok(), "{name}");
        let png = fs::read(dir.path().join(format!("{name}.png"))).unwrap();
        assert!(png::Decoder::new(std::io::Cursor::new(png)).read_info().is_ok(), "{name}");
    }
}

/// A model of other features than pixels, and no data that fits it.
#[test]
fn models_of_other_shapes_have_a_page() {
    let dir = scratch();
    let names = ["oak", "</title><script>alert(1)</script>", "\"&'\u{1b}"];
    let model = SoftmaxRegression::from_class_major(&[0.5; 12], &[0.0; 3], 4, 3).unwrap();
    let path = dir.path().join("trees");
    ModelFile::new(model).with_class_names(names).with_metadata("<b>", "\"<i>").save(&path).unwrap();
    let page = at(&dir, "page.html");
    words(&format!("report --model {} --out {page}", path.display())).plain();
    let html = fs::read_to_string(&page).unwrap();
    check_closed(&html);
    assert_eq!(pictures(&html), [""; 0]);
    assert!(html.contains("no test data of this model&#39;s shape") && html.contains("3 classes × 4 features"));
    assert!(html.contains("&lt;b&gt;") && html.contains("&quot;&lt;i&gt;") && !html.contains("<i>"), "{html}");

    // Of 12 pixels, as its file says.
    let model = SoftmaxRegression::from_class_major(&[0.5; 36], &[0.0; 3], 12, 3).unwrap();
    let file = ModelFile::new(model).with_class_names(names);
    file.clone().with_metadata("image", "3x4").save(&path).unwrap();
    words(&format!("report --model {} --out {page}", path.display())).plain();
    let html = fs::read_to_string(&page).unwrap();
    check_closed(&html);
    assert_eq!(pictures(&html), ["weights"]);
    assert!(html.contains("&lt;script&gt;"), "names are text");
    for image in ["5x5", "x", "99999999999999999999x1"] {
        file.clone().with_metadata("image", image).save(&path).unwrap();
        let run = words(&format!("report --model {} --out {page}", path.display()));
        assert!(run.silent_error(1).contains("metadata image: found"), "{run:?}");
    }
}

#[test]
fn bad_input_leaves_nothing() {
    let dir = scratch();
    let (_, data, model, history) = trained();
    let (page, data) = (at(&dir, "page.html"), data.path().display());
    let text = put(&trained().0, "text", b"no model").display().to_string();
    let line = format!("report --data {data} --out {page}");
    for (line, code, expected) in [
        (format!("{line} --model {}", at(&dir, "none")), 1, "No such file"),
        (format!("{line} --model {text}"), 1, "safetensors"),
        (format!("{line} --model {model} --history {text}"), 1, "no column steps"),
        (format!("{line} --model {model} --history {}", at(&dir, "none")), 1, "--history"),
        (format!("{line} --model {model} --pictures {}", at(&dir, "none")), 1, "--pictures"),
        (format!("{line} --model {model} --history {model}"), 1, "--history"),
        (format!("report --model {model} --out {}", at(&dir, "none/page.html")), 1, "create it first"),
        (format!("report --model {model} --out {model}"), 2, "a file that is read"),
        (format!("report --model {model} --history {history} --out {history}"), 2, "a file that is read"),
        (format!("report --model {model}"), 2, "--out"),
    ] {
        let run = words(&line);
        assert!(run.silent_error(code).contains(expected), "{line}: {run:?}");
        assert_eq!(names(dir.path()), [""; 0], "{line}");
    }
    // Numbers that are none.
    let mut weights = vec![3e38; 7840];
    weights[0] = -3e38;
    let huge = dir.path().join("huge");
    SoftmaxRegression::from_class_major(&weights, &[0.0; 10], 784, 10).unwrap().save(&huge).unwrap();
    let run = words(&format!("{line} --model {}", huge.display()));
    assert!(run.silent_error(1).contains("finite"), "{run:?}");
    assert_eq!(names(dir.path()), ["huge"]);
}

/// On the real digits.
#[test]
#[cfg(unix)]
fn the_page_of_mnist_is_small() {
    if is_emulated() {
        return;
    }
    let dir = scratch();
    let (model, page) = (at(&dir, "model"), at(&dir, "page.html"));
    words(&format!("--steps 200 --save {model}")).plain();
    words(&format!("report --model {model} --out {page}")).plain();
    let html = fs::read_to_string(page).unwrap();
    check_closed(&html);
    assert!(html.len() < 3_000_000, "{} bytes", html.len());
    assert_eq!(html.matches("class=\"numbers\"").count(), 1);
    let mistakes = html.split("<figure id=\"mistakes\">").nth(1).unwrap();
    assert_eq!(mistakes.matches("<image ").count(), 24);
}

/// `SOFTREG_BROWSER`, or a Chromium of the path. `SOFTREG_REQUIRE_BROWSER` makes it a failure that there is none.
fn browser() -> Option<PathBuf> {
    let in_path = |name: &&str| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
    };
    let named = std::env::var_os("SOFTREG_BROWSER").map(PathBuf::from);
    let found = named.or_else(|| ["chromium", "chromium-browser", "google-chrome"].iter().find_map(in_path));
    let required = std::env::var_os("SOFTREG_REQUIRE_BROWSER").is_some();
    assert!(found.is_some() || !required, "SOFTREG_REQUIRE_BROWSER is set, and no browser was found");
    found
}

/// The document that a browser makes of a file, after its scripts have run.
fn rendered(browser: &Path, page: &Path, dir: &TempDir) -> String {
    let output = dir.path().join("dom");
    let mut child = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-dev-shm-usage",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", dir.path().join("profile").display()))
        .arg(page)
        .stdin(Stdio::null())
        .stdout(fs::File::create(&output).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .expect("the browser starts");
    // A browser that hangs fails the test, and does not stall the others.
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
            panic!("the browser does not end");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    fs::read_to_string(output).unwrap()
}

/// What a browser measures: of each picture its width and height, of each image within whether it was decoded, and
/// whether the page is wider than the window.
const MEASURE: &str = "<script>
const images = [...document.querySelectorAll('figure image')].map(image => {
  const copy = new Image();
  copy.src = image.getAttribute('href');
  return copy;
});
addEventListener('load', () => {
  const sizes = [...document.querySelectorAll('figure')].map(figure => {
    const { width, height } = figure.querySelector('svg').getBoundingClientRect();
    return `${figure.id}:${Math.round(width)}:${Math.round(height)}`;
  });
  const decoded = images.filter(image => image.naturalWidth > 0).length;
  const root = document.documentElement;
  document.body.innerHTML = `${'MEASURED'} ${sizes.join(' ')} images:${images.length}:${decoded} wide:${root.scrollWidth}:${root.clientWidth} END`;
});
</script></body>";

#[test]
fn a_browser_shows_every_picture() {
    let Some(browser) = browser() else { return };
    let dir = scratch();
    let html = report(&format!("--history {}", trained().3), &dir);
    let policy = "<meta http-equiv=\"Content-Security-Policy\"";
    assert!(html.contains(policy), "no script runs on the page itself");
    let measured = html.replace(policy, "<meta name=\"policy\"").replace("</body>", MEASURE);
    let page = put(&dir, "measured.html", measured.as_bytes());
    let dom = rendered(&browser, &page, &dir);
    let found = dom.split("MEASURED ").nth(1).and_then(|rest| rest.split(" END").next());
    let found = found.unwrap_or_else(|| panic!("nothing was measured: {} bytes", dom.len()));
    let parts: Vec<Vec<&str>> = found.split(' ').map(|part| part.split(':').collect()).collect();
    assert_eq!(parts.len(), PICTURES.len() + 2, "{found}");
    let number = |part: &[&str], i: usize| part[i].parse::<u32>().unwrap();
    for (part, name) in parts.iter().zip(PICTURES) {
        assert_eq!(part[0], name, "{found}");
        assert!(number(part, 1) >= 200 && number(part, 2) >= 100, "{found}");
    }
    let [images, wide] = &parts[PICTURES.len()..] else { panic!("{found}") };
    assert!(number(images, 1) > 10 && images[1] == images[2], "every image is decoded: {found}");
    assert!(number(wide, 1) <= number(wide, 2), "the page is as wide as the window: {found}");
}

#[test]
fn predict_explains() {
    let dir = scratch();
    let (_, _, model, _) = trained();
    let (digit, why, input) = (at(&dir, "digit.png"), at(&dir, "why.png"), at(&dir, "input.png"));
    let pixels = &mnist_test_images(1)[0].0;
    png(digit.as_ref(), png::ColorType::Grayscale, png::BitDepth::Eight, None, pixels);
    let plain = words(&format!("predict --model {model} {digit}"));
    let run = words(&format!("predict --model {model} --explain {why} {digit}"));
    assert_eq!(run.plain(), plain.plain(), "the answer is the same");
    let mut reader = png::Decoder::new(std::io::BufReader::new(fs::File::open(&why).unwrap())).read_info().unwrap();
    let mut drawn = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut drawn).unwrap();
    let is_coloured = |pixel: &&[u8]| pixel[0].abs_diff(pixel[2]) > 60;
    let coloured = drawn[..info.buffer_size()].chunks_exact(3).filter(is_coloured).count();
    assert!(info.width > 800 && coloured > 1000, "{info:?} {coloured}");

    for (options, expected) in [
        (format!("--explain {why} {digit} {digit}"), "--explain: found 2 pictures, expected one"),
        (format!("--explain {digit} {digit}"), "a file that is read"),
        (format!("--explain {input} --show-input {input} {digit}"), "name the same file"),
    ] {
        let run = words(&format!("predict --model {model} {options}"));
        assert!(run.silent_error(2).contains(expected), "{run:?}");
    }
    assert_eq!(names(dir.path()), ["digit.png", "why.png"]);
}
