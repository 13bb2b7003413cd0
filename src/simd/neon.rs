//! The operations in NEON (aarch64's Advanced SIMD): vectors of 4.

use super::token::{arithmetic, has, token};
use super::{Kernel, SQRT_HALF_BITS, Simd, arrays};
use core::arch::aarch64::*;

token! {
    /// The token of NEON.
    Neon, is_aarch64_feature_detected: "neon"
}

impl Simd for Neon {
    arrays!(4);
    const REGISTERS: usize = 32;
    type Vector = float32x4_t;

    #[inline(always)]
    fn splat(self, value: f32) -> float32x4_t {
        arithmetic!(vdupq_n_f32(value))
    }

    #[inline(always)]
    fn load(self, from: &[f32; 4]) -> float32x4_t {
        // SAFETY: the array is 4 readable floats; the token has the instruction, which needs no alignment.
        unsafe { vld1q_f32(from.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, v: float32x4_t, to: &mut [f32; 4]) {
        // SAFETY: the array is 4 writable floats; the token has the instruction, which needs no alignment.
        unsafe { vst1q_f32(to.as_mut_ptr(), v) }
    }

    #[inline(always)]
    fn widen(self, from: &[u8; 4]) -> float32x4_t {
        let bytes = u64::from(u32::from_le_bytes(*from));
        arithmetic!(vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(bytes))))))
    }

    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        arithmetic!(vaddq_f32(a, b))
    }

    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        arithmetic!(vsubq_f32(a, b))
    }

    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        arithmetic!(vmulq_f32(a, b))
    }

    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        arithmetic!(vdivq_f32(a, b))
    }

    #[inline(always)]
    fn sqrt(self, v: float32x4_t) -> float32x4_t {
        arithmetic!(vsqrtq_f32(v))
    }

    #[inline(always)]
    fn mul_add(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        arithmetic!(vfmaq_f32(c, a, b))
    }

    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        arithmetic!(vmaxq_f32(a, b))
    }

    #[inline(always)]
    fn select_less(self, a: float32x4_t, b: float32x4_t, yes: float32x4_t, no: float32x4_t) -> float32x4_t {
        arithmetic!(vbslq_f32(vcltq_f32(a, b), yes, no))
    }

    #[inline(always)]
    fn add_exponent(self, v: float32x4_t, n: float32x4_t) -> float32x4_t {
        arithmetic!({
            let n = vshlq_n_s32::<23>(vcvtq_s32_f32(n));
            vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(v), n))
        })
    }

    #[inline(always)]
    fn split_exponent(self, v: float32x4_t) -> (float32x4_t, float32x4_t) {
        arithmetic!({
            let cut = vdupq_n_s32(SQRT_HALF_BITS);
            let bits = vsubq_s32(vreinterpretq_s32_f32(v), cut);
            let mantissa = vandq_s32(bits, vdupq_n_s32(0x007f_ffff));
            (vreinterpretq_f32_s32(vaddq_s32(mantissa, cut)), vcvtq_f32_s32(vshrq_n_s32::<23>(bits)))
        })
    }

    #[inline(always)]
    fn interleave(self, a: float32x4_t, b: float32x4_t) -> (float32x4_t, float32x4_t) {
        arithmetic!((vzip1q_f32(a, b), vzip2q_f32(a, b)))
    }

    #[inline(always)]
    fn sum_lanes(self, [a, b, c, d]: [float32x4_t; 4]) -> float32x4_t {
        arithmetic!(vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)))
    }
}
