//! What a step of the session wants done, carried out.
//!
//! Invariant: nothing is decided here; what cannot be done is told to the session as an event, or logged.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::super::machine::{self, Machine, Order, Origin};
use super::super::{adopt, log, now, runner, saving};
use super::{CANCELLED, Driver, Msg, empty_manifest};
use crate::session::{Effect, Event};

impl Driver {
    pub(super) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Start { node } => {
                if self.machines.is_empty() {
                    self.set_up_network();
                }
                let fresh = self.context.options.fresh && self.fresh.insert(node.clone());
                self.start_machine(&node, Origin::Launch { fresh });
            }
            Effect::Added { .. } => {
                self.manifest = Arc::new(self.state.manifest.clone().unwrap_or_else(empty_manifest));
                self.set_up_network();
            }
            Effect::Removed { node } => self.forget(&node),
            Effect::Shutdown { node } => self.order(&node, Order::Shutdown),
            Effect::Kill { node } => {
                let killed = self.machines.get(&node).map(Machine::kill);
                if let Some(Err(e)) = killed {
                    log::line(&format!("{node}: {e}"));
                }
            }
            Effect::Freeze { node, frozen } => self.order(&node, Order::Freeze(frozen)),
            Effect::Reset { node } => self.order(&node, Order::Reset),
            Effect::ApplyCuts => self.network.apply(&self.state),
            Effect::Carrier { node, interface, up } => self.order(&node, Order::Carrier(interface, up)),
            Effect::ForwardAdd { ticket, spec, may_move } => {
                self.order(&spec.node.clone(), Order::Forward(ticket, spec, may_move));
            }
            Effect::ForwardRemove { ticket, spec } => {
                self.order(&spec.node.clone(), Order::Unforward(ticket, spec));
            }
            Effect::Deadline { node, power_cycle, at } => {
                let events = self.events.clone();
                let wait = Duration::from_millis(at.saturating_sub(now()));
                tokio::spawn(async move {
                    tokio::time::sleep(wait).await;
                    let _ = events.send(Msg::Event(Event::Deadline { node, power_cycle }));
                });
            }
            Effect::RunScript { patterns } => {
                self.runner = Some(runner::start(&self.context, &patterns, self.events.clone()));
            }
            Effect::StopScript => {
                if let Some(runner) = &self.runner {
                    runner.stop();
                }
            }
            Effect::Cancel => {
                self.cancel.cancel();
                let events = self.events.clone();
                tokio::spawn(async move {
                    // The task ends after the processes it started, unless one cannot be ended.
                    tokio::time::sleep(CANCELLED).await;
                    let _ = events.send(Msg::Event(Event::PreparingEnded));
                });
            }
            Effect::Save => self.save = true,
            Effect::KeepBoots => {
                if let Err(e) = saving::write_boots(&self.boots_file(), &self.state.usual_boots) {
                    log::line(&format!("how long boots take: {e}"));
                }
            }
            Effect::Reply { ticket, response } => {
                if let Some(reply) = self.tickets.remove(&ticket) {
                    // The client may have gone meanwhile.
                    let _ = reply.send(response);
                }
            }
            Effect::Finish { reason } => self.finished = Some(reason),
        }
    }

    pub(super) fn boots_file(&self) -> PathBuf {
        self.context.paths.network_state(&self.state.name).join("boots.json")
    }

    pub(super) fn order(&self, node: &str, order: Order) {
        if let Some(machine) = self.machines.get(node) {
            machine.order(order);
        }
    }

    /// Lets go of a machine that was taken away, with everything it has left.
    fn forget(&mut self, node: &str) {
        self.manifest = Arc::new(self.state.manifest.clone().unwrap_or_else(empty_manifest));
        self.network.unplug(node);
        self.machines.remove(node);
        self.consoles.remove(node);
        self.qmp_events.remove(node);
        self.fresh.remove(node);
        if let Err(e) = adopt::remove_node(&self.context.paths.node(&self.state.name, node)) {
            log::line(&format!("{node}: {}", e.message));
        }
    }

    pub(super) fn set_up_network(&mut self) {
        for problem in self.network.build(&self.context, &self.state) {
            self.step(problem);
        }
    }

    pub(super) fn start_machine(&mut self, node: &str, origin: Origin) {
        let console = self.console(node);
        let qmp_events = self.qmp_events(node);
        let machine = machine::start(
            self.context.clone(),
            self.manifest.clone(),
            node,
            origin,
            machine::Told { console, qmp_events },
            self.events.clone(),
        );
        self.machines.insert(node.to_owned(), machine);
        self.network.retry(node);
    }
}
