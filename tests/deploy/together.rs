//! What a deployment is for: all hosts get the new system, or all keep the old one.

use serde_json::Value;

use crate::Systems;
use crate::world::{HOSTS, VICTIM, World};

/// The systems, and hosts that run the first of them.
pub fn first(w: &World) -> Systems {
    let files = ["one", "two", "large"].map(|n| w.path(&format!("{n}.json")));
    let read = |n: usize| serde_json::from_slice(&std::fs::read(&files[n]).unwrap()).unwrap();
    if !files[2].exists() {
        for (file, system) in files.iter().zip(from_nothing(w)) {
            std::fs::write(file, system.to_string()).unwrap();
        }
    }
    let mut systems = Systems { old: ("one", read(0)), new: ("two", read(1)), large: read(2) };
    // A world that was kept may be where the last run has left it.
    if w.host(VICTIM).is_some_and(|h| h.greeting == "two") {
        systems.swap();
    }
    systems
}

/// Brings the blank hosts to the first system, and builds the others.
fn from_nothing(w: &World) -> [Value; 3] {
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
    [one, two, large]
}

pub fn a_failing_unit(w: &World, s: &mut Systems) {
    w.on(VICTIM, &format!("echo {} >/var/lib/fail", s.new.0));
    let end = w.begin(&s.new.1, &[]).end(5);
    end.outcomes(["rolled-back"; 3]);
    assert_eq!(end.outcome(VICTIM).1, "units of the new system have failed");
    w.on(VICTIM, "rm /var/lib/fail");
}

pub fn a_failing_check(w: &World, s: &mut Systems) {
    w.on(VICTIM, "touch /var/lib/sick");
    let mut two = s.new.1.clone();
    two["nodes"][VICTIM]["healthChecks"][0]["timeout"] = 2.into();
    let end = w.begin(&two, &[]).end(5);
    end.outcomes(["rolled-back"; 3]);
    assert!(end.outcome(VICTIM).1.contains("health check"), "{end:?}");
    w.on(VICTIM, "rm /var/lib/sick");
}

/// A check that fails before a deployment is no reason to believe that it fails after it.
pub fn a_late_check(w: &World, s: &mut Systems) {
    w.on(VICTIM, "touch /var/lib/sick");
    let mut run = w.begin(&s.new.1, &[]);
    for name in HOSTS.iter().filter(|n| **n != VICTIM) {
        run.phase(name, "healthy");
    }
    // The others wait for this one.
    w.on(VICTIM, "rm /var/lib/sick");
    run.end(0).outcomes(["switched"; 3]);
    s.swap();
}

/// The old system's own program fails: that is said loudly, and the next deployment mends it.
pub fn rollback_fails(w: &World, s: &mut Systems) {
    w.on(VICTIM, "touch /var/lib/sick");
    let mut new = s.new.1.clone();
    new["nodes"][VICTIM]["healthChecks"][0]["timeout"] = 30.into();
    let mut run = w.begin(&new, &[]);
    run.phase(VICTIM, "checking");
    let old = s.old.1["nodes"][VICTIM]["toplevel"].as_str().unwrap();
    let program = format!("{old}/bin/switch-to-configuration");
    w.on(VICTIM, &format!("mount --bind /bin/false {program}"));
    let end = run.end(6);
    end.outcomes(["rolled-back", "rollback-failed", "rolled-back"]);
    assert!(end.outcome(VICTIM).1.contains("ended with status 1, and the running system is"), "{end:?}");
    w.on(VICTIM, &format!("umount {program}; rm /var/lib/sick"));
    w.begin(&s.old.1, &["--accept-drift"]).end(0);
}

pub fn interrupted(w: &World, s: &mut Systems) {
    w.on(VICTIM, &format!("echo {} >/var/lib/hold", s.new.0));
    let mut run = w.begin(&s.new.1, &[]);
    run.phase(VICTIM, "activating");
    run.interrupt();
    run.phase(VICTIM, "reverting");
    w.on(VICTIM, "rm /var/lib/hold");
    let end = run.end(130);
    assert_eq!(end.outcome(VICTIM).0, "rolled-back", "{end:?}");
}

/// Generations, all and one; somebody else's change is met by the drift guard.
pub fn generations(w: &World, s: &mut Systems) {
    // The first two generations are `one` and `two`.
    let (now, other) = if s.old.0 == "one" { ("1", "2") } else { ("2", "1") };
    w.expect(0, &["rollback", other, "--network", "shop", "--yes"]);
    w.all_settled(s.new.0);
    w.expect(0, &["rollback", now, "--on", VICTIM, "--network", "shop", "--yes"]);
    let greetings: Vec<String> = w.hosts().into_iter().map(|h| h.unwrap().greeting).collect();
    assert_eq!(greetings, [s.new.0, s.old.0, s.new.0]);
    let old = s.old.1["nodes"][HOSTS[0]]["toplevel"].as_str().unwrap();
    w.on(HOSTS[0], &format!("{old}/bin/switch-to-configuration test"));
    let end = w.begin(&s.old.1, &[]).end(1);
    assert!(end.errors.contains("--accept-drift"), "{end:?}");
    w.begin(&s.old.1, &["--accept-drift"]).end(0);
    w.all_settled(s.old.0);
    w.expect(0, &["status", "--network", "shop"]);
}
