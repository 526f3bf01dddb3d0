//! The three hosts, the systems that are deployed to them, and what the test knows of them.
//!
//! What a system does when it is activated is decided by files on its host, so that few systems are built:
//! `/var/lib/hold` holds the unit `hello` of the system that it names, `/var/lib/fail` lets it fail, `/var/lib/sick`
//! is what the health check does not want to see.
//!
//! With `DIORAMA_TEST_WORLD=DIR` the hosts run on when the test ends, for the next run with it.
//!
//! Invariant: how a host is, is asked of the host itself, over an SSH connection of the test's own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cable::Cable;
use crate::run::Run;

/// What a wait may take on a machine that is busy; nothing here is measured.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// The hosts that the example boots.
pub const HOSTS: [&str; 3] = ["postgresql", "storage", "webserver"];

/// The host that faults befall.
pub const VICTIM: &str = "storage";
/// A host that none befall.
pub const OTHER: &str = "webserver";
/// What `sudo` asks the user `keeper` for, and as the hosts know it.
pub const PASSWORD: &str = "open sesame";
const HASH: &str =
    "$6$hosts$AiOaNrCrPnR7tLaBymDGSXq24Rh0bUtrmb6DyxluD7BZvvAxhtC9JfsAw6b9I85eWvsJeB8nhmvGB/4L.Bhx2.";

/// How many bytes the large system has that no other has.
pub const LARGE: usize = 12 << 20;

/// A user of their own: nothing of this one's sessions, keys or disks is seen or touched.
pub struct World {
    home: PathBuf,
    /// Removed at the end, unless the world is kept.
    temporary: Option<tempfile::TempDir>,
    key: PathBuf,
    /// The hosts' own ports.
    ports: [u16; 3],
    /// What the deployer reaches them through.
    pub cables: [Cable; 3],
    numbers: AtomicU32,
}

/// How a host is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The system that runs.
    pub current: String,
    /// The system of the profile.
    pub profile: String,
    /// The system that the boot loader starts.
    pub boots: String,
    /// What tells the systems apart for people.
    pub greeting: String,
    /// Who holds it.
    pub lock: String,
    /// Supervisors that there are still.
    pub supervisors: String,
    /// Roots that deployments have left.
    pub roots: String,
}

impl Host {
    /// Whether it is one system through and through, and nobody's.
    pub fn is_whole(&self) -> bool {
        self.current == self.profile
            && self.current == self.boots
            && self.lock == "free"
            && self.supervisors == "0"
    }
}

const ASK: &str = r#"readlink /run/current-system
readlink -f /nix/var/nix/profiles/system
id=$(sed -n 's/^set default=//p' /boot/grub/grub.cfg)
sed -n "/--id $id {/,/}/s/.*diorama.system=\([^ ]*\).*/\1/p" /boot/grub/grub.cfg
echo "$(cat /etc/greeting 2>/dev/null || echo none)"
readlink /run/diorama/lock || echo free
systemctl list-units --all --plain --no-legend 'diorama-deploy-*' | wc -l
ls /nix/var/nix/gcroots/diorama 2>/dev/null | wc -l"#;

pub fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/examples").join(name)
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl World {
    /// A new world, or the kept one.
    pub fn new() -> Self {
        let kept = std::env::var_os("DIORAMA_TEST_WORLD").map(PathBuf::from);
        let temporary = kept.is_none().then(|| {
            let mut builder = tempfile::Builder::new();
            builder.prefix("dio").tempdir_in("/tmp").unwrap()
        });
        let home = kept.unwrap_or_else(|| temporary.as_ref().unwrap().path().to_owned());
        // A copy, on ports that nobody has: the lock file is written beside the model.
        let hosts = home.join("hosts");
        let list = home.join("ports");
        if !list.exists() {
            std::fs::create_dir_all(&hosts).unwrap();
            let ports: Vec<String> = (0..6).map(|_| free_port().to_string()).collect();
            for file in ["network.nix", "infrastructure.nix", "insecure-key", "insecure-key.pub"] {
                let mut text = std::fs::read_to_string(example("production").join(file)).unwrap();
                for (was, is) in ["2201", "2202", "2203"].iter().zip(&ports) {
                    text = text.replace(was, is);
                }
                std::fs::write(hosts.join(file), text).unwrap();
            }
            std::fs::write(&list, ports.join("\n")).unwrap();
        }
        let ports: Vec<u16> =
            std::fs::read_to_string(&list).unwrap().lines().map(|l| l.parse().unwrap()).collect();
        let key = hosts.join("insecure-key");
        std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
        let cables = [0, 1, 2].map(|n| Cable::lay(ports[3 + n], ports[n]));
        let ports = [ports[0], ports[1], ports[2]];
        Self { home, temporary, key, ports, cables, numbers: AtomicU32::new(0) }
    }

    /// Boots the hosts.
    pub fn boot(&self) {
        self.expect(0, &["up", "-d", "--wait", &self.home.join("hosts").display().to_string()]);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// What the network's pinned keys are in.
    pub fn known_hosts(&self) -> PathBuf {
        self.path("XDG_STATE_HOME/diorama/shop/known_hosts")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let home = &self.home;
        let mut command = Command::new(env!("CARGO_BIN_EXE_diorama"));
        command.args(args).current_dir(home).env("HOME", home).stdin(Stdio::null());
        for name in
            ["XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"]
        {
            let dir = home.join(name);
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o700)).unwrap();
            command.env(name, dir);
        }
        command
    }

    pub fn run(&self, args: &[&str]) -> (i32, String) {
        let out = self.command(args).output().unwrap();
        (out.status.code().unwrap_or(-1), words(&out))
    }

    #[track_caller]
    pub fn expect(&self, status: i32, args: &[&str]) -> String {
        let (got, said) = self.run(args);
        assert_eq!(got, status, "{args:?}: {said}");
        said
    }

    /// Writes a model whose nodes differ from another's by files, and a unit that asks its host what to do.
    pub fn model(&self, name: &str, large: bool) -> String {
        let dir = self.path(&format!("models/{name}"));
        std::fs::create_dir_all(&dir).unwrap();
        let mut blob = String::new();
        if large {
            // Bytes that do not compress, and are the same in every run (xorshift).
            let mut x = 88_172_645_463_325_252_u64;
            let bytes: Vec<u8> = (0..LARGE)
                .map(|_| {
                    x ^= x << 13;
                    x ^= x >> 7;
                    x ^= x << 17;
                    x as u8
                })
                .collect();
            std::fs::write(dir.join("large"), bytes).unwrap();
            blob = "environment.etc.\"large\".source = ./large;".into();
        }
        let file = dir.join("network.nix");
        let key = self.key.display();
        let text = format!(
            r#"let
  node = {{ ... }}: {{
    virtualisation.vlans = [ 1 ];
    environment.etc."greeting".text = "{name}";
    {blob}
    security.sudo.enable = true;
    security.sudo.extraConfig = "admin ALL=(ALL:ALL) NOPASSWD: ALL";
    users.users.admin = {{ uid = 1000; isNormalUser = true; openssh.authorizedKeys.keyFiles = [ {key}.pub ]; }};
    users.users.keeper = {{
      uid = 1001;
      isNormalUser = true;
      extraGroups = [ "wheel" ];
      hashedPassword = "{HASH}";
      openssh.authorizedKeys.keyFiles = [ {key}.pub ];
    }};
    systemd.services.hello = {{
      wantedBy = [ "multi-user.target" ];
      serviceConfig = {{ Type = "oneshot"; RemainAfterExit = true; }};
      script = ''
        while [ "$(cat /var/lib/hold 2>/dev/null)" = {name} ]; do sleep 0.3; done
        [ "$(cat /var/lib/fail 2>/dev/null)" != {name} ]
      '';
    }};
  }};
in {{ postgresql = node; storage = node; webserver = node; }}
"#
        );
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    }

    /// The example's infrastructure with the checks of this test, not of the Trac network.
    pub fn infrastructure(&self) -> String {
        let file = self.path("infrastructure.nix");
        let ports: Vec<String> =
            HOSTS.iter().zip(&self.cables).map(|(n, c)| format!("{n} = {};", c.port)).collect();
        let text = format!(
            r#"builtins.mapAttrs (name: host: host // {{
  targetPort = {{ {} }}.${{name}};
  sshOptions = [ "-i" "{}" "-o" "IdentitiesOnly=yes" ];
  after = [ ];
  healthChecks = [ {{ kind = "command"; command = "test ! -e /var/lib/sick"; timeout = 20; }} ];
}}) (import {})"#,
            ports.join(" "),
            self.key.display(),
            self.path("hosts/infrastructure.nix").display()
        );
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    }

    /// Builds a model for the hosts, and gives it as a deployment that needs no evaluation.
    pub fn build(&self, model: &str) -> Value {
        let infra = self.infrastructure();
        let plan = self.command(&["plan", model, "-i", &infra, "--name", "shop", "--json"]).output().unwrap();
        let said = words(&plan);
        let plan: Value = serde_json::from_slice(&plan.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
        self.deployment(|name| plan["hosts"][name]["wanted"].clone())
    }

    /// A deployment of systems that are built.
    pub fn deployment(&self, toplevel: impl Fn(&str) -> Value) -> Value {
        let nodes: serde_json::Map<String, Value> = HOSTS
            .iter()
            .zip(&self.cables)
            .map(|(name, cable)| {
                let target = json!({
                    "hostName": "127.0.0.1", "system": "x86_64-linux", "targetPort": cable.port,
                    "toplevel": toplevel(name),
                    "sshOptions": ["-i", self.key, "-o", "IdentitiesOnly=yes"],
                    "healthChecks": [{ "kind": "command", "command": "test ! -e /var/lib/sick", "timeout": 60 }],
                });
                ((*name).to_owned(), target)
            })
            .collect();
        json!({ "version": 1, "network": { "name": "shop", "system": "debian" }, "nodes": nodes })
    }

    /// Begins a deployment of a built model, with a short patience.
    pub fn begin(&self, deployment: &Value, more: &[&str]) -> Run {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let file = self.path(&format!("deployment-{number}.json"));
        std::fs::write(&file, deployment.to_string()).unwrap();
        let file = file.display().to_string();
        let mut args = vec!["deploy", &file, "--yes", "--json"];
        if !more.contains(&"--patience") {
            args.extend(["--patience", "10"]);
        }
        args.extend(more);
        let mut command = self.command(&args);
        if more.contains(&"--ask-sudo-password") {
            let told = self.path("password");
            std::fs::write(&told, PASSWORD).unwrap();
            command.stdin(std::fs::File::open(told).unwrap());
        }
        Run::start(command)
    }

    fn number(name: &str) -> usize {
        HOSTS.iter().position(|n| *n == name).unwrap()
    }

    /// The cable to a host.
    pub fn cable(&self, name: &str) -> &Cable {
        &self.cables[Self::number(name)]
    }

    /// Runs a script on a host, over a way of the test's own.
    pub fn ssh(&self, name: &str, script: &str) -> Option<String> {
        let port = self.ports[Self::number(name)];
        let out = Command::new("ssh")
            .args(["-F", "none", "-i"])
            .arg(&self.key)
            .args(["-p", &port.to_string(), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"])
            .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=30"])
            .args(["-o", "ControlMaster=auto", "-o", "ControlPersist=yes", "-o", "ServerAliveInterval=5"])
            .args(["-o", &format!("ControlPath={}", self.path("m%p").display())])
            .args(["root@127.0.0.1", script])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .unwrap();
        out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    }

    /// The same, where it has to succeed.
    #[track_caller]
    pub fn on(&self, name: &str, script: &str) -> String {
        self.ssh(name, script).unwrap_or_else(|| panic!("{name}: {script}"))
    }

    /// How a host is; none when it does not answer.
    pub fn host(&self, name: &str) -> Option<Host> {
        let said = self.ssh(name, ASK)?;
        let lines: Vec<&str> = said.lines().map(str::trim).collect();
        let &[current, profile, boots, greeting, lock, supervisors, roots] = lines.as_slice() else {
            panic!("{name}: {said}");
        };
        let own = str::to_owned;
        Some(Host {
            current: own(current),
            profile: own(profile),
            boots: own(boots),
            greeting: own(greeting),
            lock: own(lock),
            supervisors: own(supervisors),
            roots: own(roots),
        })
    }

    /// How all hosts are.
    pub fn hosts(&self) -> Vec<Option<Host>> {
        std::thread::scope(|s| {
            let asked: Vec<_> = HOSTS.iter().map(|name| s.spawn(|| self.host(name))).collect();
            asked.into_iter().map(|a| a.join().unwrap()).collect()
        })
    }

    /// Waits until something is so.
    #[track_caller]
    pub fn wait<T>(&self, what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(it) = holds() {
                return it;
            }
            assert!(Instant::now() < end, "{what}: {:#?}", self.hosts());
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Waits on a host until no supervisor holds it: one question, not many.
    fn wait_free(&self, name: &str) {
        let script = "while [ -L /run/diorama/lock ]; do sleep 0.5; done";
        self.wait(&format!("{name} is free"), || self.ssh(name, script));
    }

    /// Waits until a host is whole and greets so; a supervisor lets go in its own time.
    #[track_caller]
    pub fn settled(&self, name: &str, greeting: &str) {
        self.wait_free(name);
        self.wait(&format!("{name} runs {greeting}"), || {
            self.host(name).filter(|h| h.is_whole() && h.greeting == greeting)
        });
    }

    /// Waits until all hosts are whole, greet so, and nothing is left of any deployment.
    #[track_caller]
    pub fn all_settled(&self, greeting: &str) {
        std::thread::scope(|s| {
            for name in HOSTS {
                s.spawn(|| self.wait_free(name));
            }
        });
        self.wait(&format!("all run {greeting}"), || {
            let hosts = self.hosts();
            let well = |h: &Option<Host>| {
                h.as_ref().is_some_and(|h| h.is_whole() && h.greeting == greeting && h.roots == "0")
            };
            hosts.iter().all(well).then_some(())
        });
    }

    /// The same, but for what a copy that was broken off holds for a day.
    #[track_caller]
    pub fn all_whole(&self, greeting: &str) {
        for name in HOSTS {
            self.settled(name, greeting);
        }
    }

    /// Lets go of what a copy that was broken off holds.
    pub fn sweep_roots(&self) {
        for name in HOSTS {
            self.on(name, "rm -rf /nix/var/nix/gcroots/diorama/*");
        }
    }

    /// Starts a machine anew as its reset button does.
    pub fn reset(&self, name: &str) {
        self.expect(0, &["node", "reset", name, "--no-wait"]);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for cable in &self.cables {
            cable.heal();
        }
        for port in self.ports {
            let path = format!("ControlPath={}", self.path(&format!("m{port}")).display());
            let _ = Command::new("ssh").args(["-o", &path, "-O", "exit", "127.0.0.1"]).output();
        }
        // After a failed assertion too, no machine is left running.
        if self.temporary.is_some() {
            let _ = self.command(&["down", "--power"]).output();
        }
    }
}

pub fn words(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}
