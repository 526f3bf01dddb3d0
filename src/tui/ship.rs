//! Production as the screen knows it: a deployment from its plan to its end, and how the hosts are.
//!
//! ```text
//! D ─▶ Planning ─▶ Planned ─ the network's name is typed ─▶ Shipping ─▶ Ended
//!         └──────────┴─ esc: nothing was changed
//! ```
//!
//! The work is done by this program run once more (`diorama plan | deploy | status … --json`), so the
//! screen shows what a script would read. The screen is not left while hosts are being changed.
//!
//! Invariant: no I/O; no key press alone starts a deployment.

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;

use super::layer::{Layer, ShipBox};
use super::msg::{Job, Req};
use super::regions::regions;
use super::state::{Mode, Panel, State};
use super::tile::{LOCAL, Stream, Tile, TileKind};
use super::view::inner;
use crate::deploy::plan::{Plan, Status};
use crate::deploy::words::{Outcome, Phase};
use crate::deploy::{Happening, HostStatus, NetworkStatus};

/// Lines of what hosts said that are kept.
const SAID_MAX: usize = 500;
/// Milliseconds between two looks at the hosts while the panel is on the screen.
const LOOK_EVERY: u64 = 30_000;

/// How far a deployment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stage {
    /// None was begun.
    #[default]
    Idle,
    /// The model is built and the hosts are asked.
    Planning,
    /// The plan lies there for the person to decide.
    Planned,
    /// Hosts are being changed.
    Shipping,
    /// It is over.
    Ended,
}

/// One host in a deployment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// Where it is.
    pub phase: Option<Phase>,
    /// Bytes copied, of all.
    pub copied: Option<(u64, u64)>,
    /// What came of it.
    pub outcome: Option<Outcome>,
}

/// The end of a deployment, as the program's last line tells it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct End {
    /// The exit status.
    pub status: u8,
    /// The new generation's number.
    #[serde(default)]
    pub generation: Option<u64>,
    /// How long it took.
    #[serde(default)]
    pub seconds: f64,
    /// Bytes copied.
    #[serde(default)]
    pub bytes: u64,
}

/// A deployment.
#[derive(Debug, Default)]
pub struct Ship {
    /// How far it is.
    pub stage: Stage,
    /// The plan.
    pub plan: Option<Plan>,
    /// The hosts that are changed.
    pub hosts: BTreeMap<String, Progress>,
    /// What was said, newest last.
    pub said: VecDeque<String>,
    /// Why everything is taken back.
    pub failing: Option<String>,
    /// How it ended.
    pub end: Option<End>,
    /// What the program said on standard error, when it ended badly.
    pub error: Option<String>,
}

impl Ship {
    /// Why the plan cannot be carried out.
    pub fn obstacles(&self) -> Vec<String> {
        let Some(plan) = &self.plan else { return Vec::new() };
        let mut out: Vec<String> =
            plan.hosts.iter().filter_map(|(n, h)| Some(format!("{n}: {}", h.status.obstacle()?))).collect();
        let changes = plan.hosts.iter().filter(|(_, h)| h.status == Status::Changes);
        out.extend(changes.filter_map(|(n, h)| Some(format!("{n}: {}", h.drift.as_ref()?))));
        // What the screen deploys is switched to; `--goal boot` is the command line's.
        out.extend(plan.inhibited());
        out
    }

    /// Whether anything would be changed.
    pub fn changes(&self) -> bool {
        self.plan.as_ref().is_some_and(|p| p.hosts.values().any(|h| h.status == Status::Changes))
    }

    /// The network's name, which is typed to confirm.
    pub fn network(&self) -> Option<&str> {
        self.plan.as_ref().map(|p| p.network.as_str())
    }

    fn say(&mut self, line: String) {
        if self.said.len() == SAID_MAX {
            self.said.pop_front();
        }
        self.said.push_back(line);
    }
}

/// The hosts as they were seen last.
#[derive(Debug, Default)]
pub struct Production {
    /// What was seen.
    pub status: Option<NetworkStatus>,
    /// Why nothing could be seen.
    pub error: Option<String>,
    /// When they were asked last.
    pub asked: Option<u64>,
    /// Whether an answer is on its way.
    pub asking: bool,
    /// The cursor.
    pub at: usize,
}

impl Production {
    /// The host under the cursor.
    pub fn host(&self) -> Option<(&String, &HostStatus)> {
        self.status.as_ref()?.hosts.iter().nth(self.at)
    }

    /// How many hosts there are.
    pub fn len(&self) -> usize {
        self.status.as_ref().map_or(0, |s| s.hosts.len())
    }
}

/// A line of `diorama deploy --json`.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Line {
    Plan {
        plan: Box<Plan>,
    },
    Outcome {
        host: String,
        result: Outcome,
    },
    End(End),
    #[serde(untagged)]
    Happening(Happening),
}

/// Makes a plan, or shows the deployment that is under way.
pub(super) fn open(state: &mut State) -> Vec<Req> {
    if state.options.config.deploy.readonly {
        state.say(true, "deploying is turned off (--readonly, or deploy.readonly in the configuration)");
        return Vec::new();
    }
    state.layers.push(Layer::Ship(ShipBox::default()));
    if matches!(state.ship.stage, Stage::Planning | Stage::Shipping) {
        return Vec::new();
    }
    state.ship = Ship { stage: Stage::Planning, ..Ship::default() };
    let args = ["plan", state.view.model.as_str(), "--json"].map(str::to_owned).to_vec();
    vec![Req::Job { job: Job::Plan, args }]
}

/// Carries the plan out, when the name that was typed is the network's.
pub(super) fn go(state: &mut State, typed: &str) -> Vec<Req> {
    let ship = &mut state.ship;
    let (Stage::Planned, Some(network)) = (ship.stage, ship.network()) else { return Vec::new() };
    if typed.trim() != network {
        let text = format!("nothing was done: {network:?} has to be typed to deploy");
        state.say(true, text);
        return Vec::new();
    }
    ship.stage = Stage::Shipping;
    let args = ["deploy", state.view.model.as_str(), "--yes", "--json"].map(str::to_owned).to_vec();
    vec![Req::Job { job: Job::Deploy, args }]
}

/// Gives up a plan that is being made, or takes back a deployment that is under way.
pub(super) fn stop(state: &mut State) -> Vec<Req> {
    match state.ship.stage {
        Stage::Planning => {
            state.ship.stage = Stage::Idle;
            vec![Req::StopJob(Job::Plan)]
        }
        Stage::Shipping => {
            state.ship.say("taking it back …".into());
            vec![Req::StopJob(Job::Deploy)]
        }
        Stage::Idle | Stage::Planned | Stage::Ended => Vec::new(),
    }
}

/// Whether the screen must not be left: a deployment that loses its deployer takes itself back.
pub(super) fn holds(state: &mut State) -> bool {
    let under_way = state.ship.stage == Stage::Shipping;
    if under_way {
        state.say(true, "a deployment is under way: D shows it, and ctrl-c there takes it back");
    }
    under_way
}

/// Asks the hosts how they are.
pub(super) fn look(state: &mut State) -> Vec<Req> {
    if state.production.asking {
        return Vec::new();
    }
    state.production.asking = true;
    state.production.asked = Some(state.now);
    let network = state.ship.network().unwrap_or(&state.view.network).to_owned();
    let args = ["status", "--network", network.as_str(), "--json"].map(str::to_owned).to_vec();
    vec![Req::Job { job: Job::Status, args }]
}

/// Looks at the hosts again when the panel is on the screen and what it shows is old.
pub(super) fn tick(state: &mut State) -> Vec<Req> {
    let old = state.production.asked.is_some_and(|t| state.now.saturating_sub(t) >= LOOK_EVERY);
    if old && state.production.status.is_some() && regions(state).panel(Panel::Production).is_some() {
        return look(state);
    }
    Vec::new()
}

/// Takes a line of a job's standard output.
pub(super) fn on_line(state: &mut State, job: Job, text: &str) -> Vec<Req> {
    match job {
        Job::Plan if state.ship.stage == Stage::Planning => match serde_json::from_str::<Plan>(text) {
            Ok(plan) => {
                state.ship.plan = Some(plan);
                state.ship.stage = Stage::Planned;
            }
            Err(e) => state.ship.say(format!("the plan makes no sense: {e}")),
        },
        Job::Plan => {}
        Job::Deploy => match serde_json::from_str::<Line>(text) {
            Ok(line) => on_deploy_line(&mut state.ship, line),
            Err(_) => state.ship.say(crate::error::printable(text)),
        },
        Job::Status => match serde_json::from_str::<NetworkStatus>(text) {
            Ok(status) => {
                state.production.at = state.production.at.min(status.hosts.len().saturating_sub(1));
                (state.production.status, state.production.error) = (Some(status), None);
            }
            Err(e) => state.production.error = Some(format!("the answer makes no sense: {e}")),
        },
    }
    Vec::new()
}

fn on_deploy_line(ship: &mut Ship, line: Line) {
    match line {
        Line::Plan { plan } => {
            let changed = plan.hosts.iter().filter(|(_, h)| h.status == Status::Changes);
            ship.hosts = changed.map(|(n, _)| (n.clone(), Progress::default())).collect();
            ship.plan = Some(*plan);
        }
        Line::Outcome { host, result } => {
            ship.hosts.entry(host).or_default().outcome = Some(result);
        }
        Line::End(end) => ship.end = Some(end),
        Line::Happening(Happening::Phase { host, phase }) => {
            ship.hosts.entry(host).or_default().phase = Some(phase);
        }
        Line::Happening(Happening::Copy { host, done, total }) => {
            ship.hosts.entry(host).or_default().copied = Some((done, total));
        }
        Line::Happening(Happening::Said { host, line }) => ship.say(format!("{host} | {line}")),
        Line::Happening(Happening::Reboot { host }) => ship.say(format!("{host}: a reboot is due")),
        Line::Happening(Happening::Failing { why }) => {
            ship.say(format!("everything goes back: {why}"));
            ship.failing = Some(why);
        }
    }
}

/// Takes the end of a job.
pub(super) fn on_end(state: &mut State, job: Job, status: Option<i32>, errors: &str) -> Vec<Req> {
    let error = (!errors.trim().is_empty()).then(|| crate::error::printable(errors.trim()));
    match job {
        Job::Plan => {
            if state.ship.stage == Stage::Planning {
                state.ship.stage = Stage::Ended;
                state.ship.error = error.or(Some("the plan could not be made".into()));
            }
            Vec::new()
        }
        Job::Deploy => {
            let ship = &mut state.ship;
            ship.stage = Stage::Ended;
            if ship.end.is_none() {
                let how = status.map_or_else(|| "it was killed".into(), |s| format!("exit status {s}"));
                ship.error = error.or(Some(format!("the deployment broke off: {how}")));
            }
            let good = ship.end.as_ref().is_some_and(|e| e.status == 0);
            let text = match (good, ship.end.as_ref().and_then(|e| e.generation)) {
                (true, Some(n)) => format!("deployed: generation {n}"),
                (true, None) => "deployed: nothing had to be changed".into(),
                (false, _) => "the deployment failed; D shows how each host is".into(),
            };
            state.say(!good, text);
            state.context = Panel::Production;
            look(state)
        }
        Job::Status => {
            state.production.asking = false;
            if !matches!(status, Some(0 | 1)) || error.is_some() && state.production.status.is_none() {
                state.production.error = error;
            }
            Vec::new()
        }
    }
}

/// Opens a terminal on the host under the cursor.
pub(super) fn terminal(state: &mut State) -> Vec<Req> {
    if state.options.config.deploy.readonly {
        state.say(true, "hosts are only looked at: deploying is turned off (--readonly or deploy.readonly)");
        return Vec::new();
    }
    let network = state.production.status.as_ref().map(|s| s.network.clone());
    let (Some((host, _)), Some(network)) = (state.production.host(), network) else {
        state.say(true, "there is no host under the cursor; r looks at production");
        return Vec::new();
    };
    let host = host.clone();
    let shown = regions(state).tiles;
    let size = shown.first().map(|(_, r)| inner(state, *r)).unwrap_or_default();
    let (rows, cols) = (size.height.max(10), size.width.max(40));
    let mut tile = Tile::new(&host, TileKind::Host, state.options.config.ui.scrollback);
    tile.screen.resize(rows, cols);
    let stream = LOCAL | state.next_local;
    state.next_local = (state.next_local + 1) % LOCAL;
    tile.stream = Stream::Open(stream);
    state.tiles.push(tile);
    state.focus_tile(state.tiles.len() - 1);
    state.panel = Panel::Consoles;
    state.mode = Mode::Console;
    let args = ["ssh", "--network", network.as_str(), host.as_str()].map(str::to_owned).to_vec();
    vec![Req::Terminal { stream, args, rows, cols }]
}
