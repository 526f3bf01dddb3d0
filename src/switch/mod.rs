//! The session's Ethernet switch: segments that join the machines, and the faults put on them.
//!
//! ```text
//! QEMU ──stream──▶ plug ─┐                                        ┌─▶ queue ─▶ plug ──▶ QEMU
//!                        ├─▶ core: learn, look up, policy of pair ─┤
//! vde_plug ─dgram▶ plug ─┘                                        └─▶ queue ─▶ plug ──▶ vde_plug
//! ```
//!
//! [`core`] decides, with the help of [`fdb`], [`policy`], [`framing`], [`queue`] and [`vde`], all of
//! them pure. `engine` is the one thread that owns the core and every socket; the rest of the
//! program holds a [`SwitchHandle`], whose calls are messages to that thread. [`bridge`] stands in a
//! process of its own between a machine's VDE plugs and the switch, so that the plugs outlive it.
//!
//! Invariant: frames never cross the control loop, and the thread never waits for it: there is no
//! lock that a slow caller could hold while a frame wants to pass.

pub mod bridge;
pub mod core;
pub mod counters;
mod engine;
pub mod fdb;
pub mod frame;
pub mod framing;
mod handle;
mod plug;
pub mod policy;
pub mod queue;
pub mod vde;
mod vde_dir;

use serde::{Deserialize, Serialize};

pub use counters::{Counters, Drops, PairCounters, PairReport, PortCounters, PortReport};
pub use frame::Mac;
pub use handle::{Plug, PortConfig, Stopped, Switch, SwitchEvent, SwitchHandle};
pub use policy::Policy;

/// A port's number, never used twice in the life of a switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PortId(pub u32);

/// Milliseconds since the switch started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Millis(pub u64);

impl Millis {
    /// The time from `earlier` to this moment, nothing if it is later.
    pub fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }

    /// This moment and `later` on top.
    pub fn plus(self, later: u64) -> Self {
        Self(self.0.saturating_add(later))
    }
}

#[cfg(test)]
mod tests;
