//! The interface's whole state.
//!
//! Invariant: no I/O; what is drawn is a function of this and nothing else.

use std::collections::HashMap;
use std::path::PathBuf;

use ratatui::layout::Rect;

use super::commands::Act;
use super::keymap::{Keymap, Scope};
use super::layer::Layer;
use super::msg::Req;
use super::ship::{Production, Ship};
use super::theme::{Theme, themes};
use super::tile::{LOCAL, Stream, Tile, TileKind};
use crate::proto::{
    Action, ForwardView, InterfaceView, LinkView, NodeState, NodeView, Phase, Request, SubtestView, View,
    Wanted,
};

/// What has the focus in NAV mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Panel {
    /// The console tiles.
    Consoles,
    /// The nodes list.
    Nodes,
    /// The pairs of nodes.
    Links,
    /// The reachability matrix.
    Reach,
    /// The picture of VLANs and nodes.
    Topology,
    /// The port forwards.
    Forwards,
    /// The test script's subtests.
    Tests,
    /// The real hosts.
    Production,
    /// The command log.
    Log,
}

impl Panel {
    /// In the order of their number keys, the log last.
    pub const ALL: [Self; 9] = [
        Self::Consoles,
        Self::Nodes,
        Self::Links,
        Self::Reach,
        Self::Topology,
        Self::Forwards,
        Self::Tests,
        Self::Production,
        Self::Log,
    ];
}

/// Where keys go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// To the interface.
    Nav,
    /// To the guest, all but one.
    Console,
    /// To the select cursor.
    Select,
}

/// What an answer will be the answer to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pending {
    /// The subscription.
    Subscribe,
    /// A tile's stream.
    Tile,
    /// An action; its command line.
    Act(String),
    /// A forward being added by the form.
    Forward,
    /// `stty` for a node.
    Sync { node: String, rows: u16, cols: u16 },
    /// A picture that is being written to this file.
    Picture(PathBuf),
    /// The end of the session.
    Down,
    /// Nothing to be done about it.
    Quiet,
}

/// What the interface starts with.
#[derive(Debug, Clone)]
pub struct TuiOptions {
    /// The user's settings.
    pub config: crate::config::Config,
    /// Whether colours are unwanted (`NO_COLOR`).
    pub no_color: bool,
    /// Whether the terminal shows 24-bit colours.
    pub truecolor: bool,
    /// Where pictures are written to.
    pub directory: PathBuf,
}

impl TuiOptions {
    /// Takes what the environment says about colours.
    pub fn from_env(config: crate::config::Config) -> Self {
        let var = |name: &str| std::env::var(name).unwrap_or_default();
        let truecolor = matches!(var("COLORTERM").as_str(), "truecolor" | "24bit");
        let directory = std::env::current_dir().unwrap_or_default();
        Self { config, no_color: !var("NO_COLOR").is_empty(), truecolor, directory }
    }
}

/// Everything.
#[derive(Debug)]
pub struct State {
    /// Columns and rows.
    pub size: (u16, u16),
    /// Milliseconds of the wall clock, as of the last message.
    pub now: u64,
    /// The session.
    pub view: View,
    /// Whether a view has come.
    pub loaded: bool,
    /// Consoles in the nodes' order, then root shells.
    pub tiles: Vec<Tile>,
    /// The focused tile.
    pub tile: usize,
    /// Where keys go.
    pub mode: Mode,
    /// What has the focus.
    pub panel: Panel,
    /// The panel shown where there is room for one of several.
    pub context: Panel,
    /// The selected node's name.
    pub selected: String,
    /// Only nodes with this in their name are listed.
    pub filter: String,
    /// Row and column of the matrix's cursor.
    pub reach: (usize, usize),
    /// Whether space in the matrix acts on both directions.
    pub both: bool,
    /// The cursor in Links.
    pub link: usize,
    /// The cursor in Topology: an index into all interfaces.
    pub interface: usize,
    /// The cursor in Forwards.
    pub forward: usize,
    /// Lines the log is scrolled back by.
    pub log_scroll: usize,
    /// The subtest under the cursor.
    pub test: usize,
    /// Whether the log is a panel rather than a line.
    pub log_open: bool,
    /// Whether the focused tile has the whole screen.
    pub zoom: bool,
    /// The focused tile's share of the width in percent, once somebody chose one.
    pub share: Option<u16>,
    /// What lies over the panels, the topmost last.
    pub layers: Vec<Layer>,
    /// A word to the person: until when, whether it is bad, the text.
    pub notice: Option<(u64, bool, String)>,
    /// The colours.
    pub theme: Theme,
    /// The keys.
    pub keymap: Keymap,
    /// What was asked for at the start.
    pub options: TuiOptions,
    /// Whether this program has the mouse.
    pub mouse: bool,
    /// Whether the escape key was the last key in CONSOLE mode.
    pub escape_armed: bool,
    /// Where a drag began: tile, line, column.
    pub drag: Option<(usize, i32, usize)>,
    /// Whether the connection is there.
    pub connected: bool,
    /// Lines the failure report is scrolled by.
    pub failure_scroll: usize,
    /// The deployment, when there is one.
    pub ship: Ship,
    /// The real hosts.
    pub production: Production,
    /// The number of the next terminal of this machine's own.
    pub(super) next_local: u32,
    pub(super) pending: HashMap<u64, Pending>,
    pub(super) next_id: u64,
    pub(super) tried: HashMap<String, NodeState>,
}

impl State {
    /// Creates the state of an interface that has heard nothing yet.
    ///
    /// # Errors
    /// When the configuration names a key, a command or a theme that does not exist.
    pub fn new(options: TuiOptions, size: (u16, u16)) -> Result<Self, String> {
        let ui = &options.config.ui;
        let theme = Theme::named(&ui.theme, options.no_color, options.truecolor)?;
        Ok(Self {
            size,
            now: 0,
            view: View::default(),
            loaded: false,
            tiles: Vec::new(),
            tile: 0,
            mode: Mode::Nav,
            panel: Panel::Nodes,
            context: Panel::Reach,
            selected: String::new(),
            filter: String::new(),
            reach: (0, 1),
            both: false,
            link: 0,
            interface: 0,
            forward: 0,
            log_scroll: 0,
            test: 0,
            log_open: false,
            zoom: false,
            share: None,
            layers: Vec::new(),
            notice: None,
            theme,
            keymap: Keymap::with(&options.config.keys)?,
            mouse: ui.mouse,
            escape_armed: false,
            drag: None,
            connected: true,
            failure_scroll: 0,
            ship: Ship::default(),
            production: Production::default(),
            next_local: 0,
            pending: HashMap::new(),
            next_id: 1,
            tried: HashMap::new(),
            options,
        })
    }

    /// The whole screen.
    pub fn area(&self) -> Rect {
        Rect::new(0, 0, self.size.0, self.size.1)
    }

    /// The scope that keys are looked up in now.
    pub fn scope(&self) -> Scope {
        match (self.mode, self.panel) {
            (Mode::Console, _) => Scope::Console,
            (Mode::Select, _) => Scope::Select,
            (Mode::Nav, Panel::Consoles) => Scope::Consoles,
            (Mode::Nav, Panel::Nodes) => Scope::Nodes,
            (Mode::Nav, Panel::Links) => Scope::Links,
            (Mode::Nav, Panel::Reach) => Scope::Reach,
            (Mode::Nav, Panel::Topology) => Scope::Topology,
            (Mode::Nav, Panel::Forwards) => Scope::Forwards,
            (Mode::Nav, Panel::Tests) => Scope::Tests,
            (Mode::Nav, Panel::Production) => Scope::Production,
            (Mode::Nav, Panel::Log) => Scope::Log,
        }
    }

    /// Makes a request with a fresh id.
    pub(super) fn ask(&mut self, request: Request, pending: Pending) -> Req {
        let id = self.next_id;
        self.next_id += 1;
        let local = match &request {
            Request::Resize { stream, .. } | Request::Window { stream, .. } | Request::Close { stream } => {
                stream & LOCAL != 0
            }
            _ => false,
        };
        // A terminal of this machine's own answers nothing.
        if !local {
            self.pending.insert(id, pending);
        }
        Req::Send { id, request }
    }

    /// Makes a request of an action.
    pub(super) fn act(&mut self, action: Action) -> Req {
        let cli = action.cli();
        self.ask(Request::Act { action }, Pending::Act(cli))
    }

    /// Says something for a few seconds.
    pub fn say(&mut self, bad: bool, text: impl Into<String>) {
        let seconds = if bad { 12 } else { 5 };
        self.notice = Some((self.now + seconds * 1000, bad, text.into()));
    }

    /// The nodes that the filter lets through.
    pub fn listed(&self) -> impl Iterator<Item = &NodeView> {
        let wanted = self.filter.to_lowercase();
        self.view.nodes.iter().filter(move |n| n.name.to_lowercase().contains(&wanted))
    }

    /// The selected node.
    pub fn node(&self) -> Option<&NodeView> {
        self.view.nodes.iter().find(|n| n.name == self.selected)
    }

    /// The node of this name.
    pub fn node_named(&self, name: &str) -> Option<&NodeView> {
        self.view.nodes.iter().find(|n| n.name == name)
    }

    /// The link of an ordered pair.
    pub fn link_of(&self, from: &str, to: &str) -> Option<&LinkView> {
        self.view.links.iter().find(|l| l.from == from && l.to == to)
    }

    /// Every unordered pair of nodes that share a VLAN.
    pub fn pairs(&self) -> Vec<(&LinkView, Option<&LinkView>)> {
        let at = |name: &str| self.view.nodes.iter().position(|n| n.name == name);
        self.view
            .links
            .iter()
            .filter(|l| at(&l.from) < at(&l.to))
            .map(|l| (l, self.link_of(&l.to, &l.from)))
            .collect()
    }

    /// The ordered pair that the focused panel's cursor is on.
    pub fn pair(&self) -> Option<(&str, &str)> {
        match self.panel {
            Panel::Links => self.pairs().get(self.link).map(|(l, _)| (l.from.as_str(), l.to.as_str())),
            _ => {
                let name = |i: usize| self.view.nodes.get(i).map(|n| n.name.as_str());
                let (from, to) = (name(self.reach.0)?, name(self.reach.1)?);
                self.link_of(from, to).map(|l| (l.from.as_str(), l.to.as_str()))
            }
        }
    }

    /// The action that cuts a direction, or heals it when it is cut.
    pub fn toggle_cut(&self, from: &str, to: &str) -> Action {
        let cut = self.link_of(from, to).is_some_and(|l| l.wanted == Wanted::Cut);
        let (from, to) = (from.to_owned(), to.to_owned());
        if cut { Action::Heal { from, to } } else { Action::Cut { from, to } }
    }

    /// Every interface with its node, in the order the topology shows them.
    pub fn interfaces(&self) -> Vec<(&NodeView, &InterfaceView)> {
        self.view.nodes.iter().flat_map(|n| n.interfaces.iter().map(move |i| (n, i))).collect()
    }

    /// The action that takes the focused carrier down or up: the topology's cursor names one
    /// interface, everywhere else the selected node's carriers are meant.
    pub fn toggle_carrier(&self) -> Option<Action> {
        if self.panel == Panel::Topology {
            let (node, i) = *self.interfaces().get(self.interface)?;
            let interface = Some(i.name.clone());
            return Some(Action::Carrier { node: node.name.clone(), interface, up: !i.carrier });
        }
        let node = self.node()?;
        let up = node.interfaces.iter().any(|i| !i.carrier);
        (!node.interfaces.is_empty()).then(|| Action::Carrier {
            node: node.name.clone(),
            interface: None,
            up,
        })
    }

    /// The forward under the cursor.
    pub fn forward(&self) -> Option<&ForwardView> {
        self.view.forwards.get(self.forward)
    }

    /// The subtest under the cursor.
    pub fn subtest(&self) -> Option<&SubtestView> {
        self.view.tests.subtests.get(self.test)
    }

    /// The forward that the browser should open: the one under the cursor when the forwards have
    /// the focus, else the selected node's first, else the first that listens.
    pub fn forward_to_browse(&self) -> Option<&ForwardView> {
        if self.panel == Panel::Forwards {
            return self.forward();
        }
        let all = &self.view.forwards;
        let web = |f: &&ForwardView| f.active && f.proto == crate::model::Proto::Tcp && f.guest_port != 22;
        all.iter().filter(web).find(|f| f.node == self.selected).or_else(|| all.iter().find(web))
    }

    /// The focused tile.
    pub fn focused(&self) -> Option<&Tile> {
        self.tiles.get(self.tile)
    }

    /// The focused tile.
    pub fn focused_mut(&mut self) -> Option<&mut Tile> {
        self.tiles.get_mut(self.tile)
    }

    /// Gives a tile the focus and selects its node.
    pub fn focus_tile(&mut self, index: usize) {
        if let Some(tile) = self.tiles.get_mut(index) {
            tile.unseen = false;
            self.selected = tile.node.clone();
            self.tile = index;
        }
    }

    /// Selects a node, and its console's tile.
    pub fn select_node(&mut self, name: &str) {
        if self.node_named(name).is_some() {
            self.selected = name.to_owned();
            let of = |t: &Tile| t.node == name && t.kind == TileKind::Serial;
            if let Some(i) = self.tiles.iter().position(of) {
                self.focus_tile(i);
            }
        }
    }

    /// Moves the focus to a panel.
    pub fn focus_panel(&mut self, panel: Panel) {
        self.panel = panel;
        if !matches!(panel, Panel::Consoles | Panel::Nodes | Panel::Log) {
            self.context = panel;
        }
        if panel != Panel::Consoles {
            self.zoom = false;
        }
        if panel == Panel::Log {
            self.log_open = true;
        }
    }

    /// Whether machines are still to come: nothing has been started yet.
    pub fn preparing(&self) -> bool {
        matches!(self.view.phase, Phase::Evaluating | Phase::Building { .. })
    }

    /// Draws at most `max` waiting bytes into the screens, all consoles in turn.
    pub fn digest(&mut self, max: usize) -> Vec<Req> {
        const SLICE: usize = 4096;
        let mut left = max;
        while left > 0 && self.tiles.iter().any(Tile::behind) {
            for tile in &mut self.tiles {
                left = left.saturating_sub(tile.digest(SLICE.min(left)).max(1));
            }
        }
        let mut reqs = Vec::new();
        for i in 0..self.tiles.len() {
            if let Some((stream, bytes)) = self.tiles[i].take_grant() {
                reqs.push(self.ask(Request::Window { stream, bytes }, Pending::Quiet));
            }
            let tile = &mut self.tiles[i];
            if let (Stream::Open(stream), true) = (tile.stream, tile.kind.is_terminal()) {
                let replies = tile.screen.take_replies();
                if !replies.is_empty() {
                    reqs.push(Req::Data { stream, bytes: replies.into() });
                }
            }
        }
        reqs
    }

    /// Whether output waits to be drawn into a screen.
    pub fn behind(&self) -> bool {
        self.tiles.iter().any(Tile::behind)
    }

    /// Changes to the theme after the present one.
    pub(super) fn next_theme(&mut self) {
        let names: Vec<&str> = themes().map(|(n, _)| n).collect();
        let at = names.iter().position(|n| *n == self.theme.name).unwrap_or(0);
        let name = names[(at + 1) % names.len()];
        if let Ok(theme) = Theme::named(name, self.options.no_color, self.options.truecolor) {
            self.theme = theme;
            self.say(false, format!("theme {name}; keep it with `theme = \"{name}\"` under [ui]"));
        }
    }

    /// The keys of an act in the present scope, for the status line.
    pub(super) fn escape_key(&self) -> String {
        let keys = self.keymap.keys_in(Scope::Console, "leave-console");
        keys.first().map_or_else(|| "ctrl-]".into(), ToString::to_string)
    }

    /// Whether an act makes sense now; the palette greys out what does not.
    pub(super) fn possible(&self, act: Act) -> bool {
        match act {
            Act::Node(_) | Act::Shell | Act::Screenshot | Act::EnterConsole | Act::PauseToggle => {
                self.node().is_some()
            }
            Act::ForwardRemove => self.forward().is_some(),
            Act::TestAll | Act::TestStop => self.view.tests.script,
            Act::TestOne | Act::TestShow | Act::TestWhy => self.subtest().is_some(),
            _ => true,
        }
    }
}
