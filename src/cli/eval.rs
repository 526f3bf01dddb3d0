//! `diorama eval`: a model's manifest. What `build` shares with it is here, too.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::{Global, Outcome, models, out};
use crate::assets;
use crate::error::{Result, ResultExt};
use crate::nix::{Evaluation, Evaluator, Level, Options, Progress};
use crate::paths::Paths;

const EXAMPLES: &str = concat!(
    models::model_help!(),
    "

Packages that the model's lock file (MODEL.lock.json) does not cover yet are looked up among this
machine's apt sources and added to it.

Examples:
  diorama eval                       the manifest of this directory's model
  diorama eval --summary shop.nix    its machines, one a line
  diorama eval --update shop.nix     take the newest packages into the lock file
  diorama eval --show-trace bad.nix  the whole way to an error
  diorama eval shop.nix > shop.json && diorama up shop.json"
);

/// Evaluate a model and print its manifest.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Print the machines, one a line, instead of the manifest.
    #[arg(long)]
    summary: bool,
}

/// How a model is named and read.
#[derive(Debug, Clone, clap::Args)]
pub struct ModelArgs {
    /// The model or manifest.
    model: Option<PathBuf>,
    /// The network's name, instead of the model's own.
    #[arg(long)]
    name: Option<String>,
    /// Evaluate the model as NixOS, with this nixpkgs (a path, or a search path entry in `<>`).
    #[arg(long, value_name = "PATH")]
    nixpkgs: Option<String>,
    /// Show the whole trace of an error.
    #[arg(long)]
    show_trace: bool,
    /// Take the newest packages into the lock file.
    #[arg(long)]
    update: bool,
    /// Say nothing but errors.
    #[arg(short, long)]
    quiet: bool,
}

impl ModelArgs {
    /// Whether nothing but errors is to be said.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }
}

pub(super) async fn run(args: &Args, global: &Global) -> Outcome {
    let cancel = cancelled_by_ctrl_c();
    let (_, evaluation) = evaluate(&args.model, global, &cancel).await?;
    if args.summary {
        out::print(&summary(&evaluation));
    } else {
        out::json(&evaluation.manifest)?;
    }
    Ok(0)
}

/// Evaluates what the command line names.
pub(super) async fn evaluate(
    args: &ModelArgs,
    global: &Global,
    cancel: &CancellationToken,
) -> Result<(Evaluator, Evaluation)> {
    let paths = Paths::from_env(global.state_dir.as_deref()).map_err(anyhow::Error::from)?;
    let assets = assets::dir(&paths.cache)?;
    let model = models::find(args.model.as_deref(), &paths)?.path;
    let nixpkgs = match &args.nixpkgs {
        Some(path) if !path.starts_with('<') => {
            let path = std::fs::canonicalize(path).doing(format!("nixpkgs {path}"))?;
            Some(path.to_string_lossy().into_owned())
        }
        other => other.clone(),
    };
    // The same name as in `up`, so that what is built here is found there.
    let name = args.name.clone().or_else(|| global.session.clone());
    let name = name.unwrap_or_else(|| models::name_from_file(&model));
    let options = Options {
        name: Some(super::common::session_name(&name)?),
        nixpkgs,
        show_trace: args.show_trace,
        update: args.update,
        ..Options::new(paths, assets)
    };
    let evaluator = Evaluator::new(options);
    let quiet = args.quiet;
    let evaluation = evaluator.evaluate(&model, &mut |p| say(&p, quiet), cancel).await?;
    if !quiet && evaluation.system.name != "manifest" {
        let system = &evaluation.system;
        out::err(&format!("guest system {}: {}; {}\n", system.name, system.why, evaluator.store().why()));
    }
    Ok((evaluator, evaluation))
}

/// Tells the person on standard error how it goes on.
pub(super) fn say(progress: &Progress, quiet: bool) {
    let line = match progress {
        Progress::Message { level: Level::Error, text } => text.clone(),
        _ if quiet => return,
        Progress::Message { level: Level::Detail, .. } | Progress::Evaluating | Progress::Fetching { .. } => {
            return;
        }
        Progress::Message { text, .. } => text.clone(),
        Progress::Resolving { packages } => {
            format!("looking up {packages} packages that the lock file does not cover")
        }
        Progress::Building { node, name, done, total } => format!("{node}: {done}/{total} {name}"),
        Progress::Done { node } => format!("{node}: everything is there"),
    };
    out::err(&format!("{line}\n"));
}

/// A token that ctrl-c cancels: what runs is ended in good order.
pub(super) fn cancelled_by_ctrl_c() -> CancellationToken {
    let token = CancellationToken::new();
    let cancel = token.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            cancel.cancel();
        }
    });
    token
}

fn summary(evaluation: &Evaluation) -> String {
    let mut rows = vec![["NODE", "MEMORY", "CORES", "INTERFACES", "FORWARDS"].map(String::from).to_vec()];
    for (name, node) in &evaluation.manifest.nodes {
        let interfaces: Vec<_> = node
            .interfaces
            .iter()
            .map(|i| match i {
                crate::model::Interface::User { name, .. } => format!("{name} user"),
                crate::model::Interface::Vlan { name, vlan, .. } => format!("{name} vlan {vlan}"),
            })
            .collect();
        let forwards: Vec<_> = node
            .forward_ports
            .iter()
            .map(|f| format!("{} {} → {}", f.proto, f.host.port, f.guest.port))
            .collect();
        rows.push(vec![
            name.clone(),
            format!("{} MiB", node.memory_size),
            node.cores.to_string(),
            interfaces.join(", "),
            forwards.join(", "),
        ]);
    }
    out::table(&rows)
}
