//! The manifest's types, which are also its JSON Schema (`diorama schema`).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::key::Key;

/// The manifest version that this program writes and reads.
pub const MANIFEST_VERSION: u32 = 1;

/// Everything needed to run a network's clone: what evaluation of a model ends in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// The format's version, [`MANIFEST_VERSION`].
    pub version: u32,
    /// The network as a whole.
    pub network: Network,
    /// VLAN settings, by VLAN number; a VLAN that only a node's interface names has the defaults.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vlans: BTreeMap<u16, Vlan>,
    /// The nodes, by name.
    pub nodes: BTreeMap<String, Node>,
    /// The test script the model carries, if any (Python, the NixOS test driver's API).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_script: Option<String>,
}

impl Manifest {
    /// The secrets of all machines.
    pub fn keys(&mut self) -> impl Iterator<Item = &mut Key> {
        self.nodes.values_mut().flat_map(|node| node.keys.values_mut())
    }
}

/// The network's own properties.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Network {
    /// Its name: sessions and state directories are keyed by it. `[A-Za-z0-9][A-Za-z0-9_.-]*`.
    pub name: String,
    /// One line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The guest system the nodes run.
    #[serde(default)]
    pub system: GuestSystem,
}

/// The family of guest operating system behind the module options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GuestSystem {
    /// The bundled system made of Debian packages.
    #[default]
    Debian,
    /// nixpkgs' NixOS.
    Nixos,
    /// Something else, in a manifest written by hand.
    Other,
}

/// One Ethernet segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Vlan {
    /// Largest IP packet in bytes that the segment carries (576 to 65521).
    #[serde(default = "default_mtu")]
    pub mtu: u32,
}

impl Default for Vlan {
    fn default() -> Self {
        Self { mtu: default_mtu() }
    }
}

fn default_mtu() -> u32 {
    1500
}

/// One machine of the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Node {
    /// The name the machine calls itself by (`networking.hostName`).
    pub host_name: String,
    /// What to boot.
    pub boot: Boot,
    /// The complete system's store path (`system.build.toplevel`); absent in a hand-written manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toplevel: Option<PathBuf>,
    /// Memory in MiB (`virtualisation.memorySize`).
    #[serde(default = "default_memory")]
    pub memory_size: u32,
    /// Virtual CPUs (`virtualisation.cores`).
    #[serde(default = "default_cores")]
    pub cores: u32,
    /// The disk that keeps this machine's mutable state: the first disk, `/dev/vda`. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_disk: Option<StateDisk>,
    /// Further disks in the order the guest names them (`/dev/vdb` … when there is a state disk).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drives: Vec<Drive>,
    /// Network interfaces in the order the guest names them (`eth0` …).
    #[serde(default)]
    pub interfaces: Vec<Interface>,
    /// Port forwards the model asks for (`virtualisation.forwardPorts`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forward_ports: Vec<ForwardPort>,
    /// Whether the machine has a display (`virtualisation.graphics`).
    #[serde(default)]
    pub graphics: bool,
    /// The way to a root shell in the clone.
    #[serde(default)]
    pub shell: ShellKind,
    /// Further QEMU arguments, one word each (`virtualisation.qemu.options`, split into words).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub qemu_options: Vec<String>,
    /// The coverage data that the machine keeps. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Coverage>,
    /// Free words to select nodes by (`deployment.tags`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Secrets that are put into the machine when it runs, by name (`deployment.keys`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<String, Key>,
}

fn default_memory() -> u32 {
    1024
}

fn default_cores() -> u32 {
    1
}

/// What a machine boots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields, tag = "kind")]
pub enum Boot {
    /// QEMU loads a kernel and an initial ramdisk directly.
    Direct {
        /// Linux kernel: bzImage, or an uncompressed vmlinux with a PVH note.
        kernel: PathBuf,
        /// Initial ramdisk.
        initrd: PathBuf,
        /// The kernel's command line, one parameter an entry.
        #[serde(default)]
        kernel_params: Vec<String>,
    },
    /// The BIOS starts the boot loader of the state disk, which begins as a copy of an image
    /// (`virtualisation.useBootLoader`): a machine that is installed, as a host is.
    Disk {
        /// The image; it is never written to.
        image: PathBuf,
        /// The image's format.
        #[serde(default)]
        format: DriveFormat,
    },
    /// A start script made by NixOS (`system.build.vm`), which honours the QEMU_* variables.
    Script {
        /// The `run-NAME-vm` script.
        script: PathBuf,
    },
}

/// A sparse qcow2 disk in the session's state directory, kept across restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StateDisk {
    /// Its size as the guest sees it, in MiB (`virtualisation.diskSize`).
    pub size: u64,
}

/// A disk image attached to a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Drive {
    /// The image file.
    pub file: PathBuf,
    /// The image's format.
    #[serde(default)]
    pub format: DriveFormat,
    /// Whether the guest may not write to it; store paths are never writable.
    #[serde(default = "default_true")]
    pub read_only: bool,
    /// The serial number by which the guest can find it (at most 20 characters).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
}

fn default_true() -> bool {
    true
}

/// Disk image formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DriveFormat {
    /// Plain bytes.
    #[default]
    Raw,
    /// QEMU's copy-on-write format.
    Qcow2,
}

impl std::fmt::Display for DriveFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        })
    }
}

/// One network interface of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields, tag = "kind")]
pub enum Interface {
    /// QEMU's user-mode network: address translation to the host, and where port forwards end.
    User {
        /// The guest's name for it (`eth0`).
        name: String,
        /// Whether the guest may reach nothing outside (`virtualisation.restrictNetwork`).
        #[serde(default)]
        restrict: bool,
    },
    /// A port of the session's own switch.
    Vlan {
        /// The guest's name for it (`eth1` …).
        name: String,
        /// The segment it is on.
        vlan: u16,
        /// Its address, `52:54:00:12:VV:NN` when a model made it.
        mac: String,
        /// Addresses the guest has on it; only shown, never configured from here.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        addresses: Vec<IpAddr>,
    },
}

impl Interface {
    /// The guest's name for the interface.
    pub fn name(&self) -> &str {
        match self {
            Self::User { name, .. } | Self::Vlan { name, .. } => name,
        }
    }
}

/// Transport of a forward.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Proto {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl std::fmt::Display for Proto {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// One end of a forward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoint {
    /// Address; empty means 127.0.0.1 on the host and the machine's own on the guest.
    #[serde(default)]
    pub address: String,
    /// Port, 1 to 65535.
    pub port: u16,
}

/// A host port that leads into the guest (the shape of NixOS' `virtualisation.forwardPorts`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ForwardPort {
    /// Transport.
    #[serde(default)]
    pub proto: Proto,
    /// Where the host listens.
    pub host: Endpoint,
    /// Where the guest is reached.
    pub guest: Endpoint,
    /// Whether the model asked for it, rather than a default for a well-known service. A default
    /// whose host port is taken moves to a free one without a complaint.
    #[serde(default = "default_true")]
    pub explicit: bool,
}

/// Coverage data that a machine keeps, and how it is understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Coverage {
    /// The command that prints a tar archive of the data, one word an entry: `gcov/uUID/…` with
    /// counters, `lcov/NAME.info` with tracefiles, `sources/…` with the files that these name,
    /// `problems` with a line each.
    pub collect: Vec<String>,
    /// For every instrumented package the directory of what its counters mean: `name`, `directory`
    /// (where it was built), `tree` (sources and notes), `bin/gcov`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<PathBuf>,
}

/// The way to a root shell in the clone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ShellKind {
    /// The bundled guest agent on the virtio port `diorama.agent`.
    #[default]
    Agent,
    /// NixOS' test backdoor on `hvc0`.
    Backdoor,
    /// None.
    None,
}
