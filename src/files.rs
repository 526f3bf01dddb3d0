//! Files that others read while they are written: there whole, or as they were before.
//!
//! Invariant: what is half-written has a name of its own beside the file, and is gone after a failure.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::NamedTempFile;

/// Replaces a file's content, or makes the file and the directories above it. `mode` is that of chmod(2).
///
/// # Errors
/// When it cannot be written; the file is then as it was.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    beside(path, bytes, mode)?.persist(path).map(drop).map_err(|e| e.error)
}

/// Makes a file that is not there yet, and the directories above it; it outlives a power cut.
///
/// # Errors
/// When it cannot be written, and `AlreadyExists` when somebody was faster.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let new = beside(path, bytes, mode)?;
    new.as_file().sync_all()?;
    new.persist_noclobber(path).map(drop).map_err(|e| e.error)
}

fn beside(path: &Path, bytes: &[u8], mode: u32) -> io::Result<NamedTempFile> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    let mut new = tempfile::Builder::new()
        .prefix(".new-")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(dir)?;
    new.write_all(bytes)?;
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b.json");
        replace(&path, b"one", 0o600).unwrap();
        replace(&path, b"two", 0o640).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(create(&path, b"three", 0o600).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let taken = dir.path().join("taken");
        fs::create_dir(&taken).unwrap();
        fs::write(taken.join("in it"), "").unwrap();
        assert!(replace(&taken, b"x", 0o600).is_err());
        let left =
            fs::read_dir(dir.path()).unwrap().count() + fs::read_dir(dir.path().join("a")).unwrap().count();
        assert_eq!(left, 3, "nothing half-written is left");
    }
}
