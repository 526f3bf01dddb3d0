//! Generations of the network: what was deployed when, here and on every host.
//!
//! Here: `STATE/NETWORK/deployments/N.json`, with links that keep the systems in this machine's store.
//! On a host: `/var/lib/diorama/deployments/NETWORK/current`, the line that the supervisor wrote when it
//! let go, and `log` with all of them.
//!
//! Invariant: a generation is written once and whole, and never changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::model::Deployment;
use super::words::Outcome;
use crate::error::{Error, Result, ResultExt};
use crate::files;
use crate::lock::Lock;

/// One deployment of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Generation {
    /// Its number; the first is 1.
    pub number: u64,
    /// When it ended, in seconds since 1970.
    pub time: u64,
    /// Who deployed, as USER@HOST.
    pub by: String,
    /// Where it came from.
    #[serde(flatten)]
    pub files: Files,
    /// What was wanted.
    pub deployment: Deployment,
    /// What came of it, by host.
    pub outcomes: BTreeMap<String, Outcome>,
    /// What every known host runs after it.
    pub systems: BTreeMap<String, String>,
}

/// Where a deployment came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Files {
    /// The model.
    pub model: String,
    /// The infrastructure model, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infrastructure: Option<String>,
    /// The distribution model, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<String>,
}

/// What a host remembers of the last deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostRecord {
    /// The generation's number.
    pub number: u64,
    /// When it was begun, in seconds since 1970.
    pub time: u64,
    /// Who deployed.
    pub by: String,
    /// The system that was deployed.
    pub toplevel: String,
    /// The attempt's token.
    pub token: String,
}

/// The generations of one network on this machine.
#[derive(Debug, Clone)]
pub struct Records {
    dir: PathBuf,
}

impl Records {
    /// Those in a network's state directory.
    pub fn new(network_state: &std::path::Path) -> Self {
        Self { dir: network_state.join("deployments") }
    }

    /// Every generation, the oldest first.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn all(&self) -> Result<Vec<Generation>> {
        let mut numbers: Vec<u64> = fs::read_dir(&self.dir)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|e| e.file_name().to_string_lossy().strip_suffix(".json")?.parse().ok())
            .collect();
        numbers.sort_unstable();
        numbers.into_iter().map(|n| self.get(n)).collect()
    }

    /// One generation.
    ///
    /// # Errors
    /// When there is none of that number, or it cannot be read.
    pub fn get(&self, number: u64) -> Result<Generation> {
        let file = self.file(number);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::not_found(format!("there is no generation {number}"))
                    .hint("`diorama generations` lists them"));
            }
            Err(e) => return Err(e).doing(file.display()),
        };
        serde_json::from_str(&text).doing(file.display())
    }

    /// Claims the number of the next generation, beyond all that this machine and the hosts know, and beyond those
    /// of deployments to other hosts of the network that are under way.
    ///
    /// # Errors
    /// When a generation cannot be read, or the claim not be written.
    pub fn claim(&self, on_hosts: impl IntoIterator<Item = u64>) -> Result<Claim> {
        fs::create_dir_all(&self.dir).doing(self.dir.display())?;
        let here = self.all()?.last().map_or(0, |g| g.number);
        let mut number = on_hosts.into_iter().max().unwrap_or(0).max(here) + 1;
        loop {
            let file = self.dir.join(format!(".{number}.claim"));
            if let Some(lock) = Lock::take(&file).doing(file.display())? {
                let claim = Claim { number, file, _lock: lock };
                // Whoever had it may have written its generation since we looked.
                if !self.file(number).exists() {
                    return Ok(claim);
                }
            }
            number += 1;
        }
    }

    fn file(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number}.json"))
    }

    /// Writes a generation.
    ///
    /// # Errors
    /// When it cannot be written, or there is one of that number already.
    pub fn write(&self, generation: &Generation) -> Result<()> {
        let file = self.file(generation.number);
        let text = serde_json::to_string_pretty(generation)?;
        files::create(&file, text.as_bytes(), 0o600).doing(file.display())
    }

    /// The link that keeps a node's system of a generation.
    pub fn root(&self, number: u64, node: &str) -> PathBuf {
        self.dir.join("roots").join(format!("{number}-{node}"))
    }
}

/// A number that no other deployment of the network takes while this lives, or after its generation is written.
#[derive(Debug)]
pub struct Claim {
    /// The number.
    pub number: u64,
    file: PathBuf,
    _lock: Lock,
}

impl Drop for Claim {
    fn drop(&mut self) {
        // The lock goes with the process; a file that is left locks nothing.
        let _ = fs::remove_file(&self.file);
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::network;
    use super::*;

    #[test]
    fn generations_are_written_once_and_listed_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::new(dir.path());
        assert!(records.all().unwrap().is_empty());
        let claim = |on_hosts: &[u64]| records.claim(on_hosts.iter().copied()).unwrap();
        assert_eq!(claim(&[]).number, 1);
        let generation = |number| Generation {
            number,
            time: 7,
            by: "a@b".into(),
            files: Files { model: "/m.nix".into(), ..Files::default() },
            deployment: network(&[("web", &[])]),
            outcomes: [("web".to_owned(), Outcome::Switched)].into(),
            systems: BTreeMap::new(),
        };
        for n in [10, 9] {
            records.write(&generation(n)).unwrap();
        }
        assert!(records.write(&generation(9)).is_err());
        assert_eq!(records.all().unwrap().iter().map(|g| g.number).collect::<Vec<_>>(), [9, 10]);
        let (first, second) = (claim(&[]), claim(&[]));
        assert_eq!((first.number, second.number), (11, 12), "two at once");
        drop(first);
        assert_eq!(claim(&[]).number, 11, "nothing came of it");
        assert_eq!(claim(&[40]).number, 41);
        assert_eq!(records.get(10).unwrap(), generation(10));
        assert!(records.get(3).unwrap_err().print().contains("diorama generations"));
    }
}
