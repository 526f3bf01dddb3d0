//! lcov's programs, found before a test begins and run with bounds.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::error::{Error, Result, ResultExt};
use crate::qemu::on_path;

/// No tool takes longer than this.
const LIMIT: Duration = Duration::from_secs(900);

/// lcov's programs.
#[derive(Debug, Clone)]
pub struct Tools {
    lcov: PathBuf,
    geninfo: PathBuf,
    genhtml: PathBuf,
}

impl Tools {
    /// Finds them on the search path.
    ///
    /// # Errors
    /// When one is not there, with the way out.
    pub fn find() -> Result<Self> {
        let find = |name: &str| {
            on_path(name).ok_or_else(|| {
                Error::new(format!("{name}, which makes coverage reports, was not found"))
                    .hint("diorama setup installs it: it is in the package lcov")
            })
        };
        Ok(Self { lcov: find("lcov")?, geninfo: find("geninfo")?, genhtml: find("genhtml")? })
    }

    /// Makes a tracefile of the counters below a directory, or of notes alone (`initial`): then it has
    /// every line, and none was executed.
    pub(super) async fn capture(
        &self,
        dir: &Path,
        gcov: &Path,
        source: (&str, &Path),
        initial: bool,
        to: &Path,
    ) -> Result<()> {
        let mut command = Command::new(&self.geninfo);
        command.arg("--quiet").arg("--gcov-tool").arg(gcov).arg("--output-filename").arg(to);
        command.args(["--ignore-errors", "gcov,source,graph", "--no-checksum"]);
        // Where the source is here; marks in it leave lines out.
        command.arg("--rc").arg(format!("geninfo_adjust_src_path={} => {}", source.0, source.1.display()));
        if initial {
            command.arg("--initial");
        }
        run(command.arg(dir), dir).await
    }

    /// Adds tracefiles up.
    pub(super) async fn add(&self, files: &[PathBuf], to: &Path) -> Result<()> {
        let mut command = Command::new(&self.lcov);
        command.arg("--quiet");
        for file in files {
            command.arg("--add-tracefile").arg(file);
        }
        run(command.arg("--output-file").arg(to), to.parent().unwrap_or(Path::new("/"))).await
    }

    /// Makes pages of a tracefile.
    pub(super) async fn pages(&self, file: &Path, title: &str, sources: &Path, to: &Path) -> Result<()> {
        let mut command = Command::new(&self.genhtml);
        command.args(["--quiet", "--legend", "--no-branch-coverage", "--function-coverage"]);
        command.args(["--ignore-errors", "source", "--title", title]).arg("--prefix").arg(sources);
        run(command.arg("--output-directory").arg(to).arg(file), sources).await
    }
}

/// Runs a tool in a directory; what it says is told only when it fails.
async fn run(command: &mut Command, dir: &Path) -> Result<()> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    command.current_dir(dir).stdin(Stdio::null()).kill_on_drop(true);
    // A person's own settings for lcov would change what is counted.
    command.env("HOME", dir).env("LC_ALL", "C.UTF-8");
    let output = tokio::time::timeout(LIMIT, command.output())
        .await
        .map_err(|_| Error::new(format!("{program} did not end within {} s", LIMIT.as_secs())))?
        .doing(&program)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = said.lines().filter(|l| !l.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(5)..].join("\n");
    Err(Error::new(format!("{program} failed ({}): {last}", output.status)))
}
