//! Numbers and indices from the fuzzer's bytes, as many as are asked for: first the bytes themselves, then those of a
//! generator that all of them seed, so that a short input is varied data too.

/// The bytes, and then a generator's.
pub struct Stream<'a> {
    bytes: std::slice::Iter<'a, u8>,
    /// SplitMix64's.
    state: u64,
}

impl<'a> Stream<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        // FNV-1a.
        let hash = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self { bytes: bytes.iter(), state: bytes.iter().fold(0xcbf2_9ce4_8422_2325, hash) }
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        if let Some(&byte) = self.bytes.next() {
            return byte;
        }
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 56) as u8
    }

    /// The next `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.byte()).collect()
    }

    /// Multiples of 1/32 from -4 to just below 4.
    pub fn small(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| f32::from(self.byte() as i8) / 32.0).collect()
    }

    /// Multiples of 1/64 from 0 to just below 4.
    pub fn positive(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| f32::from(self.byte()) / 64.0).collect()
    }

    /// Any f32 at all: infinities, NaN, subnormals.
    pub fn any(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| f32::from_bits(u32::from_be_bytes([(); 4].map(|()| self.byte())))).collect()
    }

    /// Numbers below `end`, which is at most 256.
    pub fn below(&mut self, len: usize, end: usize) -> Vec<usize> {
        (0..len).map(|_| usize::from(self.byte()) % end).collect()
    }
}
