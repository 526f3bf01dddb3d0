//! The session file: written as a whole, or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, ResultExt};
use crate::files;
use crate::proto::StartOptions;
use crate::session::{SAVED_VERSION, Saved};

/// What the file holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionFile {
    /// How the session was started.
    pub options: StartOptions,
    /// The session.
    #[serde(flatten)]
    pub saved: Saved,
}

/// Writes the file.
pub(super) fn write(path: &Path, file: &SessionFile) -> Result<()> {
    files::replace(path, &serde_json::to_vec(file)?, 0o600).doing(path.display())
}

/// Reads the file; none when there is none.
pub(super) fn read(path: &Path) -> Result<Option<SessionFile>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).doing(path.display()),
    };
    let file: SessionFile = serde_json::from_slice(&text).doing(path.display())?;
    if file.saved.version != SAVED_VERSION {
        return Err(Error::new(format!(
            "{}: version {} is not known here, only {SAVED_VERSION}",
            path.display(),
            file.saved.version
        ))
        .hint("use the version of diorama that started the session"));
    }
    Ok(Some(file))
}

/// Keeps how long boots took: milliseconds by node.
pub(super) fn write_boots(path: &Path, boots: &BTreeMap<String, u64>) -> Result<()> {
    files::replace(path, &serde_json::to_vec(boots)?, 0o600).doing(path.display())
}

/// How long boots took in earlier sessions. A guess for a bar: what cannot be read is unknown.
pub(super) fn read_boots(path: &Path) -> BTreeMap<String, u64> {
    fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::ModelSource;
    use crate::session::State;

    #[test]
    fn the_file_reads_back_as_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("session.json");
        assert!(read(&path).unwrap().is_none());
        let options = StartOptions {
            session: "s".into(),
            source: ModelSource::Manifest("/m.json".into()),
            state_dir: None,
            accel: None,
            nixpkgs: None,
            fresh: false,
            coverage: false,
            hold: false,
        };
        let saved = State::new("s", "/m.json", 7).save();
        write(&path, &SessionFile { options: options.clone(), saved: saved.clone() }).unwrap();
        let back = read(&path).unwrap().unwrap();
        assert_eq!((back.options, back.saved), (options, saved));
        fs::write(&path, "{").unwrap();
        assert!(read(&path).unwrap_err().message.contains("session.json"));
    }
}
