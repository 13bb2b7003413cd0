//! The operations in AVX-512 (F, BW and VL): vectors of 16, masks for what is shorter.

use super::token::{arithmetic, has, token};
use super::{Kernel, SQRT_HALF_BITS, Simd, arrays};
use core::arch::x86_64::*;

token! {
    /// The token of AVX-512F, BW and VL.
    Avx512, is_x86_feature_detected: "avx512f", "avx512bw", "avx512vl", "avx2", "fma"
}

/// A mask of the first `lanes` lanes, at most 16.
#[inline(always)]
fn first(lanes: usize) -> __mmask16 {
    debug_assert!(lanes <= 16);
    ((1u32 << lanes.min(16)) - 1) as __mmask16
}

impl Simd for Avx512 {
    arrays!(16);
    const REGISTERS: usize = 32;
    const PREFETCHES: bool = true;
    type Vector = __m512;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        arithmetic!(_mm512_set1_ps(value))
    }

    #[inline(always)]
    fn load(self, from: &[f32; 16]) -> __m512 {
        // SAFETY: the array is 16 readable floats; the token has the instruction, which needs no alignment.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, v: __m512, to: &mut [f32; 16]) {
        // SAFETY: the array is 16 writable floats; the token has the instruction, which needs no alignment.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), v) }
    }

    #[inline(always)]
    fn load_partial(self, from: &[f32]) -> __m512 {
        // SAFETY: the mask has no lane at or past the slice's length, and masked-off lanes are not read;
        // the token has the instruction.
        unsafe { _mm512_maskz_loadu_ps(first(from.len()), from.as_ptr()) }
    }

    #[inline(always)]
    fn store_partial(self, v: __m512, to: &mut [f32]) {
        // SAFETY: the mask has no lane at or past the slice's length, and masked-off lanes are not written;
        // the token has the instruction.
        unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), first(to.len()), v) }
    }

    #[inline(always)]
    fn widen(self, from: &[u8; 16]) -> __m512 {
        // SAFETY: the array is 16 readable bytes; the token has the instruction, which needs no alignment.
        let bytes = unsafe { _mm_loadu_si128(from.as_ptr().cast()) };
        arithmetic!(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)))
    }

    #[inline(always)]
    fn widen_partial(self, from: &[u8]) -> __m512 {
        // SAFETY: the mask has no lane at or past the slice's length, and masked-off lanes are not read;
        // the token has the instruction.
        let bytes = unsafe { _mm_maskz_loadu_epi8(first(from.len()), from.as_ptr().cast()) };
        arithmetic!(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes)))
    }

    #[inline(always)]
    fn prefetch<T>(self, address: *const T) {
        // SAFETY: to prefetch reads nothing and cannot fault, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        arithmetic!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        arithmetic!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        arithmetic!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        arithmetic!(_mm512_div_ps(a, b))
    }

    #[inline(always)]
    fn sqrt(self, v: __m512) -> __m512 {
        arithmetic!(_mm512_sqrt_ps(v))
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        arithmetic!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        arithmetic!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn select_less(self, a: __m512, b: __m512, yes: __m512, no: __m512) -> __m512 {
        arithmetic!(_mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), no, yes))
    }

    #[inline(always)]
    fn add_exponent(self, v: __m512, n: __m512) -> __m512 {
        arithmetic!({
            let n = _mm512_slli_epi32::<23>(_mm512_cvtps_epi32(n));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(v), n))
        })
    }

    #[inline(always)]
    fn split_exponent(self, v: __m512) -> (__m512, __m512) {
        arithmetic!({
            let cut = _mm512_set1_epi32(SQRT_HALF_BITS);
            let bits = _mm512_sub_epi32(_mm512_castps_si512(v), cut);
            let mantissa = _mm512_and_si512(bits, _mm512_set1_epi32(0x007f_ffff));
            (_mm512_castsi512_ps(_mm512_add_epi32(mantissa, cut)), _mm512_cvtepi32_ps(_mm512_srai_epi32::<23>(bits)))
        })
    }

    #[inline(always)]
    fn interleave(self, a: __m512, b: __m512) -> (__m512, __m512) {
        arithmetic!({
            let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
            (_mm512_permutex2var_ps(a, low, b), _mm512_permutex2var_ps(a, high, b))
        })
    }

    /// Halves the vectors by adding two in one, four times: within 64 bits, within 128, and twice across 128-bit lanes.
    #[inline(always)]
    fn sum_lanes(self, v: [__m512; 16]) -> __m512 {
        arithmetic!({
            let mut pairs = [v[0]; 8];
            for i in 0..8 {
                let (a, b) = (v[2 * i], v[2 * i + 1]);
                pairs[i] = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            }
            let mut quads = [v[0]; 4];
            for i in 0..4 {
                let (a, b) = (_mm512_castps_pd(pairs[2 * i]), _mm512_castps_pd(pairs[2 * i + 1]));
                let (low, high) = (_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b));
                quads[i] = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
            }
            let [a, b, c, d] = quads;
            let ab = _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
            let cd = _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xdd>(c, d));
            _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(ab, cd), _mm512_shuffle_f32x4::<0xdd>(ab, cd))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::first;

    /// Needs no CPU that has the instructions: the mask is a number like any other.
    #[test]
    fn a_mask_has_the_first_lanes_and_no_other() {
        for lanes in 0..=16 {
            for lane in 0..16 {
                assert_eq!(first(lanes) >> lane & 1 == 1, lane < lanes, "lane {lane} of a mask of {lanes}");
            }
        }
    }
}
