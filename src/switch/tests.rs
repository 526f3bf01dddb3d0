//! The switch through real sockets: peers that behave as QEMU does, and some that do not, real VDE
//! plugs and real QEMUs where they are installed.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::*;

/// How long a test waits for what must come; only a failing one waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A switch with its events and a directory for sockets.
struct Bench {
    switch: SwitchHandle,
    events: mpsc::Receiver<SwitchEvent>,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let (tell, events) = mpsc::channel();
        let switch = Switch::start(move |event| drop(tell.send(event))).expect("a switch starts");
        Self { switch, events, dir: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn add(&self, name: &str, vlan: u16) -> PortId {
        let plug = Plug::QemuStream { path: self.path(name) };
        let config = PortConfig { node: name.to_owned(), interface: "eth1".to_owned(), vlan, plug };
        self.switch.add_port(config).expect("the switch runs")
    }

    /// Adds a port and the peer behind it.
    fn join(&self, name: &str, vlan: u16) -> (PortId, Peer) {
        let listener = UnixListener::bind(self.path(name)).expect("a socket");
        let port = self.add(name, vlan);
        let peer = Peer::accept(&listener);
        self.wait(|event| *event == SwitchEvent::Connected { port });
        (port, peer)
    }

    /// Waits for an event, passing over others.
    fn wait(&self, mut wanted: impl FnMut(&SwitchEvent) -> bool) -> SwitchEvent {
        loop {
            let event = self.events.recv_timeout(PATIENCE).expect("the event comes");
            if wanted(&event) {
                return event;
            }
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.switch.shutdown();
    }
}

/// The other end of a stream port: one call for each frame, as QEMU does it.
struct Peer {
    socket: UnixStream,
}

impl Peer {
    fn accept(listener: &UnixListener) -> Self {
        let (socket, _) = listener.accept().expect("the switch connects");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        Self { socket }
    }

    fn send(&mut self, frame: &[u8]) -> std::io::Result<()> {
        let mut bytes = (frame.len() as u32).to_be_bytes().to_vec();
        bytes.extend(frame);
        self.socket.write_all(&bytes)
    }

    fn receive(&mut self) -> std::io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.socket.read_exact(&mut length)?;
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.socket.read_exact(&mut frame)?;
        Ok(frame)
    }
}

fn mac(n: u8) -> Mac {
    Mac([0x52, 0x54, 0, 0x12, 1, n])
}

/// A frame that tells its number in every word.
fn frame(to: Mac, from: Mac, number: u32, length: usize) -> Vec<u8> {
    let mut frame = [to.0, from.0].concat();
    frame.extend([0x88, 0xb5]);
    while frame.len() < length {
        frame.extend(number.to_be_bytes());
    }
    frame.truncate(length);
    frame
}

/// Checks that a frame is one of [`frame`]'s, whole, and tells its number.
fn number(bytes: &[u8]) -> u32 {
    let number = u32::from_be_bytes(bytes[14..18].try_into().expect("four bytes"));
    for word in bytes[14..].chunks_exact(4) {
        assert_eq!(word, number.to_be_bytes(), "a frame was torn");
    }
    number
}

#[test]
fn frames_find_their_way_and_a_cut_stops_one_direction() {
    let bench = Bench::new();
    let (a, mut peer_a) = bench.join("a", 1);
    let (b, mut peer_b) = bench.join("b", 1);
    let (_, mut peer_c) = bench.join("c", 1);
    let (_, mut peer_other) = bench.join("other", 2);
    let hello = frame(Mac::BROADCAST, mac(1), 1, 60);
    peer_a.send(&hello).unwrap();
    assert_eq!(peer_b.receive().unwrap(), hello);
    assert_eq!(peer_c.receive().unwrap(), hello);
    let answer = frame(mac(1), mac(2), 2, 1514);
    peer_b.send(&answer).unwrap();
    assert_eq!(peer_a.receive().unwrap(), answer);

    bench.switch.set_policy(a, b, Policy::CUT).unwrap();
    bench.switch.exact().unwrap();
    peer_a.send(&frame(mac(2), mac(1), 3, 60)).unwrap();
    peer_a.send(&frame(Mac::BROADCAST, mac(1), 4, 60)).unwrap();
    assert_eq!(number(&peer_c.receive().unwrap()), 4, "the flood reaches the third; the unicast does not");
    peer_b.send(&frame(mac(1), mac(2), 5, 60)).unwrap();
    assert_eq!(number(&peer_a.receive().unwrap()), 5, "the other direction is open");
    let counters = bench.switch.exact().unwrap();
    assert_eq!(counters.pair(a, b).unwrap().counters.cut, 2);

    bench.switch.set_policy(a, b, Policy::PASS).unwrap();
    bench.switch.exact().unwrap();
    peer_a.send(&frame(mac(2), mac(1), 6, 60)).unwrap();
    assert_eq!(number(&peer_b.receive().unwrap()), 6);
    let counters = bench.switch.exact().unwrap();
    assert!(counters.pair(a, b).unwrap().counters.last_unicast.is_some());
    // Nothing of VLAN 1 has come to VLAN 2: the first frame there is its own.
    let (_, mut peer_other_b) = bench.join("other-b", 2);
    peer_other_b.send(&frame(Mac::BROADCAST, mac(9), 7, 60)).unwrap();
    assert_eq!(number(&peer_other.receive().unwrap()), 7);
}

#[test]
fn a_stuck_port_costs_the_others_nothing() {
    let bench = Bench::new();
    let (_, mut peer_a) = bench.join("a", 1);
    let (_, mut peer_b) = bench.join("b", 1);
    let (stuck, _peer_stuck) = bench.join("stuck", 1);
    const FRAMES: u32 = 20_000;
    let reader = std::thread::spawn(move || {
        let mut last = 0;
        let mut count = 0u32;
        while last != FRAMES {
            let now = number(&peer_b.receive().expect("frames come"));
            assert!(now > last, "frames came out of order");
            (last, count) = (now, count + 1);
        }
        count
    });
    for n in 1..FRAMES {
        peer_a.send(&frame(Mac::BROADCAST, mac(1), n, 1514)).unwrap();
    }
    // The reader may have been slow and lost some, but it is not stuck: the last one is repeated until
    // it takes it.
    while !reader.is_finished() {
        peer_a.send(&frame(Mac::BROADCAST, mac(1), FRAMES, 1514)).unwrap();
    }
    let count = reader.join().unwrap();
    let counters = bench.switch.exact().unwrap();
    assert!(counters.port(stuck).unwrap().counters.drops.queue_full > 10_000);
    assert!(count > FRAMES / 100, "the other port got only {count} frames");
}

#[test]
fn a_restarted_peer_is_found_again_under_flood_with_the_framing_intact() {
    let bench = Bench::new();
    let (_, mut sender) = bench.join("sender", 1);
    let listener = UnixListener::bind(bench.path("reader")).unwrap();
    let port = bench.add("reader", 1);
    let (stop, stopped) = mpsc::channel::<()>();
    let flood = std::thread::spawn(move || {
        let mut n = 0;
        while stopped.try_recv().is_err() {
            n += 1;
            let length = 60 + (n as usize * 37) % 1400;
            if sender.send(&frame(Mac::BROADCAST, mac(1), n, length)).is_err() {
                break;
            }
        }
        sender
    });
    let mut listener = Some(listener);
    for round in 0..6 {
        let here = listener.take().unwrap_or_else(|| UnixListener::bind(bench.path("reader")).unwrap());
        let mut peer = Peer::accept(&here);
        bench.wait(|event| *event == SwitchEvent::Connected { port });
        let mut last = 0;
        for _ in 0..300 {
            let now = number(&peer.receive().unwrap());
            assert!(now > last);
            last = now;
        }
        // Dies in the middle of a frame, as a killed QEMU does.
        let mut some = [0; 7];
        peer.socket.read_exact(&mut some[..1 + round]).unwrap();
        drop((peer, here));
        std::fs::remove_file(bench.path("reader")).unwrap();
        bench.wait(|event| matches!(event, SwitchEvent::Disconnected { port: p, .. } if *p == port));
    }
    stop.send(()).unwrap();
    flood.join().unwrap();
}

#[test]
fn a_socket_that_appears_late_is_connected_and_nonsense_ends_a_connection() {
    let bench = Bench::new();
    let port = bench.add("late", 1);
    assert!(!bench.switch.exact().unwrap().port(port).unwrap().connected);
    let listener = UnixListener::bind(bench.path("late")).unwrap();
    let mut peer = Peer::accept(&listener);
    bench.wait(|event| *event == SwitchEvent::Connected { port });
    peer.socket.write_all(&[0xff; 8]).unwrap();
    let event = bench.wait(|event| matches!(event, SwitchEvent::Disconnected { .. }));
    let SwitchEvent::Disconnected { why, .. } = event else { unreachable!("it was just matched") };
    assert!(why.contains("framing is lost"), "{why}");
    let _again = Peer::accept(&listener);
    bench.wait(|event| *event == SwitchEvent::Connected { port });
    bench.switch.remove_port(port).unwrap();
    assert_eq!(bench.switch.exact().unwrap().port(port), None);
}

#[test]
fn a_path_that_no_socket_can_have_is_refused() {
    let bench = Bench::new();
    let port = bench.add(&"long".repeat(40), 1);
    let event = bench.wait(|event| matches!(event, SwitchEvent::Refused { .. }));
    let SwitchEvent::Refused { port: refused, why } = event else { unreachable!("it was just matched") };
    assert_eq!(refused, port);
    assert!(why.contains("XDG_RUNTIME_DIR"), "{why}");
    assert_eq!(bench.switch.exact().unwrap().ports, []);
}

#[test]
fn counters_are_published_without_being_asked_for() {
    let bench = Bench::new();
    let (a, mut peer_a) = bench.join("a", 1);
    let (_, mut peer_b) = bench.join("b", 1);
    peer_a.send(&frame(Mac::BROADCAST, mac(1), 1, 60)).unwrap();
    peer_b.receive().unwrap();
    while bench.switch.snapshot().port(a).is_none_or(|port| port.counters.rx_frames == 0) {
        std::thread::yield_now();
    }
}

#[test]
fn a_switch_that_stopped_says_so_and_leaves_no_sockets() {
    let bench = Bench::new();
    bench.switch.add_vde_dir(1, &bench.path("vde")).unwrap();
    bench.switch.exact().unwrap();
    let error = bench.switch.add_vde_dir(1, &bench.path("vde")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    let plug = OwnPlug::new(&bench.path("vde"), "vde_plug: user=x PID=7");
    bench.wait(|event| matches!(event, SwitchEvent::VdeJoined { name, vlan: 1, .. } if name == "vde:7"));
    bench.switch.shutdown();
    drop(plug);
    assert_eq!(std::fs::read_dir(bench.path("vde")).unwrap().count(), 0);
    assert_eq!(bench.switch.remove_port(PortId(1)), Err(Stopped));
    // A directory with remains is taken over.
    UnixListener::bind(bench.path("vde").join("ctl")).unwrap();
    let next = Bench::new();
    next.switch.add_vde_dir(1, &bench.path("vde")).unwrap();
}

/// A VDE plug of our own.
struct OwnPlug {
    ctl: Option<UnixStream>,
    data: UnixDatagram,
    path: PathBuf,
}

impl OwnPlug {
    fn new(dir: &Path, description: &str) -> Self {
        use std::os::unix::ffi::OsStrExt;
        let path = dir.join(format!(".{}", description.len()));
        let data = UnixDatagram::bind(&path).unwrap();
        data.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut ctl = UnixStream::connect(dir.join("ctl")).unwrap();
        let mut request: Vec<u8> = [0xfeed_face_u32, 3, 0].into_iter().flat_map(u32::to_ne_bytes).collect();
        request.extend(vde::reply(&path).unwrap());
        request.extend(description.as_bytes());
        ctl.write_all(&request).unwrap();
        let mut answer = [0; 110];
        ctl.read_exact(&mut answer).unwrap();
        let end = answer[2..].iter().position(|byte| *byte == 0).unwrap();
        data.connect(Path::new(std::ffi::OsStr::from_bytes(&answer[2..2 + end]))).unwrap();
        Self { ctl: Some(ctl), data, path }
    }

    fn receive(&self) -> Vec<u8> {
        let mut buffer = vec![0; 65_600];
        let count = self.data.recv(&mut buffer).unwrap();
        buffer.truncate(count);
        buffer
    }
}

impl Drop for OwnPlug {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[test]
fn plugs_of_both_kinds_meet_on_a_segment() {
    let bench = Bench::new();
    let dir = bench.path("vde");
    bench.switch.add_vde_dir(1, &dir).unwrap();
    let (_, mut qemu) = bench.join("qemu", 1);
    let mut plug = OwnPlug::new(&dir, "PID=12");
    let event = bench.wait(|event| matches!(event, SwitchEvent::VdeJoined { .. }));
    let SwitchEvent::VdeJoined { port, .. } = event else { unreachable!("it was just matched") };
    plug.data.send(&frame(Mac::BROADCAST, mac(3), 1, 60)).unwrap();
    assert_eq!(number(&qemu.receive().unwrap()), 1);
    assert_eq!(
        bench.wait(|event| matches!(event, SwitchEvent::VdeHeard { .. })),
        SwitchEvent::VdeHeard { port, mac: mac(3) }
    );
    qemu.send(&frame(mac(3), mac(4), 2, 1514)).unwrap();
    assert_eq!(plug.receive(), frame(mac(3), mac(4), 2, 1514));
    // A plug that takes nothing fills its own queue; another still gets its frames.
    let other = OwnPlug::new(&dir, "PID=1234");
    bench.wait(|event| matches!(event, SwitchEvent::VdeJoined { .. }));
    let reader = std::thread::spawn(move || while number(&other.receive()) != u32::MAX {});
    for n in 0..10_000 {
        qemu.send(&frame(Mac::BROADCAST, mac(4), n, 600)).unwrap();
    }
    while !reader.is_finished() {
        qemu.send(&frame(Mac::BROADCAST, mac(4), u32::MAX, 600)).unwrap();
    }
    reader.join().unwrap();
    assert!(bench.switch.exact().unwrap().port(port).unwrap().counters.drops.queue_full > 1000);
    plug.ctl = None;
    bench.wait(|event| *event == SwitchEvent::VdeLeft { port });
    assert_eq!(bench.switch.exact().unwrap().port(port), None);
}

#[test]
fn strangers_at_the_vde_door_are_turned_away() {
    let bench = Bench::new();
    let dir = bench.path("vde");
    bench.switch.add_vde_dir(1, &dir).unwrap();
    for words in [&b"GET / HTTP/1.0\r\n\r\n"[..], b"\xce\xfa\xed\xfe", b"", &[0; 200]] {
        let mut stranger = UnixStream::connect(dir.join("ctl")).unwrap();
        stranger.set_read_timeout(Some(PATIENCE)).unwrap();
        stranger.write_all(words).unwrap();
        stranger.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stranger.read_to_end(&mut answer);
        assert_eq!(answer, b"");
    }
    let _plug = OwnPlug::new(&dir, "after them");
    bench.wait(|event| matches!(event, SwitchEvent::VdeJoined { name, .. } if name == "vde:after them"));
}

/// A program of the machine that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program, or says that the test is skipped without it.
fn start(command: &mut Command) -> Option<Running> {
    match command.spawn() {
        Ok(child) => Some(Running(child)),
        Err(error) => {
            eprintln!("skipped: {:?}: {error}", command.get_program());
            None
        }
    }
}

#[test]
fn the_real_vde_plug_joins() {
    let bench = Bench::new();
    let dir = bench.path("vde");
    bench.switch.add_vde_dir(1, &dir).unwrap();
    let (_, mut qemu) = bench.join("qemu", 1);
    let mut command = Command::new("vde_plug");
    command.arg(&dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Some(mut plug) = start(&mut command) else { return };
    let event = bench.wait(|event| matches!(event, SwitchEvent::VdeJoined { .. }));
    let SwitchEvent::VdeJoined { port, name, .. } = event else { unreachable!("it was just matched") };
    assert_eq!(name, format!("vde:{}", plug.0.id()));
    let (mut stdin, mut stdout) = (plug.0.stdin.take().unwrap(), plug.0.stdout.take().unwrap());
    // On its pipes, a frame follows its length in two bytes.
    let sent = frame(Mac::BROADCAST, mac(5), 1, 300);
    stdin.write_all(&[&300u16.to_be_bytes()[..], &sent].concat()).unwrap();
    assert_eq!(qemu.receive().unwrap(), sent);
    bench.wait(|event| *event == SwitchEvent::VdeHeard { port, mac: mac(5) });
    for n in 2..50 {
        qemu.send(&frame(mac(5), mac(6), n, 700)).unwrap();
        let mut bytes = [0; 702];
        stdout.read_exact(&mut bytes).unwrap();
        assert_eq!(number(&bytes[2..]), n);
    }
    drop((stdin, stdout));
    drop(plug);
    bench.wait(|event| *event == SwitchEvent::VdeLeft { port });
}

/// Boots QEMU without a disk: the card's own boot program asks for an address by DHCP, over and over.
fn boot(netdev: &str, mac: Mac) -> Option<Running> {
    let mut command = Command::new("qemu-system-x86_64");
    command.args([
        "-accel",
        "tcg",
        "-m",
        "64",
        "-display",
        "none",
        "-nodefaults",
        "-boot",
        "order=n,reboot-timeout=1000",
        "-netdev",
        netdev,
    ]);
    command.args(["-device", &format!("virtio-net-pci,netdev=n,mac={mac}")]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    start(&mut command)
}

/// Whether a frame is a DHCP question of this station.
fn is_dhcp(bytes: &[u8], from: Mac) -> bool {
    bytes.len() > 300 && frame::addresses(bytes) == Some((Mac::BROADCAST, from)) && bytes[36..38] == [0, 67]
}

#[test]
fn the_real_qemu_joins_both_ways() {
    let bench = Bench::new();
    let dir = bench.path("vde");
    bench.switch.add_vde_dir(1, &dir).unwrap();
    let (_, mut watcher) = bench.join("watcher", 1);
    let path = bench.path("stream");
    let port = bench.add("stream", 1);
    let netdev = format!("stream,id=n,server=on,addr.type=unix,addr.path={}", path.display());
    let Some(streaming) = boot(&netdev, mac(0x51)) else { return };
    let Some(_vde) = boot(&format!("vde,id=n,sock={}", dir.display()), mac(0x52)) else { return };
    let mut wanted: VecDeque<Mac> = [mac(0x51), mac(0x52)].into();
    while !wanted.is_empty() {
        let bytes = watcher.receive().expect("the card's boot program asks for an address");
        wanted.retain(|mac| !is_dhcp(&bytes, *mac));
    }
    bench.wait(|event| matches!(event, SwitchEvent::VdeHeard { mac: heard, .. } if *heard == mac(0x52)));
    // A switch that ends, and another that takes over the running QEMU.
    bench.switch.remove_port(port).unwrap();
    let next = Bench::new();
    let plug = Plug::QemuStream { path: path.clone() };
    let config = PortConfig { node: "taken".to_owned(), interface: "eth1".to_owned(), vlan: 1, plug };
    let taken = next.switch.add_port(config).unwrap();
    next.wait(|event| *event == SwitchEvent::Connected { port: taken });
    let (_, mut next_watcher) = next.join("watcher", 1);
    while !is_dhcp(&next_watcher.receive().expect("it asks still"), mac(0x51)) {}
    drop(next);
    let port = bench.add("stream", 1);
    bench.wait(|event| *event == SwitchEvent::Connected { port });
    // A QEMU that dies and another at the same socket.
    drop(streaming);
    bench.wait(|event| matches!(event, SwitchEvent::Disconnected { port: p, .. } if *p == port));
    std::fs::remove_file(&path).unwrap();
    let Some(_again) = boot(&netdev, mac(0x53)) else { return };
    bench.wait(|event| *event == SwitchEvent::Connected { port });
    while !is_dhcp(&watcher.receive().expect("the new one asks, too"), mac(0x53)) {}
}
