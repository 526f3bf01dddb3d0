//! Which Nix store is used, and how: decided from facts about the machine, said in one line.
//!
//! Invariant: nothing is ever built as root unless the person asked for it by name
//! (`DIORAMA_BUILD_AS_ROOT=1`): as root, builds run as the users of the group `nixbld`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The group whose members build for root.
pub const BUILD_GROUP: &str = "nixbld";

/// What the choice depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The user.
    pub uid: u32,
    /// `NIX_REMOTE`, when the person has set it.
    pub remote: Option<String>,
    /// Whether a Nix daemon answers.
    pub daemon: bool,
    /// Whether this user may write to the machine's store.
    pub store_writable: bool,
    /// Whether the group [`BUILD_GROUP`] has members.
    pub build_users: bool,
    /// Whether the person wants builds to run as root.
    pub as_root: bool,
    /// Where a private store would be.
    pub data: PathBuf,
}

/// How Nix is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// As the person's own settings say.
    Configured {
        /// `NIX_REMOTE`.
        remote: String,
    },
    /// Through the machine's Nix daemon.
    Daemon,
    /// On the machine's store, as root; the builds run as build users, or as root when asked for.
    Root {
        /// Whether there are build users.
        users: bool,
        /// Whether the builds run as root.
        as_root: bool,
    },
    /// On the machine's store, which belongs to this user.
    Own,
    /// On a store of this user's own.
    Private {
        /// Where it is.
        dir: PathBuf,
    },
}

impl Store {
    /// The choice.
    pub fn choose(facts: &Facts) -> Self {
        match &facts.remote {
            Some(remote) => Self::Configured { remote: remote.clone() },
            None if facts.daemon => Self::Daemon,
            // A private store of root's would only hide that the machine's cannot be written.
            None if facts.uid == 0 => Self::Root { users: facts.build_users, as_root: facts.as_root },
            None if facts.store_writable => Self::Own,
            None => Self::Private { dir: facts.data.join("nix") },
        }
    }

    /// Looks at the machine and chooses.
    pub fn find(data: &Path) -> Self {
        let uid = nix::unistd::geteuid().as_raw();
        let var = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let state = var("NIX_STATE_DIR").unwrap_or_else(|| "/nix/var/nix".into());
        let socket = var("NIX_DAEMON_SOCKET_PATH").unwrap_or_else(|| format!("{state}/daemon-socket/socket"));
        let store = PathBuf::from(var("NIX_STORE_DIR").unwrap_or_else(|| "/nix/store".into()));
        let writable = |p: &Path| nix::unistd::access(p, nix::unistd::AccessFlags::W_OK).is_ok();
        let facts = Facts {
            uid,
            remote: var("NIX_REMOTE").filter(|r| r != "auto"),
            // A socket that nobody listens on any more refuses.
            daemon: std::os::unix::net::UnixStream::connect(socket).is_ok(),
            store_writable: writable(&store),
            build_users: build_users(),
            as_root: var("DIORAMA_BUILD_AS_ROOT").is_some_and(|v| v == "1"),
            data: data.to_path_buf(),
        };
        Self::choose(&facts)
    }

    /// Which store it is and why, in one line.
    pub fn why(&self) -> String {
        match self {
            Self::Configured { remote } => format!("Nix as NIX_REMOTE={remote} says"),
            Self::Daemon => "Nix through this machine's daemon".into(),
            Self::Root { as_root: true, .. } => {
                "Nix on this machine's store, building as root as DIORAMA_BUILD_AS_ROOT asks".into()
            }
            Self::Root { .. } => {
                format!("Nix on this machine's store, building as the users of {BUILD_GROUP}")
            }
            Self::Own => "Nix on this machine's store, which is this user's own".into(),
            Self::Private { dir } => {
                format!("Nix on a private store in {}: no daemon, and /nix is not writable", dir.display())
            }
        }
    }

    /// What keeps this store from building, and the way out.
    pub fn obstacle(&self) -> Option<String> {
        match self {
            Self::Root { users: false, as_root: false } => Some(format!(
                "as root, Nix builds as the users of the group {BUILD_GROUP}, and there are none; \
                 `diorama setup` makes them (or set DIORAMA_BUILD_AS_ROOT=1 to build as root)"
            )),
            _ => None,
        }
    }

    /// The environment for Nix's programs. `bundled` says that the bundled guest system is built: its
    /// builders use the machine's own programs, and no binary cache has any of it.
    pub fn environment(&self, bundled: bool) -> Vec<(&'static str, OsString)> {
        let mut config = std::env::var("NIX_CONFIG").unwrap_or_default();
        let mut say = |line: &str| {
            if !config.is_empty() && !config.ends_with('\n') {
                config.push('\n');
            }
            config.push_str(line);
        };
        if bundled {
            say("substituters =");
            if !matches!(self, Self::Daemon | Self::Configured { .. }) {
                say("sandbox = false");
            }
        }
        let mut env: Vec<(&str, OsString)> = Vec::new();
        match self {
            Self::Configured { .. } | Self::Daemon => {}
            Self::Root { as_root, .. } => {
                say(&format!("build-users-group = {}", if *as_root { "" } else { BUILD_GROUP }));
                env.push(("NIX_REMOTE", "local".into()));
            }
            Self::Own => env.push(("NIX_REMOTE", "local".into())),
            Self::Private { dir } => {
                say("sandbox = false");
                say("build-users-group =");
                env.push(("NIX_REMOTE", "local".into()));
                for (name, sub) in [
                    ("NIX_STORE_DIR", "store"),
                    ("NIX_STATE_DIR", "var/nix"),
                    ("NIX_LOG_DIR", "var/log/nix"),
                    ("NIX_CONF_DIR", "etc"),
                ] {
                    env.push((name, dir.join(sub).into()));
                }
            }
        }
        env.push(("NIX_CONFIG", config.into()));
        // Nix gives up on a user that neither the user database nor the environment names, as in a
        // container that was told a bare number.
        if std::env::var_os("USER").is_none() {
            let uid = nix::unistd::geteuid();
            let known = nix::unistd::User::from_uid(uid).ok().flatten();
            env.push(("USER", known.map_or_else(|| format!("uid{uid}"), |u| u.name).into()));
        }
        env
    }

    /// The directory of the store's paths.
    pub fn store_dir(&self) -> PathBuf {
        match self {
            Self::Private { dir } => dir.join("store"),
            _ => std::env::var_os("NIX_STORE_DIR").map_or_else(|| "/nix/store".into(), PathBuf::from),
        }
    }
}

/// Whether the group [`BUILD_GROUP`] has members.
pub fn build_users() -> bool {
    matches!(nix::unistd::Group::from_name(BUILD_GROUP), Ok(Some(group)) if !group.mem.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            uid: 1000,
            remote: None,
            daemon: false,
            store_writable: false,
            build_users: false,
            as_root: false,
            data: "/d".into(),
        }
    }

    #[test]
    fn the_choice() {
        let root = Facts { uid: 0, store_writable: true, ..facts() };
        for (facts, expected) in [
            (facts(), Store::Private { dir: "/d/nix".into() }),
            (Facts { daemon: true, ..facts() }, Store::Daemon),
            (Facts { store_writable: true, ..facts() }, Store::Own),
            (root.clone(), Store::Root { users: false, as_root: false }),
            (Facts { daemon: true, ..root.clone() }, Store::Daemon),
            (Facts { store_writable: false, ..root.clone() }, Store::Root { users: false, as_root: false }),
            (Facts { build_users: true, ..root.clone() }, Store::Root { users: true, as_root: false }),
            (Facts { remote: Some("daemon".into()), ..root }, Store::Configured { remote: "daemon".into() }),
        ] {
            assert_eq!(Store::choose(&facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn root_never_builds_as_root_by_itself() {
        for (users, as_root, obstacle) in
            [(false, false, true), (true, false, false), (false, true, false), (true, true, false)]
        {
            let store = Store::Root { users, as_root };
            assert_eq!(store.obstacle().is_some(), obstacle);
            let env = store.environment(true);
            let config =
                env.iter().find(|(k, _)| *k == "NIX_CONFIG").unwrap().1.to_string_lossy().into_owned();
            assert_eq!(config.contains("build-users-group = nixbld"), !as_root, "{config}");
        }
    }
}
