//! The deployer is killed (SIGKILL), in every phase: hosts go back by themselves.

use std::time::Duration;

use crate::Systems;
use crate::world::{HOSTS, VICTIM, World};

pub fn while_copying(w: &World, s: &mut Systems) {
    w.cable(VICTIM).slow(400_000);
    let mut run = w.begin(&s.large, &[]);
    run.phase(VICTIM, "copying");
    w.cable(VICTIM).wait_sent(300_000, Duration::from_secs(120));
    run.kill();
    w.cable(VICTIM).heal();
    w.all_whole(s.old.0);
    w.sweep_roots();
}

fn killed_at(w: &World, s: &Systems, phase: &str) {
    let mut run = w.begin(&s.new.1, &[]);
    run.phase(VICTIM, phase);
    run.kill();
}

pub fn when_locked(w: &World, s: &mut Systems) {
    killed_at(w, s, "locked");
    w.all_settled(s.old.0);
}

pub fn while_activating(w: &World, s: &mut Systems) {
    w.on(VICTIM, &format!("echo {} >/var/lib/hold", s.new.0));
    killed_at(w, s, "activating");
    w.all_settled(s.old.0);
    w.on(VICTIM, "rm /var/lib/hold");
}

pub fn before_the_acknowledgement(w: &World, s: &mut Systems) {
    killed_at(w, s, "acking");
    w.all_settled(s.old.0);
}

pub fn while_checking(w: &World, s: &mut Systems) {
    w.on(VICTIM, "touch /var/lib/sick");
    killed_at(w, s, "checking");
    w.all_settled(s.old.0);
    w.on(VICTIM, "rm /var/lib/sick");
}

pub fn while_committing(w: &World, s: &mut Systems) {
    killed_at(w, s, "committing");
    w.all_settled(s.old.0);
}

/// The one moment in which hosts may come to differ; each is whole, and the next plan tells.
pub fn while_hosts_are_let_go(w: &World, s: &mut Systems) {
    killed_at(w, s, "releasing");
    let hosts = w.wait("every host is whole", || {
        let hosts: Option<Vec<_>> = w.hosts().into_iter().collect();
        hosts.filter(|h| h.iter().all(crate::world::Host::is_whole))
    });
    let new: Vec<&str> =
        HOSTS.iter().zip(&hosts).filter(|(_, h)| h.greeting == s.new.0).map(|(n, _)| *n).collect();
    println!("          let go before the end: {new:?}");
    let plan = w.begin(&s.old.1, &["--accept-drift"]).end(0);
    for name in HOSTS {
        let want = if new.contains(&name) { "switched" } else { "unchanged" };
        assert_eq!(plan.outcome(name).0, want, "{plan:?}");
    }
}
