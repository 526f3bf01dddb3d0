//! A readable start script of our own for every node.
//!
//! Invariant: pure; a script holds no socket of a session, so it runs beside one, without the daemon.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::command::{self, Line, NodeConfig};
use super::features::{Accel, Qemu};
use crate::model::{Boot, Interface};
use crate::paths::NodePaths;
use crate::shell::quote;

/// The script that boots a node by hand, the serial console on the terminal.
pub fn run_script(config: &NodeConfig<'_>, paths: &NodePaths, accel: Accel, qemu: &Qemu) -> String {
    let (state_disk, script_state) = (paths.state_disk(), paths.script_state());
    let node = config.node;
    let mut out = String::new();
    let name = config.name;
    let network = &config.manifest.network.name;
    let _ = writeln!(
        out,
        "#!/bin/sh\n\
         # Boots {name}, a machine of the network {network}, by hand: without a session, with the serial\n\
         # console on this terminal. ctrl-a x ends it, ctrl-a c goes to QEMU's monitor and back.\n\
         #\n\
         # From outside: QEMU (the program), DISK (the state disk), ACCEL (kvm or tcg),\n\
         # FORWARDS=none (listen on no port), VLANS=none (unplug the VLANs), and further arguments.\n\
         set -eu\n"
    );
    if let Boot::Script { script } = &node.boot {
        let _ = writeln!(
            out,
            "# This machine has a start script of its own. The variables tell where its disk is, where it\n\
             # keeps other files, and, from outside, where the switches of its VLANs are.\n\
             NIX_DISK_IMAGE=${{DISK:-{}}}\n\
             TMPDIR={} USE_TMPDIR=1 SHARED_DIR={}\n\
             export NIX_DISK_IMAGE TMPDIR USE_TMPDIR SHARED_DIR\n\
             mkdir -p \"$TMPDIR\" \"$SHARED_DIR\"",
            quote(&state_disk.to_string_lossy()),
            quote(&script_state.to_string_lossy()),
            quote(&paths.shared().to_string_lossy())
        );
        for vlan in super::start::vlans(config) {
            let _ = writeln!(
                out,
                ": \"${{QEMU_VDE_SOCKET_{vlan}:?set it to the directory of a switch for VLAN {vlan}, as vde_switch -s DIR makes}}\""
            );
        }
        let _ = writeln!(out, "exec {} \"$@\"", quote(&script.to_string_lossy()));
        return out;
    }
    let _ = writeln!(out, "QEMU=${{QEMU:-{}}}", quote(&qemu.program.to_string_lossy()));
    if let Some(disk) = &node.state_disk {
        let base = match &node.boot {
            Boot::Disk { image, format } => {
                format!("-F {format} -b {} ", quote(&image.to_string_lossy()))
            }
            Boot::Direct { .. } | Boot::Script { .. } => String::new(),
        };
        let _ = writeln!(
            out,
            "DISK=${{DISK:-{}}}\n\n\
             # The disk that keeps the machine's state is made when it is not there.\n\
             [ -e \"$DISK\" ] || qemu-img create -q -f qcow2 {}\"$DISK\" {}M",
            quote(&state_disk.to_string_lossy()),
            base,
            disk.size
        );
    }
    out.push_str(
        "\n# QEMU's arguments are added behind this script's own, which are moved to the end at last.\n",
    );
    out.push_str("given=$#\n");
    let mut body = Body { out };
    body.machine(config, accel, qemu);
    body.disks(config);
    body.network(config);
    body.comment("The serial console, and QEMU's monitor beside it.");
    body.words(&["-serial".into(), "mon:stdio".into()]);
    if !node.qemu_options.is_empty() {
        body.comment("What the model adds (virtualisation.qemu.options).");
        body.options(&node.qemu_options.iter().map(OsString::from).collect::<Vec<_>>());
    }
    body.out.push_str(LAST);
    body.out
}

/// The end of the script: its own arguments go last, where they have the last word.
const LAST: &str = "
while [ \"$given\" -gt 0 ]; do
  argument=$1
  shift
  set -- \"$@\" \"$argument\"
  given=$((given - 1))
done

exec \"$QEMU\" \"$@\"
";

struct Body {
    out: String,
}

impl Body {
    fn comment(&mut self, text: &str) {
        let _ = writeln!(self.out, "\n# {text}");
    }

    /// Adds one option.
    fn words(&mut self, words: &[OsString]) {
        let text: Vec<_> = words.iter().map(|w| quote(&w.to_string_lossy())).collect();
        self.raw(&text.join(" "));
    }

    /// Adds one option that is written as the shell reads it.
    fn raw(&mut self, text: &str) {
        let _ = writeln!(self.out, "set -- \"$@\" {text}");
    }

    /// Adds a list of options: each begins with a dash and may have a value.
    fn options(&mut self, words: &[OsString]) {
        let mut rest = words;
        while let Some((option, behind)) = rest.split_first() {
            let is_value = |w: &OsString| !w.as_encoded_bytes().starts_with(b"-");
            let takes = option == "-append" || behind.first().is_some_and(is_value);
            let n = if takes && !behind.is_empty() { 2 } else { 1 };
            let (one, others) = rest.split_at(n);
            self.words(one);
            rest = others;
        }
    }

    fn machine(&mut self, config: &NodeConfig<'_>, accel: Accel, qemu: &Qemu) {
        let mut line = Line::default();
        command::machine(&mut line, config, accel, &qemu.features);
        self.comment("The machine.");
        let words = line.words;
        let at = |name: &str| words.iter().position(|w| w == name);
        let (a, c) = (at("-accel").unwrap_or(words.len()), at("-cpu").unwrap_or(words.len()));
        self.options(&words[..a]);
        self.comment("Guest code is executed as the probe on this machine found to work; ACCEL overrides.");
        let _ = writeln!(self.out, "case ${{ACCEL:-{accel}}} in");
        for (name, accel) in [("kvm", Accel::Kvm), ("*", Accel::Tcg)] {
            let mut line = Line::default();
            command::machine(&mut line, config, accel, &qemu.features);
            let from = line.words.iter().position(|w| w == "-accel").unwrap_or(0);
            let text: Vec<_> =
                line.words[from..from + 4].iter().map(|w| quote(&w.to_string_lossy())).collect();
            let _ = writeln!(self.out, "  {name}) set -- \"$@\" {} ;;", text.join(" "));
        }
        self.out.push_str("esac\n\n");
        self.options(words.get(c + 2..).unwrap_or_default());
        let mut line = Line::default();
        command::boot(&mut line, config.node, accel);
        self.comment("What it boots.");
        self.options(&line.words);
    }

    fn disks(&mut self, config: &NodeConfig<'_>) {
        let mut line = Line::default();
        command::disks(&mut line, config.node, Path::new("DISK"));
        if line.words.is_empty() {
            return;
        }
        self.comment("Its disks; a comma in a file's name is written twice for QEMU.");
        for pair in line.words.chunks(2) {
            let text = pair[1].to_string_lossy();
            match text.strip_suffix("file=DISK").filter(|_| text.contains("id=state")) {
                Some(start) => {
                    self.raw(&format!("-drive \"{start}file=$(printf %s \"$DISK\" | sed 's/,/,,/g')\""));
                }
                None => self.words(pair),
            }
        }
    }

    fn network(&mut self, config: &NodeConfig<'_>) {
        for interface in &config.node.interfaces {
            match interface {
                Interface::User { name, restrict } => {
                    let mut line = Line::default();
                    command::user_interface(&mut line, name, *restrict);
                    let forwards: String = config
                        .node
                        .forward_ports
                        .iter()
                        .map(|f| {
                            let host = if f.host.address.is_empty() { "127.0.0.1" } else { &f.host.address };
                            format!(
                                ",hostfwd={}:{host}:{}-{}:{}",
                                f.proto, f.host.port, f.guest.address, f.guest.port
                            )
                        })
                        .collect();
                    self.comment(&format!("{name}: QEMU's user-mode network, with the model's forwards."));
                    let netdev = line.words[1].to_string_lossy().into_owned();
                    if forwards.is_empty() {
                        self.words(&line.words[..2]);
                    } else {
                        let _ = writeln!(self.out, "forwards={}", quote(&forwards));
                        self.out.push_str("[ \"${FORWARDS:-}\" != none ] || forwards=\n");
                        self.raw(&format!("-netdev \"{netdev}$forwards\""));
                    }
                    self.words(&line.words[2..]);
                }
                Interface::Vlan { name, vlan, mac, .. } => {
                    let mtu = config.manifest.vlans.get(vlan).map_or(1500, |v| v.mtu);
                    let mut line = Line::default();
                    command::vlan_device(&mut line, name, mac, mtu);
                    self.comment(&format!(
                        "{name}: VLAN {vlan}. Machines started by such scripts on this host find each other by\n\
                         # multicast on the loopback interface, which only this host hears."
                    ));
                    let port = multicast_port(&config.manifest.network.name, *vlan);
                    self.out.push_str("if [ \"${VLANS:-}\" = none ]; then\n  ");
                    self.words(&["-netdev".into(), format!("hubport,id={name},hubid={vlan}").into()]);
                    self.out.push_str("else\n  ");
                    let netdev = format!("socket,id={name},mcast=230.0.0.1:{port},localaddr=127.0.0.1");
                    self.words(&["-netdev".into(), netdev.into()]);
                    self.out.push_str("fi\n");
                    self.words(&line.words);
                }
            }
        }
    }
}

/// A port for a VLAN of a network, so that two networks do not hear each other.
fn multicast_port(network: &str, vlan: u16) -> u16 {
    let digest = Sha256::digest(format!("{network} {vlan}"));
    20_000 + u16::from_be_bytes([digest[0], digest[1]]) % 10_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qemu::{Features, OLDEST};

    const MANIFEST: &str = r#"{
      "version": 1,
      "network": { "name": "net" },
      "nodes": {
        "web": {
          "hostName": "web",
          "boot": { "kind": "direct", "kernel": "/s/it's a kernel", "initrd": "/s/initrd", "kernelParams": ["quiet"] },
          "stateDisk": { "size": 64 },
          "drives": [ { "file": "/s/usr.image" } ],
          "interfaces": [
            { "kind": "user", "name": "eth0" },
            { "kind": "vlan", "name": "eth1", "vlan": 1, "mac": "52:54:00:12:01:01" }
          ],
          "forwardPorts": [ { "host": { "port": 8082 }, "guest": { "port": 80 } } ],
          "qemuOptions": ["-no-reboot"]
        },
        "nixos": {
          "hostName": "nixos", "shell": "backdoor",
          "boot": { "kind": "script", "script": "/nix/store/x/bin/run-nixos-vm" },
          "interfaces": [
            { "kind": "user", "name": "eth0" },
            { "kind": "vlan", "name": "eth1", "vlan": 2, "mac": "52:54:00:12:02:01" }
          ]
        }
      }
    }"#;

    fn qemu(program: &Path) -> Qemu {
        let features = Features { sandbox: true, kvm: true, stream: true, vde: true, vnc: true };
        Qemu { program: program.into(), version: OLDEST, features }
    }

    fn script(node: &str, state: &Path, program: &Path) -> String {
        let manifest = crate::model::parse(MANIFEST).unwrap();
        let paths = NodePaths { run: "/run/x".into(), state: state.into(), name: node.into() };
        run_script(&NodeConfig::of(&manifest, node).unwrap(), &paths, Accel::Tcg, &qemu(program))
    }

    #[test]
    fn the_script_as_people_read_it() {
        insta::assert_snapshot!("run-web", script("web", Path::new("/state"), Path::new("/usr/bin/qemu")));
        insta::assert_snapshot!(
            "run-nixos",
            script("nixos", Path::new("/state"), Path::new("/usr/bin/qemu"))
        );
    }

    /// Runs the script with a QEMU that prints its arguments, one a line.
    fn run(env: &[(&str, &str)], args: &[&str]) -> Vec<String> {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let fake = dir.path().join("qemu");
        std::fs::write(&fake, "#!/bin/sh\nprintf '%s\\n' \"$@\"\n").unwrap();
        std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).unwrap();
        let state = dir.path().join("a,b c");
        std::fs::create_dir(&state).unwrap();
        std::fs::write(state.join("web.qcow2"), "").unwrap();
        let file = dir.path().join("run-web");
        std::fs::write(&file, script("web", &state, &fake)).unwrap();
        let output = std::process::Command::new("sh")
            .arg(&file)
            .args(args)
            .envs(env.iter().copied())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).replace(&dir.path().display().to_string(), "DIR");
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_script_hands_on_what_it_is_told() {
        let plain = run(&[], &["-m", "a b"]);
        assert_eq!(plain[plain.len() - 2..], ["-m", "a b"], "arguments go last");
        let has = |words: &[String], part: &str| words.iter().any(|w| w.contains(part));
        assert!(has(&plain, "/s/it's a kernel"));
        assert!(has(&plain, "file=DIR/a,,b c/web.qcow2"));
        assert!(has(&plain, "user,id=eth0,hostfwd=tcp:127.0.0.1:8082-:80"));
        assert!(has(&plain, "localaddr=127.0.0.1"));
        assert!(has(&plain, "tcg,tb-size="));
        let changed = run(&[("ACCEL", "kvm"), ("FORWARDS", "none"), ("VLANS", "none")], &[]);
        assert_eq!(changed.last().unwrap(), "-no-reboot");
        assert!(!has(&changed, "hostfwd") && !has(&changed, "mcast") && !has(&changed, "tcg"));
    }
}
