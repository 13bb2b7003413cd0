//! `softreg man`: the manual page, of the program or of one command, out of the same options that the help shows.

use std::io;

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::report::{Failure, Output};

/// What each section that is written alone begins with: the apostrophe, for formatters that are not GNU's.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// Options of `softreg man`.
#[derive(Args)]
pub(crate) struct ManArgs {
    /// The command whose page it is; without one, the page of softreg
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

pub(crate) fn run(args: &ManArgs) -> Result<(), Failure> {
    let mut command = crate::Cli::command();
    // Names commands in full, as in softreg-train(1).
    command.build();
    if let Some(name) = &args.command {
        command = find(&command, name)?;
    }
    let page = page(command).map_err(|error| Failure::Failed(format!("manual page: {error}")))?;
    let page = String::from_utf8_lossy(&page).replace(PREAMBLE, "");
    Output::new().line(format_args!("{PREAMBLE}{}", page.trim_end()))
}

fn find(command: &Command, name: &str) -> Result<Command, Failure> {
    command.find_subcommand(name).cloned().ok_or_else(|| {
        let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        Failure::Usage(format!("man: found no command {name:?}, expected one of {}", names.join(", ")))
    })
}

fn page(command: Command) -> io::Result<Vec<u8>> {
    let has_commands = command.get_subcommands().any(|command| !command.is_hide_set());
    let after = command.get_after_help().map(ToString::to_string);
    let man = Man::new(command).source(concat!("softreg ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if has_commands {
        man.render_subcommands_section(&mut page)?;
    }
    man.render_options_section(&mut page)?;
    // The crate's own section for them, EXTRA, makes one paragraph of all lines.
    after.iter().flat_map(|text| text.split("\n\n")).try_for_each(|text| section(text).to_writer(&mut page))?;
    Ok(page)
}

/// A paragraph of what stands after the help.
fn section(text: &str) -> Roff {
    let mut roff = Roff::new();
    if let Some(examples) = text.strip_prefix("Examples:\n") {
        roff.control("SH", ["EXAMPLES"]).control("nf", []);
        for line in examples.lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
    } else {
        let (heading, text) = text.strip_prefix("Exit codes: ").map_or(("NOTES", text), |text| ("EXIT STATUS", text));
        roff.control("SH", [heading]).text([roman(text)]);
    }
    roff
}
