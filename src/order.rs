//! The order in which features that are zero in the same rows stand together, so that whole panels of them are. It is
//! learnt here from some of the rows; what is stored in it is `blocks`' and `weights`' business.

use crate::weights::PANEL;
use alloc::vec;
use alloc::vec::Vec;

/// Rows that an order is learnt from. Of MNIST's blocks of a panel 42 % are zero as the pixels come, 60 % when learnt
/// from 256 rows, and 62 % from 512 as from 4096.
const ROWS: usize = 512;

/// The most features that are looked through for the next of a panel: so the time is in proportion to the features.
const CANDIDATES: usize = 1024;

/// A bit for each of those rows, set where a feature is not zero.
type Seen = [u64; ROWS / u64::BITS as usize];

/// A permutation of the features.
#[derive(Debug)]
pub(crate) struct FeatureOrder {
    /// The feature at each place.
    features: Vec<usize>,
    /// The place of each feature.
    places: Vec<usize>,
    /// The share of the blocks of those rows that are all zero, 0 to 1.
    zeros: f64,
}

impl FeatureOrder {
    /// Learns an order from `values [rows, features]`. Each panel begins with the feature that is seldomest zero, and
    /// then takes, one by one, that with the most rows in which the panel is not zero already, less twice those in which
    /// it is. (Less once, 61 % of MNIST's blocks are zero; less four times, 59 %.)
    pub(crate) fn learn<T: Copy + PartialEq + Default>(values: &[T], features: usize) -> Self {
        let rows = ROWS.min(values.len() / features);
        let seen = look(values, features, rows);
        let mut left: Vec<usize> = (0..features).collect();
        left.sort_by_key(|&feature| (count(&seen[feature]), features - feature));

        let mut order = Vec::with_capacity(features);
        let mut with_value = 0;
        while let Some(first) = left.pop() {
            order.push(first);
            let mut panel = seen[first];
            for _ in 1..PANEL {
                let before = left.len().saturating_sub(CANDIDATES);
                let gain = |&feature: &usize| 3 * count(&both(&seen[feature], &panel)) - 2 * count(&seen[feature]);
                let Some(best) = (before..left.len()).max_by_key(|&place| gain(&left[place])) else { break };
                let feature = left.remove(best);
                order.push(feature);
                for (panel, seen) in panel.iter_mut().zip(&seen[feature]) {
                    *panel |= seen;
                }
            }
            with_value += count(&panel) as usize;
        }

        // The first panels have the most values, and threads share panels out by ranges: in the order of the reversed bits
        // of their numbers each half, quarter and eighth has its share.
        let (whole, rest) = order.as_chunks::<PANEL>();
        let mut whole: Vec<_> = whole.iter().enumerate().collect();
        whole.sort_by_key(|(panel, _)| panel.reverse_bits());
        let order: Vec<usize> = whole.into_iter().flat_map(|(_, panel)| panel).chain(rest).copied().collect();

        let mut places = vec![0; features];
        order.iter().enumerate().for_each(|(place, &feature)| places[feature] = place);
        let blocks = rows * features.div_ceil(PANEL);
        let zeros = if blocks == 0 { 0.0 } else { 1.0 - with_value as f64 / blocks as f64 };
        Self { features: order, places, zeros }
    }

    /// The feature at each place.
    pub(crate) fn features(&self) -> &[usize] {
        &self.features
    }

    /// The share of blocks of a panel that are all zero, in the rows that the order was learnt from.
    pub(crate) const fn zeros(&self) -> f64 {
        self.zeros
    }

    /// The place of a feature.
    pub(crate) fn place(&self, feature: usize) -> usize {
        self.places[feature]
    }
}

/// In which of some rows, evenly spread over all, each feature is not zero.
fn look<T: Copy + PartialEq + Default>(values: &[T], features: usize, looked_at: usize) -> Vec<Seen> {
    let rows = values.len() / features;
    let mut seen = vec![Seen::default(); features];
    for bit in 0..looked_at {
        let row = (bit as u128 * rows as u128 / looked_at as u128) as usize;
        for (seen, &value) in seen.iter_mut().zip(&values[row * features..][..features]) {
            seen[bit / 64] |= u64::from(value != T::default()) << (bit % 64);
        }
    }
    seen
}

fn both(a: &Seen, b: &Seen) -> Seen {
    core::array::from_fn(|word| a[word] & b[word])
}

fn count(seen: &Seen) -> i32 {
    seen.iter().map(|word| word.count_ones() as i32).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_of_the_same_rows_stand_together() {
        // Three kinds of rows, in each of which every third feature has a value.
        let features = 3 * PANEL;
        let values: Vec<u8> = (0..30 * features).map(|at| u8::from(at / features % 3 == at % features % 3)).collect();
        let order = FeatureOrder::learn(&values, features);
        for panel in order.features().chunks(PANEL) {
            assert!(panel.iter().all(|feature| feature % 3 == panel[0] % 3), "{panel:?}");
        }
    }

    #[test]
    fn halves_and_quarters_have_their_share_of_the_values() {
        // The further on, the fewer values.
        let features = 64 * PANEL;
        let values: Vec<u8> = (0..64 * features).map(|at| u8::from(at / features > at % features / PANEL)).collect();
        let order = FeatureOrder::learn(&values, features);
        let count = |feature: &usize| (0..64).filter(|row| values[row * features + feature] == 1).count();
        for parts in [2, 4] {
            let part = |part: &[usize]| part.iter().map(count).sum::<usize>();
            let counts: Vec<_> = order.features().chunks(features / parts).map(part).collect();
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(most * 10 < least * 12, "{counts:?}");
        }
    }

    #[test]
    fn every_feature_has_its_place() {
        for features in [1, 15, 16, 33, 1500] {
            for rows in [0, 1, 5, 700] {
                let values: Vec<f32> = (0..rows * features).map(|at| (at * 7919 % 5 / 4) as f32).collect();
                let order = FeatureOrder::learn(&values, features);
                let mut sorted = order.features().to_vec();
                sorted.sort_unstable();
                assert!(sorted.into_iter().eq(0..features));
                assert!((0..features).all(|feature| order.features()[order.place(feature)] == feature));
            }
        }
    }
}
