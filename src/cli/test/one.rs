//! One run of a script: its clone, its events, its reports.
//!
//! ```text
//! daemon (hold) ─▶ evaluated, built ─▶ script runs ─▶ down ─▶ consoles, reports
//!                     every way out leads through "down"
//! ```
//!
//! Invariant: a clone that was started for the run is gone after [`One::tear_down`], unless it is to be
//! kept; a session that was there before is left as it is.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::plain::{self, OnInterrupt, Until};
use super::super::{Outcome, common, down, out};
use super::stop::Stop;
use super::{Args, no_script};
use crate::client::{self, Client, Launched};
use crate::error::{Error, Kind, Result, ResultExt, printable};
use crate::model::Manifest;
use crate::paths::Paths;
use crate::proto::{ModelSource, Phase, StartOptions};
use crate::script::coverage::{self, Tools};
use crate::script::{self, LOG, Next, Order, PAGE, Python, Report, Run};

/// Where a script runs.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// A clone of its own.
    Clone(ModelSource),
    /// A session that is there already, and stays, with the directory below which it keeps its state.
    Running(PathBuf),
}

/// A run on its way.
pub(super) struct One {
    pub(super) args: Arc<Args>,
    pub(super) paths: Paths,
    pub(super) session: String,
    pub(super) place: Place,
    /// What people look for.
    pub(super) out: PathBuf,
    /// What the lines of one run among several begin with.
    pub(super) label: Option<String>,
    pub(super) stop: Stop,
    pub(super) report: Report,
    /// Where the prompt keeps what was typed.
    history: PathBuf,
    logs: Vec<(PathBuf, fs::File)>,
}

impl One {
    /// Makes the directory and the logs.
    ///
    /// # Errors
    /// When they cannot be made.
    pub(super) fn new(
        args: Arc<Args>,
        paths: Paths,
        session: String,
        place: Place,
        out: PathBuf,
        label: Option<String>,
        stop: Stop,
    ) -> Result<Self> {
        fs::create_dir_all(&out).doing(out.display())?;
        // Of several runs the log that was asked for is the sum.
        let asked = args.log.clone().filter(|_| label.is_none());
        let mut logs = Vec::new();
        for path in [Some(out.join(LOG)), asked].into_iter().flatten() {
            let file = fs::File::create(&path).doing(path.display())?;
            logs.push((path, file));
        }
        let history = paths.state.join("tests").join(".history");
        // The clone's disks belong to the run, not to the network's own session.
        let paths = match &place {
            Place::Clone(_) => Paths { state: out.join(".session"), ..paths },
            Place::Running(state) => Paths { state: state.clone(), ..paths },
        };
        Ok(Self { args, paths, session, place, out, label, stop, report: Report::default(), history, logs })
    }

    /// The whole of it; the exit status.
    ///
    /// # Errors
    /// When it could not begin, or not be ended in good order.
    pub(super) async fn run(&mut self, python: &Python, own: Option<String>) -> Outcome {
        let done = self.whole(python, own).await;
        let torn_down = self.tear_down().await;
        let status = match done {
            Ok(status) => status,
            Err(e) => {
                // What there is may tell why.
                let _ = self.finish();
                return Err(e);
            }
        };
        torn_down?;
        self.finish()?;
        Ok(status)
    }

    async fn whole(&mut self, python: &Python, own: Option<String>) -> Outcome {
        if self.args.coverage {
            // What cannot be reported need not be built.
            Tools::find()?;
        }
        let (client, model) = match self.place.clone() {
            Place::Running(_) => {
                let client = client::connect(&self.paths, Some(&self.session), "test").await?;
                let model = PathBuf::from(client.view().await?.model);
                (client, model)
            }
            Place::Clone(source) => {
                let model = source.path().to_path_buf();
                (self.launch(source, own.is_none() && self.args.then.is_none()).await?, model)
            }
        };
        let manifest = client.manifest().await?;
        let tools = self.coverage_tools(&manifest)?;
        let mut text = own.or_else(|| manifest.test_script.clone());
        if let Some(then) = &self.args.then {
            let last = fs::read_to_string(then).doing(then.display())?;
            text = Some(format!("{}\n{last}", text.unwrap_or_default()));
        }
        let text = text.ok_or_else(|| no_script(&model))?;
        let file = self.out.join("testScript.py");
        fs::write(&file, &text).doing(file.display())?;
        let order = Order {
            socket: client.socket().to_path_buf(),
            out_dir: self.out.clone(),
            session_state: self.paths.network_state(&self.session),
            attached: matches!(self.place, Place::Running(_)),
            script: text,
            // What was put together is in no file but ours.
            script_file: self.args.script.clone().filter(|_| self.args.then.is_none()).unwrap_or(file),
            patterns: self.args.patterns.clone(),
            keep_going: self.args.keep_going,
            command_timeout: self.args.command_timeout,
            quiet: self.args.quiet,
            interactive: self.args.interactive,
            history_file: self.history.clone(),
            keep: self.args.keep || matches!(self.place, Place::Running(_)),
        };
        let assets = crate::assets::dir(&self.paths.cache)?;
        let say = self.label.clone().map(|label| -> script::Say {
            Arc::new(move |line: &str| out::err(&format!("{label} | {}\n", printable(line))))
        });
        let run = Run::start(python, &assets.join("python"), &order, say).await?;
        let status = self.follow(run).await?;
        match tools {
            Some(tools) if status != 130 => Ok(self.cover(&client, &manifest, &tools, status).await),
            _ => Ok(status),
        }
    }

    /// What coverage reports are made with, when there is something to report.
    fn coverage_tools(&self, manifest: &Manifest) -> Result<Option<Tools>> {
        match coverage::wanted(manifest) {
            true => Tools::find().map(Some),
            false if self.args.coverage => Err(Error::usage("this model marks nothing to be measured").hint(
                "build a package with pkgs.addCoverageInstrumentation pkgs.stdenv, or set coverage.python.include \
                 or coverage.hooks (docs/guide/coverage.md)",
            )),
            false => Ok(None),
        }
    }

    /// Collects what the machines have counted. A test whose coverage cannot be had has not passed.
    async fn cover(&mut self, client: &Client, manifest: &Manifest, tools: &Tools, status: u8) -> u8 {
        if !self.args.quiet {
            self.say("collecting what the machines have counted");
        }
        let done = tokio::select! {
            done = coverage::collect(client, manifest, &self.out, tools) => done,
            () = self.stop.heard() => return 130,
        };
        match done {
            Ok(summary) => {
                for problem in &summary.problems {
                    self.say(&format!("warning: coverage: {problem}"));
                }
                self.say(&format!("coverage: {}", summary.line()));
                status
            }
            Err(e) => {
                self.say(e.context("coverage").print().trim_end());
                status.max(1)
            }
        }
    }

    async fn launch(&mut self, source: ModelSource, needs_script: bool) -> Result<Client> {
        let model = source.path().to_path_buf();
        remove(&self.paths.network_state(&self.session))?;
        let absolute = |p: &Path| std::path::absolute(p).doing(p.display());
        let options = StartOptions {
            session: self.session.clone(),
            source,
            state_dir: Some(self.paths.state.clone()),
            accel: self.args.accel.clone(),
            nixpkgs: self.args.nixpkgs.as_deref().map(absolute).transpose()?,
            // What was there is removed here, so that a script may put things there before its machines start.
            fresh: false,
            coverage: self.args.coverage,
            hold: true,
        };
        if client::launch(&self.paths, &options).await? == Launched::Running {
            return Err(Error::new(format!("session {} is there already; try again", self.session)));
        }
        let client = client::connect(&self.paths, Some(&self.session), "test").await?;
        let alone = self.label.is_none();
        let mut interrupts = common::interrupts()?;
        tokio::select! {
            started = plain::follow(&client, Until::Started, OnInterrupt::Down, &mut interrupts), if alone => started?,
            started = quietly(&client), if !alone => started?,
            missing = missing_script(&client, &model), if needs_script => return Err(missing),
            () = self.stop.heard(), if !alone => return Err(Error::interrupted()),
        }
        Ok(client)
    }

    /// Takes in what the script says until it ends, of itself or not.
    async fn follow(&mut self, mut run: Run) -> Outcome {
        let limit = self.args.limit();
        let mut deadline = (limit > 0).then(|| Instant::now() + Duration::from_secs(limit));
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
                    why = Some(format!("the test took longer than {limit} s"));
                    run.time_is_up();
                    deadline = Some(Instant::now() + Run::grace());
                }
                () = self.stop.heard() => {
                    if interrupted {
                        break;
                    }
                    interrupted = true;
                    why = Some("interrupted".into());
                    if self.label.is_none() {
                        out::err("\nstopping; ctrl-c once more does not wait for the script …\n");
                    }
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
            self.say(&format!("error: {}", printable(&why)));
        }
        Ok(match (interrupted, self.report.passed()) {
            (true, _) => 130,
            (false, true) => 0,
            (false, false) => 1,
        })
    }

    /// Says a line to the person.
    fn say(&self, line: &str) {
        let label = self.label.as_ref().map(|l| format!("{l} | ")).unwrap_or_default();
        out::err(&format!("{label}{line}\n"));
    }

    fn take(&mut self, event: &serde_json::Value) {
        self.report.take(event);
        for (path, file) in &mut self.logs {
            if let Err(e) = writeln!(file, "{event}") {
                out::err(&format!("warning: {}: {e}\n", path.display()));
            }
        }
    }

    /// Ends the run's clone, whoever is left of it.
    async fn tear_down(&mut self) -> Result<()> {
        if matches!(self.place, Place::Running(_)) {
            return Ok(());
        }
        // A daemon that died, or is dying just now, is replaced here, so that its machines are ended too.
        let client = match client::connect(&self.paths, Some(&self.session), "test").await {
            Ok(client) => client,
            Err(e) if e.kind == Kind::NotFound => return Ok(()),
            Err(e) => return Err(e),
        };
        if self.args.keep {
            let name = &self.session;
            out::err(&format!("the clone goes on: diorama attach -s {name}; diorama down -s {name}\n"));
            return Ok(());
        }
        down::end(&client, true, 0, &mut common::interrupts()?).await
    }

    /// Puts the consoles and the reports where people look for them, and removes what nobody needs.
    fn finish(&mut self) -> Result<()> {
        self.copy_consoles()?;
        if self.report.script.is_some() {
            let xml = script::junit(&self.report);
            let asked = self.args.junit.clone().filter(|_| self.label.is_none());
            for path in [Some(self.out.join("junit.xml")), asked].into_iter().flatten() {
                fs::write(&path, &xml).doing(path.display())?;
            }
            let asked = self.args.report.clone().filter(|_| self.label.is_none());
            for path in [Some(self.out.join(PAGE)), asked].into_iter().flatten() {
                script::write_page(&self.out.join(LOG), &path)?;
            }
        }
        if self.args.keep || matches!(self.place, Place::Running(_)) {
            return Ok(());
        }
        remove(&self.paths.state)
    }

    fn copy_consoles(&self) -> Result<()> {
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
        Ok(())
    }
}

/// Waits until a session's machines can be started, and says nothing.
async fn quietly(client: &Client) -> Result<()> {
    let mut views = client.subscribe().await?;
    loop {
        let phase = views.borrow_and_update().phase.clone();
        match phase {
            Phase::Running => return Ok(()),
            Phase::Failed { error } => return Err(plain::whole(&error)),
            _ => {}
        }
        if views.changed().await.is_err() {
            return Err(Error::new(client.ended().await));
        }
    }
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

pub(super) fn remove(dir: &Path) -> Result<()> {
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
