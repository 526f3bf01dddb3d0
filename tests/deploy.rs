//! Deploying for real: three hosts booted from their own disks, reached over SSH, changed, and taken back.
//!
//! One boot, many scenarios, in the order in which they need each other.
//!
//! Invariant: how a host is, is asked of the host itself, over an SSH connection of the test's own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What a wait may take on a machine that is busy; nothing here is measured.
const PATIENCE: Duration = Duration::from_secs(180);

/// The hosts that the example boots, and the ports that lead to them.
const HOSTS: [(&str, u16); 3] = [("postgresql", 2201), ("storage", 2202), ("webserver", 2203)];

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/examples").join(name)
}

/// A user of their own: nothing of this one's sessions, keys or disks is seen or touched.
struct World {
    home: tempfile::TempDir,
    key: PathBuf,
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        // A copy: the lock file is written beside the model.
        let hosts = home.path().join("hosts");
        std::fs::create_dir(&hosts).unwrap();
        for file in ["network.nix", "infrastructure.nix", "insecure-key", "insecure-key.pub"] {
            std::fs::copy(example("production").join(file), hosts.join(file)).unwrap();
        }
        let key = hosts.join("insecure-key");
        std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
        Self { home, key }
    }

    fn command(&self, args: &[&str]) -> Command {
        let home = self.home.path();
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

    fn run(&self, args: &[&str]) -> (i32, String) {
        let out = self.command(args).output().unwrap();
        (out.status.code().unwrap_or(-1), words(&out))
    }

    fn expect(&self, status: i32, args: &[&str]) -> String {
        let (got, said) = self.run(args);
        assert_eq!(got, status, "{args:?}: {said}");
        said
    }

    /// Writes a model whose nodes differ from the last by a file, and by what a unit on `storage` does.
    fn model(&self, name: &str, greeting: &str, script: &str) -> String {
        let file = self.home.path().join(format!("{name}.nix"));
        let text = format!(
            r#"let
  node = script: {{ ... }}: {{
    virtualisation.vlans = [ 1 ];
    environment.etc."greeting".text = "{greeting}";
    systemd.services.hello = {{
      wantedBy = [ "multi-user.target" ];
      serviceConfig = {{ Type = "oneshot"; RemainAfterExit = true; }};
      inherit script;
    }};
  }};
in {{ postgresql = node "true"; storage = node "{script}"; webserver = node "true"; }}
"#
        );
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    }

    /// The example's infrastructure with the checks of this test, not of the Trac network.
    fn infrastructure(&self, check: &str) -> String {
        let file = self.home.path().join("infrastructure.nix");
        let text = format!(
            r#"builtins.mapAttrs (name: host: host // {{
  sshOptions = [ "-i" "{}" "-o" "IdentitiesOnly=yes" ];
  healthChecks = [ {{ kind = "command"; command = "{check}"; timeout = 20; }} ];
}}) (import {})"#,
            self.key.display(),
            self.home.path().join("hosts/infrastructure.nix").display()
        );
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    }

    fn deploy<'a>(&self, model: &'a str, infrastructure: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let mut args =
            vec!["deploy", model, "-i", infrastructure, "--name", "shop", "--yes", "--patience", "60"];
        args.extend(more);
        args
    }

    fn ssh(&self, port: u16, script: &str) -> Option<String> {
        let out = Command::new("ssh")
            .args(["-F", "none", "-i"])
            .arg(&self.key)
            .args(["-p", &port.to_string(), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"])
            .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=30"])
            .args(["root@127.0.0.1", script])
            .output()
            .unwrap();
        out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    }

    /// What every host runs, boots, greets with, and whether it is locked.
    fn hosts(&self) -> Vec<String> {
        let script = "readlink /run/current-system; readlink -f /nix/var/nix/profiles/system; \
                      printf '%s\\n' \"$(cat /etc/greeting 2>/dev/null || echo none)\"; readlink /run/diorama/lock || echo free";
        HOSTS.iter().map(|(name, port)| self.ssh(*port, script).unwrap_or_else(|| panic!("{name}"))).collect()
    }

    fn wait(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < end, "{what}");
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Every host runs and boots the same greeting's system, and nobody holds it.
    fn settled(&self, greeting: &str) -> bool {
        self.hosts().iter().all(|state| {
            let lines: Vec<&str> = state.lines().collect();
            lines[0] == lines[1] && lines[2] == greeting && lines[3] == "free"
        })
    }

    /// A supervisor lets go of its host in its own time.
    fn must_settle(&self, greeting: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.settled(greeting) {
            assert!(Instant::now() < end, "{greeting}: {:#?}", self.hosts());
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // After a failed assertion too, no machine is left running.
        let _ = self.command(&["down", "--power"]).output();
    }
}

fn words(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

#[test]
#[ignore = "boots three hosts; tests/run does it"]
fn three_hosts_are_changed_together_or_not_at_all() {
    let w = World::new();
    w.expect(0, &["up", "-d", "--wait", &w.home.path().join("hosts").display().to_string()]);
    let infra = w.infrastructure("true");
    let one = w.model("one", "one", "true");

    // Nobody has seen these hosts' keys.
    assert!(w.expect(1, &w.deploy(&one, &infra, &[])).contains("host key"));
    let before = w.hosts();
    let plan = w.expect(0, &["plan", &one, "-i", &infra, "--name", "shop", "--trust-on-first-use"]);
    assert!(plan.contains("hello.service"), "{plan}");
    assert_eq!(before, w.hosts(), "a plan changes nothing");

    w.expect(0, &w.deploy(&one, &infra, &[]));
    w.must_settle("one");
    assert!(w.expect(0, &w.deploy(&one, &infra, &[])).contains("nothing to do"));

    // One file more or less: two generations, and back.
    let two = w.model("two", "two", "true");
    w.expect(0, &w.deploy(&two, &infra, &[]));
    w.must_settle("two");

    // A unit fails on one host, a check fails on all: everybody goes back.
    let fails = w.model("fails", "three", "false");
    let said = w.expect(5, &w.deploy(&fails, &infra, &[]));
    assert!(said.contains("storage: rolled back: units of the new system have failed"), "{said}");
    w.must_settle("two");
    let sick = w.infrastructure("grep -q two /etc/greeting");
    let three = w.model("three", "three", "true");
    let said = w.expect(5, &w.deploy(&three, &sick, &[]));
    assert!(said.contains("health check"), "{said}");
    w.must_settle("two");

    // The deployer dies while hosts are being activated; a second one meets the lock.
    let infra = w.infrastructure("true");
    let slow = w.model("slow", "four", "sleep 20");
    let log = w.home.path().join("log");
    let out = std::fs::File::create(&log).unwrap();
    let mut killed = w.command(&w.deploy(&slow, &infra, &[])).stdout(out).spawn().unwrap();
    w.wait("the activation begins", |_| {
        std::fs::read_to_string(&log).is_ok_and(|t| t.contains("storage: activating"))
    });
    let said = w.expect(1, &w.deploy(&three, &infra, &[]));
    assert!(said.contains("another deployment holds it"), "{said}");
    killed.kill().unwrap();
    killed.wait().unwrap();
    w.wait("every host goes back by itself", |w| w.settled("two"));

    // Back, all and one; somebody else's change is met by the drift guard.
    w.expect(0, &["rollback", "1", "--network", "shop", "--yes"]);
    w.must_settle("one");
    w.expect(0, &["rollback", "2", "--on", "storage", "--network", "shop", "--yes"]);
    let greetings: Vec<String> = w.hosts().iter().map(|s| s.lines().nth(2).unwrap().to_owned()).collect();
    assert_eq!(greetings, ["one", "two", "one"]);
    let other =
        "sys=$(readlink -f /nix/var/nix/profiles/system-2-link); $sys/bin/switch-to-configuration test";
    w.ssh(HOSTS[0].1, other).expect("a change by hand");
    let said = w.expect(1, &w.deploy(&three, &infra, &[]));
    assert!(said.contains("--accept-drift"), "{said}");
    w.expect(0, &w.deploy(&three, &infra, &["--accept-drift"]));
    w.must_settle("three");
    w.expect(0, &["status", "--network", "shop"]);
}
