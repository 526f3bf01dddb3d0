//! The addresses learned on one segment: which station is behind which port.
//!
//! Guests are hostile: the table is bounded per port and as a whole. A port that floods addresses
//! displaces its own entries; when the whole table is full, the port that holds most of it pays.
//!
//! Invariant: no operation scans the table except [`Fdb::expire`] and [`Fdb::forget`].

use std::collections::HashMap;

use super::Millis;
use super::core::Slot;
use super::frame::Mac;

/// How long an address is believed after it was last heard from.
pub const AGEING: Millis = Millis(300_000);
/// Addresses remembered for one port.
pub const PER_PORT: usize = 1024;
/// Addresses remembered for one segment.
pub const PER_VLAN: usize = 8192;
/// Entries looked at to find an old one to displace.
const SAMPLE: usize = 8;

/// The forwarding table of one segment.
#[derive(Debug)]
pub struct Fdb {
    entries: HashMap<Mac, Entry>,
    owners: HashMap<Slot, Owner>,
    per_port: usize,
    per_vlan: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    port: Slot,
    /// Where the owner's list has this address.
    position: usize,
    seen: Millis,
}

/// What one port has learned, as a list so that a victim is found without a scan of the table.
#[derive(Debug, Default)]
struct Owner {
    addresses: Vec<Mac>,
    /// Where the search for a victim goes on.
    cursor: usize,
}

impl Default for Fdb {
    fn default() -> Self {
        Self::with_limits(PER_PORT, PER_VLAN)
    }
}

impl Fdb {
    /// A table with its own bounds, both at least one.
    pub fn with_limits(per_port: usize, per_vlan: usize) -> Self {
        Self {
            entries: HashMap::new(),
            owners: HashMap::new(),
            per_port: per_port.max(1),
            per_vlan: per_vlan.max(1),
        }
    }

    /// The port behind which `mac` was heard within [`AGEING`].
    pub fn lookup(&self, now: Millis, mac: Mac) -> Option<Slot> {
        self.entries.get(&mac).filter(|entry| now.since(entry.seen) < AGEING).map(|entry| entry.port)
    }

    /// Notes that `mac` sent a frame through `port`.
    pub fn learn(&mut self, now: Millis, port: Slot, mac: Mac) {
        if let Some(entry) = self.entries.get_mut(&mac) {
            entry.seen = now;
            if entry.port == port {
                return;
            }
            self.remove(mac);
        }
        if self.held(port) >= self.per_port {
            self.displace(port);
        } else if self.entries.len() >= self.per_vlan {
            let hog = self.owners.iter().max_by_key(|(slot, owner)| (owner.addresses.len(), **slot));
            if let Some((&hog, _)) = hog {
                self.displace(hog);
            }
        }
        let owner = self.owners.entry(port).or_default();
        let position = owner.addresses.len();
        owner.addresses.push(mac);
        self.entries.insert(mac, Entry { port, position, seen: now });
    }

    /// Number of addresses held for `port`.
    pub fn held(&self, port: Slot) -> usize {
        self.owners.get(&port).map_or(0, |owner| owner.addresses.len())
    }

    /// The addresses held for `port`, in no order.
    pub fn addresses(&self, port: Slot) -> &[Mac] {
        self.owners.get(&port).map_or(&[], |owner| &owner.addresses)
    }

    /// Number of addresses held.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was learned.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets everything behind `port`: it left, or lost its carrier.
    pub fn forget(&mut self, port: Slot) {
        if let Some(owner) = self.owners.remove(&port) {
            for mac in owner.addresses {
                self.entries.remove(&mac);
            }
        }
    }

    /// Forgets what was not heard from within [`AGEING`].
    pub fn expire(&mut self, now: Millis) {
        let old = |entry: &Entry| now.since(entry.seen) >= AGEING;
        let gone: Vec<Mac> = self.entries.iter().filter(|(_, e)| old(e)).map(|(mac, _)| *mac).collect();
        for mac in gone {
            self.remove(mac);
        }
    }

    /// Drops the oldest of a few of `port`'s entries.
    fn displace(&mut self, port: Slot) {
        let Some(owner) = self.owners.get_mut(&port) else { return };
        let held = owner.addresses.len();
        let candidates = (0..held.min(SAMPLE)).map(|step| owner.addresses[(owner.cursor + step) % held]);
        let victim = candidates.min_by_key(|mac| self.entries.get(mac).map(|entry| entry.seen));
        owner.cursor = (owner.cursor + SAMPLE) % held.max(1);
        if let Some(victim) = victim {
            self.remove(victim);
        }
    }

    fn remove(&mut self, mac: Mac) {
        let Some(entry) = self.entries.remove(&mac) else { return };
        let Some(owner) = self.owners.get_mut(&entry.port) else { return };
        owner.addresses.swap_remove(entry.position);
        if let Some(moved) = owner.addresses.get(entry.position)
            && let Some(moved) = self.entries.get_mut(moved)
        {
            moved.position = entry.position;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mac(n: u32) -> Mac {
        let [a, b, c, d] = n.to_be_bytes();
        Mac([0x52, 0x54, a, b, c, d])
    }

    #[test]
    fn a_flood_displaces_only_the_flooder() {
        let mut fdb = Fdb::with_limits(64, 100);
        for n in 0..50 {
            fdb.learn(Millis(0), Slot(1), mac(n));
        }
        for n in 1000..200_000 {
            fdb.learn(Millis(u64::from(n)), Slot(2), mac(n));
        }
        assert_eq!(fdb.held(Slot(1)), 50);
        assert_eq!(fdb.held(Slot(2)), 50);
        assert!((0..50).all(|n| fdb.lookup(Millis(1), mac(n)) == Some(Slot(1))));
    }

    #[test]
    fn a_newcomer_gets_room_from_the_port_that_has_most() {
        let mut fdb = Fdb::with_limits(64, 100);
        for n in 0..60 {
            fdb.learn(Millis(0), Slot(1), mac(n));
        }
        for n in 100..140 {
            fdb.learn(Millis(0), Slot(2), mac(n));
        }
        for n in 200..220 {
            fdb.learn(Millis(1), Slot(3), mac(n));
        }
        assert_eq!((fdb.held(Slot(1)), fdb.held(Slot(2)), fdb.held(Slot(3))), (40, 40, 20));
    }

    #[test]
    fn a_busy_address_outlives_a_flood_on_its_own_port() {
        let mut fdb = Fdb::with_limits(16, 100);
        for n in 0..10_000u32 {
            fdb.learn(Millis(u64::from(n)), Slot(1), mac(7));
            fdb.learn(Millis(u64::from(n)), Slot(1), mac(100 + n));
        }
        assert_eq!(fdb.lookup(Millis(10_000), mac(7)), Some(Slot(1)));
        assert_eq!(fdb.held(Slot(1)), 16);
    }

    #[test]
    fn addresses_age_and_move() {
        let mut fdb = Fdb::default();
        fdb.learn(Millis(10), Slot(1), mac(1));
        assert_eq!(fdb.lookup(Millis(300_009), mac(1)), Some(Slot(1)));
        assert_eq!(fdb.lookup(Millis(300_010), mac(1)), None);
        fdb.learn(Millis(300_010), Slot(2), mac(1));
        assert_eq!(fdb.lookup(Millis(300_011), mac(1)), Some(Slot(2)));
        assert_eq!((fdb.held(Slot(1)), fdb.held(Slot(2))), (0, 1));
        fdb.expire(Millis(700_000));
        assert!(fdb.is_empty());
    }

    proptest! {
        /// Whatever happens, both indices agree and the bounds hold.
        #[test]
        fn indices_agree(steps in proptest::collection::vec((0u8..10, 0usize..4, 0u32..40), 0..400)) {
            let mut fdb = Fdb::with_limits(8, 20);
            for (at, (kind, port, n)) in steps.into_iter().enumerate() {
                let now = Millis(at as u64 * 1000);
                match kind {
                    0 => fdb.forget(Slot(port)),
                    1 => fdb.expire(now),
                    _ => fdb.learn(now, Slot(port), mac(n)),
                }
                let listed: usize = (0..4).map(|port| fdb.held(Slot(port))).sum();
                prop_assert_eq!(listed, fdb.len());
                prop_assert!(fdb.len() <= 20);
                for port in 0..4 {
                    prop_assert!(fdb.held(Slot(port)) <= 8);
                    for (position, mac) in fdb.addresses(Slot(port)).iter().enumerate() {
                        let entry = fdb.entries[mac];
                        prop_assert_eq!((entry.port, entry.position), (Slot(port), position));
                    }
                }
            }
        }
    }
}
