//! The switch's decisions: where a frame that came in goes out.
//!
//! ```text
//! frame ─▶ length, source ─▶ learn ─▶ known station ─▶ one port ─▶ policy of the pair ─▶ egress
//!                                 └─▶ group, unknown ─▶ every other port of the VLAN ─▶ policy …
//! ```
//!
//! Invariant: no I/O, no clock, no allocation per frame; a frame never crosses VLANs and never goes
//! back where it came from.

use std::collections::BTreeMap;

use super::counters::{Counters, Drops, PairCounters, PairReport, PortCounters, PortReport};
use super::fdb::Fdb;
use super::frame::{self, HEADER, Mac, TAG};
use super::policy::Policy;
use super::{Millis, PortId};

/// Ports one switch can have: the table of pairs grows with their square.
pub const MOST_PORTS: usize = 512;
/// The MTU of a segment nobody spoke about.
pub const DEFAULT_MTU: u32 = 1500;
/// The largest MTU: what a virtio network card can be told.
pub const LARGEST_MTU: u32 = 65_521;

/// A port's place in the switch's tables; reused after the port is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub usize);

/// One copy of a frame to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Egress {
    /// Where it goes out.
    pub to: Slot,
    /// Why.
    pub cast: Cast,
}

/// Why a frame goes out of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cast {
    /// The station is known to be there.
    Unicast,
    /// It goes everywhere: to a group, or to a station that nobody has heard.
    Flood,
}

/// What became of a copy that [`Core::ingress`] asked to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is in the port's queue.
    Queued,
    /// The port's queue had no room.
    QueueFull,
}

/// The switch without its sockets.
#[derive(Debug, Default)]
pub struct Core {
    ports: Vec<Option<Port>>,
    vlans: Vec<Vlan>,
    vlan_index: BTreeMap<u16, usize>,
    /// Square table, `stride` wide, by sender and receiver.
    pairs: Vec<Pair>,
    stride: usize,
}

#[derive(Debug)]
struct Port {
    id: PortId,
    name: String,
    vlan: usize,
    connected: bool,
    counters: PortCounters,
}

#[derive(Debug)]
struct Vlan {
    number: u16,
    largest: usize,
    members: Vec<Slot>,
    fdb: Fdb,
}

#[derive(Debug, Clone, Copy, Default)]
struct Pair {
    policy: Policy,
    counters: PairCounters,
}

impl Core {
    /// A switch without ports.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a port that nothing is plugged into yet; `None` when the switch is full.
    pub fn add_port(&mut self, id: PortId, vlan: u16, name: String) -> Option<Slot> {
        let place = self.ports.iter().position(Option::is_none).unwrap_or(self.ports.len());
        if place >= MOST_PORTS {
            return None;
        }
        let vlan = self.vlan(vlan);
        let port = Port { id, name, vlan, connected: false, counters: PortCounters::default() };
        if place == self.ports.len() {
            self.ports.push(Some(port));
            self.widen();
        } else {
            self.ports[place] = Some(port);
        }
        self.vlans[vlan].members.push(Slot(place));
        Some(Slot(place))
    }

    /// Removes a port with all it learned and counted.
    pub fn remove_port(&mut self, slot: Slot) {
        let Some(port) = self.ports.get_mut(slot.0).and_then(Option::take) else { return };
        let vlan = &mut self.vlans[port.vlan];
        vlan.members.retain(|member| *member != slot);
        vlan.fdb.forget(slot);
        for other in 0..self.ports.len() {
            self.pairs[slot.0 * self.stride + other] = Pair::default();
            self.pairs[other * self.stride + slot.0] = Pair::default();
        }
    }

    /// The place of a port.
    pub fn slot(&self, id: PortId) -> Option<Slot> {
        self.ports.iter().position(|port| port.as_ref().is_some_and(|port| port.id == id)).map(Slot)
    }

    /// The number of the port at a place.
    pub fn id(&self, slot: Slot) -> Option<PortId> {
        self.port(slot).map(|port| port.id)
    }

    /// Number of places that ports have or had, by which the cost of a report grows.
    pub fn places(&self) -> usize {
        self.ports.len()
    }

    /// Calls a port by another name, as when it turns out whose it is.
    pub fn rename(&mut self, slot: Slot, name: String) {
        if let Some(port) = self.ports.get_mut(slot.0).and_then(Option::as_mut) {
            port.name = name;
        }
    }

    /// Whether something is plugged into a port.
    pub fn is_connected(&self, slot: Slot) -> bool {
        self.port(slot).is_some_and(|port| port.connected)
    }

    /// Notes that something was plugged in or pulled out; what was learned goes with it.
    pub fn set_connected(&mut self, slot: Slot, connected: bool) {
        let Some(port) = self.ports.get_mut(slot.0).and_then(Option::as_mut) else { return };
        port.connected = connected;
        if !connected {
            self.vlans[port.vlan].fdb.forget(slot);
        }
    }

    /// Sets what happens to frames from one port to another.
    pub fn set_policy(&mut self, from: Slot, to: Slot, policy: Policy) {
        if self.port(from).is_some() && self.port(to).is_some() {
            self.pairs[from.0 * self.stride + to.0].policy = policy;
        }
    }

    /// Sets the largest IP packet a segment carries.
    pub fn set_mtu(&mut self, vlan: u16, mtu: u32) {
        let vlan = self.vlan(vlan);
        self.vlans[vlan].largest = largest_frame(mtu);
    }

    /// The longest frame that a port takes.
    pub fn largest_frame(&self, slot: Slot) -> usize {
        self.port(slot).map_or(largest_frame(DEFAULT_MTU), |port| self.vlans[port.vlan].largest)
    }

    /// Decides where `frame`, which came in through `from`, goes; the copies to send are put into
    /// `out`, which is emptied first. The caller reports each copy's [`Fate`] to [`Core::sent`].
    pub fn ingress(&mut self, now: Millis, from: Slot, frame: &[u8], out: &mut Vec<Egress>) {
        out.clear();
        let Some(port) = self.ports.get_mut(from.0).and_then(Option::as_mut) else { return };
        port.counters.rx_frames += 1;
        port.counters.rx_bytes += frame.len() as u64;
        let drops = &mut port.counters.drops;
        let vlan = &mut self.vlans[port.vlan];
        let Some((destination, source)) = frame::addresses(frame) else {
            drops.runt += 1;
            return;
        };
        if frame.len() > vlan.largest {
            drops.oversize += 1;
            return;
        }
        if !source.is_station() {
            drops.bad_source += 1;
            return;
        }
        vlan.fdb.learn(now, from, source);
        let known = if destination.is_group() { None } else { vlan.fdb.lookup(now, destination) };
        let row = &mut self.pairs[from.0 * self.stride..(from.0 + 1) * self.stride];
        match known {
            Some(to) if to == from => drops.local += 1,
            Some(to) => pass(row, drops, Egress { to, cast: Cast::Unicast }, out),
            None => {
                for &to in vlan.members.iter().filter(|to| **to != from) {
                    pass(row, drops, Egress { to, cast: Cast::Flood }, out);
                }
            }
        }
        let ports = &mut self.ports;
        out.retain(|egress| match ports.get_mut(egress.to.0).and_then(Option::as_mut) {
            Some(port) if port.connected => true,
            Some(port) => {
                port.counters.drops.disconnected += 1;
                false
            }
            None => false,
        });
    }

    /// Counts a frame that the plug skipped because no segment could carry its length.
    pub fn oversize(&mut self, from: Slot, length: usize) {
        if let Some(port) = self.ports.get_mut(from.0).and_then(Option::as_mut) {
            port.counters.rx_frames += 1;
            port.counters.rx_bytes += length as u64;
            port.counters.drops.oversize += 1;
        }
    }

    /// Counts what became of a copy of `length` bytes that [`Core::ingress`] asked to send.
    pub fn sent(&mut self, now: Millis, from: Slot, egress: Egress, length: usize, fate: Fate) {
        let Some(port) = self.ports.get_mut(egress.to.0).and_then(Option::as_mut) else { return };
        let Some(pair) = self.pairs.get_mut(from.0 * self.stride + egress.to.0) else { return };
        let pair = &mut pair.counters;
        match fate {
            Fate::Queued => {
                port.counters.tx_frames += 1;
                port.counters.tx_bytes += length as u64;
                pair.frames += 1;
                pair.bytes += length as u64;
                if egress.cast == Cast::Unicast {
                    pair.last_unicast = Some(now);
                }
            }
            Fate::QueueFull => {
                port.counters.drops.queue_full += 1;
                pair.queue_full += 1;
            }
        }
    }

    /// Forgets addresses that were not heard from for long.
    pub fn expire(&mut self, now: Millis) {
        for vlan in &mut self.vlans {
            vlan.fdb.expire(now);
        }
    }

    /// Whether any address is remembered.
    pub fn remembers(&self) -> bool {
        self.vlans.iter().any(|vlan| !vlan.fdb.is_empty())
    }

    /// One address heard behind a port.
    pub fn first_address(&self, slot: Slot) -> Option<Mac> {
        let port = self.port(slot)?;
        self.vlans[port.vlan].fdb.addresses(slot).first().copied()
    }

    /// Copies out everything that was counted.
    pub fn report(&self, now: Millis) -> Counters {
        let mut places: Vec<(Slot, &Port)> = self.occupied().collect();
        places.sort_by_key(|(_, port)| port.id);
        let ports = places.iter().map(|(slot, port)| {
            let vlan = &self.vlans[port.vlan];
            let known = vlan.fdb.addresses(*slot);
            let mut addresses = known[..known.len().min(PortReport::MOST_ADDRESSES)].to_vec();
            addresses.sort();
            PortReport {
                id: port.id,
                vlan: vlan.number,
                name: port.name.clone(),
                connected: port.connected,
                addresses,
                address_count: known.len(),
                counters: port.counters,
            }
        });
        let ports = ports.collect();
        let mut pairs = Vec::new();
        for (from, sender) in &places {
            for (to, receiver) in &places {
                let Pair { policy, counters } = self.pairs[from.0 * self.stride + to.0];
                if !policy.is_pass() || !counters.is_idle() {
                    pairs.push(PairReport { from: sender.id, to: receiver.id, policy, counters });
                }
            }
        }
        Counters { at: now, ports, pairs }
    }

    fn occupied(&self) -> impl Iterator<Item = (Slot, &Port)> {
        self.ports
            .iter()
            .enumerate()
            .filter_map(|(place, port)| port.as_ref().map(|port| (Slot(place), port)))
    }

    fn port(&self, slot: Slot) -> Option<&Port> {
        self.ports.get(slot.0).and_then(Option::as_ref)
    }

    /// The place of a VLAN, which exists from its first mention on.
    fn vlan(&mut self, number: u16) -> usize {
        *self.vlan_index.entry(number).or_insert_with(|| {
            let largest = largest_frame(DEFAULT_MTU);
            self.vlans.push(Vlan { number, largest, members: Vec::new(), fdb: Fdb::default() });
            self.vlans.len() - 1
        })
    }

    /// Makes the table of pairs wide enough for every place.
    fn widen(&mut self) {
        if self.ports.len() <= self.stride {
            return;
        }
        let stride = (self.stride * 2).clamp(8, MOST_PORTS);
        let mut pairs = vec![Pair::default(); stride * stride];
        for from in 0..self.stride {
            let old = &self.pairs[from * self.stride..(from + 1) * self.stride];
            pairs[from * stride..from * stride + self.stride].copy_from_slice(old);
        }
        (self.pairs, self.stride) = (pairs, stride);
    }
}

/// The longest frame for an MTU.
pub fn largest_frame(mtu: u32) -> usize {
    mtu.min(LARGEST_MTU) as usize + HEADER + TAG
}

fn pass(row: &mut [Pair], drops: &mut Drops, egress: Egress, out: &mut Vec<Egress>) {
    let pair = &mut row[egress.to.0];
    if pair.policy.cut {
        pair.counters.cut += 1;
        drops.cut += 1;
    } else {
        out.push(egress);
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
