//! Several runs of one script, each in a clone of its own, some at once.
//!
//! The model is evaluated and built once; every run starts from the manifest that came of it. A run has
//! its own session (and with it sockets, disks and consoles) and its own directory `run-N`; what all of
//! them came to is in the directory above.
//!
//! Invariant: a stop reaches every run, and nothing is left of any when this returns.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::super::{Outcome, eval, out};
use super::one::{One, Place};
use super::stop::Stop;
use super::{Args, no_script, session_name};
use crate::error::{Error, Result, ResultExt};
use crate::model::Manifest;
use crate::nix::{Evaluator, Options};
use crate::paths::Paths;
use crate::proto::ModelSource;
use crate::script::coverage::{self, Tools};
use crate::script::{self, LOG, PAGE, Python, Report, Summary};

/// What came of one run.
struct Done {
    number: usize,
    status: u8,
    report: Report,
    dir: PathBuf,
    error: Option<Error>,
}

/// What every run needs.
pub(super) struct Many {
    pub(super) args: Arc<Args>,
    pub(super) paths: Paths,
    pub(super) network: String,
    pub(super) out: PathBuf,
    pub(super) python: Python,
    pub(super) own: Option<String>,
    pub(super) stop: Stop,
}

impl Many {
    /// Runs all; the exit status.
    ///
    /// # Errors
    /// When the model cannot be built, or the reports cannot be written.
    pub(super) async fn run(mut self, source: ModelSource) -> Outcome {
        fs::create_dir_all(&self.out).doing(self.out.display())?;
        let manifest = self.prepare(source).await?;
        let mut log = Vec::new();
        for path in [Some(self.out.join(LOG)), self.args.log.clone()].into_iter().flatten() {
            log.push(fs::File::create(&path).doing(path.display())?);
        }
        let total = self.args.repeat as usize;
        let jobs = (self.args.jobs as usize).clamp(1, total);
        let (mut running, mut next, mut done) = (JoinSet::new(), 1, Vec::new());
        while next <= total || !running.is_empty() {
            while next <= total && running.len() < jobs && !self.stop.was_said() {
                running.spawn(self.start(next, &manifest));
                next += 1;
            }
            let Some(ended) = running.join_next().await else { break };
            let ended = ended.map_err(|e| Error::new(format!("a run broke off: {e}")))?;
            out::line(&ended.line());
            for file in &mut log {
                append(file, ended.number, &ended.dir.join(LOG))?;
            }
            done.push(ended);
        }
        done.sort_by_key(|d| d.number);
        self.reports(&done, total)?;
        self.cover(&done).await?;
        let interrupted = self.stop.was_said();
        Ok(match done.iter().all(|d| d.status == 0) {
            _ if interrupted => 130,
            true => 0,
            false => 1,
        })
    }

    /// Adds up what the runs have covered.
    async fn cover(&self, done: &[Done]) -> Result<()> {
        let covered = |d: &&Done| d.dir.join(coverage::DIRECTORY).join("summary.json").is_file();
        let dirs: Vec<PathBuf> = done.iter().filter(covered).map(|d| d.dir.clone()).collect();
        if dirs.is_empty() {
            return Ok(());
        }
        let sum = coverage::merge(&dirs, &self.out.join(coverage::DIRECTORY), &Tools::find()?).await?;
        out::err(&format!("coverage of all runs: {}\n", sum.line()));
        Ok(())
    }

    /// Evaluates and builds the model once.
    async fn prepare(&mut self, source: ModelSource) -> Result<PathBuf> {
        let ModelSource::Model(model) = source else { return Ok(source.path().to_path_buf()) };
        let cancel = CancellationToken::new();
        let assets = crate::assets::dir(&self.paths.cache)?;
        let nixpkgs = self.args.nixpkgs.as_deref().map(|p| fs::canonicalize(p).doing(p.display()));
        let options = Options {
            name: Some(self.network.clone()),
            nixpkgs: nixpkgs.transpose()?.map(|p| p.display().to_string()),
            coverage: self.args.coverage,
            ..Options::new(self.paths.clone(), assets)
        };
        let evaluator = Evaluator::new(options);
        let quiet = self.args.quiet;
        let needs_script = self.own.is_none() && self.args.then.is_none();
        let work = async {
            let mut say = |p| eval::say(&p, quiet);
            let evaluation = evaluator.evaluate(&model, &mut say, &cancel).await?;
            if needs_script && evaluation.manifest.test_script.is_none() {
                return Err(no_script(&model));
            }
            evaluator.realise(&evaluation, &mut say, &cancel).await?;
            Ok::<Manifest, Error>(evaluation.manifest)
        };
        tokio::pin!(work);
        let manifest = tokio::select! {
            manifest = &mut work => manifest?,
            () = self.stop.heard() => {
                // It ends once the processes that it started have.
                cancel.cancel();
                let _ = work.await;
                return Err(Error::interrupted());
            }
        };
        let path = self.out.join("manifest.json");
        fs::write(&path, serde_json::to_vec(&manifest)?).doing(path.display())?;
        Ok(path)
    }

    fn start(&self, number: usize, manifest: &Path) -> impl Future<Output = Done> + Send + 'static {
        let (args, paths, stop) = (self.args.clone(), self.paths.clone(), self.stop.clone());
        let (python, own) = (self.python.clone(), self.own.clone());
        let width = self.args.repeat.to_string().len();
        let dir = self.out.join(format!("run-{number:0width$}"));
        let session = session_name(&self.network, number);
        let place = Place::Clone(ModelSource::Manifest(manifest.to_owned()));
        let label = Some(format!("{number:>width$}"));
        async move {
            let made = One::new(args, paths, session, place, dir.clone(), label, stop);
            let mut one = match made {
                Ok(one) => one,
                Err(e) => {
                    let report = Report::default();
                    return Done { number, status: e.status(), report, dir, error: Some(e) };
                }
            };
            let ended = one.run(&python, own).await;
            let (status, error) = match ended {
                Ok(status) => (status, None),
                Err(e) => (e.status(), Some(e)),
            };
            if let Some(e) = &error {
                one.report.finish(Some(&e.message));
            }
            Done { number, status, report: one.report, dir, error }
        }
    }

    /// The sum of all runs: JUnit, a page, and a line.
    fn reports(&self, done: &[Done], total: usize) -> Result<()> {
        let xml = script::junit_of_all(done.iter().map(|d| (format!("run {}", d.number), &d.report)));
        for path in [Some(self.out.join("junit.xml")), self.args.junit.clone()].into_iter().flatten() {
            fs::write(&path, &xml).doing(path.display())?;
        }
        let failed: Vec<String> =
            done.iter().filter(|d| d.status != 0).map(|d| d.number.to_string()).collect();
        let mut line = format!("{} of {total} runs passed", done.len() - failed.len());
        if !failed.is_empty() {
            line.push_str(&format!("; FAILED: {}", failed.join(", ")));
        }
        if done.len() < total {
            line.push_str(&format!("; {} did not begin", total - done.len()));
        }
        let runs: Vec<Summary> = done.iter().map(Done::summary).collect();
        let html = script::summary_page(&self.network, &line, &runs);
        for path in [Some(self.out.join(PAGE)), self.args.report.clone()].into_iter().flatten() {
            fs::write(&path, &html).doing(path.display())?;
        }
        out::line(&line);
        out::err(&format!("what they left is in {}\n", self.out.display()));
        Ok(())
    }
}

impl Done {
    fn line(&self) -> String {
        match &self.error {
            Some(e) => format!("run {}: {}", self.number, crate::error::printable(&e.message)),
            None => format!("run {}: {}", self.number, self.report.summary()),
        }
    }

    fn summary(&self) -> Summary {
        let script = self.report.script.as_ref();
        let dir = self.dir.file_name().unwrap_or_default().to_string_lossy();
        Summary {
            name: format!("run {}", self.number),
            outcome: if self.status == 0 {
                script::Outcome::Passed
            } else {
                script.map_or(script::Outcome::Error, |s| match s.outcome {
                    script::Outcome::Passed => script::Outcome::Failed,
                    other => other,
                })
            },
            line: self.report.summary(),
            message: script.and_then(|s| s.message.clone()),
            page: format!("{dir}/{PAGE}"),
        }
    }
}

/// Puts a run's events into the log of all, each with the run's number.
fn append(file: &mut fs::File, number: usize, log: &Path) -> Result<()> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for line in text.lines() {
        // Each line is an object: the number goes first into it.
        if let Some(rest) = line.strip_prefix('{') {
            out.push_str(&format!("{{\"run\":{number},{rest}\n"));
        }
    }
    file.write_all(out.as_bytes()).doing("the log of all runs")
}
