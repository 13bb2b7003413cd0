//! The reliability diagram: whether answers of a given confidence are right as often as it says. Rows are put into bins by
//! the probability of their most probable class, as the library's `expected_calibration_error` does.

use super::axes::{Axes, grouped};
use super::colour::{BLUE, FAINT, INK, LIGHT_BLUE, SLATE};
use super::drawing::{Anchor, Drawing, Text};

const BINS: usize = 10;
const PANEL: [f64; 2] = [400.0, 320.0];
const AT: [f64; 2] = [76.0, 72.0];
/// Of the histogram below.
const COUNTS: f64 = 70.0;
const GAP: f64 = 66.0;

#[derive(Clone, Copy, Default)]
struct Bin {
    rows: u64,
    right: u64,
    confidence: f64,
}

impl Bin {
    fn accuracy(&self) -> f64 {
        self.right as f64 / self.rows as f64
    }

    fn confidence(&self) -> f64 {
        self.confidence / self.rows as f64
    }

    /// The interval that holds the true accuracy in 95 of 100 cases. Source: Wilson, Probable Inference, the Law of
    /// Succession, and Statistical Inference, 1927.
    fn interval(&self) -> [f64; 2] {
        let (n, p, z) = (self.rows as f64, self.accuracy(), 1.96);
        let middle = p + z * z / (2.0 * n);
        let around = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        [middle - around, middle + around].map(|end| (end / (1.0 + z * z / n)).clamp(0.0, 1.0))
    }
}

/// The mean over the rows of how far their bin's accuracy is from its confidence, 0 to 1; `None` where there are no rows.
pub(crate) fn calibration_error(confidences: &[f32], right: &[bool]) -> Option<f64> {
    error(&bins(confidences, right))
}

fn error(bins: &[Bin]) -> Option<f64> {
    let rows: u64 = bins.iter().map(|bin| bin.rows).sum();
    let filled = bins.iter().filter(|bin| bin.rows > 0);
    let gaps = filled.map(|bin| bin.rows as f64 / rows as f64 * (bin.accuracy() - bin.confidence()).abs());
    (rows > 0).then(|| gaps.sum())
}

/// Draws what answers of these confidences, `[n]`, were worth: whether each was right, `[n]`. A confidence that is not
/// from 0 to 1 is passed over.
pub(crate) fn reliability(confidences: &[f32], right: &[bool]) -> Drawing {
    let bins = bins(confidences, right);
    let filled = || bins.iter().enumerate().filter(|(_, bin)| bin.rows > 0);
    let title = match error(&bins) {
        None => "No rows".to_owned(),
        Some(error) => format!("Expected calibration error {:.2} %", 100.0 * error),
    };
    let height = AT[1] + PANEL[1] + GAP + COUNTS + 54.0;
    let mut drawing = Drawing::new(format!("Reliability diagram. {title}"), AT[0] + PANEL[0] + 28.0, height);
    drawing.text(Text::new([AT[0] + PANEL[0] / 2.0, 28.0], title).size(14.0).bold());
    legend(&mut drawing);

    let axes = Axes { at: AT, size: PANEL, x: [0.0, 1.0], y: [0.0, 1.0] };
    let edges = |i: usize| [i as f64 / BINS as f64, (i + 1) as f64 / BINS as f64];
    for (i, bin) in filled() {
        let [from, to] = edges(i);
        let ([left, top], [right, bottom]) = (axes.place([from, bin.accuracy()]), axes.place([to, 0.0]));
        drawing.rect([left + 1.0, top], [right - left - 2.0, bottom - top], LIGHT_BLUE);
    }
    axes.draw(&mut drawing, ["confidence: probability of the answer", "accuracy"]);
    drawing.dashes(axes.place([0.0, 0.0]), axes.place([1.0, 1.0]), FAINT);
    for (_, bin) in filled() {
        let place = |accuracy: f64| axes.place([bin.confidence(), accuracy]);
        let [low, high] = bin.interval();
        drawing.line(vec![place(low), place(high)], BLUE, 1.4);
        drawing.disc(place(bin.accuracy()), 4.0, BLUE);
    }
    histogram(&mut drawing, &bins);
    drawing
}

fn bins(confidences: &[f32], right: &[bool]) -> [Bin; BINS] {
    let mut bins = [Bin::default(); BINS];
    for (&confidence, &right) in confidences.iter().zip(right).filter(|(c, _)| (0.0..=1.00001).contains(*c)) {
        let confidence = f64::from(confidence);
        // A bin's upper end belongs to it.
        let bin = ((confidence * BINS as f64).ceil() as usize).saturating_sub(1).min(BINS - 1);
        bins[bin].rows += 1;
        bins[bin].right += u64::from(right);
        bins[bin].confidence += confidence;
    }
    bins
}

fn legend(drawing: &mut Drawing) {
    let y = 52.0;
    drawing.disc([AT[0] + 4.0, y - 4.0], 4.0, BLUE);
    drawing.text(Text::new([AT[0] + 14.0, y], "accuracy with 95 % interval").size(11.0).anchor(Anchor::Start));
    drawing.dashes([AT[0] + 214.0, y - 4.0], [AT[0] + 240.0, y - 4.0], FAINT);
    drawing.text(Text::new([AT[0] + 246.0, y], "perfectly calibrated").size(11.0).anchor(Anchor::Start));
}

/// Draws how many rows each bin has.
fn histogram(drawing: &mut Drawing, bins: &[Bin; BINS]) {
    let [left, top] = [AT[0], AT[1] + PANEL[1] + GAP];
    let most = bins.iter().map(|bin| bin.rows).max().unwrap_or(0).max(1) as f64;
    let width = PANEL[0] / BINS as f64;
    for (i, bin) in bins.iter().enumerate() {
        let height = COUNTS * bin.rows as f64 / most;
        let x = left + i as f64 * width;
        if bin.rows > 0 {
            // A single row is seen too.
            let height = height.max(1.0);
            drawing.rect([x + 1.0, top + COUNTS - height], [width - 2.0, height], SLATE);
        }
        let count = Text::new([x + width / 2.0, top + COUNTS - height - 5.0], grouped(&bin.rows.to_string()));
        drawing.text(count.size(10.0).fill(FAINT));
    }
    drawing.rule([left, top + COUNTS], [left + PANEL[0], top + COUNTS], INK);
    drawing.text(Text::new([left + PANEL[0] / 2.0, top + COUNTS + 22.0], "rows in each bin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same bins and the same error as the library's.
    #[test]
    fn error_is_the_librarys() {
        let proba: Vec<f32> = (0..1000)
            .flat_map(|i| {
                let p = 0.5 + (i % 501) as f32 / 1002.0;
                [p, 1.0 - p]
            })
            .collect();
        let labels: Vec<u32> = (0..1000).map(|i| u32::from(i % 3 == 0)).collect();
        let confidences: Vec<f32> = proba.chunks_exact(2).map(|p| p[0].max(p[1])).collect();
        let right: Vec<bool> = labels.iter().map(|&label| label == 0).collect();
        let expected = softreg::metrics::expected_calibration_error(&proba, 2, &labels[..], BINS).unwrap();
        let title = reliability(&confidences, &right).title;
        assert!(title.contains(&format!("error {:.2} %", 100.0 * expected)), "{title} {expected}");
        let rows = bins(&[0.5, 0.50001, 0.0, 1.0, f32::NAN, 2.0], &[true; 6]).map(|bin| bin.rows);
        assert_eq!(rows, [1, 0, 0, 0, 1, 1, 0, 0, 0, 1], "an upper end belongs to its bin");
    }
}
