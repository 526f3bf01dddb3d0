//! The files that come with the program: the Nix side, the guest's parts, the examples.
//!
//! They are compiled in and written once to the cache directory, under a name made from their
//! content, so that the binary works wherever it is put and two versions never meet.
//! `DIORAMA_ASSETS` names a directory to use instead, for work on the assets themselves.
//!
//! Invariant: a directory of unpacked assets is complete from the moment it has its name; it is
//! written beside and renamed, so starts at the same time cannot see half of it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use include_dir::{Dir, DirEntry, include_dir};
use sha2::{Digest, Sha256};

static ASSETS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/assets");

/// Tells apart the threads of one process that unpack at once.
static UNPACKED: AtomicU32 = AtomicU32::new(0);

/// The parts of the assets that are used as files; the rest is compiled in elsewhere.
const WANTED: [&str; 4] = ["nix", "guest", "examples", "python"];

/// Gives the directory with the assets, written on first use.
///
/// # Errors
/// When `DIORAMA_ASSETS` names no directory, or the cache cannot be written.
pub fn dir(cache: &Path) -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("DIORAMA_ASSETS").filter(|d| !d.is_empty()) {
        let dir = std::path::absolute(&dir).context("DIORAMA_ASSETS")?;
        anyhow::ensure!(
            dir.join("nix").is_dir(),
            "DIORAMA_ASSETS: {} has no nix directory in it",
            dir.display()
        );
        return Ok(dir);
    }
    unpack(cache).with_context(|| format!("cannot write the program's own files below {}", cache.display()))
}

fn wanted() -> Vec<(&'static Path, &'static [u8])> {
    fn walk(dir: &'static Dir<'static>, out: &mut Vec<(&'static Path, &'static [u8])>) {
        for entry in dir.entries() {
            match entry {
                DirEntry::Dir(d) => walk(d, out),
                DirEntry::File(f) => out.push((f.path(), f.contents())),
            }
        }
    }
    let mut out = Vec::new();
    for name in WANTED {
        if let Some(d) = ASSETS.get_dir(name) {
            walk(d, &mut out);
        }
    }
    out.sort();
    out
}

fn unpack(cache: &Path) -> io::Result<PathBuf> {
    let files = wanted();
    let mut hasher = Sha256::new();
    for (path, contents) in &files {
        // Lengths make the boundaries part of what is hashed.
        hasher.update(path.as_os_str().len().to_le_bytes());
        hasher.update(path.as_os_str().as_encoded_bytes());
        hasher.update(contents.len().to_le_bytes());
        hasher.update(contents);
    }
    let hash: String = hasher.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
    let target = cache.join(format!("assets-{hash}"));
    if target.is_dir() {
        return Ok(target);
    }
    fs::create_dir_all(cache)?;
    let turn = UNPACKED.fetch_add(1, Ordering::Relaxed);
    let partial = cache.join(format!(".assets-{hash}.{}.{turn}", std::process::id()));
    remove(&partial)?;
    for (path, contents) in &files {
        let file = partial.join(path);
        let parent = file.parent().unwrap_or(&partial);
        fs::create_dir_all(parent)?;
        fs::write(&file, contents)?;
        let mode = match contents {
            _ if contents.starts_with(b"#!") => 0o555,
            // OpenSSH takes no private key that others may read, not even an example's.
            _ if contents.starts_with(b"-----BEGIN OPENSSH PRIVATE KEY") => 0o400,
            _ => 0o444,
        };
        fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
    }
    fs::create_dir_all(&partial)?;
    match fs::rename(&partial, &target) {
        Ok(()) => Ok(target),
        // Another start was faster; what it wrote has the same content.
        Err(_) if target.is_dir() => remove(&partial).map(|()| target),
        Err(e) => Err(e),
    }
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// The bundled Trac network, copied to a place where its lock file can lie beside it.
///
/// # Errors
/// When the copy cannot be written.
pub fn bundled_model(assets: &Path, data: &Path) -> Result<PathBuf> {
    Ok(copy_example("trac", assets, data)?.join("network.nix"))
}

/// The record of what was copied, by file: a hash of each.
const RECORD: &str = ".bundled.json";

/// Copies a bundled example to the data directory. A file that differs from what was copied there has
/// been edited and is kept; one that does not follows the program.
fn copy_example(name: &str, assets: &Path, data: &Path) -> Result<PathBuf> {
    let from = assets.join("examples").join(name);
    let to = data.join("examples").join(name);
    anyhow::ensure!(from.is_dir(), "{}: the bundled example is not there", from.display());
    let record = to.join(RECORD);
    let mut copied: BTreeMap<String, String> =
        fs::read_to_string(&record).ok().and_then(|t| serde_json::from_str(&t).ok()).unwrap_or_default();
    let before = copied.clone();
    copy_files(&from, &to, "", &mut copied)
        .and_then(|()| match copied == before {
            true => Ok(()),
            false => fs::write(&record, serde_json::to_string_pretty(&copied)?),
        })
        .with_context(|| format!("cannot copy the bundled example to {}", to.display()))?;
    Ok(to)
}

fn copy_files(from: &Path, to: &Path, below: &str, copied: &mut BTreeMap<String, String>) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            copy_files(&entry.path(), &target, &format!("{name}/"), copied)?;
            continue;
        }
        let ours = fs::read(entry.path())?;
        let write = match fs::read(&target) {
            Ok(theirs) => theirs != ours && copied.get(&name) == Some(&hash(&theirs)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => true,
            Err(e) => return Err(e),
        };
        if write {
            // The assets are read-only; the copy is the user's to edit.
            fs::write(&target, &ours)?;
            copied.insert(name, hash(&ours));
        }
    }
    Ok(())
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_are_written_once_and_read_only() {
        let tmp = tempfile::tempdir().unwrap();
        let first = unpack(tmp.path()).unwrap();
        let second = unpack(tmp.path()).unwrap();
        assert_eq!(first, second);
        for (path, contents) in wanted() {
            let file = first.join(path);
            assert_eq!(fs::read(&file).unwrap(), contents, "{}", path.display());
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o222, 0);
        }
        assert_eq!(fs::read_dir(tmp.path()).unwrap().count(), 1, "nothing half-written stays");
    }

    #[test]
    fn many_starts_at_once_agree() {
        let tmp = tempfile::tempdir().unwrap();
        std::thread::scope(|s| {
            let all: Vec<_> = (0..4).map(|_| s.spawn(|| unpack(tmp.path()))).collect();
            for t in all {
                assert!(t.join().unwrap().is_ok_and(|d| d.is_dir()));
            }
        });
    }

    #[test]
    fn the_bundled_model_follows_the_program_and_edits_are_kept() {
        let tmp = tempfile::tempdir().unwrap();
        let (assets, data) = (tmp.path().join("assets"), tmp.path().join("data"));
        fs::create_dir_all(assets.join("examples/trac/sub")).unwrap();
        let bundled = assets.join("examples/trac/network.nix");
        fs::write(&bundled, "bundled").unwrap();
        fs::write(assets.join("examples/trac/sub/more.nix"), "more").unwrap();

        let model = bundled_model(&assets, &data).unwrap();
        for (change, text) in [(&bundled, "bundled with a newer version"), (&model, "edited")] {
            fs::write(change, text).unwrap();
            assert_eq!(bundled_model(&assets, &data).unwrap(), model);
            assert_eq!(fs::read_to_string(&model).unwrap(), text);
        }
        assert!(data.join("examples/trac/sub/more.nix").is_file());
    }
}
