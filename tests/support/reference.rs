//! Every kernel once more, in plain f64 loops over row-major slices: what the kernels' results are judged against.
//! Knows no type of the crate and no tolerance, so that benches and fuzz targets can include this file as it stands.
#![allow(dead_code, reason = "each crate that includes this file needs some of it")]

/// Logits `[n, classes]` of `x [n, features]`, `w [features, classes]`, `b [classes]`.
pub(crate) fn forward(x: &[f64], w: &[f64], b: &[f64]) -> Vec<f64> {
    let mut logits = Vec::new();
    for row in x.chunks_exact(w.len() / b.len()) {
        let mut sums = b.to_vec();
        for (x, weights) in row.iter().zip(w.chunks_exact(b.len())) {
            sums.iter_mut().zip(weights).for_each(|(sum, w)| *sum += x * w);
        }
        logits.extend(sums);
    }
    logits
}

pub(crate) fn log_softmax(logits: &[f64], classes: usize) -> Vec<f64> {
    let row = |row: &[f64]| {
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = row.iter().map(|z| (z - max).exp()).sum::<f64>().ln();
        row.iter().map(|z| z - max - log_sum).collect::<Vec<_>>()
    };
    logits.chunks_exact(classes).flat_map(row).collect()
}

pub(crate) fn softmax(logits: &[f64], classes: usize) -> Vec<f64> {
    log_softmax(logits, classes).into_iter().map(f64::exp).collect()
}

/// The losses `[n]` and residuals `[n, classes]` of targets `[n, classes]`; a target 0 against a probability 0 costs 0.
pub(crate) fn cross_entropy(logits: &[f64], targets: &[f64], classes: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut losses, mut residual) = (Vec::new(), Vec::new());
    for (log_p, t) in log_softmax(logits, classes).chunks_exact(classes).zip(targets.chunks_exact(classes)) {
        let cost = |(t, log_p): (&f64, &f64)| if *t == 0.0 && *log_p == f64::NEG_INFINITY { 0.0 } else { -t * log_p };
        losses.push(t.iter().zip(log_p).map(cost).sum());
        residual.extend(t.iter().zip(log_p).map(|(y, log_p)| log_p.exp() * t.iter().sum::<f64>() - y));
    }
    (losses, residual)
}

/// `x^T residual` `[features, classes]` and the residual's column sums `[classes]`.
pub(crate) fn gradient(x: &[f64], residual: &[f64], features: usize, classes: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut w, mut b) = (vec![0.0; features * classes], vec![0.0; classes]);
    sgd_step(x, residual, -1.0, &mut w, &mut b);
    (w, b)
}

/// `w -= learning_rate * x^T residual` and the same for `b`, whose row is a feature that is always 1.
pub(crate) fn sgd_step(x: &[f64], residual: &[f64], learning_rate: f64, w: &mut [f64], b: &mut [f64]) {
    let classes = b.len();
    for (x, r) in x.chunks_exact(w.len() / classes).zip(residual.chunks_exact(classes)) {
        for (x, row) in x.iter().chain(&[1.0]).zip(w.chunks_exact_mut(classes).chain([&mut *b])) {
            row.iter_mut().zip(r).for_each(|(w, r)| *w -= learning_rate * x * r);
        }
    }
}
