//! Keys and messages in, requests and state out.

use ratatui::crossterm::event::{MouseButton, MouseEvent, MouseEventKind};

use super::*;
use crate::proto::{Request, StreamEnd, Wanted};
use crate::tui::msg::Leave;
use crate::tui::state::{Mode, Panel};
use crate::tui::tile::TileKind;

#[test]
fn keys_become_actions() {
    let cases: &[(&str, &[&str])] = &[
        ("S", &["diorama node start postgresql"]),
        ("j s", &["diorama node stop storage"]),
        ("G r", &["diorama node restart webserver"]),
        ("p", &["diorama node pause postgresql"]),
        ("X", &[]),
        ("X y", &["diorama node crash postgresql"]),
        ("X n", &[]),
        ("X esc", &[]),
        ("R y", &["diorama node reset postgresql"]),
        ("3 space", &["diorama link cut postgresql storage"]),
        ("3 l space", &["diorama link cut postgresql webserver"]),
        ("3 j h space", &["diorama link cut storage postgresql"]),
        ("3 d space", &["diorama link cut postgresql storage", "diorama link cut storage postgresql"]),
        ("3 b", &["diorama link cut postgresql storage", "diorama link cut storage postgresql"]),
        ("3 h space", &[]),
        ("2 space", &["diorama link cut postgresql storage", "diorama link cut storage postgresql"]),
        ("i", &["diorama link isolate postgresql"]),
        ("I", &["diorama link rejoin postgresql"]),
        ("C", &["diorama link down postgresql"]),
        ("4 j C", &["diorama link down storage eth1"]),
        ("u", &["diorama link undo"]),
        ("H", &["diorama link heal --all"]),
        ("5 d", &["diorama forward remove 8082"]),
    ];
    for (keys, expected) in cases {
        let mut s = state_of(trac(), (120, 40));
        let reqs = press(&mut s, keys);
        assert_eq!(acts(&reqs), *expected, "{keys}");
    }
}

#[test]
fn what_is_cut_heals_and_what_is_down_goes_up() {
    let mut view = trac();
    view.links[0].wanted = Wanted::Cut;
    view.nodes[0].interfaces[0].carrier = false;
    view.nodes[1].state = NodeState::Paused;
    let mut s = state_of(view, (120, 40));
    assert_eq!(acts(&press(&mut s, "3 space")), ["diorama link heal postgresql storage"]);
    assert_eq!(acts(&press(&mut s, "b")), ["diorama link cut storage postgresql"]);
    assert_eq!(acts(&press(&mut s, "1 g C")), ["diorama link up postgresql"]);
    assert_eq!(acts(&press(&mut s, "j p")), ["diorama node resume storage"]);
}

#[test]
fn console_mode_passes_everything_but_the_escape() {
    let mut s = state_of(trac(), (120, 40));
    press(&mut s, "j enter");
    assert_eq!(s.mode, Mode::Console);
    let reqs = press(&mut s, "q ? : ctrl-c tab F1 up alt-x esc ctrl-p");
    assert_eq!(sent(&reqs, 2), b"q?:\x03\t\x1bOP\x1b[A\x1bx\x1b\x10");
    print(&mut s, "storage", "\x1b[?1h");
    assert_eq!(sent(&press(&mut s, "up"), 2), b"\x1bOA", "application mode");
    assert!(press(&mut s, "ctrl-]").is_empty());
    assert_eq!(s.mode, Mode::Nav);
    assert_eq!(sent(&press(&mut s, "ctrl-]"), 2), b"\x1d", "doubled, it is sent");
    assert_eq!(s.mode, Mode::Console);
    press(&mut s, "ctrl-] j");
    assert!(press(&mut s, "ctrl-]").is_empty(), "not doubled: another key came between");
}

#[test]
fn the_escape_can_be_remapped() {
    let config =
        toml::from_str("[keys.console]\n\"ctrl-]\" = \"null\"\n\"ctrl-g\" = \"leave-console\"").unwrap();
    let mut s = state_with(trac(), (120, 40), &config);
    press(&mut s, "enter");
    assert_eq!(sent(&press(&mut s, "ctrl-]"), 1), b"\x1d");
    assert!(screen(&s).contains("ctrl-g leaves"));
    press(&mut s, "ctrl-g");
    assert_eq!(s.mode, Mode::Nav);
}

#[test]
fn a_paste_goes_to_the_guest_as_it_wants_it() {
    let mut s = state_of(trac(), (120, 40));
    let paste = |s: &mut State| update(s, START, Msg::Paste("a\nb".into()));
    assert!(paste(&mut s).is_empty());
    press(&mut s, "enter");
    assert_eq!(sent(&paste(&mut s), 1), b"a\rb");
    print(&mut s, "postgresql", "\x1b[?2004h");
    assert_eq!(sent(&paste(&mut s), 1), b"\x1b[200~a\rb\x1b[201~");
}

#[test]
fn leaving() {
    let mut s = state_of(trac(), (80, 24));
    assert_eq!(press(&mut s, "q enter"), [Req::Leave(Leave::Detached)]);
    assert_eq!(press(&mut s, "q esc"), []);
    assert_eq!(press(&mut s, "ctrl-d"), [Req::Leave(Leave::Detached)]);
    let reqs = press(&mut s, "q s");
    assert!(matches!(&reqs[..], [Req::Send { request: Request::Down { power: false, .. }, .. }]));
    let bye = ServerMessage::Goodbye { reason: "all machines are off".into() };
    assert_eq!(send(&mut s, bye), [Req::Leave(Leave::ShutDown(Some("all machines are off".into())))]);
}

#[test]
fn the_palette_finds_and_does() {
    for (text, cli) in [
        ("cut webs sto", "diorama link cut webserver storage"),
        ("crash storage", ""),
        ("healall", "diorama link heal --all"),
        ("down storage eth1", "diorama link down storage eth1"),
        ("restart web", "diorama node restart webserver"),
    ] {
        let mut s = state_of(trac(), (120, 40));
        press(&mut s, ":");
        type_text(&mut s, text);
        let reqs = press(&mut s, "enter");
        assert_eq!(acts(&reqs).join(""), cli, "{text}");
    }
    let mut s = state_of(trac(), (120, 40));
    press(&mut s, "ctrl-p");
    type_text(&mut s, "console webserver");
    press(&mut s, "enter");
    assert_eq!((s.mode, s.selected.as_str()), (Mode::Console, "webserver"));
}

#[test]
fn every_command_is_in_the_palette_and_can_be_done_at_any_time() {
    for view in [View::default(), trac()] {
        for command in crate::tui::commands::COMMANDS {
            let mut s = state_of(view.clone(), (80, 24));
            crate::tui::perform::perform(&mut s, command.act);
            screen(&s);
            press(&mut s, "esc");
        }
    }
}

#[test]
fn adding_a_forward() {
    let mut s = state_of(trac(), (80, 24));
    press(&mut s, "G F");
    let reqs = press(&mut s, "enter");
    assert_eq!(acts(&reqs), ["diorama forward add webserver 8080:80"], "a free port is suggested");
    let Some(Req::Send { id, .. }) = reqs.first() else { panic!() };
    let response = Response::Error {
        message: "port 8080 is taken by nginx (pid 12)".into(),
        hint: Some("8081 is free".into()),
    };
    send(&mut s, ServerMessage::Response { id: *id, response });
    assert!(screen(&s).contains("taken by nginx"), "{}", screen(&s));
    press(&mut s, "down backspace backspace 9 0");
    assert_eq!(acts(&press(&mut s, "enter")), ["diorama forward add webserver 8090:80"]);
    press(&mut s, "up ctrl-u 9 9 9 9 9");
    assert_eq!(acts(&press(&mut s, "enter")), [""; 0]);
    assert!(screen(&s).contains("1 to 65535"));
    press(&mut s, "esc");
    assert!(s.layers.is_empty());
}

#[test]
fn what_is_typed_replaces_a_suggested_port() {
    let mut s = state_of(trac(), (80, 24));
    press(&mut s, "F 4 4 3");
    assert_eq!(acts(&press(&mut s, "enter")), ["diorama forward add postgresql 8443:443"]);
}

#[test]
fn the_daemon_comes_back() {
    let mut s = state_of(trac(), (120, 40));
    press(&mut s, "E");
    update(&mut s, START, Msg::Lost("connection reset".into()));
    assert!(!s.connected && screen(&s).contains("DISCONNECTED"));
    let reqs = update(&mut s, START, Msg::Reconnected);
    assert!(matches!(&reqs[..], [Req::Send { request: Request::Subscribe, .. }]));
    assert!(s.connected && s.tiles.iter().all(|t| t.kind == TileKind::Serial), "root shells are gone");
    let view = s.view.clone();
    let reqs = send(&mut s, ServerMessage::View { view: Box::new(view) });
    assert_eq!(reqs.len(), 3, "every console is asked for again");
}

#[test]
fn the_browser_opens_what_has_the_focus() {
    let mut s = state_of(trac(), (80, 24));
    assert_eq!(press(&mut s, "w"), [Req::Browse("http://127.0.0.1:8082/".into())]);
    assert_eq!(press(&mut s, "5 enter"), [Req::Browse("http://127.0.0.1:8082/".into())]);
}

#[test]
fn search_select_and_copy() {
    let mut s = state_of(trac(), (120, 40));
    for i in 0..200 {
        print(&mut s, "postgresql", &format!("line {i} of the log\r\n"));
    }
    press(&mut s, "2 /");
    type_text(&mut s, "line 42");
    press(&mut s, "enter");
    assert_eq!(s.mode, Mode::Select);
    assert!(screen(&s).contains("line 42 of"));
    assert_eq!(press(&mut s, "V y"), [Req::Clipboard("line 42 of the log".into())]);
    assert_eq!(s.mode, Mode::Nav);
    press(&mut s, "n N N");
    assert_eq!(s.mode, Mode::Select);
    press(&mut s, "esc v 0 v w w");
    assert_eq!(s.mode, Mode::Select);
    let reqs = press(&mut s, "esc v k k 0 v $ y");
    assert!(matches!(&reqs[..], [Req::Clipboard(text)] if text.starts_with("line ")), "{reqs:?}");
    let reqs = press(&mut s, "e");
    assert!(
        matches!(&reqs[..], [Req::Edit { name, text }] if name == "postgresql" && text.lines().count() == 200)
    );
}

#[test]
fn scrolling_keeps_its_place_and_typing_returns() {
    let mut s = state_of(trac(), (120, 40));
    for i in 0..100 {
        print(&mut s, "postgresql", &format!("line {i}\r\n"));
    }
    press(&mut s, "0 pageup pageup");
    let up = s.tiles[0].screen.scrolled();
    assert!(up > 0 && screen(&s).contains(&format!("↑{up}")));
    press(&mut s, "enter x");
    assert_eq!(s.tiles[0].screen.scrolled(), 0);
}

#[test]
fn the_filter_narrows_the_list() {
    let mut s = state_of(ten(), (80, 24));
    press(&mut s, "1 /");
    type_text(&mut s, "10");
    press(&mut s, "enter");
    assert_eq!(s.selected, "node10");
    assert_eq!(s.listed().count(), 1);
    press(&mut s, "esc");
    assert_eq!(s.listed().count(), 10);
}

#[test]
fn a_picture_of_the_display_is_written_beside_the_person() {
    let mut s = state_of(trac(), (120, 40));
    let reqs = press(&mut s, "P");
    let Some(Req::Send { id, request: Request::Qmp { node, command, arguments } }) = reqs.first() else {
        panic!("{reqs:?}")
    };
    assert_eq!((node.as_str(), command.as_str()), ("postgresql", "screendump"));
    assert_eq!(arguments["filename"], "/home/user/postgresql.png");
    let (id, said) = (*id, |s: &State| s.notice.as_ref().map(|n| (n.1, n.2.clone())));
    send(&mut s, ServerMessage::Response { id, response: Response::Qmp { value: serde_json::json!({}) } });
    assert_eq!(said(&s), Some((false, "wrote /home/user/postgresql.png".into())));
    let Some(Req::Send { id, .. }) = press(&mut s, "P").pop() else { panic!("asked again") };
    let message = "There is no console to take a screendump from".into();
    send(&mut s, ServerMessage::Response { id, response: Response::Error { message, hint: None } });
    assert!(said(&s).is_some_and(|(bad, text)| bad && text.contains("has no display")));
}

#[test]
fn a_root_shell_has_its_tiles_size_and_goes_when_it_ends() {
    let mut s = state_of(trac(), (120, 40));
    let reqs = press(&mut s, "E");
    let Some(Req::Send { id, request: Request::Exec { node, pty: Some(_), .. } }) = reqs.first() else {
        panic!("{reqs:?}")
    };
    assert_eq!((node.as_str(), s.mode), ("postgresql", Mode::Console));
    send(&mut s, ServerMessage::Response { id: *id, response: Response::Stream { stream: 9 } });
    assert_eq!(sent(&press(&mut s, "l s enter"), 9), b"ls\r");
    print_stream(&mut s, 9, "\x1b[6n");
    let reqs = update(&mut s, START, Msg::Resize(100, 30));
    assert!(reqs.iter().any(|r| matches!(r, Req::Send { request: Request::Resize { stream: 9, .. }, .. })));
    send(&mut s, ServerMessage::StreamClosed { stream: 9, end: StreamEnd::Exited { code: 0 } });
    assert_eq!((s.tiles.len(), s.mode), (3, Mode::Nav));
    assert!(s.tiles.iter().all(|t| t.kind == TileKind::Serial));
}

fn print_stream(s: &mut State, stream: u32, text: &str) {
    update(s, START, Msg::Data { stream, bytes: Bytes::from(text.to_owned()) });
    let reqs = s.digest(1 << 20);
    assert!(text != "\x1b[6n" || !sent(&reqs, stream).is_empty(), "a shell's questions are answered here");
}

#[test]
fn a_guests_questions_are_the_daemons_to_answer() {
    let mut s = state_of(trac(), (120, 40));
    update(&mut s, START, Msg::Data { stream: 1, bytes: Bytes::from_static(b"\x1b[6n\x1b[c") });
    assert_eq!(s.digest(1 << 20), []);
}

#[test]
fn consoles_are_asked_for_once_and_again_after_a_restart() {
    let mut s = state_of(trac(), (120, 40));
    let end = StreamEnd::Broken { reason: "the machine stopped".into() };
    assert_eq!(send(&mut s, ServerMessage::StreamClosed { stream: 1, end }), []);
    let mut view = s.view.clone();
    assert_eq!(send(&mut s, ServerMessage::View { view: Box::new(view.clone()) }), [], "nothing changed");
    view.nodes[0].state = NodeState::Stopped;
    assert_eq!(send(&mut s, ServerMessage::View { view: Box::new(view.clone()) }), []);
    view.nodes[0].state = NodeState::Booting;
    let reqs = send(&mut s, ServerMessage::View { view: Box::new(view) });
    assert!(
        matches!(&reqs[..], [Req::Send { request: Request::Console { node, .. }, .. }] if node == "postgresql")
    );
}

#[test]
fn output_elsewhere_is_marked_until_looked_at() {
    let mut s = state_of(trac(), (120, 40));
    print(&mut s, "storage", "replayed");
    assert!(!s.tiles[1].unseen, "history is no activity");
    print(&mut s, "storage", "new");
    assert!(s.tiles[1].unseen);
    press(&mut s, "]");
    assert!(!s.tiles[1].unseen);
    update(&mut s, START + 80_000 + 180_000, Msg::Tick);
    assert!(screen(&s).contains("◇"));
}

#[test]
fn sync_size_runs_stty_and_follows() {
    let mut s = state_of(trac(), (250, 70));
    let reqs = press(&mut s, "0 Z");
    let Some(Req::Send { id, request: Request::Exec { argv, pty: None, .. } }) = reqs.first() else {
        panic!()
    };
    assert_eq!(argv[..3], ["stty", "-F", "/dev/ttyS0"]);
    send(&mut s, ServerMessage::Response { id: *id, response: Response::Stream { stream: 7 } });
    send(&mut s, ServerMessage::StreamClosed { stream: 7, end: StreamEnd::Exited { code: 0 } });
    assert_ne!(s.tiles[0].screen.cols(), 80);
}

#[test]
fn the_mouse_focuses_scrolls_and_selects() {
    let mut s = state_of(trac(), (250, 70));
    print(&mut s, "webserver", "hello world");
    let tiles = crate::tui::regions::regions(&s).tiles;
    let (index, area) = *tiles.iter().find(|(i, _)| *i == 2).unwrap();
    let mouse = |s: &mut State, kind, x, y| {
        update(s, START, Msg::Mouse(MouseEvent { kind, column: x, row: y, modifiers: KeyModifiers::NONE }))
    };
    let (x, y) = (area.x + 1, area.y + 1);
    mouse(&mut s, MouseEventKind::Down(MouseButton::Left), x, y);
    assert_eq!((s.tile, s.panel), (index, Panel::Consoles));
    mouse(&mut s, MouseEventKind::Drag(MouseButton::Left), x + 4, y);
    let reqs = mouse(&mut s, MouseEventKind::Up(MouseButton::Left), x + 4, y);
    assert_eq!(reqs, [Req::Clipboard("hello".into())]);
    mouse(&mut s, MouseEventKind::ScrollUp, x, y);
    let nodes = crate::tui::regions::regions(&s).panel(Panel::Nodes).unwrap();
    mouse(&mut s, MouseEventKind::Down(MouseButton::Left), nodes.x + 2, nodes.y + 2);
    assert_eq!(s.selected, "storage");
    for x in (0..250).step_by(7) {
        for y in 0..70 {
            for kind in [
                MouseEventKind::Down(MouseButton::Left),
                MouseEventKind::Drag(MouseButton::Left),
                MouseEventKind::ScrollDown,
            ] {
                mouse(&mut s, kind, x, y);
            }
        }
    }
}

#[test]
fn a_flood_on_every_console_leaves_time_for_keys() {
    let mut s = state_of(ten(), (250, 70));
    let block: Bytes = "\x1b[31mflood\x1b]0;t\x07 ".repeat(4000).into();
    for _ in 0..20 {
        for stream in 1..=10 {
            update(&mut s, START, Msg::Data { stream, bytes: block.clone() });
        }
        s.digest(32 << 10);
    }
    assert!(s.behind());
    let reqs = press(&mut s, "H");
    assert_eq!(acts(&reqs), ["diorama link heal --all"]);
    let mut turns = 0;
    while s.behind() {
        s.digest(32 << 10);
        turns += 1;
        assert!(turns < 1000, "what waits is bounded");
    }
}
