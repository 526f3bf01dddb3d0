//! Plans and differences as text.
//!
//! Invariant: pure, and colour-free: the words alone carry the meaning.

use std::fmt::Write as _;

use super::closure::Change;
use super::keys::KeyChange;
use super::plan::{HostPlan, Plan, Status, Units, megabytes};
use super::recipe::Builds;

/// Lines of one kind that are shown before the rest is only counted.
const SHOWN: usize = 12;

/// A plan for people.
pub fn print_plan(plan: &Plan) -> String {
    let mut out = format!("plan for {}\n", plan.network);
    for (node, host) in &plan.hosts {
        let address = host.address.as_deref().map(|a| format!(" ({a})")).unwrap_or_default();
        let _ = writeln!(out, "\n{} {node}{address}: {}", mark(&host.status), headline(host));
        if host.status == Status::Changes {
            body(&mut out, host);
        }
        if let Some(drift) = &host.drift {
            let _ = writeln!(out, "    drift: {drift}");
        }
        for note in &host.notes {
            let _ = writeln!(out, "    note: {note}");
        }
    }
    out
}

fn mark(status: &Status) -> &'static str {
    match status {
        Status::Unchanged => "=",
        Status::Changes => "~",
        _ => "✕",
    }
}

fn headline(host: &HostPlan) -> String {
    match &host.status {
        Status::Unreachable(why) => format!("unreachable: {why}"),
        Status::HostKey(why) => format!("wrong host key: {why}"),
        Status::Architecture(why) => format!("wrong architecture: {why}"),
        Status::NotReady(why) => format!("not ready: {why}"),
        Status::Locked(why) => format!("locked: {why}"),
        Status::Unchanged => "unchanged".into(),
        Status::Changes if host.builds.is_some() => format!("changes; {}", builds(host)),
        Status::Changes if host.missing_paths == 0 => "changes; everything is there already".into(),
        Status::Changes => {
            format!("changes; {} paths, {} to copy", host.missing_paths, megabytes(host.missing_bytes))
        }
    }
}

/// What a host does that builds its own system.
fn builds(host: &HostPlan) -> String {
    let Builds { derivations, downloads, recipes, recipe_bytes } = host.builds.unwrap_or_default();
    format!(
        "it builds its own system: {}, {}; {} of recipes and sources, {} to copy",
        counted(derivations, "derivation"),
        counted(downloads, "download"),
        counted(recipes, "path"),
        megabytes(recipe_bytes)
    )
}

/// A number of things.
pub fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn body(out: &mut String, host: &HostPlan) {
    let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    if let Some(current) = &host.current {
        let _ = writeln!(out, "    system: {} ▸ {}", name(current), name(&host.wanted));
    }
    match &host.packages {
        Some(changes) => out.push_str(&print_diff(changes, "    ")),
        None if host.builds.is_some() && host.units == Units::default() && host.reboot.is_none() => {
            out.push_str("    packages, units and whether a reboot is due are known when it is built\n");
        }
        None => {}
    }
    units(out, &host.units);
    if !host.inhibitors.is_empty() {
        let _ = writeln!(
            out,
            "    no switch while it runs, but --goal boot --reboot: {}",
            host.inhibitors.join(", ")
        );
    }
    if !host.keys.is_empty() {
        let keys: Vec<String> = host.keys.iter().map(KeyChange::describe).collect();
        let _ = writeln!(out, "    keys: {}", keys.join(", "));
    }
    if let Some(why) = &host.reboot {
        let _ = writeln!(out, "    a reboot is due: {why}");
    }
}

fn units(out: &mut String, units: &Units) {
    let guess = if units.exact { "" } else { " (as far as their files tell)" };
    for (word, list) in [
        ("stop", &units.stop),
        ("start", &units.start),
        ("restart", &units.restart),
        ("reload", &units.reload),
    ] {
        if !list.is_empty() {
            let _ = writeln!(out, "    units that {word}{guess}: {}", list.join(", "));
        }
    }
}

/// What differs between two closures, for people.
pub fn print_diff(changes: &[Change], indent: &str) -> String {
    let mut out = String::new();
    let mut kind = |lines: Vec<String>| {
        for line in lines.iter().take(SHOWN) {
            let _ = writeln!(out, "{indent}{line}");
        }
        if lines.len() > SHOWN {
            let sign = lines[0].chars().next().unwrap_or(' ');
            let _ = writeln!(out, "{indent}{sign} … and {} more", lines.len() - SHOWN);
        }
    };
    let packages: Vec<&Change> = changes.iter().filter(|c| file(c).is_none() && !is_scaffolding(c)).collect();
    let pick =
        |f: &dyn Fn(&Change) -> Option<String>| packages.iter().filter_map(|c| f(c)).collect::<Vec<_>>();
    kind(pick(&|c| match c {
        Change::Added { name, version } => Some(format!("+ {name} {version}").trim_end().to_owned()),
        _ => None,
    }));
    kind(pick(&|c| match c {
        Change::Removed { name, version } => Some(format!("- {name} {version}").trim_end().to_owned()),
        _ => None,
    }));
    kind(pick(&|c| match c {
        Change::Version { name, from, to } => Some(format!("~ {name} {from} ▸ {to}")),
        _ => None,
    }));
    let rebuilt = pick(&|c| match c {
        Change::Rebuilt { name } => Some(name.clone()),
        _ => None,
    });
    let files = |wanted: fn(&Change) -> bool| -> Vec<String> {
        changes.iter().filter(|c| wanted(c)).filter_map(file).map(str::to_owned).collect()
    };
    for (word, names) in [
        ("rebuilt", rebuilt),
        ("files that come", files(|c| matches!(c, Change::Added { .. }))),
        ("files that go", files(|c| matches!(c, Change::Removed { .. }))),
        ("files that change", files(|c| matches!(c, Change::Rebuilt { .. } | Change::Version { .. }))),
    ] {
        if !names.is_empty() {
            let _ = writeln!(out, "{indent}{word}: {}", some_of(&names));
        }
    }
    out
}

/// The first of many, and how many more there are.
fn some_of(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    let more = names.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

fn name(change: &Change) -> &str {
    match change {
        Change::Added { name, .. }
        | Change::Removed { name, .. }
        | Change::Version { name, .. }
        | Change::Rebuilt { name } => name,
    }
}

/// The file that a store object is, when it is a unit or one of /etc.
fn file(change: &Change) -> Option<&str> {
    ["unit-", "etc-"].iter().find_map(|kind| name(change).strip_prefix(kind)).filter(|f| !f.is_empty())
}

/// Whether a store object is only what holds the others together, which changes with any of them.
fn is_scaffolding(change: &Change) -> bool {
    let name = name(change);
    ["etc", "links", "packages", "restart-triggers", "usr-trees", "modes", "system-units", "user-units"]
        .contains(&name)
        || ["system-", "nixos-system-", "closure-"].iter().any(|kind| name.starts_with(kind))
}

#[cfg(test)]
mod tests {
    use super::super::keys::KeyFate;
    use super::*;

    #[test]
    fn a_plan_is_read_from_top_to_bottom() {
        let host = |status, missing_paths| HostPlan {
            status,
            address: Some("10.0.0.1".into()),
            current: Some("/nix/store/x-old".into()),
            wanted: "/nix/store/y-new".into(),
            missing_paths,
            missing_bytes: 2_500_000,
            free_bytes: 0,
            builds: None,
            packages: Some(vec![
                Change::Added { name: "htop".into(), version: "3.2".into() },
                Change::Rebuilt { name: "etc".into() },
                Change::Rebuilt { name: "system-web".into() },
                Change::Rebuilt { name: "shop".into() },
                Change::Added { name: "unit-hello.service".into(), version: String::new() },
                Change::Rebuilt { name: "etc-hosts".into() },
            ]),
            units: Units { restart: vec!["httpd.service".into()], ..Units::default() },
            inhibitors: vec!["dbus: dbus ▸ broker".into()],
            keys: vec![
                KeyChange { name: "db-password".into(), what: KeyFate::New },
                KeyChange { name: "tls.key".into(), what: KeyFate::Changes },
                KeyChange { name: "token".into(), what: KeyFate::Access },
            ],
            reboot: Some("another kernel".into()),
            drift: None,
            notes: vec![],
        };
        let plan = Plan {
            network: "shop".into(),
            hosts: [
                ("db".to_owned(), host(Status::Unchanged, 0)),
                (
                    "off".to_owned(),
                    HostPlan { address: None, ..host(Status::Unreachable("no route".into()), 0) },
                ),
                ("web".to_owned(), host(Status::Changes, 3)),
                (
                    "yet".to_owned(),
                    HostPlan {
                        builds: Some(Builds { derivations: 2, downloads: 1, recipes: 3, recipe_bytes: 4000 }),
                        packages: None,
                        units: Units::default(),
                        inhibitors: vec![],
                        keys: vec![],
                        reboot: None,
                        ..host(Status::Changes, 3)
                    },
                ),
            ]
            .into(),
        };
        assert_eq!(
            print_plan(&plan),
            "plan for shop\n\n= db (10.0.0.1): unchanged\n\n✕ off: unreachable: no route\n\n\
             ~ web (10.0.0.1): changes; 3 paths, 2.5 MB to copy\n    system: x-old ▸ y-new\n    + htop 3.2\n    \
             rebuilt: shop\n    files that come: hello.service\n    files that change: hosts\n    units that restart (as far as their files tell): httpd.service\n    \
             no switch while it runs, but --goal boot --reboot: dbus: dbus ▸ broker\n    \
             keys: db-password is new, tls.key changes, token gets another owner or other permissions\n    \
             a reboot is due: another kernel\n\n~ yet (10.0.0.1): changes; it builds its own system: 2 derivations, 1 download; \
             3 paths of recipes and sources, 4.0 kB to copy\n    system: x-old ▸ y-new\n    \
             packages, units and whether a reboot is due are known when it is built\n"
        );
    }
}
