//! What a deployment costs: the bundled Trac network onto three hosts, by `diorama deploy` and by hand
//! (`nix-copy-closure`, the profile, `switch-to-configuration`, host after host), in turns, in one run.
//!
//! `cargo bench --bench deploy` boots three hosts and takes many minutes on an emulated machine; with `-- changes` Trac
//! is not deployed by hand before.
//!
//! The two ways get
//! changes of the same kind that are never the same, so each has to copy its own; bytes are counted on the way
//! towards the hosts, encryption included.

#[path = "../tests/deploy/cable.rs"]
#[allow(dead_code, reason = "the bench cuts no cable")]
mod cable;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use cable::Cable;
use serde_json::{Value, json};

const HOSTS: [&str; 3] = ["postgresql", "storage", "webserver"];

/// What is changed, and how: a module for every host.
const CHANGES: [(&str, &str); 2] = [
    ("one configuration file", r#"environment.etc."note".text = "TURN";"#),
    (
        "one package",
        r#"environment.etc."note".text = "TURN"; environment.systemPackages = [ pkgs.PACKAGE ];"#,
    ),
];
/// A package for each turn: neither way may find the other's on the host.
const PACKAGES: [&str; 2] = ["htop", "ncdu"];

fn main() {
    let world = World::new();
    world.boot();
    let trac = world.infrastructure("", 0);
    if !std::env::args().any(|a| a == "changes") {
        let systems = world.build(&trac);
        println!("{}", world.timed("trac onto blank hosts, by hand", &mut || world.by_hand(&systems)));
        world.blank();
    }
    // The plan in it pins the new hosts' keys.
    let deployment = world.deployment(&world.build(&trac));
    println!("{}", world.timed("trac onto blank hosts, diorama deploy", &mut || world.ours(&deployment)));
    for (change, module) in CHANGES {
        let infra = |turn: usize| world.infrastructure(module, turn);
        // Built beforehand: what is compared is copying and switching.
        let (a, b) = (infra(0), infra(1));
        let systems = world.build(&b);
        let deployment = world.deployment(&world.build(&a));
        println!("{}", world.timed(&format!("{change}, diorama deploy"), &mut || world.ours(&deployment)));
        println!("{}", world.timed(&format!("{change}, by hand"), &mut || world.by_hand(&systems)));
    }
}

struct World {
    dir: PathBuf,
    _temporary: tempfile::TempDir,
    cables: [Cable; 3],
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("a port").port()
}

impl World {
    fn new() -> Self {
        let temporary = tempfile::Builder::new().prefix("dio").tempdir_in("/tmp").expect("a directory");
        let dir = temporary.path().to_owned();
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/examples");
        let ports = [free_port(), free_port(), free_port()];
        let cables = ports.map(|port| Cable::lay(free_port(), port));
        for file in ["network.nix", "infrastructure.nix", "insecure-key", "insecure-key.pub"] {
            let mut text =
                std::fs::read_to_string(assets.join("production").join(file)).expect("the example");
            for (n, was) in ["2201", "2202", "2203"].iter().enumerate() {
                // The hosts are at their ports, the deployer goes over the cables.
                let port = if file == "network.nix" { ports[n] } else { cables[n].port };
                text = text.replace(was, &port.to_string());
            }
            std::fs::write(dir.join(file), text).expect("a file");
        }
        std::fs::create_dir(dir.join("trac")).expect("a directory");
        std::fs::copy(assets.join("trac/network.nix"), dir.join("trac/network.nix")).expect("the example");
        let world = Self { dir, _temporary: temporary, cables };
        private(&world.key(), 0o600);
        world
    }

    fn key(&self) -> PathBuf {
        self.dir.join("insecure-key")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_diorama"));
        command.args(args).stdin(Stdio::null());
        for (name, dir) in [("DIORAMA_RUNTIME_DIR", "run"), ("DIORAMA_STATE_DIR", "state")] {
            let dir = self.dir.join(dir);
            std::fs::create_dir_all(&dir).expect("a directory of one's own");
            private(&dir, 0o700);
            command.env(name, dir);
        }
        command
    }

    fn run(&self, args: &[&str]) -> Vec<u8> {
        let out = self.command(args).output().expect("the program runs");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{args:?}: {said}{}", String::from_utf8_lossy(&out.stdout));
        out.stdout
    }

    fn boot(&self) {
        self.run(&["up", "-d", "--wait", &self.dir.join("network.nix").display().to_string()]);
    }

    /// Gives the hosts new disks.
    fn blank(&self) {
        self.run(&["down", "--power"]);
        std::fs::remove_file(self.dir.join("state/trac/known_hosts")).expect("the old hosts' keys");
        self.run(&["up", "-d", "--wait", "--fresh", &self.dir.join("network.nix").display().to_string()]);
    }

    /// The example's infrastructure with a change for every host.
    fn infrastructure(&self, module: &str, turn: usize) -> String {
        let file = self.dir.join(format!("infrastructure-{}-{turn}.nix", module.len()));
        let module = module.replace("TURN", &turn.to_string()).replace("PACKAGE", PACKAGES[turn]);
        let text = format!(
            "builtins.mapAttrs (name: host: host // {{ imports = [ ({{ pkgs, ... }}: {{ {module} }}) ]; }})\n  \
             (import ./infrastructure.nix)\n"
        );
        std::fs::write(&file, text).expect("a file");
        file.display().to_string()
    }

    /// Builds, and gives what each host would run.
    fn build(&self, infrastructure: &str) -> Vec<String> {
        let trac = self.dir.join("trac/network.nix").display().to_string();
        let args = ["plan", &trac, "-i", infrastructure, "--trust-on-first-use", "--json"];
        let plan: Value = serde_json::from_slice(&self.run(&args)).expect("a plan");
        let wanted = |name: &str| plan["hosts"][name]["wanted"].as_str().expect("a system").to_owned();
        HOSTS.iter().map(|n| wanted(n)).collect()
    }

    /// Built systems as a deployment, without health checks: by hand there are none.
    fn deployment(&self, systems: &[String]) -> String {
        let nodes: serde_json::Map<String, Value> = HOSTS
            .iter()
            .zip(&self.cables)
            .zip(systems)
            .map(|((name, cable), system)| {
                let target = json!({
                    "hostName": "127.0.0.1", "system": "x86_64-linux", "targetPort": cable.port,
                    "toplevel": system, "sshOptions": ["-i", self.key(), "-o", "IdentitiesOnly=yes"],
                });
                ((*name).to_owned(), target)
            })
            .collect();
        let deployment = json!({ "version": 1, "network": { "name": "trac" }, "nodes": nodes });
        let file = self.dir.join("deployment.json");
        std::fs::write(&file, deployment.to_string()).expect("a file");
        file.display().to_string()
    }

    /// What is printed on the way: the end's figures, and which units were touched.
    fn ours(&self, deployment: &str) {
        let out = self.run(&["deploy", deployment, "--yes", "--accept-drift", "--json"]);
        for event in
            String::from_utf8_lossy(&out).lines().filter_map(|l| serde_json::from_str::<Value>(l).ok())
        {
            let line = event["line"].as_str().unwrap_or_default();
            if line.contains("the following units:") {
                println!("  {}: {line}", event["host"].as_str().unwrap_or_default());
            } else if event["event"] == "end" {
                println!("  {event}");
            }
        }
    }

    fn by_hand(&self, systems: &[String]) {
        for (cable, system) in self.cables.iter().zip(systems) {
            let options = format!(
                "-p {} -i {} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
                cable.port,
                self.key().display()
            );
            let mut copy = Command::new("nix-copy-closure");
            copy.args(["--to", "root@127.0.0.1", system]).env("NIX_SSHOPTS", &options).stderr(Stdio::null());
            assert!(copy.status().expect("nix-copy-closure runs").success());
            let script = format!(
                "nix-env -p /nix/var/nix/profiles/system --set {system} && \
                 {system}/bin/switch-to-configuration switch"
            );
            let mut switch = Command::new("ssh");
            switch.args(["-F", "none"]).args(options.split(' ')).args(["root@127.0.0.1", &script]);
            switch.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            // 4: a unit that was failing before.
            let status = switch.status().expect("ssh runs").code();
            assert!(matches!(status, Some(0 | 4)), "{status:?}");
        }
    }

    fn timed(&self, what: &str, act: &mut dyn FnMut()) -> String {
        let sent = || self.cables.iter().map(Cable::sent).sum::<u64>();
        let (start, before) = (Instant::now(), sent());
        act();
        let seconds = start.elapsed().as_secs_f64();
        format!("{what}: {seconds:.1} s, {:.2} MB towards the hosts", (sent() - before) as f64 / 1e6)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.command(&["down", "--power"]).output();
    }
}

fn private(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("one's own");
}
