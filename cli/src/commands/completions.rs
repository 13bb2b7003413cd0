//! `softreg completions`: what a shell needs to complete commands and options.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::report::{Failure, Output};

/// Options of `softreg completions`.
#[derive(Args)]
pub(crate) struct CompletionsArgs {
    /// The shell, whose own manual says where the text belongs; for bash: source <(softreg completions bash)
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut command = crate::Cli::command();
    let mut script = Vec::new();
    // Into memory first: the generator panics where it cannot write.
    clap_complete::generate(args.shell, &mut command, env!("CARGO_BIN_NAME"), &mut script);
    Output::new().line(String::from_utf8_lossy(&script).trim_end())
}
