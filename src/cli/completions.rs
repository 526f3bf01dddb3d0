//! `diorama completions`: a shell's completion script.

use clap_complete::Shell;

use super::{Global, Outcome, out};

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
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "diorama", &mut script);
    out::print(&String::from_utf8_lossy(&script));
    Ok(0)
}
