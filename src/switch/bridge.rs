//! Gives the VDE plugs of one machine the sockets of QEMU's own stream plugs.
//!
//! ```text
//! QEMU -netdev vde ─▶ DIR/ctl, datagrams ─▶ bridge ─▶ ethN.sock, frames on a stream ─▶ the switch
//! ```
//!
//! A VDE plug connects once and never again: were the switch itself at its other end, the machine
//! would be cut off for good when the switch's process dies. The bridge lives as long as the machine
//! does, and the switch comes and goes at its sockets as it does at QEMU's.
//!
//! Invariant: nothing waits for a side that does not read: its queue is full, and frames are lost.

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::PortId;
use super::framing::{Deframer, LONGEST, Piece};
use super::plug::write_queue;
use super::queue::TxQueue;
use super::vde_dir::{Joined, VdeDir, can_be_address};

/// Datagrams read at once before the others have their turn.
const DATAGRAMS: usize = 64;

/// An interface of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgePort {
    /// The control directory where the machine's plug knocks. Interfaces that share one are given
    /// out in the order of their plugs.
    pub vde: PathBuf,
    /// Where the switch connects.
    pub stream: PathBuf,
}

/// The bridge of one machine.
#[derive(Debug)]
pub struct Bridge {
    doors: Vec<(PathBuf, VdeDir)>,
    ports: Vec<Port>,
    /// Plugs that have knocked and not yet said what they want.
    knocking: Vec<(usize, UnixStream)>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Port {
    door: usize,
    listener: UnixListener,
    switch: Option<(UnixStream, Deframer)>,
    plug: Option<(UnixStream, Joined)>,
    to_switch: TxQueue,
    to_plug: TxQueue,
}

/// What a descriptor that is waited for belongs to.
#[derive(Debug, Clone, Copy)]
enum Source {
    Door(usize),
    Knocking(usize),
    Listener(usize),
    Switch(usize),
    Plug(usize),
    Ctl(usize),
}

impl Bridge {
    /// Listens for both sides, over the remains of an earlier bridge.
    ///
    /// # Errors
    /// When a socket cannot be made.
    pub fn bind(ports: &[BridgePort]) -> io::Result<Self> {
        let mut bridge =
            Self { doors: Vec::new(), ports: Vec::new(), knocking: Vec::new(), buffer: vec![0; LONGEST] };
        for (number, port) in ports.iter().enumerate() {
            let door = match bridge.doors.iter().position(|(dir, _)| *dir == port.vde) {
                Some(door) => door,
                None => {
                    bridge.doors.push((port.vde.clone(), VdeDir::bind(0, &port.vde)?));
                    bridge.doors.len() - 1
                }
            };
            let listener = listen(&port.stream).map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("interface {number}: {}: {error}", port.stream.display()),
                )
            })?;
            let (to_switch, to_plug) = Default::default();
            bridge.ports.push(Port { door, listener, switch: None, plug: None, to_switch, to_plug });
        }
        Ok(bridge)
    }

    /// Carries frames until `end` becomes readable.
    ///
    /// # Errors
    /// When nothing can be waited for; a side that fails is merely disconnected.
    pub fn run(mut self, end: &OwnedFd) -> io::Result<()> {
        loop {
            let ready = self.wait(end)?;
            let Some(ready) = ready else { return Ok(()) };
            // The highest places first: taking one out of the list of those that knock moves the others.
            for source in ready.into_iter().rev() {
                self.serve(source);
            }
        }
    }

    /// The sources that have something; nothing at the end.
    fn wait(&self, end: &OwnedFd) -> io::Result<Option<Vec<Source>>> {
        let mut sources = Vec::new();
        let mut fds = vec![PollFd::new(end.as_fd(), PollFlags::POLLIN)];
        let mut add = |source, fd, room: bool| {
            let room = if room { PollFlags::POLLOUT } else { PollFlags::empty() };
            fds.push(PollFd::new(fd, PollFlags::POLLIN | room));
            sources.push(source);
        };
        for (at, (_, door)) in self.doors.iter().enumerate() {
            add(Source::Door(at), door.listener.as_fd(), false);
        }
        for (at, (_, ctl)) in self.knocking.iter().enumerate() {
            add(Source::Knocking(at), ctl.as_fd(), false);
        }
        for (at, port) in self.ports.iter().enumerate() {
            add(Source::Listener(at), port.listener.as_fd(), false);
            if let Some((socket, _)) = &port.switch {
                add(Source::Switch(at), socket.as_fd(), !port.to_switch.is_empty());
            }
            if let Some((ctl, joined)) = &port.plug {
                add(Source::Plug(at), joined.data.as_fd(), !port.to_plug.is_empty());
                add(Source::Ctl(at), ctl.as_fd(), false);
            }
        }
        match poll(&mut fds, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => return Ok(Some(Vec::new())),
            count => count?,
        };
        let has = |fd: &PollFd<'_>| fd.any().unwrap_or(true);
        if has(&fds[0]) {
            return Ok(None);
        }
        Ok(Some(fds[1..].iter().zip(sources).filter(|(fd, _)| has(fd)).map(|(_, source)| source).collect()))
    }

    fn serve(&mut self, source: Source) {
        match source {
            Source::Door(at) => {
                if let Ok((ctl, _)) = self.doors[at].1.listener.accept()
                    && ctl.set_nonblocking(true).is_ok()
                {
                    self.knocking.push((at, ctl));
                }
            }
            Source::Knocking(at) => self.admit(at),
            Source::Listener(at) => {
                let port = &mut self.ports[at];
                if let Ok((socket, _)) = port.listener.accept()
                    && socket.set_nonblocking(true).is_ok()
                {
                    // The switch that comes last is the one that lives.
                    port.to_switch.purge();
                    port.switch = Some((socket, Deframer::new()));
                }
            }
            Source::Switch(at) => self.ports[at].take_from_switch(),
            Source::Plug(at) => self.ports[at].take_from_plug(&mut self.buffer),
            Source::Ctl(at) => self.ports[at].ctl(),
        }
    }

    /// Lets a plug in, if an interface of its directory is free; otherwise it sees its connection end.
    fn admit(&mut self, at: usize) {
        let (door, ctl) = self.knocking.swap_remove(at);
        let free = self.ports.iter().position(|port| port.door == door && port.plug.is_none());
        let Some(free) = free else { return };
        // At most a few thousand interfaces.
        let Ok(joined) = self.doors[door].1.admit(PortId(free as u32), &ctl) else { return };
        self.ports[free].to_plug.purge();
        self.ports[free].plug = Some((ctl, joined));
    }
}

impl Port {
    fn take_from_switch(&mut self) {
        let Some((socket, deframer)) = &mut self.switch else { return };
        let read = match socket.read(deframer.room()) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                deframer.filled(count);
                Ok(())
            }
            Err(error) if is_nothing(&error) => Ok(()),
            Err(error) => Err(error),
        };
        let outcome = read.and_then(|()| {
            while let Some(piece) = deframer.next(LONGEST).map_err(io::Error::other)? {
                if let Piece::Frame(frame) = piece
                    && self.plug.is_some()
                {
                    // A plug that does not keep up loses frames, as on any wire.
                    let _ = self.to_plug.push(frame);
                }
            }
            Ok(())
        });
        let written = write_queue(&mut self.to_switch, socket.as_fd(), false);
        if outcome.is_err() || written.is_err() {
            self.switch = None;
            self.to_switch.purge();
        }
        self.write_plug();
    }

    fn take_from_plug(&mut self, buffer: &mut [u8]) {
        let Some((_, joined)) = &self.plug else { return };
        for _ in 0..DATAGRAMS {
            match joined.data.recv(buffer) {
                // An empty datagram is libvdeplug's farewell; the end of the control connection follows.
                Ok(0) => break,
                Ok(count) => {
                    if self.switch.is_some() {
                        let _ = self.to_switch.push(&buffer[..count]);
                    }
                }
                // A datagram socket's errors concern one datagram; the control connection tells the end.
                Err(_) => break,
            }
        }
        self.write_plug();
        if let Some((socket, _)) = &self.switch
            && write_queue(&mut self.to_switch, socket.as_fd(), false).is_err()
        {
            self.switch = None;
            self.to_switch.purge();
        }
    }

    fn write_plug(&mut self) {
        if let Some((_, joined)) = &self.plug
            && write_queue(&mut self.to_plug, joined.data.as_fd(), true).is_err()
        {
            self.to_plug.purge();
        }
    }

    /// The plug's control connection has words that mean nothing, or its end.
    fn ctl(&mut self) {
        let Some((ctl, _)) = &self.plug else { return };
        match (&mut &*ctl).read(&mut [0; 256]) {
            Ok(count) if count > 0 => {}
            Err(error) if is_nothing(&error) => {}
            _ => {
                self.plug = None;
                self.to_plug.purge();
            }
        }
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    can_be_address(path)?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
