//! What a host's system says of /etc, read from this machine's own store: a host whose store somebody has
//! written to would otherwise vouch for itself.
//!
//! Invariant: reads only; what leads out of the store says nothing here, for it would be this machine's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::facts::{self, File};

/// How deep a tree is followed; store paths have no deeper ones.
const DEPTH: usize = 16;

/// A system's own word about /etc.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The files that are in the store.
    pub files: BTreeMap<String, File>,
    /// Links that lead out of the store, whose content only the machine itself knows.
    pub outside: BTreeSet<String>,
    /// Users by name, with the rest of their lines in passwd.
    pub users: BTreeMap<String, String>,
}

/// Reads a system; none when it is not in this machine's store.
pub fn said(toplevel: &Path) -> Option<Said> {
    let store = toplevel.parent()?;
    let etc = fs::canonicalize(toplevel.join("etc")).ok()?;
    let mut out = Said::default();
    walk(&mut out, store, &etc, "", 0);
    if let Ok(modes) = fs::read_to_string(toplevel.join("modes")) {
        for line in modes.lines() {
            if let Some((path, mode, owner)) = facts::mode(line)
                && let Some(file) = out.files.get_mut(&path)
            {
                (file.mode, file.owner) = (mode, owner);
            }
        }
    }
    if let Ok(passwd) = fs::read_to_string(etc.join("passwd")) {
        out.users = passwd.lines().filter_map(facts::user).collect();
    }
    Some(out)
}

fn walk(out: &mut Said, store: &Path, dir: &Path, base: &str, depth: usize) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if base.is_empty() { name } else { format!("{base}/{name}") };
        let real = match fs::canonicalize(entry.path()) {
            Ok(real) if real.starts_with(store) => real,
            _ => {
                out.outside.insert(path);
                continue;
            }
        };
        let Ok(meta) = fs::metadata(&real) else { continue };
        if meta.is_dir() {
            if depth < DEPTH {
                walk(out, store, &real, &path, depth + 1);
            }
            continue;
        }
        let Ok(bytes) = fs::read(&real) else { continue };
        let content = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        let mode = format!("{:o}", meta.permissions().mode() & 0o7777);
        // Whoever owns this machine's store, on a host it is root.
        out.files
            .insert(path, File { kind: "f".into(), mode, owner: "0:0".into(), size: meta.len(), content });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_store_holds_is_believed() {
        let dir = tempfile::tempdir().unwrap();
        let store = fs::canonicalize(dir.path()).unwrap().join("store");
        let (system, etc) = (store.join("system"), store.join("etc"));
        fs::create_dir_all(etc.join("dir")).unwrap();
        fs::create_dir_all(&system).unwrap();
        let link = |to: &Path, from: &Path| std::os::unix::fs::symlink(to, from).unwrap();
        link(&etc, &system.join("etc"));
        fs::write(store.join("greeting"), "hello\n").unwrap();
        link(&store.join("greeting"), &etc.join("dir/greeting"));
        link(Path::new("/etc/hostname"), &etc.join("mine"));
        link(Path::new("../usr/lib/os-release"), &etc.join("os-release"));
        fs::write(etc.join("passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
        fs::write(system.join("modes"), "0600\t0\t42\tdir/greeting\n").unwrap();
        let said = said(&system).unwrap();
        let greeting = &said.files["dir/greeting"];
        assert_eq!((greeting.mode.as_str(), greeting.owner.as_str(), greeting.size), ("600", "0:42", 6));
        assert!(greeting.content.starts_with("5891b5b522d5df08"), "{}", greeting.content);
        assert_eq!(said.outside, ["mine", "os-release"].map(String::from).into());
        assert_eq!(said.users["root"], "0:0::/root:/bin/sh");
        assert_eq!(super::said(&store.join("nowhere")), None);
    }
}
