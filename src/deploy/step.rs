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

use super::words::{Effect, Event, Goal, Outcome, Phase};

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
    /// The phases that hosts have come to, in order, until somebody asks.
    passed: Vec<(String, Phase)>,
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
        Self { setup, hosts, failing: None, passed: Vec::new() }
    }

    /// Whether every host has its outcome.
    pub fn finished(&self) -> bool {
        self.hosts.values().all(|h| matches!(h.phase, Phase::Done(_)))
    }

    /// The phases that hosts have come to since this was asked last, those too that were over at once.
    pub fn passed(&mut self) -> Vec<(String, Phase)> {
        std::mem::take(&mut self.passed)
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
            host.enter(name, next, &mut self.passed);
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
                    host.enter(&name, phase, &mut self.passed);
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
                    host.enter(name, Phase::Done(Outcome::Untouched(why)), &mut self.passed);
                    continue;
                }
                Phase::Copying => {
                    host.enter(name, Phase::Done(Outcome::Untouched(why)), &mut self.passed);
                    Effect::Cancel
                }
                Phase::Reverting | Phase::Recovering => continue,
                Phase::Done(outcome) => {
                    let kept = matches!(outcome, Outcome::Switched | Outcome::SwitchedWithFailedUnits);
                    if !kept || self.setup.best_effort || host.restored {
                        continue;
                    }
                    host.restored = true;
                    host.enter(name, Phase::Recovering, &mut self.passed);
                    host.why.get_or_insert(why);
                    Effect::Restore
                }
                _ => {
                    host.enter(name, Phase::Reverting, &mut self.passed);
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
    fn enter(&mut self, name: &str, phase: Phase, passed: &mut Vec<(String, Phase)>) {
        if self.phase != phase {
            passed.push((name.to_owned(), phase.clone()));
            self.phase = phase;
        }
    }

    fn kept(&self) -> Outcome {
        if self.failed_units { Outcome::SwitchedWithFailedUnits } else { Outcome::Switched }
    }
}

#[cfg(test)]
#[path = "step_tests.rs"]
mod tests;
