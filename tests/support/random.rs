//! Reproducible test data: SplitMix64, and buffers filled from it. No choice of shapes.

/// SplitMix64 (Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Uniform in `[-size, size)`.
    pub(crate) fn number(&mut self, size: f32) -> f32 {
        ((self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0) * size
    }

    pub(crate) fn numbers(&mut self, len: usize, size: f32) -> Vec<f32> {
        (0..len).map(|_| self.number(size)).collect()
    }

    pub(crate) fn indices(&mut self, len: usize, end: usize) -> Vec<usize> {
        (0..len).map(|_| self.below(end)).collect()
    }

    pub(crate) fn labels(&mut self, len: usize, classes: usize) -> Vec<u32> {
        (0..len).map(|_| self.below(classes) as u32).collect()
    }

    /// Pixels as images have them: runs of zeros, long enough to blank whole vectors, between runs of ink.
    pub(crate) fn pixels(&mut self, len: usize) -> Vec<u8> {
        let mut pixels = Vec::with_capacity(len);
        while pixels.len() < len {
            let (ink, run) = (self.below(2) == 1, 1 + self.below(70).min(len - pixels.len() - 1));
            pixels.extend((0..run).map(|_| if ink { self.next() as u8 } else { 0 }));
        }
        pixels
    }

    /// Soft targets `[rows, classes]`: some zeros, no row summing to exactly 1.
    pub(crate) fn soft_targets(&mut self, rows: usize, classes: usize) -> Vec<f32> {
        let mut targets = self.numbers(rows * classes, 1.0);
        targets.iter_mut().for_each(|t| *t = t.max(0.0));
        targets
    }
}
