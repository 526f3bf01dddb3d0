//! `diorama setup`: install what is missing.

use std::io::{BufRead, IsTerminal};

use super::{Global, Outcome, out};
use crate::doctor;
use crate::error::{Error, Result};
use crate::paths::Paths;

const EXAMPLES: &str = "\
Packages come from this machine's own apt sources. As root, users are made as which Nix builds. A
user who is not root is shown the command lines instead.

Examples:
  diorama setup             list what is missing, ask, install
  diorama setup --yes       install without asking
  diorama doctor            only look";

/// Install what is missing on this machine.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
}

pub(super) async fn run(args: &Args, global: &Global) -> Outcome {
    let paths = Paths::from_env(global.state_dir.as_deref()).map_err(anyhow::Error::from)?;
    ensure(&paths, args.yes).await?;
    let left: Vec<_> = doctor::report(&paths).await.into_iter().filter(|r| r.stops(true)).collect();
    match left.is_empty() {
        true => {
            out::line("everything that is needed is there");
            Ok(0)
        }
        false => {
            let list = left.iter().map(|r| format!("{}: {}", r.name, r.found)).collect::<Vec<_>>().join("\n");
            Err(Error::new(format!("something is still missing:\n{list}")).hint("diorama doctor says more"))
        }
    }
}

/// Installs what is missing, after asking unless told not to.
///
/// # Errors
/// When the person does not want it, is not root, or a step fails.
pub async fn ensure(paths: &Paths, yes: bool) -> Result<()> {
    let plan = doctor::look(paths).await;
    if plan.is_empty() {
        return Ok(());
    }
    out::err("To be done:\n");
    let lines = plan.command_lines(false);
    for line in lines.iter().take(4) {
        out::err(&format!("  {line}\n"));
    }
    if lines.len() > 4 {
        out::err(&format!("  … and {} more like the last\n", lines.len() - 4));
    }
    if !yes && nix::unistd::geteuid().is_root() && !agreed()? {
        return Err(Error::new("nothing was installed"));
    }
    tokio::task::spawn_blocking(move || doctor::set_up(&plan, &mut |what| out::err(&format!("== {what}\n"))))
        .await
        .map_err(|e| Error::new(format!("a task of the program failed: {e}")))?
}

fn agreed() -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::new("there is no terminal to ask on").hint("--yes installs without asking"));
    }
    out::err("Go on? [y/N] ");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}
