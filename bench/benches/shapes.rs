//! The two products at other shapes than MNIST's, beside the same products by matrixmultiply and gemm in the same run:
//! `cargo bench --bench shapes`. A line a shape: our time at the best level, and how many times as long each rival takes.
//! Below 1 the rival is faster.
//!
//! Everyone runs by turns, as `softreg_bench::sampling` has it. Rivals compute on the same contiguous f32 rows, with the
//! weights and logits laid out as `rivals.rs` found best. Everyone's results are compared before anything is timed.
//!
//! `cargo bench --bench shapes -- 784x10 avx2` takes only the shapes whose features and classes these are, at that level.

mod support;

use softreg::{Level, Matrix, Parameters, Result, kernel};
use softreg_bench::sampling::{Case, Sampling, take_turns};
use std::cell::RefCell;
use std::hint::black_box;
use std::time::Duration;
use support::products::{Gemm, MatrixMultiply, Product, View};
use support::random::Random;

const FEATURES: [usize; 7] = [16, 64, 100, 784, 785, 2048, 4096];
const CLASSES: [usize; 9] = [2, 3, 5, 10, 16, 17, 26, 100, 1000];
const ROWS: [usize; 4] = [1, 32, 100, 1000];

const SAMPLING: Sampling = Sampling { length: Duration::from_micros(200), fewest: 5, time: Duration::from_millis(15) };

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let flag = |name: &str| arguments.iter().any(|argument| argument == name);
    let measure = flag("--bench") && !flag("--test");
    let mut wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();

    let named = |name: &&&String| Level::from_name(name).is_ok();
    let level = wanted.iter().find(named).map_or(Level::best(), |name| Level::from_name(name).expect("just found"));
    wanted.retain(|name| Level::from_name(name).is_err());
    if measure {
        println!("microseconds at level {level} on one thread, and how many times as long each rival takes");
        println!(
            "features classes  rows |   forward  matrixmultiply  gemm |    update  matrixmultiply  gemm | GFLOP/s"
        );
    }
    let mut worst = f64::INFINITY;
    for features in FEATURES {
        for classes in CLASSES {
            if !wanted.is_empty() && !wanted.iter().any(|shape| **shape == format!("{features}x{classes}")) {
                continue;
            }
            for rows in ROWS {
                let mut job = Job::new(level, features, classes, rows);
                job.check();
                if !measure {
                    continue;
                }
                let forward = job.forward();
                let update = job.update();
                let flop = 2.0 * (features * classes * rows) as f64;
                let ratios = |times: [f64; 3]| [times[1] / times[0], times[2] / times[0]];
                let ([fm, fg], [um, ug]) = (ratios(forward), ratios(update));
                let below = [fm, fg, um, ug].into_iter().fold(f64::INFINITY, f64::min);
                worst = worst.min(below);
                println!(
                    "{features:>8}{classes:>8}{rows:>6} |{:>10.2}{fm:>16.2}{fg:>6.2} |{:>10.2}{um:>16.2}{ug:>6.2} | {:.0} {:.0}{}",
                    forward[0],
                    update[0],
                    flop / forward[0] / 1e3,
                    flop / update[0] / 1e3,
                    if below < 1.0 { "  <" } else { "" },
                );
            }
        }
    }
    if measure {
        println!("the least ratio: {worst:.2}");
    } else {
        println!("shapes: everyone's products agree");
    }
}

/// One shape, and everyone's operands of it.
struct Job {
    level: Level,
    features: usize,
    classes: usize,
    /// `[rows, features]`
    x: Vec<f32>,
    /// `[classes, features]`, as the rivals hold them.
    w: Vec<f32>,
    parameters: Parameters,
    bias: Vec<f32>,
    /// `[rows, classes]`
    residual: Vec<f32>,
    logits: Vec<f32>,
}

/// Small enough that no number of updates drives the weights out of range.
const LEARNING_RATE: f32 = 1e-9;

impl Job {
    fn new(level: Level, features: usize, classes: usize, rows: usize) -> Self {
        let mut random = Random::new(1);
        let w = random.numbers(classes * features, 0.1);
        let bias = random.numbers(classes, 1.0);
        Self {
            level,
            features,
            classes,
            x: random.numbers(rows * features, 1.0),
            parameters: Parameters::from_class_major(&w, &bias, features, classes).expect("the shape of the weights"),
            w,
            bias,
            residual: random.numbers(rows * classes, 1.0),
            logits: vec![0.0; rows * classes],
        }
    }

    fn our_forward(&mut self) -> Result<()> {
        let x = Matrix::from_f32(&self.x, self.features)?;
        kernel::forward(self.level, x, &self.parameters, black_box(&mut self.logits))
    }

    fn our_update(&mut self) -> Result<()> {
        let x = Matrix::from_f32(&self.x, self.features)?;
        kernel::sgd_step(self.level, x, &self.residual, LEARNING_RATE, black_box(&mut self.parameters))
    }

    fn rival_forward<P: Product>(&mut self) -> Result<()> {
        for row in self.logits.chunks_exact_mut(self.classes) {
            row.copy_from_slice(&self.bias);
        }
        let (x, w) = (View::row_major(&self.x[..], self.features), View::row_major(&self.w[..], self.features));
        P::add(1.0, x, w.transposed(), View::row_major(&mut self.logits, self.classes));
        black_box(&mut self.logits);
        Ok(())
    }

    fn rival_update<P: Product>(&mut self) -> Result<()> {
        let residual = View::row_major(&self.residual[..], self.classes);
        let x = View::row_major(&self.x[..], self.features);
        P::add(-LEARNING_RATE, residual.transposed(), x, View::row_major(&mut self.w, self.features));
        for row in self.residual.chunks_exact(self.classes) {
            self.bias.iter_mut().zip(row).for_each(|(bias, residual)| *bias -= LEARNING_RATE * residual);
        }
        black_box(&mut self.w);
        Ok(())
    }

    /// Everyone's logits, which are sums of `features` terms below 0.1: so near each other, or something is wrong.
    fn check(&mut self) {
        let mut all: Vec<Vec<f32>> = Vec::new();
        for run in [Self::our_forward, Self::rival_forward::<MatrixMultiply>, Self::rival_forward::<Gemm>] {
            self.logits.fill(f32::NAN);
            run(self).expect("the shapes fit");
            all.push(self.logits.clone());
        }
        let budget = self.features as f32 * 0.1 * 1e-5 + 1e-5;
        for rival in &all[1..] {
            assert!(all[0].iter().zip(rival).all(|(ours, theirs)| (ours - theirs).abs() <= budget));
        }
        self.our_update().expect("the shapes fit");
    }

    fn forward(&mut self) -> [f64; 3] {
        self.by_turns([Self::our_forward, Self::rival_forward::<MatrixMultiply>, Self::rival_forward::<Gemm>])
    }

    fn update(&mut self) -> [f64; 3] {
        self.by_turns([Self::our_update, Self::rival_update::<MatrixMultiply>, Self::rival_update::<Gemm>])
    }

    /// Everyone's best sample, in microseconds a run.
    fn by_turns(&mut self, cases: [fn(&mut Self) -> Result<()>; 3]) -> [f64; 3] {
        let job = RefCell::new(self); // everyone reads the same rows
        let job = &job;
        let mut cases = cases.map(|run| Case::new(move || run(&mut job.borrow_mut())));
        take_turns(&mut cases.each_mut(), SAMPLING).expect("the shapes fit");
        cases.each_ref().map(|case| case.seconds() * 1e6)
    }
}
