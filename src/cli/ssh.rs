//! `diorama ssh`: a terminal, or a command, on a real host.

use std::io::IsTerminal;
use std::os::unix::process::CommandExt;

use super::production::{self, ReachArgs, Sockets};
use super::{Global, Outcome, common};
use crate::deploy::{self, ConnectError};
use crate::error::{Error, ResultExt, nearest};

const EXAMPLES: &str = "\
The host is the one that the node was last deployed to, reached with the same addresses, options and
pinned keys as the deployment. This is production: what is typed there happens there.

Examples:
  diorama ssh web
  diorama ssh web -- systemctl --failed";

/// Open a terminal on a host of a deployed network.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The network.
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// The node.
    node: String,
    /// A command to run there instead of a shell.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    command: Vec<String>,
}

pub(super) async fn run(args: &Args, global: &Global) -> Outcome {
    let paths = common::paths(global)?;
    let (network, records) = production::recorded(args.network.as_deref(), &paths)?;
    let all = records.all()?;
    let last =
        all.last().ok_or_else(|| Error::not_found(format!("{network} was never deployed from here")))?;
    let nodes = &last.deployment.nodes;
    let target = nodes.get(&args.node).ok_or_else(|| {
        let e = Error::not_found(format!("{network} has no node {:?}", args.node));
        match nearest(&args.node, nodes.keys().map(String::as_str)) {
            Some(near) => e.hint(format!("did you mean {near}?")),
            None => e,
        }
    })?;
    let settings = production::settings(&network, &ReachArgs::plain(), &paths)?;
    let sockets = Sockets(settings.clone());
    // Which of its addresses answers, and that it is who it should be, before a terminal is handed over.
    let address = match deploy::reach(target, &settings).await {
        Ok(address) => address,
        Err(ConnectError::HostKey(why)) => {
            return Err(Error::new(why).hint("diorama deploy --trust-on-first-use pins a key"));
        }
        Err(e) => return Err(Error::new(e.to_string())),
    };
    drop(sockets);
    let tty = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let mut ssh = deploy::terminal(target, &settings, &address, tty);
    ssh.args(&args.command);
    Err(ssh.exec()).doing("cannot run ssh")
}
