//! What a deployment is for: all hosts get the new system, or all keep the old one.

use crate::Systems;
use crate::world::{HOSTS, VICTIM, World};

/// Brings the blank hosts to the first system, and builds the others.
pub fn first(w: &World) -> Systems {
    let infra = w.infrastructure();
    let one = w.model("one", false);
    let deploy = |more: &[&'static str]| {
        let mut args = vec!["deploy", &one, "-i", &infra, "--name", "shop", "--yes"];
        args.extend(more);
        w.command(&args).output().map(|o| (o.status.code(), crate::world::words(&o))).unwrap()
    };
    // Nobody has seen these hosts' keys.
    let (status, said) = deploy(&[]);
    assert!(status == Some(1) && said.contains("host key"), "{said}");
    let before = w.hosts();
    let plan = w.expect(0, &["plan", &one, "-i", &infra, "--name", "shop", "--trust-on-first-use"]);
    assert!(plan.contains("hello.service"), "{plan}");
    assert!(!plan.contains("default.target"), "{plan}");
    assert_eq!(before, w.hosts(), "a plan changes nothing");

    let (status, said) = deploy(&[]);
    assert_eq!(status, Some(0), "{said}");
    w.all_settled("one");
    let (status, said) = deploy(&[]);
    assert!(status == Some(0) && said.contains("nothing to do"), "{said}");

    let one = w.build(&one);
    let two = w.build(&w.model("two", false));
    let large = w.build(&w.model("large", true));
    w.begin(&two, &[]).end(0).outcomes(["switched"; 3]);
    w.all_settled("two");
    w.begin(&one, &[]).end(0).outcomes(["switched"; 3]);
    Systems { one, two, large }
}

/// Back to what hosts run between scenarios.
pub fn back(w: &World, s: &Systems) {
    w.begin(&s.one, &[]).end(0);
    w.all_settled("one");
}

pub fn a_failing_unit(w: &World, s: &Systems) {
    w.on(VICTIM, "echo two >/var/lib/fail");
    let end = w.begin(&s.two, &[]).end(5);
    end.outcomes(["rolled-back"; 3]);
    assert_eq!(end.outcome(VICTIM).1, "units of the new system have failed");
    w.on(VICTIM, "rm /var/lib/fail");
}

pub fn a_failing_check(w: &World, s: &Systems) {
    w.on(VICTIM, "touch /var/lib/sick");
    let mut two = s.two.clone();
    two["nodes"][VICTIM]["healthChecks"][0]["timeout"] = 2.into();
    let end = w.begin(&two, &[]).end(5);
    end.outcomes(["rolled-back"; 3]);
    assert!(end.outcome(VICTIM).1.contains("health check"), "{end:?}");
    w.on(VICTIM, "rm /var/lib/sick");
}

/// A check that fails before a deployment is no reason to believe that it fails after it.
pub fn a_late_check(w: &World, s: &Systems) {
    w.on(VICTIM, "touch /var/lib/sick");
    let mut run = w.begin(&s.two, &[]);
    for name in HOSTS.iter().filter(|n| **n != VICTIM) {
        run.phase(name, "healthy");
    }
    // The others wait for this one.
    w.on(VICTIM, "rm /var/lib/sick");
    run.end(0).outcomes(["switched"; 3]);
    w.all_settled("two");
    back(w, s);
}

pub fn interrupted(w: &World, s: &Systems) {
    w.on(VICTIM, "echo two >/var/lib/hold");
    let mut run = w.begin(&s.two, &[]);
    run.phase(VICTIM, "activating");
    run.interrupt();
    run.phase(VICTIM, "reverting");
    w.on(VICTIM, "rm /var/lib/hold");
    let end = run.end(130);
    assert_eq!(end.outcome(VICTIM).0, "rolled-back", "{end:?}");
}

/// Generations, all and one; somebody else's change is met by the drift guard.
pub fn generations(w: &World, s: &Systems) {
    w.expect(0, &["rollback", "2", "--network", "shop", "--yes"]);
    w.all_settled("two");
    w.expect(0, &["rollback", "1", "--on", VICTIM, "--network", "shop", "--yes"]);
    let greetings: Vec<String> = w.hosts().into_iter().map(|h| h.unwrap().greeting).collect();
    assert_eq!(greetings, ["two", "one", "two"]);
    let other = s.one["nodes"][HOSTS[0]]["toplevel"].as_str().unwrap();
    w.on(HOSTS[0], &format!("{other}/bin/switch-to-configuration test"));
    let end = w.begin(&s.one, &[]).end(1);
    assert!(end.errors.contains("--accept-drift"), "{end:?}");
    w.begin(&s.one, &["--accept-drift"]).end(0);
    w.all_settled("one");
    w.expect(0, &["status", "--network", "shop"]);
}
