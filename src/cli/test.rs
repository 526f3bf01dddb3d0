//! `diorama test`: a model's test script against a clone of its own, against several, or against a
//! session that runs.

mod many;
mod one;
mod stop;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::many::Many;
use self::one::{One, Place};
use self::stop::Stop;
use super::{Global, Outcome, common, models, out};
use crate::client;
use crate::error::{Error, Result, ResultExt};
use crate::paths::Paths;
use crate::proto::ModelSource;
use crate::script;

const EXAMPLES: &str = "\
The script is the model's testScript, in Python, with the names of the NixOS test driver: one
variable a machine, start_all(), subtest(…), web.succeed(…), web.wait_for_unit(…); and for outages
network.partition([a], [b]), network.isolate(a), link(a, b).cut(), network.heal(). The machines are
a clone of their own with fresh disks, so any number of tests run at once, beside any session.

A run leaves log.ndjson, junit.xml, report.html, consoles and what the script copied in DIR, or,
without --out, in a directory of its own that `diorama report` finds; of those the newest stay.
Exit status 0 means that all passed, 1 that something failed, 130 that it was interrupted.

With --interactive there is a Python prompt with the script's names: run_tests() runs the script,
which stops at debug.breakpoint() and at its first failure; `diorama attach` in another terminal
shows the clone meanwhile.

Examples:
  diorama test                             the model of this directory
  diorama test -k outage --keep-going      subtests with \"outage\" in their names; all of them
  diorama test shop.nix --junit junit.xml  a report for a CI server
  diorama test shop.nix --script smoke.py  another script
  diorama test --repeat 20 --jobs 4        twenty times, four at once, each in its own clone
  diorama test --attach -s shop            against the session that runs; it goes on afterwards
  diorama test --coverage --out out        which lines of marked packages it executes
  diorama test --keep --timeout 600        leave the clone running afterwards, to look around";

/// How many directories of runs that nobody named are kept.
const KEPT: usize = 20;

/// Run a model's test script against a fresh clone, and tear it down.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The model or manifest.
    model: Option<PathBuf>,
    /// Run this script instead of the model's.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Run this script after the other, in the same clone, as if it were its end.
    #[arg(long, value_name = "FILE")]
    then: Option<PathBuf>,
    /// Run only subtests with this in their names, whatever the case; may be repeated.
    #[arg(short = 'k', long = "only", value_name = "PATTERN")]
    patterns: Vec<String>,
    /// Go on after a failed subtest.
    #[arg(long)]
    keep_going: bool,
    /// Seconds that the script may take; 0 for no limit. 3600, and none with --interactive.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Seconds that a command may take, where the script says nothing else.
    #[arg(long, value_name = "SECONDS")]
    command_timeout: Option<u64>,
    /// Write a JUnit report there too.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the events there too, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Write the report as a page (HTML) there too.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Instrument the packages that the model marks, collect from every machine which of their lines
    /// the test has executed, and report it in coverage/ of what the run leaves.
    #[arg(long, conflicts_with_all = ["attach", "nixpkgs"])]
    coverage: bool,
    /// Put what the run leaves into this directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Leave the clone running, whatever comes of the test.
    #[arg(long)]
    keep: bool,
    /// Run it this many times, each time in a clone of its own.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000),
          conflicts_with_all = ["keep", "interactive", "attach"])]
    repeat: u32,
    /// Of several runs, have this many go on at once.
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    jobs: u32,
    /// Give a Python prompt beside the clone; the script stops at breakpoints and at its first failure.
    #[arg(short, long)]
    interactive: bool,
    /// Run against the session that runs (-s NAME), and leave it running.
    #[arg(long, conflicts_with_all = ["model", "keep", "accel", "nixpkgs"])]
    attach: bool,
    /// Say nothing but failures.
    #[arg(short, long)]
    quiet: bool,
    /// Execute guest code with this accelerator instead of the one that a probe finds to work.
    #[arg(long, value_parser = ["kvm", "tcg"])]
    accel: Option<String>,
    /// Evaluate the model as NixOS, with this nixpkgs.
    #[arg(long, value_name = "PATH")]
    nixpkgs: Option<PathBuf>,
}

impl Args {
    /// Seconds that a script may take; 0 for no limit.
    fn limit(&self) -> u64 {
        self.timeout.unwrap_or(if self.interactive { 0 } else { 3600 })
    }
}

pub(super) async fn run(args: Args, global: &Global) -> Outcome {
    let paths = common::paths(global)?;
    let python = script::find_python().await?;
    let (place, network) = if args.attach {
        let found = client::find(&paths, global.session.as_deref()).await?;
        (Place::Running(found.state_dir.unwrap_or_else(|| paths.state.clone())), found.name)
    } else {
        let source = models::find(args.model.as_deref(), &paths)?.source();
        let network = models::default_name(&source)?;
        (Place::Clone(source), network)
    };
    let own = own_script(&args, &place)?;
    let name = session_name(&network, 0);
    let unnamed = paths.state.join("tests");
    let wanted = args.out.clone().unwrap_or_else(|| unnamed.join(&name));
    let out = std::path::absolute(&wanted).doing(wanted.display())?;
    let stop = Stop::listen(!args.interactive)?;
    let args = Arc::new(args);
    if args.repeat > 1
        && let Place::Clone(source) = place
    {
        let many = Many { args, paths: paths.clone(), network, out: out.clone(), python, own, stop };
        let status = many.run(source).await;
        remember(&paths, &unnamed, &out);
        return status;
    }
    let session = if matches!(place, Place::Running(_)) { network } else { name };
    let mut one = One::new(args, paths.clone(), session, place, out.clone(), None, stop)?;
    let status = one.run(&python, own).await;
    remember(&paths, &unnamed, &out);
    let status = status?;
    out::line(&format!("{}: {}", one.session, one.report.summary()));
    out::err(&format!("what it left is in {}\n", out.display()));
    Ok(status)
}

/// Remembers a run for `diorama report`, and removes the oldest of those that nobody named.
fn remember(paths: &Paths, unnamed: &Path, out: &Path) {
    // A run is not spoilt by what is only a convenience for later.
    let _ = fs::create_dir_all(unnamed);
    let _ = fs::write(newest_file(paths), out.as_os_str().as_encoded_bytes());
    let runs = fs::read_dir(unnamed).into_iter().flatten().filter_map(std::result::Result::ok);
    let mut runs: Vec<_> = runs
        .map(|e| e.path())
        // A clone that was kept has its disks there; a run without a report may still go on.
        .filter(|p| p.join(script::PAGE).is_file() && !p.join(".session").exists())
        .filter_map(|p| Some((fs::metadata(&p).ok()?.modified().ok()?, p)))
        .collect();
    runs.sort();
    for (_, old) in runs.iter().rev().skip(KEPT) {
        let _ = one::remove(old);
    }
}

/// The file that names the directory of the newest run.
pub(super) fn newest_file(paths: &Paths) -> PathBuf {
    paths.state.join("tests").join(".newest")
}

/// The script that the command line names.
fn own_script(args: &Args, place: &Place) -> Result<Option<String>> {
    let Some(path) = &args.script else {
        // A manifest is quickly looked at; a model only when it is evaluated.
        if let Place::Clone(ModelSource::Manifest(path)) = place
            && let Ok(text) = fs::read_to_string(path)
            && let Ok(manifest) = crate::model::parse(&text)
            && manifest.test_script.is_none()
            && args.then.is_none()
        {
            return Err(no_script(path));
        }
        return Ok(None);
    };
    fs::read_to_string(path).doing(path.display()).map(Some)
}

fn no_script(model: &Path) -> Error {
    Error::usage(format!("{} has no testScript", model.display()))
        .hint("add testScript = ''…''; beside the model's nodes, or give one with --script FILE")
}

/// A name that no other run has; `number` tells the runs of one command apart.
fn session_name(network: &str, number: usize) -> String {
    let network: String = network.chars().take(34).collect();
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.subsec_nanos());
    let number = if number == 0 { String::new() } else { format!("-{number}") };
    format!("test-{network}-{}-{:04x}{number}", std::process::id(), nanos & 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_have_names_of_their_own_that_are_session_names() {
        for network in ["trac", &"n".repeat(63)] {
            let name = session_name(network, 10_000);
            assert!(crate::model::is_name(&name), "{name}");
            assert!(name.starts_with("test-"));
        }
    }
}
