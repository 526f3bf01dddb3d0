//! Machines on disk and in the process table: launching one, finding those that run, and taking a
//! whole session over from a daemon that died.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::driver::Driver;
use super::machinery::Machinery;
use super::{Context, log, saving};
use crate::error::{Error, Result, ResultExt};
use crate::lock::{Lock, SessionFiles};
use crate::model::{Boot, Manifest};
use crate::paths::{NodePaths, Paths};
use crate::qemu::process::{self, Process};
use crate::qemu::{NodeConfig, SocketPaths, command_line, disk, script_environment, script_words};
use crate::session::{Alive, State};

/// After how many bytes of console output the log's size is looked at.
pub(super) const LOG_CHECK: usize = 4 << 20;
/// The size beyond which a console log is cut.
const LOG_MAX: u64 = 64 << 20;
/// What is kept of it then.
const LOG_KEEP: u64 = 16 << 20;

/// Starts a node's QEMU.
pub(super) fn launch(
    manifest: &Manifest,
    name: &str,
    paths: &NodePaths,
    found: &Machinery,
    fresh: bool,
) -> Result<Process> {
    let config = NodeConfig::of(manifest, name)
        .ok_or_else(|| Error::new(format!("the manifest has no node {name}")))?;
    paths.make()?;
    bound_log(&paths.console_log());
    match (&config.node.boot, &config.node.state_disk) {
        // The script makes what is not there, with a file system on it.
        (Boot::Script { .. }, _) => script_state(paths, fresh)?,
        (boot, Some(state)) => {
            let base = match boot {
                Boot::Disk { image, format } => Some(disk::Base { image, format: *format }),
                Boot::Direct { .. } | Boot::Script { .. } => None,
            };
            let prepared =
                disk::prepare(&paths.state_disk(), state.size, base, fresh).map_err(anyhow::Error::from)?;
            log::line(&format!("{name}: state disk {prepared:?}"));
        }
        (_, None) => {}
    }
    let sockets = SocketPaths::from(paths);
    let accel = found.choice.accel;
    match &config.node.boot {
        Boot::Direct { .. } | Boot::Disk { .. } => {
            let words = command_line(&config, &sockets, accel, &found.qemu.features);
            Ok(process::spawn(paths, &found.qemu.program, &words)?)
        }
        Boot::Script { script } => {
            let environment =
                script_environment(&config, &sockets, accel).map_err(|e| Error::new(e.to_string()))?;
            let program = std::env::current_exe().doing("finding this program's own file")?;
            let words = script_words(&config, &sockets, &program, script);
            Ok(process::spawn_with(paths, Path::new("/bin/sh"), &words, &environment)?)
        }
    }
}

/// Makes the directories of a start script's own files, without what was in them if they are to be fresh.
fn script_state(paths: &NodePaths, fresh: bool) -> Result<()> {
    let (disk, own) = (paths.state_disk(), paths.script_state());
    if fresh {
        gone(fs::remove_file(&disk), &disk)?;
        gone(fs::remove_dir_all(&own), &own)?;
    }
    for dir in [own, paths.shared()] {
        fs::create_dir_all(&dir).doing(dir.display())?;
    }
    Ok(())
}

/// Removes what a machine has left behind that is off and has left the session.
pub(super) fn remove_node(paths: &NodePaths) -> Result<()> {
    for file in [paths.state_disk(), paths.console_log(), paths.run_script()] {
        gone(fs::remove_file(&file), &file)?;
    }
    for dir in [paths.script_state(), paths.run.clone()] {
        gone(fs::remove_dir_all(&dir), &dir)?;
    }
    Ok(())
}

/// The outcome of removing something, which may not be there.
fn gone(outcome: std::io::Result<()>, path: &Path) -> Result<()> {
    match outcome {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).doing(path.display()),
        _ => Ok(()),
    }
}

/// Cuts a console log that has grown beyond all measure, keeping its end. QEMU writes it in append
/// mode, so it goes on behind what is kept.
pub(super) fn bound_log(path: &Path) {
    let cut = || -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new().read(true).write(true).open(path)?;
        let len = file.metadata()?.len();
        if len <= LOG_MAX {
            return Ok(());
        }
        file.seek(SeekFrom::Start(len - LOG_KEEP))?;
        let mut tail = Vec::new();
        (&mut file).take(LOG_KEEP).read_to_end(&mut tail)?;
        // What QEMU appends between these two calls is lost: at such a rate nobody reads it.
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        std::io::Write::write_all(&mut file, &tail)
    };
    if let Err(e) = cut()
        && e.kind() != std::io::ErrorKind::NotFound
    {
        log::line(&format!("{}: {e}", path.display()));
    }
}

/// The end of a console log.
pub(super) fn log_tail(path: &Path, max: u64) -> Vec<u8> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = fs::File::open(path)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(max)))?;
        let mut tail = Vec::new();
        file.take(max).read_to_end(&mut tail)?;
        Ok(tail)
    };
    read().unwrap_or_default()
}

/// Takes over a session whose daemon died; none when nothing of it runs, and then it is removed.
pub(super) async fn take_over(files: SessionFiles, lock: Lock) -> Result<Option<Driver>> {
    let file = match saving::read(&files.saved()) {
        Ok(Some(file)) => file,
        Ok(None) => return remove(&files, lock).map(|()| None),
        Err(e) => return Err(e),
    };
    let paths = Paths::from_env(file.options.state_dir.as_deref())?;
    // The environment may name other directories by now; the session is where it is.
    let paths = Paths { runtime: files.dir.parent().unwrap_or(Path::new("/")).to_path_buf(), ..paths };
    let mut processes = BTreeMap::new();
    for name in file.saved.nodes.keys() {
        let node = paths.node(&file.saved.name, name);
        if let Some(process) = process::adopt(&node)? {
            processes.insert(name.clone(), process);
        }
    }
    if processes.is_empty() {
        return remove(&files, lock).map(|()| None);
    }
    let alive: BTreeMap<String, Alive> =
        processes.iter().map(|(name, p)| (name.clone(), Alive::Yes { pid: p.pid })).collect();
    let state = State::restore(file.saved, &alive);
    let context = Context::new(file.options, paths, files);
    Driver::taken_over(context, lock, state, processes).map(Some)
}

/// Removes a session's runtime directory, and with the last session the directory of all that was made for them
/// among the temporary files.
pub(super) fn remove(files: &SessionFiles, lock: Lock) -> Result<()> {
    let result = match fs::remove_dir_all(&files.dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).doing(files.dir.display()),
        _ => Ok(()),
    };
    let all = files
        .dir
        .parent()
        .filter(|p| p.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"diorama-")));
    if let Some(all) = all {
        // It stays while anything else is in it; whoever needs it makes it anew.
        let _ = fs::remove_dir(all);
    }
    drop(lock);
    result
}
