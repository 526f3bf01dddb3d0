//! Reading secrets from where they are: every source once, before anything is done with any.
//!
//! Invariant: an error names the node, the key and the source, and nothing that was read.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::{Carried, LARGEST, Secret, Secrets, Texts};
use crate::error::{Error, Result, printable};
use crate::model::{Key, Source};

/// How long a command may take; it may ask a person for a passphrase.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long its pipes are read when it has ended.
const REST: Duration = Duration::from_secs(1);
/// What is kept of what a command says about its failure.
const SAID_MAX: u64 = 64 << 10;
/// Characters of it that are shown.
const SAID_SHOWN: usize = 600;

/// Makes the names of files independent of where they are read: relative ones are meant from where the model is.
pub fn resolve<'a>(keys: impl Iterator<Item = &'a mut Key>, model: &Path) {
    let dir = model.parent().unwrap_or(Path::new("/"));
    for key in keys {
        if let Source::File { path } = &mut key.source
            && Path::new(path.as_str()).is_relative()
        {
            *path = dir.join(path.as_str()).display().to_string();
        }
    }
}

/// Reads the secrets of some nodes; commands run in `dir`.
///
/// # Errors
/// Names the first that cannot be had, and why.
pub async fn read<'a>(
    nodes: impl Iterator<Item = (&'a String, &'a BTreeMap<String, Key>)>,
    texts: &Texts,
    dir: &Path,
) -> Result<Secrets> {
    let mut known: BTreeMap<Source, Secret> = BTreeMap::new();
    let mut out = BTreeMap::new();
    for (node, keys) in nodes.filter(|(_, keys)| !keys.is_empty()) {
        let mut list = Vec::new();
        for (name, key) in keys {
            let secret = match (&key.source, known.get(&key.source)) {
                (Source::Text {}, _) => texts.get(node, name).cloned().ok_or_else(no_text),
                (_, Some(secret)) => Ok(secret.clone()),
                (Source::File { path }, None) => read_file(Path::new(path)),
                (Source::Command { command }, None) => run(command, dir).await,
            };
            let secret = secret.map_err(|e| e.context(format!("node {node}: the key {name}")))?;
            if secret.bytes().len() > LARGEST {
                return Err(Error::new(format!("node {node}: the key {name}: it is larger than 1 MiB")));
            }
            if !matches!(key.source, Source::Text {}) {
                known.insert(key.source.clone(), secret.clone());
            }
            list.push(Carried { name: name.clone(), key: key.clone(), secret });
        }
        out.insert(node.clone(), list);
    }
    Ok(Secrets(out))
}

/// Secrets whose files everybody on this machine can read, a warning each.
pub fn exposed<'a>(nodes: impl Iterator<Item = (&'a String, &'a BTreeMap<String, Key>)>) -> Vec<String> {
    let mut out = Vec::new();
    for (node, keys) in nodes {
        for (name, key) in keys {
            if let Source::File { path } = &key.source
                && path.starts_with("/nix/store/")
            {
                out.push(format!(
                    "node {node}: the key {name} comes from {path}, which everybody here can read; name its file by \
                     text, \"secrets/{name}\", which is meant from the model's directory"
                ));
            }
        }
    }
    out
}

fn no_text() -> Error {
    Error::new("the model has it as text, and this document does not carry texts")
        .hint("name a file (keyFile) or a command (keyCommand) in the model, or start from the model itself")
}

/// Reads a secret from a file.
///
/// # Errors
/// When it cannot be read.
pub fn read_file(path: &Path) -> Result<Secret> {
    let mut bytes = Vec::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(LARGEST as u64 + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(Secret::new(bytes)),
        Err(e) => Err(Error::new(format!("{}: {e}", path.display()))),
    }
}

async fn run(command: &[String], dir: &Path) -> Result<Secret> {
    let Some((program, args)) = command.split_first() else {
        return Err(Error::new("its command names no program"));
    };
    let mut child = Command::new(program)
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| Error::new(format!("cannot run {program}: {e}")))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (mut out, mut said) = (Vec::new(), Vec::new());
    let all = async {
        let taken = async {
            tokio::join!(take(stdout, LARGEST as u64 + 1, &mut out), take(stderr, SAID_MAX, &mut said))
        };
        tokio::pin!(taken);
        tokio::select! {
            _ = &mut taken => child.wait().await,
            status = child.wait() => {
                // Somebody whom it has left behind may hold its pipes; what it has said itself is in them by now.
                let _ = tokio::time::timeout(REST, taken).await;
                status
            }
        }
    };
    let status = tokio::time::timeout(PATIENCE, all)
        .await
        .map_err(|_| Error::new(format!("{program} has not ended in {} seconds", PATIENCE.as_secs())))?;
    let status = status.map_err(|e| Error::new(format!("waiting for {program}: {e}")))?;
    if out.len() <= LARGEST && !status.success() {
        let said = printable(String::from_utf8_lossy(&said).trim());
        let skip = said.chars().count().saturating_sub(SAID_SHOWN);
        let said: String = said.chars().skip(skip).collect();
        let colon = if said.is_empty() { "" } else { ": " };
        return Err(Error::new(format!("{program} ended with {status}{colon}{said}")));
    }
    Ok(Secret::new(out))
}

/// Reads to the end, and keeps the beginning.
async fn take(from: Option<impl AsyncRead + Unpin>, max: u64, kept: &mut Vec<u8>) {
    if let Some(mut from) = from {
        // What cannot be read has ended; the status tells.
        let _ = (&mut from).take(max).read_to_end(kept).await;
        let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(source: &str) -> BTreeMap<String, Key> {
        let key = format!(r#"{{"path":"/run/keys/k","source":{source}}}"#);
        [("k".to_owned(), serde_json::from_str(&key).unwrap())].into()
    }

    async fn got(source: &str, texts: &str, dir: &Path) -> Result<Vec<u8>> {
        let mut keys = keys(source);
        resolve(keys.values_mut(), &dir.join("model.nix"));
        let texts = serde_json::from_str(texts).unwrap();
        let node = "web".to_owned();
        let secrets = read([(&node, &keys)].into_iter(), &texts, dir).await?;
        Ok(secrets.of("web")[0].secret.bytes().to_vec())
    }

    #[tokio::test]
    async fn every_source_and_what_its_failure_says() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), b"from\0file\n").unwrap();
        std::fs::write(dir.path().join("large"), vec![b'x'; LARGEST + 1]).unwrap();
        let command = |words: &str| format!(r#"{{"kind":"command","command":{words}}}"#);
        for (source, want) in [
            (r#"{"kind":"file","path":"f"}"#.to_owned(), &b"from\0file\n"[..]),
            (command(r#"["cat","f"]"#), b"from\0file\n"),
            (command(r#"["printf","%s","$(id)"]"#), b"$(id)"),
            // What it leaves behind holds its pipe.
            (command(r#"["sh","-c","printf early; sleep 20 &"]"#), b"early"),
            (r#"{"kind":"text"}"#.to_owned(), b"hunter2"),
        ] {
            assert_eq!(
                got(&source, r#"{"web":{"k":"hunter2"}}"#, dir.path()).await.unwrap(),
                want,
                "{source}"
            );
        }
        for (source, words) in [
            (r#"{"kind":"file","path":"none"}"#.to_owned(), "No such file"),
            (r#"{"kind":"file","path":"large"}"#.to_owned(), "larger than 1 MiB"),
            (command(r#"["sh","-c","echo hunter2; echo locked >&2; exit 3"]"#), "exit status: 3: locked"),
            (command(r#"["sh","-c","kill -9 $$"]"#), "signal: 9"),
            (command(r#"["cat","large"]"#), "larger than 1 MiB"),
            (command(r#"["no-such-program"]"#), "cannot run no-such-program"),
            (r#"{"kind":"text"}"#.to_owned(), "does not carry texts"),
        ] {
            let e = got(&source, "{}", dir.path()).await.unwrap_err();
            assert!(e.message.starts_with("node web: the key k: "), "{e}");
            assert!(e.message.contains(words) && !e.message.contains("hunter2"), "{words}: {e}");
        }
        let e = got(r#"{"kind":"text"}"#, "{}", dir.path()).await.unwrap_err();
        assert!(e.hints[0].contains("keyFile"), "{e:?}");
    }

    #[tokio::test]
    async fn a_command_is_run_once_for_all() {
        let dir = tempfile::tempdir().unwrap();
        let keys = keys(r#"{"kind":"command","command":["sh","-c","echo run >> log; cat log"]}"#);
        let nodes = ["a".to_owned(), "b".to_owned()];
        let secrets = read(nodes.iter().map(|n| (n, &keys)), &Texts::default(), dir.path()).await.unwrap();
        assert_eq!(secrets.of("a")[0].secret, secrets.of("b")[0].secret);
        assert_eq!(std::fs::read_to_string(dir.path().join("log")).unwrap(), "run\n");
    }

    #[tokio::test]
    async fn nothing_shows_what_a_secret_says() {
        let text = r#"{"web":{"k":"hunter2"}}"#;
        let texts: Texts = serde_json::from_str(text).unwrap();
        let node = "web".to_owned();
        let keys = keys(r#"{"kind":"text"}"#);
        let secrets = read([(&node, &keys)].into_iter(), &texts, Path::new("/")).await.unwrap();
        let shown = format!("{texts:?} {secrets:?} {:?}", secrets.of("web"));
        assert!(shown.contains("Secret(…)") && !shown.contains("hunter2"), "{shown}");
        let e = serde_json::from_str::<Texts>(r#"{"web":{"k":["hunter2"]}}"#).unwrap_err().to_string();
        assert!(!e.contains("hunter2"), "{e}");
    }
}
