//! Coverage: which lines of marked packages a test has executed, on every machine and in sum.
//!
//! ```text
//! every machine ─ collect ─▶ counters, tracefiles ─ capture (geninfo) ─▶ one tracefile a machine
//!                                                                          │ publish (lcov, genhtml)
//!                              summary.json, html, nodes/*.info, total.info ◀┘
//! ```
//!
//! | in OUT/coverage | what |
//! |---|---|
//! | `summary.json` | totals, by node and by file ([`Summary`]) |
//! | `html/index.html` | files and their percentages, on every node and in sum; leads to lcov's pages |
//! | `total.info`, `nodes/NODE.info` | lcov tracefiles, with paths relative to `sources` |
//! | `sources` | the files that they name |
//!
//! Invariant: a guest is not trusted. What comes out of it is read by bounds and taken apart before any
//! tool sees it, and no file of the host is shown because a guest named it.

mod capture;
mod collect;
mod page;
mod publish;
mod summary;
mod tools;
mod tracefile;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::client::Client;
use crate::error::{Error, Result, ResultExt};
use crate::model::Manifest;

pub use publish::merge;
pub use summary::{Count, Counts, Summary};
pub use tools::Tools;

use tracefile::Tracefile;

/// The directory below a run's where all of it goes.
pub const DIRECTORY: &str = "coverage";

/// What was gathered: for every node what it covered, and what went wrong on the way.
#[derive(Debug, Default)]
struct Gathered {
    nodes: BTreeMap<String, Tracefile>,
    problems: Vec<String>,
}

/// Whether any machine of a network keeps coverage data.
pub fn wanted(manifest: &Manifest) -> bool {
    manifest.nodes.values().any(|n| n.coverage.is_some())
}

/// Collects from every machine of a session and writes the reports below `out`.
///
/// Machines that the script has switched off are started once more, for their disks have what was
/// counted before.
///
/// # Errors
/// When the tools fail or the reports cannot be written. A machine that gives nothing is a problem in
/// the summary.
pub async fn collect(client: &Client, manifest: &Manifest, out: &Path, tools: &Tools) -> Result<Summary> {
    let dir = out.join(DIRECTORY);
    let work = Work::new(&dir)?;
    let raw = collect::all(client, manifest, &work.0).await?;
    let gathered = capture::all(manifest, raw, &dir, &work.0, tools).await?;
    publish::all(&gathered, &dir, &work.0, tools).await
}

/// A directory that is removed in the end.
struct Work(PathBuf);

impl Work {
    fn new(dir: &Path) -> Result<Self> {
        let work = dir.join(".work");
        fs::create_dir_all(&work).doing(work.display())?;
        // lcov resolves links, and compares paths afterwards.
        let work = work.canonicalize().doing(work.display())?;
        Ok(Self(work))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // Leftovers are of no use, and no harm either.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Copies a file and makes the directories above it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).doing(parent.display())?;
    }
    // Read and written, not copied: files of the store are read-only, and this one must not be.
    let bytes = fs::read(from).doing(from.display())?;
    fs::write(to, bytes).doing(to.display())
}

/// All files below a directory, relative to it, in order; links are not followed and not given.
fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    fn walk(dir: &Path, below: &Path, out: &mut Vec<PathBuf>) -> Result<()> {
        for entry in fs::read_dir(dir).doing(dir.display())? {
            let entry = entry.map_err(Error::from)?;
            let name = below.join(entry.file_name());
            let kind = entry.file_type().doing(entry.path().display())?;
            if kind.is_dir() {
                walk(&entry.path(), &name, out)?;
            } else if kind.is_file() {
                out.push(name);
            }
        }
        Ok(())
    }
    let mut out = Vec::new();
    if dir.is_dir() {
        walk(dir, Path::new(""), &mut out)?;
    }
    out.sort();
    Ok(out)
}
