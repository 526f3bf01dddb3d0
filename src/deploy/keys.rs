//! Secrets and hosts: what a host has of them now, and how they travel to its supervisor.
//!
//! Invariant: a secret reaches a host through standard input alone. What a host has is asked for as a hash with a salt
//! made for the question, and neither hash nor secret is in a plan.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ssh::Link;
use crate::error::{Error, Result};
use crate::secrets::{Carried, action, permissions};

const FOUND: &str = include_str!("sh/keys-found.sh");

/// What a deployment does to a secret of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// The secret's name.
    pub name: String,
    /// What happens to it.
    pub what: KeyFate,
}

/// What happens to a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyFate {
    /// The host does not have it.
    New,
    /// The host has something else in its place.
    Changes,
    /// It is somebody else's there, or has other permissions.
    Access,
}

impl KeyChange {
    /// The change in a few words.
    pub fn describe(&self) -> String {
        match self.what {
            KeyFate::New => format!("{} is new", self.name),
            KeyFate::Changes => format!("{} changes", self.name),
            KeyFate::Access => format!("{} gets another owner or other permissions", self.name),
        }
    }
}

/// Asks a host which secrets are not as they shall be.
pub(super) async fn changes(link: &Link, keys: &[Carried], salt: &str) -> Result<Vec<KeyChange>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut input = format!("{salt}\n");
    for (number, carried) in keys.iter().enumerate() {
        input.push_str(&format!("{number} {}\n", carried.key.path));
    }
    let answer = link.run(FOUND, &[], input.as_bytes()).await?;
    let text = answer.text();
    if !answer.ok() || text.lines().next_back() != Some("end") {
        return Err(Error::new(format!(
            "{}: its answer about secrets is cut off: {}",
            link.address, answer.err
        )));
    }
    Ok(compare(keys, salt, &text))
}

fn compare(keys: &[Carried], salt: &str, text: &str) -> Vec<KeyChange> {
    let found: BTreeMap<usize, &str> = text
        .lines()
        .filter_map(|line| {
            let (number, what) = line.split_once(' ')?;
            Some((number.parse().ok()?, what))
        })
        .collect();
    keys.iter()
        .enumerate()
        .filter_map(|(number, carried)| {
            let what = fate(carried, salt, found.get(&number).copied().unwrap_or("none"))?;
            Some(KeyChange { name: carried.name.clone(), what })
        })
        .collect()
}

fn fate(carried: &Carried, salt: &str, found: &str) -> Option<KeyFate> {
    let key = &carried.key;
    // Names may have spaces, those of a directory service's groups for one.
    let mut parts = found.split('\t');
    let numbers: Vec<&str> = parts.next().unwrap_or_default().split(' ').collect();
    let (&[kind, sum, mode, uid, gid], Some(user), Some(group)) = (&numbers[..], parts.next(), parts.next())
    else {
        return Some(if found == "none" { KeyFate::New } else { KeyFate::Changes });
    };
    let mut hash = Sha256::new();
    hash.update(salt.as_bytes());
    hash.update(carried.secret.bytes());
    let hash: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    if kind != "file" || hash != sum {
        return Some(KeyFate::Changes);
    }
    let is = |wanted: &str, name: &str, number: &str| wanted == name || wanted == number;
    let same = mode == permissions(key) && is(&key.user, user, uid) && is(&key.group, group, gid);
    (!same).then_some(KeyFate::Access)
}

/// What a supervisor's start reads of secrets: the table, an empty line, and what it tells of (`sh/start.sh`).
pub(super) fn input(keys: &[Carried]) -> Vec<u8> {
    let (mut table, mut contents) = (String::new(), Vec::new());
    for (number, carried) in keys.iter().enumerate() {
        let (key, secret) = (&carried.key, carried.secret.bytes());
        let action = action(key);
        table.push_str(&format!(
            "{number} {} {} {} {} {} {} {} {} {}\n",
            key.upload_at.word(),
            secret.len(),
            action.len(),
            key.user,
            key.group,
            permissions(key),
            u8::from(key.mk_dirs),
            key.path,
            carried.name,
        ));
        contents.extend_from_slice(secret);
        contents.extend_from_slice(action.as_bytes());
    }
    table.push('\n');
    let mut out = table.into_bytes();
    out.append(&mut contents);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Secret;

    fn carried(secret: &str) -> Carried {
        let key = r#"{"path":"/run/keys/db","user":"postgres","permissions":"0440","source":{"kind":"text"},
            "action":["systemctl","reload","a b"]}"#;
        Carried {
            name: "db".into(),
            key: serde_json::from_str(key).unwrap(),
            secret: Secret::new(secret.as_bytes()),
        }
    }

    #[test]
    fn what_a_host_has_is_compared_by_hash_owner_and_mode() {
        // printf '%s' saltsecret | sha256sum
        let sum = "d29aa32895d6a72b8a3ac7fb53d60b2bb5adcfea7fa0f6d4f2ff5d3b8a4aa2a0";
        let real: String = Sha256::digest(b"saltsecret").iter().map(|b| format!("{b:02x}")).collect();
        let file = |access: &str, sum: &str| format!("file {sum} {access}");
        for (found, want) in [
            (file("440 115 0\tpostgres\troot", &real), None),
            (file("440 0 0\troot\troot", &real), Some(KeyFate::Access)),
            (file("600 115 0\tpostgres\troot", &real), Some(KeyFate::Access)),
            (file("440 115 0\tpostgres\troot", sum), Some(KeyFate::Changes)),
            (file("440 115 7\tpostgres\tdomain users", &real), Some(KeyFate::Access)),
            ("none".into(), Some(KeyFate::New)),
            ("link".into(), Some(KeyFate::Changes)),
            ("other".into(), Some(KeyFate::Changes)),
            ("file".into(), Some(KeyFate::Changes)),
        ] {
            assert_eq!(fate(&carried("secret"), "salt", &found), want, "{found}");
        }
        let got = compare(&[carried("secret"), carried("x")], "salt", "junk\n1 link\nend\n");
        assert_eq!(got.iter().map(|c| c.what).collect::<Vec<_>>(), [KeyFate::New, KeyFate::Changes]);
    }

    #[test]
    fn the_start_reads_what_is_sent() {
        let got = String::from_utf8(input(&[carried("sec\nret")])).unwrap();
        let want =
            "0 pre-activation 7 22 postgres root 440 1 /run/keys/db db\n\nsec\nretsystemctl reload 'a b'";
        assert_eq!(got, want);
        assert_eq!(input(&[]), b"\n");
    }
}
