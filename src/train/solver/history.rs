//! The curvature pairs of L-BFGS, and the direction that they make of a gradient (Nocedal and Wright 2006, algorithm 7.4).
//! The initial inverse Hessian is the preconditioner's.

use crate::error::Result;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// The last pairs, oldest first.
#[derive(Debug)]
pub(super) struct Pairs {
    pairs: VecDeque<Pair>,
    most: usize,
}

/// A step and the change of the gradient over it.
#[derive(Debug)]
struct Pair {
    s: Vec<f64>,
    y: Vec<f64>,
    /// `1 / (s * y)`
    rho: f64,
}

impl Pairs {
    /// Room for so many.
    pub(super) const fn new(most: usize) -> Self {
        Self { pairs: VecDeque::new(), most }
    }

    /// Forgets all pairs.
    pub(super) fn clear(&mut self) {
        self.pairs.clear();
    }

    /// Takes the step `to - from` with the change of the gradient over it, unless rounding has hidden the curvature, which
    /// is above 0.
    pub(super) fn push(&mut self, [from, to]: [&[f64]; 2], [gradient_from, gradient_to]: [&[f64]; 2]) {
        let Pair { mut s, mut y, .. } = match self.pairs.len() {
            len if len == self.most => self.pairs.pop_front(),
            _ => None,
        }
        .unwrap_or(Pair { s: Vec::new(), y: Vec::new(), rho: 0.0 });
        s.clear();
        s.extend(to.iter().zip(from).map(|(to, from)| to - from));
        y.clear();
        y.extend(gradient_to.iter().zip(gradient_from).map(|(to, from)| to - from));
        let curvature = dot(&s, &y);
        if curvature > f64::EPSILON * dot(&y, &y) && (1.0 / curvature).is_finite() {
            self.pairs.push_back(Pair { s, y, rho: 1.0 / curvature });
        }
    }

    /// The newest pair's change of the gradient, and its product with the step.
    pub(super) fn newest(&self) -> Option<(&[f64], f64)> {
        self.pairs.back().map(|pair| (&pair.y[..], 1.0 / pair.rho))
    }

    /// Makes `-H^-1 gradient` in `direction`; `initial(from, to)` multiplies by the initial inverse Hessian.
    pub(super) fn direction(
        &self,
        gradient: &[f64],
        direction: &mut [f64],
        scratch: &mut [f64],
        initial: impl FnOnce(&[f64], &mut [f64]) -> Result<()>,
    ) -> Result<()> {
        scratch.copy_from_slice(gradient);
        let mut alphas = Vec::with_capacity(self.pairs.len());
        for Pair { s, y, rho } in self.pairs.iter().rev() {
            let alpha = rho * dot(s, scratch);
            add(scratch, -alpha, y);
            alphas.push(alpha);
        }
        initial(scratch, direction)?;
        for (Pair { s, y, rho }, alpha) in self.pairs.iter().zip(alphas.iter().rev()) {
            let beta = rho * dot(y, direction);
            add(direction, alpha - beta, s);
        }
        direction.iter_mut().for_each(|d| *d = -*d);
        Ok(())
    }
}

/// The dot product, in one order.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Sums that do not wait for each other.
    let mut sums = [0.0; 8];
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    for (a, b) in a.iter().zip(b) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}

/// `to += factor * v`
pub(super) fn add(to: &mut [f64], factor: f64, v: &[f64]) {
    to.iter_mut().zip(v).for_each(|(to, v)| *to += factor * v);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A quadratic's Hessian, times a vector.
    fn hessian(v: &[f64]) -> Vec<f64> {
        (0..v.len())
            .map(|i| (i + 1) as f64 * v[i] + 0.3 * v[(i + 1) % v.len()] + 0.3 * v[(i + v.len() - 1) % v.len()])
            .collect()
    }

    fn direction(pairs: &Pairs, gradient: &[f64]) -> Vec<f64> {
        let (mut direction, mut scratch) = (vec![f64::NAN; gradient.len()], vec![f64::NAN; gradient.len()]);
        let initial = |from: &[f64], to: &mut [f64]| {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = 0.5 * from);
            Ok(())
        };
        pairs.direction(gradient, &mut direction, &mut scratch, initial).expect("it cannot fail");
        direction
    }

    fn push(pairs: &mut Pairs, i: usize, len: usize) -> (Vec<f64>, Vec<f64>) {
        let from: Vec<f64> = (0..len).map(|j| ((i * 7 + j * 3) % 5) as f64).collect();
        let to: Vec<f64> = (0..len).map(|j| from[j] + ((i * 5 + j * j) % 7) as f64 - 2.5).collect();
        pairs.push([&from, &to], [&hessian(&from), &hessian(&to)]);
        let s: Vec<f64> = to.iter().zip(&from).map(|(to, from)| to - from).collect();
        let y = hessian(&s);
        (s, y)
    }

    /// The newest pair is met exactly: the change of the gradient leads back along the step.
    #[test]
    fn the_newest_pair_is_met() {
        let mut pairs = Pairs::new(3);
        assert!(pairs.newest().is_none());
        assert_eq!(direction(&pairs, &[2.0, -4.0]), [-1.0, 2.0]);
        for i in 0..6 {
            let (s, y) = push(&mut pairs, i, 9);
            for (found, s) in direction(&pairs, &y).iter().zip(&s) {
                assert!((found + s).abs() < 1e-12, "{found} for -{s} after {i}");
            }
            assert_eq!(pairs.pairs.len(), (i + 1).min(3));
            let (newest, curvature) = pairs.newest().expect("a pair");
            assert!((curvature - dot(&s, &y)).abs() < 1e-9 && (dot(newest, newest) - dot(&y, &y)).abs() < 1e-9);
        }
        pairs.clear();
        assert!(pairs.newest().is_none());
    }

    #[test]
    fn directions_descend_and_pairs_without_curvature_are_left_out() {
        let mut pairs = Pairs::new(5);
        (0..5).for_each(|i| drop(push(&mut pairs, i, 12)));
        for i in 0..12 {
            let gradient: Vec<f64> = (0..12).map(|j| f64::from(u8::from(i == j)) - 0.1).collect();
            assert!(dot(&direction(&pairs, &gradient), &gradient) < 0.0);
        }
        let mut none = Pairs::new(5);
        none.push([&[0.0, 1.0], &[1.0, 1.0]], [&[1.0, 0.0], &[0.0, 0.0]]);
        none.push([&[0.0, 1.0], &[0.0, 1.0]], [&[1.0, 0.0], &[1.0, 0.0]]);
        none.push([&[0.0, 1.0], &[1.0, 1.0]], [&[1.0, 0.0], &[f64::NAN, 0.0]]);
        assert!(none.newest().is_none());
    }

    #[test]
    fn dot_and_add_take_every_length() {
        for len in [0, 1, 7, 8, 9, 16, 23] {
            let a: Vec<f64> = (0..len).map(|i| i as f64).collect();
            let mut b: Vec<f64> = (0..len).map(|i| (i * i) as f64 - 3.0).collect();
            assert_eq!(dot(&a, &b), (0..len).map(|i| i as f64 * ((i * i) as f64 - 3.0)).sum::<f64>());
            add(&mut b, 2.0, &a);
            assert!((0..len).all(|i| b[i] == (i * i) as f64 - 3.0 + 2.0 * i as f64));
        }
    }
}
