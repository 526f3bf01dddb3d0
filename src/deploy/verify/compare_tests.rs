use super::*;

const CLONE: &str = "/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-system-web";
const HOST: &str = "/nix/store/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-system-web";

fn file(content: &str) -> File {
    File { kind: "f".into(), mode: "644".into(), owner: "0:0".into(), size: 1, content: content.into() }
}

fn port(text: &str) -> Port {
    let words: Vec<&str> = text.split(' ').collect();
    Port {
        proto: words[0].into(),
        address: words[1].into(),
        port: words[2].parse().unwrap(),
        process: words[3].into(),
        unit: words.get(4).unwrap_or(&"").to_string(),
    }
}

/// A clone and a host of one model, both as it says.
fn pair() -> (Facts, Facts) {
    let mut clone = Facts { system: Some(CLONE.into()), ..Facts::default() };
    let mut host = Facts { system: Some(HOST.into()), profile: Some(HOST.into()), ..Facts::default() };
    for (facts, hosts) in [(&mut clone, "10.0.2.15 web"), (&mut host, "192.0.2.1 web")] {
        for (path, content) in
            [("hosts", hosts), ("greeting", "hello"), ("group", "g"), ("systemd/system/web.service", "web")]
        {
            facts.etc.insert(path.into(), file(content));
            facts.said.insert(path.into(), file(content));
        }
        let unit = |active: &str, sub: &str| Unit {
            load: "loaded".into(),
            active: active.into(),
            sub: sub.into(),
            enabled: "enabled".into(),
        };
        facts.units.insert("web.service".into(), unit("active", "running"));
        facts.units.insert("dev-vda.device".into(), unit("active", "plugged"));
        facts.packages.insert("nginx-1.22".into());
        facts.users.insert("root".into(), "0:0::/root:/bin/sh".into());
        facts.said_users = facts.users.clone();
        facts.ports.insert(port("tcp * 80 nginx web.service"));
    }
    // What only one of them has.
    for (facts, name) in [(&mut clone, "diorama-agent.service"), (&mut host, "sshd.service")] {
        let path = format!("systemd/system/{name}");
        facts.etc.insert(path.clone(), file(name));
        facts.said.insert(path, file(name));
        facts
            .units
            .insert(name.into(), Unit { active: "active".into(), sub: "running".into(), ..Unit::default() });
    }
    host.ports.insert(port("tcp * 22 sshd sshd.service"));
    host.packages.insert("nix-bin-2.8".into());
    clone.etc.insert("machine-id".into(), file("one"));
    host.etc.insert("machine-id".into(), file("two"));
    (clone, host)
}

fn wanted() -> Wanted {
    Wanted { clone: Some(CLONE.into()), host: HOST.into() }
}

/// What a change of either machine makes of the report: the unexplained differences, one a line.
fn check(change: impl FnOnce(&mut Facts, &mut Facts), want: &[&str]) {
    let (mut clone, mut host) = pair();
    change(&mut clone, &mut host);
    let report = compare(&clone, &host, &wanted());
    let got: Vec<String> =
        report.unexplained().map(|d| format!("{} | {} | {}", d.item, d.clone, d.host)).collect();
    assert_eq!(got, want);
}

#[test]
fn what_the_model_makes_different_is_explained() {
    let (clone, host) = pair();
    let report = compare(&clone, &host, &wanted());
    assert_eq!(report.unexplained().count(), 0, "{report:#?}");
    let items: Vec<&str> = report.differences.iter().map(|d| d.item.as_str()).collect();
    assert_eq!(
        items,
        [
            "running",
            "diorama-agent.service",
            "sshd.service",
            "/etc/hosts",
            "/etc/machine-id",
            "/etc/systemd/system/diorama-agent.service",
            "/etc/systemd/system/sshd.service",
            "nix-bin-2.8",
            "tcp *:22",
        ]
    );
}

#[test]
fn what_somebody_changed_is_not() {
    check(|_, _| (), &[]);
    check(
        |_, host| {
            host.etc.insert("greeting".into(), file("bye"));
        },
        &["/etc/greeting | as its system says | its content was changed"],
    );
    check(
        |_, host| host.etc.get_mut("greeting").unwrap().mode = "666".into(),
        &["/etc/greeting | as its system says | mode 666, not 644"],
    );
    check(
        |_, host| {
            host.etc.remove("greeting");
        },
        &["/etc/greeting | as its system says | removed since the system was activated"],
    );
    check(
        |_, host| {
            host.etc.insert("cron.d/evil".into(), file("x"));
        },
        &["/etc/cron.d/evil | not there | there, and not the system's"],
    );
    // A change of a file that differs anyway is no part of the model.
    check(
        |_, host| {
            host.etc.insert("hosts".into(), file("changed"));
        },
        &["/etc/hosts | as its system says | its content was changed"],
    );
    // The same change on both sides is none between them.
    check(
        |clone, host| {
            clone.etc.insert("greeting".into(), file("bye"));
            host.etc.insert("greeting".into(), file("bye"));
        },
        &[],
    );
    check(
        |_, host| host.units.get_mut("web.service").unwrap().active = "inactive".into(),
        &["web.service | active (running), enabled | inactive (running), enabled"],
    );
    check(
        |_, host| host.units.get_mut("sshd.service").unwrap().active = "failed".into(),
        &["sshd.service | inactive | failed (running)"],
    );
    check(
        |_, host| {
            host.ports.insert(port("tcp * 4444 nc"));
        },
        &["tcp *:4444 | not there | nc"],
    );
    check(
        |_, host| {
            host.ports.clear();
            host.ports.insert(port("tcp lo 80 nginx web.service"));
        },
        &["tcp *:80 | nginx (web.service) | not there", "tcp lo:80 | not there | nginx (web.service)"],
    );
    check(
        |_, host| {
            host.users.insert("eve".into(), "0:0::/:/bin/sh".into());
        },
        &["eve | not there | 0:0::/:/bin/sh"],
    );
    check(
        |_, host| {
            host.installed.insert("htop-3".into());
        },
        &["htop-3 | not there | installed beside the system"],
    );
}

#[test]
fn ports_that_a_kernel_chose_are_explained() {
    check(
        |clone, host| {
            clone.ports.insert(port("udp * 40001 rpc.statd"));
            host.ports.insert(port("udp * 50001 rpc.statd"));
        },
        &[],
    );
    check(
        |_, host| {
            host.ports.insert(port("udp * 50001 rpc.statd"));
        },
        &["udp *:50001 | not there | rpc.statd"],
    );
}

#[test]
fn another_model_explains_nothing() {
    let (clone, mut host) = pair();
    host.system = Some(CLONE.into());
    let report = compare(&clone, &host, &wanted());
    let items: Vec<&str> = report.unexplained().map(|d| d.item.as_str()).collect();
    assert!(items.contains(&"running") && items.contains(&"/etc/hosts"), "{items:?}");
    assert!(!items.contains(&"/etc/machine-id"), "{items:?}");
}

#[test]
fn a_system_that_only_waits_for_the_next_boot_is_told() {
    check(
        |_, host| host.profile = Some(CLONE.into()),
        &[&format!("booted next | the model gives {HOST} | {CLONE}")],
    );
}
