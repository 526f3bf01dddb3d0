//! Building what an evaluation names, and nothing when everything is there.
//!
//! Invariant: what was built is protected from garbage collection before it is recorded as built.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::log::LogEvent;
use super::progress::{Level, Progress, Tally};
use super::{Evaluation, Evaluator, NixError, Production, check, failure, replace, run};

/// Builds and downloads at once: most of them wait for the network or for one file.
pub(super) const JOBS: usize = 8;

/// What the last realisation of a network built.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    store: PathBuf,
    derivations: Vec<String>,
    outputs: Vec<PathBuf>,
}

/// What is to be built for a network, and under which names it is remembered.
#[derive(Debug)]
struct Work<'a> {
    network: &'a str,
    realise: &'a BTreeMap<String, Vec<String>>,
    bundled: bool,
    kind: &'static str,
}

impl Evaluator {
    /// Builds and fetches what the nodes of an evaluation need. What an earlier run has built is
    /// recognised without asking Nix.
    ///
    /// # Errors
    /// When a build fails, Nix cannot build here, or the token is cancelled.
    pub async fn realise(
        &self,
        evaluation: &Evaluation,
        progress: &mut (dyn FnMut(Progress) + Send),
        cancel: &CancellationToken,
    ) -> Result<(), NixError> {
        let work = Work {
            network: &evaluation.manifest.network.name,
            realise: &evaluation.realise,
            bundled: evaluation.system.name == "debian",
            kind: "",
        };
        let nodes: Vec<&String> = evaluation.manifest.nodes.keys().collect();
        let check = || {
            let list = check::files(&evaluation.manifest);
            if list.is_empty() {
                return Ok(());
            }
            Err(NixError::Manifest { model: evaluation.model.clone(), list })
        };
        self.build(&work, &nodes, &check, progress, cancel).await
    }

    /// Builds and fetches the systems of a model that was evaluated for production.
    ///
    /// # Errors
    /// As [`Evaluator::realise`].
    pub async fn realise_production(
        &self,
        production: &Production,
        progress: &mut (dyn FnMut(Progress) + Send),
        cancel: &CancellationToken,
    ) -> Result<(), NixError> {
        let work = Work {
            network: &production.network,
            realise: &production.realise,
            bundled: production.system.name == "debian",
            kind: "production-",
        };
        let nodes: Vec<&String> = production.realise.keys().collect();
        self.build(&work, &nodes, &|| Ok(()), progress, cancel).await
    }

    /// Builds the disks that were asked for, and nothing else of a network.
    ///
    /// # Errors
    /// As [`Evaluator::realise`].
    pub async fn realise_images(
        &self,
        production: &Production,
        progress: &mut (dyn FnMut(Progress) + Send),
        cancel: &CancellationToken,
    ) -> Result<(), NixError> {
        let realise = production.images.iter().map(|(n, i)| (n.clone(), i.realise.clone())).collect();
        let work = Work {
            network: &production.network,
            realise: &realise,
            bundled: production.system.name == "debian",
            kind: "image-",
        };
        let nodes: Vec<&String> = production.images.keys().collect();
        self.build(&work, &nodes, &|| Ok(()), progress, cancel).await
    }

    async fn build(
        &self,
        work: &Work<'_>,
        nodes: &[&String],
        check: &(dyn Fn() -> Result<(), NixError> + Sync),
        progress: &mut (dyn FnMut(Progress) + Send),
        cancel: &CancellationToken,
    ) -> Result<(), NixError> {
        let mut derivations: Vec<String> = work.realise.values().flatten().cloned().collect();
        derivations.sort();
        derivations.dedup();
        let state = self.options.paths.network_state(work.network);
        let record_file = state.join(format!("{}realised.json", work.kind));
        let store = self.store.store_dir();
        let done = |progress: &mut (dyn FnMut(Progress) + Send)| {
            for node in nodes {
                progress(Progress::Done { node: (*node).clone() });
            }
        };
        if derivations.is_empty() || is_there(&record_file, &store, &derivations) {
            done(progress);
            return Ok(());
        }
        if let Some(obstacle) = self.store.obstacle() {
            return Err(NixError::Obstacle(obstacle));
        }
        let mut tally = Tally::new(self.needs(work.realise, cancel).await?);
        let bundled = work.bundled;
        let roots = state.join(format!("{}roots", work.kind));
        fs::create_dir_all(&roots).map_err(|e| NixError::io(format!("making {}", roots.display()), e))?;
        let mut args: Vec<std::ffi::OsString> =
            ["--realise", "--log-format", "internal-json", "--max-jobs"].map(Into::into).into();
        args.push(self.options.max_build.max(1).to_string().into());
        args.push("--add-root".into());
        args.push(roots.join("new").into());
        args.extend(derivations.iter().map(Into::into));

        let log_path = state.join(format!("{}build.log", work.kind));
        let mut log_file = run::open_log(&log_path);
        let (mut messages, mut last) = (Vec::new(), Lines::default());
        let mut each = |event: LogEvent| {
            match &event {
                LogEvent::BuildLine { id, line } => {
                    if let Some(drv) = tally.drv(*id) {
                        last.add(drv, line);
                    }
                    progress(Progress::Message { level: Level::Detail, text: line.clone() });
                }
                LogEvent::Message(m) if m.level <= 1 => {
                    if m.level == 1 {
                        super::report(progress, m);
                    }
                    messages.push(m.clone());
                }
                _ => {}
            }
            tally.add(&event).into_iter().for_each(&mut *progress);
        };
        let run = run::Run { program: "nix-store", args, store: &self.store, bundled, cancel };
        let (status, answer) = run.go(log_file.as_mut(), &mut each).await?;
        if !status.success() {
            let cause = failure::build(&messages, |drv| last.of(drv));
            return Err(NixError::Build { cause, log: Some(log_path) });
        }
        let outputs = settle_roots(&roots, &String::from_utf8_lossy(&answer))?;
        check()?;
        let record = Record { store, derivations, outputs };
        let text = serde_json::to_string_pretty(&record)
            .map_err(|e| NixError::io("writing what was built", e.into()))?;
        replace(&record_file, &text, 0o644)?;
        tally.finish().into_iter().for_each(&mut *progress);
        Ok(())
    }

    /// Every derivation that a node needs, directly or not.
    async fn needs(
        &self,
        realise: &BTreeMap<String, Vec<String>>,
        cancel: &CancellationToken,
    ) -> Result<BTreeMap<String, HashSet<String>>, NixError> {
        let mut out = BTreeMap::new();
        for (node, derivations) in realise {
            let mut args: Vec<std::ffi::OsString> = vec!["--query".into(), "--requisites".into()];
            args.extend(derivations.iter().map(Into::into));
            let run = run::Run { program: "nix-store", args, store: &self.store, bundled: true, cancel };
            let (_, answer) = run.go(None, &mut drop).await?;
            let text = String::from_utf8_lossy(&answer).into_owned();
            let needs: HashSet<_> = text.lines().filter(|l| l.ends_with(".drv")).map(str::to_owned).collect();
            out.insert(node.clone(), needs);
        }
        Ok(out)
    }
}

/// Whether a record says that exactly these derivations were built, and what they gave is still there.
fn is_there(record: &Path, store: &Path, derivations: &[String]) -> bool {
    let Ok(text) = fs::read_to_string(record) else { return false };
    let Ok(record) = serde_json::from_str::<Record>(&text) else { return false };
    record.store == store
        && record.derivations == derivations
        && record.outputs.iter().all(|o| fs::symlink_metadata(o).is_ok())
}

/// Keeps the new roots, removes those of the previous realisation, and gives the outputs.
fn settle_roots(roots: &Path, answer: &str) -> Result<Vec<PathBuf>, NixError> {
    let doing = |e| NixError::io(format!("the roots in {}", roots.display()), e);
    // Nix answers with the names of the roots it made: `new`, `new-2` and so on.
    let new: HashMap<PathBuf, PathBuf> = answer
        .lines()
        .map(PathBuf::from)
        .filter_map(|link| fs::read_link(&link).ok().map(|output| (link, output)))
        .collect();
    let mut outputs: Vec<_> = new.values().cloned().collect();
    outputs.sort();
    outputs.dedup();
    for entry in fs::read_dir(roots).map_err(doing)? {
        let path = entry.map_err(doing)?.path();
        if !new.contains_key(&path) {
            fs::remove_file(&path).map_err(doing)?;
        }
    }
    Ok(outputs)
}

/// The last lines of every build.
#[derive(Debug, Default)]
struct Lines {
    by_derivation: HashMap<String, VecDeque<String>>,
}

impl Lines {
    fn add(&mut self, drv: &str, line: &str) {
        let lines = match self.by_derivation.get_mut(drv) {
            Some(lines) => lines,
            None => self.by_derivation.entry(drv.to_owned()).or_default(),
        };
        if lines.len() == failure::BUILD_LINES {
            lines.pop_front();
        }
        lines.push_back(line.chars().take(400).collect());
    }

    fn of(&self, drv: &str) -> Vec<String> {
        self.by_derivation.get(drv).map(|l| l.iter().cloned().collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_work_with_all_its_results_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("out");
        fs::write(&output, "").unwrap();
        let file = dir.path().join("record");
        let record = Record {
            store: "/nix/store".into(),
            derivations: vec!["a.drv".into()],
            outputs: vec![output.clone()],
        };
        fs::write(&file, serde_json::to_string(&record).unwrap()).unwrap();
        let there = |store: &str, drv: &str| is_there(&file, Path::new(store), &[drv.to_owned()]);
        assert!(there("/nix/store", "a.drv"));
        assert!(!there("/nix/store", "b.drv"));
        assert!(!there("/other/store", "a.drv"));
        fs::remove_file(&output).unwrap();
        assert!(!there("/nix/store", "a.drv"));
        fs::write(&file, "{").unwrap();
        assert!(!there("/nix/store", "a.drv"));
    }

    #[test]
    fn old_roots_go_and_new_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let roots = dir.path();
        for (name, target) in
            [("new", "/nix/store/a"), ("new-2", "/nix/store/b"), ("new-3", "/nix/store/old")]
        {
            std::os::unix::fs::symlink(target, roots.join(name)).unwrap();
        }
        let answer = format!("{0}/new\n{0}/new-2\n", roots.display());
        let outputs = settle_roots(roots, &answer).unwrap();
        assert_eq!(outputs, [Path::new("/nix/store/a"), Path::new("/nix/store/b")]);
        assert!(fs::symlink_metadata(roots.join("new-3")).is_err());
        assert!(fs::symlink_metadata(roots.join("new-2")).is_ok());
    }
}
