//! `diorama coverage`: the coverage of several test runs, added up.

use std::path::PathBuf;

use super::{Outcome, out};
use crate::error::{Error, Result, ResultExt};
use crate::script::coverage::{self, Tools};

const EXAMPLES: &str = "\
A line that any of the runs has executed on any machine counts once. Machines of the same name are
added up too. The result is what a run's own coverage/ is: html/index.html, summary.json, total.info.

Examples:
  diorama coverage --out all smoke faults   of `diorama test --coverage --out smoke` and another run
  diorama coverage --json out               the numbers of one run";

/// Add up what several test runs have covered.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What the runs have left.
    #[arg(required = true, value_name = "DIR")]
    runs: Vec<PathBuf>,
    /// Put the report there, instead of showing the numbers alone.
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the numbers as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args) -> Outcome {
    let scratch;
    let dir = match &args.out {
        Some(dir) => std::path::absolute(dir).doing(dir.display())?,
        None => {
            scratch = Scratch::new()?;
            scratch.0.clone()
        }
    };
    std::fs::create_dir_all(&dir).doing(dir.display())?;
    let tools = Tools::find()?;
    let summary = tokio::select! {
        done = coverage::merge(&args.runs, &dir, &tools) => done?,
        _ = tokio::signal::ctrl_c() => return Err(Error::interrupted()),
    };
    if args.json {
        out::json(&summary)?;
    } else {
        out::line(&summary.line());
    }
    if args.out.is_some() {
        out::err(&format!("{}\n", dir.join("html/index.html").display()));
    }
    Ok(0)
}

/// A directory that is removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("diorama-coverage-{}", std::process::id()));
        std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
            .create(&dir)
            .doing(dir.display())?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
