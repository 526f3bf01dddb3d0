//! Throughput and latency of the switch beside the machine's `vde_switch`, in one run.
//!
//! `cargo bench --bench switch [-- SECONDS ROUNDS]`. The peers are processes of their own and speak as
//! QEMU does: a call for each frame they send; from a stream they read up to 68 KiB at once, a
//! datagram at a time from VDE. The two switches take turns, and the table shows medians.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use diorama::switch::{Mac, Plug, PortConfig, Switch, SwitchHandle, vde};

const SIZES: [usize; 2] = [64, 1500];
const PINGS: usize = 3_000;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--peer") {
        return peer(&arguments[1..]);
    }
    let mut numbers = arguments.iter().filter_map(|argument| argument.parse().ok());
    let (seconds, rounds): (f64, f64) = (numbers.next().unwrap_or(1.0), numbers.next().unwrap_or(3.0));
    let mut kinds = vec![Kind::Ours];
    match Command::new("vde_switch").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(_) => kinds.push(Kind::Vde),
        Err(error) => println!("vde_switch is not measured: it cannot be started: {error} (package vde2)"),
    }
    println!(
        "delivered kframes/s (lost %, CPU ns of the switch for each), medians of {rounds} rounds of {seconds} s"
    );
    println!("{:<12} {:>5}  {:>24}  {:>24}  {:>6}", "", "bytes", "diorama", "vde_switch", "ratio");
    for (name, flows) in [("one flow", Flows::One), ("two flows", Flows::Two), ("flood", Flows::Flood)] {
        for size in SIZES {
            let mut results: Vec<Vec<Throughput>> = vec![Vec::new(); kinds.len()];
            for _ in 0..rounds as usize {
                for (at, kind) in kinds.iter().enumerate() {
                    results[at].push(throughput(*kind, flows, size, Duration::from_secs_f64(seconds))?);
                }
            }
            let medians: Vec<Throughput> = results.into_iter().map(median).collect();
            let show = |t: Option<&Throughput>| t.map_or("-".to_owned(), Throughput::to_string);
            let ratio =
                medians.get(1).map_or("-".to_owned(), |vde| format!("{:.2}", medians[0].rate / vde.rate));
            println!(
                "{name:<12} {size:>5}  {:>24}  {:>24}  {ratio:>6}",
                show(medians.first()),
                show(medians.get(1))
            );
        }
    }
    println!("\nround trip of one frame at a time, µs, p50/p99 of {PINGS}, medians of {rounds} rounds");
    for size in SIZES {
        let mut results: Vec<Vec<(f64, f64)>> = vec![Vec::new(); kinds.len()];
        for _ in 0..rounds as usize {
            for (at, kind) in kinds.iter().enumerate() {
                results[at].push(round_trips(*kind, size)?);
            }
        }
        let show = |mut rounds: Vec<(f64, f64)>| {
            rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
            let p50 = rounds[rounds.len() / 2].0;
            rounds.sort_by(|a, b| a.1.total_cmp(&b.1));
            format!("{p50:.1}/{:.1}", rounds[rounds.len() / 2].1)
        };
        let shown: Vec<String> = results.into_iter().map(show).collect();
        println!(
            "{:<12} {size:>5}  {:>24}  {:>24}",
            "ping",
            shown[0],
            shown.get(1).map_or("-", String::as_str)
        );
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Ours,
    Vde,
}

#[derive(Clone, Copy, PartialEq)]
enum Flows {
    One,
    Two,
    Flood,
}

#[derive(Clone, Copy)]
struct Throughput {
    rate: f64,
    lost: f64,
    cpu: f64,
}

impl std::fmt::Display for Throughput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} ({:.0} %, {:.0} ns)", self.rate / 1e3, self.lost * 100.0, self.cpu)
    }
}

fn median(mut results: Vec<Throughput>) -> Throughput {
    results.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    results[results.len() / 2]
}

/// A switch of either kind with its peers.
struct Bench {
    dir: tempfile::TempDir,
    switch: Running,
    peers: Vec<PeerProcess>,
}

enum Running {
    Ours(SwitchHandle),
    Vde(Child),
}

impl Bench {
    fn new(kind: Kind) -> io::Result<Self> {
        let dir = tempfile::tempdir()?;
        let switch = match kind {
            Kind::Ours => Running::Ours(Switch::start(|_| {})?),
            Kind::Vde => {
                let mut command = Command::new("vde_switch");
                command.arg("-s").arg(dir.path().join("ctl"));
                command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
                let child = command.spawn()?;
                while UnixStream::connect(dir.path().join("ctl/ctl")).is_err() {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Running::Vde(child)
            }
        };
        Ok(Self { dir, switch, peers: Vec::new() })
    }

    /// Starts a peer and waits until it is on the segment. `role` is `send`, `receive`, `ping` or `echo`.
    fn join(&mut self, role: &str, to: Mac, size: usize) -> io::Result<()> {
        let number = self.peers.len() as u8 + 1;
        let own = mac(number);
        let (kind, path) = match &self.switch {
            Running::Ours(_) => ("stream", self.dir.path().join(format!("p{number}"))),
            Running::Vde(_) => ("vde", self.dir.path().join("ctl")),
        };
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--peer", kind]).arg(&path).args([
            role,
            &own.to_string(),
            &to.to_string(),
            &size.to_string(),
        ]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else { return Err(io::Error::other("no pipes")) };
        let mut peer = PeerProcess { child, stdin: Some(stdin), stdout: BufReader::new(stdout) };
        peer.line()?;
        if let Running::Ours(switch) = &self.switch {
            let (node, interface) = (format!("p{number}"), "eth1".to_owned());
            let config = PortConfig { node, interface, vlan: 1, plug: Plug::QemuStream { path } };
            switch.add_port(config).map_err(io::Error::other)?;
        }
        peer.line()?;
        self.peers.push(peer);
        Ok(())
    }

    /// Processor time the switch took: all threads of its process, of which ours only waits besides.
    fn cpu(&self) -> io::Result<Duration> {
        let pid = match &self.switch {
            Running::Ours(_) => std::process::id(),
            Running::Vde(child) => child.id(),
        };
        let mut sum = 0;
        for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let text = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            sum += text.split(' ').next().and_then(|word| word.parse::<u64>().ok()).unwrap_or_default();
        }
        Ok(Duration::from_nanos(sum))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for peer in &mut self.peers {
            let _ = peer.child.kill();
            let _ = peer.child.wait();
        }
        match &mut self.switch {
            Running::Ours(switch) => switch.shutdown(),
            Running::Vde(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

struct PeerProcess {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl PeerProcess {
    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stdout.read_line(&mut line)? == 0 {
            return Err(io::Error::other("a peer ended early"));
        }
        Ok(line.trim().to_owned())
    }

    /// Tells the peer to begin.
    fn go(&mut self) -> io::Result<()> {
        self.stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(b"g"))
    }

    /// Tells the peer to stop, and the number it reports.
    fn stop(&mut self) -> io::Result<u64> {
        self.stdin = None;
        self.line()?.parse().map_err(io::Error::other)
    }
}

fn throughput(kind: Kind, flows: Flows, size: usize, time: Duration) -> io::Result<Throughput> {
    let mut bench = Bench::new(kind)?;
    let (roles, targets) = match flows {
        Flows::One => (["send", "receive", "receive", "receive"], [mac(2), mac(1), mac(1), mac(1)]),
        Flows::Two => (["send", "receive", "send", "receive"], [mac(2), mac(1), mac(4), mac(3)]),
        Flows::Flood => (["send", "receive", "receive", "receive"], [Mac::BROADCAST, mac(1), mac(1), mac(1)]),
    };
    for (role, target) in roles.into_iter().zip(targets) {
        bench.join(role, target, size)?;
    }
    // A receiver is known from its own first frame, which is let through before the senders begin.
    std::thread::sleep(Duration::from_millis(50));
    let before = bench.cpu()?;
    let begin = Instant::now();
    for peer in &mut bench.peers {
        peer.go()?;
    }
    std::thread::sleep(time);
    let (mut sent, mut received) = (0, 0);
    for (peer, _) in bench.peers.iter_mut().zip(roles).filter(|(_, role)| *role == "send") {
        sent += peer.stop()?;
    }
    let elapsed = begin.elapsed();
    // What is still in the switch arrives within this time.
    std::thread::sleep(Duration::from_millis(100));
    let cpu = bench.cpu()?.saturating_sub(before);
    for (peer, _) in bench.peers.iter_mut().zip(roles).filter(|(_, role)| *role == "receive") {
        received += peer.stop()?;
    }
    let copies = if flows == Flows::Flood { 3 } else { 1 };
    let received = received as f64;
    let lost = (1.0 - received / (sent * copies) as f64).max(0.0);
    Ok(Throughput { rate: received / elapsed.as_secs_f64(), lost, cpu: cpu.as_nanos() as f64 / received })
}

/// The 50th and the 99th percentile of the round trips, in µs.
fn round_trips(kind: Kind, size: usize) -> io::Result<(f64, f64)> {
    let mut bench = Bench::new(kind)?;
    bench.join("echo", mac(2), size)?;
    bench.join("ping", mac(1), size)?;
    std::thread::sleep(Duration::from_millis(50));
    bench.peers[1].go()?;
    let trips = bench.peers[1].line()?;
    let mut trips: Vec<u64> = trips.split(' ').filter_map(|word| word.parse().ok()).collect();
    trips.sort_unstable();
    let micros = |share: f64| trips[(trips.len() as f64 * share) as usize] as f64 / 1e3;
    Ok((micros(0.5), micros(0.99)))
}

fn mac(number: u8) -> Mac {
    Mac([0x52, 0x54, 0, 0x12, 1, number])
}

/// The sockets of a peer.
enum Socket {
    Stream(UnixStream),
    Vde {
        data: UnixDatagram,
        /// Closing it would pull the plug.
        _ctl: UnixStream,
    },
}

impl Socket {
    /// Takes part in a segment; says `listening` when the switch may connect.
    fn open(kind: &str, path: &Path) -> io::Result<Self> {
        if kind == "stream" {
            let listener = UnixListener::bind(path)?;
            println!("listening");
            return Ok(Self::Stream(listener.accept()?.0));
        }
        println!("listening");
        let own = path.join(format!(".{}", std::process::id()));
        let data = UnixDatagram::bind(&own)?;
        let mut ctl = UnixStream::connect(path.join("ctl"))?;
        let mut request: Vec<u8> = [0xfeed_face_u32, 3, 0].into_iter().flat_map(u32::to_ne_bytes).collect();
        request.extend(vde::reply(&own).ok_or_else(|| io::Error::other("a path that is too long"))?);
        ctl.write_all(&request)?;
        let mut answer = [0; 110];
        ctl.read_exact(&mut answer)?;
        let end = answer[2..].iter().position(|byte| *byte == 0).unwrap_or(108);
        data.connect(PathBuf::from(std::ffi::OsStr::from_bytes(&answer[2..2 + end])))?;
        Ok(Self::Vde { data, _ctl: ctl })
    }

    /// Sends a frame, which follows its length in `framed`.
    fn send(&mut self, framed: &[u8]) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.write_all(framed),
            Self::Vde { data, .. } => data.send(&framed[4..]).map(drop),
        }
    }

    /// Receives once, and shows each frame to `take`.
    fn receive(&mut self, buffer: &mut Buffer, take: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        match self {
            Self::Stream(stream) => {
                let room = buffer.end + 69_632;
                let count = stream.read(&mut buffer.bytes[buffer.end..room])?;
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                buffer.end += count;
                let mut start = 0;
                while let Some(length) = buffer.bytes[start..buffer.end].first_chunk::<4>() {
                    let length = u32::from_be_bytes(*length) as usize;
                    if buffer.end - start < 4 + length {
                        break;
                    }
                    take(&buffer.bytes[start + 4..start + 4 + length]);
                    start += 4 + length;
                }
                buffer.bytes.copy_within(start..buffer.end, 0);
                buffer.end -= start;
            }
            Self::Vde { data, .. } => {
                let count = data.recv(&mut buffer.bytes)?;
                take(&buffer.bytes[..count]);
            }
        }
        Ok(())
    }
}

struct Buffer {
    bytes: Vec<u8>,
    end: usize,
}

/// One peer: `KIND PATH ROLE OWN TO SIZE`.
fn peer(arguments: &[String]) -> io::Result<()> {
    let [kind, path, role, own, to, size] = arguments else {
        return Err(io::Error::other("six arguments are wanted"));
    };
    let (own, to): (Mac, Mac) =
        (own.parse().map_err(io::Error::other)?, to.parse().map_err(io::Error::other)?);
    let size: usize = size.parse().map_err(io::Error::other)?;
    let mut socket = Socket::open(kind, Path::new(path))?;
    // The byte behind the header tells measured frames from the first one, which makes the peer known.
    let framed = |to: Mac, size: usize, kind: u8| {
        let mut frame = [&(size as u32).to_be_bytes()[..], &to.0, &own.0, &[0x88, 0xb5, kind]].concat();
        frame.resize(4 + size, 0);
        frame
    };
    socket.send(&framed(Mac::BROADCAST, 60, 0))?;
    println!("ready");
    let data = framed(to, size, 1);
    let mut buffer = Buffer { bytes: vec![0; 3 * 69_632], end: 0 };
    let mut stdin = io::stdin();
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    match role.as_str() {
        "send" => {
            stdin.read_exact(&mut [0])?;
            std::thread::spawn(move || {
                while socket.send(&data).is_ok() {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        "receive" => {
            std::thread::spawn(move || {
                let mut take = |frame: &[u8]| {
                    counted.fetch_add(u64::from(frame[14]), Ordering::Relaxed);
                };
                while socket.receive(&mut buffer, &mut take).is_ok() {}
            });
        }
        "echo" => loop {
            let mut frames = 0;
            socket.receive(&mut buffer, &mut |frame| frames += u64::from(frame[14]))?;
            for _ in 0..frames {
                socket.send(&data)?;
            }
        },
        _ => {
            stdin.read_exact(&mut [0])?;
            let mut trips = Vec::with_capacity(PINGS);
            for _ in 0..PINGS {
                let begin = Instant::now();
                socket.send(&data)?;
                let mut back = false;
                while !back {
                    socket.receive(&mut buffer, &mut |frame| back |= frame[14] == 1)?;
                }
                trips.push(begin.elapsed().as_nanos().to_string());
            }
            println!("{}", trips.join(" "));
        }
    }
    // The end of standard input is the word to stop; the other thread ends with the process.
    stdin.read_to_end(&mut Vec::new())?;
    println!("{}", count.load(Ordering::Relaxed));
    Ok(())
}
