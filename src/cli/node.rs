//! `diorama node`: the power and run state of machines.

use clap::ValueEnum;

use clap_complete::engine::ArgValueCandidates;

use super::{Global, Outcome, candidates, common, out};
use crate::error::Error;
use crate::proto::{Action, NodeState, NodeVerb, Phase};

const EXAMPLES: &str = "\
start and restart return when the machine is up, stop and crash when it is off (--no-wait: at once).

Examples:
  diorama node stop db             shut it down
  diorama node crash db            cut its power: unsynced writes are lost
  diorama node start db
  diorama node restart web db      both at once
  diorama node pause web           freeze its CPUs; the network sees a machine that does not answer
  diorama node resume web";

/// Start, stop, restart, pause, resume, crash or reset machines.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to do.
    verb: Word,
    /// The machines.
    #[arg(required = true, value_name = "NODE")]
    #[arg(add = ArgValueCandidates::new(candidates::nodes))]
    nodes: Vec<String>,
    /// Return as soon as the order is given.
    #[arg(long)]
    no_wait: bool,
}

#[derive(Debug, Clone, Copy)]
struct Word(NodeVerb);

impl ValueEnum for Word {
    fn value_variants<'a>() -> &'a [Self] {
        const WORDS: [Word; 7] = {
            let mut words = [Word(NodeVerb::Start); 7];
            let mut i = 0;
            while i < 7 {
                words[i] = Word(NodeVerb::ALL[i].0);
                i += 1;
            }
            words
        };
        &WORDS
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        let (_, word, help) = NodeVerb::ALL.iter().find(|(v, _, _)| *v == self.0)?;
        Some(clap::builder::PossibleValue::new(*word).help(*help))
    }
}

pub(super) async fn run(args: Args, global: &Global) -> Outcome {
    let client = common::connect(global).await?;
    let mut views = client.subscribe().await?;
    let view = views.borrow_and_update().clone();
    for node in &args.nodes {
        common::check_node(&view, node)?;
    }
    let verb = args.verb.0;
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
                _ = tokio::signal::ctrl_c() => {
                    return Err(Error::interrupted().hint("the order stands; diorama ls shows how it goes"));
                }
            }
        }
    }
    Ok(0)
}
