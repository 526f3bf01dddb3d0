//! Every order of events, on hosts that are simulated with all that can happen to them.

use super::super::words::exit_status;
use super::*;

/// What is true of a simulated host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth {
    Old,
    New,
    /// Its supervisor could not go back.
    Broken,
    /// It is cut off, and its supervisor has gone back or been let go before.
    Away {
        new: bool,
    },
}

/// A generator of numbers that needs no clock (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

struct World {
    state: State,
    truth: BTreeMap<String, Truth>,
    /// Whether the supervisor has been let go.
    free: BTreeSet<String>,
    /// Hosts whose supervisor takes no orders any more.
    over: BTreeSet<String>,
    pending: Vec<(String, Effect)>,
    dice: Dice,
    /// One in how many things goes wrong; 0 for never.
    trouble: u64,
}

fn setup(goal: Goal, best_effort: bool) -> Setup {
    Setup { goal, best_effort, accept_failed_units: false, max_copy: 2, max_activate: 2 }
}

fn world(setup: Setup, groups: &[(&str, usize, &[&str])], seed: u64, trouble: u64) -> World {
    let hosts: BTreeMap<String, (usize, Vec<String>)> = groups
        .iter()
        .map(|(n, g, after)| ((*n).to_owned(), (*g, after.iter().map(|a| (*a).to_owned()).collect())))
        .collect();
    let truth = hosts.keys().map(|n| (n.clone(), Truth::Old)).collect();
    let state = State::new(setup, hosts);
    World {
        state,
        truth,
        free: BTreeSet::new(),
        over: BTreeSet::new(),
        pending: Vec::new(),
        dice: Dice(seed | 1),
        trouble,
    }
}

impl World {
    fn bad(&mut self) -> bool {
        self.trouble != 0 && self.dice.roll(self.trouble) == 0
    }

    fn run(&mut self, interrupt_at: Option<usize>) {
        self.pending = self.state.begin();
        for round in 0..10_000 {
            if interrupt_at == Some(round) {
                let effects = self.state.interrupt();
                self.pending.extend(effects);
            }
            if self.pending.is_empty() {
                assert!(self.state.finished(), "stuck: {:?}", self.state);
                return;
            }
            // Hosts go on in any order; what one of them is told, it does in the order it was told.
            let at = self.dice.roll(self.pending.len() as u64) as usize;
            let host = self.pending[at].0.clone();
            let first = self.pending.iter().position(|(h, _)| *h == host).unwrap();
            let (host, effect) = self.pending.remove(first);
            if self.over.contains(&host) && !matches!(effect, Effect::Recover | Effect::Restore) {
                continue;
            }
            for event in self.act(&host, effect) {
                if matches!(event, Event::Reverted | Event::RevertFailed(_) | Event::Lost(_)) {
                    self.over.insert(host.clone());
                }
                let effects = self.state.step(&host, event);
                self.pending.extend(effects);
            }
        }
        panic!("it never ends: {:?}", self.state);
    }

    /// What a host does, and what is heard of it.
    fn act(&mut self, host: &str, effect: Effect) -> Vec<Event> {
        let bad = self.bad();
        let truth = self.truth[host];
        let free = self.free.contains(host);
        let set = |w: &mut Self, t| {
            w.truth.insert(host.to_owned(), t);
        };
        let lost = || vec![Event::Lost("lost".into())];
        match effect {
            Effect::Cancel => vec![],
            Effect::Copy if bad => vec![Event::Failed("disk full".into())],
            Effect::Copy => vec![Event::Copied],
            Effect::Lock if bad && self.dice.roll(2) == 0 => vec![Event::Refused("held".into())],
            Effect::Lock if bad => lost(),
            Effect::Lock => vec![Event::Locked],
            Effect::Activate if bad => match self.dice.roll(3) {
                0 => vec![Event::Reverting("status 2".into()), Event::Reverted],
                1 => {
                    set(self, Truth::New);
                    vec![Event::Activated { failed_units: true }]
                }
                _ => lost(),
            },
            Effect::Activate => {
                if self.state.setup.goal != Goal::Boot {
                    set(self, Truth::New);
                }
                vec![Event::Activated { failed_units: false }]
            }
            // The host reverts by itself when nobody is heard of.
            Effect::Acknowledge | Effect::Commit if bad => {
                set(self, Truth::Old);
                if self.dice.roll(2) == 0 {
                    lost()
                } else {
                    vec![Event::Reverting("x".into()), Event::Reverted]
                }
            }
            Effect::Acknowledge => vec![Event::Acked],
            Effect::Check if bad => vec![Event::Unhealthy("closed".into())],
            Effect::Check => vec![Event::Healthy],
            Effect::Commit => {
                set(self, Truth::New);
                vec![Event::Committed]
            }
            Effect::Release if bad => {
                // The order may have arrived, or not.
                if self.dice.roll(2) == 0 {
                    self.free.insert(host.to_owned());
                } else {
                    set(self, Truth::Old);
                }
                lost()
            }
            Effect::Release => {
                self.free.insert(host.to_owned());
                vec![Event::Released]
            }
            Effect::Abort if free => vec![Event::Released],
            Effect::Abort if bad && truth == Truth::New => {
                set(self, Truth::Broken);
                vec![Event::RevertFailed("status 1".into())]
            }
            Effect::Abort => {
                set(self, Truth::Old);
                vec![Event::Reverting("taken back".into()), Event::Reverted]
            }
            Effect::Recover if bad => {
                set(self, Truth::Away { new: free });
                vec![Event::Unreachable("cut off".into())]
            }
            Effect::Recover if free => vec![Event::Released],
            Effect::Recover => {
                set(self, Truth::Old);
                vec![Event::Reverted]
            }
            Effect::Restore if bad => {
                set(self, Truth::Broken);
                vec![Event::RevertFailed("status 1".into())]
            }
            Effect::Restore => {
                set(self, Truth::Old);
                self.free.remove(host);
                vec![Event::Reverted]
            }
        }
    }
}

const THREE: &[(&str, usize, &[&str])] = &[("db", 0, &[]), ("files", 0, &[]), ("web", 0, &["db", "files"])];
const ROLLING: &[(&str, usize, &[&str])] = &[("a", 0, &[]), ("b", 1, &[]), ("c", 2, &["a"])];

#[test]
fn what_is_said_of_a_host_is_true_and_all_are_new_or_all_are_old() {
    let mut ended = BTreeMap::new();
    for seed in 1..6000_u64 {
        for (hosts, best_effort) in [(THREE, false), (ROLLING, false), (THREE, true)] {
            let goal = [Goal::Switch, Goal::Boot, Goal::Test][seed as usize % 3];
            let interrupt = (seed % 4 == 0).then_some((seed / 4 % 40) as usize);
            let mut w = world(
                setup(goal, best_effort),
                hosts,
                seed.wrapping_mul(0x9e37_79b9),
                [0, 4, 12, 30][seed as usize / 3 % 4],
            );
            w.run(interrupt);
            let outcomes = w.state.outcomes();
            let (mut new, mut old) = (0, 0);
            for (host, outcome) in &outcomes {
                let truth = w.truth[host];
                match (outcome, truth) {
                    (Outcome::Switched | Outcome::SwitchedWithFailedUnits, Truth::New) => new += 1,
                    (Outcome::Untouched(_) | Outcome::RolledBack(_), Truth::Old) => old += 1,
                    (Outcome::RollbackFailed(_), Truth::Broken)
                    | (Outcome::Unreachable(_), Truth::Away { .. }) => {}
                    _ => panic!("seed {seed}: {host} is {truth:?}, and {outcome:?} was said"),
                }
            }
            if !best_effort {
                assert!(new == 0 || old == 0, "seed {seed}: {outcomes:?}");
            }
            *ended.entry(exit_status(&outcomes, false)).or_insert(0) += 1;
        }
    }
    // The dice have been to every end.
    assert_eq!(ended.keys().copied().collect::<Vec<_>>(), [0, 1, 5, 6, 7], "{ended:?}");
}

#[test]
fn without_trouble_everything_is_switched() {
    for hosts in [THREE, ROLLING] {
        for seed in 1..50 {
            let mut w = world(setup(Goal::Switch, false), hosts, seed, 0);
            w.run(None);
            assert!(w.state.outcomes().values().all(|o| *o == Outcome::Switched));
            assert!(w.truth.values().all(|t| *t == Truth::New));
            // Whoever watches sees every host in every phase, the one too that opens a barrier by coming to it.
            let passed = w.state.passed();
            for (host, ..) in hosts {
                let ranks: Vec<u8> =
                    passed.iter().filter(|(h, _)| h == host).filter_map(|(_, p)| p.rank()).collect();
                assert_eq!(ranks, (1..=12).collect::<Vec<u8>>(), "{host}: {passed:?}");
            }
            assert!(w.state.passed().is_empty());
        }
    }
}

/// Feeds every effect's good event but to those named.
fn drive(
    state: &mut State,
    mut pending: Vec<(String, Effect)>,
    hold: &[(&str, Effect)],
) -> Vec<(String, Effect)> {
    let mut log = Vec::new();
    while let Some((host, effect)) = pending.first().cloned() {
        pending.remove(0);
        log.push((host.clone(), effect));
        if hold.contains(&(host.as_str(), effect)) {
            continue;
        }
        let event = match effect {
            Effect::Copy => Event::Copied,
            Effect::Lock => Event::Locked,
            Effect::Activate => Event::Activated { failed_units: false },
            Effect::Acknowledge => Event::Acked,
            Effect::Check => Event::Healthy,
            Effect::Commit => Event::Committed,
            Effect::Release => Event::Released,
            Effect::Abort | Effect::Recover | Effect::Restore => Event::Reverted,
            Effect::Cancel => continue,
        };
        pending.extend(state.step(&host, event));
    }
    log
}

fn started(hosts: &[(&str, usize, &[&str])]) -> (State, Vec<(String, Effect)>) {
    let mut w = world(setup(Goal::Switch, false), hosts, 1, 0);
    let first = w.state.begin();
    (w.state, first)
}

#[test]
fn nothing_is_activated_before_all_is_copied_and_locked() {
    for held in [("web", Effect::Copy), ("db", Effect::Lock)] {
        let (mut state, first) = started(THREE);
        let log = drive(&mut state, first, &[held]);
        assert!(!log.iter().any(|(_, e)| *e == Effect::Activate), "{log:?}");
    }
}

#[test]
fn dependencies_and_groups_are_activated_in_order() {
    let (mut state, first) = started(THREE);
    let log = drive(&mut state, first, &[("db", Effect::Acknowledge)]);
    assert!(!log.contains(&("web".into(), Effect::Activate)), "{log:?}");
    let (mut state, first) = started(ROLLING);
    let log = drive(&mut state, first, &[("a", Effect::Check)]);
    assert!(!log.contains(&("b".into(), Effect::Activate)), "{log:?}");
}

#[test]
fn a_failure_takes_back_whoever_was_begun_and_leaves_the_rest_alone() {
    let (mut state, first) = started(ROLLING);
    drive(&mut state, first, &[("b", Effect::Check)]);
    let effects = state.step("b", Event::Unhealthy("port 80".into()));
    let log = drive(&mut state, effects, &[]);
    assert_eq!(log.len(), 3);
    let outcomes = state.outcomes();
    assert!(matches!(outcomes["a"], Outcome::RolledBack(_)));
    assert!(matches!(&outcomes["b"], Outcome::RolledBack(why) if why == "port 80"));
    assert!(matches!(&outcomes["c"], Outcome::Untouched(why) if why == "b: port 80"));
    assert_eq!(exit_status(&outcomes, false), 5);
}

#[test]
fn failed_units_are_a_failure_unless_they_are_accepted() {
    for (accept, want) in [(false, 5), (true, 4)] {
        let mut setup = setup(Goal::Switch, false);
        setup.accept_failed_units = accept;
        let mut w = world(setup, THREE, 1, 0);
        let first = w.state.begin();
        drive(&mut w.state, first, &[("db", Effect::Activate)]);
        let effects = w.state.step("db", Event::Activated { failed_units: true });
        drive(&mut w.state, effects, &[]);
        assert_eq!(exit_status(&w.state.outcomes(), false), want);
    }
}

#[test]
fn it_is_too_late_to_interrupt_once_hosts_are_let_go() {
    let (mut state, first) = started(THREE);
    drive(&mut state, first, &[("web", Effect::Release)]);
    assert!(state.interrupt().is_empty());
    drive(&mut state, vec![], &[]);
    state.step("web", Event::Released);
    assert!(state.outcomes().values().all(|o| *o == Outcome::Switched));
}
