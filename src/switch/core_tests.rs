use proptest::prelude::*;

use super::*;

fn mac(n: u8) -> Mac {
    Mac([0x52, 0x54, 0, 0x12, 1, n])
}

fn frame(to: Mac, from: Mac, length: usize) -> Vec<u8> {
    let mut frame = vec![0; length.max(HEADER)];
    frame[..6].copy_from_slice(&to.0);
    frame[6..12].copy_from_slice(&from.0);
    frame
}

/// A switch with connected ports on the VLANs given; port 1 has `PortId(1)` and `Slot(0)`.
fn switch(vlans: &[u16]) -> Core {
    let mut core = Core::new();
    for (n, vlan) in vlans.iter().enumerate() {
        let slot = core.add_port(PortId(n as u32 + 1), *vlan, format!("n{n}.eth1")).expect("room for a port");
        core.set_connected(slot, true);
    }
    core
}

/// Sends a frame in through a port and says where it went, counting each copy as queued.
fn send(core: &mut Core, now: u64, from: usize, frame: &[u8]) -> Vec<usize> {
    let mut out = Vec::new();
    core.ingress(Millis(now), Slot(from), frame, &mut out);
    for egress in &out {
        core.sent(Millis(now), Slot(from), *egress, frame.len(), Fate::Queued);
    }
    out.into_iter().map(|egress| egress.to.0).collect()
}

#[test]
fn unknown_stations_are_flooded_within_the_vlan_and_known_ones_are_not() {
    let mut core = switch(&[1, 1, 1, 2, 2]);
    assert_eq!(send(&mut core, 0, 0, &frame(mac(2), mac(1), 60)), [1, 2]);
    assert_eq!(send(&mut core, 1, 1, &frame(mac(1), mac(2), 60)), [0]);
    assert_eq!(send(&mut core, 2, 0, &frame(mac(2), mac(1), 60)), [1]);
    assert_eq!(send(&mut core, 3, 0, &frame(Mac::BROADCAST, mac(1), 60)), [1, 2]);
    assert_eq!(send(&mut core, 4, 3, &frame(mac(1), mac(9), 60)), [4], "VLAN 2 knows nobody of VLAN 1");
    // Learned long ago: flooded again.
    assert_eq!(send(&mut core, 400_000, 0, &frame(mac(2), mac(1), 60)), [1, 2]);
}

#[test]
fn a_frame_never_goes_back() {
    let mut core = switch(&[1, 1]);
    send(&mut core, 0, 0, &frame(Mac::BROADCAST, mac(1), 60));
    assert_eq!(send(&mut core, 0, 0, &frame(mac(1), mac(3), 60)), [] as [usize; 0]);
    let report = core.report(Millis(0));
    assert_eq!(report.ports[0].counters.drops, Drops { local: 1, ..Drops::default() });
}

#[test]
fn a_cut_works_in_one_direction_for_unicast_and_flood() {
    let mut core = switch(&[1, 1, 1]);
    for n in 0..3 {
        send(&mut core, 0, n, &frame(Mac::BROADCAST, mac(n as u8), 60));
    }
    core.set_policy(Slot(0), Slot(1), Policy::CUT);
    assert_eq!(send(&mut core, 1, 0, &frame(mac(1), mac(0), 60)), [] as [usize; 0]);
    assert_eq!(send(&mut core, 1, 1, &frame(mac(0), mac(1), 60)), [0]);
    assert_eq!(send(&mut core, 1, 0, &frame(Mac::BROADCAST, mac(0), 60)), [2]);
    assert_eq!(send(&mut core, 1, 0, &frame(mac(77), mac(0), 60)), [2], "an unknown station is flooded");
    let report = core.report(Millis(2));
    let pair = report.pair(PortId(1), PortId(2)).expect("a pair with a policy");
    assert_eq!((pair.policy, pair.counters.cut), (Policy::CUT, 3));
    assert_eq!(report.ports[0].counters.drops.cut, 3);
    core.set_policy(Slot(0), Slot(1), Policy::PASS);
    assert_eq!(send(&mut core, 3, 0, &frame(mac(1), mac(0), 60)), [1]);
}

#[test]
fn bad_frames_are_counted_by_cause() {
    let mut core = switch(&[1, 1]);
    let none: [usize; 0] = [];
    assert_eq!(send(&mut core, 0, 0, &[0xff; 13]), none);
    assert_eq!(send(&mut core, 0, 0, &frame(mac(2), Mac::BROADCAST, 60)), none);
    assert_eq!(send(&mut core, 0, 0, &frame(mac(2), Mac([0; 6]), 60)), none);
    assert_eq!(send(&mut core, 0, 0, &frame(mac(2), mac(1), 1518)), [1]);
    assert_eq!(send(&mut core, 0, 0, &frame(mac(2), mac(1), 1519)), none);
    core.set_mtu(1, 9000);
    assert_eq!(send(&mut core, 0, 0, &frame(mac(2), mac(1), 9018)), [1]);
    assert_eq!(send(&mut core, 0, 0, &frame(mac(2), mac(1), 9019)), none);
    core.set_mtu(1, u32::MAX);
    assert_eq!(core.largest_frame(Slot(0)), 65_521 + 18);
    core.oversize(Slot(0), 70_000);
    let counters = core.report(Millis(0)).ports[0].counters;
    assert_eq!(counters.drops, Drops { runt: 1, bad_source: 2, oversize: 3, ..Drops::default() });
    assert_eq!(counters.rx_frames, 8);
}

#[test]
fn what_is_seen_is_unicast_delivered() {
    let mut core = switch(&[1, 1]);
    send(&mut core, 5, 0, &frame(Mac::BROADCAST, mac(1), 60));
    send(&mut core, 6, 1, &frame(mac(1), mac(2), 100));
    let report = core.report(Millis(9));
    let there = report.pair(PortId(1), PortId(2)).expect("a pair").counters;
    let back = report.pair(PortId(2), PortId(1)).expect("a pair").counters;
    assert_eq!(there, PairCounters { frames: 1, bytes: 60, ..PairCounters::default() });
    assert_eq!(
        back,
        PairCounters { frames: 1, bytes: 100, last_unicast: Some(Millis(6)), ..PairCounters::default() }
    );
    assert_eq!(report.ports[1].addresses, [mac(2)]);
}

#[test]
fn a_full_queue_is_counted_and_is_no_delivery() {
    let mut core = switch(&[1, 1]);
    let mut out = Vec::new();
    core.ingress(Millis(0), Slot(0), &frame(Mac::BROADCAST, mac(1), 60), &mut out);
    core.sent(Millis(0), Slot(0), out[0], 60, Fate::QueueFull);
    let report = core.report(Millis(0));
    let pair = report.pair(PortId(1), PortId(2)).expect("a pair").counters;
    assert_eq!(pair, PairCounters { queue_full: 1, ..PairCounters::default() });
    assert_eq!(report.ports[1].counters.drops.queue_full, 1);
    assert_eq!(report.ports[1].counters.tx_frames, 0);
}

#[test]
fn a_port_that_lost_its_carrier_gets_nothing_and_is_forgotten() {
    let mut core = switch(&[1, 1, 1]);
    send(&mut core, 0, 1, &frame(Mac::BROADCAST, mac(1), 60));
    core.set_connected(Slot(1), false);
    assert_eq!(send(&mut core, 1, 0, &frame(mac(1), mac(0), 60)), [2]);
    assert_eq!(core.report(Millis(1)).ports[1].counters.drops.disconnected, 1);
}

#[test]
fn a_reused_place_inherits_nothing() {
    let mut core = switch(&[1, 1, 1]);
    send(&mut core, 0, 1, &frame(Mac::BROADCAST, mac(1), 60));
    core.set_policy(Slot(0), Slot(1), Policy::CUT);
    core.set_policy(Slot(1), Slot(0), Policy::CUT);
    core.remove_port(Slot(1));
    assert_eq!(core.slot(PortId(2)), None);
    assert_eq!(send(&mut core, 1, 0, &frame(mac(1), mac(0), 60)), [2]);
    let slot = core.add_port(PortId(9), 1, "new.eth1".to_owned());
    assert_eq!(slot, Some(Slot(1)));
    core.set_connected(Slot(1), true);
    assert_eq!(send(&mut core, 2, 0, &frame(mac(5), mac(0), 60)), [2, 1]);
    assert!(core.report(Millis(2)).pairs.iter().all(|pair| pair.policy.is_pass()));
}

#[test]
fn policies_survive_the_growth_of_the_table() {
    let mut core = switch(&[1; 8]);
    core.set_policy(Slot(7), Slot(3), Policy::CUT);
    for n in 8..40 {
        let slot = core.add_port(PortId(n + 1), 1, String::new()).expect("room");
        core.set_connected(slot, true);
    }
    let out = send(&mut core, 0, 7, &frame(Mac::BROADCAST, mac(7), 60));
    assert_eq!(out.len(), 38);
    assert!(!out.contains(&3));
}

#[test]
fn a_switch_takes_only_so_many_ports() {
    let mut core = Core::new();
    for n in 0..MOST_PORTS {
        assert!(core.add_port(PortId(n as u32), 1, String::new()).is_some());
    }
    assert_eq!(core.add_port(PortId(u32::MAX), 1, String::new()), None);
    core.remove_port(Slot(17));
    core.rename(Slot(18), "web.eth1".to_owned());
    assert_eq!(
        core.report(Millis(0)).port(PortId(18)).map(|port| port.name.clone()),
        Some("web.eth1".to_owned())
    );
    assert_eq!(core.add_port(PortId(u32::MAX), 1, String::new()), Some(Slot(17)));
}

proptest! {
    /// Whatever comes in through whichever port: no panic, no reflection, no crossing of VLANs, no
    /// delivery against a cut or without a carrier, and the counters add up.
    #[test]
    fn the_rules_hold(
        steps in proptest::collection::vec((0u8..12, 0usize..6, 0usize..6, 0u8..8, 0u8..8, 0usize..40), 0..200),
    ) {
        let vlans = [1, 1, 1, 1, 2, 2];
        let mut core = switch(&vlans);
        core.set_mtu(1, 16);
        let mut cuts = std::collections::BTreeSet::new();
        let mut down = std::collections::BTreeSet::new();
        let mut came_in = 0;
        for (at, (kind, a, b, to, from, length)) in steps.into_iter().enumerate() {
            let now = at as u64 * 20_000;
            match kind {
                0 => { cuts.insert((a, b)); core.set_policy(Slot(a), Slot(b), Policy::CUT); }
                1 => { cuts.remove(&(a, b)); core.set_policy(Slot(a), Slot(b), Policy::PASS); }
                2 => { down.insert(a); core.set_connected(Slot(a), false); }
                3 => { down.remove(&a); core.set_connected(Slot(a), true); }
                4 => core.expire(Millis(now)),
                _ => {
                    let to = if to == 0 { Mac::BROADCAST } else { mac(to) };
                    let mut bytes = frame(to, mac(from), length);
                    bytes.truncate(length);
                    let out = send(&mut core, now, a, &bytes);
                    came_in += 1;
                    prop_assert!(!out.contains(&a));
                    for to in &out {
                        prop_assert_eq!(vlans[*to], vlans[a]);
                        prop_assert!(!cuts.contains(&(a, *to)) && !down.contains(to));
                        prop_assert!(bytes.len() >= HEADER);
                    }
                    let mut unique = out.clone();
                    unique.dedup();
                    prop_assert_eq!(unique.len(), out.len());
                }
            }
        }
        let report = core.report(Millis(0));
        prop_assert_eq!(report.ports.iter().map(|port| port.counters.rx_frames).sum::<u64>(), came_in);
        for port in &report.ports {
            let delivered: u64 =
                report.pairs.iter().filter(|pair| pair.to == port.id).map(|pair| pair.counters.frames).sum();
            prop_assert_eq!(delivered, port.counters.tx_frames);
        }
    }

    /// Arbitrary bytes as a frame do no harm.
    #[test]
    fn arbitrary_frames(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let mut core = switch(&[1, 1]);
        send(&mut core, 0, 0, &bytes);
    }
}
