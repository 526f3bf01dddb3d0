//! Plans and differences as text.
//!
//! Invariant: pure, and colour-free: the words alone carry the meaning.

use std::fmt::Write as _;

use super::closure::Change;
use super::plan::{HostPlan, Plan, Status, Units, megabytes};

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
        Status::Changes if host.missing_paths == 0 => "changes; everything is there already".into(),
        Status::Changes => {
            format!("changes; {} paths, {} to copy", host.missing_paths, megabytes(host.missing_bytes))
        }
    }
}

fn body(out: &mut String, host: &HostPlan) {
    let name = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    if let Some(current) = &host.current {
        let _ = writeln!(out, "    system: {} ▸ {}", name(current), name(&host.wanted));
    }
    if let Some(changes) = &host.packages {
        out.push_str(&print_diff(changes, "    "));
    }
    units(out, &host.units);
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
    let pick = |f: &dyn Fn(&Change) -> Option<String>| changes.iter().filter_map(f).collect::<Vec<_>>();
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
    if !rebuilt.is_empty() {
        let more = if rebuilt.len() > SHOWN {
            format!(" and {} more", rebuilt.len() - SHOWN)
        } else {
            String::new()
        };
        let shown: Vec<&str> = rebuilt.iter().take(SHOWN).map(String::as_str).collect();
        let _ = writeln!(out, "{indent}rebuilt: {}{more}", shown.join(", "));
    }
    out
}

#[cfg(test)]
mod tests {
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
            packages: Some(vec![
                Change::Added { name: "htop".into(), version: "3.2".into() },
                Change::Rebuilt { name: "etc".into() },
            ]),
            units: Units { restart: vec!["httpd.service".into()], ..Units::default() },
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
            ]
            .into(),
        };
        assert_eq!(
            print_plan(&plan),
            "plan for shop\n\n= db (10.0.0.1): unchanged\n\n✕ off: unreachable: no route\n\n\
             ~ web (10.0.0.1): changes; 3 paths, 2.5 MB to copy\n    system: x-old ▸ y-new\n    + htop 3.2\n    \
             rebuilt: etc\n    units that restart (as far as their files tell): httpd.service\n    \
             a reboot is due: another kernel\n"
        );
    }
}
