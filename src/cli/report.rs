//! `diorama report`: a test run's report as a page, made anew from its log and opened.

use std::path::{Path, PathBuf};

use super::{Global, Outcome, common, out, test};
use crate::error::{Error, Result};
use crate::paths::Paths;
use crate::script;

const EXAMPLES: &str = "\
The page is one file that needs nothing beside it; it is made from the run's log of events alone and
lies beside the log. Without a display its path is printed.

Examples:
  diorama report                    the newest run
  diorama report out                the run that `diorama test --out out` left
  diorama report log.ndjson --print make the page and print its path
  diorama report out -o page.html   write it there";

/// Show a test run's report in the browser.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The run's directory or its log of events; by default the newest run.
    run: Option<PathBuf>,
    /// Print the page's path and open nothing.
    #[arg(long)]
    print: bool,
    /// Write the page there.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    let paths = common::paths(global)?;
    let run = match &args.run {
        Some(run) => run.clone(),
        None => newest(&paths)?,
    };
    let log = script::find_log(&run)?;
    let page = args.output.clone().unwrap_or_else(|| log.with_file_name(script::PAGE));
    // The page of several runs leads to theirs; it was made when they ended.
    let is_sum = !has_one_run(&log) && page.is_file();
    if !is_sum {
        script::write_page(&log, &page)?;
    }
    let page = std::path::absolute(&page).unwrap_or(page);
    if args.print || !crate::tui::has_browser() {
        out::line(&page.display().to_string());
        return Ok(0);
    }
    let said = crate::tui::browse(&format!("file://{}", page.display()));
    out::line(&said.map_err(Error::new)?);
    Ok(0)
}

/// The newest run's directory.
fn newest(paths: &Paths) -> Result<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let named = std::fs::read(test::newest_file(paths)).ok();
    let named = named.map(|bytes| PathBuf::from(std::ffi::OsString::from_vec(bytes)));
    named.filter(|p| p.is_dir()).ok_or_else(|| {
        Error::not_found("no test has run here, or what it left is gone").hint("diorama test runs one")
    })
}

/// Whether a log is that of a single run: the events of several carry the run's number.
fn has_one_run(log: &Path) -> bool {
    use std::io::BufRead;
    let Ok(file) = std::fs::File::open(log) else { return true };
    let mut first = String::new();
    let _ = std::io::BufReader::new(file).read_line(&mut first);
    !first.starts_with("{\"run\":")
}
