//! Secrets of a clone's machines: read when the session is prepared, put into every machine whenever it has booted.
//!
//! ```text
//! evaluation ─▶ read ─▶ .daemon/keys/NODE/NAME ─▶ the machine's agent, by standard input
//!                              └ still there for a daemon that takes over; gone with the session
//! ```
//!
//! Invariant: what a secret says is in these private files alone, never in the session's state, its log or an argument.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::log;
use crate::agent::{AgentClient, ExecRequest, Output, Stream};
use crate::error::{Error, Result, ResultExt, printable};
use crate::files;
use crate::lock::SessionFiles;
use crate::model::{Key, Manifest, ShellKind};
use crate::proto::Level;
use crate::secrets::{self, CLONE, Secrets, Texts};

/// How long a machine may take to put one into its place, its action with it, which has five minutes.
const PATIENCE: Duration = Duration::from_secs(330);

/// Where the secrets of a session are.
pub(super) fn directory(files: &SessionFiles) -> PathBuf {
    files.private().join("keys")
}

/// Reads the secrets of all machines, and keeps them for as long as the session lives; what a person should know of it.
pub(super) async fn prepare(
    manifest: &Manifest,
    texts: &Texts,
    model: &Path,
    files: &SessionFiles,
) -> Result<Vec<String>> {
    let dir = model.parent().unwrap_or(Path::new("/"));
    let reached = |shell: ShellKind| shell != ShellKind::None;
    let nodes = manifest.nodes.iter().filter(|(_, node)| reached(node.shell));
    let secrets = secrets::read(nodes.map(|(name, node)| (name, &node.keys)), texts, dir).await?;
    store(&secrets, &directory(files))?;
    let without = manifest.nodes.iter().filter(|(_, n)| !reached(n.shell) && !n.keys.is_empty());
    let without = without.map(|(name, node)| {
        let keys: Vec<&str> = node.keys.keys().map(String::as_str).collect();
        format!("{name} has no agent, so it gets no keys ({}): put them there by hand", keys.join(", "))
    });
    let exposed = secrets::exposed(manifest.nodes.iter().map(|(name, node)| (name, &node.keys)));
    Ok(without.chain(exposed).collect())
}

fn store(secrets: &Secrets, dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e).doing(dir.display()),
        _ => {}
    }
    for (node, list) in secrets.iter() {
        let own = dir.join(node);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&own).doing(own.display())?;
        for carried in list {
            let path = own.join(&carried.name);
            files::replace(&path, carried.secret.bytes(), 0o600).doing(path.display())?;
        }
    }
    Ok(())
}

/// Puts a machine's secrets into it; what went wrong, a line each.
pub(super) async fn put(
    agent: &AgentClient,
    manifest: &Manifest,
    node: &str,
    dir: &Path,
) -> Vec<(Level, String)> {
    let mut out = Vec::new();
    for (name, key) in manifest.nodes.get(node).iter().flat_map(|n| &n.keys) {
        let file = dir.join(node).join(name);
        let one = put_one(agent, name, key, &file);
        let result = match tokio::time::timeout(PATIENCE, one).await {
            Ok(result) => result,
            Err(_) => Err(Error::new(format!("the machine has not taken it in {} s", PATIENCE.as_secs()))),
        };
        match result {
            Ok(()) => log::line(&format!("{node}: the key {name} is there")),
            Err(e) => out
                .push((Level::Error, format!("{node}: the key {name} is not in the machine: {}", e.message))),
        }
    }
    out
}

async fn put_one(agent: &AgentClient, name: &str, key: &Key, file: &Path) -> Result<()> {
    let secret = secrets::read_file(file)?;
    let (mode, action) = (secrets::permissions(key), secrets::action(key));
    let mkdirs = if key.mk_dirs { "1" } else { "0" };
    let words =
        ["sh", "-c", CLONE, "diorama", &key.user, &key.group, &mode, mkdirs, &key.path, name, &action];
    let mut handle = agent.exec(ExecRequest::new(words)).await.map_err(broken)?;
    // A machine that fails before it has read everything says why.
    let _ = handle.stdin.write(secret.bytes()).await;
    handle.stdin.end();
    let mut said = Vec::new();
    while let Some(Output { stream, bytes }) = handle.output.next().await {
        if stream == Stream::Stderr && said.len() < 4096 {
            said.extend(bytes);
        }
    }
    let status = handle.wait().await.map_err(broken)?;
    if status.code() == 0 {
        return Ok(());
    }
    let said = printable(String::from_utf8_lossy(&said).trim());
    // Every key's own words begin with its name.
    let said = said.strip_prefix(&format!("the key {name}: ")).unwrap_or(&said);
    Err(Error::new(if said.is_empty() { "its shell failed".to_owned() } else { said.to_owned() }))
}

fn broken(e: crate::agent::ExecError) -> Error {
    Error::new(e.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn secrets_are_kept_privately_and_those_of_the_last_time_go() {
        let manifest = |shell: &str| {
            let text = format!(
                r#"{{"version":1,"network":{{"name":"n"}},"nodes":{{"a":{{"hostName":"a","shell":"{shell}",
                "boot":{{"kind":"direct","kernel":"/k","initrd":"/i"}},
                "keys":{{"db":{{"path":"/run/keys/db","source":{{"kind":"text"}}}}}}}}}}}}"#
            );
            crate::model::parse(&text).unwrap()
        };
        let dir = tempfile::tempdir().unwrap();
        let session = SessionFiles::new(dir.path());
        let texts = serde_json::from_str(r#"{"a":{"db":"hunter2"}}"#).unwrap();
        let stale = directory(&session).join("b/old");
        files::replace(&stale, b"stale", 0o600).unwrap();
        let model = Path::new("/models/m.nix");
        assert!(prepare(&manifest("agent"), &texts, model, &session).await.unwrap().is_empty());
        let file = directory(&session).join("a/db");
        assert_eq!(fs::read(&file).unwrap(), b"hunter2");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(&file), mode(file.parent().unwrap()), mode(&directory(&session))),
            (0o600, 0o700, 0o700)
        );
        assert!(!stale.exists());
        let e = prepare(&manifest("agent"), &Texts::default(), model, &session).await.unwrap_err();
        assert!(e.message.contains("node a: the key db") && e.hints[0].contains("keyFile"), "{e:?}");
        let notes = prepare(&manifest("none"), &Texts::default(), model, &session).await.unwrap();
        assert!(notes[0].contains("a has no agent") && notes[0].contains("db"), "{notes:?}");
    }
}
