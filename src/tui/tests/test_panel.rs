//! The Tests panel: what it shows, what its keys ask for, and the way to the failing line.

use super::*;
use crate::proto::{Request, SubtestView, TestState, TestsView};
use crate::tui::state::{Mode, Panel};

fn subtest(name: &str, state: TestState, ms: Option<u64>) -> SubtestView {
    SubtestView { name: name.into(), state, ms, started: Some(START + 75_000), ..SubtestView::default() }
}

/// A run on its way, with one that failed on the web server.
fn view() -> View {
    let mut view = trac();
    let failed = SubtestView {
        message: Some("webserver: command `curl` failed (exit code 7)".into()),
        node: Some("webserver".into()),
        line: Some("webserver: out of cheese".into()),
        ..subtest("an outage / the page is gone", TestState::Failed, Some(1_200))
    };
    view.tests = TestsView {
        script: true,
        state: TestState::Running,
        started: Some(START + 40_000),
        subtests: vec![
            subtest("the page is served", TestState::Passed, Some(31_400)),
            subtest("an outage", TestState::Running, None),
            failed,
            SubtestView { name: "it comes back".into(), ..SubtestView::default() },
            subtest("left out", TestState::Skipped, Some(0)),
        ],
        ..TestsView::default()
    };
    view
}

#[test]
fn a_run_on_its_way() {
    for size in [(120, 40), (80, 24), (40, 12)] {
        let mut s = state_of(view(), size);
        press(&mut s, "6 j");
        insta::assert_snapshot!(format!("tests_{}x{}", size.0, size.1), screen(&s));
    }
}

#[test]
fn keys_ask_the_daemon_to_run_and_to_stop() {
    let asked = |reqs: Vec<Req>| -> Vec<Request> {
        let request = |r| match r {
            Req::Send { request, .. } => Some(request),
            _ => None,
        };
        reqs.into_iter().filter_map(request).collect()
    };
    for (keys, want) in [
        ("t", Some(Request::TestRun { patterns: vec![] })),
        ("6 r", Some(Request::TestRun { patterns: vec!["=the page is served".into()] })),
        ("6 j j r", Some(Request::TestRun { patterns: vec!["=an outage / the page is gone".into()] })),
        ("6 x", Some(Request::TestStop)),
        ("6 enter", None),
    ] {
        let mut s = state_of(view(), (120, 40));
        assert_eq!(asked(press(&mut s, keys)), Vec::from_iter(want), "{keys}");
    }
    let mut s = state_of(view(), (120, 40));
    press(&mut s, "t");
    assert_eq!(s.panel, Panel::Tests);
}

#[test]
fn a_failure_leads_to_its_console_line() {
    let mut s = state_of(view(), (120, 40));
    print(&mut s, "webserver", "webserver: out of cheese\r\nlater\r\nlogin: ");
    press(&mut s, "6 j j enter");
    assert_eq!((s.mode, s.selected.as_str()), (Mode::Select, "webserver"));
    assert_eq!(s.focused().unwrap().screen.select_cursor(), (0, 0));
    let mut s = state_of(view(), (120, 40));
    press(&mut s, "6 j j enter");
    assert_eq!(s.mode, Mode::Nav);
    assert!(s.notice.unwrap().2.contains("no such line"));
    let mut s = state_of(view(), (120, 40));
    press(&mut s, "6 j j W");
    assert!(screen(&s).contains("exit code 7"));
}

#[test]
fn a_model_without_a_script_says_so() {
    let mut s = state_of(trac(), (120, 40));
    press(&mut s, "6 j r enter W");
    assert!(screen(&s).contains("the model has no testScript"));
}
