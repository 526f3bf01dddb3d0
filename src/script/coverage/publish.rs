//! From what was gathered to what people look at: tracefiles, pages, numbers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::summary::{FileSummary, Summary};
use super::tools::Tools;
use super::tracefile::Tracefile;
use super::{Gathered, Work, copy, files_below, page};
use crate::error::{Error, Result, ResultExt};

/// Writes everything below a coverage directory, whose `sources` are there.
///
/// # Errors
/// When a tool fails or a file cannot be written.
pub(super) async fn all(gathered: &Gathered, dir: &Path, work: &Path, tools: &Tools) -> Result<Summary> {
    let sources = dir.join("sources");
    fs::create_dir_all(&sources).doing(sources.display())?;
    let sources = sources.canonicalize().doing(sources.display())?;
    let prefix = format!("{}/", sources.display());
    let html = dir.join("html");
    fs::create_dir_all(dir.join("nodes")).doing(dir.display())?;
    let mut infos = Vec::new();
    for (node, trace) in &gathered.nodes {
        if trace.files.is_empty() {
            continue;
        }
        write(&dir.join("nodes").join(format!("{node}.info")), &trace.print("", ""))?;
        let info = work.join(format!("{node}.info"));
        write(&info, &trace.print("", &prefix))?;
        tools.pages(&info, &format!("node {node}"), &sources, &html.join("nodes").join(node)).await?;
        infos.push(info);
    }
    let total = if infos.is_empty() {
        Tracefile::default()
    } else {
        let info = work.join("total-of-all.info");
        tools.add(&infos, &info).await?;
        tools.pages(&info, "all nodes", &sources, &html.join("total")).await?;
        let text = fs::read_to_string(&info).doing(info.display())?;
        Tracefile::parse(&text, |file| file.strip_prefix(&prefix).map(String::from))
    };
    write(&dir.join("total.info"), &total.print("", ""))?;
    let summary = summary(gathered, &total);
    write(&dir.join("summary.json"), &serde_json::to_string_pretty(&summary)?)?;
    let exists = |path: &str| html.join(path).is_file();
    write(&html.join("index.html"), &page::draw(&summary, &exists))?;
    Ok(summary)
}

/// Adds up the coverage of several runs, whose directories these are; gives the sum.
///
/// # Errors
/// When a directory has no coverage, a tool fails, or a file cannot be written.
pub async fn merge(runs: &[PathBuf], dir: &Path, tools: &Tools) -> Result<Summary> {
    let work = Work::new(dir)?;
    let mut gathered = Gathered::default();
    for run in runs {
        let from = if run.join("summary.json").is_file() { run.clone() } else { run.join(super::DIRECTORY) };
        let text = fs::read_to_string(from.join("summary.json")).map_err(|e| {
            Error::new(format!("{}: there is no coverage in it: {e}", run.display()))
                .hint("diorama test --coverage --out DIR leaves one in DIR")
        })?;
        let summary: Summary = serde_json::from_str(&text).doing(from.join("summary.json").display())?;
        gathered.problems.extend(summary.problems);
        let renamed = take_sources(&from.join("sources"), &dir.join("sources"))?;
        for name in files_below(&from.join("nodes"))? {
            let Some(node) = name.file_stem().and_then(|s| s.to_str()) else { continue };
            let path = from.join("nodes").join(&name);
            let text = fs::read_to_string(&path).doing(path.display())?;
            let trace =
                Tracefile::parse(&text, |f| Some(renamed.get(f).cloned().unwrap_or_else(|| f.to_owned())));
            gathered.nodes.entry(node.to_owned()).or_default().add(&trace);
        }
    }
    all(&gathered, dir, &work.0, tools).await
}

/// Copies sources; those that are there with another content get a name of their own, which is told.
fn take_sources(from: &Path, to: &Path) -> Result<BTreeMap<String, String>> {
    let mut renamed = BTreeMap::new();
    for file in files_below(from)? {
        let Some(name) = file.to_str().map(String::from) else { continue };
        let bytes = fs::read(from.join(&file)).doing(file.display())?;
        let mut target = name.clone();
        for n in 2.. {
            match fs::read(to.join(&target)) {
                Ok(there) if there != bytes => target = format!("version-{n}/{name}"),
                _ => break,
            }
        }
        copy(&from.join(&file), &to.join(&target))?;
        if target != name {
            renamed.insert(name, target);
        }
    }
    Ok(renamed)
}

fn summary(gathered: &Gathered, total: &Tracefile) -> Summary {
    let mut files: BTreeMap<String, FileSummary> = BTreeMap::new();
    for (name, file) in &total.files {
        files.entry(name.clone()).or_default().total = file.counts();
    }
    for (node, trace) in &gathered.nodes {
        for (name, file) in &trace.files {
            files.entry(name.clone()).or_default().nodes.insert(node.clone(), file.counts());
        }
    }
    Summary {
        total: total.counts(),
        nodes: gathered.nodes.iter().map(|(n, t)| (n.clone(), t.counts())).collect(),
        files,
        problems: gathered.problems.clone(),
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).doing(parent.display())?;
    }
    fs::write(path, text).doing(path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_of_other_versions_get_names_of_their_own() {
        let tmp = tempfile::tempdir().unwrap();
        let (a, b, to) = (tmp.path().join("a"), tmp.path().join("b"), tmp.path().join("to"));
        for (dir, text) in [(&a, "1"), (&b, "2")] {
            fs::create_dir_all(dir.join("p")).unwrap();
            fs::write(dir.join("p/x.c"), text).unwrap();
            fs::write(dir.join("p/same.c"), "same").unwrap();
        }
        assert!(take_sources(&a, &to).unwrap().is_empty());
        let renamed = take_sources(&b, &to).unwrap();
        assert_eq!(
            renamed.into_iter().collect::<Vec<_>>(),
            [("p/x.c".to_owned(), "version-2/p/x.c".to_owned())]
        );
        assert_eq!(fs::read_to_string(to.join("p/x.c")).unwrap(), "1");
        assert_eq!(fs::read_to_string(to.join("version-2/p/x.c")).unwrap(), "2");
    }

    #[test]
    fn nodes_and_files_are_summed_up() {
        let parse = |text| Tracefile::parse(text, |f| Some(f.to_owned()));
        let a = parse("SF:x.c\nDA:1,1\nDA:2,0\nend_of_record\n");
        let b = parse("SF:x.c\nDA:1,0\nDA:2,1\nend_of_record\n");
        let mut total = a.clone();
        total.add(&b);
        let nodes = [("a".to_owned(), a), ("b".to_owned(), b)].into();
        let s = summary(&Gathered { nodes, problems: vec!["p".into()] }, &total);
        assert_eq!((s.total.lines.hit, s.nodes["a"].lines.hit, s.nodes["b"].lines.hit), (2, 1, 1));
        assert_eq!(s.files["x.c"].total.lines.percent(), 100.0);
        assert_eq!(s.line(), "100.0 % of 2 lines in 1 files (a 50.0 %, b 50.0 %)");
    }
}
