//! `diorama test`: a model's test script against a clone of its own.
//!
//! ```text
//! find python ─▶ daemon (hold) ─▶ evaluated, built ─▶ script runs ─▶ down ─▶ consoles, reports
//!                        every way out leads through "down"
//! ```

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::plain::{self, OnInterrupt, Until};
use super::{Global, Outcome, common, down, out, up};
use crate::client::{self, Client, Launched};
use crate::error::{Error, Result, ResultExt, printable};
use crate::paths::Paths;
use crate::proto::{ModelSource, StartOptions};
use crate::script::{self, Next, Order, Python, Report, Run};

const EXAMPLES: &str = "\
The script is the model's testScript, in Python, with the names of the NixOS test driver: one
variable a machine, start_all(), subtest(…), web.succeed(…), web.wait_for_unit(…); and for outages
network.partition([a], [b]), network.isolate(a), link(a, b).cut(), network.heal(). The machines are
a clone of their own with fresh disks, so any number of tests run at once, beside any session.

Without --out, what a run leaves (log.ndjson, junit.xml, consoles, screenshots) is kept only when
it failed or left artifacts. Exit status 0 means that all passed, 1 that something failed, 130 that
it was interrupted.

Examples:
  diorama test                             the model of this directory
  diorama test -k outage --keep-going      subtests with \"outage\" in their names; all of them
  diorama test shop.nix --junit junit.xml  a report for a CI server
  diorama test shop.nix --script smoke.py  another script
  diorama test --keep --timeout 600        leave the clone running afterwards, to look around";

/// Run a model's test script against a fresh clone, and tear it down.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The model or manifest.
    model: Option<PathBuf>,
    /// Run this script instead of the model's.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Run only subtests with this in their names, whatever the case; may be repeated.
    #[arg(short = 'k', long = "only", value_name = "PATTERN")]
    patterns: Vec<String>,
    /// Go on after a failed subtest.
    #[arg(long)]
    keep_going: bool,
    /// Seconds that the script may take; 0 for no limit.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    timeout: u64,
    /// Seconds that a command may take, where the script says nothing else.
    #[arg(long, value_name = "SECONDS")]
    command_timeout: Option<u64>,
    /// Write a JUnit report there too.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the events there too, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Put what the run leaves into this directory.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Leave the clone running, whatever comes of the test.
    #[arg(long)]
    keep: bool,
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

/// A test on its way.
struct Test {
    args: Args,
    paths: Paths,
    session: String,
    /// What people look for.
    out: PathBuf,
    report: Report,
    logs: Vec<(PathBuf, fs::File)>,
}

pub(super) async fn run(args: Args, global: &Global) -> Outcome {
    let paths = common::paths(global)?;
    let python = script::find_python().await?;
    let source = up::source(args.model.as_deref(), &paths)?;
    let own = own_script(&args, &source)?;
    let session = session_name(&up::default_name(&source)?);
    let wanted = args.out.clone().unwrap_or_else(|| paths.state.join("tests").join(&session));
    let out = std::path::absolute(&wanted).doing(wanted.display())?;
    fs::create_dir_all(&out).doing(out.display())?;
    let mut logs = Vec::new();
    for path in [Some(out.join("log.ndjson")), args.log.clone()].into_iter().flatten() {
        let file = fs::File::create(&path).doing(path.display())?;
        logs.push((path, file));
    }
    // The clone's disks belong to the run, not to the network's own session.
    let paths = Paths { state: out.join(".session"), ..paths };
    let mut test = Test { args, paths, session, out, report: Report::default(), logs };
    let done = test.whole(&python, source, own).await;
    let torn_down = test.tear_down().await;
    let status = match done {
        Ok(status) => status,
        Err(e) => {
            let _ = test.finish();
            return Err(e);
        }
    };
    torn_down?;
    test.finish()?;
    out::line(&format!("{}: {}", test.session, test.report.summary()));
    Ok(status)
}

/// The script that the command line names.
fn own_script(args: &Args, source: &ModelSource) -> Result<Option<String>> {
    let Some(path) = &args.script else {
        // A manifest is quickly looked at; a model only when it is evaluated.
        if let ModelSource::Manifest(path) = source
            && let Ok(text) = fs::read_to_string(path)
            && let Ok(manifest) = crate::model::parse(&text)
            && manifest.test_script.is_none()
        {
            return Err(no_script(path));
        }
        return Ok(None);
    };
    fs::read_to_string(path).doing(path.display()).map(Some)
}

/// Ends, with an error, once the model is evaluated and has no script: nothing need be built then.
async fn missing_script(client: &Client, model: &Path) -> Error {
    if let Ok(mut views) = client.subscribe().await {
        while views.borrow_and_update().nodes.is_empty() {
            if views.changed().await.is_err() {
                break;
            }
        }
        if client.manifest().await.is_ok_and(|m| m.test_script.is_none()) {
            return no_script(model);
        }
    }
    std::future::pending().await
}

fn no_script(model: &Path) -> Error {
    Error::usage(format!("{} has no testScript", model.display()))
        .hint("add testScript = ''…''; beside the model's nodes, or give one with --script FILE")
}

/// A name that no other run has.
fn session_name(network: &str) -> String {
    let network: String = network.chars().take(40).collect();
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.subsec_nanos());
    format!("test-{network}-{}-{:04x}", std::process::id(), nanos & 0xffff)
}

impl Test {
    async fn whole(&mut self, python: &Python, source: ModelSource, own: Option<String>) -> Outcome {
        let model = source.path().to_path_buf();
        let absolute = |p: &Path| std::path::absolute(p).doing(p.display());
        let options = StartOptions {
            session: self.session.clone(),
            source,
            state_dir: Some(self.paths.state.clone()),
            accel: self.args.accel.clone(),
            nixpkgs: self.args.nixpkgs.as_deref().map(absolute).transpose()?,
            fresh: true,
            hold: true,
        };
        if client::launch(&self.paths, &options).await? == Launched::Running {
            return Err(Error::new(format!("session {} is there already; try again", self.session)));
        }
        let client = client::connect(&self.paths, Some(&self.session), "test").await?;
        tokio::select! {
            started = plain::follow(&client, Until::Started, OnInterrupt::Down) => started?,
            missing = missing_script(&client, &model), if own.is_none() => return Err(missing),
        }
        let manifest = client.manifest().await?;
        let text = own.or(manifest.test_script).ok_or_else(|| no_script(&model))?;
        let file = self.out.join("testScript.py");
        fs::write(&file, &text).doing(file.display())?;
        let order = Order {
            socket: client::find(&self.paths, Some(&self.session)).await?.files.socket(),
            out_dir: self.out.clone(),
            script: text,
            script_file: self.args.script.clone().unwrap_or(file),
            patterns: self.args.patterns.clone(),
            keep_going: self.args.keep_going,
            command_timeout: self.args.command_timeout,
            quiet: self.args.quiet,
            interactive: false,
            keep: self.args.keep,
        };
        let assets = crate::assets::dir(&self.paths.cache)?;
        let run = Run::start(python, &assets.join("python"), &order).await?;
        self.follow(run).await
    }

    /// Takes in what the script says until it ends, of itself or not.
    async fn follow(&mut self, mut run: Run) -> Outcome {
        let limit = Duration::from_secs(self.args.timeout);
        let mut deadline = (self.args.timeout > 0).then(|| Instant::now() + limit);
        let mut signals = Signals::new()?;
        let mut why: Option<String> = None;
        let mut interrupted = false;
        loop {
            tokio::select! {
                next = run.next() => match next {
                    Next::Event(event) => self.take(&event),
                    Next::End => break,
                },
                () = sleep_until(deadline) => {
                    if why.is_some() {
                        break;
                    }
                    why = Some(format!("the test took longer than {} s", self.args.timeout));
                    run.time_is_up();
                    deadline = Some(Instant::now() + Run::grace());
                }
                () = signals.recv() => {
                    if interrupted {
                        break;
                    }
                    interrupted = true;
                    why = Some("interrupted".into());
                    out::err("\nstopping; ctrl-c once more does not wait for the script …\n");
                    run.interrupt();
                    deadline = Some(Instant::now() + Run::grace());
                }
            }
        }
        let ended = run.wait(why.is_some()).await?;
        if ended.killed && why.is_none() {
            why = Some("the script's process did not end and was killed".into());
        } else if why.is_none() && self.report.script.is_none() {
            why = Some(match ended.code {
                Some(code) => format!("the script's process ended with status {code}"),
                None => "the script's process was killed".into(),
            });
        }
        self.report.finish(why.as_deref());
        if let Some(why) = why {
            out::err(&format!("error: {}\n", printable(&why)));
        }
        Ok(match (interrupted, self.report.passed()) {
            (true, _) => 130,
            (false, true) => 0,
            (false, false) => 1,
        })
    }

    fn take(&mut self, event: &serde_json::Value) {
        self.report.take(event);
        for (path, file) in &mut self.logs {
            if let Err(e) = writeln!(file, "{event}") {
                out::err(&format!("warning: {}: {e}\n", path.display()));
            }
        }
    }

    /// Ends the session, whoever is left of it.
    async fn tear_down(&mut self) -> Result<()> {
        // A daemon that died is replaced here, so that its machines are ended too.
        let Ok(found) = client::find(&self.paths, Some(&self.session)).await else { return Ok(()) };
        if self.args.keep {
            let name = &self.session;
            out::err(&format!("the clone goes on: diorama attach -s {name}; diorama down -s {name}\n"));
            return Ok(());
        }
        let client = Client::open(&found.files.socket(), "test").await?;
        down::end(&client, true, 0).await
    }

    /// Puts the consoles and the reports where people look for them, and removes what nobody needs.
    fn finish(&mut self) -> Result<()> {
        let state = self.paths.network_state(&self.session);
        let consoles = self.out.join("consoles");
        for entry in fs::read_dir(&state).into_iter().flatten().filter_map(std::result::Result::ok) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let target = match name.strip_suffix(".console.log") {
                Some(node) => consoles.join(format!("{node}.log")),
                None if name == "daemon.log" => self.out.join(name),
                None => continue,
            };
            fs::create_dir_all(&consoles).doing(consoles.display())?;
            let copied = fs::copy(entry.path(), &target).map(drop);
            copied.doing(target.display())?;
        }
        if self.report.script.is_some() {
            let xml = script::junit(&self.report);
            for path in [Some(self.out.join("junit.xml")), self.args.junit.clone()].into_iter().flatten() {
                fs::write(&path, &xml).doing(path.display())?;
            }
        }
        if self.args.keep {
            return Ok(());
        }
        remove(&self.paths.state)?;
        if self.args.out.is_none() && self.report.passed() && self.report.artifacts.is_empty() {
            return remove(&self.out);
        }
        for directory in ["state", "shared"] {
            // Only when the script left nothing there.
            let _ = fs::remove_dir(self.out.join(directory));
        }
        out::err(&format!("what it left is in {}\n", self.out.display()));
        Ok(())
    }
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).doing(dir.display()),
        _ => Ok(()),
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The ways in which a person or a system says "stop".
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> Result<Self> {
        let listen = |kind| signal(kind).doing("listening for signals");
        Ok(Self([
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ]))
    }

    async fn recv(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_have_names_of_their_own_that_are_session_names() {
        for network in ["trac", &"n".repeat(63)] {
            let name = session_name(network);
            assert!(crate::model::is_name(&name), "{name}");
            assert!(name.starts_with("test-"));
        }
    }
}
