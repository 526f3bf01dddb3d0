//! Which accelerator to use: KVM only when it has really run a guest.
//!
//! A `/dev/kvm` that opens proves nothing: there are machines where it opens, creates virtual
//! machines, and then hangs or aborts. So a guest of 512 bytes is run under it, with a time limit.
//! It waits for two interrupts of the timer, sets up paging, enters 64-bit mode, and says so on
//! QEMU's debug port. The answer is kept until the machine boots again or QEMU changes.
//!
//! Invariant: the choice always ends in an accelerator that works, and in one line that says why.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::features::{Accel, Qemu};

/// How long the probe's guest may take; it needs 0.2 s under TCG.
const LIMIT: Duration = Duration::from_secs(3);
/// What QEMU's debug port makes of the guest's last word, 0x10.
const PASSED: i32 = 0x10 << 1 | 1;
/// Where the guest's code ends; the signature of a boot sector follows at its end.
const SECTOR: usize = 512;

/// The accelerator and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The accelerator.
    pub accel: Accel,
    /// Why, in one line for people.
    pub why: String,
}

/// Chooses. `requested` is what the person asked for: `kvm`, `tcg`, or nothing (`auto`).
pub async fn choose(requested: Option<Accel>, qemu: &Qemu, cache: &Path) -> Choice {
    let device = Path::new("/dev/kvm");
    match requested {
        Some(accel) => Choice { accel, why: format!("{accel}, as asked for") },
        None if !qemu.features.kvm => slow("this QEMU was built without KVM"),
        None if !device.exists() => slow("there is no /dev/kvm"),
        None => {
            let access = nix::unistd::AccessFlags::R_OK | nix::unistd::AccessFlags::W_OK;
            if nix::unistd::access(device, access).is_err() {
                return slow("/dev/kvm may not be opened by this user (on Debian, the group kvm may)");
            }
            probed(qemu, cache).await
        }
    }
}

fn slow(why: &str) -> Choice {
    Choice { accel: Accel::Tcg, why: format!("tcg, which is slower: {why}") }
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    stamp: String,
    choice: Choice,
}

async fn probed(qemu: &Qemu, cache: &Path) -> Choice {
    let file = cache.join("accelerator.json");
    let stamp = stamp(qemu);
    let kept = fs::read_to_string(&file).ok().and_then(|t| serde_json::from_str::<Kept>(&t).ok());
    if let Some(kept) = kept.filter(|k| k.stamp == stamp) {
        return kept.choice;
    }
    let choice = match run_guest(qemu, Accel::Kvm, LIMIT).await {
        Ok(()) => Choice { accel: Accel::Kvm, why: "kvm: it ran a test guest".into() },
        Err(why) => slow(&format!("/dev/kvm is there, but {why}")),
    };
    // A cache that cannot be written costs a probe each time and nothing else.
    if let Ok(text) = serde_json::to_string(&Kept { stamp, choice: choice.clone() }) {
        let _ = fs::create_dir_all(cache).and_then(|()| fs::write(&file, text));
    }
    choice
}

/// What makes an earlier probe's answer this machine's still.
fn stamp(qemu: &Qemu) -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let changed = fs::metadata(&qemu.program).map_or(0, |m| m.mtime());
    format!("{} {} {changed} {}", boot.trim(), qemu.program.display(), nix::unistd::geteuid())
}

/// Runs the probe's guest to its end.
///
/// # Errors
/// With what happened instead, as the end of a sentence.
pub(super) async fn run_guest(qemu: &Qemu, accel: Accel, limit: Duration) -> Result<(), String> {
    let image = write_guest().map_err(|e| format!("the test guest could not be written: {e}"))?;
    let cpu = match accel {
        Accel::Kvm => "host",
        Accel::Tcg => "max",
    };
    let mut child = tokio::process::Command::new(&qemu.program)
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-m", "16"])
        .args(["-machine", "pc", "-accel", &accel.to_string(), "-cpu", cpu])
        // The image has no name any more; QEMU reads it through a descriptor of its own.
        .args(["-drive", "file=/dev/stdin,format=raw,if=ide,snapshot=on"])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1"])
        .stdin(Stdio::from(image))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("QEMU could not be started: {e}"))?;
    let stderr = child.stderr.take();
    let status = match tokio::time::timeout(limit, child.wait()).await {
        Ok(status) => status.map_err(|e| e.to_string())?,
        Err(_) => {
            // Nothing is left to be asked: it does not react.
            let _ = child.kill().await;
            return Err(format!("a test guest hung in it for {} s", limit.as_secs()));
        }
    };
    if status.code() == Some(PASSED) {
        return Ok(());
    }
    let mut said = String::new();
    if let Some(mut stderr) = stderr {
        use tokio::io::AsyncReadExt;
        // What a dead QEMU has left in the pipe is short.
        let _ = stderr.read_to_string(&mut said).await;
    }
    let line = said.lines().last().map(crate::error::printable).unwrap_or_default();
    Err(match line.is_empty() {
        true => format!("a test guest ended with {status}"),
        false => format!("a test guest failed: {line}"),
    })
}

/// Writes the boot sector to a file without a name.
fn write_guest() -> std::io::Result<fs::File> {
    use std::io::{Seek, Write};
    let mut sector = [0; SECTOR];
    sector[..GUEST.len()].copy_from_slice(&GUEST);
    sector[SECTOR - 2..].copy_from_slice(&[0x55, 0xaa]);
    let fd = nix::sys::memfd::memfd_create(c"probe", nix::sys::memfd::MFdFlags::MFD_CLOEXEC)?;
    let mut file = fs::File::from(fd);
    file.write_all(&sector)?;
    file.rewind()?;
    Ok(file)
}

/// The guest, loaded at 0x7c00 in real mode:
///
/// ```text
///   cli; ds = es = ss = 0; sp = 0x7c00
///   sti; hlt; hlt; cli                       the timer's interrupts come
///   clear 12 KiB at 0x1000                   page tables
///   [0x1000] = 0x2003; [0x2000] = 0x3003; [0x3000] = 0x83
///   cr3 = 0x1000; cr4 |= PAE; EFER |= LME; lgdt; cr0 |= PG | PE
///   ljmp 8:long                              64-bit mode
/// long:
///   cpuid; rdtsc; count down from 1,000,000
///   outb 0x10, 0xf4; hlt                     the last word
///   gdt: 0, code64
/// ```
#[rustfmt::skip]
const GUEST: [u8; 168] = [
    0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc, 0x00, 0x7c, 0xfb, 0xf4, 0xf4, 0xfa,
    0xbf, 0x00, 0x10, 0x66, 0x31, 0xc0, 0xb9, 0x00, 0x0c, 0xfc, 0x66, 0xf3, 0xab, 0x66, 0xc7, 0x06,
    0x00, 0x10, 0x03, 0x20, 0x00, 0x00, 0x66, 0xc7, 0x06, 0x00, 0x20, 0x03, 0x30, 0x00, 0x00, 0x66,
    0xc7, 0x06, 0x00, 0x30, 0x83, 0x00, 0x00, 0x00, 0x66, 0xb8, 0x00, 0x10, 0x00, 0x00, 0x0f, 0x22,
    0xd8, 0x0f, 0x20, 0xe0, 0x66, 0x83, 0xc8, 0x20, 0x0f, 0x22, 0xe0, 0x66, 0xb9, 0x80, 0x00, 0x00,
    0xc0, 0x0f, 0x32, 0x66, 0x0d, 0x00, 0x01, 0x00, 0x00, 0x0f, 0x30, 0x0f, 0x01, 0x16, 0xa0, 0x7c,
    0x0f, 0x20, 0xc0, 0x66, 0x0d, 0x01, 0x00, 0x00, 0x80, 0x0f, 0x22, 0xc0, 0xea, 0x71, 0x7c, 0x08,
    0x00, 0x31, 0xc0, 0x0f, 0xa2, 0x0f, 0x31, 0xb9, 0x40, 0x42, 0x0f, 0x00, 0xff, 0xc9, 0x75, 0xfc,
    0xb8, 0x10, 0x00, 0x00, 0x00, 0x66, 0xba, 0xf4, 0x00, 0xee, 0xf4, 0xeb, 0xfd, 0x0f, 0x1f, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x9a, 0x20, 0x00,
    0x0f, 0x00, 0x90, 0x7c, 0x00, 0x00, 0x00, 0x00,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_guest_says_its_word_where_guests_run() {
        let Ok(qemu) = super::super::find() else {
            eprintln!("skipped: QEMU is not installed");
            return;
        };
        // Generous: other tests may use the processors.
        assert_eq!(run_guest(&qemu, Accel::Tcg, Duration::from_secs(60)).await, Ok(()));
    }

    #[tokio::test]
    async fn what_hangs_or_fails_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        for (script, limit, expected) in [
            ("exec sleep 60", 1, "hung in it for 1 s"),
            ("echo odd >&2; echo 'could not set MSR' >&2; exit 1", 60, "failed: could not set MSR"),
            ("exit 0", 60, "ended with exit status: 0"),
        ] {
            let program = dir.path().join("qemu");
            fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            let features =
                super::super::Features { sandbox: true, kvm: true, stream: true, vde: true, vnc: true };
            let qemu = Qemu { program, version: super::super::OLDEST, features };
            let why = run_guest(&qemu, Accel::Kvm, Duration::from_secs(limit)).await.unwrap_err();
            assert!(why.contains(expected), "{why}");
        }
    }

    #[tokio::test]
    async fn what_was_asked_for_is_taken() {
        let features =
            super::super::Features { sandbox: true, kvm: false, stream: true, vde: true, vnc: true };
        let qemu = Qemu { program: "/nonexistent".into(), version: super::super::OLDEST, features };
        let cache = Path::new("/nonexistent");
        assert_eq!(choose(Some(Accel::Kvm), &qemu, cache).await.accel, Accel::Kvm);
        let auto = choose(None, &qemu, cache).await;
        assert_eq!(auto.accel, Accel::Tcg);
        assert!(auto.why.contains("built without KVM"));
    }
}
