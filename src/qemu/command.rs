//! QEMU's command line for a node: lean, without defaults, everything named.
//!
//! Invariant: pure; the same node, paths, accelerator and features give the same words. Nothing
//! here listens on a network: every socket is a Unix socket in a private directory, and port
//! forwards are added at run time through the monitor, so that a taken port never costs a machine.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::model::{Boot, Interface, Manifest, Node, ShellKind};
use crate::paths::NodePaths;

use super::features::{Accel, Features};

/// The Ethernet payload that needs no word to anybody.
const STANDARD_MTU: u32 = 1500;

/// What TCG imitates: today's instructions, without the features whose imitation only costs time. A
/// Linux guest takes a tenth to a fifth less processor time to boot than under `max`, as measured.
pub(super) const TCG_CPU: &str =
    "qemu64,-svm,+rdrand,+ssse3,+sse4.1,+sse4.2,+popcnt,+movbe,+aes,+pclmulqdq,+bmi1,+bmi2,+fsgsbase,+erms";

/// A node with what it needs from the network around it.
#[derive(Debug, Clone, Copy)]
pub struct NodeConfig<'a> {
    /// The node's name.
    pub name: &'a str,
    /// The node.
    pub node: &'a Node,
    /// The whole manifest, for the settings of VLANs.
    pub manifest: &'a Manifest,
}

impl<'a> NodeConfig<'a> {
    /// Finds a node in a manifest.
    pub fn of(manifest: &'a Manifest, name: &'a str) -> Option<Self> {
        manifest.nodes.get(name).map(|node| Self { name, node, manifest })
    }

    fn mtu(&self, vlan: u16) -> u32 {
        self.manifest.vlans.get(&vlan).map_or(STANDARD_MTU, |v| v.mtu)
    }
}

/// Where one machine's sockets and files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketPaths {
    /// QEMU's monitor.
    pub qmp: PathBuf,
    /// The serial console.
    pub serial: PathBuf,
    /// Where the serial console is written down.
    pub console_log: PathBuf,
    /// The display.
    pub vnc: PathBuf,
    /// The root shell.
    pub agent: PathBuf,
    /// The directory that holds `IFNAME.sock` for every VLAN interface.
    pub ports: PathBuf,
    /// The state disk.
    pub state_disk: PathBuf,
    /// What a start script of the machine's own keeps.
    pub script_state: PathBuf,
    /// What start scripts share with the tests.
    pub shared: PathBuf,
}

impl From<&NodePaths> for SocketPaths {
    fn from(p: &NodePaths) -> Self {
        Self {
            qmp: p.qmp(),
            serial: p.serial(),
            console_log: p.console_log(),
            vnc: p.vnc(),
            agent: p.agent(),
            ports: p.run.clone(),
            state_disk: p.state_disk(),
            script_state: p.script_state(),
            shared: p.shared(),
        }
    }
}

impl SocketPaths {
    /// The directory where a start script's VDE plugs of a VLAN knock.
    pub fn vde(&self, vlan: u16) -> PathBuf {
        self.ports.join(format!("vde{vlan}"))
    }

    /// The plug of a network interface.
    pub fn port(&self, interface: &str) -> PathBuf {
        self.ports.join(format!("{interface}.port"))
    }
}

/// The words that start a node, QEMU's program not among them. A node that boots by a script of its
/// own has none: see [`super::script_environment`].
pub fn command_line(
    config: &NodeConfig<'_>,
    paths: &SocketPaths,
    accel: Accel,
    features: &Features,
) -> Vec<OsString> {
    let mut line = Line::default();
    machine(&mut line, config, accel, features);
    boot(&mut line, config.node, accel);
    line.opt("-chardev", Opt::new("socket,id=qmp").path("path", &paths.qmp).word("server=on,wait=off"));
    line.opt("-mon", Opt::new("chardev=qmp,mode=control"));
    line.opt(
        "-chardev",
        Opt::new("socket,id=serial")
            .path("path", &paths.serial)
            .word("server=on,wait=off")
            .path("logfile", &paths.console_log)
            .word("logappend=on"),
    );
    line.opt("-serial", Opt::new("chardev:serial"));
    if config.node.graphics && features.vnc {
        // For whoever may enter the session's directory, and never on a port.
        line.opt("-vnc", Opt::new("").path_of("unix", &paths.vnc));
    }
    shell(&mut line, config.node.shell, &paths.agent);
    disks(&mut line, config.node, &paths.state_disk);
    for interface in &config.node.interfaces {
        match interface {
            Interface::User { name, restrict } => user_interface(&mut line, name, *restrict),
            Interface::Vlan { name, vlan, mac, .. } => {
                line.opt(
                    "-netdev",
                    Opt::new(&format!("stream,id={name},server=on,addr.type=unix"))
                        .path("addr.path", &paths.port(name)),
                );
                vlan_device(&mut line, name, mac, config.mtu(*vlan));
            }
        }
    }
    line.words.extend(config.node.qemu_options.iter().map(OsString::from));
    line.words
}

/// The machine itself: everything that is neither booted, attached nor connected.
pub(super) fn machine(line: &mut Line, config: &NodeConfig<'_>, accel: Accel, features: &Features) {
    let node = config.node;
    line.opt("-name", Opt::new("").raw_value("guest", config.name));
    line.flag("-no-user-config");
    line.flag("-nodefaults");
    line.opt("-machine", Opt::new("pc,usb=off,vmport=off"));
    match accel {
        Accel::Kvm => {
            line.opt("-accel", Opt::new("kvm"));
            line.opt("-cpu", Opt::new("host"));
        }
        Accel::Tcg => {
            let buffer = translation_buffer(node.memory_size);
            line.opt("-accel", Opt::new(&format!("tcg,tb-size={buffer}")));
            line.opt("-cpu", Opt::new(TCG_CPU));
        }
    }
    line.opt("-m", Opt::new(&format!("size={}M", node.memory_size)));
    line.opt("-smp", Opt::new(&format!("cpus={}", node.cores)));
    line.opt("-rtc", Opt::new("base=utc"));
    line.opt("-display", Opt::new("none"));
    if node.graphics {
        line.opt("-vga", Opt::new("std"));
        // The keyboard is the machine's own; a pointer that goes where it is put is not.
        line.opt("-device", Opt::new("virtio-tablet-pci"));
    }
    if features.sandbox {
        let deny = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";
        line.opt("-sandbox", Opt::new(deny));
    }
    line.opt("-object", Opt::new("rng-random,id=rng,filename=/dev/urandom"));
    line.opt("-device", Opt::new("virtio-rng-pci,rng=rng"));
}

/// MiB of translated code that TCG keeps. Its own choice takes no notice of the guest: a quarter of
/// the guest's memory serves, as measured, and a small network of small machines stays small.
fn translation_buffer(memory: u32) -> u32 {
    (memory / 4).clamp(32, 256)
}

pub(super) fn boot(line: &mut Line, node: &Node, accel: Accel) {
    let Boot::Direct { kernel, initrd, kernel_params } = &node.boot else { return };
    line.word_path("-kernel", kernel);
    line.word_path("-initrd", initrd);
    let mut params = kernel_params.clone();
    if !params.iter().any(|p| p.starts_with("console=ttyS0")) {
        params.push("console=ttyS0".into());
    }
    if accel == Accel::Tcg {
        // TCG finds translated code again by its virtual address. With addresses that are random every program
        // that starts is translated anew, which makes its start five times slower. A model that wants them random
        // says so with the setting kernel.randomize_va_space.
        params.push("norandmaps".into());
    }
    line.flag("-append");
    line.words.push(params.join(" ").into());
}

fn shell(line: &mut Line, kind: ShellKind, socket: &Path) {
    if kind == ShellKind::None {
        return;
    }
    line.opt("-device", Opt::new("virtio-serial-pci,id=virtserial"));
    line.opt("-chardev", Opt::new("socket,id=agent").path("path", socket).word("server=on,wait=off"));
    let port = match kind {
        ShellKind::Agent => {
            "virtserialport,bus=virtserial.0,nr=1,id=agentport,chardev=agent,name=diorama.agent"
        }
        ShellKind::Backdoor | ShellKind::None => "virtconsole,bus=virtserial.0,chardev=agent",
    };
    line.opt("-device", Opt::new(port));
}

pub(super) fn disks(line: &mut Line, node: &Node, state_disk: &Path) {
    if node.state_disk.is_some() {
        // A clone's disk need not outlive a crash of the host: the guest's flushes end in the host's
        // page cache, which a killed QEMU does not lose.
        line.opt(
            "-drive",
            Opt::new("if=none,id=state,format=qcow2,cache=unsafe,discard=unmap").path("file", state_disk),
        );
        line.opt("-device", Opt::new("virtio-blk-pci,drive=state,serial=state"));
    }
    for (i, drive) in node.drives.iter().enumerate() {
        let format = drive.format;
        let access = if drive.read_only { "read-only=on" } else { "cache=unsafe,discard=unmap" };
        line.opt(
            "-drive",
            Opt::new(&format!("if=none,id=disk{i},format={format},{access}")).path("file", &drive.file),
        );
        let mut device = Opt::new(&format!("virtio-blk-pci,drive=disk{i}"));
        if let Some(serial) = &drive.serial {
            device = device.raw_value("serial", serial);
        }
        line.opt("-device", device);
    }
}

/// The name of the guest's side of an interface. The carrier is switched there: on the other side,
/// which is named like the interface, the guest would not be told.
pub(super) fn nic_id(interface: &str) -> String {
    format!("nic-{interface}")
}

pub(super) fn user_interface(line: &mut Line, name: &str, restrict: bool) {
    let restrict = if restrict { ",restrict=on" } else { "" };
    line.opt("-netdev", Opt::new(&format!("user,id={name}{restrict}")));
    // No option ROM: nothing boots from the network, and the ROM's package may not be installed.
    line.opt(
        "-device",
        Opt::new(&format!("virtio-net-pci,id={},netdev={name},mac=52:54:00:12:34:56,romfile=", nic_id(name))),
    );
}

pub(super) fn vlan_device(line: &mut Line, name: &str, mac: &str, mtu: u32) {
    let mtu = if mtu == STANDARD_MTU { String::new() } else { format!(",host_mtu={mtu}") };
    line.opt(
        "-device",
        Opt::new(&format!("virtio-net-pci,id={},netdev={name},mac={mac}{mtu},romfile=", nic_id(name))),
    );
}

/// A command line that grows.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) words: Vec<OsString>,
}

impl Line {
    pub(super) fn flag(&mut self, name: &str) {
        self.words.push(name.into());
    }

    pub(super) fn opt(&mut self, name: &str, value: Opt) {
        self.flag(name);
        self.words.push(OsString::from_vec(value.bytes));
    }

    /// A path that is a word of its own, where a comma means nothing.
    fn word_path(&mut self, name: &str, path: &Path) {
        self.flag(name);
        self.words.push(path.into());
    }
}

/// The value of an option made of `key=value` pairs, in which a comma in a value is written twice.
#[derive(Debug)]
pub(super) struct Opt {
    bytes: Vec<u8>,
}

impl Opt {
    /// Starts with words that need no escaping.
    pub(super) fn new(start: &str) -> Self {
        Self { bytes: start.into() }
    }

    /// Adds more such words.
    pub(super) fn word(mut self, word: &str) -> Self {
        self.comma();
        self.bytes.extend_from_slice(word.as_bytes());
        self
    }

    pub(super) fn path(self, key: &str, path: &Path) -> Self {
        self.value(key, path.as_os_str().as_bytes())
    }

    /// A path behind a word and a colon.
    fn path_of(mut self, word: &str, path: &Path) -> Self {
        self.bytes.extend_from_slice(word.as_bytes());
        self.bytes.push(b':');
        self.escaped(path.as_os_str().as_bytes());
        self
    }

    fn raw_value(self, key: &str, value: &str) -> Self {
        self.value(key, value.as_bytes())
    }

    fn value(mut self, key: &str, value: &[u8]) -> Self {
        self.comma();
        self.bytes.extend_from_slice(key.as_bytes());
        self.bytes.push(b'=');
        self.escaped(value);
        self
    }

    fn escaped(&mut self, value: &[u8]) {
        for &b in value {
            if b == b',' {
                self.bytes.push(b',');
            }
            self.bytes.push(b);
        }
    }

    fn comma(&mut self) {
        if !self.bytes.is_empty() {
            self.bytes.push(b',');
        }
    }
}

#[cfg(test)]
mod tests;
