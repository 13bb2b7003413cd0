//! The operations in plain Rust, for every CPU. Vectors are arrays of four, the width that SSE2, NEON
//! and wasm's simd128 all have, so that the compiler turns each operation into one instruction.

use super::{Kernel, SQRT_HALF_BITS, Simd, arrays};
use core::hint::black_box;

/// The token that every CPU has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Portable;

impl Portable {
    /// Runs a kernel: nothing has to be enabled.
    #[inline(never)]
    fn enter<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
}

/// Aligned, so that the compiler may keep and spill it as one register.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub(crate) struct F32x4([f32; 4]);

impl F32x4 {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let (a, b) = (self.0, other.0);
        Self([f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])])
    }
}

impl Simd for Portable {
    arrays!(4);
    const REGISTERS: usize = 16; // what SSE2 has, the least of the sets this is compiled to
    type Vector = F32x4;

    #[inline(always)]
    fn splat(self, value: f32) -> F32x4 {
        F32x4([value; 4])
    }

    #[inline(always)]
    fn load(self, from: &[f32; 4]) -> F32x4 {
        F32x4(*from)
    }

    #[inline(always)]
    fn store(self, v: F32x4, to: &mut [f32; 4]) {
        *to = v.0;
    }

    #[inline(always)]
    fn widen(self, from: &[u8; 4]) -> F32x4 {
        F32x4([f32::from(from[0]), f32::from(from[1]), f32::from(from[2]), f32::from(from[3])])
    }

    #[inline(always)]
    fn add(self, a: F32x4, b: F32x4) -> F32x4 {
        a.zip(b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: F32x4, b: F32x4) -> F32x4 {
        a.zip(b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: F32x4, b: F32x4) -> F32x4 {
        a.zip(b, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, a: F32x4, b: F32x4) -> F32x4 {
        a.zip(b, |a, b| a / b)
    }

    // Not libm's where `std` has the instruction; both round to nearest.
    #[inline(always)]
    fn sqrt(self, F32x4(v): F32x4) -> F32x4 {
        #[cfg(feature = "std")]
        let root = f32::sqrt;
        #[cfg(not(feature = "std"))]
        let root = libm::sqrtf;
        F32x4([root(v[0]), root(v[1]), root(v[2]), root(v[3])])
    }

    // Not f32::mul_add: without a fused instruction that is a call into a software library.
    #[inline(always)]
    fn mul_add(self, a: F32x4, b: F32x4, c: F32x4) -> F32x4 {
        self.add(self.mul(a, b), c)
    }

    #[inline(always)]
    fn max(self, a: F32x4, b: F32x4) -> F32x4 {
        a.zip(b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn select_less(self, a: F32x4, b: F32x4, yes: F32x4, no: F32x4) -> F32x4 {
        let mut out = no;
        for lane in 0..4 {
            out.0[lane] = if a.0[lane] < b.0[lane] { yes.0[lane] } else { no.0[lane] };
        }
        out
    }

    #[inline(always)]
    fn add_exponent(self, v: F32x4, n: F32x4) -> F32x4 {
        v.zip(n, |v, n| f32::from_bits(v.to_bits().wrapping_add(((n as i32) << 23) as u32)))
    }

    #[inline(always)]
    fn split_exponent(self, v: F32x4) -> (F32x4, F32x4) {
        let (mut m, mut e) = (v, v);
        for lane in 0..4 {
            let bits = (v.0[lane].to_bits() as i32).wrapping_sub(SQRT_HALF_BITS);
            m.0[lane] = f32::from_bits(((bits & 0x007f_ffff) + SQRT_HALF_BITS) as u32);
            e.0[lane] = (bits >> 23) as f32;
        }
        (m, e)
    }

    #[inline(always)]
    fn interleave(self, F32x4(a): F32x4, F32x4(b): F32x4) -> (F32x4, F32x4) {
        (F32x4([a[0], b[0], a[1], b[1]]), F32x4([a[2], b[2], a[3], b[3]]))
    }

    // The black box keeps the compiler's vectoriser from laying out the accumulators of the whole loop
    // before this for the sake of these few additions.
    #[inline(always)]
    fn sum_lanes(self, v: [F32x4; 4]) -> F32x4 {
        let v = black_box(v);
        let sum = |v: [f32; 4]| (v[0] + v[1]) + (v[2] + v[3]);
        F32x4([sum(v[0].0), sum(v[1].0), sum(v[2].0), sum(v[3].0)])
    }
}
