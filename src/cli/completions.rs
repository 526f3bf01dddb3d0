//! `diorama completions`: a shell's completion script, which asks the program itself for the words.

use clap_complete::Shell;
use clap_complete::env::{CompleteEnv, Shells};

use super::{Global, Outcome, out};
use crate::error::{Error, Result};

/// The variable by which the script says that words are wanted.
const VARIABLE: &str = "DIORAMA_COMPLETE";

const EXAMPLES: &str = "\
Examples:
  diorama completions bash > ~/.local/share/bash-completion/completions/diorama
  diorama completions zsh > ~/.zfunc/_diorama
  diorama completions fish > ~/.config/fish/completions/diorama.fish";

/// Print a shell's completion script.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The shell.
    shell: Shell,
}

pub(super) fn run(args: &Args, _: &Global) -> Outcome {
    let shell = args.shell.to_string();
    let shells = Shells::builtins();
    let completer = shells
        .completer(&shell)
        .ok_or_else(|| Error::usage(format!("no completions are known for {shell}")))?;
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, "diorama", "diorama", "diorama", &mut script)?;
    out::print(&String::from_utf8_lossy(&script));
    Ok(0)
}

/// Answers the script, and does nothing else, when it is the script that runs the program.
///
/// # Errors
/// When the variable names no shell.
pub(super) fn answer() -> Result<bool> {
    let here = std::env::current_dir().ok();
    CompleteEnv::with_factory(super::command)
        .var(VARIABLE)
        .try_complete(std::env::args_os(), here.as_deref())
        .map_err(|e| Error::usage(e.to_string()))
}
