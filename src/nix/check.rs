//! Whether what a manifest names is really there: all problems at once, before anything starts.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::model::{Boot, DriveFormat, Manifest, Problem};

/// Checks every file that a manifest names.
pub fn files(manifest: &Manifest) -> Vec<Problem> {
    let mut out = Vec::new();
    for (name, node) in &manifest.nodes {
        let mut check = |place: &str, path: &Path, kind: Kind| {
            if let Err(what) = file(path, kind) {
                let what = format!("{}: {what}", path.display());
                out.push(Problem { place: format!("nodes.{name}.{place}"), what });
            }
        };
        match &node.boot {
            Boot::Direct { kernel, initrd, .. } => {
                check("boot.kernel", kernel, Kind::Kernel);
                check("boot.initrd", initrd, Kind::Initrd);
            }
            Boot::Disk { image, format } => check("boot.image", image, Kind::of(*format)),
            Boot::Script { script } => check("boot.script", script, Kind::Program),
        }
        for (i, drive) in node.drives.iter().enumerate() {
            check(&format!("drives[{i}].file"), &drive.file, Kind::of(drive.format));
            if !drive.read_only && drive.file.is_file() && !writable(&drive.file) {
                check(&format!("drives[{i}].file"), &drive.file, Kind::Writable);
            }
        }
    }
    out
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Kernel,
    Initrd,
    Program,
    Qcow2,
    Data,
    Writable,
}

impl Kind {
    fn of(format: DriveFormat) -> Self {
        match format {
            DriveFormat::Qcow2 => Self::Qcow2,
            DriveFormat::Raw => Self::Data,
        }
    }
}

fn writable(path: &Path) -> bool {
    nix::unistd::access(path, nix::unistd::AccessFlags::W_OK).is_ok()
}

fn file(path: &Path, kind: Kind) -> Result<(), String> {
    let reason = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "may not be read".to_owned(),
        _ => e.to_string(),
    };
    let meta = std::fs::metadata(path).map_err(reason)?;
    if meta.is_dir() {
        return Err("is a directory, not a file".into());
    }
    if kind == Kind::Writable {
        return Err("is not writable, although the drive is (\"readOnly\": false)".into());
    }
    // Opening anything but a plain file or a disk could block for ever.
    let plain = meta.is_file() || std::os::unix::fs::FileTypeExt::is_block_device(&meta.file_type());
    if !plain {
        return Err("is neither a plain file nor a disk".into());
    }
    let mut start = Vec::new();
    File::open(path).map_err(reason)?.take(0x300).read_to_end(&mut start).map_err(reason)?;
    let starts = |magic: &[u8]| start.starts_with(magic);
    match kind {
        Kind::Kernel if start.get(0x202..0x206) == Some(b"HdrS") || starts(b"\x7fELF") => Ok(()),
        Kind::Kernel => Err("is not a Linux kernel (neither a bzImage nor an ELF vmlinux)".into()),
        Kind::Initrd | Kind::Data if start.is_empty() => Err("is empty".into()),
        Kind::Qcow2 if !starts(b"QFI\xfb") => Err("is not a qcow2 image".into()),
        Kind::Program if meta.permissions().mode() & 0o111 == 0 => Err("is not executable".into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let mut image = vec![0; 0x202];
        image.extend_from_slice(b"HdrS");
        let (good, elf) = (write("bzImage", &image), write("vmlinux", b"\x7fELF.."));
        let (text, empty) = (write("text", b"not a kernel"), write("empty", b""));
        let nodes = serde_json::json!({
            "good": { "hostName": "good", "boot": { "kind": "direct", "kernel": good, "initrd": text } },
            "elf": { "hostName": "elf", "boot": { "kind": "direct", "kernel": elf, "initrd": text } },
            "liar": {
                "hostName": "liar",
                "boot": { "kind": "direct", "kernel": text, "initrd": empty },
                "drives": [
                    { "file": dir.path() },
                    { "file": "/nonexistent/disk" },
                    { "file": text, "format": "qcow2" },
                    { "file": "/dev/null" },
                ],
            },
            "script": { "hostName": "script", "boot": { "kind": "script", "script": text } },
        });
        let manifest = serde_json::json!({ "version": 1, "network": { "name": "n" }, "nodes": nodes });
        let manifest = crate::model::parse(&manifest.to_string()).unwrap();
        let said: Vec<String> = files(&manifest)
            .iter()
            .map(|p| p.to_string().replace(&dir.path().display().to_string(), "DIR"))
            .collect();
        assert_eq!(
            said,
            [
                "nodes.liar.boot.kernel: DIR/text: is not a Linux kernel (neither a bzImage nor an ELF vmlinux)",
                "nodes.liar.boot.initrd: DIR/empty: is empty",
                "nodes.liar.drives[0].file: DIR: is a directory, not a file",
                "nodes.liar.drives[1].file: /nonexistent/disk: there is no such file",
                "nodes.liar.drives[2].file: DIR/text: is not a qcow2 image",
                "nodes.liar.drives[3].file: /dev/null: is neither a plain file nor a disk",
                "nodes.script.boot.script: DIR/text: is not executable",
            ]
        );
    }
}
