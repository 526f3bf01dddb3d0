//! A private world for one test: its own directories, its own sessions.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long anything may take that a guest under emulation on a busy machine has to do.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Guests are slow enough one test at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The directories of one test; everything that runs in them ends with it.
pub struct TestEnvironment {
    dir: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl TestEnvironment {
    pub fn new() -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        // Sockets have short paths.
        let dir = tempfile::Builder::new().prefix("dio").tempdir_in("/tmp").unwrap();
        for name in ["run", "state", "cache", "data", "home"] {
            fs::DirBuilder::new().mode(0o700).create(dir.path().join(name)).unwrap();
        }
        Self { dir, _turn: turn }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program in this world.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_diorama"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("HOME", self.path("home"))
            .env("DIORAMA_RUNTIME_DIR", self.path("run"))
            .env("DIORAMA_STATE_DIR", self.path("state"))
            .env("DIORAMA_CACHE_DIR", self.path("cache"))
            .env("DIORAMA_DATA_DIR", self.path("data"))
            .env_remove("DIORAMA_SESSION")
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        self.run_with_input(args, b"")
    }

    /// Runs it with something on its standard input.
    pub fn run_with_input(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || {
            let _ = stdin.write_all(&input);
        });
        let ran = Ran::new(args, child.wait_with_output().unwrap());
        writer.join().unwrap();
        ran
    }

    /// Runs it and insists on success; its standard output.
    pub fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.status, 0, "{ran:?}");
        ran.stdout
    }

    /// Runs a shell command in a guest and insists on success.
    pub fn guest(&self, node: &str, script: &str) -> String {
        self.ok(&["exec", node, "--", "sh", "-c", script])
    }

    /// Writes the manifest of a network of mini guests on one VLAN; the first has a forward to its
    /// port 80 from a port of the host.
    pub fn network(&self, name: &str, nodes: &[&str], port: u16) -> PathBuf {
        let guest = guest();
        let mut machines = serde_json::Map::new();
        for (i, node) in nodes.iter().enumerate() {
            let n = i + 1;
            let forwards = match i {
                0 => serde_json::json!([{ "host": { "port": port }, "guest": { "port": 80 } }]),
                _ => serde_json::json!([]),
            };
            let machine = serde_json::json!({
                "hostName": node,
                "memorySize": 96,
                "boot": {
                    "kind": "direct",
                    "kernel": guest.join("kernel"),
                    "initrd": guest.join("initrd"),
                    "kernelParams": [
                        "quiet", "cryptomgr.notests", "mitigations=off", "audit=0", "tsc=reliable",
                        "no_timer_check", "random.trust_cpu=on", format!("mini.name={node}"),
                        format!("mini.ip=192.168.1.{n}/24"),
                    ],
                },
                "interfaces": [
                    { "kind": "user", "name": "eth0" },
                    { "kind": "vlan", "name": "eth1", "vlan": 1, "mac": format!("52:54:00:12:01:{n:02x}"),
                      "addresses": [format!("192.168.1.{n}")] },
                ],
                "forwardPorts": forwards,
            });
            machines.insert((*node).to_owned(), machine);
        }
        let manifest = serde_json::json!({
            "version": 1, "network": { "name": name, "system": "other" }, "nodes": machines,
        });
        self.write(&format!("{name}.json"), &manifest.to_string())
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Starts a network and waits until all its machines are up.
    pub fn up(&self, name: &str, nodes: &[&str], port: u16) {
        let manifest = self.network(name, nodes, port);
        self.ok(&["up", "-d", "--wait", "--accel", "tcg", manifest.to_str().unwrap()]);
    }

    /// The view of the only session.
    pub fn view(&self) -> serde_json::Value {
        let views: serde_json::Value = serde_json::from_str(&self.ok(&["ls", "--json"])).unwrap();
        views[0].clone()
    }

    /// One node of it.
    pub fn node(&self, name: &str) -> serde_json::Value {
        let view = self.view();
        let nodes = view["nodes"].as_array().unwrap();
        nodes.iter().find(|n| n["name"] == name).unwrap().clone()
    }

    /// The daemon's process.
    pub fn daemon(&self, session: &str) -> i32 {
        let pid = fs::read_to_string(self.path("run").join(session).join(".daemon/pid")).unwrap();
        pid.trim().parse().unwrap()
    }

    /// Waits until something holds.
    pub fn wait_for(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let start = Instant::now();
        while !holds() {
            assert!(start.elapsed() < PATIENCE, "{what} did not come: {:?}", self.run(&["ls"]));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Processes that have this world's directory on their command line or in their environment.
    pub fn processes(&self) -> Vec<(i32, String)> {
        let mark = self.dir.path().to_str().unwrap();
        let mut out = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
            if pid == std::process::id().cast_signed() {
                continue;
            }
            let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
            let words = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
            let environment = String::from_utf8_lossy(&read("environ")).into_owned();
            if words.contains(mark) || environment.contains(mark) {
                out.push((pid, words));
            }
        }
        out
    }

    /// Insists that nothing is left: no process, no socket.
    pub fn assert_clean(&self) {
        // A process that was told to end may take a moment to be gone from the table.
        let start = Instant::now();
        while !self.processes().is_empty() && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(self.processes(), Vec::new(), "processes are left");
        let left: Vec<_> = fs::read_dir(self.path("run")).unwrap().map(|e| e.unwrap().path()).collect();
        assert!(left.is_empty(), "left: {left:?}");
    }
}

impl Drop for TestEnvironment {
    fn drop(&mut self) {
        let _ = self.command(&["down", "--all", "--power"]).output();
        for (pid, _) in self.processes() {
            // Only a test that failed leaves any, and they are all its own.
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
    }
}

/// What a run of the program came to.
#[derive(Debug)]
pub struct Ran {
    pub _args: String,
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn new(args: &[&str], output: Output) -> Self {
        Self {
            _args: args.join(" "),
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The mini guest, built once.
pub fn guest() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mini-guest");
        let builder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest/mini.sh");
        let agent = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/guest/agent.pl");
        let newest =
            [&builder, &agent].map(|p| fs::metadata(p).unwrap().modified().unwrap()).into_iter().max();
        let built = fs::metadata(dir.join("kernel")).and_then(|m| m.modified()).ok();
        if built.is_some() && built > newest {
            return dir;
        }
        let mut command = Command::new("sh");
        command.arg(&builder).arg(&dir).stdin(Stdio::null());
        if let Some(deb) = std::env::var_os("DIORAMA_TEST_KERNEL_DEB") {
            command.arg(deb);
        }
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "the guest cannot be built: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        dir
    })
}

/// A port that is free now.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Fetches a page from a host port; nothing when nobody answers.
pub fn fetch(port: u16) -> Option<String> {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.split_once("\r\n\r\n").map(|(_, body)| body.trim().to_owned())
}
