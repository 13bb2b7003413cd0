//! What holds for every picture: the SVG is XML that says each name, the PNG has the size of the drawing and the same
//! colours, and no name and no number is too bad to be drawn.

use image::RgbImage;
use roxmltree::Document;

use super::*;

const HOSTILE: [&str; 4] = ["<b>&\"'", "]]><script>alert(1)</script>", "\u{0}\u{1b}[31m\u{202e}\u{ffff}", ""];

fn names(count: usize) -> Vec<String> {
    (0..count).map(|class| format!("n{class}")).collect()
}

fn texts(drawing: &Drawing) -> Vec<String> {
    let svg = drawing.to_svg().unwrap();
    let document = Document::parse(&svg).unwrap_or_else(|error| panic!("{error}: {svg}"));
    for node in document.descendants() {
        assert!(!node.has_tag_name("script"), "{svg}");
        for attribute in node.attributes() {
            assert!(attribute.name() != "href" || attribute.value().starts_with("data:image/png;base64,"), "{svg}");
            assert!(!attribute.value().contains("NaN") && !attribute.value().contains("inf"), "{attribute:?}");
        }
    }
    let found = document.descendants().filter(|node| node.tag_name().name() == "text");
    found.map(|node| node.text().unwrap_or("").to_owned()).collect()
}

/// The PNG, whose size has been checked.
fn pixels(drawing: &Drawing) -> RgbImage {
    let png = drawing.to_png().unwrap();
    let image = image::load_from_memory_with_format(&png, image::ImageFormat::Png).unwrap().to_rgb8();
    let size = [drawing.width, drawing.height].map(|side| (side * raster::SCALE).ceil() as u32);
    assert_eq!([image.width(), image.height()], size, "{}", drawing.title);
    image
}

/// The colour of the PNG at a place of the drawing.
fn at(image: &RgbImage, [x, y]: [f64; 2]) -> drawing::Rgb {
    image.get_pixel((x * raster::SCALE) as u32, (y * raster::SCALE) as u32).0
}

fn images(drawing: &Drawing) -> Vec<[f64; 4]> {
    let image = |shape: &drawing::Shape| match shape {
        drawing::Shape::Image { at, size, .. } => Some([at[0], at[1], size[0], size[1]]),
        _ => None,
    };
    drawing.shapes.iter().filter_map(image).collect()
}

/// Pictures of so many classes with these names and values, of each kind one.
fn all(names: &[String], value: f32) -> Vec<Drawing> {
    let (classes, image) = (names.len(), [4, 3]);
    let name = |class: usize| names.get(class).cloned().unwrap_or_default();
    let mistake = |class| Mistake {
        pixels: vec![value; 12],
        truth: name(class),
        answer: name(0),
        probability: value,
        truth_probability: value,
    };
    let point = |steps| CurvePoint {
        steps,
        training_loss: Some(f64::from(value)),
        validation_loss: None,
        validation_accuracy: Some(f64::from(value)),
    };
    let pixels = [value; 12];
    let explained = Evidence {
        pixels: &pixels,
        image,
        weights: &vec![value; 12 * classes],
        bias: &vec![value; classes],
        class: 0,
        name: &name(0),
        probability: value,
    };
    vec![
        weights(&vec![value; 12 * classes], image, names).unwrap(),
        confusion(&vec![u64::from(value > 0.0); classes * classes], names).unwrap(),
        curves(&(0..classes).map(|step| point(step as f64)).collect::<Vec<_>>()),
        curves(&[point(f64::NAN), point(f64::INFINITY)]),
        reliability(&vec![value; classes], &vec![true; classes]),
        mistakes(&(0..classes).map(mistake).collect::<Vec<_>>(), image),
        evidence(&explained),
    ]
}

#[test]
fn no_name_and_no_number_is_too_bad() {
    let hostile = HOSTILE.map(str::to_owned).to_vec();
    for names in [vec![], names(1), names(3), hostile, vec!["long ".repeat(10_000)]] {
        for value in [0.5, 0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, -1.0] {
            for drawing in all(&names, value) {
                texts(&drawing);
                // Names and numbers do not meet on the way to pixels.
                if value == 0.5 || names.len() == 3 {
                    pixels(&drawing);
                }
            }
        }
    }
    // Values that are missing are drawn as none.
    pixels(&weights(&[1.0], [28, 28], &names(2)).unwrap());
    pixels(&confusion(&[1, 2], &names(2)).unwrap());
}

#[test]
fn names_are_said_as_they_are() {
    let hostile = "<b>&\"'\u{7}".to_owned();
    for drawing in [
        weights(&[1.0; 4], [2, 2], std::slice::from_ref(&hostile)).unwrap(),
        confusion(&[3], std::slice::from_ref(&hostile)).unwrap(),
    ] {
        let texts = texts(&drawing);
        assert!(texts.contains(&"<b>&\"' ".to_owned()), "{texts:?}");
    }
}

#[test]
fn weights_have_a_tile_and_a_name_each() {
    for (classes, image) in
        [(1, [28, 28]), (10, [28, 28]), (62, [28, 28]), (200, [8, 8]), (3, [7, 30]), (2, [600, 300])]
    {
        let mut values = vec![-1.0; classes * image[0] * image[1]];
        values.chunks_exact_mut(image[0] * image[1]).for_each(|tile| tile[0] = 1.0);
        let drawing = weights(&values, image, &names(classes)).unwrap();
        let texts = texts(&drawing);
        assert!(names(classes).iter().all(|name| texts.contains(name)), "{classes} {texts:?}");
        let tiles = images(&drawing);
        assert_eq!(tiles.len(), classes + 1, "and the scale");
        let png = pixels(&drawing);
        for [x, y, width, height] in &tiles[..classes] {
            assert!(x + width < drawing.width && y + height < drawing.height);
            assert_eq!(at(&png, [x + width - 1.0, y + height - 1.0]), [103, 0, 31], "red against it");
            if image[0] < 100 {
                assert_eq!(at(&png, [x + 0.5, y + 0.5]), [5, 48, 97], "blue for it");
            }
        }
        assert_eq!(at(&png, [1.0, 1.0]), [255; 3], "paper around");
    }
    let Err(Failure::Failed(message)) = weights(&[], [1, 1], &names(201)) else { panic!() };
    assert!(message.contains("found 201 classes, expected at most 200"), "{message}");
}

#[test]
fn confusion_has_a_name_a_row_and_a_count_a_cell() {
    let counts = [980, 0, 1, 7, 1135, 0, 31, 0, 1_000_000];
    let drawing = confusion(&counts, &names(3)).unwrap();
    let found = texts(&drawing);
    for name in names(3) {
        assert_eq!(found.iter().filter(|&text| *text == name).count(), 2, "{name} on both axes: {found:?}");
    }
    for count in ["980", "1", "7", "1,135", "31", "1,000,000"] {
        assert!(found.contains(&count.to_owned()), "{count}: {found:?}");
    }
    assert!(!found.contains(&"0".to_owned()), "mistakes stand out");

    // Cells that are too small have no counts, and names still.
    let drawing = confusion(&vec![123; 62 * 62], &names(62)).unwrap();
    let found = texts(&drawing);
    assert!(names(62).iter().all(|name| found.contains(name)) && !found.contains(&"123".to_owned()));
    assert!(drawing.width < 900.0);
    assert!(matches!(confusion(&[], &names(201)), Err(Failure::Failed(_))));
}

#[test]
fn right_cells_are_blue_and_mistakes_red() {
    let drawing = confusion(&[50, 50, 0, 100], &names(2)).unwrap();
    let png = pixels(&drawing);
    let cells = drawing.shapes.iter().filter_map(|shape| match shape {
        drawing::Shape::Rect { at, size, .. } if size[0] == size[1] => Some([at[0] + 5.0, at[1] + 5.0]),
        _ => None,
    });
    let colours: Vec<drawing::Rgb> = cells.skip(1).map(|place| at(&png, place)).collect();
    let [[r0, _, b0], [r1, _, b1], [r2, _, b2]] = colours[..] else { panic!("{colours:?}") };
    assert!(b0 > r0 && r1 > b1 && b2 > r2 && r2 < r0, "{colours:?}");
}

#[test]
fn curves_go_through_their_points() {
    let point = |steps: f64, loss, validation: Option<f64>| CurvePoint {
        steps,
        training_loss: Some(loss),
        validation_loss: validation,
        validation_accuracy: validation.map(|loss| 1.0 - loss / 10.0),
    };
    let points = [point(100.0, 2.0, Some(2.5)), point(200.0, 1.0, None), point(300.0, f64::NAN, Some(1.5))];
    let drawing = curves(&points);
    let lines: Vec<usize> = drawing
        .shapes
        .iter()
        .filter_map(|shape| match shape {
            drawing::Shape::Line { points, width, .. } if *width == 1.8 => Some(points.len()),
            _ => None,
        })
        .collect();
    assert_eq!(lines, [2, 2, 2], "training, validation, accuracy; without what is missing");
    let found = texts(&drawing);
    for words in ["training", "validation", "steps", "accuracy", "loss of a row, nats"] {
        assert!(found.iter().any(|text| text == words), "{words}: {found:?}");
    }
    let many: Vec<CurvePoint> = (0..100_000).map(|step| point(f64::from(step), 1.0, Some(1.0))).collect();
    assert!(curves(&many).to_svg().unwrap().len() < 100_000);
    assert_eq!(texts(&curves(&[])).iter().filter(|text| *text == "no values").count(), 2);
}

#[test]
fn mistakes_say_truth_answer_and_probability() {
    let mistake = |i: usize| Mistake {
        pixels: vec![0.0, 0.25, 0.5, 1.0],
        truth: format!("t{i}"),
        answer: format!("a{i}"),
        probability: 0.97,
        truth_probability: 0.000_012,
    };
    let drawing = mistakes(&(0..30).map(mistake).collect::<Vec<_>>(), [2, 2]);
    let found = texts(&drawing);
    assert_eq!(images(&drawing).len(), MOST_MISTAKES);
    assert!(found.contains(&"is t23: 0.001 %".to_owned()) && found.contains(&"not a0: 97.0 %".to_owned()), "{found:?}");
    let png = pixels(&drawing);
    let [x, y, width, height] = images(&drawing)[0];
    let corners = [[1.0, 1.0], [width - 1.0, 1.0], [1.0, height - 1.0], [width - 1.0, height - 1.0]];
    assert_eq!(corners.map(|[dx, dy]| at(&png, [x + dx, y + dy])), [[0; 3], [64; 3], [128; 3], [255; 3]]);
    assert_eq!(texts(&mistakes(&[], [2, 2])), ["no mistakes"]);
}

/// Both forms show the same: text and lines leave ink where the SVG has them.
#[test]
fn text_and_lines_leave_ink() {
    let mut drawing = Drawing::new("", 100.0, 60.0);
    drawing.text(drawing::Text::new([50.0, 20.0], "H").size(20.0));
    drawing.text(drawing::Text::new([20.0, 30.0], "HHH").size(10.0).upright());
    drawing.line(vec![[60.0, 50.0], [90.0, 50.0]], [255, 0, 0], 2.0);
    drawing.dashes([60.0, 40.0], [100.0, 40.0], [0, 0, 255]);
    let png = pixels(&drawing);
    let ink = |x: std::ops::Range<u32>, y: std::ops::Range<u32>| {
        let places = y.flat_map(|y| x.clone().map(move |x| (x, y)));
        places.filter(|&(x, y)| png.get_pixel(x, y).0.iter().any(|&value| value < 128)).count()
    };
    assert!(ink(84..116, 10..40) > 100, "the letter is about its place");
    assert!(ink(84..116, 41..60) == 0, "and on its base line");
    // The middle of the upright text is at its place: as much above it as below.
    let [above, below] = [ink(20..42, 20..60), ink(20..42, 60..100)];
    assert!(above > 50 && above.abs_diff(below) < above / 2, "{above} {below}");
    assert_eq!(at(&png, [75.0, 50.0]), [255, 0, 0]);
    assert_eq!([at(&png, [62.0, 39.9]), at(&png, [66.0, 39.9])], [[0, 0, 255], [255; 3]]);
}
