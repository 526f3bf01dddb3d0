//! What the switch counted, as values that can be copied out of it.
//!
//! Invariant: counters only grow while their port exists.

use super::frame::Mac;
use super::policy::Policy;
use super::{Millis, PortId};

/// What one port did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PortCounters {
    /// Frames that came in, dropped ones included.
    pub rx_frames: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// Frames put in line to go out.
    pub tx_frames: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// Frames that were dropped, by cause.
    pub drops: Drops,
}

/// Frames that one port lost, by cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drops {
    /// Came in shorter than an Ethernet header.
    pub runt: u64,
    /// Came in longer than the segment's MTU allows.
    pub oversize: u64,
    /// Came in from an address no station can have.
    pub bad_source: u64,
    /// Came in for a station behind the same port.
    pub local: u64,
    /// Came in, and a cut kept a copy of it from another port.
    pub cut: u64,
    /// Should have gone out, but the queue was full.
    pub queue_full: u64,
    /// Should have gone out, but nobody was connected.
    pub disconnected: u64,
}

/// What one ordered pair of ports did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PairCounters {
    /// Frames delivered to the receiving port's queue.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames dropped by a cut.
    pub cut: u64,
    /// Frames dropped because the receiving port's queue was full.
    pub queue_full: u64,
    /// When a frame meant for a station behind the receiving port was last delivered.
    pub last_unicast: Option<Millis>,
}

impl PairCounters {
    /// Whether nothing was ever counted.
    pub fn is_idle(&self) -> bool {
        *self == Self::default()
    }
}

/// One port in a [`Counters`] report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortReport {
    /// The port.
    pub id: PortId,
    /// Its segment.
    pub vlan: u16,
    /// What it is called: `NODE.INTERFACE`, or what a VDE plug says of itself.
    pub name: String,
    /// Whether something is plugged in.
    pub connected: bool,
    /// Some of the addresses heard behind it, at most [`PortReport::MOST_ADDRESSES`].
    pub addresses: Vec<Mac>,
    /// How many addresses are known behind it.
    pub address_count: usize,
    /// Its counters.
    pub counters: PortCounters,
}

impl PortReport {
    /// Addresses that a report lists: a guest that floods them shall not flood the report.
    pub const MOST_ADDRESSES: usize = 8;
}

/// One ordered pair of ports in a [`Counters`] report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairReport {
    /// Where the frames come in.
    pub from: PortId,
    /// Where they go out.
    pub to: PortId,
    /// What is done to them.
    pub policy: Policy,
    /// What was counted.
    pub counters: PairCounters,
}

/// Everything the switch counted, at one moment. Pairs that never saw a frame and have no policy are
/// left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counters {
    /// When it was counted, on the switch's clock.
    pub at: Millis,
    /// The ports, by number.
    pub ports: Vec<PortReport>,
    /// The pairs that have something to tell, by sending and receiving port.
    pub pairs: Vec<PairReport>,
}

impl Counters {
    /// The report on one port.
    pub fn port(&self, id: PortId) -> Option<&PortReport> {
        self.ports.iter().find(|port| port.id == id)
    }

    /// The report on one ordered pair.
    pub fn pair(&self, from: PortId, to: PortId) -> Option<&PairReport> {
        self.pairs.iter().find(|pair| pair.from == from && pair.to == to)
    }
}
