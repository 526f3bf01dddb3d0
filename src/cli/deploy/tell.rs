//! Tells a person, or a program, how a deployment goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::cli::out;
use crate::deploy::Happening;
use crate::deploy::plan::megabytes;
use crate::deploy::words::Phase;

/// One object for a program.
pub(super) fn line(value: &serde_json::Value) {
    out::line(&value.to_string());
}

/// Tells a person, or a program, how it goes on.
pub(super) struct Teller {
    json: bool,
    /// Whether everything is taken back.
    pub failing: bool,
    /// Hosts that are due to be started anew.
    pub reboot: BTreeSet<String>,
    copies: BTreeMap<String, (Instant, Instant, u64)>,
}

impl Teller {
    pub fn new(json: bool) -> Self {
        Self { json, failing: false, reboot: BTreeSet::new(), copies: BTreeMap::new() }
    }

    /// What was copied to all hosts.
    pub fn bytes(&self) -> u64 {
        self.copies.values().map(|(_, _, bytes)| bytes).sum()
    }

    pub fn tell(&mut self, happening: &Happening) {
        match happening {
            Happening::Failing { .. } => self.failing = true,
            Happening::Reboot { host } => {
                self.reboot.insert(host.clone());
            }
            Happening::Copy { .. } | Happening::Phase { .. } | Happening::Said { .. } => {}
        }
        let text = self.copy(happening).or_else(|| text(happening));
        if self.json {
            if !matches!(happening, Happening::Copy { .. }) || text.is_some() {
                out::line(&serde_json::to_string(happening).unwrap_or_default());
            }
        } else if let Some(text) = text {
            out::line(&text);
        }
    }

    /// Bytes and the time left, now and then.
    fn copy(&mut self, happening: &Happening) -> Option<String> {
        let Happening::Copy { host, done, total } = happening else { return None };
        let now = Instant::now();
        let (began, said, bytes) = self.copies.entry(host.clone()).or_insert((now, now, 0));
        let ended = done == total && *total > 0;
        if ended && *bytes == *done {
            return None;
        }
        *bytes = *done;
        if !ended && now.duration_since(*said) < Duration::from_secs(2) {
            return None;
        }
        *said = now;
        let taken = now.duration_since(*began).as_secs_f64();
        let left = if *done > 0 { taken * (total - done) as f64 / *done as f64 } else { 0.0 };
        let rest = if ended { String::new() } else { format!(", {left:.0} s left") };
        Some(format!("{host}: {} of {}{rest}", megabytes(*done), megabytes(*total)))
    }
}

fn text(happening: &Happening) -> Option<String> {
    Some(match happening {
        Happening::Phase { host, phase } => {
            let words = match phase {
                Phase::Copying => "copying",
                Phase::Locked => "locked",
                Phase::Activating => "activating",
                Phase::Acked => "active, and reached over a fresh connection",
                Phase::Healthy => "healthy",
                Phase::Committing => "committing",
                Phase::Reverting => "going back",
                Phase::Recovering => "finding out how it stands",
                _ => return None,
            };
            format!("{host}: {words}")
        }
        Happening::Said { host, line } => format!("{host} | {line}"),
        Happening::Reboot { host } => format!("{host}: a reboot is due"),
        Happening::Failing { why } => format!("FAILED, everything goes back: {why}"),
        Happening::Copy { .. } => return None,
    })
}
