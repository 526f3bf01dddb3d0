//! Finding sessions, starting daemons, replacing dead ones.
//!
//! Invariant: a session whose daemon died is taken over (or, when nothing of it runs, cleaned up)
//! before anybody hears of it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Serialize;

use super::Client;
use crate::error::{Error, Kind, Result, ResultExt, nearest};
use crate::lock::{Lock, SessionFiles};
use crate::paths::Paths;
use crate::proto::{Ready, Start, StartOptions};

/// How often a daemon that does not answer is looked at again, and after which pause.
const DYING: u32 = 200;
const DYING_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// A session that lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Its files.
    #[serde(skip)]
    pub files: SessionFiles,
    /// Whether its daemon had died and a new one has just taken over.
    pub taken_over: bool,
    /// The directory below which it keeps disks and logs, when it says.
    #[serde(skip)]
    pub state_dir: Option<PathBuf>,
}

/// What came of starting a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Launched {
    /// A daemon of its own was started.
    New,
    /// The session runs already.
    Running,
}

/// The sessions of this user, by name; daemons that died are replaced on the way.
///
/// # Errors
/// When the runtime directory cannot be read.
pub async fn list(paths: &Paths) -> Result<Vec<Found>> {
    let mut out = Vec::new();
    let entries = match fs::read_dir(&paths.runtime) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(out),
        Err(e) => return Err(e).doing(paths.runtime.display()),
    };
    for entry in entries.filter_map(std::result::Result::ok) {
        let files = SessionFiles::new(entry.path());
        if !files.private().is_dir() {
            continue;
        }
        let mut taken_over = false;
        if !Lock::is_held(&files.lock()) {
            match start(&Start::TakeOver { dir: files.dir.clone() }, None).await? {
                Ready::Gone => continue,
                Ready::Ready => taken_over = true,
                Ready::Busy => {}
                Ready::Failed { message, .. } => {
                    // One session that cannot be taken over must not hide the others.
                    eprintln!("warning: {}: {message}", files.dir.display());
                    continue;
                }
            }
        }
        let own_name = || files.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let saved = read_saved(&files);
        let (name, state_dir) = saved.map_or_else(|| (own_name(), None), |s| (s.name, s.options.state_dir));
        out.push(Found { name, files, taken_over, state_dir });
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(out)
}

/// The session to talk to: the one of that name, or the only one.
///
/// # Errors
/// When there is none, or several and no name.
pub async fn find(paths: &Paths, wanted: Option<&str>) -> Result<Found> {
    let mut all = list(paths).await?;
    let names = all.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(wanted) = wanted {
        if let Some(i) = all.iter().position(|f| f.name == wanted) {
            return Ok(all.swap_remove(i));
        }
        let e = Error::not_found(format!("there is no session {wanted:?}"));
        return Err(match nearest(wanted, all.iter().map(|f| f.name.as_str())) {
            Some(near) => e.hint(format!("did you mean {near}?")),
            None if all.is_empty() => e.hint("none runs; diorama up starts one"),
            None => e.hint(format!("the sessions are {names}")),
        });
    }
    match all.len() {
        0 => Err(Error::not_found("no session is running").hint("diorama up starts one")),
        1 => Ok(all.swap_remove(0)),
        _ => Err(Error::not_found(format!("several sessions are running: {names}"))
            .hint("choose one with --session NAME or DIORAMA_SESSION")),
    }
}

/// Connects to a session. A daemon that dies just now is replaced, too.
///
/// # Errors
/// As [`find`] and [`Client::open`].
pub async fn connect(paths: &Paths, wanted: Option<&str>, who: &str) -> Result<Client> {
    let mut tries = 0;
    loop {
        let found = find(paths, wanted).await?;
        if found.taken_over {
            eprintln!("note: the daemon of session {} had died; a new one has taken over", found.name);
        }
        match Client::open(&found.files.socket(), who).await {
            Err(e) if tries < DYING && e.kind == Kind::Failure => {
                // It may be dying: its lock goes a moment after its socket.
                tries += 1;
                tokio::time::sleep(DYING_PAUSE).await;
            }
            opened => return opened,
        }
    }
}

/// Waits until a session that has said goodbye has removed everything of its own; a few seconds at
/// most.
pub async fn gone(client: &Client) {
    let Some(dir) = client.socket().parent().and_then(Path::parent) else { return };
    let files = SessionFiles::new(dir);
    for _ in 0..500 {
        if !files.private().exists() && !Lock::is_held(&files.lock()) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// Starts a session's daemon, unless the session runs.
///
/// # Errors
/// When the daemon cannot be started.
pub async fn launch(paths: &Paths, options: &StartOptions) -> Result<Launched> {
    let dir = paths.make_session(&options.session).map_err(anyhow::Error::from)?;
    let files = SessionFiles::new(dir);
    let old = files.private().is_dir();
    if old && Lock::is_held(&files.lock()) {
        return Ok(Launched::Running);
    }
    if old && files.saved().exists() {
        let ready = start(&Start::TakeOver { dir: files.dir.clone() }, None).await?;
        if matches!(ready, Ready::Ready | Ready::Busy) {
            return Ok(Launched::Running);
        }
        paths.make_session(&options.session).map_err(anyhow::Error::from)?;
    }
    let state = paths.network_state(&options.session);
    fs::create_dir_all(&state).doing(state.display())?;
    let start_new = Start::New { options: Box::new(options.clone()) };
    match start(&start_new, Some(&state.join("daemon.log"))).await? {
        Ready::Ready => Ok(Launched::New),
        Ready::Busy => Ok(Launched::Running),
        Ready::Gone => Err(Error::new("the daemon ended at once")),
        Ready::Failed { message, hints } => Err(Error { hints, ..Error::new(message) }),
    }
}

/// What finding a session takes from its file.
#[derive(serde::Deserialize)]
struct SavedHead {
    name: String,
    options: StartOptions,
}

fn read_saved(files: &SessionFiles) -> Option<SavedHead> {
    serde_json::from_slice(&fs::read(files.saved()).ok()?).ok()
}

/// Starts a daemon that outlives us, and waits until it says how it is.
async fn start(what: &Start, log: Option<&Path>) -> Result<Ready> {
    let text = serde_json::to_vec(what)?;
    let log = log.map(Path::to_path_buf);
    let blocking = tokio::task::spawn_blocking(move || start_blocking(&text, log.as_deref()));
    blocking.await.map_err(|e| Error::new(format!("starting the daemon: {e}")))?
}

fn start_blocking(text: &[u8], log: Option<&Path>) -> Result<Ready> {
    let program = std::env::current_exe().doing("finding this program's own file")?;
    let stderr = match log {
        Some(path) => fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .doing(path.display())?
            .into(),
        None => Stdio::null(),
    };
    let mut command = Command::new(&program);
    command.arg("daemon").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr).current_dir("/");
    // SAFETY: between fork and exec only setsid is called, which is async-signal-safe.
    unsafe {
        command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(Into::into));
    }
    let mut child = command.spawn().doing(program.display())?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text).doing("telling the daemon what to do")?;
    }
    let mut said = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        std::io::Read::read_to_string(&mut stdout, &mut said).doing("waiting for the daemon")?;
    }
    if let Ok(ready) = serde_json::from_str::<Ready>(said.trim()) {
        return Ok(ready);
    }
    let status = child.wait().map_or_else(|e| e.to_string(), |s| s.to_string());
    let e = Error::new(format!("the daemon ended before it was ready ({status})"));
    Err(match log {
        Some(log) => e.hint(format!("its log is {}", log.display())),
        None => e,
    })
}
