//! Evaluating models and building what they need: the edge to Nix.
//!
//! ```text
//! model ─▶ evaluate ─▶ packages missing? ─▶ apt ─▶ lock ─┐
//!             ▲                                          │
//!             └──────────────────────────────────────────┘
//!          manifest ─▶ realise (only what is not there) ─▶ machines can boot
//! ```
//!
//! `log`, `progress` and `failure` are pure; `run` runs Nix's programs, and this file strings them
//! together. A model whose name ends in `.json` is a manifest and needs no Nix.
//!
//! Invariant: a lock and a record of what was built are written beside and renamed; an interrupted
//! run leaves the previous one.

mod check;
mod environment;
mod error;
mod failure;
pub mod flake;
mod log;
mod packages;
mod progress;
mod realise;
mod run;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::files;
use crate::model::{self, Manifest};
use crate::paths::Paths;
use crate::secrets::{self, Texts};
use flake::Flake;

pub use check::files as check_files;
pub use environment::{BUILD_GROUP, Store, build_users};
pub use error::NixError;
pub use log::{LogEvent, Message, plain};
pub use packages::lock_path;
pub use progress::{Level, Progress, Tally};

/// What an [`Evaluator`] needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program's directories.
    pub paths: Paths,
    /// The directory of the program's own files ([`crate::assets::dir`]).
    pub assets: PathBuf,
    /// A name for the network instead of the model's own.
    pub name: Option<String>,
    /// nixpkgs, for the `nixos` guest system: a path, or a word for Nix' search path in `<>`.
    pub nixpkgs: Option<String>,
    /// Show the whole trace of an evaluation error.
    pub show_trace: bool,
    /// Take the newest packages instead of those in the lock.
    pub update: bool,
    /// The infrastructure model, for [`Evaluator::production`].
    pub infrastructure: Option<PathBuf>,
    /// The distribution model, which machine of the infrastructure each node goes to.
    pub distribution: Option<PathBuf>,
    /// Instrument the packages that the model marks for coverage.
    pub coverage: bool,
    /// The node whose bootable disk is wanted, for [`Evaluator::production`].
    pub image: Option<String>,
    /// Builds and downloads at once.
    pub max_build: usize,
}

impl Options {
    /// The usual ones.
    pub fn new(paths: Paths, assets: PathBuf) -> Self {
        Self {
            paths,
            assets,
            name: None,
            nixpkgs: None,
            show_trace: false,
            update: false,
            infrastructure: None,
            distribution: None,
            coverage: false,
            image: None,
            max_build: realise::JOBS,
        }
    }
}

/// A model, evaluated.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Evaluation {
    /// The model's file.
    pub model: PathBuf,
    /// The guest system, and why it is used.
    pub system: System,
    /// The network.
    pub manifest: Manifest,
    /// The derivations that every node needs; empty for a manifest written by hand.
    pub realise: BTreeMap<String, Vec<String>>,
    /// The lock file, when the model has one.
    pub lock: Option<PathBuf>,
    /// The secrets that the model has as text.
    #[serde(skip)]
    pub texts: Texts,
}

/// A guest system, and why it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// `debian`, `nixos`, or `manifest` when there was nothing to choose.
    pub name: String,
    /// Why this one, in a few words.
    pub why: String,
}

/// What `eval.nix` answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    version: u32,
    system: System,
    missing_packages: Vec<Vec<String>>,
    manifest: Option<serde_json::Value>,
    /// Where the systems go; only when they are evaluated for production.
    #[serde(default)]
    deployment: Option<serde_json::Value>,
    /// deploy-rs' nodes in a flake, which say the same.
    #[serde(default)]
    deploy_rs: Option<serde_json::Value>,
    /// Whether the systems were evaluated elsewhere.
    #[serde(default)]
    ready: bool,
    realise: BTreeMap<String, Vec<String>>,
    /// Secrets, which go no further than to [`Evaluation::texts`] and [`Production::texts`].
    #[serde(default)]
    secrets: Texts,
    #[serde(default)]
    images: BTreeMap<String, Image>,
}

/// What is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Machines that run here.
    Clone,
    /// Systems for hosts.
    Production,
}

/// A model, evaluated for production.
#[derive(Debug, Clone)]
pub struct Production {
    /// The model's file.
    pub model: PathBuf,
    /// The guest system, and why it is used.
    pub system: System,
    /// The hosts.
    pub hosts: Hosts,
    /// Whether the systems were evaluated elsewhere, so that no clone can be made of them.
    pub ready: bool,
    /// The derivations that every node needs.
    pub realise: BTreeMap<String, Vec<String>>,
    /// The network's name.
    pub network: String,
    /// The disks that were asked for, by node.
    pub images: BTreeMap<String, Image>,
    /// The secrets that the model has as text.
    pub texts: Texts,
}

/// Who has said where systems go, as JSON.
#[derive(Debug, Clone)]
pub enum Hosts {
    /// The program's own Nix side: a deployment.
    Ours(serde_json::Value),
    /// A flake for deploy-rs: nodes, whose profiles have to be built before it is seen what is in them.
    DeployRs(serde_json::Value),
}

/// A host's bootable disk.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Image {
    /// The image, qcow2, once it is built.
    pub path: PathBuf,
    /// The derivations that make it.
    pub realise: Vec<String>,
}

/// Evaluates models and realises what they need.
#[derive(Debug, Clone)]
pub struct Evaluator {
    options: Options,
    store: Store,
}

impl Evaluator {
    /// Looks at the machine's Nix; runs nothing yet.
    pub fn new(options: Options) -> Self {
        let store = Store::find(&options.paths.data);
        Self { options, store }
    }

    /// Sets how many builds and downloads go on at once.
    pub fn at_once(mut self, max_build: usize) -> Self {
        self.options.max_build = max_build;
        self
    }

    /// The infrastructure model and the distribution model that are used.
    pub fn places(&self) -> (Option<PathBuf>, Option<PathBuf>) {
        (self.options.infrastructure.clone(), self.options.distribution.clone())
    }

    /// The store that is used.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Evaluates a model, resolving the packages that its lock does not cover yet.
    ///
    /// # Errors
    /// When the model or the manifest is wrong, Nix or apt fails, or the token is cancelled.
    pub async fn evaluate(
        &self,
        model: &Path,
        progress: &mut (dyn FnMut(Progress) + Send),
        cancel: &CancellationToken,
    ) -> Result<Evaluation, NixError> {
        let model = self.file(model)?;
        if model.extension().is_some_and(|e| e == "json") {
            return read_manifest(&model);
        }
        let answer = self.answer(&model, Purpose::Clone, progress, cancel).await?;
        let Some(manifest) = answer.manifest else {
            return Err(self.wrong(&model, "the evaluation gave no manifest".into()));
        };
        let mut manifest = model::parse(&manifest.to_string())
            .map_err(|list| NixError::Manifest { model: model.clone(), list })?;
        secrets::resolve(manifest.keys(), &model);
        let lock = Some(lock_path(&model)).filter(|l| l.is_file());
        let Answer { system, realise, secrets: texts, .. } = answer;
        Ok(Evaluation { model, system, manifest, realise, lock, texts })
    }

    /// Evaluates a model for production: the systems without what only a clone has, and where they go.
    ///
    /// # Errors
    /// As [`Evaluator::evaluate`].
    pub async fn production(
        &self,
        model: &Path,
        progress: &mut (dyn FnMut(Progress) + Send),
        cancel: &CancellationToken,
    ) -> Result<Production, NixError> {
        let model = self.file(model)?;
        let answer = self.answer(&model, Purpose::Production, progress, cancel).await?;
        let Answer { system, realise, images, deployment, deploy_rs, ready, secrets: texts, .. } = answer;
        let named = deployment.as_ref().and_then(|d| d["network"]["name"].as_str()).map(str::to_owned);
        let network = named.or_else(|| self.options.name.clone()).unwrap_or_else(|| "network".into());
        let hosts = match (deployment, deploy_rs) {
            (Some(deployment), _) => Hosts::Ours(deployment),
            (None, Some(nodes)) => Hosts::DeployRs(nodes),
            (None, None) => return Err(self.wrong(&model, "the evaluation gave no deployment".into())),
        };
        Ok(Production { model, system, hosts, ready, realise, network, images, texts })
    }

    fn file(&self, model: &Path) -> Result<PathBuf, NixError> {
        let model = std::path::absolute(model).map_err(|e| NixError::io(model.display().to_string(), e))?;
        let file = flake::file(&model);
        fs::metadata(&file).map_err(|e| NixError::io(format!("the model {}", file.display()), e))?;
        Ok(model)
    }

    /// Asks until every package is known.
    async fn answer(
        &self,
        model: &Path,
        purpose: Purpose,
        progress: &mut (dyn FnMut(Progress) + Send),
        cancel: &CancellationToken,
    ) -> Result<Answer, NixError> {
        let lock = lock_path(model);
        let mut update = self.options.update;
        for _ in 0..4 {
            progress(Progress::Evaluating);
            let mut answer = self.ask(model, &lock, purpose, progress, cancel).await?;
            if answer.missing_packages.is_empty() && !update {
                return Ok(answer);
            }
            let missing = std::mem::take(&mut answer.missing_packages);
            self.resolve(missing, &lock, update, progress, cancel).await?;
            update = false;
        }
        Err(self.wrong(model, "its packages do not come to an end: each evaluation asks for more".into()))
    }

    fn wrong(&self, model: &Path, cause: String) -> NixError {
        NixError::Model { model: model.into(), cause, log: Some(self.log_path(model)) }
    }

    async fn ask(
        &self,
        model: &Path,
        lock: &Path,
        purpose: Purpose,
        progress: &mut (dyn FnMut(Progress) + Send),
        cancel: &CancellationToken,
    ) -> Result<Answer, NixError> {
        let bundled = self.options.nixpkgs.is_none();
        let mut args: Vec<std::ffi::OsString> =
            ["--eval", "--strict", "--json", "--read-write-mode", "--log-format", "internal-json"]
                .map(Into::into)
                .into();
        args.push(self.options.assets.join("nix/eval.nix").into());
        let mut arg = |kind: &str, name: &str, value: &std::ffi::OsStr| {
            args.extend([kind.into(), name.into(), value.to_owned()]);
        };
        let flake = Flake::of(model);
        arg("--argstr", "model", flake::file(model).as_os_str());
        if let Some(flake) = &flake {
            arg("--argstr", "flake", flake.reference().as_ref());
            if let Some(output) = &flake.output {
                arg("--argstr", "output", output.as_ref());
            }
        }
        if let Some(name) = &self.options.name {
            arg("--argstr", "name", name.as_ref());
        }
        if purpose == Purpose::Production {
            arg("--arg", "clone", "false".as_ref());
            if let Some(file) = &self.options.infrastructure {
                arg("--arg", "infrastructure", file.as_os_str());
            }
            if let Some(file) = &self.options.distribution {
                arg("--arg", "distribution", file.as_os_str());
            }
            if let Some(node) = self.options.image.as_deref().filter(|n| model::is_name(n)) {
                arg("--arg", "image", format!("[ \"{node}\" ]").as_ref());
            }
        }
        match &self.options.nixpkgs {
            Some(path) if path.starts_with('<') => arg("--arg", "nixpkgs", path.as_ref()),
            Some(path) => arg("--argstr", "nixpkgs", path.as_ref()),
            None => {
                if self.options.coverage {
                    arg("--arg", "coverage", "true".as_ref());
                }
                if lock.is_file() {
                    arg("--argstr", "lock", lock.as_os_str());
                }
                arg("--arg", "mirrors", self.mirrors().await?.as_ref());
            }
        }
        if flake.is_some() {
            args.extend(["--extra-experimental-features".into(), "flakes".into()]);
        }
        let log_path = self.log_path(model);
        let mut log_file = run::open_log(&log_path);
        let mut trace = self.options.show_trace;
        loop {
            let mut args = args.clone();
            if trace {
                args.push("--show-trace".into());
            }
            let mut messages = Vec::new();
            let run = run::Run { program: "nix-instantiate", args, store: &self.store, bundled, cancel };
            let mut each = |event| {
                if let LogEvent::Message(m) = event {
                    // Errors are shown once, at the end; what the model traces is shown as it comes.
                    if m.level > 0 || m.text.starts_with("trace:") {
                        report(progress, &m);
                    }
                    messages.push(m);
                }
            };
            let (status, answer) = run.go(log_file.as_mut(), &mut each).await?;
            let ours = &self.options.assets;
            if status.success() {
                return serde_json::from_slice::<Answer>(&answer)
                    .map_err(|e| self.wrong(model, format!("the evaluation's answer is not understood: {e}")))
                    .and_then(|a| match a.version {
                        1 => Ok(a),
                        v => {
                            Err(self.wrong(model, format!("the evaluation's answer has version {v}, not 1")))
                        }
                    });
            }
            if !trace && failure::wants_trace(&messages, ours) {
                // Only a trace tells which line of the model led into the program's own files.
                trace = true;
                continue;
            }
            let cause = match std::os::unix::process::ExitStatusExt::signal(&status) {
                Some(11 | 6) => {
                    "Nix ran out of stack: the definitions go round in a circle, or are nested endlessly"
                        .into()
                }
                Some(s) => format!("Nix was killed by signal {s}"),
                None => failure::evaluation(&messages, ours, self.options.show_trace),
            };
            let cause = match flake {
                Some(flake) => flake.explain(&cause),
                None => cause,
            };
            return Err(NixError::Model { model: model.into(), cause, log: Some(log_path) });
        }
    }

    /// Where everything is kept that Nix says about a model.
    fn log_path(&self, model: &Path) -> PathBuf {
        let stem =
            model.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        self.options.paths.state.join("logs").join(format!("{stem}-{}.log", hash(model.as_os_str())))
    }
}

/// Reads a manifest written by hand and checks it against the disk.
fn read_manifest(path: &Path) -> Result<Evaluation, NixError> {
    let text =
        fs::read_to_string(path).map_err(|e| NixError::io(format!("the manifest {}", path.display()), e))?;
    let wrong = |list| NixError::Manifest { model: path.into(), list };
    let mut manifest = model::parse(&text).map_err(wrong)?;
    secrets::resolve(manifest.keys(), path);
    let list = check::files(&manifest);
    if !list.is_empty() {
        return Err(wrong(list));
    }
    Ok(Evaluation {
        model: path.into(),
        system: System { name: "manifest".into(), why: "the model is a manifest".into() },
        manifest,
        realise: BTreeMap::new(),
        lock: None,
        texts: Texts::default(),
    })
}

fn report(progress: &mut (dyn FnMut(Progress) + Send), m: &Message) {
    let level = match m.level {
        0 => Level::Info,
        1 => Level::Warning,
        2 | 3 => Level::Info,
        _ => Level::Detail,
    };
    // The group is the business of `doctor` and `setup`, and an evaluation builds nothing.
    if !m.text.contains("specified in 'build-users-group' does not exist") && !m.text.trim().is_empty() {
        progress(Progress::Message { level, text: m.text.trim_end().to_owned() });
    }
}

fn hash(text: &std::ffi::OsStr) -> String {
    Sha256::digest(text.as_encoded_bytes()).iter().take(4).map(|b| format!("{b:02x}")).collect()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NixError> + Send + 'static,
) -> Result<T, NixError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(NixError::io("a task of the program", io::Error::other(e))))
}

fn replace(path: &Path, text: &str, mode: u32) -> Result<(), NixError> {
    files::replace(path, text.as_bytes(), mode)
        .map_err(|e| NixError::io(format!("writing {}", path.display()), e))
}

#[cfg(test)]
mod tests;
