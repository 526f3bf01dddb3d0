//! What a host would build of a system that it does not have, from the system's recipe alone.
//!
//! A derivation's file says what it makes and from which others' outputs. From the system's own on, a derivation is
//! needed when an output that somebody asks for is not valid on the host; what it is made from is asked for then.
//!
//! Invariant: pure; the host is asked by who calls.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What a host would do to have a system that it builds itself, at most: a cache that its Nix trusts may spare it much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Builds {
    /// Derivations that it would build.
    pub derivations: usize,
    /// Files that it would download: derivations whose output's hash is known.
    pub downloads: usize,
    /// Recipes and sources that travel to it before it can begin.
    pub recipes: usize,
    /// Their bytes.
    pub recipe_bytes: u64,
}

/// A derivation, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Recipe {
    /// The store paths that it makes, by name; one that is not known before it is built is empty.
    pub outputs: BTreeMap<String, String>,
    /// Whether its output's hash is known, as that of a download is.
    pub fixed: bool,
    /// The derivations that it needs, with the outputs that it needs of each.
    pub inputs: BTreeMap<String, Vec<String>>,
}

impl Recipe {
    /// Reads a derivation's file; none when it is no such file.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = Reader(text);
        rest.skip("Derive(")?;
        let mut out = Self::default();
        rest.list(|r| {
            r.skip("(")?;
            let name = r.string()?;
            r.skip(",")?;
            let path = r.string()?;
            r.skip(",")?;
            r.string()?;
            r.skip(",")?;
            // One whose path follows from its content has a kind of hash, and no hash.
            out.fixed |= !r.string()?.is_empty();
            r.skip(")")?;
            out.outputs.insert(name, path);
            Some(())
        })?;
        rest.skip(",")?;
        rest.list(|r| {
            r.skip("(")?;
            let derivation = r.string()?;
            r.skip(",")?;
            let mut names = Vec::new();
            r.list(|r| {
                names.push(r.string()?);
                Some(())
            })?;
            r.skip(")")?;
            out.inputs.insert(derivation, names);
            Some(())
        })?;
        Some(out)
    }
}

/// Counts what is needed for the wanted derivations when the host has all outputs but those it lacks.
pub(super) fn needed(
    wanted: &[String],
    recipes: &BTreeMap<String, Recipe>,
    has: impl Fn(&str) -> bool,
) -> Builds {
    let mut out = Builds::default();
    let mut seen = BTreeSet::new();
    let mut open: Vec<&str> = Vec::new();
    let lacks = |recipe: &Recipe, name: &String| recipe.outputs.get(name).is_none_or(|path| !has(path));
    for derivation in wanted {
        if recipes.get(derivation).is_some_and(|r| r.outputs.keys().any(|name| lacks(r, name))) {
            open.push(derivation);
        }
    }
    while let Some(derivation) = open.pop() {
        let Some(recipe) = recipes.get(derivation) else { continue };
        if !seen.insert(derivation) {
            continue;
        }
        if recipe.fixed {
            out.downloads += 1;
        } else {
            out.derivations += 1;
        }
        for (input, names) in &recipe.inputs {
            if recipes.get(input).is_some_and(|r| names.iter().any(|name| lacks(r, name))) {
                open.push(input);
            }
        }
    }
    out
}

/// What is left of a derivation's text.
struct Reader<'a>(&'a str);

impl Reader<'_> {
    fn skip(&mut self, what: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(what)?;
        Some(())
    }

    fn string(&mut self) -> Option<String> {
        self.skip("\"")?;
        let mut out = String::new();
        let mut chars = self.0.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.0 = &self.0[at + 1..];
                    return Some(out);
                }
                '\\' => out.push(chars.next()?.1),
                _ => out.push(c),
            }
        }
        None
    }

    /// Reads `[…]`, each item by `item`.
    fn list(&mut self, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.skip("[")?;
        while self.skip("]").is_none() {
            item(self)?;
            if self.skip(",").is_none() {
                return self.skip("]");
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derivation_is_read() {
        let text = r#"Derive([("dev","/s/a-dev","",""),("out","/s/a","","")],[("/s/b.drv",["lib","out"]),("/s/c.drv",["out"])],["/s/src"],"x86_64-linux","/bin/sh",["-c","echo \"],[\\"],[("name","a\"")])"#;
        let got = Recipe::parse(text).unwrap();
        let own = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(got.outputs.values().cloned().collect::<Vec<_>>(), own(&["/s/a-dev", "/s/a"]));
        assert_eq!(
            got.inputs,
            [("/s/b.drv".to_owned(), own(&["lib", "out"])), ("/s/c.drv".to_owned(), own(&["out"]))].into()
        );
        assert!(!got.fixed);
        for (text, fixed) in [
            (r#"Derive([("out","/s/d","sha256","abc")],[],[],"#, Some(true)),
            (r#"Derive([("out","","r:sha256","")],[],[],"#, Some(false)),
            (r#"Derive([("out","/s/d"#, None),
            (r#"Derive([("out","/s/d","","")"#, None),
            ("[package]", None),
            ("", None),
        ] {
            assert_eq!(Recipe::parse(text).map(|r| r.fixed), fixed, "{text}");
        }
    }

    /// A derivation that makes `/s/NAME` for each of its outputs' names, from others' outputs (`DRV!OUTPUT`).
    fn recipe(outputs: &[&str], fixed: bool, inputs: &[&str]) -> Recipe {
        let mut out = Recipe { fixed, ..Recipe::default() };
        for name in outputs {
            out.outputs.insert((*name).to_owned(), format!("/s/{name}"));
        }
        for input in inputs {
            let (derivation, name) = input.split_once('!').unwrap();
            out.inputs.entry(derivation.to_owned()).or_default().push(name.to_owned());
        }
        out
    }

    #[test]
    fn only_what_somebody_asks_for_is_needed() {
        // The system is made from a and b; both from the compiler's library, b also from a download.
        let recipes: BTreeMap<String, Recipe> = [
            ("system", recipe(&["system"], false, &["a!a", "b!b"])),
            ("a", recipe(&["a"], false, &["compiler!lib"])),
            ("b", recipe(&["b"], false, &["compiler!lib", "file!file"])),
            ("compiler", recipe(&["cc", "lib"], false, &["file!file"])),
            ("file", recipe(&["file"], true, &[])),
        ]
        .map(|(name, r)| (name.to_owned(), r))
        .into();
        for (has, want) in [
            (&[][..], (4, 1)),
            (&["system"][..], (0, 0)),
            // What a thing was made from does not matter once it is there.
            (&["a", "b"][..], (1, 0)),
            (&["a", "lib"][..], (2, 1)),
            // Another output of the same derivation is no help, and its absence no harm.
            (&["a", "file", "cc"][..], (3, 0)),
            (&["a", "file", "lib"][..], (2, 0)),
        ] {
            let got = needed(&["system".to_owned()], &recipes, |path| {
                has.contains(&path.strip_prefix("/s/").unwrap())
            });
            assert_eq!((got.derivations, got.downloads), want, "{has:?}");
        }
        assert_eq!(needed(&["none".to_owned()], &recipes, |_| false), Builds::default());
    }
}
