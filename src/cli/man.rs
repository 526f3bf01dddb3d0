//! `diorama man`: the manual pages, and with `--markdown` the command-line reference.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::{Global, Outcome, out};
use crate::error::{Error, ResultExt};

const EXAMPLES: &str = "\
Examples:
  diorama man | man -l -                   read the main page
  diorama man ~/.local/share/man/man1      write a page for every verb
  diorama man --markdown > docs/reference/cli.md";

/// Write the manual pages.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Write a page for the program and for every verb into this directory; without it the main
    /// page goes to standard output.
    dir: Option<PathBuf>,
    /// Print the whole reference as Markdown instead.
    #[arg(long, conflicts_with = "dir")]
    markdown: bool,
}

pub(super) fn run(args: &Args, _: &Global) -> Outcome {
    if args.markdown {
        out::print(&markdown());
        return Ok(0);
    }
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(super::command()).render(&mut page).map_err(Error::from)?;
        out::print(&String::from_utf8_lossy(&page));
        return Ok(0);
    };
    std::fs::create_dir_all(dir).doing(dir.display())?;
    clap_mangen::generate_to(super::command(), dir).doing(dir.display())?;
    Ok(0)
}

/// The command-line reference, made from the same tables as `--help`.
pub fn markdown() -> String {
    let mut command = super::command().term_width(96).max_term_width(96);
    command.build();
    let mut out =
        String::from("# Command line\n\nMade by `diorama man --markdown` from the program's own help.\n\n");
    section(&mut out, &mut command, 2);
    out
}

fn section(out: &mut String, command: &mut clap::Command, depth: usize) {
    let title = command.get_bin_name().unwrap_or("diorama").to_owned();
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(out, "{} {title}\n\n```text\n{}\n```\n\n", "#".repeat(depth), lines.join("\n").trim_end());
    for sub in command.get_subcommands_mut().filter(|c| !c.is_hide_set()) {
        section(out, sub, depth + 1);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_reference_in_the_tree_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/cli.md");
        let tree = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            tree == super::markdown(),
            "docs/reference/cli.md is stale: cargo run -- man --markdown > docs/reference/cli.md"
        );
    }
}
