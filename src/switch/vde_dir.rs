//! A VDE control directory: where plugs knock, and the sockets made for them.
//!
//! Invariant: the directory is 0700 and what is made in it is removed with its owner.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use super::PortId;
use super::vde::{LONGEST_REQUEST, Request, reply};

/// A served control directory.
#[derive(Debug)]
pub(super) struct VdeDir {
    /// The segment that plugs join here.
    pub(super) vlan: u16,
    /// Where plugs knock.
    pub(super) listener: UnixListener,
    dir: PathBuf,
}

/// A plug that has joined.
#[derive(Debug)]
pub(super) struct Joined {
    /// Carries frames; connected to the plug, and known to it by `path`.
    pub(super) data: UnixDatagram,
    /// Removed with the port.
    pub(super) path: PathBuf,
    /// What to call the port.
    pub(super) name: String,
}

impl VdeDir {
    /// Makes the directory and listens in it, over the remains of a switch that died.
    pub(super) fn bind(vlan: u16, dir: &Path) -> io::Result<Self> {
        let place = |what: &str, error: io::Error| {
            io::Error::new(error.kind(), format!("VDE directory {}: {what}: {error}", dir.display()))
        };
        match fs::DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
                    .map_err(|error| place("cannot close it to others", error))?;
            }
            made => made.map_err(|error| place("cannot make it", error))?,
        }
        let ctl = dir.join("ctl");
        if UnixStream::connect(&ctl).is_ok() {
            let error = io::Error::from(io::ErrorKind::AddrInUse);
            return Err(place("another switch serves it; end that one or take another directory", error));
        }
        sweep(dir).map_err(|error| place("cannot remove old sockets", error))?;
        let listener = UnixListener::bind(&ctl).map_err(|error| place("cannot listen on `ctl`", error))?;
        listener.set_nonblocking(true)?;
        Ok(Self { vlan, listener, dir: dir.to_owned() })
    }

    /// Answers a plug's request, which has arrived on `ctl`.
    pub(super) fn admit(&self, port: PortId, ctl: &UnixStream) -> io::Result<Joined> {
        let mut buffer = [0; LONGEST_REQUEST];
        let count = io::Read::read(&mut &*ctl, &mut buffer)?;
        let request = Request::parse(&buffer[..count]).map_err(io::Error::other)?;
        let path = self.dir.join(format!("{:03}.{}", port.0, ctl.as_raw_fd()));
        let answer = reply(&path)
            .ok_or_else(|| io::Error::other(format!("the socket path {} is too long", path.display())))?;
        let data = UnixDatagram::bind(&path)?;
        let joined = Joined { data, path, name: request.name() };
        joined.data.set_nonblocking(true)?;
        // Connected both ways, a datagram socket is limited by its own buffer; connected one way, by
        // the ten datagrams of the receiver's queue.
        joined.data.connect(&request.socket)?;
        let sent = io::Write::write(&mut &*ctl, &answer)?;
        if sent != answer.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(joined)
    }
}

impl Drop for VdeDir {
    fn drop(&mut self) {
        // The directory belongs to its maker, who may have removed it already.
        let _ = fs::remove_file(self.dir.join("ctl"));
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        // As above: what is gone need not be removed.
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes the sockets that a switch and its plugs left behind.
fn sweep(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_socket() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Whether a path is short enough for a socket: one that is not can never be connected.
pub(super) fn can_be_address(path: &Path) -> io::Result<()> {
    let wrong = |error: nix::Error| {
        let way_out = "a shorter runtime directory (XDG_RUNTIME_DIR) or network name helps";
        io::Error::other(format!("{} cannot be a socket: {error}; {way_out}", path.display()))
    };
    UnixAddr::new(path).map(drop).map_err(wrong)
}

/// Connects to a listening stream socket without ever waiting.
pub(super) fn connect_now(path: &Path) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd: OwnedFd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(UnixStream::from(fd))
}
