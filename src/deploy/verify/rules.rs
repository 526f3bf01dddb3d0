//! What differs between any two machines of one model, and why.
//!
//! Invariant: a table; nothing here looks at what the two machines said.

/// Files below /etc that every machine makes for itself: a path, or the beginning of one that ends with `*`.
const ETC: [(&str, &str); 9] = [
    ("machine-id", "every machine has its own number"),
    ("ssh/ssh_host_*", "every machine has its own host keys"),
    (".diorama-managed", "the host's list of what the system put into /etc"),
    (".updated", "the time of an update"),
    ("mtab", "the machine's own mounts"),
    ("resolv.conf", "the name servers of the machine's own network"),
    ("adjtime", "the machine's own clock"),
    (".pwd.lock", "a lock of the program that sets passwords"),
    ("ld.so.cache", "made on the machine from its libraries"),
];

/// Units that follow from where and how a machine runs.
const UNITS: [(&str, &str); 16] = [
    ("diorama-deploy-*", "a deployment's supervisor"),
    ("diorama-*", "diorama's own"),
    ("session-*", "somebody is logged in"),
    ("user@*", "somebody is logged in"),
    ("user-runtime-dir@*", "somebody is logged in"),
    ("run-user-*", "somebody is logged in"),
    ("sshd@*", "a connection that is open"),
    ("getty@*", "the machine's own console"),
    ("serial-getty@*", "the machine's own console"),
    ("backdoor.service", "the root shell of the clone"),
    ("-.mount", "the machine's own disk"),
    ("nix*.mount", "the machine's own disk"),
    ("usr.mount", "how the machine's packages are mounted"),
    ("etc.mount", "how the machine's packages are mounted"),
    ("run-diorama*", "how the machine's packages are mounted"),
    ("run-credentials*", "a unit's own, while it starts"),
];

/// Kinds of units that say nothing of a configuration.
const UNCOMPARED: [&str; 3] = [".device", ".slice", ".scope"];

/// Why a file below /etc differs in any case.
pub fn etc(path: &str) -> Option<&'static str> {
    find(&ETC, path)
}

/// Why a unit differs in any case.
pub fn unit(name: &str) -> Option<&'static str> {
    find(&UNITS, name)
}

/// Whether a unit is compared at all.
pub fn is_compared(unit: &str) -> bool {
    !UNCOMPARED.iter().any(|kind| unit.ends_with(kind))
}

fn find(table: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    let matches = |pattern: &str| match pattern.split_once('*') {
        Some((head, tail)) => {
            name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail)
        }
        None => pattern == name,
    };
    table.iter().find(|(pattern, _)| matches(pattern)).map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (name, want) in [
            ("machine-id", true),
            ("machine-id.bak", false),
            ("x/machine-id", false),
            ("ssh/ssh_host_ed25519_key", true),
            ("ssh/sshd_config", false),
        ] {
            assert_eq!(etc(name).is_some(), want, "{name}");
        }
        assert!(unit("nix-store.mount").is_some() && unit("nix.service").is_none());
        assert!(!is_compared("dev-vda.device") && is_compared("nginx.service"));
    }
}
