//! From a model or a manifest to machines that can be started, with progress told on the way.
//!
//! Invariant: cancelling the token ends every process that was started; the task ends after them.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::driver::{Events, Msg};
use super::{Context, checks, keys, log};
use crate::error::{Error, Result, ResultExt};
use crate::files;
use crate::model::Manifest;
use crate::nix::{self, Evaluator, NixError, Options, Progress};
use crate::proto::{Level, NodeState};
use crate::qemu::{NodeConfig, run_script};
use crate::session::Event;

/// Prepares the session and tells what came of it.
pub(super) async fn run(context: Arc<Context>, events: Events, cancel: CancellationToken) {
    let event = match prepare(&context, &events, &cancel).await {
        Ok(()) => Event::Ready,
        // Whoever cancelled it knows.
        Err(_) if cancel.is_cancelled() => return,
        Err(e) => {
            let hints: Vec<String> = e.hints.iter().map(|h| format!("\nhint: {h}")).collect();
            Event::PrepareFailed { error: format!("{}{}", e.message, hints.concat()) }
        }
    };
    tell(&events, event);
}

fn tell(events: &Events, event: Event) {
    // The driver goes away only when the daemon ends.
    let _ = events.send(Msg::Event(event));
}

async fn prepare(context: &Arc<Context>, events: &Events, cancel: &CancellationToken) -> Result<()> {
    // What cannot run needs no building.
    let machinery = AbortOnDropHandle::new(tokio::spawn(super::machinery::find(context.clone())));
    let assets = crate::assets::dir(&context.paths.cache)?;
    let options = Options {
        name: Some(context.options.session.clone()),
        nixpkgs: context.options.nixpkgs.as_ref().map(|p| p.display().to_string()),
        coverage: context.options.coverage,
        ..Options::new(context.paths.clone(), assets)
    };
    let evaluator = Evaluator::new(options);
    let mut report = |progress: Progress| progressed(events, progress);
    let model = context.options.source.path();
    let evaluation = evaluator.evaluate(model, &mut report, cancel).await?;
    let manifest = evaluation.manifest.clone();
    let system_why = format!("{}: {}", evaluation.system.name, evaluation.system.why);
    tell(events, Event::Evaluated { manifest: Box::new(manifest.clone()), system_why });
    // Before anything is built: a secret that cannot be had stops the start.
    let read = keys::prepare(&manifest, &evaluation.texts, &evaluation.model, &context.files);
    let notes = tokio::select! {
        notes = read => notes?,
        () = cancel.cancelled() => return Err(NixError::Cancelled.into()),
    };
    for text in notes {
        tell(events, Event::Note { level: Level::Warning, text });
    }
    let machinery = machinery.await.map_err(|e| Error::new(e.to_string()))??;
    tell(events, Event::Accelerator(machinery.accelerator()));
    let state = context.paths.network_state(&context.options.session);
    tokio::fs::create_dir_all(&state).await.doing(state.display())?;
    for text in checks::resources(&manifest, &state)? {
        tell(events, Event::Note { level: Level::Warning, text });
    }
    tell(events, Event::Preparing { what: "building what is not there yet".into() });
    evaluator.realise(&evaluation, &mut report, cancel).await?;
    if cancel.is_cancelled() {
        return Err(NixError::Cancelled.into());
    }
    check_files(&manifest)?;
    write_run_scripts(context, &manifest, &machinery)
}

fn check_files(manifest: &Manifest) -> Result<()> {
    let problems = nix::check_files(manifest);
    if problems.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = problems.iter().map(|p| format!("\n  {p}")).collect();
    Err(Error::new(format!("the manifest and the files on this machine do not agree:{}", lines.concat()))
        .hint("evaluate and build the model again, or correct the manifest"))
}

/// Writes for every node the script that boots it by hand.
fn write_run_scripts(
    context: &Context,
    manifest: &Manifest,
    found: &super::machinery::Machinery,
) -> Result<()> {
    for name in manifest.nodes.keys() {
        let Some(config) = NodeConfig::of(manifest, name) else { continue };
        let paths = context.paths.node(&context.options.session, name);
        let text = run_script(&config, &paths, found.choice.accel, &found.qemu);
        let path = paths.run_script();
        files::replace(&path, text.as_bytes(), 0o755).doing(path.display())?;
    }
    Ok(())
}

fn progressed(events: &Events, progress: Progress) {
    let percent = |done: u64, total: u64| {
        (total > 0).then(|| u8::try_from((done.saturating_mul(100) / total).min(100)).unwrap_or(100))
    };
    let building =
        |node, progress, doing| Event::Progress { node, state: NodeState::Building, progress, doing };
    tell(
        events,
        match progress {
            Progress::Evaluating => Event::Preparing { what: String::new() },
            Progress::Resolving { packages } => {
                Event::Preparing { what: format!("looking up {packages} Debian packages for the lock file") }
            }
            Progress::Fetching { node, done, total } => {
                let mib = |bytes: u64| bytes.div_ceil(1 << 20);
                building(node, percent(done, total), format!("fetching {} of {} MiB", mib(done), mib(total)))
            }
            Progress::Building { node, name, done, total } => {
                let pair = (u64::try_from(done).unwrap_or(0), u64::try_from(total).unwrap_or(0));
                building(node, percent(pair.0, pair.1), format!("building {name} ({done} of {total})"))
            }
            Progress::Done { node } => {
                Event::Progress { node, state: NodeState::Built, progress: Some(100), doing: String::new() }
            }
            Progress::Message { level, text } => {
                let level = match level {
                    nix::Level::Detail => return log::line(&text),
                    nix::Level::Info => Level::Info,
                    nix::Level::Warning => Level::Warning,
                    nix::Level::Error => Level::Error,
                };
                Event::Note { level, text }
            }
        },
    );
}
