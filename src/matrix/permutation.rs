//! The permutation groups features that are zero in the same rows, so that whole panels are zero. It is learnt here from a
//! sample of the rows. See `block_sparse` and `parameters` for what is stored in that order.

use crate::error::Result;
use crate::layout::PANEL;
use crate::memory;
use alloc::vec::Vec;

/// Rows of the sample. Of MNIST's blocks 42 % are zero in natural order, 60 % when learnt from 256 rows, and 62 % from
/// 512 as from 4096.
const SAMPLE: usize = 512;

/// The most features that are compared for the next place of a panel, and the most for each row of the sample: so the
/// time is in proportion to the values. With all 1024, one row of 262,144 features took 5.7 s.
const CANDIDATES: usize = 1024;
const CANDIDATES_PER_ROW: usize = 4;

/// What a block that becomes occupied costs, in blocks that are occupied anyway. (With 1, 61 % of MNIST's blocks are zero;
/// with 4, 59 %.)
const LOSS: i32 = 2;

/// What memory is wanted for here.
const WHAT: &str = "permutation of the features";

/// A bit for each row of the sample, set where a feature is not zero.
type Occurrence = [u64; SAMPLE / u64::BITS as usize];

/// A permutation of the features. The natural order is that of the rows.
#[derive(Debug)]
pub(crate) struct Permutation {
    /// The feature at each place.
    features: Vec<usize>,
    /// The share of the sample's blocks that are all zero, 0 to 1.
    zeros: f64,
}

impl Permutation {
    /// Learns a permutation from `values [rows, features]`, of which there is at least one row.
    ///
    /// A panel begins with the feature that is seldomest zero. One by one it then takes the feature with the largest
    /// gain: the rows in which the feature is not zero and the panel is not either, less [`LOSS`] times those in which
    /// the feature alone is not zero and makes a block of the panel's zeros.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(crate) fn learn<T: Copy + PartialEq + Default>(values: &[T], features: usize) -> Result<Self> {
        let rows = SAMPLE.min(values.len() / features);
        let occurrences = sample(values, features, rows)?;
        let candidates = CANDIDATES.min(CANDIDATES_PER_ROW * rows);
        let mut left = memory::with_capacity(WHAT, features)?;
        left.extend(0..features);
        left.sort_unstable_by_key(|&feature| (count(&occurrences[feature]), features - feature));

        let mut order = memory::with_capacity(WHAT, features)?;
        let mut occupied = 0;
        while let Some(first) = left.pop() {
            order.push(first);
            let mut panel = occurrences[first];
            for _ in 1..PANEL {
                let before = left.len().saturating_sub(candidates);
                let gain = |&place: &usize| {
                    let feature = &occurrences[left[place]];
                    let shared = count(&both(feature, &panel));
                    shared - LOSS * (count(feature) - shared)
                };
                let Some(best) = (before..left.len()).max_by_key(gain) else { break };
                let feature = left.remove(best);
                order.push(feature);
                for (panel, feature) in panel.iter_mut().zip(&occurrences[feature]) {
                    *panel |= feature;
                }
            }
            occupied += count(&panel) as usize;
        }

        let blocks = rows * features.div_ceil(PANEL);
        let zeros = if blocks == 0 { 0.0 } else { 1.0 - occupied as f64 / blocks as f64 };
        Ok(Self { features: spread(&order)?, zeros })
    }

    /// The feature at each place.
    pub(crate) fn features(&self) -> &[usize] {
        &self.features
    }

    /// The share of the sample's blocks that are all zero.
    pub(crate) const fn zeros(&self) -> f64 {
        self.zeros
    }
}

/// Puts the panels in the order of the reversed bits of their numbers. The first panels have the most values, and threads
/// take panels by ranges: so each half, quarter and eighth has its share. The last panel stays, it may not be whole.
fn spread(order: &[usize]) -> Result<Vec<usize>> {
    let (whole, rest) = order.as_chunks::<PANEL>();
    let mut panels = memory::with_capacity(WHAT, whole.len())?;
    panels.extend(0..whole.len());
    panels.sort_unstable_by_key(|panel: &usize| panel.reverse_bits());
    let mut spread = memory::with_capacity(WHAT, order.len())?;
    panels.into_iter().for_each(|panel| spread.extend_from_slice(&whole[panel]));
    spread.extend_from_slice(rest);
    Ok(spread)
}

/// In which rows of a sample of `size`, evenly spread over all, each feature is not zero.
fn sample<T: Copy + PartialEq + Default>(values: &[T], features: usize, size: usize) -> Result<Vec<Occurrence>> {
    let rows = values.len() / features;
    let mut occurrences = memory::filled(WHAT, features, Occurrence::default())?;
    for bit in 0..size {
        let row = (bit as u128 * rows as u128 / size as u128) as usize;
        for (feature, &value) in occurrences.iter_mut().zip(&values[row * features..][..features]) {
            feature[bit / 64] |= u64::from(value != T::default()) << (bit % 64);
        }
    }
    Ok(occurrences)
}

fn both(a: &Occurrence, b: &Occurrence) -> Occurrence {
    core::array::from_fn(|word| a[word] & b[word])
}

fn count(rows: &Occurrence) -> i32 {
    rows.iter().map(|word| word.count_ones() as i32).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_of_the_same_rows_stand_together() {
        // Three kinds of rows, in each of which every third feature has a value.
        let features = 3 * PANEL;
        let values: Vec<u8> = (0..30 * features).map(|at| u8::from(at / features % 3 == at % features % 3)).collect();
        let order = Permutation::learn(&values, features).unwrap();
        for panel in order.features().chunks(PANEL) {
            assert!(panel.iter().all(|feature| feature % 3 == panel[0] % 3), "{panel:?}");
        }
    }

    #[test]
    fn halves_and_quarters_have_their_share_of_the_values() {
        // The further on, the fewer values.
        let features = 64 * PANEL;
        let values: Vec<u8> = (0..64 * features).map(|at| u8::from(at / features > at % features / PANEL)).collect();
        let order = Permutation::learn(&values, features).unwrap();
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
                let order = Permutation::learn(&values, features).unwrap();
                let mut sorted = order.features().to_vec();
                sorted.sort_unstable();
                assert!(sorted.into_iter().eq(0..features));
            }
        }
    }
}
