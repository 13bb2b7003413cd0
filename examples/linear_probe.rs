//! A linear probe: which of ten packages a sentence of documentation is about, from its embedding of 384 features. The
//! strength of the penalty is chosen on a fifth of the training rows. `cargo run --release --example linear_probe`
//! reads the rows beside this file; `linear_probe/make.py` made them.

use softreg::{Batch, Lbfgs, Matrix, ModelFile, Scoring, Targets, npy};
use std::collections::BTreeSet;
use std::error::Error;
use std::fs;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/linear_probe");
    let train = npy::read_features(format!("{dir}/train.npy"))?;
    let test = npy::read_features(format!("{dir}/test.npy"))?;
    let (train_names, test_names) =
        (fs::read_to_string(format!("{dir}/train.txt"))?, fs::read_to_string(format!("{dir}/test.txt"))?);
    let classes: Vec<&str> = train_names.lines().collect::<BTreeSet<_>>().into_iter().collect();
    let labels = |names: &str| {
        names.lines().map(|name| classes.binary_search(&name).map(|at| at as u32)).collect::<Result<Vec<_>, _>>()
    };
    let (Ok(labels), Ok(truth)) = (labels(&train_names), labels(&test_names)) else {
        return Err("a class without training rows".into());
    };

    let all = Batch::new(Matrix::from_f32(&train.values, train.features)?, Targets::from_u32(&labels))?;
    let (part, held_out): (Vec<usize>, Vec<usize>) = (0..labels.len()).partition(|row| row % 5 > 0);
    let pick = |rows| Batch::new(all.x.select(rows)?, all.targets.select(rows)?.with_classes(classes.len()));
    let strengths = [1e-2, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 1e-6];
    let path = Lbfgs::default().path(&strengths, pick(&part)?, pick(&held_out)?, Scoring::LogLoss)?;
    for point in &path.points {
        println!("l2 {:e}: {} passes, log loss {:.4}", point.l2, point.fit.report.passes, point.log_loss);
    }
    let fit = Lbfgs::default().l2(path.best().l2).fit_from(&path.best().fit.model, all)?;
    let test = Batch::new(Matrix::from_f32(&test.values, test.features)?, Targets::from_u32(&truth))?;
    println!("test: log loss {:.4}\n\n{}", fit.model.log_loss(test)?, fit.model.report(test)?.with_names(&classes)?);
    ModelFile::new(fit.model).with_class_names(classes).save(std::env::temp_dir().join("probe.safetensors"))?;
    Ok(())
}
