//! `--on`: which nodes are meant by names, globs and `@tags`.
//!
//! Invariant: pure; a word that selects nothing is an error, never "nothing to do".

use std::collections::BTreeSet;

use super::model::Deployment;
use crate::error::{Error, Result, nearest};

/// The nodes that the words mean; all nodes when there are no words.
///
/// # Errors
/// When a word means no node.
pub fn select(deployment: &Deployment, words: &[String]) -> Result<BTreeSet<String>> {
    if words.is_empty() {
        return Ok(deployment.nodes.keys().cloned().collect());
    }
    let mut out = BTreeSet::new();
    for word in words {
        let before = out.len();
        let mut found = false;
        for (node, target) in &deployment.nodes {
            let meant = match word.strip_prefix('@') {
                Some(tag) => target.tags.iter().any(|t| glob(tag, t)),
                None => glob(word, node),
            };
            if meant {
                found = true;
                out.insert(node.clone());
            }
        }
        if !found {
            debug_assert_eq!(before, out.len());
            return Err(nobody(deployment, word));
        }
    }
    Ok(out)
}

fn nobody(deployment: &Deployment, word: &str) -> Error {
    let e = Error::not_found(format!("{word:?} means no host of {}", deployment.network.name));
    let names: Vec<&str> = match word.strip_prefix('@') {
        Some(_) => deployment.nodes.values().flat_map(|t| t.tags.iter().map(String::as_str)).collect(),
        None => deployment.nodes.keys().map(String::as_str).collect(),
    };
    match nearest(word.trim_start_matches('@'), names.iter().copied()) {
        Some(near) => e.hint(format!("did you mean {near}?")),
        None if names.is_empty() => e.hint("no host has a tag"),
        None => e.hint(format!("there are {}", names.join(", "))),
    }
}

/// Whether a pattern with `*` and `?` matches a whole word.
fn glob(pattern: &str, word: &str) -> bool {
    let mut expression = String::from("^");
    for c in pattern.chars() {
        match c {
            '*' => expression.push_str(".*"),
            '?' => expression.push('.'),
            c => expression.push_str(&regex::escape(&c.to_string())),
        }
    }
    expression.push('$');
    regex::Regex::new(&expression).is_ok_and(|r| r.is_match(word))
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::network;
    use super::*;

    #[test]
    fn words_select_nodes() {
        let mut d = network(&[("web1", &[]), ("web2", &[]), ("db", &[])]);
        d.nodes.get_mut("db").unwrap().tags = vec!["canary".into()];
        let check = |words: &[&str], want: &[&str]| {
            let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
            let got: Vec<String> = select(&d, &words).unwrap().into_iter().collect();
            assert_eq!(got, want, "{words:?}");
        };
        check(&[], &["db", "web1", "web2"]);
        check(&["web*"], &["web1", "web2"]);
        check(&["web?", "@canary"], &["db", "web1", "web2"]);
        check(&["@can*"], &["db"]);
        for (word, hint) in [("wb1", "web1"), ("@canry", "canary"), ("w.b1", "web1")] {
            let e = select(&d, &[word.to_owned()]).unwrap_err();
            assert!(e.print().contains(hint), "{}", e.print());
        }
    }
}
