//! From counters and tracefiles of the machines to one tracefile a machine.
//!
//! The compiler's notes (what the counters mean) and the sources come from the package's own output,
//! which is made at build time and trusted; the machine has only its word on how often.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::collect::Raw;
use super::tools::Tools;
use super::tracefile::Tracefile;
use super::{Gathered, copy, files_below};
use crate::error::{Result, ResultExt};
use crate::model::Manifest;

/// What counter files begin with, in the byte order of x86.
const MAGIC: &[u8] = b"adcg";
/// The largest file of a machine that is taken in.
const FILE_MAX: u64 = 64 << 20;

/// An instrumented package.
struct Package {
    /// What the reports call it.
    label: String,
    /// Where it was built; counters are kept below.
    built: String,
    notes: PathBuf,
    /// Notes files, relative to the tree.
    files: Vec<PathBuf>,
    /// The directory of its sources in the tree, and where they are copied to.
    root: PathBuf,
    sources: PathBuf,
    /// Every line of it, none executed.
    nothing: Tracefile,
}

/// Captures everything.
///
/// # Errors
/// When the notes of a package cannot be read.
pub(super) async fn all(
    manifest: &Manifest,
    raw: Vec<Raw>,
    dir: &Path,
    work: &Path,
    tools: &Tools,
) -> Result<Gathered> {
    let sources = dir.join("sources");
    fs::create_dir_all(&sources).doing(sources.display())?;
    let sources = sources.canonicalize().doing(sources.display())?;
    let of_node = |name: &str| manifest.nodes.get(name).and_then(|n| n.coverage.as_ref());
    let notes: BTreeSet<&PathBuf> =
        raw.iter().filter_map(|r| of_node(&r.node)).flat_map(|c| &c.notes).collect();
    let mut packages: BTreeMap<&PathBuf, Package> = BTreeMap::new();
    for (number, notes) in notes.into_iter().enumerate() {
        let taken: BTreeSet<String> = packages.values().map(|p| p.label.clone()).collect();
        let package = package(notes, &taken, &sources, &work.join(format!("package{number}")), tools).await?;
        packages.insert(notes, package);
    }
    let mut gathered = Gathered::default();
    for node in raw {
        let mut trace = Tracefile::default();
        gathered.problems.extend(node.problems.iter().cloned());
        for notes in of_node(&node.node).map(|c| c.notes.as_slice()).unwrap_or_default() {
            let Some(package) = packages.get(notes) else { continue };
            trace.add(&package.nothing);
            for user in users(&node.dir.join("gcov")) {
                let scratch = work.join("counters").join(&node.node).join(&user).join(&package.label);
                match counters(package, &node.dir.join("gcov").join(&user), &scratch, tools).await {
                    Ok(counted) => trace.add(&counted),
                    Err(e) => gathered.problems.push(format!(
                        "{}: counters of {} ({user}) cannot be read: {}",
                        node.node, package.label, e.message
                    )),
                }
            }
        }
        trace.add(&hooks(&node, &sources)?);
        gathered.nodes.insert(node.node, trace);
    }
    Ok(gathered)
}

/// Reads what a package's output for notes says, and copies its sources.
async fn package(
    notes: &Path,
    taken: &BTreeSet<String>,
    sources: &Path,
    work: &Path,
    tools: &Tools,
) -> Result<Package> {
    let line = |name: &str| -> Result<String> {
        let path = notes.join(name);
        Ok(fs::read_to_string(&path).doing(path.display())?.trim().to_owned())
    };
    let name = line("name")?;
    let name = name.strip_suffix("+coverage").unwrap_or(&name).to_owned();
    let mut label = name.clone();
    for n in 2.. {
        if !taken.contains(&label) {
            break;
        }
        label = format!("{name}~{n}");
    }
    let tree = notes.join("tree");
    let all = files_below(&tree)?;
    let root = common_root(&all);
    let here = sources.join(&label);
    let is_note = |p: &PathBuf| p.extension().is_some_and(|e| e == "gcno");
    for file in all.iter().filter(|f| !is_note(f)) {
        if let Ok(below) = file.strip_prefix(&root) {
            copy(&tree.join(file), &here.join(below))?;
        }
    }
    let files: Vec<_> = all.into_iter().filter(is_note).collect();
    let built = line("directory")?;
    let mut package = Package {
        label,
        built,
        notes: notes.to_owned(),
        files,
        root,
        sources: here,
        nothing: Tracefile::default(),
    };
    if !package.files.is_empty() {
        for file in &package.files {
            copy(&tree.join(file), &work.join(file))?;
        }
        package.nothing = captured(&package, work, true, tools).await?;
    }
    Ok(package)
}

/// The directory that all files are in, when it is one: archives and sources have one at their top.
fn common_root(files: &[PathBuf]) -> PathBuf {
    let mut tops = files.iter().map(|f| f.components().next().filter(|_| f.components().count() > 1));
    match tops.next().flatten() {
        Some(top) if tops.all(|t| t == Some(top)) => PathBuf::from(top.as_os_str()),
        _ => PathBuf::new(),
    }
}

/// The directories of counters, one a user.
fn users(dir: &Path) -> Vec<String> {
    let mut out: Vec<_> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok())
        .filter(|n| {
            n.strip_prefix('u').is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()))
        })
        .collect();
    out.sort();
    out
}

/// Captures what one user's programs have counted of a package.
async fn counters(package: &Package, dir: &Path, scratch: &Path, tools: &Tools) -> Result<Tracefile> {
    let below = dir.join(package.built.trim_start_matches('/'));
    let mut any = false;
    for note in &package.files {
        let counted = note.with_extension("gcda");
        let from = below.join(&counted);
        if is_counters(&from) {
            copy(&from, &scratch.join(&counted))?;
            copy(&package.notes.join("tree").join(note), &scratch.join(note))?;
            any = true;
        }
    }
    if !any {
        return Ok(Tracefile::default());
    }
    captured(package, scratch, false, tools).await
}

fn is_counters(path: &Path) -> bool {
    use std::io::Read;
    let Ok(mut file) = fs::File::open(path) else { return false };
    let mut magic = [0; 4];
    file.metadata().is_ok_and(|m| m.len() <= FILE_MAX)
        && file.read_exact(&mut magic).is_ok()
        && magic == MAGIC
}

async fn captured(package: &Package, dir: &Path, initial: bool, tools: &Tools) -> Result<Tracefile> {
    let info = dir.with_extension("info");
    let built = Path::new(&package.built).join(&package.root);
    let built = built.to_string_lossy();
    let gcov = package.notes.join("bin/gcov");
    tools.capture(dir, &gcov, (&built, &package.sources), initial, &info).await?;
    let text = fs::read_to_string(&info).doing(info.display())?;
    // What a compiler's headers have in them is not the package's.
    let here = format!("{}/", package.sources.display());
    let built = format!("{built}/");
    Ok(Tracefile::parse(&text, |file| {
        let below = file.strip_prefix(&here).or_else(|| file.strip_prefix(&built))?;
        Some(format!("{}/{below}", package.label))
    }))
}

/// The tracefiles that a machine's hooks have made. The files they name are taken from what the machine
/// sent with them, never from this host.
fn hooks(node: &Raw, sources: &Path) -> Result<Tracefile> {
    let mut out = Tracefile::default();
    let dir = node.dir.join("lcov");
    for file in files_below(&dir)? {
        let path = dir.join(&file);
        let Some(hook) = file.file_stem().and_then(|s| s.to_str()) else { continue };
        if fs::metadata(&path).map_or(true, |m| m.len() > FILE_MAX) {
            continue;
        }
        let text = fs::read(&path).doing(path.display())?;
        let mut failed = None;
        let trace = Tracefile::parse(&String::from_utf8_lossy(&text), |named| {
            let below = safe(named)?;
            let from = node.dir.join("sources").join(&below);
            let label = format!("{hook}/{}", pretty(&below));
            match from.is_file().then(|| place(&from, &label, &node.node, sources)) {
                Some(Ok(label)) => Some(label),
                Some(Err(e)) => {
                    failed = Some(e);
                    None
                }
                // Without its text a file still has its numbers.
                None => Some(label),
            }
        });
        if let Some(e) = failed {
            return Err(e);
        }
        out.add(&trace);
    }
    Ok(out)
}

/// An absolute path without anything that leads upwards, made relative.
fn safe(path: &str) -> Option<String> {
    let below = path.strip_prefix('/')?;
    let plain =
        |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(char::is_control);
    below.split('/').all(plain).then(|| below.to_owned())
}

/// A store path without the store and the hash.
fn pretty(below: &str) -> String {
    let parts: Vec<&str> = below.split('/').collect();
    for (i, part) in parts.iter().enumerate() {
        if let Some((hash, name)) = part.split_once('-')
            && hash.len() == 32
            && hash.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        {
            return [&[name], &parts[i + 1..]].concat().join("/");
        }
    }
    below.to_owned()
}

/// Copies a source to its place; one of the same name and another content gets the node's name too.
fn place(from: &Path, label: &str, node: &str, sources: &Path) -> Result<String> {
    let bytes = fs::read(from).doing(from.display())?;
    let mut label = label.to_owned();
    if fs::read(sources.join(&label)).is_ok_and(|there| there != bytes) {
        label = format!("{node}/{label}");
    }
    copy(from, &sources.join(&label))?;
    Ok(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_for_people_and_lead_nowhere_else() {
        let hash = "0123456789abcdfghijklmnpqrsvwxyz";
        for (path, expected) in [
            (format!("/nix/store/{hash}-report.py"), Some("report.py".to_owned())),
            (format!("/home/me/store/{hash}-app-1.0/lib/x.py"), Some("app-1.0/lib/x.py".to_owned())),
            ("/srv/app/x.py".to_owned(), Some("srv/app/x.py".to_owned())),
            ("/srv/../etc/passwd".to_owned(), None),
            ("relative.py".to_owned(), None),
            ("/srv//x".to_owned(), None),
            ("/srv/\u{7}x".to_owned(), None),
        ] {
            assert_eq!(safe(&path).map(|p| pretty(&p)), expected, "{path}");
        }
    }

    #[test]
    fn a_directory_at_the_top_of_all_is_not_shown() {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        for (files, root) in [
            (&["source/a.c", "source/b/c.c"][..], "source"),
            (&["source/a.c", "other/b.c"][..], ""),
            (&["a.c", "source/b.c"][..], ""),
            (&["a.c"][..], ""),
            (&[][..], ""),
        ] {
            assert_eq!(common_root(&paths(files)), Path::new(root), "{files:?}");
        }
    }

    #[test]
    fn a_hooks_sources_come_from_its_machine_alone() {
        let tmp = tempfile::tempdir().unwrap();
        let (dir, sources) = (tmp.path().join("raw"), tmp.path().join("sources"));
        fs::create_dir_all(dir.join("lcov")).unwrap();
        fs::create_dir_all(dir.join("sources/srv")).unwrap();
        fs::write(dir.join("sources/srv/a.py"), "a\n").unwrap();
        let info = "SF:/srv/a.py\nDA:1,1\nend_of_record\nSF:/etc/passwd\nDA:1,1\nend_of_record\n";
        fs::write(dir.join("lcov/python.info"), info).unwrap();
        let node = Raw { node: "web".into(), dir, problems: Vec::new() };
        let trace = hooks(&node, &sources).unwrap();
        assert_eq!(trace.files.keys().collect::<Vec<_>>(), ["python/etc/passwd", "python/srv/a.py"]);
        assert_eq!(fs::read_to_string(sources.join("python/srv/a.py")).unwrap(), "a\n");
        assert!(!sources.join("python/etc/passwd").exists());

        // Another text under the same name stays apart.
        fs::write(node.dir.join("sources/srv/a.py"), "b\n").unwrap();
        let other = Raw { node: "db".into(), ..node };
        let trace = hooks(&other, &sources).unwrap();
        assert!(trace.files.contains_key("db/python/srv/a.py"), "{trace:?}");
    }
}
