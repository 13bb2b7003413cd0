//! The examples below each command's help and in the manual page. A test parses every one.

/// Of the whole program.
pub(crate) const ALL: &str = "\
Examples:
  softreg                                                      # MNIST, 1000 steps of 100
  softreg train --save model.safetensors                       # the same, kept
  softreg predict --model model.safetensors photo.jpg          # which digit is it?

Exit codes: 0 done, 1 the work failed, 2 the arguments are wrong, 130 interrupted.";

/// Of `softreg train`.
pub(crate) const TRAIN: &str = "\
Examples:
  softreg train --save model.safetensors --weights-png weights.png
  softreg train --optimizer adamw --schedule cosine --early-stopping 3 --history losses.csv
  softreg train --csv trees.csv --label kind --epochs 20 --standardize --test 0.2 --save trees.safetensors";

/// Of `softreg fit`.
pub(crate) const FIT: &str = "\
Examples:
  softreg fit --save model.safetensors                         # MNIST, the penalty chosen on rows set aside
  softreg fit --csv trees.csv --label kind --drop id --test 0.2 --save trees.safetensors
  softreg fit --features X.npy --labels y.txt --test-features T.npy --test-labels t.txt --l2 1e-4 --json";

/// Of `softreg eval`.
pub(crate) const EVAL: &str = "\
Examples:
  softreg eval --model model.safetensors                       # on the embedded MNIST test images
  softreg eval --model model.safetensors --data MNIST_data     # on your own four files
  softreg eval --model trees.safetensors --csv more.csv --label kind --json";

/// Of `softreg predict`.
pub(crate) const PREDICT: &str = "\
Examples:
  softreg predict --model model.safetensors photo.jpg
  softreg predict --model trees.safetensors --csv new.csv    # a line for each row, as comma-separated values
  softreg predict --model model.safetensors --show-input seen.png photo.jpg    # and what the model saw of it";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn every_example_parses() {
        for examples in [ALL, TRAIN, FIT, EVAL, PREDICT] {
            let lines = examples.lines().filter_map(|line| line.strip_prefix("  softreg"));
            let lines: Vec<&str> = lines.map(|line| line.split('#').next().unwrap_or(line)).collect();
            assert_eq!(lines.len(), 3, "{examples}");
            for line in lines {
                let words = std::iter::once("softreg").chain(line.split_whitespace());
                if let Err(error) = crate::Cli::try_parse_from(words) {
                    panic!("softreg{line}: {error}");
                }
            }
        }
    }
}
