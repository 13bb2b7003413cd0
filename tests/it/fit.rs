//! The solver: its optima against float64 (`fit/optima.rs`), what holds of every fit (`fit/laws.rs`), and how fits end and
//! what is refused (`fit/ends.rs`). Here is what they share.
#![cfg(feature = "fit")]

mod ends;
mod laws;
mod optima;

use crate::support::npy;
use crate::support::random::Random;
use softreg::{Batch, Matrix, SoftmaxRegression, Targets};

/// The optimum is met within this share of the objective.
const CLOSE: f64 = 1e-5;

macro_rules! sets {
    ($($name:literal)+) => {
        &[$(($name, include_bytes!(concat!("../golden/sets/", $name, ".npy")))),+]
    };
}

/// Features and labels by name.
const SETS: &[(&str, &[u8])] = sets!("digits" "iris" "wine" "cancer" "iris_scaled" "iris_scaled_only" "wine_scaled"
    "wine_scaled_only" "cancer_scaled" "cancer_scaled_only" "digits_labels" "iris_labels" "wine_labels" "cancer_labels");

/// A data set of scikit-learn's.
struct Set {
    x: Vec<f32>,
    features: usize,
    labels: Vec<u32>,
    classes: usize,
}

impl Set {
    fn read(name: &str) -> Self {
        let file = |name: &str| SETS.iter().find(|(known, _)| *known == name).expect("a set").1;
        let plain = name.split('_').next().expect("a name");
        let (x, features) = npy::read(file(name));
        let labels: Vec<u32> =
            npy::read(file(&format!("{plain}_labels"))).0.iter().map(|&label| label as u32).collect();
        let classes = labels.iter().max().map_or(0, |&label| label as usize + 1);
        Self { x, features, labels, classes }
    }

    fn x(&self) -> Matrix<'_> {
        Matrix::from_f32(&self.x, self.features).expect("whole rows")
    }

    fn batch(&self) -> Batch<'_> {
        Batch::new(self.x(), Targets::from_u32(&self.labels)).expect("rows agree")
    }

    /// One-hot targets.
    fn one_hot(&self) -> Vec<f64> {
        let hot = |&label: &u32| (0..self.classes).map(move |class| f64::from(u8::from(class == label as usize)));
        self.labels.iter().flat_map(hot).collect()
    }
}

/// Rows of some overlapping classes, features of different size.
fn noisy(rows: usize, features: usize, classes: usize, seed: u64) -> Set {
    let mut random = Random::new(seed);
    let labels: Vec<u32> = (0..rows).map(|row| ((row * 7 + row / 3) % classes) as u32).collect();
    let mut x = Vec::new();
    for &label in &labels {
        for feature in 0..features {
            let centre = if feature % classes == label as usize { 1.0 } else { 0.0 };
            x.push((centre + random.number(2.0)) * 10f32.powi(feature as i32 % 3 - 1));
        }
    }
    Set { x, features, labels, classes }
}

fn bits(model: &SoftmaxRegression) -> Vec<u32> {
    model.to_row_major().iter().chain(model.bias()).map(|value| value.to_bits()).collect()
}
