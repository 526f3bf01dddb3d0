//! `diorama forward`: host ports that lead into machines.

use clap::Subcommand;

use clap_complete::engine::ArgValueCandidates;

use super::{Global, Outcome, candidates, common, out};
use crate::error::{Error, Result};
use crate::model::Proto;
use crate::proto::{Action, View};

const EXAMPLES: &str = "\
Forwards listen on 127.0.0.1 only.

Examples:
  diorama forward list
  diorama forward add web 8080:80        http://127.0.0.1:8080 reaches web's port 80
  diorama forward add web 0:80           take any free port, and say which
  diorama forward add dns 5353:53/udp
  diorama forward remove 8080";

/// Add, remove and list port forwards from this host into machines.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lead a host port into a machine.
    Add {
        /// The machine.
        #[arg(add = ArgValueCandidates::new(candidates::nodes))]
        node: String,
        /// HOST:GUEST, or one port for both; `/udp` for UDP.
        #[arg(value_parser = parse_rule)]
        ports: (u16, u16, Proto),
    },
    /// Close a host port.
    Remove {
        /// The host port; `/udp` for UDP.
        #[arg(value_parser = parse_port)]
        port: (u16, Proto),
    },
    /// List the forwards.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

fn parse_port(text: &str) -> Result<(u16, Proto), String> {
    let (port, proto) = match text.split_once('/') {
        None | Some((_, "tcp")) => (text.strip_suffix("/tcp").unwrap_or(text), Proto::Tcp),
        Some((port, "udp")) => (port, Proto::Udp),
        Some((_, other)) => return Err(format!("{other:?} is neither tcp nor udp")),
    };
    let port = port.parse().map_err(|_| format!("{port:?} is not a port from 0 to 65535"))?;
    Ok((port, proto))
}

fn parse_rule(text: &str) -> Result<(u16, u16, Proto), String> {
    let (host, rest) = text.split_once(':').unwrap_or((text.split('/').next().unwrap_or(text), text));
    let (guest, proto) = parse_port(rest)?;
    let (host, _) = parse_port(host)?;
    if guest == 0 {
        return Err("0 is no port in the guest".into());
    }
    Ok((host, guest, proto))
}

pub(super) async fn run(args: Args, global: &Global) -> Outcome {
    let client = common::connect(global).await?;
    let action = match args.verb {
        Verb::Add { node, ports: (host_port, guest_port, proto) } => {
            Action::ForwardAdd { node, proto, host_port, guest_port }
        }
        Verb::Remove { port: (host_port, proto) } => Action::ForwardRemove { proto, host_port },
        Verb::List { json } => {
            let view = client.view().await?;
            return list(&view, json).map(|()| 0);
        }
    };
    out::line(&client.act(action).await?);
    Ok(0)
}

fn list(view: &View, json: bool) -> Result<(), Error> {
    if json {
        return out::json(&view.forwards);
    }
    let mut rows = vec![["HOST", "GUEST", "STATE", "FROM", "NOTE"].map(String::from).to_vec()];
    for f in &view.forwards {
        rows.push(vec![
            format!("127.0.0.1:{}/{}", f.host_port, f.proto),
            format!("{}:{}", f.node, f.guest_port),
            if f.active { "listens" } else { "does not listen" }.into(),
            if f.from_model { "model" } else { "added" }.into(),
            f.note.clone(),
        ]);
    }
    out::print(&out::table(&rows));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        for (text, want) in [
            ("8080:80", Ok((8080, 80, Proto::Tcp))),
            ("0:80", Ok((0, 80, Proto::Tcp))),
            ("53/udp", Ok((53, 53, Proto::Udp))),
            ("5353:53/udp", Ok((5353, 53, Proto::Udp))),
            ("8080", Ok((8080, 8080, Proto::Tcp))),
            ("8080:0", Err(())),
            ("x:80", Err(())),
            ("80:99999", Err(())),
            ("80:80/sctp", Err(())),
        ] {
            assert_eq!(parse_rule(text).map_err(drop), want, "{text}");
        }
    }
}
