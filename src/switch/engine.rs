//! The switch's thread: one epoll loop that owns the core and every socket.
//!
//! ```text
//! wait ─▶ read one port (a batch) ─▶ core ─▶ queues ─▶ write the queues that got something ─▶ …
//!      └▶ commands, attempts to connect, publishing of counters, ageing
//! ```
//!
//! Invariant: nothing here blocks but the wait itself; a port that takes nothing keeps its own queue
//! and costs the others nothing.

mod doors;
mod token;

use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use self::doors::{Door, Pending};
use self::token::Token;
use super::core::{Core, Egress, Fate, Slot};
use super::framing::{LONGEST, Piece};
use super::handle::{Command, Plug, PortConfig, Shared, SwitchEvent};
use super::plug::{Kind, Link, Stream, Vde, receive};
use super::vde_dir::{can_be_address, connect_now};
use super::{Millis, PortId};

/// Counters are published at most this often, in milliseconds, by a switch of a few ports.
const PUBLISH_EVERY: u64 = 100;
/// Pairs of ports that put publishing off by a millisecond, so that its cost stays a small share.
const PAIRS_A_MILLISECOND: usize = 1_000;
/// Old addresses are looked for this often.
const AGE_EVERY: u64 = 30_000;
/// Datagrams read from one port before the others have their turn.
const DATAGRAMS: usize = 64;

/// The thread's state.
pub(super) struct Engine {
    shared: Arc<Shared>,
    inbox: mpsc::Receiver<Command>,
    events: Box<dyn Fn(SwitchEvent) + Send>,
    epoll: Epoll,
    core: Core,
    links: Vec<Option<Box<Link>>>,
    doors: Vec<Door>,
    pending: HashMap<u32, Pending>,
    serial: u32,
    now: Millis,
    stopping: bool,
    /// When counters that changed are to be published.
    publish_at: Option<Millis>,
    age_at: Millis,
    /// Ports with something new to write.
    dirty: Vec<Slot>,
    egress: Vec<Egress>,
    datagram: Vec<u8>,
}

impl Engine {
    /// A switch without ports.
    pub(super) fn new(
        shared: Arc<Shared>,
        inbox: mpsc::Receiver<Command>,
        events: Box<dyn Fn(SwitchEvent) + Send>,
    ) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&shared.wake, EpollEvent::new(EpollFlags::EPOLLIN, Token::Wake.pack()))?;
        Ok(Self {
            shared,
            inbox,
            events,
            epoll,
            core: Core::new(),
            links: Vec::new(),
            doors: Vec::new(),
            pending: HashMap::new(),
            serial: 0,
            now: Millis(0),
            stopping: false,
            publish_at: None,
            age_at: Millis(AGE_EVERY),
            dirty: Vec::new(),
            egress: Vec::new(),
            datagram: vec![0; LONGEST],
        })
    }

    /// Switches frames until it is told to stop.
    pub(super) fn run(mut self) {
        // Frames that stop without a word would be a riddle: a panic is told as an event, too.
        let failed = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.turn_until_told())) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => format!("waiting for events failed: {error}"),
            Err(_) => "a defect in the program; its message is in the daemon's log".to_owned(),
        };
        (self.events)(SwitchEvent::Failed { why: failed });
    }

    fn turn_until_told(&mut self) -> io::Result<()> {
        let mut events = [EpollEvent::empty(); 64];
        while !self.stopping {
            let wait = u16::try_from(self.wait()).unwrap_or(u16::MAX);
            let count = match self.epoll.wait(&mut events, wait) {
                Err(Errno::EINTR) => 0,
                count => count?,
            };
            self.now = self.shared.now();
            for event in &events[..count] {
                self.dispatch(Token::unpack(event.data()), event.events());
            }
            self.timers();
        }
        Ok(())
    }

    /// Milliseconds until something is due by itself.
    fn wait(&self) -> u64 {
        let tries = self.streams_to_connect().map(|(_, at)| at);
        let age = self.core.remembers().then_some(self.age_at);
        let due = tries.chain(self.doors_due()).chain(age).chain(self.publish_at).min();
        // One more, since the clock's milliseconds are rounded down and an early wake-up is a wasted one.
        due.map_or(60_000, |due| if due <= self.now { 0 } else { due.since(self.now).0 + 1 })
    }

    fn streams_to_connect(&self) -> impl Iterator<Item = (Slot, Millis)> {
        self.links.iter().enumerate().filter_map(|(place, link)| match &link.as_ref()?.kind {
            Kind::Stream(stream) if stream.live.is_none() => Some((Slot(place), stream.next_try)),
            _ => None,
        })
    }

    fn timers(&mut self) {
        let now = self.now;
        let due: Vec<Slot> =
            self.streams_to_connect().filter(|(_, at)| *at <= now).map(|(slot, _)| slot).collect();
        for slot in due {
            self.connect(slot);
        }
        self.door_timers();
        if self.age_at <= now {
            self.core.expire(now);
            self.age_at = now.plus(AGE_EVERY);
        }
        if self.publish_at.is_some_and(|at| at <= now) {
            self.publish();
        }
    }

    fn publish(&mut self) {
        let published = self.shared.publish(&Arc::new(self.core.report(self.now)));
        self.publish_at = if published { None } else { Some(self.now.plus(1)) };
    }

    /// Has the counters published soon.
    fn changed(&mut self) {
        let pairs = self.core.places() * self.core.places();
        let wait = PUBLISH_EVERY + (pairs / PAIRS_A_MILLISECOND) as u64;
        self.publish_at.get_or_insert(self.now.plus(wait));
    }

    fn dispatch(&mut self, token: Token, flags: EpollFlags) {
        match token {
            Token::Wake => self.commands(),
            Token::Data(slot, serial) if self.is_current(slot, serial) => {
                if flags.contains(EpollFlags::EPOLLOUT) {
                    self.flush(slot);
                }
                if flags.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR)
                    && self.is_current(slot, serial)
                {
                    self.read(slot);
                }
            }
            Token::Ctl(slot, serial) if self.is_current(slot, serial) => self.ctl(slot),
            // An event of a registration that ended within this batch.
            Token::Data(..) | Token::Ctl(..) => {}
            Token::Door(index) => self.accept(index),
            Token::Pending(serial) => self.admit(serial),
        }
    }

    fn is_current(&self, slot: Slot, serial: u32) -> bool {
        self.link(slot).is_some_and(|link| link.serial == serial)
    }

    fn link(&self, slot: Slot) -> Option<&Link> {
        self.links.get(slot.0)?.as_deref()
    }

    fn commands(&mut self) {
        // What is cleared here was for commands that are received below.
        let _ = self.shared.wake.read();
        while let Ok(command) = self.inbox.try_recv() {
            self.changed();
            match command {
                Command::AddPort { id, config } => self.add_port(id, config),
                Command::RemovePort(id) => {
                    if let Some(slot) = self.core.slot(id) {
                        self.remove(slot);
                    }
                }
                Command::Rename(id, name) => {
                    if let Some(slot) = self.core.slot(id) {
                        self.core.rename(slot, name);
                    }
                }
                Command::Retry(id) => {
                    let now = self.now;
                    let link = self.core.slot(id).and_then(|slot| self.links.get_mut(slot.0)?.as_deref_mut());
                    if let Some(Link { kind: Kind::Stream(stream), .. }) = link {
                        stream.hurry(now);
                    }
                }
                Command::SetPolicies(policies) => {
                    for (from, to, policy) in policies {
                        if let (Some(from), Some(to)) = (self.core.slot(from), self.core.slot(to)) {
                            self.core.set_policy(from, to, policy);
                        }
                    }
                }
                Command::SetMtu { vlan, mtu } => self.core.set_mtu(vlan, mtu),
                Command::AddVdeDir(dir) => self.add_door(dir),
                Command::Report(reply) => {
                    self.publish();
                    // Who asked may have gone.
                    let _ = reply.send(Arc::new(self.core.report(self.now)));
                }
                Command::Shutdown => self.stopping = true,
            }
        }
    }

    fn add_port(&mut self, id: PortId, config: PortConfig) {
        let name = format!("{}.{}", config.node, config.interface);
        let Plug::QemuStream { path } = config.plug;
        if let Err(error) = can_be_address(&path) {
            (self.events)(SwitchEvent::Refused { port: id, why: error.to_string() });
            return;
        }
        let Some(slot) = self.core.add_port(id, config.vlan, name) else {
            let why = format!("the switch has its {} ports already", super::core::MOST_PORTS);
            (self.events)(SwitchEvent::Refused { port: id, why });
            return;
        };
        let kind = Kind::Stream(Stream::new(path, self.now));
        self.put(slot, Link::new(id, 0, kind));
        self.connect(slot);
    }

    fn put(&mut self, slot: Slot, link: Link) {
        if self.links.len() <= slot.0 {
            self.links.resize_with(slot.0 + 1, || None);
        }
        self.links[slot.0] = Some(Box::new(link));
    }

    fn next_serial(&mut self) -> u32 {
        self.serial = self.serial.wrapping_add(1);
        self.serial
    }

    /// Removes a port; closing its sockets takes them out of the epoll set.
    fn remove(&mut self, slot: Slot) {
        self.core.remove_port(slot);
        self.links[slot.0] = None;
        self.changed();
    }

    fn connect(&mut self, slot: Slot) {
        let serial = self.next_serial();
        let Some(Link { serial: current, kind: Kind::Stream(stream), id, .. }) =
            self.links.get_mut(slot.0).and_then(Option::as_deref_mut)
        else {
            return;
        };
        *current = serial;
        let watch = |socket: &UnixStream| {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, Token::Data(slot, serial).pack());
            self.epoll.add(socket, event).map_err(io::Error::from)
        };
        match connect_now(&stream.path).and_then(|socket| watch(&socket).map(|()| socket)) {
            Ok(socket) => {
                stream.connected(self.now, socket);
                (self.events)(SwitchEvent::Connected { port: *id });
                self.core.set_connected(slot, true);
                self.changed();
            }
            // Not there yet, or not any more: the next attempt will tell.
            Err(_) => stream.lost(self.now),
        }
    }

    /// Notes that a port's other end is gone: a stream is connected anew, a VDE port ends.
    fn lost(&mut self, slot: Slot, why: &str) {
        let now = self.now;
        let Some(link) = self.links.get_mut(slot.0).and_then(Option::as_deref_mut) else { return };
        let port = link.id;
        link.queue.purge();
        link.blocked = false;
        match &mut link.kind {
            Kind::Stream(stream) => {
                stream.lost(now);
                self.core.set_connected(slot, false);
                (self.events)(SwitchEvent::Disconnected { port, why: why.to_owned() });
                self.changed();
            }
            Kind::Vde(_) => {
                self.remove(slot);
                (self.events)(SwitchEvent::VdeLeft { port });
            }
        }
    }

    /// Reads a batch from a port and passes its frames on.
    fn read(&mut self, slot: Slot) {
        // The link leaves the table while its frames go to the others; none goes back to it.
        let Some(mut link) = self.links.get_mut(slot.0).and_then(Option::take) else { return };
        let outcome = match &mut link.kind {
            Kind::Stream(stream) => self.read_stream(slot, stream),
            Kind::Vde(vde) => self.read_datagrams(slot, vde, link.id),
        };
        self.links[slot.0] = Some(link);
        self.changed();
        while let Some(to) = self.dirty.pop() {
            if let Some(link) = self.links.get_mut(to.0).and_then(Option::as_deref_mut) {
                link.dirty = false;
                if !link.blocked {
                    self.flush(to);
                }
            }
        }
        if let Err(error) = outcome {
            self.lost(slot, &error.to_string());
        }
    }

    fn read_stream(&mut self, slot: Slot, stream: &mut Stream) -> io::Result<()> {
        let limit = self.core.largest_frame(slot);
        let Some((socket, deframer)) = &mut stream.live else { return Ok(()) };
        match io::Read::read(socket, deframer.room()) {
            Ok(0) => return Err(io::Error::other("QEMU closed the connection")),
            Ok(count) => deframer.filled(count),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        while let Some(piece) = deframer.next(limit).map_err(io::Error::other)? {
            match piece {
                Piece::Frame(frame) => self.forward(slot, frame),
                Piece::Skipped(length) => self.core.oversize(slot, length),
            }
        }
        Ok(())
    }

    fn read_datagrams(&mut self, slot: Slot, vde: &mut Vde, port: PortId) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.datagram);
        let outcome = self.read_datagrams_into(slot, vde, port, &mut buffer);
        self.datagram = buffer;
        outcome
    }

    fn read_datagrams_into(
        &mut self,
        slot: Slot,
        vde: &mut Vde,
        port: PortId,
        buffer: &mut [u8],
    ) -> io::Result<()> {
        for _ in 0..DATAGRAMS {
            let Some(count) = receive(vde, buffer)? else { break };
            // An empty datagram is libvdeplug's farewell; the end of the control connection follows.
            if count == 0 {
                break;
            }
            self.forward(slot, &buffer[..count]);
        }
        if !vde.heard
            && let Some(mac) = self.core.first_address(slot)
        {
            vde.heard = true;
            (self.events)(SwitchEvent::VdeHeard { port, mac });
        }
        Ok(())
    }

    /// Puts a frame into the queues it belongs to.
    fn forward(&mut self, from: Slot, frame: &[u8]) {
        let mut egress = std::mem::take(&mut self.egress);
        self.core.ingress(self.now, from, frame, &mut egress);
        for &copy in &egress {
            let Some(link) = self.links.get_mut(copy.to.0).and_then(Option::as_deref_mut) else { continue };
            let fate = if link.queue.push(frame) { Fate::Queued } else { Fate::QueueFull };
            if !link.dirty {
                link.dirty = true;
                self.dirty.push(copy.to);
            }
            self.core.sent(self.now, from, copy, frame.len(), fate);
        }
        self.egress = egress;
    }

    /// Writes a port's queue and asks for an event if the port does not take all of it.
    fn flush(&mut self, slot: Slot) {
        let Some(link) = self.links.get_mut(slot.0).and_then(Option::as_deref_mut) else { return };
        let outcome = link.flush().and_then(|done| {
            if link.blocked == done
                && let Some(socket) = link.data()
            {
                let room = if done { EpollFlags::empty() } else { EpollFlags::EPOLLOUT };
                let token = Token::Data(slot, link.serial).pack();
                self.epoll.modify(socket, &mut EpollEvent::new(EpollFlags::EPOLLIN | room, token))?;
                link.blocked = !done;
            }
            Ok(())
        });
        if let Err(error) = outcome {
            self.lost(slot, &error.to_string());
        }
    }
}
