//! The deployer is killed (SIGKILL), in every phase: hosts go back by themselves.
//!
//! Without a deployer a host has nobody but its own supervisor, so three deployers, each of one host, are killed at
//! once, each in a phase of its own. Only where hosts are let go do they depend on each other.

use std::time::Duration;

use crate::Systems;
use crate::world::{HOSTS, Host, VICTIM, World};

pub fn in_the_first_phases(w: &World, s: &mut Systems) {
    // The victim has never got all of what is copied here: the other scenarios see to that.
    killed_in(w, s, ["locking", "copying", "activating"]);
}

pub fn in_the_later_phases(w: &World, s: &mut Systems) {
    killed_in(w, s, ["acking", "checking", "committing"]);
}

/// Deploys to every host by itself, and kills each deployer when its host comes to the phase.
fn killed_in(w: &World, s: &Systems, phases: [&str; 3]) {
    std::thread::scope(|scope| {
        for (name, phase) in HOSTS.into_iter().zip(phases) {
            scope.spawn(move || killed_at(w, s, name, phase));
        }
    });
    w.all_whole(s.old.0);
    for name in HOSTS {
        w.on(name, "rm -f /var/lib/hold /var/lib/sick");
    }
    w.sweep_roots();
}

fn killed_at(w: &World, s: &Systems, name: &str, phase: &str) {
    // What would be over too soon is held.
    match phase {
        "activating" => drop(w.on(name, &format!("echo {} >/var/lib/hold", s.new.0))),
        "checking" => drop(w.on(name, "touch /var/lib/sick")),
        _ => {}
    }
    let copying = phase == "copying";
    if copying {
        w.cable(name).slow(400_000);
    }
    let mut run = w.begin(if copying { &s.large } else { &s.new.1 }, &["--on", name]);
    run.phase(name, phase);
    if copying {
        w.cable(name).wait_sent(300_000, Duration::from_secs(120));
    }
    run.kill();
    w.cable(name).heal();
}

/// The one moment in which hosts may come to differ; each is whole, and the next plan tells.
pub fn while_hosts_are_let_go(w: &World, s: &mut Systems) {
    let mut run = w.begin(&s.new.1, &[]);
    run.phase(VICTIM, "releasing");
    run.kill();
    for name in HOSTS {
        w.wait(&format!("{name} is whole"), || w.host(name).filter(Host::is_whole));
    }
    let hosts: Vec<Host> = w.hosts().into_iter().map(Option::unwrap).collect();
    let new: Vec<&str> =
        HOSTS.iter().zip(&hosts).filter(|(_, h)| h.greeting == s.new.0).map(|(n, _)| *n).collect();
    println!("          let go before the end: {new:?}");
    if new.len() == HOSTS.len() {
        return s.swap();
    }
    let plan = w.begin(&s.old.1, &["--accept-drift"]).end(0);
    for name in new {
        assert_eq!(plan.outcome(name).0, "switched", "{plan:?}");
    }
}
