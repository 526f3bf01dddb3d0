//! An order that waits for its answer: when it is said again, and when the host counts as lost.
//!
//! ```text
//! said ─▶ said again, some times ─▶ said over a new connection ─▶ given up
//!   └▶ taken (the supervisor has begun) ─▶ answered, or given up
//! ```
//!
//! Invariant: pure, time is an argument; whatever is heard or not heard, an order ends.

use std::time::Duration;

use tokio::time::Instant;

/// How long an order may stay without any word about it before it is said again.
const ANSWER: Duration = Duration::from_secs(15);
/// How often it is said over one connection.
const TIMES: u32 = 3;
/// How many connections it is said over.
const CONNECTIONS: u32 = 2;
/// How long a supervisor may take to do what it has begun.
const LIMIT: Duration = Duration::from_secs(900);

/// What to do about an order that is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Due {
    /// Say it again: saying one twice does no harm.
    Repeat,
    /// Say it over a new connection.
    Reconnect,
    /// The host is lost.
    GiveUp(String),
}

/// An order, from its being said to its answer.
#[derive(Debug, Clone)]
pub(super) struct Order {
    /// As the supervisor reads it.
    pub text: String,
    given: Instant,
    said: Instant,
    times: u32,
    connections: u32,
    taken: bool,
}

impl Order {
    /// An order that is said now.
    pub(super) fn new(text: &str, now: Instant) -> Self {
        Self { text: text.to_owned(), given: now, said: now, times: 1, connections: 1, taken: false }
    }

    /// It was said over a new connection.
    pub(super) fn said_anew(&mut self, now: Instant) {
        (self.said, self.times) = (now, 1);
    }

    /// Takes a word of the supervisor's; whether it is the last that is to be heard about the order.
    pub(super) fn hears(&mut self, word: &str) -> bool {
        let verb = self.text.split(' ').next().unwrap_or_default();
        let (begun, done) = match verb {
            "activate" => ("activating", "active"),
            "ack" => ("", "acked"),
            "commit" => ("committing", "committed"),
            "release" => ("", "released"),
            "abort" => ("stopping", "released"),
            // Not an order: the supervisor's first word.
            _ => ("", "locked"),
        };
        self.taken |= word == begun || word == "reverting";
        word == done || matches!(word, "reverted" | "revert-failed" | "refused" | "absent")
    }

    /// When something has to be done about it.
    pub(super) fn deadline(&self) -> Instant {
        if self.taken { self.given + LIMIT } else { self.said + ANSWER }
    }

    /// What has to be done about it, if anything by now.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        if now < self.deadline() {
            return None;
        }
        let verb = self.text.split(' ').next().unwrap_or_default().to_owned();
        Some(if self.taken {
            Due::GiveUp(format!("{verb} has not come to an end in {} seconds", LIMIT.as_secs()))
        } else if self.times < TIMES {
            self.times += 1;
            self.said = now;
            Due::Repeat
        } else if self.connections < CONNECTIONS {
            self.connections += 1;
            self.said_anew(now);
            Due::Reconnect
        } else {
            let seconds = now.duration_since(self.given).as_secs();
            Due::GiveUp(format!("its supervisor has not answered {verb} in {seconds} seconds"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that becomes due, with the seconds since it was given, when these words are heard.
    fn course(text: &str, words: &[(u64, &str)]) -> Vec<(u64, Due)> {
        let begin = Instant::now();
        let mut order = Order::new(text, begin);
        let mut out = Vec::new();
        for second in 0..2000 {
            for (_, word) in words.iter().filter(|(at, _)| *at == second) {
                if order.hears(word) {
                    return out;
                }
            }
            if let Some(due) = order.due(begin + Duration::from_secs(second)) {
                let over = matches!(due, Due::GiveUp(_));
                out.push((second, due));
                if over {
                    return out;
                }
            }
        }
        panic!("{text} never ends");
    }

    fn kinds(course: &[(u64, Due)]) -> String {
        let kind = |due: &Due| match due {
            Due::Repeat => 'r',
            Due::Reconnect => 'c',
            Due::GiveUp(_) => 'g',
        };
        course.iter().map(|(_, due)| kind(due)).collect()
    }

    #[test]
    fn every_order_ends() {
        for (text, words, want) in [
            ("activate", &[][..], "rrcrrg"),
            ("activate", &[(1, "locked"), (2, "active")], ""),
            ("activate", &[(1, "activating"), (200, "active")], ""),
            ("activate", &[(1, "activating")], "g"),
            ("activate", &[(1, "activating"), (3, "reverting"), (5, "reverted")], ""),
            ("ack 1-2", &[(20, "acked")], "r"),
            ("ack 1-2", &[(2, "committed")], "rrcrrg"),
            ("commit", &[(20, "committing"), (60, "committed")], "r"),
            ("release", &[(50, "released")], "rrc"),
            ("abort", &[(1, "stopping"), (200, "reverted")], ""),
            ("abort", &[(1, "released")], ""),
            ("abort", &[(1, "reverting")], "g"),
            ("", &[(1, "refused")], ""),
            ("", &[(1, "locked")], ""),
        ] {
            assert_eq!(kinds(&course(text, words)), want, "{text} {words:?}");
        }
    }

    #[test]
    fn what_is_given_up_says_what_and_how_long() {
        for (words, want) in [
            (&[][..], "its supervisor has not answered commit in 90 seconds"),
            (&[(1, "committing")], "commit has not come to an end in 900 seconds"),
        ] {
            let Some((_, Due::GiveUp(why))) = course("commit", words).pop() else { panic!("{words:?}") };
            assert_eq!(why, want);
        }
    }
}
