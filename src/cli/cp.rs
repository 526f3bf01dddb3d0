//! `diorama cp`: files into and out of a clone, through tar on both sides.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use clap_complete::engine::ArgValueCandidates;

use super::{Global, Outcome, candidates, common};
use crate::client::{Client, StreamItem};
use crate::error::{Error, Result, ResultExt};
use crate::proto::StreamEnd;

const EXAMPLES: &str = "\
One side is NODE:PATH. Directories are copied whole; modes and times are kept, links stay links.
As with cp, a destination that is a directory takes the source into it.

Examples:
  diorama cp site.conf web:/etc/nginx/conf.d/
  diorama cp web:/var/log/nginx .
  diorama cp ./build web:/srv/app";

/// Copy files between this host and a machine's clone.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to copy: PATH, or NODE:PATH.
    #[arg(value_name = "FROM")]
    #[arg(add = ArgValueCandidates::new(candidates::node_paths))]
    from: String,
    /// Where to: NODE:PATH, or PATH.
    #[arg(value_name = "TO")]
    #[arg(add = ArgValueCandidates::new(candidates::node_paths))]
    to: String,
}

/// In the guest: pack a file or directory under its own name.
const PACK: &str = r#"set -e
p=$1
[ -e "$p" ] || [ -L "$p" ] || { echo "$p: no such file or directory" >&2; exit 1; }
case $p in */|.|..|*/.|*/..) p=$(cd "$p" && pwd -P);; esac
d=$(dirname "$p"); exec tar -C "$d" -cf - -- "$(basename "$p")""#;

/// In the guest: unpack into a directory, or under another name.
const UNPACK: &str = r#"set -e
to=$1; name=$2
if [ -d "$to" ]; then exec tar -C "$to" -xpf -; fi
case $to in */) echo "$to: no such directory" >&2; exit 1;; esac
d=$(dirname "$to"); [ -d "$d" ] || { echo "$d: no such directory" >&2; exit 1; }
t=$(mktemp -d "$d/.cp.XXXXXX"); trap 'rm -rf "$t"' EXIT
tar -C "$t" -xpf -
mv -f -- "$t/$name" "$to""#;

pub(super) async fn run(args: Args, global: &Global) -> Outcome {
    match (remote(&args.from), remote(&args.to)) {
        (None, Some((node, path))) => {
            let from = Path::new(&args.from);
            std::fs::symlink_metadata(from).doing(from.display())?;
            let client = common::connect(global).await?;
            push(&client, from, node, path).await?;
        }
        (Some((node, path)), None) => {
            let client = common::connect(global).await?;
            pull(&client, node, path, Path::new(&args.to)).await?;
        }
        (None, None) => {
            return Err(Error::usage("neither side is in a machine").hint("write NODE:PATH on one side"));
        }
        (Some(_), Some(_)) => {
            return Err(Error::usage("both sides are in machines")
                .hint("copy to this host first: diorama cp A:PATH . && diorama cp FILE B:PATH"));
        }
    }
    Ok(0)
}

/// `NODE:PATH`; a path with a slash before the colon is one of this host.
fn remote(word: &str) -> Option<(&str, &str)> {
    let (node, path) = word.split_once(':')?;
    (!node.is_empty() && !node.contains('/')).then_some((node, if path.is_empty() { "." } else { path }))
}

/// The directory and the name under which a local path is packed.
fn split(path: &Path) -> Result<(PathBuf, std::ffi::OsString)> {
    let whole = match path.file_name() {
        Some(_) => std::path::absolute(path),
        None => path.canonicalize(),
    }
    .doing(path.display())?;
    let name = whole.file_name().ok_or_else(|| Error::usage("the root directory cannot be copied"))?;
    Ok((whole.parent().unwrap_or(Path::new("/")).to_path_buf(), name.to_owned()))
}

async fn push(client: &Client, from: &Path, node: &str, to: &str) -> Result<()> {
    let (dir, name) = split(from)?;
    let mut tar = tokio::process::Command::new("tar")
        .arg("-C")
        .arg(&dir)
        .args(["--owner=0", "--group=0", "-cf", "-", "--"])
        .arg(&name)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .doing("running tar")?;
    let name = name.to_string_lossy().into_owned();
    let argv = ["/bin/sh", "-c", UNPACK, "cp", to, &name].map(String::from).to_vec();
    let mut stream = client.exec(node, argv, Vec::new(), None).await?;
    let input = stream.input();
    let mut packed = tar.stdout.take().ok_or_else(|| Error::new("tar has no output"))?;
    let sender = tokio::spawn(async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(n @ 1..) = packed.read(&mut buffer).await {
            if input.send(&buffer[..n]).await.is_err() {
                return;
            }
        }
        let _ = input.end().await;
    });
    let mut said = Vec::new();
    let end = loop {
        match stream.next().await {
            Some(StreamItem::Data { bytes, .. }) => said.extend_from_slice(&bytes[..bytes.len().min(4096)]),
            Some(StreamItem::End(end)) => break end,
            None => return Err(Error::new("the connection broke")),
        }
    };
    sender.abort();
    finish(&end, &said, node)?;
    let packed = tar.wait().await.doing("running tar")?;
    if packed.success() { Ok(()) } else { Err(Error::new(format!("tar failed: {packed}"))) }
}

async fn pull(client: &Client, node: &str, from: &str, to: &Path) -> Result<()> {
    let argv = ["/bin/sh", "-c", PACK, "cp", from].map(String::from).to_vec();
    let into_dir = to.is_dir();
    let parent = match (into_dir, to.parent()) {
        (true, _) => to.to_path_buf(),
        (false, Some(parent)) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        (false, _) => PathBuf::from("."),
    };
    let scratch = Scratch::new(&parent)?;
    let mut tar = tokio::process::Command::new("tar")
        .arg("-C")
        .arg(&scratch.0)
        .args(["-xpf", "-", "--no-same-owner"])
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .doing("running tar")?;
    let mut unpack = tar.stdin.take().ok_or_else(|| Error::new("tar has no input"))?;
    let mut stream = client.exec(node, argv, Vec::new(), None).await?;
    let _ = stream.input().end().await;
    let mut said = Vec::new();
    let end = loop {
        match stream.next().await {
            Some(StreamItem::Data { channel: 1, bytes }) => {
                unpack.write_all(&bytes).await.doing("unpacking")?
            }
            Some(StreamItem::Data { bytes, .. }) => said.extend_from_slice(&bytes[..bytes.len().min(4096)]),
            Some(StreamItem::End(end)) => break end,
            None => return Err(Error::new("the connection broke")),
        }
    };
    drop(unpack);
    let unpacked = tar.wait().await.doing("running tar")?;
    finish(&end, &said, node)?;
    if !unpacked.success() {
        return Err(Error::new(format!("tar failed: {unpacked}")));
    }
    // The guest chooses the names in the archive; only what stands at its top is taken, and moved
    // to where the person said.
    for entry in std::fs::read_dir(&scratch.0).doing(scratch.0.display())? {
        let entry = entry?;
        let target = if into_dir { to.join(entry.file_name()) } else { to.to_path_buf() };
        if target.is_dir() && !target.is_symlink() {
            return Err(Error::new(format!("{} is there already", target.display())));
        }
        std::fs::rename(entry.path(), &target).doing(target.display())?;
    }
    Ok(())
}

/// A directory beside the destination that is removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(parent: &Path) -> Result<Self> {
        let dir = parent.join(format!(".diorama-cp.{}", std::process::id()));
        std::fs::create_dir(&dir).doing(dir.display())?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left of a copy that failed is of no use to anybody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn finish(end: &StreamEnd, said: &[u8], node: &str) -> Result<()> {
    let said = String::from_utf8_lossy(said);
    let said = said.trim();
    let why = match end {
        StreamEnd::Exited { code: 0 } => return Ok(()),
        StreamEnd::Exited { code } if said.is_empty() => format!("tar ended with status {code}"),
        StreamEnd::Exited { .. } => said.to_owned(),
        StreamEnd::Killed { signal } => format!("tar died from signal {signal}"),
        StreamEnd::NotStarted { reason } | StreamEnd::Broken { reason } => reason.clone(),
        StreamEnd::Closed => "the stream was closed".into(),
    };
    Err(Error::new(format!("{node}: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_side_is_in_a_machine() {
        for (word, want) in [
            ("web:/etc/motd", Some(("web", "/etc/motd"))),
            ("web:", Some(("web", "."))),
            ("./a:b", None),
            ("/x:y", None),
            ("file", None),
            (":x", None),
        ] {
            assert_eq!(remote(word), want, "{word}");
        }
    }
}
