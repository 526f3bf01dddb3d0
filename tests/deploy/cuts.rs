//! The cable to one host is unplugged, in every phase; it is plugged in again when the host has gone back by itself.

use std::time::Duration;

use serde_json::Value;

use crate::Systems;
use crate::run::Run;
use crate::world::{OTHER, VICTIM, World};

/// The host goes back by itself; then the deployer hears of it.
#[track_caller]
fn goes_back(w: &World, s: &Systems, run: Run) {
    w.settled(VICTIM, s.old.0);
    w.cable(VICTIM).heal();
    let end = run.end(5);
    end.outcomes(["rolled-back"; 3]);
}

pub fn before_anything(w: &World, s: &mut Systems) {
    w.cable(VICTIM).cut();
    let end = w.begin(&s.new.1, &["--connect-timeout", "3"]).end(1);
    assert!(end.errors.contains("nothing was changed: storage:"), "{end:?}");
    assert!(end.errors.contains("--skip-unreachable"), "{end:?}");
    w.cable(VICTIM).heal();
}

pub fn while_copying(w: &World, s: &mut Systems) {
    w.cable(VICTIM).slow(400_000);
    let mut run = w.begin(&s.large, &[]);
    run.phase(VICTIM, "copying");
    w.cable(VICTIM).wait_sent(300_000, Duration::from_secs(120));
    w.cable(VICTIM).cut();
    let end = run.end(1);
    end.outcomes(["untouched"; 3]);
    assert!(end.outcome(VICTIM).1.contains("the connection was lost"), "{end:?}");
    w.cable(VICTIM).heal();
    w.all_whole(s.old.0);
    w.sweep_roots();
}

pub fn when_locked(w: &World, s: &mut Systems) {
    let mut run = w.begin(&s.new.1, &[]);
    run.phase(VICTIM, "locking");
    run.phase(VICTIM, "locked");
    w.cable(VICTIM).cut();
    w.settled(VICTIM, s.old.0);
    w.cable(VICTIM).heal();
    let end = run.end(5);
    // Whether the order to activate has arrived before the cut is nobody's to say.
    assert!(["untouched", "rolled-back"].contains(&end.outcome(VICTIM).0.as_str()), "{end:?}");
}

pub fn while_activating(w: &World, s: &mut Systems) {
    w.on(VICTIM, &format!("echo {} >/var/lib/hold", s.new.0));
    let mut run = w.begin(&s.new.1, &[]);
    run.phase(VICTIM, "activating");
    w.wait("the unit is held", || w.ssh(VICTIM, "systemctl is-active hello | grep -q activating"));
    w.cable(VICTIM).cut();
    goes_back(w, s, run);
    w.on(VICTIM, "rm /var/lib/hold");
}

/// A network that comes back in time is no failure.
pub fn for_a_moment(w: &World, s: &mut Systems) {
    w.on(VICTIM, "touch /var/lib/sick");
    let mut run = w.begin(&s.new.1, &["--patience", "120"]);
    run.phase(VICTIM, "checking");
    w.cable(VICTIM).snap();
    w.on(VICTIM, "rm /var/lib/sick");
    run.end(0).outcomes(["switched"; 3]);
    s.swap();
}

pub fn before_the_acknowledgement(w: &World, s: &mut Systems) {
    let mut run = w.begin(&s.new.1, &[]);
    run.phase(VICTIM, "acking");
    w.cable(VICTIM).cut();
    goes_back(w, s, run);
}

pub fn while_checking(w: &World, s: &mut Systems) {
    w.on(VICTIM, "touch /var/lib/sick");
    let mut run = w.begin(&s.new.1, &[]);
    run.phase(VICTIM, "checking");
    w.cable(VICTIM).cut();
    goes_back(w, s, run);
    w.on(VICTIM, "rm /var/lib/sick");
}

pub fn while_committing(w: &World, s: &mut Systems) {
    let mut run = w.begin(&s.new.1, &[]);
    run.phase(VICTIM, "committing");
    w.cable(VICTIM).cut();
    goes_back(w, s, run);
}

/// All have committed, and one is lost before it is let go: the others are taken back, though they were let go.
pub fn before_it_is_let_go(w: &World, s: &mut Systems) {
    lost_at_the_last(w, &s.new.1, s.old.0);
}

/// The same, with a deployment over hosts that greet so.
pub fn lost_at_the_last(w: &World, deployment: &Value, old: &str) {
    // The last commit waits for Nix' lock, so that the cut comes before anybody is let go.
    w.on(OTHER, "systemd-run --quiet --unit=holder flock /nix/var/nix/profiles/system.lock sleep 600");
    let mut run = w.begin(deployment, &[]);
    run.phase(VICTIM, "committed");
    w.cable(VICTIM).cut();
    w.on(OTHER, "systemctl stop holder.service");
    run.phase(OTHER, "releasing");
    w.settled(VICTIM, old);
    w.cable(VICTIM).heal();
    run.end(5).outcomes(["rolled-back"; 3]);
}

/// Nobody can say how a host is that never comes back; it goes back all the same.
pub fn for_good(w: &World, s: &mut Systems) {
    w.on(VICTIM, "touch /var/lib/sick");
    let mut run = w.begin(&s.new.1, &[]);
    run.phase(VICTIM, "checking");
    w.cable(VICTIM).cut();
    run.end(6).outcomes(["rolled-back", "unreachable", "rolled-back"]);
    w.cable(VICTIM).heal();
    w.on(VICTIM, "rm /var/lib/sick");
}
