//! A port's sockets: reading frames from them, writing its queue to them.
//!
//! Invariant: no call blocks, and an error concerns this port alone.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};

use super::framing::Deframer;
use super::queue::TxQueue;
use super::vde_dir::Joined;
use super::{Millis, PortId};

/// The first wait before another attempt to connect, in milliseconds.
const FIRST_WAIT: u64 = 10;
/// The longest wait.
const LONGEST_WAIT: u64 = 500;
/// A connection that lasted this long was a real one: attempts begin anew with the first wait.
const LASTING: Millis = Millis(2_000);

/// One port's plug.
#[derive(Debug)]
pub(super) struct Link {
    /// The port.
    pub(super) id: PortId,
    /// Tells events for this registration from events for an earlier one.
    pub(super) serial: u32,
    /// What waits to be written.
    pub(super) queue: TxQueue,
    /// Whether the queue is on the list of those to be written at the end of the batch.
    pub(super) dirty: bool,
    /// Whether an event is asked for when there is room to write again.
    pub(super) blocked: bool,
    /// The sockets.
    pub(super) kind: Kind,
}

/// The sockets of a port.
#[derive(Debug)]
pub(super) enum Kind {
    /// A stream to QEMU, or the attempt at one.
    Stream(Stream),
    /// A VDE plug, which exists only as long as it is connected.
    Vde(Vde),
}

/// A stream to QEMU, or the attempt at one.
#[derive(Debug)]
pub(super) struct Stream {
    /// QEMU's socket.
    pub(super) path: PathBuf,
    /// The connection and its decoder.
    pub(super) live: Option<(UnixStream, Deframer)>,
    /// When to try next while there is no connection.
    pub(super) next_try: Millis,
    wait: u64,
    since: Millis,
}

/// A VDE plug.
#[derive(Debug)]
pub(super) struct Vde {
    /// Its end tells that the plug was pulled.
    pub(super) ctl: UnixStream,
    /// The datagram socket and its name.
    pub(super) joined: Joined,
    /// Whether its address was told.
    pub(super) heard: bool,
}

impl Link {
    /// A plug for a port.
    pub(super) fn new(id: PortId, serial: u32, kind: Kind) -> Self {
        Self { id, serial, queue: TxQueue::default(), dirty: false, blocked: false, kind }
    }

    /// The socket that carries frames.
    pub(super) fn data(&self) -> Option<BorrowedFd<'_>> {
        match &self.kind {
            Kind::Stream(stream) => stream.live.as_ref().map(|(socket, _)| socket.as_fd()),
            Kind::Vde(vde) => Some(vde.joined.data.as_fd()),
        }
    }

    /// Writes what waits, as far as the other end takes it; true when all is written.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        let datagrams = matches!(self.kind, Kind::Vde(_));
        let socket = match &self.kind {
            Kind::Stream(stream) => stream.live.as_ref().map(|(socket, _)| socket.as_fd()),
            Kind::Vde(vde) => Some(vde.joined.data.as_fd()),
        };
        match socket {
            Some(socket) => write_queue(&mut self.queue, socket, datagrams),
            None => Ok(self.queue.is_empty()),
        }
    }
}

/// Writes a queue to a socket, as far as its other end takes it; true when all is written.
pub(super) fn write_queue(queue: &mut TxQueue, socket: BorrowedFd<'_>, datagrams: bool) -> io::Result<bool> {
    while !queue.is_empty() {
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        let bytes = if datagrams { queue.first().unwrap_or_default() } else { queue.stream() };
        match send(socket.as_raw_fd(), bytes, flags) {
            Ok(_) if datagrams => queue.pop(),
            Ok(count) => queue.written(count),
            Err(Errno::EAGAIN | Errno::ENOBUFS) => return Ok(false),
            Err(Errno::EINTR) => {}
            // A datagram that no socket buffer holds is lost, as on any wire.
            Err(Errno::EMSGSIZE) if datagrams => queue.pop(),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

impl Stream {
    /// A stream that is to be connected now.
    pub(super) fn new(path: PathBuf, now: Millis) -> Self {
        Self { path, live: None, next_try: now, wait: FIRST_WAIT, since: now }
    }

    /// Notes a connection.
    pub(super) fn connected(&mut self, now: Millis, socket: UnixStream) {
        self.live = Some((socket, Deframer::new()));
        self.since = now;
    }

    /// Notes that an attempt failed or a connection ended, and when to try again. A connection that
    /// ends as soon as it begins does not shorten the wait: it would be a busy loop.
    pub(super) fn lost(&mut self, now: Millis) {
        if self.live.take().is_some() && now.since(self.since) >= LASTING {
            self.wait = FIRST_WAIT;
        }
        self.next_try = now.plus(self.wait);
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
    }

    /// Makes the next attempt due now.
    pub(super) fn hurry(&mut self, now: Millis) {
        self.wait = FIRST_WAIT;
        self.next_try = now;
    }
}

/// Reads one datagram into `buffer`; `None` when none waits.
pub(super) fn receive(vde: &Vde, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    match vde.joined.data.recv(buffer) {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_grow_rarer_and_begin_anew_after_a_lasting_connection() {
        let mut stream = Stream::new(PathBuf::from("/nowhere"), Millis(0));
        let mut now = Millis(0);
        let mut waits = Vec::new();
        for _ in 0..8 {
            stream.lost(now);
            waits.push(stream.next_try.since(now).0);
            now = stream.next_try;
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 500, 500]);
        let (socket, _other) = UnixStream::pair().expect("a socket pair");
        stream.connected(now, socket);
        stream.lost(now.plus(1));
        assert_eq!(stream.next_try, now.plus(501), "a connection that does not last changes nothing");
        let (socket, _other) = UnixStream::pair().expect("a socket pair");
        stream.connected(now, socket);
        stream.lost(now.plus(2_000));
        assert_eq!(stream.next_try, now.plus(2_010));
    }
}
