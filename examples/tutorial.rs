//! TensorFlow's "MNIST for ML beginners", whole: softmax regression on 28 x 28 digits, zeros to start from,
//! learning rate 0.01 on the summed loss, 1000 steps of 100 images.
//!
//! ```text
//! cargo run --release --example tutorial [DIRECTORY]
//! ```
//!
//! Without a directory it takes the four files that `softreg-mnist` embeds.

use softreg::{Reduction, Sgd, SoftmaxRegression, Trainer, mnist};

fn main() -> softreg::Result<()> {
    let data = match std::env::args_os().nth(1) {
        Some(directory) => mnist::read_dir(directory)?,
        None => mnist::read_files(softreg_mnist::FILES, mnist::VALIDATION_ROWS)?,
    };
    let mut trainer = Trainer::new(SoftmaxRegression::zeros(784, 10), Sgd::new(0.01)).reduction(Reduction::Sum);
    let mut batches = data.train.batches(100).seed(0);
    for step in 1..=1000 {
        let loss = trainer.step(batches.next_batch())?;
        if step % 100 == 0 {
            println!("step {step:4}  loss {loss:.2}");
        }
    }
    println!("validation accuracy {:.4}", trainer.model().accuracy(&data.validation)?);
    println!("test accuracy       {:.4}", trainer.model().accuracy(&data.test)?);
    Ok(())
}
