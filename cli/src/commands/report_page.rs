//! `softreg report`: a page of what a saved model is and what it is worth, and the same pictures as files. What is computed
//! is `report_page/results.rs`'s, what is said `report_page/sections.rs`'s.

mod results;
mod sections;

use std::path::{Path, PathBuf};

use clap::Args;
use softreg::{Dataset, ModelFile, mnist};

use self::results::Results;
use super::ComputeArgs;
use crate::data::{Labelled, SourceArgs};
use crate::model_file;
use crate::output_file::OutputFile;
use crate::picture::Drawing;
use crate::report::{Failure, Output};
use crate::text::shown;
use crate::{history, memory};

/// Options of `softreg report`.
#[derive(Args)]
pub(crate) struct ReportArgs {
    /// Model saved by `softreg train --save FILE`
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    #[command(flatten)]
    data: SourceArgs,
    /// History saved by `softreg train --history FILE`, for the learning curves
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// The page, one file of HTML
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Save each picture too, as NAME.svg and NAME.png in this directory
    #[arg(long, value_name = "DIR")]
    pictures: Option<PathBuf>,
    #[command(flatten)]
    compute: ComputeArgs,
}

/// What is reported on.
struct Subject {
    file: ModelFile,
    /// `None` where there is no data that the model could be tested on.
    test: Option<Dataset>,
    /// What the report calls the data.
    data: String,
}

/// A picture with its name, which is an identifier and a file's.
struct Named {
    name: &'static str,
    drawing: Drawing,
    caption: &'static str,
}

pub(crate) fn run(args: &ReportArgs) -> Result<(), Failure> {
    args.compute.run(|| run_here(args))
}

fn run_here(args: &ReportArgs) -> Result<(), Failure> {
    let files = Files::check(args)?;
    let points = args.history.as_deref().map(history::read).transpose()?;
    let subject = read(args)?;
    memory::check("test the model in")?;
    let results = subject.test.as_ref().map(|test| Results::new(&subject.file, test)).transpose()?;
    let pictures = sections::pictures(&subject, results.as_ref(), points.as_deref())?;
    let html = sections::page(&subject, results.as_ref(), &pictures, &name(&args.model))?;
    for picture in &pictures {
        files.write_picture(picture)?;
    }
    files.page.write(html.as_bytes())?;
    Output::new().line(format_args!(
        "page  {}, {} pictures, {} kB",
        shown(&args.out),
        pictures.len(),
        html.len().div_ceil(1000)
    ))
}

/// Reads the model, and the rows to test it on. A model of other rows than MNIST's has none unless they are named.
fn read(args: &ReportArgs) -> Result<Subject, Failure> {
    let (mut file, schema) = model_file::load_whole(&args.model)?;
    let is_mnist = schema.image == Some([28; 2]) && file.model.classes() == mnist::CLASSES;
    let test = (is_mnist || args.data.is_given()).then(|| args.data.load_labelled(&schema)).transpose()?;
    if let Some(test) = &test {
        test.check_features(file.model.features())?;
    }
    file.model = file.model.with_level(args.compute.level).with_threads(args.compute.threads);
    let (data, test) = test.map_or_else(|| (String::new(), None), |Labelled { name, rows }| (name, Some(rows)));
    Ok(Subject { file, test, data })
}

/// A file's name without its folders, which mean nothing to the page's readers.
fn name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// Where the results will go.
struct Files {
    page: OutputFile,
    /// Each name of a picture with its SVG and its PNG.
    pictures: Vec<(&'static str, [OutputFile; 2])>,
}

impl Files {
    /// Checks them, before anything else takes time.
    fn check(args: &ReportArgs) -> Result<Self, Failure> {
        let is_same = |other: &Path| {
            args.out.canonicalize().is_ok_and(|path| other.canonicalize().is_ok_and(|other| other == path))
        };
        if is_same(&args.model) || args.history.as_deref().is_some_and(is_same) {
            return Err(Failure::Usage(format!(
                "--out {}: found a file that is read, expected another; choose a new name",
                args.out.display()
            )));
        }
        let page = OutputFile::check("--out", &args.out)?;
        let mut pictures = Vec::new();
        for name in args.pictures.iter().flat_map(|_| sections::NAMES) {
            let file = |extension: &str| {
                let directory = args.pictures.as_deref().unwrap_or(Path::new("."));
                OutputFile::check("--pictures", &directory.join(format!("{name}.{extension}")))
            };
            pictures.push((name, [file("svg")?, file("png")?]));
        }
        if pictures.iter().any(|(_, files)| files.contains(&page)) {
            return Err(Failure::Usage("--out and --pictures name the same file; choose two".to_owned()));
        }
        Ok(Self { page, pictures })
    }

    /// Writes a picture in both forms, if they are wanted.
    fn write_picture(&self, Named { name, drawing, .. }: &Named) -> Result<(), Failure> {
        let Some((_, [svg, png])) = self.pictures.iter().find(|(found, _)| found == name) else { return Ok(()) };
        svg.write(drawing.to_svg()?.as_bytes())?;
        png.write(&drawing.to_png()?)
    }
}
