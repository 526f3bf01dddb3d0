//! The command line, the monitor and the process against a real QEMU. Its guest never runs (`-S`), so
//! a kernel that is nothing but a header will do.

use std::path::Path;

use super::process::{self, Exit};
use super::qmp::{Qmp, QmpError, forward_port_taken};
use super::{Accel, NodeConfig, Qemu, SocketPaths, command_line, disk};
use crate::model::{Endpoint, Manifest, Proto, parse};
use crate::paths::{NodePaths, Paths};

/// Enough of a bzImage for QEMU to load it.
fn kernel() -> Vec<u8> {
    let mut image = vec![0; 64 << 10];
    image[0x1f1] = 4;
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x020c_u16.to_le_bytes());
    image[0x211] = 1;
    image[0x22c..0x230].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    image
}

fn manifest(dir: &Path, memory: u32) -> Manifest {
    std::fs::write(dir.join("kernel, odd"), kernel()).unwrap();
    std::fs::write(dir.join("initrd"), "initrd").unwrap();
    std::fs::write(dir.join("image"), vec![0; 1 << 20]).unwrap();
    let text = serde_json::json!({
        "version": 1,
        "network": { "name": "net" },
        "vlans": { "2": { "mtu": 9000 } },
        "nodes": { "web": {
            "hostName": "web",
            "boot": { "kind": "direct", "kernel": dir.join("kernel, odd"), "initrd": dir.join("initrd") },
            "memorySize": memory, "cores": 2, "graphics": true,
            "stateDisk": { "size": 64 },
            "drives": [ { "file": dir.join("image"), "serial": "usr" } ],
            "interfaces": [
                { "kind": "user", "name": "eth0" },
                { "kind": "vlan", "name": "eth1", "vlan": 1, "mac": "52:54:00:12:01:01" },
                { "kind": "vlan", "name": "eth2", "vlan": 2, "mac": "52:54:00:12:02:01" },
            ],
            "qemuOptions": ["-S"],
        } },
    });
    parse(&text.to_string()).unwrap()
}

fn start(dir: &Path, qemu: &Qemu, memory: u32) -> (NodePaths, process::Process) {
    let at = |s: &str| dir.join(s);
    let paths = Paths { cache: at("c"), state: at("s, t"), data: at("d"), runtime: at("r") };
    paths.make_session("net").unwrap();
    let node = paths.node("net", "web");
    node.make().unwrap();
    let manifest = manifest(dir, memory);
    let config = NodeConfig::of(&manifest, "web").unwrap();
    disk::prepare(&node.state_disk(), 64, None, false).unwrap();
    let words = command_line(&config, &SocketPaths::from(&node), Accel::Tcg, &qemu.features);
    let process = process::spawn(&node, &qemu.program, &words).unwrap();
    (node, process)
}

/// Connects as soon as QEMU listens, and fails with QEMU's own words when it has ended instead.
async fn connect(node: &NodePaths, process: &process::Process) -> Qmp {
    loop {
        if let Ok((qmp, _)) = Qmp::connect(&node.qmp()).await {
            return qmp;
        }
        assert!(process::last_exit(node).is_none(), "{:?}", process.last_words(5));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn port(port: u16) -> Endpoint {
    Endpoint { address: String::new(), port }
}

fn installed() -> Option<Qemu> {
    let found = super::find().ok();
    if found.is_none() {
        eprintln!("skipped: QEMU is not installed");
    }
    found
}

#[tokio::test]
async fn a_machine_is_steered_through_its_monitor() {
    let Some(qemu) = installed() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (node, process) = start(dir.path(), &qemu, 32);
    let qmp = connect(&node, &process).await;
    assert_eq!(qmp.query_status().await.unwrap(), "prelaunch");
    for socket in [node.qmp(), node.serial(), node.agent(), node.port("eth1"), node.port("eth2")] {
        assert!(socket.exists(), "{}", socket.display());
    }

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_port = taken.local_addr().unwrap().port();
    let refused = qmp.hostfwd_add("eth0", Proto::Tcp, &port(taken_port), &port(80)).await.unwrap_err();
    assert!(forward_port_taken(&refused), "{refused}");
    drop(taken);
    qmp.hostfwd_add("eth0", Proto::Tcp, &port(taken_port), &port(80)).await.unwrap();
    assert!(std::net::TcpStream::connect(("127.0.0.1", taken_port)).is_ok(), "the forward listens");
    qmp.hostfwd_remove("eth0", Proto::Tcp, &port(taken_port)).await.unwrap();
    assert!(std::net::TcpStream::connect(("127.0.0.1", taken_port)).is_err());
    let gone = qmp.hostfwd_remove("eth0", Proto::Tcp, &port(taken_port)).await;
    assert!(matches!(gone, Err(QmpError::Refused { .. })), "{gone:?}");

    qmp.set_link("nic-eth1", false).await.unwrap();
    qmp.set_link("nic-eth1", true).await.unwrap();
    assert!(qmp.set_link("nic-eth7", true).await.is_err());
    qmp.savevm("one").await.unwrap();
    qmp.loadvm("one").await.unwrap();
    assert!(qmp.loadvm("two").await.is_err());
    let png = dir.path().join("screen.png");
    qmp.screendump(&png).await.unwrap();
    assert!(std::fs::read(&png).unwrap().starts_with(b"\x89PNG"));

    // Another daemon takes over: the first connection ends, and a new one finds the machine.
    drop(qmp);
    let qmp = connect(&node, &process).await;
    let adopted = process::adopt(&node).unwrap().unwrap();
    qmp.quit().await.unwrap();
    assert_eq!(adopted.wait().await.unwrap(), Exit::Code(0));
}

#[tokio::test]
async fn a_killed_machine_has_status_137() {
    let Some(qemu) = installed() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (node, process) = start(dir.path(), &qemu, 32);
    let qmp = connect(&node, &process).await;
    process.kill().unwrap();
    assert_eq!(process.wait().await.unwrap().status(), Some(137));
    assert!(qmp.query_status().await.is_err());
}

#[tokio::test]
async fn a_machine_that_cannot_start_says_why() {
    let Some(qemu) = installed() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (node, first) = start(dir.path(), &qemu, 32);
    connect(&node, &first).await;
    // A second machine on the same disk: QEMU's lock on the image refuses it.
    let second = NodePaths { run: dir.path().join("r/net/second"), ..node.clone() };
    second.make().unwrap();
    let manifest = manifest(dir.path(), 32);
    let config = NodeConfig::of(&manifest, "web").unwrap();
    let words = command_line(&config, &SocketPaths::from(&second), Accel::Tcg, &qemu.features);
    let process = process::spawn(&second, &qemu.program, &words).unwrap();
    assert_eq!(process.wait().await.unwrap(), Exit::Code(1));
    assert!(process.last_words(3).join("\n").contains("lock"), "{:?}", process.last_words(3));
    first.kill().unwrap();
    first.wait().await.unwrap();
}
