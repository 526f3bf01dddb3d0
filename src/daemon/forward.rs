//! Port forwards on a running machine: finding out whether a port is free, and who has it.
//!
//! Invariant: everything binds to 127.0.0.1.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};

use crate::model::{Endpoint, Proto};
use crate::qemu::qmp::{Qmp, forward_port_taken};
use crate::session::{ForwardOutcome, ForwardSpec};

/// Ports after a taken one that are tried for an offer.
const OFFERS: u16 = 100;

/// Makes a forward.
pub(super) async fn add(qmp: &Qmp, interface: &str, spec: &ForwardSpec, may_move: bool) -> ForwardOutcome {
    let port = match probe(spec.proto, spec.host_port) {
        Probe::Free(port) => port,
        Probe::Taken if may_move => match next_free(spec.proto, spec.host_port) {
            Some(port) => port,
            None => return taken(spec),
        },
        Probe::Taken => return taken(spec),
        Probe::Refused(why) => return ForwardOutcome::Failed(why),
    };
    let guest = Endpoint { address: spec.guest_address.clone(), port: spec.guest_port };
    match qmp.hostfwd_add(interface, spec.proto, &host(port), &guest).await {
        Ok(()) => ForwardOutcome::Listens(port),
        // Somebody was quicker than QEMU.
        Err(e) if forward_port_taken(&e) => taken(spec),
        Err(e) => ForwardOutcome::Failed(e.to_string()),
    }
}

/// Ends a forward.
pub(super) async fn remove(qmp: &Qmp, interface: &str, spec: &ForwardSpec) -> Result<(), String> {
    qmp.hostfwd_remove(interface, spec.proto, &host(spec.host_port)).await.map_err(|e| e.to_string())
}

fn host(port: u16) -> Endpoint {
    Endpoint { address: Ipv4Addr::LOCALHOST.to_string(), port }
}

fn taken(spec: &ForwardSpec) -> ForwardOutcome {
    ForwardOutcome::Taken {
        by: owner(spec.proto, spec.host_port),
        free: next_free(spec.proto, spec.host_port),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Probe {
    Free(u16),
    Taken,
    Refused(String),
}

fn probe(proto: Proto, port: u16) -> Probe {
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    let bound = match proto {
        Proto::Tcp => TcpListener::bind(address).and_then(|s| s.local_addr()),
        Proto::Udp => UdpSocket::bind(address).and_then(|s| s.local_addr()),
    };
    match bound {
        Ok(address) => Probe::Free(address.port()),
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => Probe::Taken,
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            Probe::Refused(format!("port {port} is only for root; choose one above 1023"))
        }
        Err(e) => Probe::Refused(e.to_string()),
    }
}

fn next_free(proto: Proto, after: u16) -> Option<u16> {
    let near = (1..=OFFERS).filter_map(|n| after.checked_add(n));
    near.chain([0]).find_map(|port| match probe(proto, port) {
        Probe::Free(port) => Some(port),
        _ => None,
    })
}

/// The process that has a port, as far as this user may see it.
fn owner(proto: Proto, port: u16) -> Option<String> {
    let tables = match proto {
        Proto::Tcp => ["/proc/net/tcp", "/proc/net/tcp6"],
        Proto::Udp => ["/proc/net/udp", "/proc/net/udp6"],
    };
    let inode = tables.iter().find_map(|t| inode(&std::fs::read_to_string(t).ok()?, proto, port))?;
    let socket = format!("socket:[{inode}]");
    for process in std::fs::read_dir("/proc").ok()?.filter_map(Result::ok) {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(fds) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let has = |fd: std::fs::DirEntry| {
            std::fs::read_link(fd.path()).is_ok_and(|t| t.as_os_str() == socket.as_str())
        };
        if fds.filter_map(Result::ok).any(has) {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (process {pid})", name.trim()));
        }
    }
    None
}

/// Finds the listening socket's inode in the text of `/proc/net/tcp`.
fn inode(table: &str, proto: Proto, port: u16) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next()?;
        let state = words.nth(1)?;
        // 0A: listening; 07: a bound datagram socket.
        let bound = if proto == Proto::Tcp { state == "0A" } else { state == "07" };
        let here = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
        (bound && here == port).then(|| words.nth(5)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 0100007F:1F92 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0\n   \
             1: 0100007F:1F93 0100007F:1F92 01 00000000:00000000 00:00000000 00000000     0        0 777 1 0\n";
        assert_eq!(inode(table, Proto::Tcp, 0x1f92), Some(12345));
        assert_eq!(inode(table, Proto::Tcp, 0x1f93), None);
        assert_eq!(inode("", Proto::Udp, 1), None);
    }

    #[test]
    fn a_taken_port_names_its_owner_and_a_free_one() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(probe(Proto::Tcp, port), Probe::Taken);
        assert!(owner(Proto::Tcp, port).unwrap().contains(&format!("(process {})", std::process::id())));
        assert_ne!(next_free(Proto::Tcp, port), Some(port));
    }
}
