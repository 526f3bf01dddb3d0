use super::*;
use crate::model::parse;

const MANIFEST: &str = r#"{
  "version": 1,
  "network": { "name": "net" },
  "vlans": { "2": { "mtu": 9000 } },
  "nodes": {
    "web": {
      "hostName": "web",
      "boot": { "kind": "direct", "kernel": "/s/a,b/vmlinux", "initrd": "/s/initrd", "kernelParams": ["quiet", "net.ifnames=0"] },
      "memorySize": 384, "cores": 2,
      "stateDisk": { "size": 2048 },
      "drives": [ { "file": "/s/usr,image", "serial": "usr" }, { "file": "/w.qcow2", "format": "qcow2", "readOnly": false } ],
      "interfaces": [
        { "kind": "user", "name": "eth0", "restrict": true },
        { "kind": "vlan", "name": "eth1", "vlan": 1, "mac": "52:54:00:12:01:01" },
        { "kind": "vlan", "name": "eth2", "vlan": 2, "mac": "52:54:00:12:02:01" }
      ],
      "graphics": true,
      "qemuOptions": ["-device", "virtio-balloon-pci"]
    },
    "small": {
      "hostName": "small",
      "boot": { "kind": "direct", "kernel": "/k", "initrd": "/i", "kernelParams": ["console=ttyS0,115200"] },
      "memorySize": 64, "shell": "none"
    }
  }
}"#;

fn paths() -> SocketPaths {
    SocketPaths {
        qmp: "/r/qmp.sock".into(),
        serial: "/r/serial.sock".into(),
        console_log: "/st,ate/web.console.log".into(),
        vnc: "/r,un/vnc.sock".into(),
        agent: "/r/agent.sock".into(),
        ports: "/r".into(),
        state_disk: "/st,ate/web.qcow2".into(),
        script_state: "/st,ate/web.vm".into(),
        shared: "/st,ate/shared".into(),
    }
}

fn lines(node: &str, accel: Accel, features: &Features) -> String {
    let manifest = parse(MANIFEST).unwrap();
    let config = NodeConfig::of(&manifest, node).unwrap();
    let mut out = String::new();
    for word in command_line(&config, &paths(), accel, features) {
        let word = word.into_string().unwrap();
        out.push_str(if word.starts_with('-') { "\n" } else { " " });
        out.push_str(&word);
    }
    out
}

const FULL: Features = Features { sandbox: true, kvm: true, stream: true, vde: true, vnc: true };

#[test]
fn a_node_with_everything() {
    insta::assert_snapshot!(lines("web", Accel::Tcg, &FULL));
}

#[test]
fn a_small_node_under_kvm_without_sandbox() {
    let features = Features { sandbox: false, ..FULL };
    insta::assert_snapshot!(lines("small", Accel::Kvm, &features));
}
