//! VDE plugs on their way in and out: the directories' doors, the handshake, the farewell.
//!
//! Invariant: nobody outside holds a door open: those that knock are counted and have little time.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::Engine;
use super::token::Token;
use crate::switch::Millis;
use crate::switch::core::Slot;
use crate::switch::handle::SwitchEvent;
use crate::switch::plug::{Kind, Link, Vde};
use crate::switch::vde_dir::VdeDir;

/// A VDE plug that connected has this long to say what it wants.
const HANDSHAKE: u64 = 5_000;
/// VDE plugs that may be connected without having said what they want.
const MOST_PENDING: usize = 64;
/// How long a directory's door stays shut when no more descriptors can be had.
const SHUT: u64 = 1_000;

/// A VDE directory, and until when its door stays shut.
pub(super) struct Door {
    dir: VdeDir,
    shut_until: Option<Millis>,
}

/// A VDE plug that has not said what it wants.
pub(super) struct Pending {
    ctl: UnixStream,
    door: usize,
    until: Millis,
}

impl Engine {
    /// Opens a directory's door.
    pub(super) fn add_door(&mut self, dir: VdeDir) {
        self.doors.push(Door { dir, shut_until: None });
        self.watch_door(self.doors.len() - 1);
    }

    /// When something at the doors is due by itself.
    pub(super) fn doors_due(&self) -> impl Iterator<Item = Millis> {
        let handshakes = self.pending.values().map(|pending| pending.until);
        handshakes.chain(self.doors.iter().filter_map(|door| door.shut_until))
    }

    /// Turns away who said nothing, and opens doors that were shut.
    pub(super) fn door_timers(&mut self) {
        let now = self.now;
        self.pending.retain(|_, pending| pending.until > now);
        for index in 0..self.doors.len() {
            if self.doors[index].shut_until.is_some_and(|until| until <= now) {
                self.doors[index].shut_until = None;
                self.watch_door(index);
            }
        }
    }

    fn watch_door(&mut self, index: usize) {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, Token::Door(index).pack());
        if self.epoll.add(&self.doors[index].dir.listener, event).is_err() {
            self.doors[index].shut_until = Some(self.now.plus(SHUT));
        }
    }

    /// Lets somebody in who knocked.
    pub(super) fn accept(&mut self, index: usize) {
        let Some(door) = self.doors.get_mut(index) else { return };
        match door.dir.listener.accept() {
            Ok((ctl, _)) => {
                let serial = self.next_serial();
                let event = EpollEvent::new(EpollFlags::EPOLLIN, Token::Pending(serial).pack());
                if self.pending.len() < MOST_PENDING
                    && ctl.set_nonblocking(true).is_ok()
                    && self.epoll.add(&ctl, event).is_ok()
                {
                    let until = self.now.plus(HANDSHAKE);
                    self.pending.insert(serial, Pending { ctl, door: index, until });
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => {
                // Out of descriptors, most likely: the event would come again and again.
                let _ = self.epoll.delete(&door.dir.listener);
                door.shut_until = Some(self.now.plus(SHUT));
            }
        }
    }

    /// Answers the request of a VDE plug, or drops it.
    pub(super) fn admit(&mut self, serial: u32) {
        let Some(Pending { ctl, door, .. }) = self.pending.remove(&serial) else { return };
        let Some(Door { dir, .. }) = self.doors.get(door) else { return };
        let id = self.shared.port_id();
        // A plug that is refused sees its connection end, as with vde_switch.
        let Ok(joined) = dir.admit(id, &ctl) else { return };
        let (vlan, name) = (dir.vlan, joined.name.clone());
        let Some(slot) = self.core.add_port(id, vlan, name.clone()) else { return };
        let data = EpollEvent::new(EpollFlags::EPOLLIN, Token::Data(slot, serial).pack());
        let mut end = EpollEvent::new(EpollFlags::EPOLLIN, Token::Ctl(slot, serial).pack());
        let watched =
            self.epoll.add(&joined.data, data).and_then(|()| self.epoll.modify(ctl.as_fd(), &mut end));
        if watched.is_err() {
            self.core.remove_port(slot);
            return;
        }
        self.put(slot, Link::new(id, serial, Kind::Vde(Vde { ctl, joined, heard: false })));
        self.core.set_connected(slot, true);
        self.changed();
        (self.events)(SwitchEvent::VdeJoined { port: id, vlan, name });
    }

    /// A VDE plug's control connection has something: words that mean nothing, or its end.
    pub(super) fn ctl(&mut self, slot: Slot) {
        let Some(Link { kind: Kind::Vde(vde), .. }) = self.link(slot) else { return };
        let mut ignored = [0; 256];
        match io::Read::read(&mut &vde.ctl, &mut ignored) {
            Ok(count) if count > 0 => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            _ => self.lost(slot, "the plug was pulled"),
        }
    }
}
