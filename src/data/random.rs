//! The random numbers behind the shuffles. A seed gives the same shuffles on every
//! machine and in every version. See `batches` for what is shuffled; threads never change a result, see `exec`.

/// The generator behind the shuffles: SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators", OOPSLA 2014). It is written here because its values are a promise: a seed must give the same batches in
/// every version, which a library of generators does not promise.
#[derive(Clone)]
pub(super) struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    pub(super) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound` (which is not 0), each equally likely: the high half of a product with a 64-bit draw, and
    /// draws that would favour some numbers are rejected (Lemire: "Fast random integer generation in an interval",
    /// ACM TOMACS 2019).
    fn below(&mut self, bound: u64) -> u64 {
        let mut product = u128::from(self.next()) * u128::from(bound);
        if (product as u64) < bound {
            let biased = bound.wrapping_neg() % bound;
            while (product as u64) < biased {
                product = u128::from(self.next()) * u128::from(bound);
            }
        }
        (product >> 64) as u64
    }

    /// Fisher and Yates's shuffle, from the last place down: every order equally likely, as far as 64 bits of state go.
    pub(super) fn shuffle(&mut self, order: &mut [usize]) {
        for last in (1..order.len()).rev() {
            order.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generator_gives_the_published_values() {
        let mut generator = SplitMix64 { state: 1_234_567 };
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(published.map(|_| generator.next()), published);
    }

    /// With a bound of 3/4 of the range a draw without rejection hits the lower half of each pair twice as often.
    #[test]
    fn bounded_draws_are_unbiased() {
        let mut generator = SplitMix64 { state: 1 };
        let bound = 3 << 62;
        let draws = 30_000;
        let thirds = (0..draws).map(|_| generator.below(bound)).fold([0_i32; 3], |mut thirds, draw| {
            assert!(draw < bound);
            thirds[(draw % 3) as usize] += 1;
            thirds
        });
        // Five standard deviations of a count of 30,000 draws at 1/3.
        assert!(thirds.iter().all(|count| (count - draws / 3).abs() < 410), "{thirds:?}");
    }
}
