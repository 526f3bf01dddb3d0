//! Every directory the program uses, found through the `directories` crate and all overridable.
//!
//! | what | default | override |
//! |---|---|---|
//! | cache (unpacked assets, accelerator probe) | `$XDG_CACHE_HOME/diorama` | `DIORAMA_CACHE_DIR` |
//! | state (disks, console logs, roots), one directory a network | `$XDG_STATE_HOME/diorama` | `DIORAMA_STATE_DIR`, `--state-dir` |
//! | data (the private Nix store) | `$XDG_DATA_HOME/diorama` | `DIORAMA_DATA_DIR` |
//! | runtime (sockets), one directory a session | `$XDG_RUNTIME_DIR/diorama`, else `$TMPDIR/diorama-UID` | `DIORAMA_RUNTIME_DIR` |
//!
//! A Unix socket's path has at most 107 bytes. Long names are shortened to a prefix and a hash, and
//! a runtime directory that is too deep is replaced by a short, hashed one under `/tmp`, always the
//! same for the same input, so that every client finds the same socket.
//!
//! Invariant: the runtime directory belongs to this user alone (checked, not assumed), because the
//! sockets in it give a root shell in every clone.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The longest path a Unix socket can have (`sun_path` less its final NUL).
pub const SOCKET_PATH_MAX: usize = 107;

/// The longest name that is used as it is in a runtime path; longer ones are hashed.
const NAME_MAX: usize = 24;

/// Bytes that follow the runtime directory at most: two names, and `/IFNAME.sock` with its slashes.
const TAIL_MAX: usize = 2 * (NAME_MAX + 1) + 1 + 15 + ".sock".len();

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// Neither the environment nor the user database names a home directory.
    #[error(
        "no home directory is known; set HOME, or DIORAMA_CACHE_DIR, DIORAMA_STATE_DIR and DIORAMA_DATA_DIR"
    )]
    NoHome,
    /// The directory could not be made or looked at.
    #[error("{}: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The runtime directory could be reached by somebody else.
    #[error("{}: {what}; sockets in it would not be private. Remove it, or set DIORAMA_RUNTIME_DIR to a directory of your own", path.display())]
    Unsafe {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Even the shortened path does not fit a socket address.
    #[error("{}: a socket's path may have {SOCKET_PATH_MAX} bytes, this one has {}; set DIORAMA_RUNTIME_DIR to a shorter directory", path.display(), path.as_os_str().len())]
    TooLong {
        /// The path.
        path: PathBuf,
    },
}

/// The directory that the machines of a session share, in its state; no file of a node is named like it.
pub const SHARED: &str = "shared";

/// Where everything lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Things that can be made again.
    pub cache: PathBuf,
    /// Things that last: one directory a network.
    pub state: PathBuf,
    /// The private Nix store, when there is one.
    pub data: PathBuf,
    /// Sockets and process files: one directory a session.
    pub runtime: PathBuf,
}

/// What the choice of directories depends on; the process's own in [`Paths::from_env`].
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Looks up an environment variable that is set and not empty.
    pub env: std::collections::BTreeMap<String, OsString>,
    /// The user.
    pub uid: u32,
    /// `--state-dir`, which goes before everything.
    pub state_dir: Option<PathBuf>,
}

impl Paths {
    /// Finds the directories from the process's environment; makes none.
    ///
    /// # Errors
    /// When no home directory is known and the overrides do not make up for it.
    pub fn from_env(state_dir: Option<&Path>) -> Result<Self, PathError> {
        let env = std::env::vars_os()
            .filter(|(_, v)| !v.is_empty())
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v)))
            .collect();
        let here = Surroundings {
            env,
            uid: nix::unistd::geteuid().as_raw(),
            state_dir: state_dir.map(Path::to_path_buf),
        };
        Self::choose(&here, directories::ProjectDirs::from("", "", "diorama").as_ref())
    }

    /// The choice itself.
    ///
    /// # Errors
    /// As [`Paths::from_env`].
    pub fn choose(
        here: &Surroundings,
        project: Option<&directories::ProjectDirs>,
    ) -> Result<Self, PathError> {
        let var = |name: &str| here.env.get(name).map(PathBuf::from);
        let pick = |name: &str, default: Option<PathBuf>| var(name).or(default).ok_or(PathError::NoHome);
        let absolute = |p: PathBuf| std::path::absolute(&p).unwrap_or(p);
        let cache = pick("DIORAMA_CACHE_DIR", project.map(|p| p.cache_dir().to_path_buf()))?;
        let data = pick("DIORAMA_DATA_DIR", project.map(|p| p.data_dir().to_path_buf()))?;
        let state = match &here.state_dir {
            Some(dir) => dir.clone(),
            None => pick("DIORAMA_STATE_DIR", project.and_then(|p| p.state_dir().map(Path::to_path_buf)))?,
        };
        let runtime = var("DIORAMA_RUNTIME_DIR")
            .or_else(|| var("XDG_RUNTIME_DIR").map(|d| d.join("diorama")))
            .unwrap_or_else(|| {
                var("TMPDIR").unwrap_or_else(|| "/tmp".into()).join(format!("diorama-{}", here.uid))
            });
        let runtime = shorten_base(&absolute(runtime), here.uid);
        Ok(Self { cache: absolute(cache), state: absolute(state), data: absolute(data), runtime })
    }

    /// The directory of one session's sockets.
    pub fn session(&self, network: &str) -> PathBuf {
        self.runtime.join(short_name(network))
    }

    /// The directory of one network's state.
    pub fn network_state(&self, network: &str) -> PathBuf {
        self.state.join(network)
    }

    /// The paths that belong to one node of a session.
    pub fn node(&self, network: &str, node: &str) -> NodePaths {
        NodePaths {
            run: self.session(network).join(short_name(node)),
            state: self.network_state(network),
            name: node.to_owned(),
        }
    }

    /// Makes the runtime directory and one session's under it, private and checked.
    ///
    /// # Errors
    /// When it cannot be made, or when it is not ours alone.
    pub fn make_session(&self, network: &str) -> Result<PathBuf, PathError> {
        let dir = self.session(network);
        make_private(&self.runtime)?;
        if make_private(&dir).is_err() {
            // Another session has just ended as the last one, and took the directory of all with it.
            make_private(&self.runtime)?;
            make_private(&dir)?;
        }
        Ok(dir)
    }
}

/// The files of one node: sockets and process files in `run`, what lasts in `state`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePaths {
    /// The node's directory under the session's runtime directory.
    pub run: PathBuf,
    /// The network's state directory.
    pub state: PathBuf,
    /// The node's name.
    pub name: String,
}

impl NodePaths {
    /// QEMU's monitor.
    pub fn qmp(&self) -> PathBuf {
        self.run.join("qmp.sock")
    }
    /// The serial console.
    pub fn serial(&self) -> PathBuf {
        self.run.join("serial.sock")
    }
    /// The display, for VNC.
    pub fn vnc(&self) -> PathBuf {
        self.run.join("vnc.sock")
    }
    /// The root shell's agent.
    pub fn agent(&self) -> PathBuf {
        self.run.join("agent.sock")
    }
    /// The plug of a network interface.
    pub fn port(&self, interface: &str) -> PathBuf {
        self.run.join(format!("{interface}.port"))
    }
    /// Who runs: QEMU's process, the shell that waits for it, and when they started.
    pub fn pid(&self) -> PathBuf {
        self.run.join("pid")
    }
    /// QEMU's exit status, once it has ended.
    pub fn status(&self) -> PathBuf {
        self.run.join("status")
    }
    /// What QEMU itself says.
    pub fn qemu_log(&self) -> PathBuf {
        self.run.join("qemu.log")
    }
    /// The disk that keeps the machine's state.
    pub fn state_disk(&self) -> PathBuf {
        self.state.join(format!("{}.qcow2", self.name))
    }
    /// Everything the serial console has ever said.
    pub fn console_log(&self) -> PathBuf {
        self.state.join(format!("{}.console.log", self.name))
    }
    /// What a start script made by NixOS keeps beside the state disk: further disks, shared files.
    pub fn script_state(&self) -> PathBuf {
        self.state.join(format!("{}.vm", self.name))
    }
    /// What the machines of a session and their tests share: a directory that start scripts give to
    /// their guests (`SHARED_DIR`).
    pub fn shared(&self) -> PathBuf {
        self.state.join(SHARED)
    }
    /// The script that boots the machine by hand.
    pub fn run_script(&self) -> PathBuf {
        self.state.join(format!("run-{}", self.name))
    }

    /// Makes both directories, the one with the sockets private.
    ///
    /// # Errors
    /// When they cannot be made, when the private one is not ours, or when a socket's path would
    /// not fit.
    pub fn make(&self) -> Result<(), PathError> {
        make_private(&self.run)?;
        fs::create_dir_all(&self.state)
            .map_err(|source| PathError::Io { path: self.state.clone(), source })?;
        let longest = self.port("fifteen-letters");
        check_socket_path(&longest)
    }
}

/// Checks that a socket can be bound at a path.
///
/// # Errors
/// When the path is longer than a socket address holds.
pub fn check_socket_path(path: &Path) -> Result<(), PathError> {
    if path.as_os_str().len() > SOCKET_PATH_MAX {
        return Err(PathError::TooLong { path: path.to_path_buf() });
    }
    Ok(())
}

/// Makes a directory (and its parents) with mode 0700 and makes sure that it is ours alone.
///
/// # Errors
/// When it cannot be made, is a symbolic link, belongs to somebody else, or others may enter it.
pub fn make_private(dir: &Path) -> Result<(), PathError> {
    let io = |source| PathError::Io { path: dir.to_path_buf(), source };
    if let Some(parent) = dir.parent()
        && !parent.exists()
    {
        make_private(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(io(e)),
    }
    // Looked at after it was made, so that nobody can put something else there in between: a
    // directory that is ours stays ours.
    let meta = fs::symlink_metadata(dir).map_err(io)?;
    let bad = |what: String| PathError::Unsafe { path: dir.to_path_buf(), what };
    if meta.file_type().is_symlink() {
        return Err(bad("is a symbolic link".into()));
    }
    if !meta.is_dir() {
        return Err(bad("is not a directory".into()));
    }
    let uid = nix::unistd::geteuid().as_raw();
    if meta.uid() != uid {
        return Err(bad(format!("belongs to user {}, not to user {uid}", meta.uid())));
    }
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(bad(format!("has mode {mode:04o}, not 0700")));
    }
    Ok(())
}

/// A name as it is used in runtime paths: itself, or a prefix and a hash when it is long. The hashed
/// form has a `~`, which no name has, so the two kinds cannot meet.
pub fn short_name(name: &str) -> String {
    if name.len() <= NAME_MAX {
        return name.to_owned();
    }
    let prefix: String = name.chars().take(NAME_MAX - 9).collect();
    format!("{prefix}~{}", hash(name.as_bytes()))
}

fn shorten_base(dir: &Path, uid: u32) -> PathBuf {
    if dir.as_os_str().len() + TAIL_MAX <= SOCKET_PATH_MAX {
        return dir.to_path_buf();
    }
    PathBuf::from(format!("/tmp/diorama-{uid}-{}", hash(dir.as_os_str().as_bytes())))
}

/// Eight hexadecimal digits that stand for some bytes.
fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(4).map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(vars: &[(&str, &str)]) -> Surroundings {
        let env = vars.iter().map(|(k, v)| ((*k).to_owned(), OsString::from(v))).collect();
        Surroundings { env, uid: 1000, state_dir: None }
    }

    const ALL: &[(&str, &str)] =
        &[("DIORAMA_CACHE_DIR", "/c"), ("DIORAMA_STATE_DIR", "/s"), ("DIORAMA_DATA_DIR", "/d")];

    fn runtime(vars: &[(&str, &str)]) -> PathBuf {
        Paths::choose(&here(&[ALL, vars].concat()), None).unwrap().runtime
    }

    #[test]
    fn the_runtime_directory_follows_the_environment() {
        for (vars, expected) in [
            (&[][..], "/tmp/diorama-1000"),
            (&[("TMPDIR", "/var/tmp")][..], "/var/tmp/diorama-1000"),
            (&[("XDG_RUNTIME_DIR", "/run/user/1000")][..], "/run/user/1000/diorama"),
            (&[("XDG_RUNTIME_DIR", "/run/user/1000"), ("DIORAMA_RUNTIME_DIR", "/x")][..], "/x"),
        ] {
            assert_eq!(runtime(vars), Path::new(expected), "{vars:?}");
        }
    }

    #[test]
    fn state_dir_on_the_command_line_goes_first() {
        let mut h = here(ALL);
        h.state_dir = Some("/elsewhere".into());
        assert_eq!(Paths::choose(&h, None).unwrap().state, Path::new("/elsewhere"));
        assert!(matches!(Paths::choose(&here(&[]), None), Err(PathError::NoHome)));
    }

    #[test]
    fn every_socket_path_fits_however_long_the_names_are() {
        let deep = format!("/run/{}", "deep/".repeat(40));
        let long = "n".repeat(63);
        for vars in [&[][..], &[("DIORAMA_RUNTIME_DIR", deep.as_str())][..]] {
            let paths = Paths::choose(&here(&[ALL, vars].concat()), None).unwrap();
            let socket = paths.node(&long, &long).port("fifteen-letters");
            check_socket_path(&socket).unwrap();
        }
        let (a, b) = (format!("{long}a"), format!("{long}b"));
        assert_ne!(short_name(&a), short_name(&b));
        assert_eq!(short_name("web"), "web");
        assert!(check_socket_path(Path::new(&"x".repeat(108))).is_err());
    }

    #[test]
    fn only_a_directory_of_our_own_is_private() {
        let tmp = tempfile::tempdir().unwrap();
        let good = tmp.path().join("a/b");
        make_private(&good).unwrap();
        make_private(&good).unwrap();
        assert_eq!(fs::metadata(&good).unwrap().permissions().mode() & 0o777, 0o700);

        let link = tmp.path().join("link");
        std::os::unix::fs::symlink(&good, &link).unwrap();
        assert!(make_private(&link).unwrap_err().to_string().contains("symbolic link"));

        let open = tmp.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(make_private(&open).unwrap_err().to_string().contains("0755"));

        let file = tmp.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(make_private(&file).unwrap_err().to_string().contains("not a directory"));
    }
}
