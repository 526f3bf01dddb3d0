//! How an attempt stands on its host, whether its supervisor still lives or not.
//!
//! Invariant: what a host says is made printable, and it has bounded time to say it.

use std::time::Duration;

use super::ssh::Link;

const STATE: &str = include_str!("sh/state.sh");

/// How long a host may take to say how it stands, or to be reached afresh.
pub(super) const FRESH: Duration = Duration::from_secs(30);

/// A host's answer about an attempt.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Whether its supervisor lives.
    pub alive: bool,
    /// The supervisor's own word for where it is; empty when there never was one.
    pub state: String,
    /// What an acknowledgement has to repeat.
    pub nonce: String,
    /// The running system.
    pub current: String,
    /// The system that would be booted.
    pub profile: String,
}

/// Asks; none when there is no answer.
pub(super) async fn standing(link: &Link, token: &str) -> Option<Standing> {
    let answer = tokio::time::timeout(FRESH, link.run(STATE, &[token], &[])).await.ok()?.ok()?;
    answer.ok().then(|| parse(&answer.text()))
}

fn parse(text: &str) -> Standing {
    let mut out = Standing::default();
    for line in text.lines() {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        let value = crate::error::printable(value);
        match key {
            "unit" => {
                out.alive = matches!(value.as_str(), "active" | "activating" | "deactivating" | "reloading")
            }
            "state" => out.state = value,
            "nonce" => out.nonce = value,
            "current" => out.current = value,
            "profile" => out.profile = value,
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_parsed() {
        for (unit, alive) in [("active", true), ("deactivating", true), ("inactive", false), ("", false)] {
            let got =
                parse(&format!("Welcome!\nunit {unit}\nstate acked\nnonce 1\ncurrent /a\x1b\nprofile /b\n"));
            let want = Standing {
                alive,
                state: "acked".into(),
                nonce: "1".into(),
                current: "/a\u{fffd}".into(),
                profile: "/b".into(),
            };
            assert_eq!(got, want);
        }
    }
}
