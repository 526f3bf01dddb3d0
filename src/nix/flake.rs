//! Models that are outputs of a flake: `DIR/flake.nix`, or `DIR/flake.nix#OUTPUT` for one that is named.
//!
//! Invariant: nothing is evaluated here; a path that does not end in `flake.nix` is no flake.

use std::path::{Path, PathBuf};

/// The file that makes a directory a flake.
pub const FILE: &str = "flake.nix";

/// A flake, and which of its outputs has the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flake {
    /// The flake's directory.
    pub dir: PathBuf,
    /// The output; none for the first that can be one.
    pub output: Option<String>,
}

impl Flake {
    /// The flake that a model's path means.
    pub fn of(model: &Path) -> Option<Self> {
        let name = model.file_name()?.to_str()?;
        let rest = name.strip_prefix(FILE)?;
        let output = match rest.strip_prefix('#') {
            Some(output) => Some(output.to_owned()).filter(|o| !o.is_empty()),
            None if rest.is_empty() => None,
            None => return None,
        };
        Some(Self { dir: model.parent().unwrap_or(Path::new("")).to_owned(), output })
    }

    /// The model's path that means this flake.
    pub fn model(&self) -> PathBuf {
        match &self.output {
            Some(output) => self.dir.join(format!("{FILE}#{output}")),
            None => self.dir.join(FILE),
        }
    }

    /// The directory that Nix copies into the store: that of the Git repository, where Nix looks at
    /// nothing but the files that it tracks, or else the flake's own.
    fn root(&self) -> (&Path, bool) {
        let repository = self.dir.ancestors().find(|d| d.join(".git").exists());
        (repository.unwrap_or(&self.dir), repository.is_some())
    }

    /// Its reference, as Nix takes it (`git+file:` and `path:` of Nix' manual, "nix flake").
    pub fn reference(&self) -> String {
        let (root, git) = self.root();
        let root_url = encode(root);
        match self.dir.strip_prefix(root) {
            _ if !git => format!("path:{root_url}"),
            Ok(below) if !below.as_os_str().is_empty() => {
                format!("git+file://{root_url}?dir={}", encode(below))
            }
            _ => format!("git+file://{root_url}"),
        }
    }

    /// What Nix says, with the places that it gives in its copy of the flake as those of the flake itself.
    pub fn explain(&self, said: &str) -> String {
        let (root, git) = self.root();
        let mut out = self.at_home(said, root);
        let missing = said.contains("No such file or directory") || said.contains("does not exist");
        if git && missing && said.contains("-source/") {
            out.push_str(&format!(
                "\nNix sees the files that Git tracks in {} and no others: `git add` what is missing",
                root.display()
            ));
        }
        out
    }

    fn at_home(&self, said: &str, root: &Path) -> String {
        let below = self.dir.strip_prefix(root).unwrap_or(Path::new(""));
        let Ok(ours) = std::fs::read(self.dir.join(FILE)) else { return said.to_owned() };
        let mut out = String::new();
        let mut rest = said;
        while let Some(at) = rest.find("/nix/store/") {
            let (before, from) = rest.split_at(at);
            let end = from[11..].find('/').map_or(from.len(), |n| 11 + n);
            let copy = Path::new(&from[..end]);
            // Another flake's copy is left alone.
            let is_ours = std::fs::read(copy.join(below).join(FILE)).is_ok_and(|theirs| theirs == ours);
            out.push_str(before);
            out.push_str(&if is_ours { root.display().to_string() } else { from[..end].to_owned() });
            rest = &from[end..];
        }
        out.push_str(rest);
        out
    }
}

/// The file that a model's path means.
pub fn file(model: &Path) -> PathBuf {
    Flake::of(model).map_or_else(|| model.to_owned(), |flake| flake.dir.join(FILE))
}

/// A path as a URL has it (RFC 3986).
fn encode(path: &Path) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(byte) {
            out.push(char::from(*byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_means_a_flake_by_its_name() {
        for (path, want) in [
            ("/m/flake.nix", Some(("/m", None))),
            ("/m/flake.nix#colmena", Some(("/m", Some("colmena")))),
            ("/m/flake.nix#", Some(("/m", None))),
            ("flake.nix", Some(("", None))),
            ("/m/network.nix", None),
            ("/m/flake.nix.json", None),
        ] {
            let got = Flake::of(Path::new(path));
            let want = want.map(|(d, o)| Flake { dir: d.into(), output: o.map(str::to_owned) });
            assert_eq!(got, want, "{path}");
        }
        assert_eq!(file(Path::new("/m/flake.nix#x")), Path::new("/m/flake.nix"));
        assert_eq!(file(Path::new("/m/a.nix")), Path::new("/m/a.nix"));
    }

    #[test]
    fn references_and_places() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("my net");
        std::fs::create_dir_all(home.join("sub")).unwrap();
        let flake = Flake { dir: home.join("sub"), output: None };
        let base = dir.path().display();
        assert_eq!(flake.reference(), format!("path:{base}/my%20net/sub"));
        std::fs::create_dir(home.join(".git")).unwrap();
        assert_eq!(flake.reference(), format!("git+file://{base}/my%20net?dir=sub"));
        let top = Flake { dir: home.clone(), output: Some("x".into()) };
        assert_eq!(top.reference(), format!("git+file://{base}/my%20net"));
        assert_eq!(top.model(), home.join("flake.nix#x"));
        std::fs::write(home.join("flake.nix"), "{ }").unwrap();
        // A store object that is no copy of it keeps its name.
        let said = "at /nix/store/abc-source/flake.nix:1:2, /nix/store/";
        assert_eq!(top.explain(said), said);
        let said = "getting status of '/nix/store/abc-source/flake.nix': No such file or directory";
        assert!(top.explain(said).contains("`git add`"));
    }
}
