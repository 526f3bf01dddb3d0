//! `diorama attach`: the screen of a session that runs.

use super::{Global, Outcome, common, plain, up};

const EXAMPLES: &str = "\
Leaving the screen leaves the session running; several screens may be attached at once.

Examples:
  diorama attach
  diorama attach -s trac
  diorama attach --no-tui        print progress and console lines instead";

/// Attach to a session that runs.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Print progress and console lines instead of the full screen; so it is without a terminal.
    #[arg(long)]
    no_tui: bool,
    /// Let nothing be deployed from the screen, nor a terminal be opened on a host.
    #[arg(long)]
    readonly: bool,
}

pub(super) async fn run(args: Args, global: &Global) -> Outcome {
    let client = common::connect(global).await?;
    up::show(client, args.no_tui, args.readonly, plain::OnInterrupt::Detach, common::interrupts()?).await
}
