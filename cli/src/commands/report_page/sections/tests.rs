use softreg::{Dataset, SoftmaxRegression};

use super::*;

/// A model of 3 features and 2 classes, that gets a row of the second class wrong.
fn subject() -> Subject {
    let model = SoftmaxRegression::from_class_major(&[1.0, 0.0, 0.0, 0.0, 1.0, 0.0], &[0.0; 2], 3, 2).unwrap();
    let rows = vec![2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 4.0, 0.0, 0.0];
    let test = Dataset::from_f32(rows, vec![0, 1, 1], 3, 2).unwrap();
    let file = ModelFile::new(model).with_class_names(["oak & ash", "<elm>"]).with_metadata("learning_rate", "0.5");
    Subject { file, test: Some(test), data: "trees".to_owned() }
}

fn made(subject: &Subject) -> (Vec<Named>, String) {
    let results = Results::new(&subject.file, subject.test.as_ref().unwrap()).unwrap();
    let pictures = pictures(subject, Some(&results), Some(&[])).unwrap();
    let html = page(subject, Some(&results), &pictures, "a model").unwrap();
    (pictures, html)
}

#[test]
fn features_that_are_no_image_have_all_but_images() {
    let (pictures, html) = made(&subject());
    assert_eq!(pictures.iter().map(|picture| picture.name).collect::<Vec<_>>(), ["confusion", "reliability", "curves"]);
    for part in [
        "tested on trees",
        "<dd>66.67 %</dd>",
        "<th scope=\"row\">oak &amp; ash</th><td>0.500</td><td>1.000</td><td>0.667</td><td>1</td>",
        "<th scope=\"row\">&lt;elm&gt;</th><td>1.000</td><td>0.500</td><td>0.667</td><td>2</td>",
        "<th scope=\"row\">Learning rate</th><td>0.5</td>",
        "<th scope=\"row\">Norm of the weights</th><td>1.4142</td>",
    ] {
        assert!(html.contains(part), "no {part}: {html}");
    }
}

/// More rows than are looked at together, each wrong, the worst of them in the second piece.
#[test]
fn the_worst_mistakes_come_first() {
    let Subject { file, .. } = subject();
    let rows = 1500;
    let sure = |row: usize| if row == 1200 { 4.0 } else { 1.0 + (row % 100) as f32 / 100.0 };
    let features = (0..rows).flat_map(|row| [sure(row), 0.0, 0.0]).collect();
    let results = Results::new(&file, &Dataset::from_f32(features, vec![1; rows], 3, 2).unwrap()).unwrap();
    let worst = &results.worst;
    assert_eq!(worst.len(), 24);
    assert_eq!((&worst[0].features[..], worst[0].truth, worst[0].answer), (&[4.0, 0.0, 0.0][..], 1, 0));
    assert!((worst[0].probability + worst[0].truth_probability - 1.0).abs() < 1e-6 && worst[0].probability > 0.98);
    assert!(worst[1..16].iter().all(|worst| worst.features[0] == 1.99) && worst[16].features[0] == 1.98);
    assert!(worst.is_sorted_by(|a, b| a.truth_probability <= b.truth_probability));
    assert_eq!((results.confusion, results.right), (vec![0, 0, rows as u64, 0], vec![false; rows]));
}

/// What no picture has room for is left out, and the rest stays.
#[test]
fn many_classes_have_no_picture_of_them() {
    let classes = 201;
    let model = SoftmaxRegression::from_class_major(&vec![0.0; classes], &vec![0.0; classes], 1, classes).unwrap();
    let test = Dataset::from_f32(vec![1.0], vec![200], 1, classes).unwrap();
    let file = ModelFile::new(model).with_metadata("image", "1x1");
    let (pictures, html) = made(&Subject { file, test: Some(test), data: String::new() });
    assert_eq!(pictures.iter().map(|picture| picture.name).collect::<Vec<_>>(), ["reliability", "mistakes", "curves"]);
    assert!(html.contains("<th scope=\"row\">200</th>"));
}
