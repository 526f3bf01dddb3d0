//! The ways in which a deployment can be done: goals, strategies, some hosts only, a start anew.

use serde_json::{Value, json};

use crate::Systems;
use crate::run::Run;
use crate::world::{HOSTS, Host, PASSWORD, VICTIM, World};

/// Each host is healthy before the next is begun.
pub fn rolling(w: &World, s: &mut Systems) {
    let end = w.begin(&s.new.1, &["--strategy", "rolling"]).end(0);
    end.outcomes(["switched"; 3]);
    for (one, next) in HOSTS.iter().zip(&HOSTS[1..]) {
        assert!(end.at(one, "healthy") < end.at(next, "activating"), "{end:#?}");
    }
    s.swap();
}

/// A canary that is not well keeps the others from being touched.
pub fn canary(w: &World, s: &mut Systems) {
    let mut new = s.new.1.clone();
    new["nodes"][VICTIM]["tags"] = json!(["canary"]);
    new["nodes"][VICTIM]["healthChecks"][0]["timeout"] = 2.into();
    w.on(VICTIM, "touch /var/lib/sick");
    let end = w.begin(&new, &["--strategy", "canary"]).end(5);
    end.outcomes(["untouched", "rolled-back", "untouched"]);
    w.on(VICTIM, "rm /var/lib/sick");
}

/// Every host is for itself: one that is not well goes back alone.
pub fn best_effort(w: &World, s: &mut Systems) {
    let mut new = s.new.1.clone();
    new["nodes"][VICTIM]["healthChecks"][0]["timeout"] = 2.into();
    w.on(VICTIM, "touch /var/lib/sick");
    w.begin(&new, &["--strategy", "best-effort"]).end(7).outcomes(["switched", "rolled-back", "switched"]);
    w.on(VICTIM, "rm /var/lib/sick");
    w.begin(&s.new.1, &[]).end(0).outcomes(["unchanged", "switched", "unchanged"]);
    s.swap();
}

/// One host is told to boot the new system, and is started anew; nobody else is looked at.
pub fn boot_and_reboot(w: &World, s: &mut Systems) {
    w.begin(&s.new.1, &["--on", VICTIM, "--goal", "boot", "--reboot"]).end(0);
    w.settled(VICTIM, s.new.0);
    for name in HOSTS.iter().filter(|n| **n != VICTIM) {
        w.settled(name, s.old.0);
    }
    // The rest of the way, without a start.
    w.begin(&s.new.1, &[]).end(0).outcomes(["switched", "unchanged", "switched"]);
    s.swap();
}

/// What is tried runs, and is not what boots; what is only asked for changes nothing.
pub fn test_and_dry(w: &World, s: &mut Systems) {
    let before = w.hosts();
    w.begin(&s.new.1, &["--goal", "dry-activate"]).end(0);
    assert_eq!(before, w.hosts());
    w.begin(&s.new.1, &["--on", VICTIM, "--goal", "test"]).end(0);
    let host: Host = w.wait("it is let go", || w.host(VICTIM).filter(|h| h.lock == "free"));
    let old = before[1].as_ref().unwrap();
    assert_eq!((host.greeting.as_str(), &host.profile, &host.boots), (s.new.0, &old.profile, &old.boots));
    // Its next start forgets it; so does going back.
    w.begin(&s.old.1, &["--on", VICTIM]).end(0);
}

/// By users who are not root, with a password and without; and to an address that another host has to be asked for,
/// after one that nobody has.
pub fn other_ways(w: &World, s: &mut Systems) {
    let mut new = s.new.1.clone();
    let sudo = json!(["sudo", "-H", "--"]);
    for (name, user) in [("postgresql", "admin"), ("webserver", "keeper")] {
        new["nodes"][name]["targetUser"] = user.into();
        new["nodes"][name]["sudo"] = sudo.clone();
    }
    let config = w.path("ssh_config");
    let text = format!(
        "Host jump\n HostName 127.0.0.1\n Port {}\n User root\n IdentityFile {}\n IdentitiesOnly yes\n \
         UserKnownHostsFile /dev/null\n StrictHostKeyChecking no\n",
        w.cable("webserver").port,
        w.path("hosts/insecure-key").display()
    );
    std::fs::write(&config, text).unwrap();
    let far = &mut new["nodes"][VICTIM];
    far["addresses"] = json!(["192.168.1.250", "192.168.1.2"]);
    far["targetPort"] = 22.into();
    let options = far["sshOptions"].as_array_mut().unwrap();
    options.extend([json!("-F"), json!(config), json!("-J"), json!("jump")]);

    let end = w.begin(&new, &["--trust-on-first-use"]).end(1);
    assert!(end.errors.contains("--ask-sudo-password"), "{end:?}");
    let end = w.begin(&new, &["--trust-on-first-use", "--ask-sudo-password"]).end(0);
    end.outcomes(["switched"; 3]);
    assert!(!format!("{end:?}").contains(PASSWORD), "{end:?}");
    // The usual way back: the last generation is also how rollbacks reach the hosts.
    w.begin(&s.old.1, &[]).end(0);
}

/// A host that builds its own system: the plan foresees that and changes nothing; what is built is planned as ever.
pub fn built_by_its_host(w: &World, s: &mut Systems) {
    // A world that was kept has built those of earlier runs.
    let name = format!("built-{}", std::process::id());
    let (model, infra) = (w.model(&name, false), w.infrastructure());
    let args =
        |verb| vec![verb, &*model, "-i", &infra, "--name", "shop", "--on", VICTIM, "--build-on-target"];
    let plan = || -> Value {
        let out = w.command(&[&args("plan")[..], &["--json"]].concat()).output().unwrap();
        let plan: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {out:?}"));
        plan["hosts"][VICTIM].clone()
    };
    let said = w.expect(0, &args("plan"));
    assert!(said.contains("storage (127.0.0.1): changes; it builds its own system"), "{said}");
    let before = w.hosts();
    let first = plan();
    assert_eq!(before, w.hosts(), "a plan changes nothing");
    assert_eq!((&first["status"]["is"], &first["packages"]), (&json!("changes"), &Value::Null), "{first}");
    let count = |what: &str| first["builds"][what].as_u64().unwrap();
    assert!(count("derivations") > 0 && count("recipes") > 0 && count("recipeBytes") > 0, "{first}");
    let wanted = first["wanted"].as_str().unwrap();
    assert!(!std::path::Path::new(wanted).exists(), "it is not built here");
    let there = format!("nix-store --check-validity {wanted} 2>/dev/null && echo built || echo not");
    assert_eq!(w.on(VICTIM, &there), "not");

    // It runs the old system; the new one is built, and not switched to.
    let said = w.run(&[&args("deploy")[..], &["--goal", "dry-activate"]].concat());
    assert_eq!(w.on(VICTIM, &there), "built", "{said:?}");
    let second = plan();
    assert_eq!((&second["status"]["is"], &second["builds"]), (&json!("changes"), &Value::Null), "{second}");
    assert_eq!((&second["missingPaths"], &second["units"]["exact"]), (&json!(0), &json!(true)), "{second}");
    assert!(second["packages"].is_array(), "{second}");

    Run::start(w.command(&[&args("deploy")[..], &["--yes", "--json", "--patience", "10"]].concat())).end(0);
    w.settled(VICTIM, &name);
    let third = plan();
    assert_eq!((&third["status"]["is"], &third["builds"]), (&json!("unchanged"), &Value::Null), "{third}");
    w.begin(&s.old.1, &["--on", VICTIM]).end(0);
    // What it has built is held until the next time.
    w.on(VICTIM, "rm -rf /nix/var/nix/gcroots/diorama/build-shop");
}
