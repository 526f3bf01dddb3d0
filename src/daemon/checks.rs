//! What can be known of the host before a machine is started: its memory and its disk space.
//!
//! Invariant: all problems at once, each with the place it was found and the way out.

use std::path::Path;

use crate::error::Error;
use crate::model::Manifest;

/// Disk space in MiB below which a session is not started, and below which it is warned of.
const DISK_ERROR: u64 = 64;
const DISK_WARNING: u64 = 1024;

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
            "boot":{{"kind":"direct","kernel":"/k","initrd":"/i"}}}}}}}}"#
        );
        crate::model::parse(&text).unwrap()
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
