//! `diorama doctor`: what is missing on this machine, and why it is needed.

use super::{Global, Outcome, out};
use crate::doctor;
use crate::error::Result;
use crate::paths::Paths;

const EXAMPLES: &str = "\
Exit status 0: everything that is needed is there. 1: something is missing.

Examples:
  diorama doctor            look at this machine
  diorama doctor --json     the same for a program
  diorama setup             install what is missing";

/// Say what is missing on this machine, and why it is needed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Write JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args, global: &Global) -> Outcome {
    let paths = Paths::from_env(global.state_dir.as_deref()).map_err(anyhow::Error::from)?;
    let reports = doctor::report(&paths).await;
    if args.json {
        out::json(&reports)?;
    } else {
        show(&reports)?;
    }
    Ok(u8::from(reports.iter().any(|r| r.stops(true))))
}

fn show(reports: &[doctor::Report]) -> Result<()> {
    let rows: Vec<Vec<String>> = reports
        .iter()
        .map(|r| {
            let mark = match (r.ok, r.stops(true)) {
                (true, _) => "✓",
                (false, true) => "✕",
                (false, false) => "!",
            };
            vec![mark.into(), r.name.into(), r.purpose.into(), r.found.clone()]
        })
        .collect();
    out::print(&out::table(&rows));
    for r in reports.iter().filter(|r| !r.ok) {
        if let Some(fix) = &r.fix {
            out::line(&format!("\n{}: {fix}", r.name));
        }
    }
    Ok(())
}
