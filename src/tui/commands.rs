//! The table of commands: keys, help, palette, status line and reference derive from its rows.

use super::keymap::Scope::{self, *};
use super::state::State;
use crate::proto::{Action, NodeVerb};

/// A command of the interface.
#[derive(Debug)]
pub struct Command {
    /// Its name in the palette and the configuration.
    pub name: &'static str,
    /// Other names the palette finds it by.
    pub aliases: &'static [&'static str],
    /// What it does, one line.
    pub doc: &'static str,
    /// A word or two for the status line; empty keeps it off.
    pub hint: &'static str,
    /// Its keys.
    pub keys: &'static [(Scope, &'static str)],
    /// What it does.
    pub act: Act,
}

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each has a row in the table that says what it does")]
pub enum Act {
    Quit,
    Detach,
    Help,
    Palette,
    Panel(u8),
    NextPanel,
    PrevPanel,
    Up,
    Down,
    Left,
    Right,
    First,
    Last,
    PageUp,
    PageDown,
    EnterConsole,
    LeaveConsole,
    NextConsole,
    PrevConsole,
    Zoom,
    Bigger,
    Smaller,
    Search,
    SearchNext,
    SearchPrev,
    Filter,
    Select,
    SelectEnd,
    Mark,
    MarkLines,
    WordRight,
    WordLeft,
    LineStart,
    LineEnd,
    Yank,
    Editor,
    Node(NodeVerb),
    PauseToggle,
    Shell,
    CloseShell,
    Screenshot,
    PostMortem,
    CutToggle,
    CutBoth,
    DirectionToggle,
    Isolate,
    Rejoin,
    CarrierToggle,
    Undo,
    HealAll,
    ForwardAdd,
    ForwardRemove,
    Browse,
    TestAll,
    TestOne,
    TestStop,
    TestShow,
    TestWhy,
    Deploy,
    ProductionLook,
    HostTerminal,
    SyncSize,
    MouseToggle,
    LogToggle,
    ThemeNext,
    Redraw,
    Suspend,
}

macro_rules! command {
    ($name:literal $(, $alias:literal)*; $doc:literal; $hint:literal; $keys:expr; $act:expr) => {
        Command { name: $name, aliases: &[$($alias),*], doc: $doc, hint: $hint, keys: &$keys, act: $act }
    };
}

/// All commands, in the order that help shows.
pub const COMMANDS: &[Command] = &[
    command!("enter-console", "attach"; "type into the focused node's console"; "console"; [(Nav, "enter")]; Act::EnterConsole),
    command!("leave-console"; "back to NAV; twice sends the key itself to the guest"; "leave"; [(Console, "ctrl-]")]; Act::LeaveConsole),
    command!("palette", "commands"; "find a command by its name"; "palette"; [(Nav, ":"), (Nav, "ctrl-p")]; Act::Palette),
    command!("help", "keys"; "show every key"; "help"; [(Nav, "?"), (Nav, "F1")]; Act::Help),
    command!("quit", "leave", "exit"; "leave: detach, shut down or stay"; "leave"; [(Nav, "q"), (Nav, "ctrl-c")]; Act::Quit),
    command!("detach"; "leave the session running and return to the shell"; ""; [(Nav, "ctrl-d")]; Act::Detach),
    command!("consoles"; "focus the consoles"; ""; [(Nav, "0")]; Act::Panel(0)),
    command!("nodes"; "focus the nodes"; ""; [(Nav, "1")]; Act::Panel(1)),
    command!("links"; "focus the links"; ""; [(Nav, "2")]; Act::Panel(2)),
    command!("reach", "reachability", "matrix"; "focus the reachability matrix"; ""; [(Nav, "3")]; Act::Panel(3)),
    command!("topology", "picture"; "focus the picture of VLANs and nodes"; ""; [(Nav, "4")]; Act::Panel(4)),
    command!("forwards", "ports"; "focus the port forwards"; ""; [(Nav, "5")]; Act::Panel(5)),
    command!("tests", "subtests"; "focus the tests"; ""; [(Nav, "6")]; Act::Panel(6)),
    command!("production", "hosts"; "focus the real hosts"; ""; [(Nav, "7")]; Act::Panel(7)),
    command!("log", "history"; "show or hide the command log"; "log"; [(Nav, "@")]; Act::LogToggle),
    command!("next-panel"; "focus the next panel"; "panel"; [(Nav, "tab")]; Act::NextPanel),
    command!("previous-panel"; "focus the previous panel"; ""; [(Nav, "backtab")]; Act::PrevPanel),
    command!("up"; "move up"; ""; [(Nav, "k"), (Nav, "up"), (Select, "k"), (Select, "up")]; Act::Up),
    command!("down"; "move down"; ""; [(Nav, "j"), (Nav, "down"), (Select, "j"), (Select, "down")]; Act::Down),
    command!("left"; "move left"; ""; [(Nav, "h"), (Nav, "left"), (Select, "h"), (Select, "left")]; Act::Left),
    command!("right"; "move right"; ""; [(Nav, "l"), (Nav, "right"), (Select, "l"), (Select, "right")]; Act::Right),
    command!("first"; "go to the first line"; ""; [(Nav, "g"), (Nav, "home"), (Select, "g")]; Act::First),
    command!("last"; "go to the last line; in a console, to what is live"; ""; [(Nav, "G"), (Nav, "end"), (Select, "G")]; Act::Last),
    command!("page-up"; "scroll the focused console or list up"; "scroll"; [(Nav, "pageup"), (Nav, "ctrl-u"), (Select, "pageup"), (Select, "ctrl-u")]; Act::PageUp),
    command!("page-down"; "scroll the focused console or list down"; ""; [(Nav, "pagedown"), (Select, "pagedown"), (Select, "ctrl-d")]; Act::PageDown),
    command!("next-console"; "focus the next console"; ""; [(Nav, "]")]; Act::NextConsole),
    command!("previous-console"; "focus the previous console"; ""; [(Nav, "[")]; Act::PrevConsole),
    command!("zoom"; "give the focused console the whole screen, or back"; "zoom"; [(Nav, "z")]; Act::Zoom),
    command!("bigger"; "give the focused console more room"; ""; [(Nav, "+"), (Nav, "=")]; Act::Bigger),
    command!("smaller"; "give the other consoles more room"; ""; [(Nav, "_"), (Nav, "-")]; Act::Smaller),
    command!("filter"; "show only the nodes whose name matches"; "filter"; [(Nodes, "/")]; Act::Filter),
    command!("search", "find"; "search the focused console's screen and history"; "search"; [(Nav, "/"), (Select, "/")]; Act::Search),
    command!("search-next"; "go to the next match"; ""; [(Nav, "n"), (Select, "n")]; Act::SearchNext),
    command!("search-previous"; "go to the match before"; ""; [(Nav, "N"), (Select, "N")]; Act::SearchPrev),
    command!("select", "copy-mode", "scrollback"; "walk through the focused console's history and select"; "select"; [(Nav, "v")]; Act::Select),
    command!("mark"; "start or drop a selection"; "mark"; [(Select, "v"), (Select, "space")]; Act::Mark),
    command!("mark-lines"; "start or drop a selection of whole lines"; "lines"; [(Select, "V")]; Act::MarkLines),
    command!("word-right"; "go to the next word"; ""; [(Select, "w")]; Act::WordRight),
    command!("word-left"; "go to the word before"; ""; [(Select, "b")]; Act::WordLeft),
    command!("line-start"; "go to the line's start"; ""; [(Select, "0"), (Select, "home")]; Act::LineStart),
    command!("line-end"; "go to the line's end"; ""; [(Select, "$"), (Select, "end")]; Act::LineEnd),
    command!("yank", "copy"; "copy the selection to the clipboard (OSC 52)"; "copy"; [(Select, "y"), (Select, "enter"), (Nav, "y")]; Act::Yank),
    command!("leave-select"; "back to NAV"; "back"; [(Select, "esc"), (Select, "q"), (Select, "ctrl-c")]; Act::SelectEnd),
    command!("edit-history", "editor"; "open the focused console's history in $EDITOR"; ""; [(Nav, "e"), (Select, "e")]; Act::Editor),
    command!("node-start", "boot"; "power the focused node on"; "start"; [(Nav, "S")]; Act::Node(NodeVerb::Start)),
    command!("node-stop", "halt"; "shut the focused node down"; "stop"; [(Nav, "s")]; Act::Node(NodeVerb::Stop)),
    command!("node-restart", "reboot"; "stop the focused node, then start it"; "restart"; [(Nav, "r")]; Act::Node(NodeVerb::Restart)),
    command!("node-pause", "resume", "freeze"; "freeze the focused node's CPUs, or let them run again"; "pause"; [(Nav, "p")]; Act::PauseToggle),
    command!("node-crash", "power-cut", "kill"; "cut the focused node's power: unsynced writes are lost"; "power cut"; [(Nav, "X")]; Act::Node(NodeVerb::Crash)),
    command!("node-reset"; "press the focused node's reset button"; ""; [(Nav, "R")]; Act::Node(NodeVerb::Reset)),
    command!("node-error", "post-mortem", "why"; "show why the focused node crashed or failed"; "why"; [(Nodes, "W")]; Act::PostMortem),
    command!("root-shell", "exec"; "open a root shell in the focused node"; "root shell"; [(Nav, "E")]; Act::Shell),
    command!("close-shell"; "end the focused root shell"; "end shell"; [(Consoles, "x")]; Act::CloseShell),
    command!("screenshot", "picture-of-display", "display"; "write a picture of the focused node's display to NODE.png here"; ""; [(Nav, "P")]; Act::Screenshot),
    command!("cut-toggle", "partition", "heal"; "cut or heal the pair under the cursor in one direction; in Links, both"; "cut"; [(Reach, "space"), (Links, "space")]; Act::CutToggle),
    command!("cut-both"; "cut or heal the pair under the cursor in both directions"; "both"; [(Reach, "b")]; Act::CutBoth),
    command!("direction"; "let space act on one direction or on both"; "direction"; [(Reach, "d")]; Act::DirectionToggle),
    command!("isolate"; "cut the focused node off from all others"; "isolate"; [(Nav, "i")]; Act::Isolate),
    command!("rejoin"; "undo every cut to or from the focused node"; ""; [(Nav, "I")]; Act::Rejoin),
    command!("carrier", "link-down", "link-up"; "take the focused interface's carrier down or up; the guest sees it"; "carrier"; [(Nav, "C")]; Act::CarrierToggle),
    command!("undo"; "take back the last change of links"; "undo"; [(Nav, "u")]; Act::Undo),
    command!("heal-all"; "remove every fault"; "heal all"; [(Nav, "H")]; Act::HealAll),
    command!("forward-add"; "forward a port of this machine to a node"; "forward"; [(Nav, "F")]; Act::ForwardAdd),
    command!("forward-remove"; "remove the forward under the cursor"; "remove"; [(Forwards, "d"), (Forwards, "delete")]; Act::ForwardRemove),
    command!("browse", "open", "www"; "open the focused forward in the browser"; "browser"; [(Nav, "w")]; Act::Browse),
    command!("test-all", "run-tests", "test"; "run the model's test script against the running machines"; "run tests"; [(Nav, "t")]; Act::TestAll),
    command!("test-one", "rerun-test"; "run the subtest under the cursor, and what is outside of subtests"; "run it"; [(Tests, "r")]; Act::TestOne),
    command!("test-stop"; "stop the test script"; "stop"; [(Tests, "x")]; Act::TestStop),
    command!("test-line", "failing-line"; "go to the console line at which the subtest under the cursor failed"; "its console"; [(Tests, "enter")]; Act::TestShow),
    command!("test-error", "why-failed"; "show why the subtest under the cursor failed"; "why"; [(Tests, "W")]; Act::TestWhy),
    command!("deploy", "ship", "plan"; "plan a deployment of the model to its hosts; the network's name confirms it"; "deploy"; [(Nav, "D")]; Act::Deploy),
    command!("production-look", "status"; "look at the real hosts now"; "look"; [(Production, "r")]; Act::ProductionLook),
    command!("host-terminal", "ssh"; "open a terminal on the host under the cursor"; "ssh"; [(Production, "enter")]; Act::HostTerminal),
    command!("sync-size", "stty"; "tell the guest the size of its tile (stty on its serial line)"; ""; [(Consoles, "Z")]; Act::SyncSize),
    command!("mouse"; "let the terminal or this program have the mouse"; "mouse"; [(Nav, "m")]; Act::MouseToggle),
    command!("next-theme", "colours", "colors"; "try the next theme"; ""; [(Nav, "T")]; Act::ThemeNext),
    command!("redraw"; "draw the whole screen anew"; ""; [(Nav, "ctrl-l")]; Act::Redraw),
    command!("suspend"; "return to the shell until `fg`"; ""; [(Nav, "ctrl-z")]; Act::Suspend),
];

/// The command of this name or alias.
pub fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|c| c.name == name || c.aliases.contains(&name))
}

impl Act {
    /// The command line that does the same now, when there is one.
    pub fn cli(self, state: &State) -> Option<String> {
        let session = &state.view.session;
        match self {
            Self::Detach => Some(format!("diorama attach {session}   (to come back)")),
            Self::Deploy => Some(format!("diorama deploy {}", state.view.model)),
            Self::ProductionLook => Some("diorama status".into()),
            Self::HostTerminal => state.production.host().map(|(n, _)| format!("diorama ssh {n}")),
            Self::EnterConsole => state.node().map(|n| format!("diorama console {}", n.name)),
            Self::TestAll => Some("diorama test --attach".into()),
            Self::TestOne => state.subtest().map(|s| format!("diorama test --attach -k '={}'", s.name)),
            Self::Shell => state.node().map(|n| format!("diorama exec {} -- bash", n.name)),
            Self::Screenshot => state.node().map(|n| format!("diorama screenshot {}", n.name)),
            _ => self.action(state).map(|a| a.cli()),
        }
    }

    /// The action this stands for with what has the focus now, for those that are one action.
    pub fn action(self, state: &State) -> Option<Action> {
        let node = || state.node().map(|n| n.name.clone());
        match self {
            Self::Node(verb) => Some(Action::Node { node: node()?, verb }),
            Self::PauseToggle => {
                let paused = state.node()?.state == crate::proto::NodeState::Paused;
                Some(Action::Node {
                    node: node()?,
                    verb: if paused { NodeVerb::Resume } else { NodeVerb::Pause },
                })
            }
            Self::CutToggle => state.pair().map(|(from, to)| state.toggle_cut(from, to)),
            Self::Isolate => Some(Action::Isolate { node: node()? }),
            Self::Rejoin => Some(Action::Rejoin { node: node()? }),
            Self::CarrierToggle => state.toggle_carrier(),
            Self::Undo => Some(Action::Undo),
            Self::HealAll => Some(Action::HealAll),
            Self::ForwardRemove => {
                state.forward().map(|f| Action::ForwardRemove { proto: f.proto, host_port: f.host_port })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_row_is_documented() {
        let mut names = std::collections::HashSet::new();
        for c in COMMANDS {
            assert!(!c.doc.is_empty() && !c.doc.ends_with('.'), "{}", c.name);
            for n in std::iter::once(&c.name).chain(c.aliases) {
                assert!(names.insert(*n), "{n} twice");
            }
        }
    }
}
