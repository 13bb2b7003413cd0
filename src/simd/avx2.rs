//! The operations in AVX2 with FMA: vectors of 8.

use super::token::{arithmetic, has, token};
use super::{Kernel, SQRT_HALF_BITS, Simd, arrays};
use core::arch::x86_64::*;

token! {
    /// The token of AVX2 and FMA.
    Avx2, is_x86_feature_detected: "avx2", "fma"
}

impl Simd for Avx2 {
    arrays!(8);
    const REGISTERS: usize = 16;
    const PREFETCHES: bool = true;
    type Vector = __m256;

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        arithmetic!(_mm256_set1_ps(value))
    }

    #[inline(always)]
    fn load(self, from: &[f32; 8]) -> __m256 {
        // SAFETY: the array is 8 readable floats; the token has the instruction, which needs no alignment.
        unsafe { _mm256_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, v: __m256, to: &mut [f32; 8]) {
        // SAFETY: the array is 8 writable floats; the token has the instruction, which needs no alignment.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), v) }
    }

    #[inline(always)]
    fn load_partial(self, from: &[f32]) -> __m256 {
        let mask = arithmetic!({
            let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            _mm256_cmpgt_epi32(_mm256_set1_epi32(from.len().min(8) as i32), lane)
        });
        // SAFETY: the mask has no lane at or past the slice's length, and masked-off lanes are not read;
        // the token has the instruction.
        unsafe { _mm256_maskload_ps(from.as_ptr(), mask) }
    }

    #[inline(always)]
    fn widen(self, from: &[u8; 8]) -> __m256 {
        // SAFETY: the array is 8 readable bytes; the token has the instruction, which needs no alignment.
        let bytes = unsafe { _mm_loadl_epi64(from.as_ptr().cast()) };
        arithmetic!(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)))
    }

    #[inline(always)]
    fn prefetch<T>(self, address: *const T) {
        // SAFETY: to prefetch reads nothing and cannot fault, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        arithmetic!(_mm256_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        arithmetic!(_mm256_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        arithmetic!(_mm256_mul_ps(a, b))
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        arithmetic!(_mm256_div_ps(a, b))
    }

    #[inline(always)]
    fn sqrt(self, v: __m256) -> __m256 {
        arithmetic!(_mm256_sqrt_ps(v))
    }

    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        arithmetic!(_mm256_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        arithmetic!(_mm256_max_ps(a, b))
    }

    #[inline(always)]
    fn select_less(self, a: __m256, b: __m256, yes: __m256, no: __m256) -> __m256 {
        arithmetic!(_mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b)))
    }

    #[inline(always)]
    fn add_exponent(self, v: __m256, n: __m256) -> __m256 {
        arithmetic!({
            let n = _mm256_slli_epi32::<23>(_mm256_cvtps_epi32(n));
            _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(v), n))
        })
    }

    #[inline(always)]
    fn split_exponent(self, v: __m256) -> (__m256, __m256) {
        arithmetic!({
            let cut = _mm256_set1_epi32(SQRT_HALF_BITS);
            let bits = _mm256_sub_epi32(_mm256_castps_si256(v), cut);
            let mantissa = _mm256_and_si256(bits, _mm256_set1_epi32(0x007f_ffff));
            (_mm256_castsi256_ps(_mm256_add_epi32(mantissa, cut)), _mm256_cvtepi32_ps(_mm256_srai_epi32::<23>(bits)))
        })
    }

    #[inline(always)]
    fn interleave(self, a: __m256, b: __m256) -> (__m256, __m256) {
        arithmetic!({
            let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            (_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high))
        })
    }

    /// Halves the vectors by adding two in one, three times: the halves of one 64-bit lane, those of one 128-bit
    /// lane, the two 128-bit lanes.
    #[inline(always)]
    fn sum_lanes(self, v: [__m256; 8]) -> __m256 {
        arithmetic!({
            let mut pairs = [v[0]; 4];
            for i in 0..4 {
                let (a, b) = (v[2 * i], v[2 * i + 1]);
                pairs[i] = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            }
            let mut quads = [v[0]; 2];
            for i in 0..2 {
                let (a, b) = (_mm256_castps_pd(pairs[2 * i]), _mm256_castps_pd(pairs[2 * i + 1]));
                let (low, high) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
                quads[i] = _mm256_add_ps(_mm256_castpd_ps(low), _mm256_castpd_ps(high));
            }
            let [a, b] = quads;
            _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b))
        })
    }
}
