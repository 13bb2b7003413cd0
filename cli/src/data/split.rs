//! Which rows are set aside for validation and test, and what is doubtful about a split of pictures.

use softreg::Dataset;
use softreg::mnist::VALIDATION_ROWS;

use super::Split;
use crate::report::Failure;

/// One in so many training rows is set aside unless told: of MNIST's 60,000 the tutorial's 5,000.
const SHARE: usize = 12;

/// How many rows are set aside: a count, or a share of them.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Aside {
    Count(usize),
    Share(f64),
}

impl Aside {
    /// `500`, or `0.1`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let share = || text.parse().ok().filter(|share| (0.0..1.0).contains(share)).map(Self::Share);
        let found = text.parse().ok().map(Self::Count).or_else(share);
        found.ok_or_else(|| "expected a number of rows, or a share of them from 0 to 1".to_owned())
    }

    /// Of so many rows, by the option `flag`; at least one is left.
    pub(crate) fn of(self, rows: usize, flag: &str) -> Result<usize, Failure> {
        match self {
            Self::Share(share) => Ok(((share * rows as f64).round() as usize).min(rows.saturating_sub(1))),
            Self::Count(count) if count < rows => Ok(count),
            Self::Count(count) => {
                Err(Failure::Failed(format!("{flag}: found {count}, expected less than the {rows} training rows")))
            }
        }
    }
}

/// What is set aside where nobody says: a twelfth, and at most [`VALIDATION_ROWS`].
pub(crate) fn usual_share(rows: usize) -> Aside {
    Aside::Count(VALIDATION_ROWS.min(rows / SHARE))
}

/// Rows to fit and rows set aside, both in order: of each class the same share, by the seed alone.
pub(crate) fn stratified(labels: &[u32], wanted: usize, seed: u64) -> [Vec<usize>; 2] {
    // By class, and within each in an order that the seed shuffles.
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by_cached_key(|&row| (labels[row], mix(seed, row as u64)));
    // Evenly along that order: every class loses its share, to the nearest row.
    let is_aside = |place: usize| {
        let before = |place: usize| place as u128 * wanted as u128 / labels.len() as u128;
        before(place + 1) > before(place)
    };
    let (mut rest, mut found) = (Vec::new(), Vec::new());
    for (place, row) in order.into_iter().enumerate() {
        if is_aside(place) { found.push(row) } else { rest.push(row) }
    }
    rest.sort_unstable();
    found.sort_unstable();
    [rest, found]
}

/// A row's number in a shuffle (the finaliser of SplitMix64).
fn mix(seed: u64, row: u64) -> u64 {
    let z = seed.wrapping_add(row.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Moves these rows, in order and each there once, behind the others, whose order stays. Takes memory for them alone.
pub(super) fn move_to_end<T: Copy>(values: &mut [T], width: usize, rows: &[usize]) {
    let moved: Vec<T> = rows.iter().flat_map(|row| &values[row * width..(row + 1) * width]).copied().collect();
    let mut wanted = rows.iter().copied().peekable();
    let mut end = 0;
    for row in 0..values.len() / width {
        if wanted.next_if_eq(&row).is_none() {
            values.copy_within(row * width..(row + 1) * width, end);
            end += width;
        }
    }
    values[end..].copy_from_slice(&moved);
}

/// What the first rows of a file have to say of those set aside, where nobody says how many.
pub(super) fn said(aside: usize, rows: usize) -> Option<String> {
    (aside < VALIDATION_ROWS).then(|| {
        format!(
            "{aside} of the {rows} training rows, a twelfth, are set aside for validation instead of {VALIDATION_ROWS}; \
             --validation takes another number"
        )
    })
}

/// What makes the figures of a split worth little, in one line; `None` where nothing does.
pub(super) fn doubt(data: &Split) -> Option<String> {
    let classes = |set: &Dataset| {
        let mut seen = vec![false; data.schema.classes.len()];
        set.labels().into_iter().for_each(|label| seen[label as usize] = true);
        seen
    };
    let (train, validation) = (classes(&data.train), classes(&data.validation));
    let mut found = Vec::new();
    let mut lacks = |rows: &str, here: &[bool], others: &str, there: &[bool]| {
        let missing: Vec<&str> = std::iter::zip(&data.schema.classes, std::iter::zip(here, there))
            .filter(|(_, (here, there))| **there && !**here)
            .map(|(class, _)| class.as_str())
            .collect();
        if !missing.is_empty() {
            found.push(format!("the {rows} rows lack classes that the {others} rows have ({})", missing.join(", ")));
        }
    };
    lacks("training", &train, "validation", &validation);
    if let Some(test) = &data.test {
        lacks("training", &train, "test", &classes(test));
    }
    if data.validation.rows() > 0 {
        lacks("validation", &validation, "training", &train);
    }
    if !found.is_empty() {
        found.push("shuffle the rows of the files if they are sorted, or try another --validation".to_owned());
    }
    let (aside, left) = (data.validation.rows(), data.train.rows());
    if aside > left {
        let message =
            format!("{aside} validation rows are more than the {left} training rows; try a smaller --validation");
        found.insert(0, message);
    }
    if found.is_empty() { None } else { Some(found.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Schema;

    fn set(labels: &[u8]) -> Dataset {
        Dataset::from_u8(vec![0; labels.len()], labels.to_vec(), 1, 10).unwrap()
    }

    fn split(train: &[u8], validation: &[u8], test: &[u8]) -> Split {
        let schema = Schema { classes: (0..10).map(|class| class.to_string()).collect(), ..Schema::default() };
        let name = String::new();
        Split { name, train: set(train), validation: set(validation), test: Some(set(test)), schema }
    }

    #[test]
    fn a_twelfth_is_set_aside_and_at_most_5000() {
        for (rows, expected) in [(11, 0), (12, 1), (133, 11), (59_999, 4_999), (60_000, 5_000), (70_000, 5_000)] {
            assert_eq!(usual_share(rows), Aside::Count(expected));
        }
        assert!(said(4_999, 59_999).is_some() && said(5_000, 60_000).is_none());
    }

    #[test]
    fn doubt_names_what_is_missing_where() {
        assert_eq!(doubt(&split(&[1, 2], &[2, 1], &[1])), None);
        assert_eq!(doubt(&split(&[1, 2], &[], &[1])), None, "without validation rows nothing is missing there");
        let found = doubt(&split(&[1, 1, 1], &[3, 1, 2], &[1])).unwrap();
        assert!(found.contains("training rows lack classes that the validation rows have (2, 3)"), "{found}");
        assert!(!found.contains("more than"), "{found}");
        let found = doubt(&split(&[1, 2, 9], &[1], &[1])).unwrap();
        assert!(found.contains("validation rows lack classes that the training rows have (2, 9)"), "{found}");
        let found = doubt(&split(&[1], &[], &[1, 4])).unwrap();
        assert!(found.contains("training rows lack classes that the test rows have (4)"), "{found}");
        let found = doubt(&split(&[1], &[1, 1], &[1])).unwrap();
        assert!(found.starts_with("2 validation rows are more than the 1 training rows"), "{found}");
    }

    #[test]
    fn rows_move_to_the_end_in_order() {
        let start: Vec<u32> = (0..14).collect();
        for (rows, expected) in [
            (&[][..], (0..14).collect::<Vec<u32>>()),
            (&[1, 4], vec![0, 1, 4, 5, 6, 7, 10, 11, 12, 13, 2, 3, 8, 9]),
            (&[0, 6], vec![2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 1, 12, 13]),
            (&[0, 1, 2, 3, 4, 5, 6], (0..14).collect()),
        ] {
            let mut values = start.clone();
            move_to_end(&mut values, 2, rows);
            assert_eq!(values, expected, "{rows:?}");
        }
    }

    #[test]
    fn every_class_loses_its_share() {
        let labels: Vec<u32> = (0..1000).map(|row| if row < 900 { 0 } else { 1 + row % 2 }).collect();
        let [rest, aside] = stratified(&labels, 200, 1);
        assert_eq!((rest.len(), aside.len()), (800, 200));
        let mut all = [&rest[..], &aside[..]].concat();
        assert!(rest.is_sorted() && aside.is_sorted());
        all.sort_unstable();
        assert!(all.into_iter().eq(0..1000));
        let count = |class| aside.iter().filter(|&&row| labels[row] == class).count();
        assert_eq!([count(0), count(1), count(2)], [180, 10, 10]);
        assert_eq!(stratified(&labels, 200, 1)[1], aside);
        assert_ne!(stratified(&labels, 200, 2)[1], aside);
        assert_eq!(stratified(&labels, 0, 2)[0].len(), 1000);
        assert_eq!((Aside::Share(0.2).of(1000, "").unwrap(), Aside::Count(999).of(1000, "").unwrap()), (200, 999));
        assert!(matches!(Aside::Count(1000).of(1000, ""), Err(Failure::Failed(_))));
        assert_eq!((Aside::Share(0.99).of(10, "").unwrap(), Aside::Share(0.5).of(0, "").unwrap()), (9, 0));
    }

    #[test]
    fn asides_are_counts_or_shares() {
        assert_eq!(Aside::parse("500"), Ok(Aside::Count(500)));
        assert_eq!(Aside::parse("0.25"), Ok(Aside::Share(0.25)));
        for bad in ["1.5", "-1", "NaN", "x", ""] {
            assert!(Aside::parse(bad).is_err(), "{bad}");
        }
    }
}
