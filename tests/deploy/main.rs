//! Deploying for real: three hosts booted from their own disks, reached over SSH, changed, and taken back.
//!
//! One boot, many scenarios: each begins and ends with all hosts running the same system, asserts how every host is,
//! and says how long it took. `DIORAMA_SCENARIO=WORD|WORD` runs those whose name contains a word.
//!
//! Invariant: how a host is, is asked of the host itself, over an SSH connection of the test's own.

mod cable;
mod cuts;
mod flakes;
mod kills;
mod refusals;
mod run;
mod secrets;
mod starts;
mod together;
mod ways;
mod world;

use std::time::Instant;

use serde_json::Value;
use world::World;

/// The systems that the scenarios deploy, built.
pub struct Systems {
    /// What hosts run, by its greeting and as a deployment.
    pub old: (&'static str, Value),
    /// What they shall run; it is there already, so that nothing has to be copied.
    pub new: (&'static str, Value),
    /// What is never there: every scenario with it ends before it is copied.
    pub large: Value,
}

impl Systems {
    /// A deployment has succeeded: what was new is old.
    pub fn swap(&mut self) {
        std::mem::swap(&mut self.old, &mut self.new);
    }
}

type Scenario = fn(&World, &mut Systems);

const SCENARIOS: &[(&str, Scenario)] = &[
    ("a failing unit", together::a_failing_unit),
    ("a failing health check", together::a_failing_check),
    ("a health check that was failing is waited for", together::a_late_check),
    ("a rollback that fails", together::rollback_fails),
    ("ctrl-c", together::interrupted),
    ("a full disk", refusals::a_full_disk),
    ("another host key", refusals::another_host_key),
    ("another architecture", refusals::another_architecture),
    ("two deployers", refusals::two_deployers),
    ("two deployers of different hosts", refusals::two_deployers_of_different_hosts),
    ("rolling", ways::rolling),
    ("canary", ways::canary),
    ("best effort", ways::best_effort),
    ("boot and reboot of one host", ways::boot_and_reboot),
    ("test and dry-activate", ways::test_and_dry),
    ("a host builds its own system", ways::built_by_its_host),
    ("other users and another host's help", ways::other_ways),
    ("flakes", flakes::both),
    ("secrets", secrets::secrets),
    ("no way to a host", cuts::before_anything),
    ("cut while copying", cuts::while_copying),
    ("cut when locked", cuts::when_locked),
    ("cut while activating", cuts::while_activating),
    ("cut for a moment", cuts::for_a_moment),
    ("cut before the acknowledgement", cuts::before_the_acknowledgement),
    ("cut while checking", cuts::while_checking),
    ("cut while committing", cuts::while_committing),
    ("cut before it is let go", cuts::before_it_is_let_go),
    ("cut for good", cuts::for_good),
    ("killed in the first phases", kills::in_the_first_phases),
    ("killed in the later phases", kills::in_the_later_phases),
    ("killed while hosts are let go", kills::while_hosts_are_let_go),
    ("reset while activating", starts::reset_while_activating),
    ("rebooted when active", starts::rebooted_when_active),
    ("reset when committed", starts::reset_when_committed),
];

#[test]
#[ignore = "boots three hosts; tests/run does it"]
fn three_hosts_are_changed_together_or_not_at_all() {
    let w = World::new();
    let begin = Instant::now();
    let said = |what: &str, since: Instant| {
        println!("{:6.1} s  {what}", since.elapsed().as_secs_f64());
    };
    w.boot();
    said("the hosts boot", begin);
    let at = Instant::now();
    let mut systems = together::first(&w);
    said("the first deployments", at);
    let only = std::env::var("DIORAMA_SCENARIO").unwrap_or_default();
    for (name, scenario) in SCENARIOS.iter().filter(|(n, _)| only.split('|').any(|w| n.contains(w))) {
        println!("          {name} …");
        let at = Instant::now();
        scenario(&w, &mut systems);
        w.all_settled(systems.old.0);
        said(name, at);
    }
    let at = Instant::now();
    together::generations(&w, &mut systems);
    said("rollback, drift, status", at);
    said("all", begin);
}
