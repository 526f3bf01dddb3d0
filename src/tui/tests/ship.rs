//! A deployment on the screen: from the plan over the typed name to the end, and production beside it.

use super::*;
use crate::tui::msg::Job;
use crate::tui::ship::Stage;
use crate::tui::state::Panel;

const PLAN: &str = r#"{"network":"trac","hosts":{
  "storage":{"status":{"is":"unchanged"},"address":"127.0.0.1","current":"/nix/store/a","wanted":"/nix/store/a",
    "missingPaths":0,"missingBytes":0,"freeBytes":1,"packages":[],
    "units":{"exact":true,"stop":[],"start":[],"restart":[],"reload":[]},"reboot":null,"drift":null,"notes":[]},
  "webserver":{"status":{"is":"changes"},"address":"127.0.0.1","current":"/nix/store/a","wanted":"/nix/store/b",
    "missingPaths":12,"missingBytes":3100000,"freeBytes":1000000000,
    "packages":[{"change":"version","name":"trac","from":"1.5","to":"1.6"}],
    "units":{"exact":true,"stop":[],"start":[],"restart":["apache2.service"],"reload":[]},
    "reboot":null,"drift":null,"notes":[]}}}"#;

fn job(state: &State, reqs: &[Req]) -> Vec<String> {
    let [Req::Job { args, .. }] = reqs else { panic!("{reqs:?} on {}", screen(state)) };
    args.clone()
}

fn line(state: &mut State, job: Job, text: &str) -> Vec<Req> {
    update(state, START, Msg::JobLine { job, text: text.into() })
}

fn ended(state: &mut State, job: Job, status: i32, errors: &str) -> Vec<Req> {
    update(state, START, Msg::JobEnded { job, status: Some(status), errors: errors.into() })
}

fn planned() -> State {
    let mut s = state_of(trac(), (110, 32));
    let reqs = press(&mut s, "D");
    assert_eq!(job(&s, &reqs), ["plan", "network.nix", "--json"]);
    line(&mut s, Job::Plan, PLAN);
    ended(&mut s, Job::Plan, 0, "");
    s
}

#[test]
fn only_the_networks_name_deploys() {
    let mut s = planned();
    insta::assert_snapshot!("ship_plan", screen(&s));
    for wrong in ["", "trak"] {
        assert!(typed(&mut s, wrong).is_empty());
        assert_eq!(s.ship.stage, Stage::Planned);
    }
    let reqs = typed(&mut s, "trac");
    assert_eq!(job(&s, &reqs), ["deploy", "network.nix", "--yes", "--json"]);
    assert_eq!(s.ship.stage, Stage::Shipping);
    assert!(typed(&mut s, "trac").is_empty(), "once");
}

#[test]
fn a_plan_tells_who_builds_and_what_cannot_be_exchanged() {
    let mut s = state_of(trac(), (110, 32));
    press(&mut s, "D");
    let builds = r#""builds":{"derivations":5,"downloads":2,"recipes":9,"recipeBytes":4000},
        "inhibitors":["dbus-implementation: dbus ▸ broker"],"packages":null,"missingPaths":12"#;
    line(
        &mut s,
        Job::Plan,
        &PLAN.replace(r#""missingPaths":12"#, builds).replace(
            "\"packages\":[{\"change\":\"version\",\"name\":\"trac\",\"from\":\"1.5\",\"to\":\"1.6\"}],",
            "",
        ),
    );
    ended(&mut s, Job::Plan, 0, "");
    let shown = screen(&s);
    for words in [
        "builds its own: 5 derivations, 2 downloads",
        "no switch while it runs (dbus-implementation: dbus ▸ broker)",
        // Nothing is asked for that would be refused.
        "this plan cannot be carried out",
    ] {
        assert!(shown.contains(words), "{shown}");
    }
}

fn typed(s: &mut State, text: &str) -> Vec<Req> {
    for c in text.chars() {
        assert!(press(s, &c.to_string()).is_empty());
    }
    press(s, "enter")
}

#[test]
fn a_deployment_is_followed_to_its_end_and_production_is_looked_at() {
    let mut s = planned();
    typed(&mut s, "trac");
    let plan = PLAN.replace('\n', " ");
    for text in [
        format!(r#"{{"event":"plan","plan":{plan}}}"#),
        r#"{"event":"phase","host":"webserver","phase":"copying"}"#.into(),
        r#"{"event":"copy","host":"webserver","done":1000000,"total":3100000}"#.into(),
        r#"{"event":"said","host":"webserver","line":"restarting apache2\u001b[31m"}"#.into(),
    ] {
        line(&mut s, Job::Deploy, &text);
    }
    insta::assert_snapshot!("ship_copying", screen(&s));
    press(&mut s, "esc");
    assert!(screen(&s).contains("DEPLOYING"), "it goes on behind the panels");
    assert!(press(&mut s, "q").is_empty() && s.layers.is_empty(), "the screen is not left meanwhile");
    assert!(press(&mut s, "D").is_empty(), "no second one is begun");
    assert_eq!(press(&mut s, "ctrl-c"), [Req::StopJob(Job::Deploy)]);
    for text in [
        r#"{"event":"outcome","host":"webserver","result":{"outcome":"switched"}}"#,
        r#"{"event":"end","status":0,"generation":4,"seconds":7.5,"bytes":3100000}"#,
    ] {
        line(&mut s, Job::Deploy, text);
    }
    let reqs = ended(&mut s, Job::Deploy, 0, "");
    assert_eq!(job(&s, &reqs), ["status", "--network", "trac", "--json"]);
    let status = r#"{"network":"trac","generation":4,"hosts":{
      "storage":{"reachable":false,"why":"no route to host"},
      "webserver":{"reachable":true,"address":"127.0.0.1","generation":4,"failedUnits":["cron.service"]}}}"#;
    line(&mut s, Job::Status, status);
    ended(&mut s, Job::Status, 1, "");
    insta::assert_snapshot!("ship_ended", screen(&s));
    press(&mut s, "esc");
    s.focus_panel(Panel::Production);
    insta::assert_snapshot!("production", screen(&s));
    press(&mut s, "j");
    let reqs = press(&mut s, "enter");
    let [Req::Terminal { stream, args, .. }] = &reqs[..] else { panic!("{reqs:?}") };
    assert_eq!(*args, ["ssh", "--network", "trac", "webserver"]);
    assert!(screen(&s).contains("PRODUCTION webserver"));
    assert_eq!(press(&mut s, "x"), [Req::Data { stream: *stream, bytes: "x".into() }]);
}

#[test]
fn a_plan_that_fails_or_has_an_obstacle_asks_nothing() {
    let mut s = state_of(trac(), (110, 32));
    press(&mut s, "D");
    ended(&mut s, Job::Plan, 1, "error: network.nix: no infrastructure\n");
    assert!(screen(&s).contains("no infrastructure"), "{}", screen(&s));
    press(&mut s, "esc");
    press(&mut s, "D");
    let blocked = PLAN.replace(r#"{"is":"changes"}"#, r#"{"is":"unreachable","why":"no route"}"#);
    line(&mut s, Job::Plan, &blocked);
    ended(&mut s, Job::Plan, 1, "");
    assert!(screen(&s).contains("no route") && screen(&s).contains("cannot be carried out"));
    assert!(typed(&mut s, "trac").is_empty());
}

#[test]
fn a_plan_that_nobody_waits_for_is_given_up() {
    let mut s = state_of(trac(), (110, 32));
    press(&mut s, "D");
    assert_eq!(press(&mut s, "esc"), [Req::StopJob(Job::Plan)]);
    line(&mut s, Job::Plan, PLAN);
    assert_eq!(s.ship.stage, Stage::Idle);
}

#[test]
fn deploying_can_be_turned_off() {
    let mut s = state_of(trac(), (110, 32));
    s.options.config.deploy.readonly = true;
    assert!(press(&mut s, "D").is_empty() && s.layers.is_empty());
    assert!(screen(&s).contains("turned off"));
}
