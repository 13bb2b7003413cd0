//! Numbers and indices from the fuzzer's bytes, as many as are asked for: the bytes are taken again from the start when
//! they run out.

/// A cycle over bytes; zeros if there are none.
pub struct Cycle<'a> {
    bytes: std::iter::Cycle<std::slice::Iter<'a, u8>>,
}

impl<'a> Cycle<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: bytes.iter().cycle() }
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.bytes.next().copied().unwrap_or(0)
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
