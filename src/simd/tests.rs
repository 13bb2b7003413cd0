//! Each operation at every level, against plain arithmetic on its lanes.
//!
//! Where a CPU lacks a level, Miri runs what its operations do to memory, and sees a byte touched outside a slice:
//! `RUSTFLAGS="-C target-feature=+avx512f,+avx512bw,+avx512vl,+avx2,+fma" cargo +nightly miri test --lib memory`.

extern crate std;

use super::*;
use crate::exec::Level;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Runs at every level. One that `SOFTREG_REQUIRE_LEVEL` names must be among them.
fn at_every_level<K: Kernel<Output = ()>>(kernel: impl Fn() -> K) {
    let required = std::env::var("SOFTREG_REQUIRE_LEVEL").unwrap_or_default();
    for name in required.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        Level::from_name(name).expect("a required level can run here");
    }
    Level::available().into_iter().for_each(|level| level.run(kernel()));
}

fn lanes<S: Simd>(simd: S, v: S::Vector) -> Vec<f32> {
    let mut array = S::array(f32::NAN);
    simd.store(v, &mut array);
    array.as_ref().into()
}

fn vector<S: Simd>(simd: S, lane: impl Fn(usize) -> f32) -> S::Vector {
    let mut array = S::array(0.0);
    (0..S::LANES).for_each(|i| array[i] = lane(i));
    simd.load(&array)
}

/// Behind each slice stand values that are not zero, so that a lane too many shows.
struct PartialMemory;

impl Kernel for PartialMemory {
    type Output = ();

    fn run<S: Simd>(self, simd: S) {
        let floats: Vec<f32> = (1..=40_u8).map(f32::from).collect();
        let bytes: Vec<u8> = (201..=240).collect();
        for (start, len) in (0..5).flat_map(|start| (0..S::LANES).map(move |len| (start, len))) {
            let range = start..start + len;
            let padded = |value: &dyn Fn(usize) -> f32| -> Vec<f32> {
                (0..S::LANES).map(|lane| if lane < len { value(start + lane) } else { 0.0 }).collect()
            };
            assert_eq!(lanes(simd, simd.load_partial(&floats[range.clone()])), padded(&|i| floats[i]), "{simd:?}");
            let widened = padded(&|i| f32::from(bytes[i]));
            assert_eq!(lanes(simd, simd.widen_partial(&bytes[range.clone()])), widened, "{simd:?}");
            let mut written = floats.clone();
            simd.store_partial(simd.splat(-1.0), &mut written[range.clone()]);
            let expected = floats.iter().enumerate().map(|(i, &v)| if range.contains(&i) { -1.0 } else { v });
            assert!(written.into_iter().eq(expected), "{simd:?}: store_partial of {len} lanes");
            // Allocations of just this length: Miri sees a byte outside them.
            let exact: Box<[f32]> = floats[range.clone()].into();
            simd.store_partial(simd.load_partial(&exact), &mut exact.clone());
            simd.widen_partial(&Box::<[u8]>::from(&bytes[range]));
        }
    }
}

#[test]
fn partial_memory_operations_touch_their_slice_and_no_more() {
    at_every_level(|| PartialMemory);
}

struct WholeMemory;

impl Kernel for WholeMemory {
    type Output = ();

    fn run<S: Simd>(self, simd: S) {
        let floats: Vec<f32> = (1..=40_u8).map(f32::from).collect();
        for start in 0..5 {
            let from = &floats[start..start + S::LANES];
            assert_eq!(lanes(simd, simd.load(&S::arrays(from).0[0])), from, "{simd:?}");
            let mut written = floats.clone();
            simd.store(simd.splat(-1.0), &mut S::arrays_mut(&mut written[start..]).0[0]);
            let own = start..start + S::LANES;
            let expected = floats.iter().enumerate().map(|(i, &v)| if own.contains(&i) { -1.0 } else { v });
            assert!(written.into_iter().eq(expected), "{simd:?}: store");
        }
        let bytes: Vec<u8> = (0..=255).collect();
        let (arrays, rest) = S::arrays(&bytes);
        let widened: Vec<f32> = arrays.iter().flat_map(|array| lanes(simd, simd.widen(array))).collect();
        assert!(
            rest.is_empty() && widened.into_iter().eq(bytes.iter().map(|&byte| f32::from(byte))),
            "{simd:?}: widen"
        );

        let rows: [Box<[f32]>; 3] = [3, 4, 5].map(|more| floats[..2 * S::LANES + more].into());
        let rows = [&*rows[0], &*rows[1], &*rows[2]];
        let columns = Columns::new(&rows);
        for start in 0..=3 {
            let column = columns.vectors::<S, 2>(simd, start);
            for row in 0..3 {
                let found: Vec<f32> = column.row(row).iter().flat_map(|array| array.as_ref()).copied().collect();
                assert_eq!(found, floats[start..][..2 * S::LANES], "{simd:?}: a column from {start} on");
            }
        }
    }
}

#[test]
fn whole_memory_operations_touch_a_vector() {
    at_every_level(|| WholeMemory);
}

struct TooFar;

impl Kernel for TooFar {
    type Output = ();

    fn run<S: Simd>(self, simd: S) {
        let (long, short) = ([1.0; 40], [1.0; 40]);
        let rows = [&long[..], &short[..S::LANES + 3]];
        let column = || {
            let _ = Columns::new(&rows).vectors::<S, 1>(simd, 4);
        };
        let column = std::panic::catch_unwind(std::panic::AssertUnwindSafe(column));
        assert!(column.is_err(), "{simd:?}: a column past the end of the shortest row");
    }
}

#[test]
fn a_column_past_the_shortest_row_is_refused() {
    at_every_level(|| TooFar);
}

struct Arithmetic;

impl Kernel for Arithmetic {
    type Output = ();

    fn run<S: Simd>(self, simd: S) {
        let some = [1.5, -2.25, 0.0, -0.0, 1e-39, 3e38, f32::INFINITY, f32::NAN, -1e-45, 7.0, 1.0 / 3.0];
        for shift in 0..some.len() {
            let a = |lane: usize| some[lane % some.len()];
            let b = |lane: usize| some[(lane + shift) % some.len()];
            let c = |lane: usize| lane as f32 * 0.1 - 0.3;
            let (va, vb, vc) = (vector(simd, a), vector(simd, b), vector(simd, c));
            let check = |name: &str, found: S::Vector, expected: &dyn Fn(usize) -> Vec<f32>| {
                for (lane, found) in lanes(simd, found).into_iter().enumerate() {
                    let expected = expected(lane);
                    let same = |e: &f32| e.to_bits() == found.to_bits() || e.is_nan() && found.is_nan();
                    assert!(expected.iter().any(same), "{simd:?}: {name} is {found:e}, wanted {expected:?}");
                }
            };
            check("add", simd.add(va, vb), &|i| [a(i) + b(i)].into());
            check("sub", simd.sub(va, vb), &|i| [a(i) - b(i)].into());
            check("mul", simd.mul(va, vb), &|i| [a(i) * b(i)].into());
            check("div", simd.div(va, vb), &|i| [a(i) / b(i)].into());
            check("sqrt", simd.sqrt(va), &|i| [a(i).sqrt()].into());
            check("mul_add", simd.mul_add(va, vb, vc), &|i| [a(i).mul_add(b(i), c(i)), a(i) * b(i) + c(i)].into());
            let larger = |i| if a(i) > b(i) { [a(i)] } else { [b(i)] };
            let either = |i| {
                if a(i) == b(i) || a(i).is_nan() || b(i).is_nan() { [a(i), b(i)].into() } else { larger(i).into() }
            };
            check("max", simd.max(va, vb), &either);
            let chosen = simd.select_less(va, vb, vc, simd.splat(9.0));
            check("select_less", chosen, &|i| [if a(i) < b(i) { c(i) } else { 9.0 }].into());
        }
    }
}

#[test]
fn arithmetic_is_that_of_each_lane() {
    at_every_level(|| Arithmetic);
}

struct Exponents;

impl Kernel for Exponents {
    type Output = ();

    fn run<S: Simd>(self, simd: S) {
        let cut = f32::from_bits(SQRT_HALF_BITS as u32);
        let near = |bits: u32| [bits - 1, bits, bits + 1].map(f32::from_bits);
        let values = [1.0, 2.0, cut, 2.0 * cut, 0.5, 3e-38, f32::MAX, 1e10].map(|v: f32| near(v.to_bits()));
        for v in values.into_iter().flatten().filter(|v| v.is_normal()) {
            let (m, e) = simd.split_exponent(simd.splat(v));
            for (m, e) in lanes(simd, m).into_iter().zip(lanes(simd, e)) {
                assert!((cut..2.0 * cut).contains(&m), "{simd:?}: {v:e} has the mantissa {m}");
                assert_eq!(f64::from(m) * f64::from(e).exp2(), f64::from(v), "{simd:?}: {v:e} is {m} * 2^{e}");
            }
        }
        for n in -126..=127_i8 {
            let found = lanes(simd, simd.add_exponent(simd.splat(1.0), simd.splat(n.into())));
            assert!(found.iter().all(|&v| f64::from(v) == f64::from(n).exp2()), "{simd:?}: 2^{n} is {found:?}");
        }
    }
}

#[test]
fn exponents_are_split_off_and_added() {
    at_every_level(|| Exponents);
}

struct AcrossLanes;

impl Kernel for AcrossLanes {
    type Output = ();

    fn run<S: Simd>(self, simd: S) {
        let (low, high) = simd.interleave(vector(simd, |i| i as f32), vector(simd, |i| 100.0 + i as f32));
        let found = [lanes(simd, low), lanes(simd, high)].concat();
        let expected = (0..S::LANES).flat_map(|i| [i as f32, 100.0 + i as f32]);
        assert!(found.iter().copied().eq(expected), "{simd:?}: {found:?}");

        // Whole numbers, whose sums are exact; then ones whose sum depends on the order, at every place.
        let mut vectors = S::array(simd.splat(0.0));
        (0..S::LANES).for_each(|v| vectors[v] = vector(simd, |i| (v * 1000 + i * i) as f32));
        let squares: usize = (0..S::LANES).map(|i| i * i).sum();
        let sums = lanes(simd, simd.sum_lanes(vectors));
        let expected = (0..S::LANES).map(|v| (v * 1000 * S::LANES + squares) as f32);
        assert!(sums.iter().copied().eq(expected), "{simd:?}: {sums:?}");
        let mut equal = S::array(simd.splat(0.0));
        (0..S::LANES).for_each(|v| equal[v] = vector(simd, |i| 1.0 / (3 + 7 * i) as f32));
        let sums = lanes(simd, simd.sum_lanes(equal));
        assert!(sums.iter().all(|sum| sum.to_bits() == sums[0].to_bits()), "{simd:?}: {sums:?}");
    }
}

#[test]
fn operations_across_lanes_find_every_lane() {
    at_every_level(|| AcrossLanes);
}

struct Starts;

impl Kernel for Starts {
    type Output = ();

    fn run<S: Simd>(self, simd: S) {
        let floats: Vec<f32> = (1..=40_u8).map(f32::from).collect();
        for len in 0..=2 * S::LANES {
            let own = len.min(S::LANES);
            let found = lanes(simd, load_start(simd, &floats[..len]));
            assert!(found[..own] == floats[..own] && found[own..].iter().all(|&lane| lane == 0.0), "{simd:?}");
            let mut written = floats.clone();
            store_start(simd, simd.splat(-1.0), &mut written[..len]);
            assert!(written[..own].iter().all(|&v| v == -1.0) && written[own..] == floats[own..], "{simd:?}");
        }
    }
}

#[test]
fn starts_in_memory_are_of_a_vector_or_of_what_is_there() {
    at_every_level(|| Starts);
}
