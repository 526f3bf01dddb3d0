//! A session's private files, and the lock by which its daemon is known to live.
//!
//! They are in `.daemon` under the session's runtime directory: no node can have that name.
//!
//! Invariant: the lock dies with its process, however that ends; asking who has it changes nothing.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// The files of a session's daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFiles {
    /// The session's runtime directory.
    pub dir: PathBuf,
}

impl SessionFiles {
    /// Names them; makes nothing.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }
    /// The private directory.
    pub fn private(&self) -> PathBuf {
        self.dir.join(".daemon")
    }
    /// Where clients connect.
    pub fn socket(&self) -> PathBuf {
        self.private().join("sock")
    }
    /// The lock.
    pub fn lock(&self) -> PathBuf {
        self.private().join("lock")
    }
    /// The daemon's process number, for people.
    pub fn pid(&self) -> PathBuf {
        self.private().join("pid")
    }
    /// What survives the daemon.
    pub fn saved(&self) -> PathBuf {
        self.private().join("session.json")
    }
    /// The control directory through which VDE plugs join a VLAN.
    pub fn vde(&self, vlan: u16) -> PathBuf {
        self.private().join(format!("vde{vlan}"))
    }
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock; none when another process has it.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        Self::open(path, |l| FcntlArg::F_OFD_SETLK(l))
    }

    /// Takes the lock as soon as nobody else has it.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn wait(path: &Path) -> io::Result<Self> {
        loop {
            if let Some(lock) = Self::open(path, |l| FcntlArg::F_OFD_SETLKW(l))? {
                return Ok(lock);
            }
        }
    }

    fn open(path: &Path, how: impl Fn(&libc::flock) -> FcntlArg<'_>) -> io::Result<Option<Self>> {
        loop {
            let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
            match fcntl(&file, how(&whole_file())) {
                Ok(_) => {}
                Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => return Ok(None),
                Err(nix::errno::Errno::EINTR) => continue,
                Err(e) => return Err(e.into()),
            }
            // Whoever held it before may have removed the file under us; then it locks nothing.
            match path.metadata() {
                Ok(m) if m.ino() == file.metadata()?.ino() => return Ok(Some(Self { _file: file })),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Whether some process has the lock.
    pub fn is_held(path: &Path) -> bool {
        let Ok(file) = OpenOptions::new().write(true).open(path) else { return false };
        let mut asked = whole_file();
        match fcntl(&file, FcntlArg::F_OFD_GETLK(&mut asked)) {
            Ok(_) => asked.l_type != libc::F_UNLCK as libc::c_short,
            Err(_) => false,
        }
    }
}

fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_asking_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert!(!Lock::is_held(&path));
        let held = Lock::take(&path).unwrap().unwrap();
        assert!(Lock::is_held(&path));
        assert!(Lock::take(&path).unwrap().is_none());
        drop(held);
        assert!(!Lock::is_held(&path));
        let held = Lock::take(&path).unwrap().unwrap();
        let waiting = std::thread::spawn(move || Lock::wait(&path).map(drop));
        drop(held);
        waiting.join().unwrap().unwrap();
    }
}
