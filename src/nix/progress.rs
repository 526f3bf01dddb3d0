//! Whose progress a build is: the tally behind the bar of every node.
//!
//! A derivation counts for every node that needs it, so shared work moves all their bars.
//!
//! Invariant: pure; the order of events and the derivation graph decide everything.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::log::LogEvent;

/// How the way from a model to machines that can boot goes on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "step", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Progress {
    /// The model is being evaluated.
    Evaluating,
    /// Debian packages are being looked up for the lock file.
    Resolving {
        /// How many are asked for.
        packages: usize,
    },
    /// Files are being downloaded for a node.
    Fetching {
        /// The node.
        node: String,
        /// Bytes so far.
        done: u64,
        /// Bytes expected, as far as known.
        total: u64,
    },
    /// Derivations are being built for a node.
    Building {
        /// The node.
        node: String,
        /// The one that was begun or ended last.
        name: String,
        /// How many are built.
        done: usize,
        /// How many have to be built.
        total: usize,
    },
    /// Everything a node needs is there.
    Done {
        /// The node.
        node: String,
    },
    /// Words for people.
    Message {
        /// How bad it is.
        level: Level,
        /// The words, without control characters.
        text: String,
    },
}

/// How bad a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// A build's own output and details.
    Detail,
    /// Worth a line.
    Info,
    /// Worth a look.
    Warning,
    /// Something failed.
    Error,
}

/// Counts builds and downloads by node.
#[derive(Debug, Default)]
pub struct Tally {
    nodes: BTreeMap<String, NodeTally>,
    /// What is under way, by activity.
    active: HashMap<u64, Activity>,
    /// Whether the list of what will be built is being read.
    listing: bool,
}

#[derive(Debug, Default)]
struct NodeTally {
    needs: HashSet<String>,
    to_build: HashSet<String>,
    built: usize,
    bytes: u64,
    expected: u64,
    done: bool,
}

#[derive(Debug)]
enum Activity {
    Build { drv: String },
    Download { nodes: Vec<String>, done: u64, total: u64 },
}

impl Tally {
    /// Starts with what every node needs, by derivation.
    pub fn new(needs: BTreeMap<String, HashSet<String>>) -> Self {
        let nodes = needs
            .into_iter()
            .map(|(name, needs)| (name, NodeTally { needs, ..NodeTally::default() }))
            .collect();
        Self { nodes, ..Self::default() }
    }

    /// Takes one event of Nix's log.
    pub fn add(&mut self, event: &LogEvent) -> Vec<Progress> {
        match event {
            LogEvent::Message(m) => {
                self.announced(&m.text);
                Vec::new()
            }
            LogEvent::Build { id, drv } => {
                self.active.insert(*id, Activity::Build { drv: drv.clone() });
                self.builds(drv, false)
            }
            LogEvent::Transfer { id, url: what } | LogEvent::Copy { id, path: what } => {
                self.download(*id, what);
                Vec::new()
            }
            LogEvent::Progress { id, done, total } => self.bytes(*id, *done, *total),
            LogEvent::Stop { id } => match self.active.remove(id) {
                Some(Activity::Build { drv }) => self.builds(&drv, true),
                Some(Activity::Download { .. }) | None => Vec::new(),
            },
            LogEvent::BuildLine { .. } | LogEvent::Other => Vec::new(),
        }
    }

    /// Ends the tally: everything is there.
    pub fn finish(&mut self) -> Vec<Progress> {
        let left = self.nodes.iter_mut().filter(|(_, n)| !n.done);
        left.map(|(name, n)| {
            n.done = true;
            Progress::Done { node: name.clone() }
        })
        .collect()
    }

    /// The derivation of a build that is under way.
    pub fn drv(&self, id: u64) -> Option<&str> {
        match self.active.get(&id)? {
            Activity::Build { drv } => Some(drv),
            Activity::Download { .. } => None,
        }
    }

    /// Nix begins with the list of what it will build, one path a message.
    fn announced(&mut self, text: &str) {
        if text.ends_with("will be built:") {
            self.listing = true;
        } else if let Some(path) = text.strip_prefix("  ")
            && self.listing
            && path.ends_with(".drv")
        {
            for node in self.nodes.values_mut().filter(|n| n.needs.contains(path)) {
                node.to_build.insert(path.to_owned());
            }
        } else {
            self.listing = false;
        }
    }

    fn builds(&mut self, drv: &str, ended: bool) -> Vec<Progress> {
        let mut out = Vec::new();
        for (name, node) in &mut self.nodes {
            if !node.needs.contains(drv) {
                continue;
            }
            node.to_build.insert(drv.to_owned());
            node.built += usize::from(ended);
            let (done, total) = (node.built, node.to_build.len());
            out.push(Progress::Building { node: name.clone(), name: short(drv), done, total });
        }
        out
    }

    fn download(&mut self, id: u64, what: &str) {
        // A download within a build ends in that build's name; what else is downloaded comes from a
        // cache and may be for anybody.
        let file = what.rsplit('/').next().unwrap_or(what);
        let matching = self.active.values().find_map(|a| match a {
            Activity::Build { drv } if same_file(&short(drv), file) => Some(drv.clone()),
            _ => None,
        });
        let nodes = self
            .nodes
            .iter()
            .filter(|(_, n)| matching.as_ref().is_none_or(|drv| n.needs.contains(drv)))
            .map(|(name, _)| name.clone())
            .collect();
        self.active.insert(id, Activity::Download { nodes, done: 0, total: 0 });
    }

    fn bytes(&mut self, id: u64, now: u64, expected: u64) -> Vec<Progress> {
        let Some(Activity::Download { nodes, done, total }) = self.active.get_mut(&id) else {
            return Vec::new();
        };
        if (*done, *total) == (now, expected) {
            return Vec::new();
        }
        let (more, more_expected) = (now.saturating_sub(*done), expected.saturating_sub(*total));
        (*done, *total) = (now.max(*done), expected.max(*total));
        let mut out = Vec::new();
        for name in nodes.iter() {
            let Some(node) = self.nodes.get_mut(name) else { continue };
            node.bytes = node.bytes.saturating_add(more);
            node.expected = node.expected.saturating_add(more_expected);
            let total = node.expected.max(node.bytes);
            out.push(Progress::Fetching { node: name.clone(), done: node.bytes, total });
        }
        out
    }
}

/// Store names cannot hold every character that file names can, so only what both can is compared.
fn same_file(store_name: &str, file: &str) -> bool {
    let letters = |s: &str| s.bytes().filter(u8::is_ascii_alphabetic).collect::<Vec<_>>();
    letters(store_name) == letters(&file.replace("%3a", "").replace("%2b", "").replace("%7e", ""))
}

/// A derivation's name without the store's directory, the hash and the ending.
pub fn short(drv: &str) -> String {
    let base = drv.rsplit('/').next().unwrap_or(drv);
    let name = base.split_once('-').map_or(base, |(_, n)| n);
    name.strip_suffix(".drv").unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::log::parse;
    use super::*;

    fn tally() -> Tally {
        let needs = |names: &[&str]| names.iter().map(|n| format!("/nix/store/h-{n}.drv")).collect();
        Tally::new(BTreeMap::from([
            ("db".to_owned(), needs(&["base", "postgres"])),
            ("web".to_owned(), needs(&["base", "apache_2=b.deb"])),
        ]))
    }

    fn feed(tally: &mut Tally, lines: &[&str]) -> Vec<String> {
        let mut out = Vec::new();
        for line in lines {
            for p in tally.add(&parse(line)) {
                out.push(match p {
                    Progress::Building { node, name, done, total } => format!("{node} {name} {done}/{total}"),
                    Progress::Fetching { node, done, total } => format!("{node} {done} of {total}"),
                    other => format!("{other:?}"),
                });
            }
        }
        out
    }

    #[test]
    fn shared_work_moves_every_bar_and_own_work_one() {
        let mut t = tally();
        let said = feed(
            &mut t,
            &[
                r#"@nix {"action":"msg","level":3,"msg":"these 3 derivations will be built:"}"#,
                r#"@nix {"action":"msg","level":3,"msg":"  /nix/store/h-base.drv"}"#,
                r#"@nix {"action":"msg","level":3,"msg":"  /nix/store/h-postgres.drv"}"#,
                r#"@nix {"action":"msg","level":3,"msg":"  /nix/store/h-apache_2=b.deb.drv"}"#,
                r#"@nix {"action":"start","fields":["/nix/store/h-base.drv"],"id":1,"type":105}"#,
                r#"@nix {"action":"stop","id":1}"#,
                r#"@nix {"action":"start","fields":["/nix/store/h-apache_2=b.deb.drv"],"id":2,"type":105}"#,
                r#"@nix {"action":"start","fields":["http://m/pool/apache_2~b.deb"],"id":3,"type":101}"#,
                r#"@nix {"action":"result","fields":[5,10,0,0],"id":3,"type":105}"#,
                r#"@nix {"action":"result","fields":[5,10,0,0],"id":3,"type":105}"#,
                r#"@nix {"action":"result","fields":[10,10,0,0],"id":3,"type":105}"#,
                r#"@nix {"action":"stop","id":3}"#,
                r#"@nix {"action":"stop","id":2}"#,
            ],
        );
        assert_eq!(
            said,
            [
                "db base 0/2",
                "web base 0/2",
                "db base 1/2",
                "web base 1/2",
                "web apache_2=b.deb 1/2",
                "web 5 of 10",
                "web 10 of 10",
                "web apache_2=b.deb 2/2",
            ]
        );
        let done = |node: &str| Progress::Done { node: node.into() };
        assert_eq!(t.finish(), [done("db"), done("web")]);
        assert_eq!(t.finish(), []);
    }

    #[test]
    fn a_download_that_nobody_names_is_everybodys() {
        let mut t = tally();
        let said = feed(
            &mut t,
            &[
                r#"@nix {"action":"start","fields":["/nix/store/x","a","b"],"id":3,"type":100}"#,
                r#"@nix {"action":"result","fields":[1,0,0,0],"id":3,"type":105}"#,
                r#"@nix {"action":"stop","id":99}"#,
            ],
        );
        assert_eq!(said, ["db 1 of 1", "web 1 of 1"]);
    }

    #[test]
    fn names_are_short() {
        assert_eq!(short("/nix/store/abc-linux-6.1.drv"), "linux-6.1");
        assert_eq!(short("odd"), "odd");
    }
}
