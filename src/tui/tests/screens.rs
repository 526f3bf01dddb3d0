//! Whole screens at the sizes people have, and every other size without a panic.

use super::*;
use crate::proto::{StreamEnd, Wanted};

fn booted(size: (u16, u16)) -> State {
    let mut view = trac();
    view.faults = 1;
    for node in &mut view.nodes {
        node.load = Some(Load { cpu_permille: 104, memory: 290_000_000 });
    }
    for link in &mut view.links {
        if link.from == "webserver" && link.to == "postgresql" {
            (link.wanted, link.seen, link.cut_drops) = (Wanted::Cut, Seen::Blocked, 12);
        }
        if link.from == "storage" && link.to == "postgresql" {
            link.seen = Seen::Unknown;
        }
        if link.from == "storage" && link.to == "webserver" {
            link.seen = Seen::Blocked;
        }
    }
    let mut s = state_of(view, size);
    for node in ["postgresql", "storage", "webserver"] {
        print(
            &mut s,
            node,
            &format!(
                "\x1b[32m[  OK  ]\x1b[0m Reached target multi-user.target.\r\n\r\nDebian GNU/Linux 12 {node} ttyS0\r\n\r\n{node} login: "
            ),
        );
    }
    s
}

#[test]
fn a_running_network() {
    for size in [(80, 24), (120, 40), (250, 70), (60, 80), (40, 12)] {
        insta::assert_snapshot!(format!("running_{}x{}", size.0, size.1), screen(&booted(size)));
    }
}

#[test]
fn ten_nodes() {
    for size in [(120, 40), (250, 70)] {
        let mut s = state_of(ten(), size);
        for i in 1..=10 {
            print(&mut s, &format!("node{i:02}"), &format!("node{i:02} login: "));
        }
        insta::assert_snapshot!(format!("ten_{}x{}", size.0, size.1), screen(&s));
    }
}

#[test]
fn panels_and_modes() {
    let cases = [
        ("console_mode", "3 1 enter", (120, 40)),
        ("zoomed", "z enter", (80, 24)),
        ("reach", "3 l", (80, 24)),
        ("topology", "4 j", (120, 40)),
        ("log", "@", (120, 40)),
        ("help", "?", (120, 40)),
        ("palette", ":", (120, 40)),
        ("quit", "q", (80, 24)),
        ("power_cut", "X", (80, 24)),
        ("forward_form", "F", (80, 24)),
        ("filter", "1 /", (80, 24)),
    ];
    for (name, keys, size) in cases {
        let mut s = booted(size);
        press(&mut s, keys);
        insta::assert_snapshot!(name, screen(&s));
    }
}

#[test]
fn building() {
    let mut view = network(&[
        ("postgresql", NodeState::Building, &[1]),
        ("storage", NodeState::Built, &[1]),
        ("webserver", NodeState::Evaluating, &[1]),
    ]);
    view.phase = Phase::Building { what: "building 41 of 130 derivations".into() };
    view.nodes[0].progress = Some(62);
    view.nodes[0].doing = "mkfs.erofs debian-tree.erofs".into();
    view.nodes[1].progress = Some(100);
    for i in 0..30 {
        let text = format!("unpacking package {i}");
        view.log.push(LogEntry { time: START, level: Level::Info, text, cli: None });
    }
    for size in [(80, 24), (120, 40)] {
        insta::assert_snapshot!(
            format!("building_{}x{}", size.0, size.1),
            screen(&state_of(view.clone(), size))
        );
    }
}

#[test]
fn a_failed_start() {
    let mut view = trac();
    let error = "network.nix:14: node `webserver`: there is no option `services.httpd.enabel`\n\n  did you mean `services.httpd.enable`?\n\x1b[31mred\x1b[0m";
    view.phase = Phase::Failed { error: error.into() };
    let mut s = state_of(view, (80, 24));
    insta::assert_snapshot!("failed", screen(&s));
    let reqs = press(&mut s, "j k q");
    assert_eq!(reqs, [Req::Leave(crate::tui::Leave::ShutDown(Some(error.into())))]);
}

#[test]
fn a_crash_and_a_lost_daemon() {
    let mut s = booted((80, 24));
    let mut view = s.view.clone();
    view.nodes[0].state = NodeState::Crashed;
    view.nodes[0].post_mortem = Some("QEMU ended with exit status 1\nqemu: out of memory".into());
    send(&mut s, ServerMessage::View { view: Box::new(view) });
    send(
        &mut s,
        ServerMessage::StreamClosed {
            stream: 1,
            end: StreamEnd::Broken { reason: "the machine is gone".into() },
        },
    );
    press(&mut s, "1 W");
    insta::assert_snapshot!("crashed", screen(&s));
    press(&mut s, "esc");
    update(&mut s, START + 81_000, Msg::Lost("connection reset".into()));
    insta::assert_snapshot!("lost", screen(&s));
}

#[test]
fn no_size_panics() {
    let keys = ["", "3", "4", "5", "@", "z", "?", ":", "q", "F", "v", "/", "E", "2", "z v V"];
    for cols in (0..8).chain([13, 20, 33, 49, 50, 79, 83, 84, 131]) {
        for rows in (0..6).chain([8, 13, 14, 24, 47]) {
            for keys in keys {
                let mut s = booted((cols, rows));
                press(&mut s, keys);
                screen(&s);
            }
        }
    }
    for view in [View::default(), ten()] {
        for size in [(0, 0), (1, 1), (80, 24), (10, 70)] {
            for keys in keys {
                let mut s = state_of(view.clone(), size);
                press(&mut s, keys);
                press(&mut s, "j j k l h G g pageup pagedown ] [ + _ n N tab backtab i C u H w space");
                screen(&s);
            }
        }
    }
}

#[test]
fn a_terminal_smaller_than_we_know_is_left_alone() {
    let s = booted((80, 24));
    for (cols, rows) in [(79, 24), (80, 23), (3, 3), (0, 0), (200, 60)] {
        let mut terminal = Terminal::new(TestBackend::new(cols, rows)).unwrap();
        terminal.draw(|f| view::draw(&s, f)).unwrap();
    }
}

#[test]
fn without_colours_nothing_is_coloured() {
    let options = TuiOptions {
        config: crate::config::Config::default(),
        no_color: true,
        truecolor: true,
        directory: "/home/user".into(),
    };
    let mut s = State::new(options, (100, 30)).unwrap();
    let mut coloured = booted((100, 30));
    s.view = coloured.view.clone();
    s.loaded = true;
    s.tiles = std::mem::take(&mut coloured.tiles);
    let mut terminal = Terminal::new(TestBackend::new(100, 30)).unwrap();
    terminal.draw(|f| view::draw(&s, f)).unwrap();
    for cell in &terminal.backend().buffer().content {
        assert_eq!(
            (cell.fg, cell.bg),
            (ratatui::style::Color::Reset, ratatui::style::Color::Reset),
            "{cell:?}"
        );
    }
}
