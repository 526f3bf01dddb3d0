//! The mind of a deployment: which host does what next, and what happens when one fails.
//!
//! ```text
//! waiting ▸ copying ▸ copied ║ locking ▸ locked ║ activating ▸ active ▸ acked ║ healthy ║ committed ║ released
//!                            all                all, by group and order       all       all         all
//! ```
//!
//! At `║` a host waits for all others (with best effort, for nobody). A failure anywhere takes every
//! host back, the released ones too. A supervisor that has been told to commit still goes back by
//! itself until it is told to release, so the last barrier is the one moment of decision.
//!
//! Invariant: pure; when [`State::finished`], every host has an [`Outcome`], and with any strategy but
//! best effort hosts have been kept only if all were.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// Run the new configuration, and boot it from now on.
    Switch,
    /// Boot it from now on.
    Boot,
    /// Run it until the next boot.
    Test,
    /// Say what activating would do.
    DryActivate,
}

/// In which order hosts are activated, and what a failure means for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// All together; all or none.
    Atomic,
    /// One after another, each healthy before the next; all or none.
    Rolling,
    /// Those with the tag `canary` first; all or none.
    Canary,
    /// Each for itself.
    BestEffort,
}

/// What came of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "why", rename_all = "kebab-case")]
pub enum Outcome {
    /// It ran the wanted system already.
    Unchanged,
    /// It runs, or boots, the new system.
    Switched,
    /// It runs the new system, and units of it have failed.
    SwitchedWithFailedUnits,
    /// Nothing was changed on it.
    Untouched(String),
    /// It was changed, and runs the old system again.
    RolledBack(String),
    /// It was changed, and is not as it was.
    RollbackFailed(String),
    /// Nobody knows how it is.
    Unreachable(String),
}

impl Outcome {
    /// Whether it is what was wanted.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Unchanged | Self::Switched | Self::SwitchedWithFailedUnits)
    }

    /// The outcome in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Unchanged => "unchanged".into(),
            Self::Switched => "switched".into(),
            Self::SwitchedWithFailedUnits => "switched, with failed units".into(),
            Self::Untouched(why) => format!("untouched: {why}"),
            Self::RolledBack(why) => format!("rolled back: {why}"),
            Self::RollbackFailed(why) => format!("ROLLBACK FAILED: {why}"),
            Self::Unreachable(why) => format!("UNREACHABLE: {why}"),
        }
    }
}

/// Where a host is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing has begun.
    Waiting,
    /// Store paths travel.
    Copying,
    /// They are all there.
    Copied,
    /// Its supervisor is being started.
    Locking,
    /// Its supervisor holds the lock.
    Locked,
    /// The new system is being activated.
    Activating,
    /// It is active; a fresh connection has to say so.
    Acking,
    /// A fresh connection has said so.
    Acked,
    /// Its health is being checked.
    Checking,
    /// All its checks have succeeded.
    Healthy,
    /// Profile and boot loader are being set.
    Committing,
    /// They are set.
    Committed,
    /// Its supervisor is told to let go.
    Releasing,
    /// It goes back to the old system.
    Reverting,
    /// The connection was lost; how it stands is being found out.
    Recovering,
    /// It is over.
    Done(Outcome),
}

impl Phase {
    /// How far it is; what goes back or is over has no place in the order.
    fn rank(&self) -> Option<u8> {
        Some(match self {
            Self::Waiting => 0,
            Self::Copying => 1,
            Self::Copied => 2,
            Self::Locking => 3,
            Self::Locked => 4,
            Self::Activating => 5,
            Self::Acking => 6,
            Self::Acked => 7,
            Self::Checking => 8,
            Self::Healthy => 9,
            Self::Committing => 10,
            Self::Committed => 11,
            Self::Releasing => 12,
            Self::Reverting | Self::Recovering | Self::Done(_) => return None,
        })
    }
}

/// What has happened to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Its paths are all there.
    Copied,
    /// Something failed before anything was changed.
    Failed(String),
    /// Its supervisor holds the lock.
    Locked,
    /// Its supervisor refuses.
    Refused(String),
    /// The new system is active.
    Activated {
        /// Whether units have failed.
        failed_units: bool,
    },
    /// A fresh connection has acknowledged it.
    Acked,
    /// All its checks have succeeded.
    Healthy,
    /// A check has failed.
    Unhealthy(String),
    /// Profile and boot loader are set.
    Committed,
    /// Its supervisor has let go, with the new system.
    Released,
    /// Its supervisor goes back.
    Reverting(String),
    /// It runs the old system.
    Reverted,
    /// It does not.
    RevertFailed(String),
    /// The connection was lost and could not be made again in time.
    Lost(String),
    /// Nor later.
    Unreachable(String),
}

/// What is to be done with a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Copy what it lacks.
    Copy,
    /// Stop copying.
    Cancel,
    /// Start its supervisor.
    Lock,
    /// Activate the new system.
    Activate,
    /// Acknowledge over a fresh connection.
    Acknowledge,
    /// Check its health.
    Check,
    /// Set profile and boot loader.
    Commit,
    /// Let go.
    Release,
    /// Take it back.
    Abort,
    /// Find out how it stands.
    Recover,
    /// Take it back although its supervisor has let go.
    Restore,
}

/// What a deployment is made of.
#[derive(Debug, Clone)]
pub struct Setup {
    /// What is wanted.
    pub goal: Goal,
    /// Whether every host is for itself.
    pub best_effort: bool,
    /// Whether failed units are accepted.
    pub accept_failed_units: bool,
    /// Hosts that copy at once.
    pub max_copy: usize,
    /// Hosts that activate at once.
    pub max_activate: usize,
}

#[derive(Debug, Clone)]
struct Host {
    phase: Phase,
    /// Groups are activated one after another.
    group: usize,
    after: Vec<String>,
    failed_units: bool,
    /// Whether its activation, or with `boot` its commit, has been ordered.
    touched: bool,
    /// Whether it has been taken back already.
    restored: bool,
    /// Why it goes back.
    why: Option<String>,
}

/// A deployment under way.
#[derive(Debug, Clone)]
pub struct State {
    setup: Setup,
    hosts: BTreeMap<String, Host>,
    failing: Option<String>,
}

impl State {
    /// Nothing has begun. `hosts` has for every host its group and the hosts that come before it.
    pub fn new(setup: Setup, hosts: BTreeMap<String, (usize, Vec<String>)>) -> Self {
        let names: BTreeSet<String> = hosts.keys().cloned().collect();
        let hosts = hosts
            .into_iter()
            .map(|(name, (group, after))| {
                let after = after.into_iter().filter(|a| names.contains(a)).collect();
                let host = Host {
                    phase: Phase::Waiting,
                    group,
                    after,
                    failed_units: false,
                    touched: false,
                    restored: false,
                    why: None,
                };
                (name, host)
            })
            .collect();
        Self { setup, hosts, failing: None }
    }

    /// Whether every host has its outcome.
    pub fn finished(&self) -> bool {
        self.hosts.values().all(|h| matches!(h.phase, Phase::Done(_)))
    }

    /// Where a host is.
    pub fn phase(&self, host: &str) -> Option<&Phase> {
        self.hosts.get(host).map(|h| &h.phase)
    }

    /// What came of the hosts so far.
    pub fn outcomes(&self) -> BTreeMap<String, Outcome> {
        let done = |h: &Host| match &h.phase {
            Phase::Done(outcome) => Some(outcome.clone()),
            _ => None,
        };
        self.hosts.iter().filter_map(|(n, h)| Some((n.clone(), done(h)?))).collect()
    }

    /// Why everything is taken back.
    pub fn failing(&self) -> Option<&str> {
        self.failing.as_deref()
    }

    /// Begins.
    pub fn begin(&mut self) -> Vec<(String, Effect)> {
        self.advance()
    }

    /// The person does not want it any more. Too late once hosts have been let go.
    pub fn interrupt(&mut self) -> Vec<(String, Effect)> {
        let decided = self
            .hosts
            .values()
            .any(|h| h.phase == Phase::Releasing || matches!(&h.phase, Phase::Done(o) if o.is_good()));
        if !decided || self.setup.best_effort {
            self.failing.get_or_insert_with(|| "interrupted".into());
        }
        self.advance()
    }

    /// Something has happened to a host.
    pub fn step(&mut self, name: &str, event: Event) -> Vec<(String, Effect)> {
        let mut effects = self.take(name, event);
        effects.extend(self.advance());
        effects
    }

    fn take(&mut self, name: &str, event: Event) -> Vec<(String, Effect)> {
        let Some(host) = self.hosts.get_mut(name) else { return Vec::new() };
        let goal = self.setup.goal;
        let taken_back = host.why.clone().or_else(|| self.failing.clone());
        let mut failure = None;
        let mut effects = Vec::new();
        let next = match (&host.phase, event) {
            (Phase::Done(_), _) => None,
            (Phase::Copying, Event::Copied) => Some(Phase::Copied),
            (Phase::Locking, Event::Locked) if goal == Goal::Boot => Some(Phase::Healthy),
            (Phase::Locking, Event::Locked) => Some(Phase::Locked),
            (Phase::Activating, Event::Activated { failed_units }) => {
                host.failed_units = failed_units;
                if failed_units && !self.setup.accept_failed_units {
                    failure = Some("units of the new system have failed".to_owned());
                } else {
                    effects.push((name.to_owned(), Effect::Acknowledge));
                }
                Some(Phase::Acking)
            }
            (Phase::Acking, Event::Acked) => Some(Phase::Acked),
            (Phase::Checking, Event::Healthy) => Some(Phase::Healthy),
            (Phase::Committing, Event::Committed) => Some(Phase::Committed),
            (Phase::Releasing, Event::Released) => Some(Phase::Done(host.kept())),
            // Said twice: it is being taken back already.
            (Phase::Reverting | Phase::Recovering, Event::Released) if host.restored => None,
            // The order to let go was there before the order to go back.
            (Phase::Reverting | Phase::Recovering, Event::Released) => {
                if taken_back.is_some() {
                    host.restored = true;
                    effects.push((name.to_owned(), Effect::Restore));
                    Some(Phase::Recovering)
                } else {
                    Some(Phase::Done(host.kept()))
                }
            }
            (Phase::Reverting | Phase::Recovering, Event::Reverted) => {
                let why = taken_back.unwrap_or_else(|| "its supervisor took it back".into());
                if host.why.is_none() {
                    failure = Some(why.clone());
                }
                Some(Phase::Done(if host.touched {
                    Outcome::RolledBack(why)
                } else {
                    Outcome::Untouched(why)
                }))
            }
            (_, Event::Reverted) => {
                let why = "its supervisor took it back".to_owned();
                failure = Some(why.clone());
                Some(Phase::Done(if host.touched {
                    Outcome::RolledBack(why)
                } else {
                    Outcome::Untouched(why)
                }))
            }
            (_, Event::RevertFailed(why)) => {
                failure = Some(why.clone());
                Some(Phase::Done(Outcome::RollbackFailed(why)))
            }
            (_, Event::Unreachable(why)) => {
                failure = Some(why.clone());
                Some(Phase::Done(Outcome::Unreachable(why)))
            }
            (Phase::Reverting | Phase::Recovering, Event::Reverting(_)) => None,
            (_, Event::Reverting(why)) => {
                host.why.get_or_insert_with(|| why.clone());
                failure = Some(why);
                Some(Phase::Reverting)
            }
            (
                Phase::Waiting | Phase::Copying | Phase::Copied | Phase::Locking,
                Event::Failed(why) | Event::Refused(why),
            ) => {
                failure = Some(why.clone());
                Some(Phase::Done(Outcome::Untouched(why)))
            }
            (Phase::Reverting, Event::Failed(why) | Event::Refused(why)) if !host.touched => {
                Some(Phase::Done(Outcome::Untouched(why)))
            }
            (_, Event::Unhealthy(why) | Event::Failed(why)) => {
                failure = Some(why);
                None
            }
            (Phase::Waiting | Phase::Copying | Phase::Copied, Event::Lost(why)) => {
                failure = Some(why.clone());
                Some(Phase::Done(Outcome::Untouched(why)))
            }
            (Phase::Recovering, Event::Lost(why)) => Some(Phase::Done(Outcome::Unreachable(why))),
            // It may have been let go: that is found out before anybody is taken back.
            (Phase::Releasing, Event::Lost(_)) => {
                effects.push((name.to_owned(), Effect::Recover));
                Some(Phase::Recovering)
            }
            (_, Event::Lost(why)) => {
                failure = Some(why.clone());
                host.why.get_or_insert(why);
                effects.push((name.to_owned(), Effect::Recover));
                Some(Phase::Recovering)
            }
            _ => None,
        };
        if let Some(next) = next {
            host.phase = next;
        }
        if let Some(why) = failure {
            if self.setup.best_effort {
                host.why.get_or_insert(why);
            } else {
                host.why.get_or_insert_with(|| why.clone());
                self.failing.get_or_insert_with(|| format!("{name}: {why}"));
            }
        }
        effects
    }

    /// Everything that can be begun now.
    fn advance(&mut self) -> Vec<(String, Effect)> {
        let mut effects = Vec::new();
        self.take_back(&mut effects);
        // One pass may open a barrier for the next.
        loop {
            let before = effects.len();
            let names: Vec<String> = self.hosts.keys().cloned().collect();
            let mut moved = false;
            for name in names {
                let Some((phase, effect)) = self.next(&name) else { continue };
                if let Some(host) = self.hosts.get_mut(&name) {
                    moved = true;
                    host.touched |= matches!(phase, Phase::Activating | Phase::Committing);
                    host.phase = phase;
                }
                effects.extend(effect.map(|e| (name, e)));
            }
            if effects.len() == before && !moved {
                return effects;
            }
        }
    }

    /// Orders everybody back whom the failure concerns.
    fn take_back(&mut self, effects: &mut Vec<(String, Effect)>) {
        for (name, host) in &mut self.hosts {
            let Some(why) = self.failing.clone().or_else(|| host.why.clone()) else { continue };
            let effect = match &host.phase {
                Phase::Waiting | Phase::Copied => {
                    host.phase = Phase::Done(Outcome::Untouched(why));
                    continue;
                }
                Phase::Copying => {
                    host.phase = Phase::Done(Outcome::Untouched(why));
                    Effect::Cancel
                }
                Phase::Reverting | Phase::Recovering => continue,
                Phase::Done(outcome) => {
                    let kept = matches!(outcome, Outcome::Switched | Outcome::SwitchedWithFailedUnits);
                    if !kept || self.setup.best_effort || host.restored {
                        continue;
                    }
                    host.restored = true;
                    host.phase = Phase::Recovering;
                    host.why.get_or_insert(why);
                    Effect::Restore
                }
                _ => {
                    host.phase = Phase::Reverting;
                    host.why.get_or_insert(why);
                    Effect::Abort
                }
            };
            effects.push((name.clone(), effect));
        }
    }

    /// The next thing that a host can do by itself.
    fn next(&self, name: &str) -> Option<(Phase, Option<Effect>)> {
        let host = self.hosts.get(name)?;
        if self.failing.is_some() || host.why.is_some() {
            return None;
        }
        match host.phase {
            Phase::Waiting if self.busy(&Phase::Copying) < self.setup.max_copy => {
                Some((Phase::Copying, Some(Effect::Copy)))
            }
            Phase::Copied if self.all(name, &Phase::Copied, None) => {
                Some((Phase::Locking, Some(Effect::Lock)))
            }
            Phase::Locked => self.activation(name, host),
            Phase::Acked if self.all(name, &Phase::Acked, Some(host.group)) => {
                Some((Phase::Checking, Some(Effect::Check)))
            }
            Phase::Healthy if self.all(name, &Phase::Healthy, None) => Some(match self.setup.goal {
                Goal::Test => (Phase::Releasing, Some(Effect::Release)),
                _ => (Phase::Committing, Some(Effect::Commit)),
            }),
            Phase::Committed if self.all(name, &Phase::Committed, None) => {
                Some((Phase::Releasing, Some(Effect::Release)))
            }
            _ => None,
        }
    }

    fn activation(&self, name: &str, host: &Host) -> Option<(Phase, Option<Effect>)> {
        if self.busy(&Phase::Activating) >= self.setup.max_activate || !self.all(name, &Phase::Locked, None) {
            return None;
        }
        let mut before = host.after.iter().filter_map(|a| self.hosts.get(a));
        if let Some(Phase::Done(bad)) =
            before.clone().map(|h| &h.phase).find(|p| matches!(p, Phase::Done(o) if !o.is_good()))
        {
            let why = format!("a host that it comes after failed: {}", bad.describe());
            return Some((Phase::Done(Outcome::Untouched(why)), Some(Effect::Abort)));
        }
        let there = before.all(|h| reached(h, &Phase::Acked));
        let groups = self.setup.best_effort
            || self.hosts.values().filter(|h| h.group < host.group).all(|h| reached(h, &Phase::Healthy));
        (there && groups).then_some((Phase::Activating, Some(Effect::Activate)))
    }

    /// Whether everybody whom a host has to wait for is as far.
    fn all(&self, name: &str, phase: &Phase, group: Option<usize>) -> bool {
        self.hosts
            .iter()
            .filter(|(n, _)| !self.setup.best_effort || *n == name)
            .filter(|(_, h)| group.is_none_or(|g| h.group == g))
            .all(|(_, h)| reached(h, phase))
    }

    fn busy(&self, phase: &Phase) -> usize {
        self.hosts.values().filter(|h| h.phase == *phase).count()
    }
}

/// Whether a host is as far as a phase, or through in good order.
fn reached(host: &Host, phase: &Phase) -> bool {
    match &host.phase {
        Phase::Done(outcome) => outcome.is_good(),
        at => at.rank() >= phase.rank() && at.rank().is_some(),
    }
}

impl Host {
    fn kept(&self) -> Outcome {
        if self.failed_units { Outcome::SwitchedWithFailedUnits } else { Outcome::Switched }
    }
}

/// The process's exit status.
pub fn exit_status(outcomes: &BTreeMap<String, Outcome>, interrupted: bool) -> u8 {
    let any = |f: &dyn Fn(&Outcome) -> bool| outcomes.values().any(f);
    if any(&|o| matches!(o, Outcome::RollbackFailed(_) | Outcome::Unreachable(_))) {
        6
    } else if interrupted {
        130
    } else if outcomes.values().all(Outcome::is_good) {
        if any(&|o| *o == Outcome::SwitchedWithFailedUnits) { 4 } else { 0 }
    } else if any(&|o| matches!(o, Outcome::Switched | Outcome::SwitchedWithFailedUnits)) {
        7
    } else if any(&|o| matches!(o, Outcome::RolledBack(_))) {
        5
    } else {
        1
    }
}

#[cfg(test)]
#[path = "step_tests.rs"]
mod tests;
