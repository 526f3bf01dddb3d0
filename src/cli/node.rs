//! `diorama node`: the power and run state of machines.

use std::path::PathBuf;

use clap::ValueEnum;

use clap_complete::engine::ArgValueCandidates;

use super::{Global, Outcome, candidates, common, out};
use crate::error::{Error, ResultExt};
use crate::proto::{Action, NodeState, NodeVerb, Phase};

const EXAMPLES: &str = "\
start and restart return when the machine is up, stop and crash when it is off (--no-wait: at once).

Examples:
  diorama node stop db             shut it down
  diorama node crash db            cut its power: unsynced writes are lost
  diorama node start db
  diorama node restart web db      both at once
  diorama node pause web           freeze its CPUs; the network sees a machine that does not answer
  diorama node resume web
  diorama node add guest --script ./run-guest-vm --vlan 1
                                   a machine that the model does not name joins; start it next
  diorama node remove guest        and leaves, once it is off";

/// Start, stop, restart, pause, resume, crash or reset machines; add others.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to do.
    verb: Word,
    /// The machines.
    #[arg(required = true, value_name = "NODE")]
    #[arg(add = ArgValueCandidates::new(candidates::nodes))]
    nodes: Vec<String>,
    /// The program that starts the QEMU of a machine that is added, in the shape of NixOS's.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::ExecutablePath)]
    script: Option<PathBuf>,
    /// A VLAN that its script plugs into; repeat it for each, in the order of the plugs.
    #[arg(long = "vlan", value_name = "NUMBER")]
    vlans: Vec<u16>,
    /// Return as soon as the order is given.
    #[arg(long)]
    no_wait: bool,
}

#[derive(Debug, Clone, Copy)]
enum Word {
    /// For a machine that is there.
    Do(NodeVerb),
    Add,
    Remove,
}

impl ValueEnum for Word {
    fn value_variants<'a>() -> &'a [Self] {
        const WORDS: [Word; 9] = {
            let mut words = [Word::Add; 9];
            let mut i = 0;
            while i < 7 {
                words[i] = Word::Do(NodeVerb::ALL[i].0);
                i += 1;
            }
            words[8] = Word::Remove;
            words
        };
        &WORDS
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        let (word, help) = match self {
            Self::Do(verb) => NodeVerb::ALL.iter().find(|(v, _, _)| v == verb).map(|(_, w, h)| (*w, *h))?,
            Self::Add => ("add", "have a machine join that the model does not name (--script)"),
            Self::Remove => ("remove", "take a machine away that was added and is off"),
        };
        Some(clap::builder::PossibleValue::new(word).help(help))
    }
}

pub(super) async fn run(args: Args, global: &Global) -> Outcome {
    let verb = match args.verb {
        Word::Do(verb) if args.script.is_none() && args.vlans.is_empty() => verb,
        Word::Do(_) => return Err(Error::usage("--script and --vlan belong to diorama node add")),
        Word::Add | Word::Remove => return join_or_leave(args, global).await,
    };
    let client = common::connect(global).await?;
    let mut views = client.subscribe().await?;
    let view = views.borrow_and_update().clone();
    for node in &args.nodes {
        common::check_node(&view, node)?;
    }
    let mut interrupts = common::interrupts()?;
    for node in &args.nodes {
        let before = view.nodes.iter().find(|n| &n.name == node).and_then(|n| n.started);
        let message = client.act(Action::Node { node: node.clone(), verb }).await?;
        if args.no_wait {
            out::line(&message);
            continue;
        }
        let goal = |state: NodeState, started: Option<u64>| match verb {
            NodeVerb::Start => state == NodeState::Up,
            NodeVerb::Restart | NodeVerb::Reset => state == NodeState::Up && started != before,
            NodeVerb::Stop | NodeVerb::Crash => state == NodeState::Stopped,
            NodeVerb::Pause => state == NodeState::Paused,
            NodeVerb::Resume => matches!(state, NodeState::Up | NodeState::Booting),
        };
        loop {
            let view = views.borrow_and_update().clone();
            if view.phase != Phase::Running {
                return Err(Error::new("the session is ending"));
            }
            if let Some(n) = view.nodes.iter().find(|n| &n.name == node) {
                if goal(n.state, n.started) {
                    out::line(&format!("{node} is {}", common::word(n.state)));
                    break;
                }
                let bad = matches!(n.state, NodeState::Crashed | NodeState::Failed);
                if bad && n.started != before && verb != NodeVerb::Crash {
                    let why = n.post_mortem.clone().unwrap_or_default();
                    return Err(Error::new(format!("{node} {}\n{why}", common::word(n.state))));
                }
            }
            tokio::select! {
                changed = views.changed() => if changed.is_err() {
                    return Err(Error::new(client.ended().await));
                },
                _ = interrupts.recv() => {
                    return Err(Error::interrupted().hint("the order stands; diorama ls shows how it goes"));
                }
            }
        }
    }
    Ok(0)
}

/// Has machines join a session, or leave it.
async fn join_or_leave(args: Args, global: &Global) -> Outcome {
    let client = common::connect(global).await?;
    for node in args.nodes {
        let action = match (args.verb, &args.script) {
            (Word::Add, Some(script)) => {
                let script = std::path::absolute(script).doing(script.display())?;
                Action::Add { node, script, vlans: args.vlans.clone() }
            }
            (Word::Add, None) => {
                return Err(Error::usage("a machine that is added needs a program that starts it")
                    .hint("diorama node add NAME --script FILE"));
            }
            (_, None) => Action::Remove { node },
            (_, Some(_)) => return Err(Error::usage("--script and --vlan belong to diorama node add")),
        };
        out::line(&client.act(action).await?);
    }
    Ok(0)
}
