//! Which model a word on the command line means, and what its network is called.

use std::path::{Path, PathBuf};

use super::out;
use crate::assets;
use crate::error::{Error, Result, ResultExt};
use crate::nix::flake::{self, Flake};
use crate::paths::Paths;
use crate::proto::ModelSource;

/// The files in which a directory that is named has its model, the first that is there. `hive.nix` is Colmena's.
const NAMES: [&str; 5] = ["network.nix", "diorama.nix", "hive.nix", "default.nix", flake::FILE];

/// The same for the directory in which nobody has named a model: there a default.nix may be anything.
const HERE: [&str; 4] = ["network.nix", "diorama.nix", "hive.nix", flake::FILE];

/// What help says about MODEL.
macro_rules! model_help {
    () => {
        "\
MODEL is a Nix file, a directory with one (network.nix, diorama.nix, hive.nix, default.nix or
flake.nix), an output of a flake (DIR#OUTPUT), or a manifest (a file that ends in .json).
Without it: the model of this directory, else the bundled Trac network."
    };
}
pub(super) use model_help;

/// A model that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The model's file, absolute; `DIR/flake.nix#OUTPUT` for an output of a flake.
    pub path: PathBuf,
    /// Whether nobody named it and it is the bundled example.
    pub bundled: bool,
}

impl Found {
    /// What a session is started with; a person hears of a model that they did not name.
    pub fn source(self) -> ModelSource {
        if self.bundled {
            let path = self.path.display();
            out::err(&format!("no model here: the bundled Trac network, {path}\n"));
        }
        match self.path.extension() {
            Some(e) if e == "json" => ModelSource::Manifest(self.path),
            _ => ModelSource::Model(self.path),
        }
    }
}

/// The model that is named, or else that of this directory, or else the bundled one.
///
/// # Errors
/// When what is named has no model, or the bundled one cannot be copied.
pub fn find(named: Option<&Path>, paths: &Paths) -> Result<Found> {
    if let Some(named) = named {
        return Ok(Found { path: named_model(named)?, bundled: false });
    }
    let here = std::env::current_dir().doing("the current directory")?;
    if let Some(path) = in_directory(&here, &HERE) {
        return Ok(Found { path, bundled: false });
    }
    let assets = assets::dir(&paths.cache)?;
    Ok(Found { path: assets::bundled_model(&assets, &paths.data)?, bundled: true })
}

fn in_directory(dir: &Path, names: &[&str]) -> Option<PathBuf> {
    names.iter().map(|n| dir.join(n)).find(|p| p.is_file())
}

fn named_model(named: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(named).doing(named.display())?;
    if path.is_dir() {
        return in_directory(&path, &NAMES).ok_or_else(|| {
            let names = NAMES.join(", ");
            Error::new(format!("{}: there is none of {names} in this directory", named.display()))
        });
    }
    if path.exists() {
        return Ok(path);
    }
    if let Some(model) = flake_output(named)? {
        return Ok(model);
    }
    std::fs::metadata(&path).doing(named.display()).hint(
        "MODEL is a Nix file, a directory with one, an output of a flake (DIR#OUTPUT), or a manifest (.json)",
    )?;
    Ok(path)
}

/// `DIR#OUTPUT` and `DIR/flake.nix#OUTPUT`.
fn flake_output(named: &Path) -> Result<Option<PathBuf>> {
    let Some((before, output)) = named.to_str().and_then(|n| n.rsplit_once('#')) else { return Ok(None) };
    let before = before.strip_prefix("path:").unwrap_or(before);
    let scheme = before.split_once(':').is_some_and(|(s, _)| !s.contains('/') && !s.is_empty());
    if scheme && !Path::new(before).exists() {
        return Err(Error::new(format!("{before}: only flakes in a directory of this machine are read"))
            .hint("clone it, and name the directory"));
    }
    let at = std::path::absolute(if before.is_empty() { "." } else { before }).doing(named.display())?;
    let file = if at.is_dir() { at.join(flake::FILE) } else { at };
    if file.file_name().is_none_or(|n| n != flake::FILE) {
        return Ok(None);
    }
    if !file.is_file() {
        return Err(Error::not_found(format!("{}: there is no such flake", file.display())));
    }
    let output = Some(output.to_owned()).filter(|o| !o.is_empty());
    let dir = file.parent().unwrap_or(Path::new("/")).to_owned();
    Ok(Some(Flake { dir, output }.model()))
}

/// The session's name when nobody gave one: the manifest's own, or one made from the file's name.
///
/// # Errors
/// When a manifest cannot be read.
pub fn default_name(source: &ModelSource) -> Result<String> {
    if let ModelSource::Manifest(path) = source {
        #[derive(serde::Deserialize)]
        struct Head {
            network: Name,
        }
        #[derive(serde::Deserialize)]
        struct Name {
            name: String,
        }
        let text = std::fs::read_to_string(path).doing(path.display())?;
        // What is wrong with the rest is told by whoever reads all of it.
        if let Ok(head) = serde_json::from_str::<Head>(&text) {
            return super::common::session_name(&head.network.name);
        }
    }
    Ok(name_from_file(source.path()))
}

/// The name that a model's file gives to its network.
pub fn name_from_file(path: &Path) -> String {
    let path = flake::file(path);
    let word = |s: Option<&std::ffi::OsStr>| {
        let text = s.unwrap_or_default().to_string_lossy().into_owned();
        let clean: String = text
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' })
            .collect();
        clean.trim_start_matches(['-', '_', '.']).chars().take(63).collect::<String>()
    };
    let stem = word(path.file_stem());
    let dir = word(path.parent().and_then(Path::file_name));
    let generic =
        ["network", "diorama", "hive", "flake", "default", "model", "manifest"].contains(&stem.as_str());
    match (generic || stem.is_empty(), dir.is_empty()) {
        (true, false) => dir,
        (true, true) if stem.is_empty() => "network".into(),
        _ => stem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_files() {
        for (path, want) in [
            ("/home/a/trac/network.nix", "trac"),
            ("/home/a/shop.nix", "shop"),
            ("/home/a/my shop.nix", "my-shop"),
            ("/network.nix", "network"),
            ("/a/.hidden/default.nix", "hidden"),
            ("/a/b/manifest.json", "b"),
            ("/a/shop/flake.nix#colmena", "shop"),
            ("/a/farm/hive.nix", "farm"),
        ] {
            assert_eq!(name_from_file(Path::new(path)), want, "{path}");
        }
    }

    #[test]
    fn a_word_means_a_file_a_directory_or_a_flake() {
        let tmp = tempfile::tempdir().unwrap();
        let at = |p: &str| tmp.path().join(p);
        for (dir, files) in [
            ("flake", &["flake.nix"][..]),
            ("both", &["flake.nix", "default.nix"][..]),
            ("hive", &["hive.nix", "flake.nix"]),
            ("plain", &["default.nix"]),
            ("none", &["readme.md"]),
        ] {
            std::fs::create_dir(at(dir)).unwrap();
            for file in files {
                std::fs::write(at(dir).join(file), "").unwrap();
            }
        }
        let check = |named: &str, want: Result<&str, &str>| {
            let got = named_model(&at(named));
            match want {
                Ok(path) => assert_eq!(got.unwrap(), at(path), "{named}"),
                Err(words) => {
                    let e = got.unwrap_err().to_string();
                    assert!(e.contains(words), "{named}: {e}");
                }
            }
        };
        check("flake", Ok("flake/flake.nix"));
        check("both", Ok("both/default.nix"));
        check("hive", Ok("hive/hive.nix"));
        check("plain", Ok("plain/default.nix"));
        check("both/default.nix", Ok("both/default.nix"));
        check("both#colmena", Ok("both/flake.nix#colmena"));
        check("both/flake.nix#deploy", Ok("both/flake.nix#deploy"));
        check("both#", Ok("both/flake.nix"));
        check("none", Err("there is none of network.nix"));
        check("none#x", Err("no such flake"));
        check("nowhere.nix", Err("No such file"));
        let e = named_model(Path::new("github:somebody/farm#colmena")).unwrap_err().to_string();
        assert!(e.contains("only flakes in a directory"), "{e}");
    }
}
