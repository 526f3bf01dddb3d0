//! A deployment from the screen, for real: the program in a pseudo-terminal, and one host booted from its own disk.
//!
//! Invariant: nothing is measured; every wait is for something that the screen shows.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// What a wait may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(300);
const SIZE: (u16, u16) = (44, 140);

/// A user of their own, with a network of one host that is deployed to itself.
struct World {
    home: tempfile::TempDir,
    port: u16,
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let world = Self { home, port };
        let hosts = world.hosts();
        std::fs::create_dir(&hosts).unwrap();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/examples/production");
        for file in ["insecure-key", "insecure-key.pub"] {
            std::fs::copy(example.join(file), hosts.join(file)).unwrap();
        }
        std::fs::set_permissions(hosts.join("insecure-key"), PermissionsExt::from_mode(0o600)).unwrap();
        world.model("blank");
        let infrastructure = format!(
            r#"{{
  web = {{
    hostName = "127.0.0.1";
    targetPort = {port};
    sshOptions = [ "-i" "{key}" "-o" "IdentitiesOnly=yes" ];
    healthChecks = [ {{ kind = "command"; command = "test -e /etc/greeting"; timeout = 30; }} ];
    module = {{
      users.users.root.openssh.authorizedKeys.keyFiles = [ ./insecure-key.pub ];
      networking.interfaces.eth0.ipv4.addresses = [ {{ address = "10.0.2.15"; prefixLength = 24; }} ];
      networking.defaultGateway = "10.0.2.2";
    }};
  }};
}}
"#,
            key = hosts.join("insecure-key").display()
        );
        std::fs::write(hosts.join("infrastructure.nix"), infrastructure).unwrap();
        world
    }

    fn hosts(&self) -> std::path::PathBuf {
        self.home.path().join("hosts")
    }

    fn model(&self, greeting: &str) {
        let text = format!(
            r#"{{
  web = {{ ... }}: {{
    virtualisation.useBootLoader = true;
    virtualisation.memorySize = 512;
    virtualisation.diskSize = 4096;
    virtualisation.forwardPorts = [ {{ host.port = {}; guest.port = 22; }} ];
    users.users.root.openssh.authorizedKeys.keyFiles = [ ./insecure-key.pub ];
    environment.etc."greeting".text = "{greeting}";
  }};
}}
"#,
            self.port
        );
        std::fs::write(self.hosts().join("network.nix"), text).unwrap();
    }

    fn environment(&self) -> Vec<(String, std::path::PathBuf)> {
        let home = self.home.path();
        let names =
            ["XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"];
        let mut out = vec![("HOME".to_owned(), home.to_owned())];
        for name in names {
            let dir = home.join(name);
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o700)).unwrap();
            out.push((name.to_owned(), dir));
        }
        out
    }

    fn run(&self, args: &[&str]) -> (i32, String) {
        let out = Command::new(env!("CARGO_BIN_EXE_diorama"))
            .args(args)
            .current_dir(self.home.path())
            .envs(self.environment())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = [out.stdout, out.stderr].map(|s| String::from_utf8_lossy(&s).into_owned()).concat();
        (out.status.code().unwrap_or(-1), said)
    }

    fn expect(&self, status: i32, args: &[&str]) -> String {
        let (got, said) = self.run(args);
        assert_eq!(got, status, "{args:?}: {said}");
        said
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // After a failed assertion too, no machine is left running.
        let _ = self.run(&["down", "--power"]);
    }
}

/// The program on a screen, which an independent emulator reads.
struct Screen {
    seen: Arc<(Mutex<vt100::Parser>, Condvar)>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    _master: Box<dyn MasterPty + Send>,
}

impl Screen {
    fn attach(world: &World, more: &[&str]) -> Self {
        let (rows, cols) = SIZE;
        let pair = native_pty_system().openpty(PtySize { rows, cols, ..PtySize::default() }).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_diorama"));
        command.arg("attach");
        command.args(more);
        command.env("TERM", "xterm-256color");
        for (name, value) in world.environment() {
            command.env(name, value);
        }
        command.cwd(world.home.path());
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let seen = Arc::new((Mutex::new(vt100::Parser::new(rows, cols, 0)), Condvar::new()));
        let mut reader = pair.master.try_clone_reader().unwrap();
        let theirs = seen.clone();
        std::thread::spawn(move || {
            let mut buf = [0; 65536];
            while let Ok(n @ 1..) = reader.read(&mut buf) {
                theirs.0.lock().unwrap().process(&buf[..n]);
                theirs.1.notify_all();
            }
        });
        let keys = pair.master.take_writer().unwrap();
        Self { seen, keys, child, _master: pair.master }
    }

    fn press(&mut self, bytes: &str) {
        self.keys.write_all(bytes.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    fn see(&self, text: &str) {
        let (screen, changed) = &*self.seen;
        let missing = |p: &mut vt100::Parser| !p.screen().contents().contains(text);
        let (screen, timeout) =
            changed.wait_timeout_while(screen.lock().unwrap(), PATIENCE, missing).unwrap();
        assert!(!timeout.timed_out(), "never seen: {text}\n{}", screen.screen().contents());
    }

    fn leave(mut self) {
        self.press("q");
        self.see("Leave?");
        self.press("d");
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

#[test]
#[ignore = "boots a host; tests/run does it"]
fn a_deployment_from_the_screen() {
    let w = World::new();
    w.expect(0, &["up", "-d", "--wait", &w.hosts().display().to_string()]);
    // The screen pins no keys: that is for who sits before a shell.
    let model = w.hosts().join("network.nix").display().to_string();
    w.model("from the screen");
    let plan = w.expect(0, &["plan", &model, "--trust-on-first-use"]);
    assert!(plan.contains("greeting"), "{plan}");

    let mut screen = Screen::attach(&w, &["--readonly"]);
    screen.see("1/1 up");
    screen.press("D");
    screen.see("deploying is turned off");
    screen.leave();

    let mut screen = Screen::attach(&w, &[]);
    screen.see("1/1 up");
    screen.press("D");
    screen.see("Deploy hosts");
    screen.see("type the network's name (hosts) to deploy");
    screen.see("greeting");
    screen.press("host\r");
    screen.see("nothing was done: \"hosts\" has to be typed");
    screen.press("hosts\r");
    // Some phases pass too quickly to be seen; the outcome stays.
    screen.see("ctrl-c takes it back");
    screen.see("switched");
    screen.see("generation 1;");
    screen.press("\r");

    screen.press("7");
    screen.see("hosts · generation 1");
    screen.see("well");
    screen.press("\r");
    screen.see("PRODUCTION web");
    screen.see("root@web");
    screen.press("cat /etc/greeting; echo; hostname -I\r");
    screen.see("from the screen");
    screen.see("10.0.2.15");
    screen.press("\x1d");
    screen.see("NAV");
    screen.leave();

    let status = w.expect(0, &["status"]);
    assert!(status.contains("generation 1") && status.contains("well"), "{status}");
}
