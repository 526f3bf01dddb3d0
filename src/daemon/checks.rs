//! What can be known before a machine is started: whether its files are there, whether the host has
//! the memory and the disk space.
//!
//! Invariant: all problems at once, each with the place it was found and the way out.

use std::fs::File;
use std::path::Path;

use crate::error::Error;
use crate::model::{Boot, Manifest};

/// Disk space in MiB below which a session is not started, and below which it is warned of.
const DISK_ERROR: u64 = 64;
const DISK_WARNING: u64 = 1024;

/// Checks that every file a manifest names can be read.
pub(super) fn files(manifest: &Manifest) -> Result<(), Error> {
    let mut problems = Vec::new();
    for (name, node) in &manifest.nodes {
        let mut check = |place: &str, path: &Path| {
            let problem = match File::open(path).and_then(|f| f.metadata()) {
                Ok(m) if m.is_dir() => "is a directory".to_owned(),
                Ok(_) => return,
                Err(e) => e.to_string(),
            };
            problems.push(format!("nodes.{name}.{place}: {}: {problem}", path.display()));
        };
        match &node.boot {
            Boot::Direct { kernel, initrd, .. } => {
                check("boot.kernel", kernel);
                check("boot.initrd", initrd);
            }
            Boot::Script { script } => check("boot.script", script),
        }
        for (i, drive) in node.drives.iter().enumerate() {
            check(&format!("drives[{i}].file"), &drive.file);
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    let what = if problems.len() == 1 { "a file is" } else { "files are" };
    Err(Error::new(format!("{what} not as the manifest says:\n  {}", problems.join("\n  ")))
        .hint("evaluate and build the model again, or correct the manifest"))
}

/// Compares what the machines want with what the host has; warnings, or the error that stops it.
pub(super) fn resources(manifest: &Manifest, state: &Path) -> Result<Vec<String>, Error> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let mut warnings = Vec::new();
    warnings.extend(memory(manifest, &meminfo)?);
    if let Ok(stat) = nix::sys::statvfs::statvfs(state) {
        let free = stat.blocks_available() * stat.fragment_size() / (1 << 20);
        warnings.extend(disk(free, state)?);
    }
    Ok(warnings)
}

fn disk(free: u64, state: &Path) -> Result<Option<String>, Error> {
    if free < DISK_ERROR {
        return Err(Error::new(format!(
            "only {free} MiB are free under {}, where the machines' disks live",
            state.display()
        ))
        .hint("make space, or choose another directory with --state-dir"));
    }
    Ok((free < DISK_WARNING).then(|| {
        format!("only {free} MiB are free under {}: a machine that writes more is paused", state.display())
    }))
}

fn memory(manifest: &Manifest, meminfo: &str) -> Result<Option<String>, Error> {
    let field = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib / 1024)
    };
    let wanted: u64 = manifest.nodes.values().map(|n| u64::from(n.memory_size)).sum();
    let (Some(total), Some(available)) = (field("MemTotal"), field("MemAvailable")) else { return Ok(None) };
    let most = total + field("SwapTotal").unwrap_or(0);
    if wanted > most {
        let mut big: Vec<_> = manifest.nodes.iter().map(|(name, n)| (n.memory_size, name)).collect();
        big.sort_unstable_by(|a, b| b.cmp(a));
        let big: Vec<_> = big.iter().take(3).map(|(m, name)| format!("{name} {m} MiB")).collect();
        return Err(Error::new(format!(
            "the machines want {wanted} MiB of memory ({}), and this host has {most} MiB",
            big.join(", ")
        ))
        .hint("lower virtualisation.memorySize in the model"));
    }
    Ok((wanted > available).then(|| {
        format!("the machines want {wanted} MiB of memory and {available} MiB are free: the host may swap")
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(memory: u32) -> Manifest {
        let text = format!(
            r#"{{"version":1,"network":{{"name":"n"}},"nodes":{{"a":{{"hostName":"a","memorySize":{memory},
            "boot":{{"kind":"direct","kernel":"/nowhere/k","initrd":"/proc"}}}}}}}}"#
        );
        crate::model::parse(&text).unwrap()
    }

    #[test]
    fn missing_files_are_all_named() {
        let e = files(&manifest(64)).unwrap_err();
        assert!(e.message.contains("nodes.a.boot.kernel: /nowhere/k: No such file"), "{e}");
        assert!(e.message.contains("nodes.a.boot.initrd: /proc: is a directory"), "{e}");
    }

    #[test]
    fn memory_is_enough_scarce_or_too_little() {
        let info = "MemTotal:  1024000 kB\nMemFree: 1 kB\nMemAvailable:   512000 kB\nSwapTotal: 102400 kB\n";
        assert_eq!(memory(&manifest(400), info).unwrap(), None);
        assert!(memory(&manifest(900), info).unwrap().unwrap().contains("500 MiB are free"));
        assert!(memory(&manifest(2000), info).unwrap_err().message.contains("a 2000 MiB"));
        assert_eq!(memory(&manifest(2000), "").unwrap(), None);
    }

    #[test]
    fn disk_space() {
        let here = Path::new("/state");
        assert_eq!(disk(5000, here).unwrap(), None);
        assert!(disk(500, here).unwrap().is_some());
        assert!(disk(5, here).is_err());
    }
}
