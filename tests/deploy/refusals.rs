//! What is refused before anything is changed, and how it is said.

use std::time::Duration;

use crate::Systems;
use crate::world::{HOSTS, LARGE, VICTIM, World};

/// Takes all room there is, without writing it.
const FILL: &str = "n=0
for size in 1G 256M 64M 16M 4M 1M 256K 64K 16K 4K; do
  while fallocate -l $size /var/lib/filler.$n 2>/dev/null; do n=$((n + 1)); done
done
test $n -gt 0";

pub fn a_full_disk(w: &World, s: &mut Systems) {
    w.cable(VICTIM).slow(400_000);
    let mut run = w.begin(&s.large, &[]);
    run.phase(VICTIM, "copying");
    w.cable(VICTIM).wait_sent(LARGE as u64 / 20, Duration::from_secs(120));
    // The plan has found room enough; somebody takes it while the bytes travel.
    w.on(VICTIM, FILL);
    w.cable(VICTIM).heal();
    let end = run.end(1);
    end.outcomes(["untouched"; 3]);
    assert!(end.outcome(VICTIM).1.contains("its disk is full"), "{end:?}");
    w.all_settled(s.old.0);
    // The next plan says so before a byte is sent.
    let end = w.begin(&s.large, &[]).end(1);
    assert!(end.errors.contains("nothing was changed: storage: its store has"), "{end:?}");
    w.on(VICTIM, "rm /var/lib/filler*");
}

pub fn another_host_key(w: &World, s: &mut Systems) {
    let file = w.known_hosts();
    let pinned = std::fs::read_to_string(&file).unwrap();
    let port = |name: &str| format!("[127.0.0.1]:{} ", w.cable(name).port);
    let other = pinned.lines().find_map(|l| l.strip_prefix(&port("webserver"))).expect("its key is pinned");
    let lies: Vec<String> = pinned
        .lines()
        .filter(|l| !l.starts_with(&port(VICTIM)))
        .map(str::to_owned)
        .chain([format!("{}{other}", port(VICTIM))])
        .collect();
    std::fs::write(&file, lies.join("\n") + "\n").unwrap();
    for more in [&[][..], &["--trust-on-first-use"]] {
        let end = w.begin(&s.new.1, more).end(1);
        assert!(end.errors.contains("nothing was changed: storage:"), "{end:?}");
        assert!(end.errors.contains("shows another host key than the one that is pinned"), "{end:?}");
        // The way out, for somebody who knows why.
        assert!(end.errors.contains("ssh-keygen -R"), "{end:?}");
    }
    std::fs::write(&file, pinned).unwrap();
}

pub fn another_architecture(w: &World, s: &mut Systems) {
    let mut two = s.new.1.clone();
    two["nodes"][VICTIM]["system"] = "aarch64-linux".into();
    let end = w.begin(&two, &[]).end(1);
    assert!(end.errors.contains("storage: it is Linux x86_64, the model says aarch64-linux"), "{end:?}");
}

pub fn two_deployers(w: &World, s: &mut Systems) {
    w.on(VICTIM, &format!("echo {} >/var/lib/hold", s.new.0));
    let mut first = w.begin(&s.new.1, &[]);
    first.phase(VICTIM, "activating");
    let end = w.begin(&s.large, &[]).end(1);
    assert!(end.errors.contains("another deployment holds it: "), "{end:?}");
    let who = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name;
    assert!(end.errors.contains(&format!("{who}@")), "{end:?}");
    w.on(VICTIM, "rm /var/lib/hold");
    first.end(0).outcomes(["switched"; 3]);
    s.swap();
}

pub fn two_deployers_of_different_hosts(w: &World, s: &mut Systems) {
    w.on(VICTIM, &format!("echo {} >/var/lib/hold", s.new.0));
    let mut first = w.begin(&s.new.1, &["--on", VICTIM]);
    first.phase(VICTIM, "activating");
    let others = HOSTS.into_iter().filter(|h| *h != VICTIM).collect::<Vec<_>>().join(",");
    let second = w.begin(&s.new.1, &["--on", &others]).end(0);
    w.on(VICTIM, "rm /var/lib/hold");
    let first = first.end(0);
    assert_eq!(first.generation() + 1, second.generation(), "each has its own");
    s.swap();
}
