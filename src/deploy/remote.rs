//! Systems that their own hosts build: the recipes travel, and what they make is there already.
//!
//! ```text
//! derivations and sources ─▶ host ─▶ nix-store --realise ─▶ the system, rooted until the next time
//! ```
//!
//! Invariant: nothing is activated here; a host that cannot build says so before anything is sent to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::model::{Deployment, Target};
use super::probe;
use super::recipe::{self, Builds, Recipe};
use super::ssh::{Link, Settings};
use super::{copy, local};
use crate::error::{Error, Result, ResultExt, printable};
use crate::nix::Store;

const CAN: &str = "PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin
printf '%s %s\\n' \"$(uname -s)\" \"$(uname -m)\"
command -v nix-store >/dev/null || { echo 'it has no nix-store' >&2; exit 1; }
[ -w /nix/store ] || { echo 'its store cannot be written' >&2; exit 1; }";

// The root is a link below the directory that holds the recipes, so that all of it goes together.
const BUILD: &str = "PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin
root=/nix/var/nix/gcroots/diorama/$1/result jobs=$2 system=$3
shift 3
nix-store --realise \"$@\" --max-jobs \"$jobs\" --add-root \"$root\" 2>&1 >/dev/null || exit 1
[ -x \"$system/bin/switch-to-configuration\" ] || { echo \"error: $system was not built\"; exit 1; }";

/// Lines of a failed build that are told.
const TOLD: usize = 12;
/// Characters of a line that are kept.
const LINE_MAX: usize = 2000;

/// What is to be built where.
#[derive(Debug)]
pub struct Job {
    /// The network.
    pub deployment: Deployment,
    /// The derivations by node.
    pub derivations: BTreeMap<String, Vec<String>>,
    /// Derivations that a host builds at once.
    pub max_build: usize,
}

/// Builds every system on its own host, all at once; `say` hears of every line that a host's Nix says.
///
/// # Errors
/// Names every host that cannot build, and why.
pub async fn build(
    job: Job,
    settings: &Arc<Settings>,
    store: &Store,
    say: &mut (dyn FnMut(&str, &str) + Send),
    cancel: &CancellationToken,
) -> Result<()> {
    let (tell, mut heard) = tokio::sync::mpsc::channel::<(String, String)>(256);
    let mut tasks = JoinSet::new();
    for (node, derivations) in job.derivations {
        let Some(target) = job.deployment.nodes.get(&node).cloned() else { continue };
        let (settings, store, tell) = (Arc::clone(settings), store.clone(), tell.clone());
        let token = format!("build-{}", job.deployment.network.name);
        let (cancel, jobs) = (cancel.clone(), job.max_build.max(1).to_string());
        tasks.spawn(async move {
            let each = |line: String| drop(tell.try_send((node.clone(), line)));
            let one = one(&target, &settings, &store, (&token, &jobs), &derivations, &each);
            tokio::select! {
                done = one => done.doing(format!("{node}: its host cannot build its system")),
                () = cancel.cancelled() => Err(Error::interrupted()),
            }
        });
    }
    drop(tell);
    let mut failed = Vec::new();
    loop {
        tokio::select! {
            Some((node, line)) = heard.recv() => say(&node, &line),
            done = tasks.join_next() => match done {
                None => break,
                Some(done) => match done.map_err(|e| Error::new(format!("a task of the program: {e}")))? {
                    Ok(()) => {}
                    Err(e) if cancel.is_cancelled() => return Err(e),
                    Err(e) => failed.push(e.to_string()),
                },
            },
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Error::new(failed.join("\n"))
        .hint("without --build-on-target (deployment.buildOnTarget) it is built here"))
}

/// What a host would do to build these derivations. `present` are paths that it has in any case.
///
/// # Errors
/// When it cannot build, and why.
pub(super) async fn foresee(
    link: &Link,
    store: &Store,
    derivations: &[String],
    present: &BTreeSet<String>,
) -> Result<Builds> {
    can(link).await.doing("it cannot build its own system")?;
    let order = recipes(store, derivations).await?;
    let known: BTreeMap<String, Recipe> = order
        .iter()
        .filter(|(path, _)| path.ends_with(".drv"))
        .filter_map(|(path, _)| Some((path.clone(), Recipe::parse(&std::fs::read_to_string(path).ok()?)?)))
        .collect();
    let mut asked: BTreeSet<&str> = order.iter().map(|(path, _)| path.as_str()).collect();
    asked.extend(
        known.values().flat_map(|r| r.outputs.values()).map(String::as_str).filter(|p| !p.is_empty()),
    );
    asked.retain(|path| !present.contains(*path));
    let asked: Vec<&str> = asked.into_iter().collect();
    let lacks = probe::invalid(link, &asked).await?;
    let travel = || order.iter().filter(|(path, _)| lacks.contains(path));
    Ok(Builds {
        recipes: travel().count(),
        recipe_bytes: travel().map(|(_, size)| size).sum(),
        ..recipe::needed(derivations, &known, |path| !path.is_empty() && !lacks.contains(path))
    })
}

/// Recipes and sources, with their sizes, each after all that it refers to.
async fn recipes(store: &Store, derivations: &[String]) -> Result<Vec<(String, u64)>> {
    let mut seen = BTreeSet::new();
    let mut order = Vec::new();
    for derivation in derivations {
        let paths = local::closure_of(store, derivation).await?.paths;
        order.extend(paths.into_iter().filter(|(path, _)| seen.insert(path.clone())));
    }
    Ok(order)
}

/// Whether a host can build at all; gives what machine it is.
async fn can(link: &Link) -> Result<String> {
    let can = link.run(CAN, &[], &[]).await?;
    if !can.ok() {
        return Err(Error::new(can.err.lines().next_back().unwrap_or("the connection was lost").to_owned()));
    }
    Ok(can.text())
}

async fn one(
    target: &Target,
    settings: &Arc<Settings>,
    store: &Store,
    (token, jobs): (&str, &str),
    derivations: &[String],
    each: &(impl Fn(String) + Sync),
) -> Result<()> {
    let link = Link::open(target, settings).await.map_err(|e| Error::new(e.to_string()))?;
    let machine = can(&link).await?;
    if !machine.lines().any(|line| probe::fits(line, target)) {
        let machine = printable(machine.trim());
        return Err(Error::new(format!("it is {machine}, and the system is for {}", target.system)));
    }
    let order = recipes(store, derivations).await?;
    // What the last build held is not needed any more once this one holds it.
    copy::unroot(&link, token).await?;
    copy::root(&link, token, &order).await?;
    let all: Vec<&str> = order.iter().map(|(path, _)| path.as_str()).collect();
    let missing = probe::invalid(&link, &all).await?;
    each(format!("{} recipes and sources travel", missing.len()));
    copy::send(store, &link, &order, &missing, &mut |_| ()).await?;
    let mut args = vec![token, jobs, target.toplevel.as_str()];
    args.extend(derivations.iter().map(String::as_str));
    let mut child = link.start(BUILD, &args).await?;
    // The build reads nothing; its input stays open, for its end would look like ours.
    let _held = child.stdin.take();
    let mut last: Vec<String> = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let mut lines = BufReader::new(stdout.take(256 << 20)).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            let line: String = printable(&String::from_utf8_lossy(&line)).chars().take(LINE_MAX).collect();
            if last.len() == TOLD {
                last.remove(0);
            }
            last.push(line.clone());
            each(line);
        }
    }
    let status = child.wait().await.doing("waiting for ssh")?;
    if status.success() {
        return Ok(());
    }
    if status.code() == Some(255) {
        return Err(Error::new(format!("{}: the connection was lost", link.address)));
    }
    Err(Error::new(last.join("\n  ")))
}
