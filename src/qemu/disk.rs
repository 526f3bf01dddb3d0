//! State disks: sparse qcow2 images that keep a machine's state across restarts.
//!
//! Invariant: an image that is there is never made smaller and never discarded unless asked for.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::model::DriveFormat;

/// Why a state disk cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// `qemu-img` is not there.
    #[error("qemu-img was not found; it is in the package qemu-utils (`diorama setup` installs it)")]
    NoTool,
    /// `qemu-img` or the file system refused.
    #[error("{}: {what}", path.display())]
    Failed {
        /// The image.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// There is no space.
    #[error("{}: the file system mounted at {} is full ({free} MiB free); make space, or choose another directory with --state-dir", path.display(), mount.display())]
    Full {
        /// The image.
        path: PathBuf,
        /// Where its file system is mounted.
        mount: PathBuf,
        /// What is left of it.
        free: u64,
    },
}

/// What became of a state disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prepared {
    /// It was made.
    Created,
    /// It was there.
    Kept,
    /// It was there and has grown to what the model wants.
    Grown {
        /// Its size before, in MiB.
        from: u64,
    },
    /// It was there and is larger than the model wants; it stays as it is.
    Larger {
        /// Its size, in MiB.
        size: u64,
    },
}

const MIB: u64 = 1 << 20;

/// What a new state disk begins as: only what the machine changes is in its own file.
#[derive(Debug, Clone, Copy)]
pub struct Base<'a> {
    /// The image.
    pub image: &'a Path,
    /// Its format.
    pub format: DriveFormat,
}

/// Makes sure that a state disk of a size (in MiB) is there. `fresh` discards an old one.
///
/// # Errors
/// When the image cannot be made or grown, or is not an image.
pub fn prepare(path: &Path, size: u64, base: Option<Base<'_>>, fresh: bool) -> Result<Prepared, DiskError> {
    if fresh {
        match fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(DiskError::Failed { path: path.into(), what: e.to_string() });
            }
            _ => {}
        }
    }
    if !path.exists() {
        // Beside and renamed: a full disk or an interruption leaves no half-made image behind.
        let partial = path.with_extension("qcow2.new");
        let done = create(path, &partial, size, base).and_then(|_| {
            fs::rename(&partial, path)
                .map_err(|e| DiskError::Failed { path: path.into(), what: e.to_string() })
        });
        if done.is_err() {
            let _ = fs::remove_file(&partial);
        }
        return done.map(|()| Prepared::Created);
    }
    let info = info(path, DriveFormat::Qcow2)?;
    if let Some(below) = info.get("full-backing-filename").and_then(Value::as_str)
        && !Path::new(below).exists()
    {
        let what = format!(
            "the image it began as, {below}, is gone, and with it what the machine never changed; \
             begin anew with --fresh"
        );
        return Err(DiskError::Failed { path: path.into(), what });
    }
    let bytes = virtual_size(path, &info)?;
    if bytes == size * MIB {
        return Ok(Prepared::Kept);
    }
    if bytes > size * MIB {
        return Ok(Prepared::Larger { size: bytes / MIB });
    }
    image(
        path,
        &[
            "resize".as_ref(),
            "-q".as_ref(),
            "-f".as_ref(),
            "qcow2".as_ref(),
            "--".as_ref(),
            path.as_os_str(),
            format!("{size}M").as_ref(),
        ],
    )?;
    Ok(Prepared::Grown { from: bytes / MIB })
}

/// Copies a bootable image to a file of a format, and makes it larger (MiB) when asked.
///
/// # Errors
/// When the file cannot be made, or the image is larger than the size.
pub fn export(
    image_file: &Path,
    out: &Path,
    format: DriveFormat,
    size: Option<u64>,
) -> Result<(), DiskError> {
    let is = virtual_size(image_file, &info(image_file, DriveFormat::Qcow2)?)?;
    if let Some(size) = size.filter(|s| s * MIB < is) {
        let what = format!("the disk has {} MiB already, and cannot have {size}", is.div_ceil(MIB));
        return Err(DiskError::Failed { path: out.into(), what });
    }
    // Beside and renamed: an interruption leaves no half-made disk behind.
    let mut partial = out.as_os_str().to_owned();
    partial.push(".new");
    let format = format.to_string();
    let words = |words: &[&OsStr]| image(out, words).map(drop);
    let [f, qcow2, dashes, o] = ["-f", "qcow2", "--", "-O"].map(OsStr::new);
    let convert = [
        "convert".as_ref(),
        f,
        qcow2,
        o,
        format.as_ref(),
        dashes,
        image_file.as_os_str(),
        partial.as_os_str(),
    ];
    let mut done = words(&convert);
    if let (Ok(()), Some(size)) = (&done, size) {
        let size = format!("{size}M");
        let resize = [
            "resize".as_ref(),
            "-q".as_ref(),
            f,
            format.as_ref(),
            dashes,
            partial.as_os_str(),
            size.as_ref(),
        ];
        done = words(&resize);
    }
    let done = done.and_then(|()| {
        fs::rename(&partial, out).map_err(|e| DiskError::Failed { path: out.into(), what: e.to_string() })
    });
    if done.is_err() {
        let _ = fs::remove_file(&partial);
    }
    done
}

/// Makes an image. One that begins as another is never smaller than that.
fn create(path: &Path, partial: &Path, size: u64, base: Option<Base<'_>>) -> Result<String, DiskError> {
    let mut bytes = size * MIB;
    let mut args: Vec<OsString> = ["create", "-q", "-f", "qcow2"].map(Into::into).into();
    if let Some(base) = base {
        bytes = bytes.max(virtual_size(base.image, &info(base.image, base.format)?)?);
        args.extend(["-F".into(), base.format.to_string().into(), "-b".into(), base.image.into()]);
    }
    args.extend(["--".into(), partial.into(), bytes.to_string().into()]);
    image(path, &args.iter().map(OsString::as_os_str).collect::<Vec<_>>())
}

fn info(path: &Path, format: DriveFormat) -> Result<Value, DiskError> {
    let format = format.to_string();
    let info = image(
        path,
        &[
            "info".as_ref(),
            "--output=json".as_ref(),
            "--force-share".as_ref(),
            "-f".as_ref(),
            format.as_ref(),
            "--".as_ref(),
            path.as_os_str(),
        ],
    )?;
    serde_json::from_str(&info)
        .map_err(|e| DiskError::Failed { path: path.into(), what: format!("qemu-img's answer: {e}") })
}

fn virtual_size(path: &Path, info: &Value) -> Result<u64, DiskError> {
    info.get("virtual-size")
        .and_then(Value::as_u64)
        .ok_or_else(|| DiskError::Failed { path: path.into(), what: "its size is not known".into() })
}

fn image(path: &Path, args: &[&std::ffi::OsStr]) -> Result<String, DiskError> {
    let output = Command::new("qemu-img").args(args).env("LC_ALL", "C").stdin(Stdio::null()).output();
    let output = match output {
        Ok(o) => o,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(DiskError::NoTool),
        Err(e) => return Err(DiskError::Failed { path: path.into(), what: e.to_string() }),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if said.contains("No space left on device") || said.contains("Disk quota exceeded") {
        return Err(full(path));
    }
    // The program's own name and the path are said by the error already.
    let what = said.trim_start_matches("qemu-img: ").replace(&format!("{}: ", path.display()), "");
    Err(DiskError::Failed { path: path.into(), what })
}

/// The error for a file whose file system has no space left.
pub fn full(path: &Path) -> DiskError {
    let dir = path.parent().unwrap_or(path);
    let free = nix::sys::statvfs::statvfs(dir).map_or(0, |s| s.blocks_available() * s.fragment_size() / MIB);
    DiskError::Full { path: path.into(), mount: mount_point(dir), free }
}

/// Where the file system that holds a directory is mounted.
fn mount_point(dir: &Path) -> PathBuf {
    use std::os::unix::fs::MetadataExt;
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    let Ok(device) = fs::metadata(&dir).map(|m| m.dev()) else { return dir };
    let same = |p: &&Path| fs::metadata(p).is_ok_and(|m| m.dev() == device);
    dir.ancestors().take_while(same).last().unwrap_or(&dir).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_tool() -> bool {
        Command::new("qemu-img").arg("--version").output().is_ok()
    }

    #[test]
    fn a_disk_is_made_kept_grown_and_never_shrunk() {
        if !has_tool() {
            eprintln!("skipped: qemu-img is not installed");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("-odd, name.qcow2");
        assert_eq!(prepare(&path, 64, None, false).unwrap(), Prepared::Created);
        assert!(fs::metadata(&path).unwrap().len() < MIB, "sparse");
        assert_eq!(prepare(&path, 64, None, false).unwrap(), Prepared::Kept);
        assert_eq!(prepare(&path, 128, None, false).unwrap(), Prepared::Grown { from: 64 });
        assert_eq!(prepare(&path, 64, None, false).unwrap(), Prepared::Larger { size: 128 });
        assert_eq!(prepare(&path, 64, None, true).unwrap(), Prepared::Created);
        fs::write(&path, "not an image").unwrap();
        let error = prepare(&path, 64, None, false).unwrap_err().to_string();
        assert!(error.contains("qcow2"), "{error}");
        let nowhere = dir.path().join("missing/disk.qcow2");
        assert!(prepare(&nowhere, 64, None, false).unwrap_err().to_string().contains("No such file"));
    }

    #[test]
    fn a_disk_that_begins_as_an_image_needs_it_to_stay() {
        if !has_tool() {
            eprintln!("skipped: qemu-img is not installed");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (below, path) = (dir.path().join("image.qcow2"), dir.path().join("state.qcow2"));
        prepare(&below, 96, None, false).unwrap();
        let base = Some(Base { image: &below, format: DriveFormat::Qcow2 });
        assert_eq!(prepare(&path, 64, base, false).unwrap(), Prepared::Created);
        let larger = prepare(&path, 64, base, false).unwrap();
        assert_eq!(larger, Prepared::Larger { size: 96 }, "never smaller than the image");
        fs::remove_file(&below).unwrap();
        let error = prepare(&path, 64, base, false).unwrap_err().to_string();
        assert!(error.contains("image.qcow2") && error.contains("--fresh"), "{error}");
    }

    #[test]
    fn an_image_is_copied_and_grows_and_never_shrinks() {
        if !has_tool() {
            eprintln!("skipped: qemu-img is not installed");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (from, raw) = (dir.path().join("image.qcow2"), dir.path().join("disk.raw"));
        prepare(&from, 32, None, false).unwrap();
        export(&from, &raw, DriveFormat::Raw, Some(48)).unwrap();
        assert_eq!(fs::metadata(&raw).unwrap().len(), 48 * MIB);
        let error = export(&from, &raw, DriveFormat::Raw, Some(16)).unwrap_err().to_string();
        assert!(error.contains("has 32 MiB already"), "{error}");
        assert_eq!(fs::metadata(&raw).unwrap().len(), 48 * MIB, "the old one stays");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing half-made is left");
    }

    #[test]
    fn a_full_file_system_is_named() {
        let text = full(Path::new("/proc/self/x")).to_string();
        assert!(text.contains("mounted at /proc is full (0 MiB free)"), "{text}");
    }
}
