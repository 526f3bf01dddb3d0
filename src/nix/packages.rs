//! The packages that a model asks for: resolved by apt, and kept in a lock beside the model.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::{Evaluator, Level, NixError, Progress, blocking, flake, replace};
use crate::apt;

impl Evaluator {
    /// The `mirrors` argument: what apt's sources offer. Asking apt takes longer than evaluating, so
    /// the answer is kept until its sources or lists change.
    pub(super) async fn mirrors(&self) -> Result<String, NixError> {
        let cache = self.options.paths.cache.clone();
        blocking(move || {
            let names = cache.join("package-names.json");
            let file = cache.join("mirrors.nix");
            let stamp = format!("# {}\n", apt_stamp());
            if let Ok(text) = fs::read_to_string(&file)
                && let Some(kept) = text.strip_prefix(&stamp)
                && names.is_file()
            {
                return Ok(kept.to_owned());
            }
            let mirrors = apt::mirrors().map_err(NixError::Packages)?;
            apt::write_names(&names).map_err(NixError::Packages)?;
            let text = apt::nix_argument(&mirrors, Some(&names));
            replace(&file, &format!("{stamp}{text}"), 0o600)?;
            Ok(text)
        })
        .await
    }

    pub(super) async fn resolve(
        &self,
        sets: Vec<Vec<String>>,
        lock: &Path,
        update: bool,
        progress: &mut (dyn FnMut(Progress) + Send),
        cancel: &CancellationToken,
    ) -> Result<(), NixError> {
        let packages = sets.iter().flatten().collect::<std::collections::BTreeSet<_>>().len();
        progress(Progress::Resolving { packages });
        let path = lock.to_path_buf();
        let work = blocking(move || {
            let previous = match fs::read_to_string(&path) {
                Ok(text) => Some(apt::Lock::parse(&text).map_err(|e| {
                    let e = crate::error::Error::new(e.to_string());
                    NixError::Packages(e.context(path.display()))
                })?),
                Err(e) if e.kind() == io::ErrorKind::NotFound => None,
                Err(e) => return Err(NixError::io(format!("reading {}", path.display()), e)),
            };
            let mut sets = sets;
            if update && let Some(previous) = &previous {
                sets.extend(previous.sets.iter().map(|s| s.roots.clone()));
            }
            let (new, changes) =
                apt::resolve(&sets, previous.as_ref(), update).map_err(NixError::Packages)?;
            replace(&path, &new.print(), 0o644)?;
            Ok(format!(
                "{} names {} packages now, {} MB of them new",
                path.display(),
                new.packages.len(),
                changes.new_bytes / 1_000_000
            ))
        });
        tokio::select! {
            said = work => {
                progress(Progress::Message { level: Level::Info, text: said? });
                Ok(())
            }
            () = cancel.cancelled() => Err(NixError::Cancelled),
        }
    }
}

/// The lock file of a model: `NAME.lock.json` beside it. All outputs of a flake share theirs.
pub fn lock_path(model: &Path) -> PathBuf {
    flake::file(model).with_extension("lock.json")
}

/// When apt's sources and lists were last changed, and which they are.
fn apt_stamp() -> String {
    use std::os::unix::fs::MetadataExt;
    let mut out = String::new();
    for dir in ["/etc/apt", "/etc/apt/sources.list.d", "/etc/apt/apt.conf.d", "/var/lib/apt/lists"] {
        for path in [Path::new(dir), &Path::new(dir).join("sources.list")] {
            if let Ok(m) = fs::metadata(path) {
                out.push_str(&format!("{}:{}.{} ", path.display(), m.mtime(), m.mtime_nsec()));
            }
        }
    }
    if let Some(config) = std::env::var_os("APT_CONFIG") {
        out.push_str(&config.to_string_lossy().replace('\n', " "));
    }
    out
}
