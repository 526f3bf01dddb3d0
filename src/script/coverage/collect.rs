//! Getting coverage data out of the machines of a session.
//!
//! Invariant: what a machine sends is bounded, unpacked below a directory of its own, and has nothing in
//! it afterwards but plain files and directories: no link can lead a reader elsewhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures::future::join_all;
use tokio::io::AsyncWriteExt;

use crate::client::{Client, StreamItem};
use crate::error::{Error, Result, ResultExt, printable};
use crate::model::Manifest;
use crate::proto::{Action, NodeState, NodeVerb, StreamEnd};

/// The most that one machine may send.
const MOST: usize = 512 << 20;
/// How long one machine may take, with starting it once more.
const PATIENCE: Duration = Duration::from_secs(900);
/// Lines of problems that are taken in from one machine.
const PROBLEMS: usize = 20;

/// What came of one machine.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) node: String,
    /// Its data, unpacked.
    pub(super) dir: PathBuf,
    pub(super) problems: Vec<String>,
}

/// Collects from all machines that keep data, at once.
///
/// # Errors
/// When the session is gone, or the directory cannot be written.
pub(super) async fn all(client: &Client, manifest: &Manifest, work: &Path) -> Result<Vec<Raw>> {
    let view = client.view().await?;
    let wanted = manifest.nodes.iter().filter_map(|(name, node)| Some((name, node.coverage.as_ref()?)));
    let jobs = wanted.map(|(name, coverage)| {
        let state = view.nodes.iter().find(|n| n.name == *name).map_or(NodeState::Failed, |n| n.state);
        let dir = work.join("raw").join(name);
        async move {
            fs::create_dir_all(&dir).doing(dir.display())?;
            let mut problems = Vec::new();
            if has_run(state) {
                let work = one(client, name, &coverage.collect, &dir);
                let done = tokio::time::timeout(PATIENCE, work).await;
                match done {
                    Ok(Ok(())) => problems.extend(told(&dir, name)),
                    Ok(Err(e)) => problems.push(format!("{name}: {}", e.message)),
                    Err(_) => problems.push(format!("{name}: nothing came within {} s", PATIENCE.as_secs())),
                }
                sweep(&dir)?;
            }
            Ok(Raw { node: name.clone(), dir, problems })
        }
    });
    join_all(jobs).await.into_iter().collect()
}

/// Whether a machine was ever on: one that the script has not started has counted nothing.
fn has_run(state: NodeState) -> bool {
    use NodeState::{Booting, Crashed, Paused, Stopped, Stopping, Up};
    matches!(state, Booting | Up | Paused | Stopping | Stopped | Crashed)
}

async fn one(client: &Client, node: &str, command: &[String], dir: &Path) -> Result<()> {
    wait_for_agent(client, node).await?;
    let mut tar = tokio::process::Command::new("tar")
        .arg("-C")
        .arg(dir)
        .args(["-xf", "-", "--no-same-owner", "--no-same-permissions"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .doing("running tar")?;
    let mut unpack = tar.stdin.take().ok_or_else(|| Error::new("tar has no input"))?;
    let mut stream = client.exec(node, command.to_vec(), Vec::new(), None).await?;
    let _ = stream.input().end().await;
    let (mut size, mut said) = (0, Vec::new());
    let end = loop {
        match stream.next().await {
            Some(StreamItem::Data { channel: 1, bytes }) => {
                size += bytes.len();
                if size > MOST {
                    return Err(Error::new(format!("it sends more than {} MiB", MOST >> 20)));
                }
                unpack.write_all(&bytes).await.doing("unpacking")?;
            }
            Some(StreamItem::Data { bytes, .. }) if said.len() < 4096 => {
                said.extend_from_slice(&bytes[..bytes.len().min(4096)]);
            }
            Some(StreamItem::Data { .. }) => {}
            Some(StreamItem::End(end)) => break end,
            None => return Err(Error::new("the connection broke")),
        }
    };
    drop(unpack);
    let unpacked = tar.wait().await.doing("running tar")?;
    match end {
        StreamEnd::Exited { code: 0 } if unpacked.success() => Ok(()),
        StreamEnd::Exited { code: 0 } => Err(Error::new("what it sends is no archive")),
        StreamEnd::NotStarted { reason } | StreamEnd::Broken { reason } => Err(Error::new(reason)),
        _ => {
            let said = String::from_utf8_lossy(&said);
            Err(Error::new(format!("its data could not be packed: {}", printable(said.trim()))))
        }
    }
}

/// Waits until a machine answers. One that is off, or on its way there, is started again, once.
async fn wait_for_agent(client: &Client, node: &str) -> Result<()> {
    use NodeState::{Booting, Crashed, Failed, Paused, Stopped, Up};
    let mut views = client.subscribe().await?;
    let (mut asked, mut seen_on) = (false, false);
    loop {
        let (state, agent) = {
            let view = views.borrow_and_update();
            let found = view.nodes.iter().find(|n| n.name == node);
            found.map_or((Failed, false), |n| (n.state, n.agent))
        };
        let verb = match state {
            Up | Booting if agent => return Ok(()),
            Failed => return Err(Error::new("it could not be started")),
            Stopped | Crashed if seen_on && asked => return Err(Error::new("it went off again")),
            Stopped | Crashed if !asked => Some(NodeVerb::Start),
            Paused if !asked => Some(NodeVerb::Resume),
            _ => None,
        };
        seen_on |= asked && matches!(state, Up | Booting);
        if let Some(verb) = verb {
            asked = true;
            client.act(Action::Node { node: node.to_owned(), verb }).await?;
        }
        if views.changed().await.is_err() {
            return Err(Error::new(client.ended().await));
        }
    }
}

/// What the machine itself says went wrong.
fn told(dir: &Path, node: &str) -> Vec<String> {
    let path = dir.join("problems");
    let plain = fs::symlink_metadata(&path).is_ok_and(|m| m.is_file() && m.len() < 1 << 20);
    let text = if plain { fs::read(&path).unwrap_or_default() } else { Vec::new() };
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().take(PROBLEMS).map(|l| format!("{node}: {}", printable(l))).collect()
}

/// Removes whatever is neither a plain file nor a directory.
fn sweep(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).doing(dir.display())? {
        let path = entry.map_err(Error::from)?.path();
        let kind = fs::symlink_metadata(&path).doing(path.display())?.file_type();
        if kind.is_dir() {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).doing(path.display())?;
            sweep(&path)?;
        } else if !kind.is_file() {
            fs::remove_file(&path).doing(path.display())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_went_off_is_asked_and_one_that_was_never_on_is_not() {
        for (state, expected) in [
            (NodeState::Stopped, true),
            (NodeState::Crashed, true),
            (NodeState::Up, true),
            (NodeState::Built, false),
            (NodeState::Failed, false),
        ] {
            assert_eq!(has_run(state), expected, "{state:?}");
        }
    }

    #[test]
    fn links_are_swept_away() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path();
        fs::create_dir_all(dir.join("a/b")).unwrap();
        fs::write(dir.join("a/b/file"), "x").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.join("a/link")).unwrap();
        std::os::unix::fs::symlink("/etc", dir.join("dir")).unwrap();
        sweep(dir).unwrap();
        assert!(dir.join("a/b/file").is_file());
        assert!(!dir.join("a/link").exists() && !dir.join("dir").exists());
    }

    #[test]
    fn problems_are_text_for_a_terminal() {
        let tmp = tempfile::tempdir().unwrap();
        fs::write(tmp.path().join("problems"), "one\n\x1b[31mtwo\n".repeat(100)).unwrap();
        let told = told(tmp.path(), "web");
        assert_eq!((told.len(), told[0].as_str()), (PROBLEMS, "web: one"));
        assert!(!told[1].contains('\x1b'));
    }
}
