//! What a session costs on top of QEMU: the bundled Trac network from its start to three login prompts and to
//! its page, by `diorama up` and by the same machines' start scripts run by hand, in turns, in one run.
//!
//! `cargo bench --bench boot [-- ROUNDS]` (a few minutes a round). Every round starts with empty disks. The
//! two differ in nothing else: the scripts are the ones that `up` wrote, so QEMU, kernel and disks are the same.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

const NODES: [&str; 3] = ["postgresql", "storage", "webserver"];
/// No boot takes this long; a bench that waits for ever measures nothing.
const PATIENCE: Duration = Duration::from_secs(900);

fn main() {
    let rounds: usize = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(3);
    let world = World::new();
    // Once for the lock file, the packages, the images and the start scripts.
    world.run(&["build", "-q", &world.model()]);
    let (mut ours, mut by_hand) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        ours.push(world.session());
        by_hand.push(world.by_hand());
        let (a, b) = (&ours[round - 1], &by_hand[round - 1]);
        println!("round {round}: up {a}, by hand {b}");
    }
    let (a, b) = (Seconds::median(&ours), Seconds::median(&by_hand));
    println!(
        "median of {rounds}: up {a}, by hand {b}, ratio {:.2} and {:.2}",
        a.logins / b.logins,
        a.page / b.page
    );
}

/// Seconds from the start.
struct Seconds {
    logins: f64,
    page: f64,
}

impl Seconds {
    /// Waits for both.
    fn measure(start: Instant, logs: &[PathBuf], port: impl Fn() -> Option<u16>) -> Self {
        let until = |what: &str, holds: &dyn Fn() -> bool| {
            while !holds() {
                assert!(start.elapsed() < PATIENCE, "{what} did not come");
                std::thread::sleep(Duration::from_millis(50));
            }
            start.elapsed().as_secs_f64()
        };
        let prompted = |log: &PathBuf| fs::read(log).is_ok_and(|t| contains(&t, b"login:"));
        let logins = until("the login prompts", &|| logs.iter().all(prompted));
        let page = until("the page", &|| port().is_some_and(serves));
        Self { logins, page }
    }

    fn median(all: &[Self]) -> Self {
        let middle = |of: fn(&Self) -> f64| {
            let mut all: Vec<f64> = all.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        Self { logins: middle(|s| s.logins), page: middle(|s| s.page) }
    }
}

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "logins {:.1} s, page {:.1} s", self.logins, self.page)
    }
}

/// Directories of the bench's own; packages and the Nix store are the machine's.
struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("dio").tempdir_in("/tmp").expect("a directory");
        for name in ["run", "state"] {
            fs::create_dir(dir.path().join(name)).expect("a directory of one's own");
        }
        fs::set_permissions(dir.path().join("run"), fs::Permissions::from_mode(0o700)).expect("one's own");
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/examples/trac/network.nix");
        fs::copy(example, dir.path().join("trac.nix")).expect("the example is there");
        Self { dir }
    }

    fn model(&self) -> String {
        self.dir.path().join("trac.nix").display().to_string()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_diorama"));
        command
            .args(args)
            .env("DIORAMA_RUNTIME_DIR", self.dir.path().join("run"))
            .env("DIORAMA_STATE_DIR", self.dir.path().join("state"))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> String {
        let out = self.command(args).output().expect("the program runs");
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// A file of the session's state.
    fn state(&self, name: &str) -> PathBuf {
        self.dir.path().join("state/trac").join(name)
    }

    fn session(&self) -> Seconds {
        let logs = NODES.map(|n| self.state(&format!("{n}.console.log")));
        for log in &logs {
            let _ = fs::remove_file(log);
        }
        let start = Instant::now();
        self.run(&["up", "-d", "--fresh", &self.model()]);
        let measured = Seconds::measure(start, &logs, || {
            let sessions: serde_json::Value = serde_json::from_str(&self.run(&["ls", "--json"])).ok()?;
            let forwards = sessions[0]["forwards"].as_array()?;
            let web = forwards.iter().find(|f| f["node"] == "webserver" && f["guestPort"] == 80)?;
            web["hostPort"].as_u64().and_then(|p| p.try_into().ok())
        });
        self.run(&["down", "--power"]);
        measured
    }

    fn by_hand(&self) -> Seconds {
        let start = Instant::now();
        let mut machines = Vec::new();
        let logs = NODES.map(|node| {
            let log = self.dir.path().join(format!("{node}.log"));
            let disk = self.dir.path().join(format!("{node}.qcow2"));
            let _ = fs::remove_file(&disk);
            machines.push(Machine::start(&self.state(&format!("run-{node}")), &disk, &log));
            log
        });
        let script = fs::read_to_string(self.state("run-webserver")).expect("up wrote it");
        let port = script.split("hostfwd=tcp:127.0.0.1:").nth(1).and_then(|s| s.split('-').next());
        let port: u16 = port.and_then(|p| p.parse().ok()).expect("the web server has a forward");
        Seconds::measure(start, &logs, || Some(port))
    }
}

/// A start script with everything it started.
struct Machine(Child);

impl Machine {
    fn start(script: &Path, disk: &Path, log: &Path) -> Self {
        let out = File::create(log).expect("a log");
        let child = Command::new(script)
            .env("DISK", disk)
            .stdin(Stdio::piped())
            .stdout(out.try_clone().expect("a second handle"))
            .stderr(out)
            .process_group(0)
            .spawn()
            .expect("the script runs");
        Self(child)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|w| w == part)
}

/// Whether the page of the project is there.
fn serves(port: u16) -> bool {
    let fetch = || {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
        socket.write_all(b"GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").ok()?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).ok()?;
        Some(contains(&answer, b"Project Foobar") && contains(&answer, b" 200 "))
    };
    fetch().unwrap_or(false)
}
