//! `diorama lock`: the exact packages that a model's machines are made of.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::{Global, Outcome, common, models, out};
use crate::nix::{Evaluator, Options, Progress};

const EXAMPLES: &str = "\
The lock file lies beside the model (shop.nix has shop.lock.json) and belongs under version
control: it names every Debian package with its version and SHA-256. `up` writes it when it is not
there and extends it when the model asks for more; only this verb takes newer packages.

Examples:
  diorama lock                     resolve what the model asks for and the lock does not have
  diorama lock --update shop.nix   take the newest packages of this machine's apt sources";

/// Write or renew the lock file beside a model.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The model.
    model: Option<PathBuf>,
    /// Take the newest packages instead of those in the lock.
    #[arg(short, long)]
    update: bool,
}

pub(super) async fn run(args: Args, global: &Global) -> Outcome {
    let paths = common::paths(global)?;
    let source = models::find(args.model.as_deref(), &paths)?.source();
    let assets = crate::assets::dir(&paths.cache)?;
    let evaluator = Evaluator::new(Options { update: args.update, ..Options::new(paths, assets) });
    let cancel = CancellationToken::new();
    let mut report = |progress: Progress| match progress {
        Progress::Resolving { packages } => out::err(&format!("looking up {packages} Debian packages\n")),
        Progress::Message { text, .. } => out::err(&format!("{text}\n")),
        _ => {}
    };
    let evaluate = evaluator.evaluate(source.path(), &mut report, &cancel);
    tokio::pin!(evaluate);
    let evaluation = tokio::select! {
        done = &mut evaluate => done?,
        _ = tokio::signal::ctrl_c() => {
            cancel.cancel();
            evaluate.await?
        }
    };
    match evaluation.lock {
        Some(lock) => out::line(&format!("{} is up to date", lock.display())),
        None => out::line("this model's guest system needs no lock"),
    }
    Ok(0)
}
