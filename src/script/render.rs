//! From a log of events to a page beside it, with the pictures and the coverage that lie there.
//!
//! Invariant: only files below the log's own directory are read, whatever paths the log names: a log
//! may come from elsewhere.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::html::{self, Beside, Coverage, Picture};
use super::story::{Story, What};
use crate::error::{Error, Result, ResultExt};

/// The log's name in a run's directory.
pub const LOG: &str = "log.ndjson";
/// The page's name beside it.
pub const PAGE: &str = "report.html";
/// The largest picture that is put into a page, and the most for all.
const PICTURE_MAX: u64 = 8 << 20;
const PICTURES_MAX: usize = 64 << 20;

/// Reads a run's log and writes its page to `page`.
///
/// # Errors
/// When the log cannot be read or the page not be written.
pub fn write_page(log: &Path, page: &Path) -> Result<Story> {
    let bytes = fs::read(log).doing(log.display())?;
    let story = Story::read(&String::from_utf8_lossy(&bytes));
    let dir = log.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let html = html::page(&story, &beside(&story, dir));
    fs::write(page, html).doing(page.display())?;
    Ok(story)
}

/// What lies beside a log.
fn beside(story: &Story, dir: &Path) -> Beside {
    let mut room = PICTURES_MAX;
    let mut pictures: Vec<Picture> = Vec::new();
    for entry in &story.entries {
        let What::Artifact(path, true) = &entry.what else { continue };
        if pictures.iter().any(|p| p.path == *path) {
            continue;
        }
        if let Some(png) = picture(dir, &story.out_dir, path).filter(|p| p.len() <= room) {
            room -= png.len();
            pictures.push(Picture { path: path.clone(), png });
        }
    }
    Beside { pictures, coverage: coverage(dir) }
}

fn picture(dir: &Path, out_dir: &str, path: &str) -> Option<Vec<u8>> {
    // Where the run put it; the directory may have moved since.
    let relative = Path::new(path).strip_prefix(out_dir).ok().filter(|_| !out_dir.is_empty());
    let relative = relative.or_else(|| Path::new(path).file_name().map(Path::new))?;
    let file = below(dir, relative)?;
    let about = fs::metadata(&file).ok()?;
    if !about.is_file() || about.len() > PICTURE_MAX {
        return None;
    }
    fs::read(file).ok().filter(|png| png.starts_with(b"\x89PNG\r\n\x1a\n"))
}

/// A file below a directory, links followed; nothing when it lies elsewhere.
fn below(dir: &Path, relative: &Path) -> Option<PathBuf> {
    if !relative.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir)) {
        return None;
    }
    let (root, file) = (dir.canonicalize().ok()?, dir.join(relative).canonicalize().ok()?);
    file.starts_with(root).then_some(file)
}

fn coverage(dir: &Path) -> Option<Coverage> {
    let page = "coverage/html/index.html";
    let page = dir.join(page).is_file().then(|| page.to_owned());
    let summary = fs::read(dir.join("coverage/summary.json")).ok();
    let summary = summary.and_then(|text| serde_json::from_slice(&text).ok());
    if summary.is_none() && page.is_none() {
        return None;
    }
    Some(Coverage::read(&summary.unwrap_or_default(), page))
}

/// The log that a path means: a log itself, or a directory with one.
///
/// # Errors
/// When there is none.
pub fn find_log(path: &Path) -> Result<PathBuf> {
    let log = if path.is_dir() { path.join(LOG) } else { path.to_owned() };
    if log.is_file() {
        return Ok(log);
    }
    Err(Error::not_found(format!("{}: there is no log of a test run", log.display()))
        .hint("diorama test --out DIR leaves one; diorama report DIR shows it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_taken_from_the_logs_own_directory_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, secret) = (dir.path().join("run"), dir.path().join("secret.png"));
        fs::create_dir(&inside).unwrap();
        let png = b"\x89PNG\r\n\x1a\n...".to_vec();
        for file in [&secret, &inside.join("a.png")] {
            fs::write(file, &png).unwrap();
        }
        fs::write(inside.join("b.png"), "no picture").unwrap();
        std::os::unix::fs::symlink(&secret, inside.join("link.png")).unwrap();
        for (path, found) in [
            ("/was/here/a.png", true),
            ("/elsewhere/a.png", true),
            ("/was/here/../secret.png", false),
            ("/was/here/link.png", false),
            ("/was/here/b.png", false),
            (secret.to_str().unwrap(), false),
            ("", false),
        ] {
            assert_eq!(picture(&inside, "/was/here", path).is_some(), found, "{path}");
        }
    }

    #[test]
    fn a_page_is_made_from_the_log_alone() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join(LOG);
        fs::write(&log, b"{\"event\":\"begin\",\"network\":\"n\"}\n\xff\xfe\n").unwrap();
        let page = dir.path().join(PAGE);
        write_page(&find_log(dir.path()).unwrap(), &page).unwrap();
        assert!(fs::read_to_string(page).unwrap().contains("<h1>n</h1>"));
        assert!(find_log(&dir.path().join("none")).is_err());
    }
}
