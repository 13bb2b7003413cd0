//! The vector operations that kernels are written in: one trait, implemented once per instruction set, in the file that
//! bears the set's name; and how slices and rows are read through them. No arithmetic over data and no choice of an
//! instruction set; the choice is `exec/level.rs`.
//!
//! The trait is as small as the kernels allow. An operation is here because two instruction sets do it differently, and
//! a kernel uses it.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod columns;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod token;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub(crate) use columns::{Column, Columns};
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use portable::Portable;

use core::fmt::Debug;
use core::ops::{Index, IndexMut};

/// Work written once over the operations of [`Simd`].
///
/// `run`, and what it calls with a token, are `#[inline(always)]` down to the operations: only then does the compiler see
/// them inside the function in which the instructions are enabled. The same goes for closures, which is why kernel bodies
/// have none.
pub(crate) trait Kernel {
    /// What the work returns.
    type Output;
    /// Does the work.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// A token of an instruction set: a value exists only where the CPU has the set, which is what makes
/// the safe methods below sound.
///
/// All arithmetic is IEEE 754 single precision, rounded to nearest, subnormals kept.
pub(crate) trait Simd: Copy + Debug + Send + Sync + 'static {
    /// Lanes of a vector; divides 16.
    const LANES: usize;
    /// Vector registers: kernels size their tiles of accumulators by it.
    const REGISTERS: usize;
    /// Whether [`prefetch`](Self::prefetch) does anything.
    const PREFETCHES: bool = false;
    /// A vector of `LANES` numbers.
    type Vector: Copy;
    /// What a vector looks like in memory: `[T; LANES]`.
    type Array<T: Copy>: Copy + AsRef<[T]> + AsMut<[T]> + Index<usize, Output = T> + IndexMut<usize>;

    /// An array of `LANES` equal values.
    fn array<T: Copy>(value: T) -> Self::Array<T>;
    /// Cuts a slice into arrays; what is left over at the end is shorter than one.
    fn arrays<T: Copy>(values: &[T]) -> (&[Self::Array<T>], &[T]);
    /// Cuts a mutable slice into arrays.
    fn arrays_mut<T: Copy>(values: &mut [T]) -> (&mut [Self::Array<T>], &mut [T]);

    /// Runs a kernel, or part of one, as a function of its own in which the instructions are enabled. Small functions
    /// compile fast, and a part that two kernels share is compiled once.
    fn call<K: Kernel>(self, kernel: K) -> K::Output;

    /// All lanes equal to `value`.
    fn splat(self, value: f32) -> Self::Vector;
    /// Reads a vector.
    fn load(self, from: &Self::Array<f32>) -> Self::Vector;
    /// Writes a vector.
    fn store(self, v: Self::Vector, to: &mut Self::Array<f32>);
    /// Reads the first lanes from a slice shorter than a vector; the others are 0.
    #[inline(always)]
    fn load_partial(self, from: &[f32]) -> Self::Vector {
        self.load(&padded::<Self, f32>(from, 0.0))
    }
    /// Writes the first lanes to a slice shorter than a vector.
    #[inline(always)]
    fn store_partial(self, v: Self::Vector, to: &mut [f32]) {
        let mut array = Self::array(0.0);
        self.store(v, &mut array);
        for (to, &lane) in to.iter_mut().zip(array.as_ref()) {
            *to = lane;
        }
    }
    /// Reads bytes and widens each to its value as f32.
    fn widen(self, from: &Self::Array<u8>) -> Self::Vector;
    /// Widens a slice shorter than a vector; the other lanes are 0.
    #[inline(always)]
    fn widen_partial(self, from: &[u8]) -> Self::Vector {
        self.widen(&padded::<Self, u8>(from, 0))
    }

    /// Prefetches the cache line of an address, whatever is there, into the second-level cache; the first has no room to
    /// spare. Does nothing where stable Rust has no such instruction.
    #[inline(always)]
    fn prefetch<T>(self, _address: *const T) {}

    /// `a + b`
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a - b`
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b`
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a / b`
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The square root, rounded to nearest; NaN below 0.
    fn sqrt(self, v: Self::Vector) -> Self::Vector;
    /// `a * b + c`, rounded once where the set fuses them and twice where it does not.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// The larger of `a` and `b`; either of them where one is NaN.
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `yes` in the lanes where `a < b`, `no` elsewhere, also where either is NaN.
    fn select_less(self, a: Self::Vector, b: Self::Vector, yes: Self::Vector, no: Self::Vector) -> Self::Vector;
    /// `v * 2^n` for whole `n` by adding to the exponent field: exact where `v` and the result are
    /// normal, without meaning elsewhere.
    fn add_exponent(self, v: Self::Vector, n: Self::Vector) -> Self::Vector;
    /// `(m, e)` with `v = m * 2^e` and `m` in `[sqrt(1/2), sqrt(2))`, for positive normal `v`.
    fn split_exponent(self, v: Self::Vector) -> (Self::Vector, Self::Vector);
    /// The lanes of `a` and `b` in turn: `[a0, b0, a1, b1, ...]`, the first half and the second.
    fn interleave(self, a: Self::Vector, b: Self::Vector) -> (Self::Vector, Self::Vector);
    /// The sum over the lanes of each of as many vectors as a vector has lanes. The order of the additions within
    /// a vector is fixed, whichever of them it is.
    fn sum_lanes(self, v: Self::Array<Self::Vector>) -> Self::Vector;
}

/// A type that feature values are stored in, read as f32 vectors.
pub(crate) trait Element: Copy + Default + Into<f32> + Debug + Send + Sync + 'static {
    /// Whether reading takes more than a load.
    const WIDENED: bool;
    /// Reads a vector.
    fn load<S: Simd>(simd: S, from: &S::Array<Self>) -> S::Vector;
    /// Reads a slice shorter than a vector; the other lanes are 0.
    fn load_partial<S: Simd>(simd: S, from: &[Self]) -> S::Vector;
    /// The same values where they are f32 already.
    fn as_f32(from: &[Self]) -> Option<&[f32]>;
}

impl Element for f32 {
    const WIDENED: bool = false;

    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &S::Array<f32>) -> S::Vector {
        simd.load(from)
    }

    #[inline(always)]
    fn load_partial<S: Simd>(simd: S, from: &[f32]) -> S::Vector {
        simd.load_partial(from)
    }

    #[inline(always)]
    fn as_f32(from: &[f32]) -> Option<&[f32]> {
        Some(from)
    }
}

impl Element for u8 {
    const WIDENED: bool = true;

    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &S::Array<u8>) -> S::Vector {
        simd.widen(from)
    }

    #[inline(always)]
    fn load_partial<S: Simd>(simd: S, from: &[u8]) -> S::Vector {
        simd.widen_partial(from)
    }

    #[inline(always)]
    fn as_f32(_from: &[u8]) -> Option<&[f32]> {
        None
    }
}

/// Bits of the largest f32 not above the square root of 1/2: where `split_exponent` cuts the mantissas.
const SQRT_HALF_BITS: i32 = 0x3f35_04f3;

/// A short slice as a whole array.
#[inline(always)]
pub(crate) fn padded<S: Simd, T: Copy>(from: &[T], fill: T) -> S::Array<T> {
    let mut array = S::array(fill);
    for (to, &value) in array.as_mut().iter_mut().zip(from) {
        *to = value;
    }
    array
}

/// Reads a vector from the start of a slice; where that is shorter, the other lanes are 0.
#[inline(always)]
pub(crate) fn load_start<S: Simd>(simd: S, from: &[f32]) -> S::Vector {
    match S::arrays(from).0.first() {
        Some(from) => simd.load(from),
        None => simd.load_partial(from),
    }
}

/// Writes a vector to the start of a slice; where that is shorter, only the lanes that it takes.
#[inline(always)]
pub(crate) fn store_start<S: Simd>(simd: S, v: S::Vector, to: &mut [f32]) {
    match S::arrays_mut(to).0.first_mut() {
        Some(to) => simd.store(v, to),
        None => simd.store_partial(v, to),
    }
}

/// The associated items that are the same text for every set: arrays are `[T; LANES]`, a call enters anew.
macro_rules! arrays {
    ($lanes:literal) => {
        const LANES: usize = $lanes;
        type Array<T: Copy> = [T; $lanes];

        #[inline(always)]
        fn array<T: Copy>(value: T) -> [T; $lanes] {
            [value; $lanes]
        }

        #[inline(always)]
        fn arrays<T: Copy>(values: &[T]) -> (&[[T; $lanes]], &[T]) {
            values.as_chunks()
        }

        #[inline(always)]
        fn arrays_mut<T: Copy>(values: &mut [T]) -> (&mut [[T; $lanes]], &mut [T]) {
            values.as_chunks_mut()
        }

        #[inline(always)]
        fn call<K: Kernel>(self, kernel: K) -> K::Output {
            self.enter(kernel)
        }
    };
}
use arrays;

#[cfg(test)]
mod tests;
