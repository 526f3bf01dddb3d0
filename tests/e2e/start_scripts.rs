//! Machines that boot by start scripts of NixOS's making: VDE plugs, and a back door for a root shell.
//!
//! The script is `tests/guest/run-vm.sh`, the guest the mini guest with the back door of NixOS's tests.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::environment::{Ran, TestEnvironment, fetch, free_port, guest};

const PING: &str = "ping -c 1 -W 1 192.168.1.2 >/dev/null";

fn address(n: usize) -> String {
    format!("192.168.1.{n}")
}

fn mac(n: usize) -> String {
    format!("52:54:00:12:01:{n:02x}")
}

/// Writes the start script of the machine with this number.
fn start_script(t: &TestEnvironment, name: &str, n: usize, params: &str) -> PathBuf {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest/run-vm.sh");
    let mut text = fs::read_to_string(template).unwrap();
    for (word, value) in [
        ("@name@", name),
        ("@guest@", guest().to_str().unwrap()),
        ("@address@", &address(n)),
        ("@mac@", &mac(n)),
        ("@params@", params),
    ] {
        text = text.replace(word, value);
    }
    let script = t.write(&format!("run-{name}-vm"), &text);
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    script
}

/// The manifest of two such machines; `b` has no perl, so that its shell is all there is.
fn manifest(t: &TestEnvironment, port: u16) -> PathBuf {
    let mut nodes = serde_json::Map::new();
    for (n, (name, params)) in [("a", ""), ("b", "mini.perl=no")].into_iter().enumerate() {
        let n = n + 1;
        let (address, mac) = (address(n), mac(n));
        let script = start_script(t, name, n, params);
        let node = serde_json::json!({
            "hostName": name,
            "boot": { "kind": "script", "script": script },
            "shell": "backdoor",
            "stateDisk": { "size": 64 },
            "interfaces": [
                { "kind": "user", "name": "eth0" },
                { "kind": "vlan", "name": "eth1", "vlan": 1, "mac": mac, "addresses": [address] },
            ],
            "forwardPorts": if n == 1 { serde_json::json!([{ "host": { "port": port }, "guest": { "port": 80 } }]) }
                            else { serde_json::json!([]) },
        });
        nodes.insert(name.to_owned(), node);
    }
    let manifest =
        serde_json::json!({ "version": 1, "network": { "name": "vms", "system": "nixos" }, "nodes": nodes });
    t.write("vms.json", &manifest.to_string())
}

#[test]
fn a_network_of_start_scripts_is_like_any_other() {
    let t = TestEnvironment::new();
    let port = free_port();
    let manifest = manifest(&t, port);
    t.ok(&["up", "-d", "--wait", "--accel", "tcg", manifest.to_str().unwrap()]);
    assert!(t.path("state/vms/a.qcow2").is_file(), "the script has made its disk");
    assert!(t.path("state/vms/a.vm/empty0.qcow2").is_file(), "and keeps its own files beside it");
    assert_eq!(fetch(port).as_deref(), Some("a"));

    // Commands: one has our agent in place of its shell, the other the bare shell.
    for node in ["a", "b"] {
        let ran = t.run_with_input(&["exec", node, "--", "sh", "-c", "cat; echo err >&2; exit 7"], b"in\n");
        assert_eq!((ran.status, ran.stdout.as_str(), ran.stderr.as_str()), (7, "in\n", "err\n"), "{node}");
        assert_eq!(t.run(&["exec", node, "--", "no-such-program"]).status, 127, "{node}");
        assert_eq!(t.run(&["exec", "--timeout", "2", node, "--", "sleep", "60"]).status, 124, "{node}");
        let big: Vec<u8> = (0..300_000_u32).map(|n| (n * 7 % 256) as u8).collect();
        fs::write(t.path("big"), &big).unwrap();
        t.ok(&["cp", "big", &format!("{node}:/tmp/there")]);
        t.ok(&["cp", &format!("{node}:/tmp/there"), &format!("back-{node}")]);
        assert!(fs::read(t.path(&format!("back-{node}"))).unwrap() == big, "{node}: a file there and back");
    }
    assert_eq!(t.run(&["exec", "-t", "-n", "a", "--", "sh", "-c", "stty size"]).stdout.trim(), "24 80");
    let ran = t.run(&["exec", "-t", "b", "--", "sh"]);
    assert_eq!((ran.status, ran.stderr.contains("gives no terminals")), (125, true), "{ran:?}");

    // Links and carriers.
    t.guest("a", PING);
    t.ok(&["link", "cut", "a", "b"]);
    assert_ne!(t.run(&["exec", "a", "--", "sh", "-c", PING]).status, 0);
    t.ok(&["link", "heal", "--all"]);
    t.guest("a", PING);
    let carrier = |wanted: &str| {
        t.wait_for("the guest sees its carrier", || {
            t.guest("b", "cat /sys/class/net/eth1/carrier").trim() == wanted
        });
    };
    t.ok(&["link", "down", "b"]);
    carrier("0");

    // Another daemon: the same machines, their plugs, their shells; the carrier is still down.
    t.ok(&["link", "cut", "a", "b"]);
    let pids = [t.node("a")["pid"].clone(), t.node("b")["pid"].clone()];
    kill(Pid::from_raw(t.daemon("vms")), Signal::SIGKILL).unwrap();
    let ran = t.run(&["ls"]);
    assert!(ran.stderr.contains("a new one has taken over"), "{ran:?}");
    assert_eq!([t.node("a")["pid"].clone(), t.node("b")["pid"].clone()], pids);
    t.ok(&["link", "up", "b"]);
    carrier("1");
    assert_ne!(t.run(&["exec", "a", "--", "sh", "-c", PING]).status, 0, "the cut holds");
    t.ok(&["link", "heal", "--all"]);
    t.wait_for("the link works again", || t.run(&["exec", "a", "--", "sh", "-c", PING]).status == 0);
    assert_eq!(fetch(port).as_deref(), Some("a"));
    assert!(t.ok(&["logs", "-n", "50", "b"]).contains("b login:"));

    // A reset, a restart.
    t.guest("a", "touch /tmp/before");
    t.ok(&["node", "reset", "a"]);
    t.wait_for("the guest starts anew", || {
        t.run(&["exec", "a", "--", "test", "-e", "/tmp/before"]).status == 1
    });
    t.ok(&["node", "restart", "b"]);
    t.wait_for("the link works again", || t.run(&["exec", "a", "--", "sh", "-c", PING]).status == 0);
    t.ok(&["down", "-t", "30"]);
    t.assert_clean();
}

#[test]
fn test_scripts_drive_such_machines() {
    let t = TestEnvironment::new();
    let manifest = manifest(&t, free_port());
    let script = t.write(
        "script.py",
        r#"
start_all()
for m in machines:
    assert m.succeed("echo hi", "echo there") == "hi\nthere\n"
    t.assertEqual(m.execute("echo out; echo err >&2; exit 3"), (3, "out\n"))
    assert m.execute("sleep 1000", timeout=2)[0] == 124
    assert len(m.succeed("head -c 300000 /dev/zero")) == 300000
    m.wait_until_succeeds("ps | grep -q [h]ttpd", timeout=60)
ping = "ping -c 1 -W 1 192.168.1.2"
a.wait_until_succeeds(ping, timeout=60)
a.block()
a.fail(ping)
a.unblock()
a.wait_until_succeeds(ping, timeout=60)
b.shutdown()
b.start()
b.succeed("true")
"#,
    );
    let words = ["test", "--accel", "tcg", manifest.to_str().unwrap(), "--script", script.to_str().unwrap()];
    let ran = Ran::new(&words, Command::output(&mut t.command(&words)).unwrap());
    assert_eq!(ran.status, 0, "{ran:?}");
    t.assert_clean();
}

#[test]
fn machines_of_a_scripts_own_join_and_share_a_directory() {
    let t = TestEnvironment::new();
    let manifest = t.network("solo", &["one"], free_port());
    let guest = guest();
    start_script(&t, "late", 7, "");
    let script = r#"
from pathlib import Path
one.start()
late = create_machine("DIR/run-late-vm")
assert (late.name, late.booted) == ("late", False), late
late.start()
bare = create_machine("qemu-kvm -m 128 -kernel GUEST/kernel -initrd GUEST/initrd"
                      " -append 'quiet console=ttyS0 mini.name=bare mini.shell=backdoor'", name="bare")
with subtest("commands, both ways"):
    assert late.succeed("hostname") == "late\n"
    t.assertEqual(late.execute("echo out; echo err >&2; exit 3"), (3, "out\n"))
    bare.start()
    assert bare.succeed("hostname") == "bare\n"
    bare.wait_for_console_text("bare login", timeout=120)
with subtest("on the model's network"):
    one.wait_until_succeeds("ping -c 1 -W 1 192.168.1.7", timeout=120)
    link(one, late).cut()
    one.fail("ping -c 1 -W 1 192.168.1.7")
    network.heal()
    one.wait_until_succeeds("ping -c 1 -W 1 192.168.1.7", timeout=120)
    late.block()
    one.fail("ping -c 1 -W 1 192.168.1.7")
    late.unblock()
with subtest("a shared directory"):
    (Path(one.shared_dir) / "sub").mkdir()
    (Path(one.shared_dir) / "sub/host").write_text("from the host")
    assert one.succeed("cat /tmp/shared/sub/host") == "from the host"
    one.succeed("echo from one > /tmp/shared/guest; rm /tmp/shared/sub/host; ln -s /etc/passwd /tmp/shared/link")
    assert (Path(one.shared_dir) / "guest").read_text() == "from one\n"
    assert sorted(p.name for p in Path(one.shared_dir).rglob("*")) == ["guest", "sub"]
    assert bare.succeed("cat /tmp/shared/guest") == "from one\n"
    one.succeed("echo mine > /tmp/xchg/own")
    assert (Path(one.state_dir) / "xchg/own").read_text() == "mine\n"
with subtest("it dies and is started again"):
    late.crash()
    assert not late.is_up()
    late.start()
    late.succeed("true")
"#;
    let script = script.replace("DIR", t.path("").to_str().unwrap().trim_end_matches('/'));
    let script = t.write("joins.py", &script.replace("GUEST", guest.to_str().unwrap()));
    let out = t.path("out");
    let words = ["--script", script.to_str().unwrap(), "--out", out.to_str().unwrap(), "--accel", "tcg"];
    let ran =
        Ran::new(&words, t.command(&["test", manifest.to_str().unwrap()]).args(words).output().unwrap());
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(fs::read_to_string(out.join("consoles/late.log")).unwrap().contains("late login"));
    t.assert_clean();

    // In a session that stays they leave at the end, and the model's machines do not.
    t.ok(&["up", "-d", "--wait", "--accel", "tcg", manifest.to_str().unwrap()]);
    let joins = t.write(
        "short.py",
        &format!(
            "m = create_machine({:?})\nm.start()\nm.wait_for_console_text('login', timeout=120)\n",
            t.path("run-late-vm")
        ),
    );
    t.ok(&["test", "--attach", "-s", "solo", "--script", joins.to_str().unwrap()]);
    let names: Vec<_> = t.view()["nodes"].as_array().unwrap().iter().map(|n| n["name"].clone()).collect();
    assert_eq!(names, ["one"]);
    assert!(!t.path("state/solo/late.console.log").exists());

    // By hand, over a change of the daemon.
    let ran = t.run(&["node", "add", "one", "--script", "run-late-vm"]);
    assert!(ran.status == 1 && ran.stderr.contains("there is a node one already"), "{ran:?}");
    t.ok(&["node", "add", "late", "--script", "run-late-vm", "--vlan", "1"]);
    t.ok(&["node", "start", "late"]);
    kill(Pid::from_raw(t.daemon("solo")), Signal::SIGKILL).unwrap();
    t.run(&["ls"]);
    t.wait_for("the one that joined answers", || t.run(&["exec", "late", "--", "true"]).status == 0);
    let ran = t.run(&["node", "remove", "late"]);
    assert!(ran.status == 1 && ran.stderr.contains("late is running"), "{ran:?}");
    t.ok(&["node", "crash", "late"]);
    t.ok(&["node", "remove", "late"]);
    let ran = t.run(&["node", "remove", "one"]);
    assert!(ran.status == 1 && ran.stderr.contains("is a machine of the model"), "{ran:?}");
    t.ok(&["down", "--power"]);
    t.assert_clean();
}

#[test]
fn a_network_of_machines_that_the_script_makes_alone() {
    let t = TestEnvironment::new();
    let script = format!(
        "m = create_machine('qemu-kvm -m 128 -kernel {0}/kernel -initrd {0}/initrd'
                   ' -append \"quiet console=ttyS0 mini.name=bare mini.shell=backdoor\"', name='bare')
assert machines == [], machines
m.start()
assert m.succeed('hostname') == 'bare\\n'
",
        guest().display()
    );
    let network = |script: Option<&str>| {
        serde_json::json!({
            "version": 1, "network": { "name": "none", "system": "other" }, "nodes": {}, "testScript": script,
        })
    };
    let manifest = t.write("none.json", &network(Some(&script)).to_string());
    t.ok(&["test", "--accel", "tcg", manifest.to_str().unwrap()]);
    t.assert_clean();
    let manifest = t.write("nothing.json", &network(None).to_string());
    let ran = t.run(&["up", "-d", manifest.to_str().unwrap()]);
    assert!(ran.status != 0 && ran.stderr.contains("needs at least one node"), "{ran:?}");
}
