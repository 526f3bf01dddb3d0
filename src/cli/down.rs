//! `diorama down`: the end of a session.

use tokio::signal::unix::Signal;

use super::{Global, Outcome, common, out};
use crate::client;
use crate::error::Error;

const EXAMPLES: &str = "\
The guests are asked to shut down, all at once; whoever has not done so within the time-out loses
its power. The machines' disks stay, and the next up goes on with them (up --fresh does not).
With ctrl-c the power is cut at once.

Examples:
  diorama down                 shut down the session that runs
  diorama down -t 10           give the guests 10 seconds
  diorama down --power         cut the power: unsynced writes are lost
  diorama down --all           every session";

/// Shut a session down: its machines, then everything else.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Seconds that the guests have.
    #[arg(short, long, default_value_t = 60, value_name = "SECONDS")]
    timeout: u32,
    /// Cut the power instead of asking the guests.
    #[arg(long)]
    power: bool,
    /// Shut every session down.
    #[arg(long, conflicts_with = "session")]
    all: bool,
}

pub(super) async fn run(args: Args, global: &Global) -> Outcome {
    let paths = common::paths(global)?;
    let found = if args.all {
        client::list(&paths).await?
    } else {
        vec![client::find(&paths, global.session.as_deref()).await?]
    };
    let mut interrupts = common::interrupts()?;
    for session in found {
        let client = client::connect(&paths, Some(&session.name), "cli").await?;
        end(&client, args.power, args.timeout, &mut interrupts).await?;
        out::line(&format!("{} is down", session.name));
    }
    Ok(0)
}

/// Ends a session; the first ctrl-c cuts the power, the second gives up waiting.
pub(super) async fn end(
    client: &client::Client,
    power: bool,
    timeout: u32,
    interrupts: &mut Signal,
) -> crate::error::Result<()> {
    let down = async {
        let asked = client.down(power, timeout).await;
        // The answer and the goodbye leave together; either will do.
        tokio::time::timeout(std::time::Duration::from_secs(5), client.ended()).await.ok();
        client::gone(client).await;
        match asked {
            Err(e) if !e.message.starts_with("the session") => Err(e),
            _ => Ok(()),
        }
    };
    tokio::pin!(down);
    tokio::select! {
        done = &mut down => return done,
        _ = interrupts.recv() => out::err("the power is being cut …\n"),
    }
    let cut = client.clone();
    tokio::spawn(async move { cut.down(true, 0).await });
    tokio::select! {
        done = down => done,
        _ = interrupts.recv() => Err(Error::interrupted().hint("the session is still shutting down")),
    }
}
