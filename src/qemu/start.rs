//! Start scripts made by NixOS (`run-NAME-vm`): the environment that fits one into a session, and how
//! the machine that it starts is found through its monitor.
//!
//! Such a script knows VDE plugs only. It is started with a bridge beside it
//! (the switch's `bridge` says why), so that its interfaces have the same sockets as any other
//! machine's.
//!
//! Invariant: pure; what the script would read otherwise than it is meant is refused.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::command::{NodeConfig, SocketPaths, TCG_CPU, nic_id};
use super::features::Accel;
use crate::model::{Boot, Interface, ShellKind, parse_mac};

/// Starts the bridge and becomes the script: `$0` is the program, then the lock, the script, the ports.
const START: &str = r#"lock=$1 script=$2; shift 2
if [ $# -gt 0 ]; then "$0" bridge --while "$$" --lock "$lock" -- "$@" || exit 1; fi
exec "$script""#;

/// Why a start script cannot be used here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// The script takes paths apart at spaces.
    #[error(
        "{}: a start script made by NixOS cannot use a path with a space, a comma or one of the shell's own characters in it; choose other directories with --state-dir and DIORAMA_RUNTIME_DIR", .0.display()
    )]
    Path(PathBuf),
}

/// The words of the shell that starts the machine; `program` is this one.
pub fn script_words(
    config: &NodeConfig<'_>,
    paths: &SocketPaths,
    program: &Path,
    script: &Path,
) -> Vec<OsString> {
    let lock = paths.ports.join("bridge.lock");
    let mut words: Vec<OsString> =
        vec!["-c".into(), START.into(), program.into(), lock.into(), script.into()];
    for interface in &config.node.interfaces {
        if let Interface::Vlan { name, vlan, .. } = interface {
            let mut word = paths.vde(*vlan).into_os_string();
            word.push("=");
            word.push(paths.port(name));
            words.push(word);
        }
    }
    words
}

/// The environment that plugs the script into a session.
///
/// # Errors
/// When a path has characters that the script would take apart.
pub fn script_environment(
    config: &NodeConfig<'_>,
    paths: &SocketPaths,
    accel: Accel,
) -> Result<Vec<(String, OsString)>, ScriptError> {
    for path in [&paths.qmp, &paths.state_disk] {
        let plain = |b: &u8| b.is_ascii_alphanumeric() || b"/-_.+:@%~=".contains(b) || *b >= 0x80;
        if !std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).iter().all(plain) {
            return Err(ScriptError::Path(path.clone()));
        }
    }
    let mut options = format!(
        "-machine accel={accel} -cpu {} -display none -monitor none \
         -chardev socket,id=qmp,path={},server=on,wait=off -mon chardev=qmp,mode=control \
         -chardev socket,id=serial,path={},server=on,wait=off,logfile={},logappend=on -serial chardev:serial",
        match accel {
            Accel::Kvm => "host",
            Accel::Tcg => TCG_CPU,
        },
        paths.qmp.display(),
        paths.serial.display(),
        paths.console_log.display(),
    );
    // As the NixOS test driver adds it, with a name of ours for the socket.
    let shell = |device: &str| {
        format!(
            " -chardev socket,id=agent,path={},server=on,wait=off -device virtio-serial -device {device}",
            paths.agent.display()
        )
    };
    match config.node.shell {
        ShellKind::Agent => {
            options.push_str(&shell("virtserialport,id=agentport,chardev=agent,name=diorama.agent"));
        }
        ShellKind::Backdoor => options.push_str(&shell("virtconsole,chardev=agent")),
        ShellKind::None => {}
    }
    for option in &config.node.qemu_options {
        options.push(' ');
        options.push_str(option);
    }
    let mut env: Vec<(String, OsString)> = vec![
        ("NIX_DISK_IMAGE".into(), paths.state_disk.clone().into()),
        ("USE_TMPDIR".into(), "1".into()),
        ("TMPDIR".into(), paths.script_state.clone().into()),
        ("SHARED_DIR".into(), paths.shared.clone().into()),
        ("QEMU_KERNEL_PARAMS".into(), "console=ttyS0".into()),
        ("QEMU_NET_OPTS".into(), OsString::new()),
        ("QEMU_OPTS".into(), options.into()),
    ];
    env.extend(vlans(config).map(|vlan| (format!("QEMU_VDE_SOCKET_{vlan}"), paths.vde(vlan).into())));
    Ok(env)
}

/// The VLANs that a node is on, each once.
pub(super) fn vlans(config: &NodeConfig<'_>) -> impl Iterator<Item = u16> + use<> {
    let vlan = |i: &Interface| match i {
        Interface::Vlan { vlan, .. } => Some(*vlan),
        Interface::User { .. } => None,
    };
    config.node.interfaces.iter().filter_map(vlan).collect::<std::collections::BTreeSet<_>>().into_iter()
}

/// QEMU's name for a node's user-mode interface, where forwards are added; none when it has no such.
pub fn user_netdev(config: &NodeConfig<'_>) -> Option<String> {
    let name = config.node.interfaces.iter().find_map(|i| match i {
        Interface::User { name, .. } => Some(name.clone()),
        Interface::Vlan { .. } => None,
    });
    match config.node.boot {
        Boot::Direct { .. } | Boot::Disk { .. } => name,
        Boot::Script { .. } => name.map(|_| USER_NETDEV.to_owned()),
    }
}

/// NixOS's name for the user-mode network.
const USER_NETDEV: &str = "user.0";

/// QEMU's name for the guest's side of an interface, by which its carrier is switched: our own when
/// the command line is ours, otherwise found in what the monitor's `info network` says, by hardware
/// address or by the name that NixOS gives to the other side (`vlan1` …).
pub fn nic_of(config: &NodeConfig<'_>, interface: &str, info_network: Option<&str>) -> Option<String> {
    let Some(text) = info_network else { return Some(nic_id(interface)) };
    let vlans = config.node.interfaces.iter().filter(|i| matches!(i, Interface::Vlan { .. }));
    let place = vlans.clone().position(|i| i.name() == interface);
    let (mac, peer) = match config.node.interfaces.iter().find(|i| i.name() == interface)? {
        Interface::User { .. } => (None, USER_NETDEV.to_owned()),
        Interface::Vlan { mac, .. } => (parse_mac(mac), format!("vlan{}", place? + 1)),
    };
    let nics = nics(text);
    let by_mac = nics.iter().find(|nic| mac.is_some() && nic.mac == mac);
    let by_peer = || nics.iter().find(|nic| nic.peer == Some(peer.as_str()));
    by_mac.or_else(by_peer).map(|nic| nic.name.to_owned())
}

/// A network card as the monitor shows it.
#[derive(Debug, PartialEq, Eq)]
struct Nic<'a> {
    name: &'a str,
    mac: Option<[u8; 6]>,
    peer: Option<&'a str>,
}

/// Reads `info network`: a card a line, its other side in the next, after a backslash.
fn nics(text: &str) -> Vec<Nic<'_>> {
    let mut nics: Vec<Nic<'_>> = Vec::new();
    let mut of_card = false;
    for line in text.lines() {
        let (is_peer, line) = match line.trim().strip_prefix('\\') {
            Some(rest) => (true, rest.trim()),
            None => (false, line.trim()),
        };
        let Some((name, properties)) = line.split_once(": ") else { continue };
        let property =
            |key: &str| properties.split(',').find_map(|p| p.trim().strip_prefix(key)?.strip_prefix('='));
        if property("type") == Some("nic") {
            nics.push(Nic { name, mac: property("macaddr").and_then(parse_mac), peer: None });
        } else if is_peer
            && of_card
            && let Some(nic) = nics.last_mut()
        {
            nic.peer = Some(name);
        }
        of_card = property("type") == Some("nic");
    }
    nics
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"{
      "version": 1,
      "network": { "name": "net" },
      "nodes": {
        "nixos": {
          "hostName": "nixos", "shell": "backdoor",
          "boot": { "kind": "script", "script": "/nix/store/x/bin/run-nixos-vm" },
          "interfaces": [
            { "kind": "user", "name": "eth0" },
            { "kind": "vlan", "name": "eth1", "vlan": 2, "mac": "52:54:00:12:02:01" },
            { "kind": "vlan", "name": "eth2", "vlan": 7, "mac": "52:54:00:12:07:01" }
          ]
        }
      }
    }"#;

    fn paths(run: &str) -> SocketPaths {
        let node = crate::paths::NodePaths { run: run.into(), state: "/st".into(), name: "nixos".into() };
        SocketPaths::from(&node)
    }

    #[test]
    fn a_script_of_nixos_is_plugged_in() {
        let manifest = crate::model::parse(MANIFEST).unwrap();
        let config = NodeConfig::of(&manifest, "nixos").unwrap();
        let env = script_environment(&config, &paths("/r"), Accel::Tcg).unwrap();
        let get = |name: &str| {
            let value = env.iter().find(|(n, _)| n == name).map(|(_, v)| v.to_string_lossy().into_owned());
            value.unwrap_or_default()
        };
        assert_eq!(get("QEMU_VDE_SOCKET_2"), "/r/vde2");
        assert_eq!(get("QEMU_VDE_SOCKET_7"), "/r/vde7");
        assert_eq!(get("NIX_DISK_IMAGE"), "/st/nixos.qcow2");
        assert_eq!(get("SHARED_DIR"), "/st/shared");
        assert!(get("QEMU_OPTS").contains("virtconsole,chardev=agent"));
        assert!(get("QEMU_OPTS").starts_with("-machine accel=tcg "));
        assert_eq!(user_netdev(&config).as_deref(), Some("user.0"));
        let words = script_words(&config, &paths("/r"), Path::new("/bin/d"), Path::new("/s"));
        assert_eq!(
            words[2..],
            ["/bin/d", "/r/bridge.lock", "/s", "/r/vde2=/r/eth1.port", "/r/vde7=/r/eth2.port"]
        );
        let refused = script_environment(&config, &paths("/a b"), Accel::Tcg).unwrap_err().to_string();
        assert!(refused.contains("/a b/qmp.sock"), "{refused}");
    }

    #[test]
    fn cards_are_found_by_address_and_by_their_other_side() {
        let manifest = crate::model::parse(MANIFEST).unwrap();
        let config = NodeConfig::of(&manifest, "nixos").unwrap();
        let text = "virtio-net-pci.0: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:12:34:56\r\n \\ user.0: index=0,type=user,net=10.0.2.0,restrict=off\r\n\
                    virtio-net-pci.1: index=0,type=nic,model=virtio-net-pci,macaddr=52:54:00:12:02:01\r\n \\ plug: index=0,type=vde,sock=/r/vde2,fd=9\r\n\
                    card: index=0,type=nic,model=e1000,macaddr=02:00:00:00:00:09\r\n \\ vlan2: index=0,type=vde,sock=/r/vde7,fd=9\r\n";
        let find = |name| nic_of(&config, name, Some(text));
        assert_eq!(find("eth0").as_deref(), Some("virtio-net-pci.0"));
        assert_eq!(find("eth1").as_deref(), Some("virtio-net-pci.1"), "by address");
        assert_eq!(find("eth2").as_deref(), Some("card"), "the guest has given it another address");
        assert_eq!(find("eth9"), None);
        assert_eq!(nic_of(&config, "eth1", None).as_deref(), Some("nic-eth1"));
    }
}
