//! `diorama up`: from a model to a running, visible network.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use tokio::signal::unix::Signal;
use tokio_util::sync::CancellationToken;

use super::plain::{self, OnInterrupt, Until};
use super::{Global, Outcome, common, models, out};
use crate::client::{self, Client, Launched};
use crate::error::{Error, Result, ResultExt};
use crate::model::Manifest;
use crate::nix::{Evaluator, Options};
use crate::paths::Paths;
use crate::proto::{StartOptions, WAS_SHUT_DOWN};
use crate::tui;

const EXAMPLES: &str = concat!(
    models::model_help!(),
    "

When standard output is no terminal, progress and console lines are printed; ctrl-c shuts the
machines down, and once more cuts their power. Leaving the screen with detach, or closing the
terminal, leaves the session running.

Examples:
  diorama up                         the model of this directory
  diorama up --yes                   install what is missing first
  diorama up -d --wait shop.nix      in the background; return when every machine is up
  diorama up --fresh                 forget what the machines wrote to their disks
  diorama up --name b shop.nix       a second session of the same model
  diorama up manifest.json           no Nix needed"
);

/// Evaluate, build and boot a model's machines, and open the screen.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The model or manifest.
    model: Option<PathBuf>,
    /// Start in the background.
    #[arg(short, long)]
    detach: bool,
    /// Return only when every machine is up.
    #[arg(long, requires = "detach")]
    wait: bool,
    /// The session's name; by default the model's.
    #[arg(long)]
    name: Option<String>,
    /// Throw the machines' state disks away first.
    #[arg(long)]
    fresh: bool,
    /// Execute guest code with this accelerator instead of the one that a probe finds to work.
    #[arg(long, value_parser = ["kvm", "tcg"])]
    accel: Option<String>,
    /// Evaluate the model as NixOS, with this nixpkgs.
    #[arg(long, value_name = "PATH")]
    nixpkgs: Option<PathBuf>,
    /// Install what is missing without asking.
    #[arg(short, long)]
    yes: bool,
    /// Print progress and console lines instead of the full screen.
    #[arg(long, alias = "headless")]
    no_tui: bool,
    /// Let nothing be deployed from the screen, nor a terminal be opened on a host.
    #[arg(long)]
    readonly: bool,
}

pub(super) async fn run(args: Args, global: &Global) -> Outcome {
    let paths = common::paths(global)?;
    if args.yes {
        super::setup::ensure(&paths, true).await?;
    }
    let named = args.name.as_deref().or(global.session.as_deref()).map(common::session_name).transpose()?;
    let source = models::find(args.model.as_deref(), &paths)?.source();
    let name = match named {
        Some(name) => name,
        None => models::default_name(&source)?,
    };
    let absolute = |p: &Path| std::path::absolute(p).doing(p.display());
    let options = StartOptions {
        session: name.clone(),
        source,
        // Whoever takes it over may have another environment.
        state_dir: Some(absolute(&paths.state)?),
        accel: args.accel,
        nixpkgs: args.nixpkgs.as_deref().map(absolute).transpose()?,
        fresh: args.fresh,
        coverage: false,
        hold: false,
    };
    // From here on ctrl-c ends what was begun.
    let mut interrupts = common::interrupts()?;
    let launched = client::launch(&paths, &options).await?;
    let client = client::connect(&paths, Some(&name), "up").await?;
    if launched == Launched::Running {
        already_running(&client, &options, &paths).await?;
    }
    if args.detach {
        let until = if args.wait { Until::Up } else { Until::Started };
        plain::follow(&client, until, OnInterrupt::Down, &mut interrupts).await?;
        out::line(&format!("session {name} runs in the background: diorama attach -s {name}"));
        return Ok(0);
    }
    show(client, args.no_tui, args.readonly, OnInterrupt::Down, interrupts).await
}

async fn already_running(client: &Client, options: &StartOptions, paths: &Paths) -> Result<()> {
    let view = client.view().await?;
    let wanted = options.source.path().display().to_string();
    if view.model != wanted {
        return Err(Error::new(format!("session {} runs another model, {}", view.session, view.model))
            .hint(format!("diorama up --name OTHER {wanted} starts a second session"))
            .hint(format!("diorama down -s {} ends the one that runs", view.session)));
    }
    out::err(&format!("session {} is running already; attached to it\n", view.session));
    // A session that still evaluates has the model as it is.
    let Ok(running) = client.manifest().await else { return Ok(()) };
    let evaluator = Evaluator::new(Options {
        name: Some(options.session.clone()),
        nixpkgs: options.nixpkgs.as_ref().map(|p| p.display().to_string()),
        ..Options::new(paths.clone(), crate::assets::dir(&paths.cache)?)
    });
    let now = evaluator.evaluate(options.source.path(), &mut |_| {}, &CancellationToken::new()).await;
    let told = match now {
        Ok(evaluation) => match changed(&running, &evaluation.manifest) {
            changed if changed.is_empty() => return Ok(()),
            changed => format!("has changed since it started: {}", changed.join(", ")),
        },
        Err(e) => format!("cannot be evaluated any more: {e}"),
    };
    out::err(&format!(
        "warning: the model {told}\nhint: the machines stay as they are; diorama down and diorama up boot the new ones\n"
    ));
    Ok(())
}

/// The nodes that are not the same in two evaluations of a model, each with what became of it.
fn changed(running: &Manifest, now: &Manifest) -> Vec<String> {
    let names: BTreeSet<&String> = running.nodes.keys().chain(now.nodes.keys()).collect();
    let word = |name: &String| match (running.nodes.get(name), now.nodes.get(name)) {
        (Some(old), Some(new)) => (old != new).then(|| name.clone()),
        (None, _) => Some(format!("{name} (new)")),
        (_, None) => Some(format!("{name} (gone)")),
    };
    names.into_iter().filter_map(word).collect()
}

/// Shows a session: the screen on a terminal, else lines.
pub(super) async fn show(
    client: Client,
    no_tui: bool,
    readonly: bool,
    on_interrupt: OnInterrupt,
    mut interrupts: Signal,
) -> Outcome {
    if no_tui || !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        plain::follow(&client, Until::End, on_interrupt, &mut interrupts).await?;
        return Ok(0);
    }
    let session = client.session();
    let view = client.view().await?;
    let mut config = crate::config::Config::load(Path::new(&view.model).parent())?;
    config.deploy.readonly |= readonly;
    match tui::run(client, tui::TuiOptions::from_env(config)).await? {
        tui::Leave::Detached => {
            out::err(&format!("session {session} goes on: diorama attach -s {session}, or diorama down\n"));
            Ok(0)
        }
        tui::Leave::ShutDown(None) => Ok(0),
        tui::Leave::ShutDown(Some(reason)) if reason == WAS_SHUT_DOWN => Ok(0),
        tui::Leave::ShutDown(Some(reason)) => Err(plain::whole(&reason)),
    }
}
