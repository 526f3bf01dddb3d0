//! A deployment under way: its events as they come, and its end.
//!
//! Invariant: nothing is timed; what is waited for is an event or the end.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use serde_json::Value;

use crate::world::PATIENCE;

/// A running `diorama deploy --json`.
pub struct Run {
    child: Child,
    events: Receiver<Value>,
    seen: Vec<Value>,
    errors: Option<JoinHandle<String>>,
}

/// How one has ended.
#[derive(Debug)]
pub struct End {
    /// Its exit status; -1 when it was killed.
    pub status: i32,
    /// What it said about its errors.
    pub errors: String,
    seen: Vec<Value>,
}

impl Run {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (tell, events) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if let Ok(event) = serde_json::from_str(&line)
                    && tell.send(event).is_err()
                {
                    return;
                }
            }
        });
        let mut err = child.stderr.take().unwrap();
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = err.read_to_string(&mut text);
            text
        });
        Self { child, events, seen: Vec::new(), errors: Some(errors) }
    }

    /// Waits for an event.
    #[track_caller]
    pub fn until(&mut self, what: &str, holds: impl Fn(&Value) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(event) => {
                    let it = holds(&event);
                    self.seen.push(event);
                    if it {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("{what} does not happen: {:#?}", self.seen),
                Err(RecvTimeoutError::Disconnected) => panic!("{what} has not happened: {:#?}", self.take()),
            }
        }
    }

    /// Waits until a host has come to a phase, unless it has been there already.
    #[track_caller]
    pub fn phase(&mut self, host: &str, phase: &str) {
        let it = |e: &Value| e["event"] == "phase" && e["host"] == host && e["phase"] == phase;
        if !self.seen.iter().any(it) {
            self.until(&format!("{host} {phase}"), it);
        }
    }

    /// Ends it, as nobody can prepare for.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, as ctrl-c does.
    pub fn interrupt(&self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    }

    fn take(&mut self) -> End {
        self.seen.extend(self.events.iter());
        let status = self.child.wait().unwrap().code().unwrap_or(-1);
        let errors = self.errors.take().map(|e| e.join().unwrap()).unwrap_or_default();
        End { status, errors, seen: std::mem::take(&mut self.seen) }
    }

    /// Waits for its end, which has to have this status.
    #[track_caller]
    pub fn end(mut self, status: i32) -> End {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(event) => self.seen.push(event),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {:#?}", self.seen),
            }
        }
        let end = self.take();
        assert_eq!(end.status, status, "{end:#?}");
        end
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
    }
}

impl End {
    /// What came of a host, as a word, and why.
    pub fn outcome(&self, host: &str) -> (String, String) {
        let of = |e: &&Value| e["event"] == "outcome" && e["host"] == host;
        let Some(event) = self.seen.iter().rev().find(of) else { panic!("{host}: {self:#?}") };
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        (text(&event["result"]["outcome"]), text(&event["result"]["why"]))
    }

    /// The number of the generation that was recorded.
    pub fn generation(&self) -> u64 {
        let number = |e: &Value| if e["event"] == "end" { e["generation"].as_u64() } else { None };
        self.seen.iter().find_map(number).unwrap_or_else(|| panic!("no generation: {self:#?}"))
    }

    /// What was planned for a host.
    pub fn plan(&self, host: &str) -> Value {
        let plan = self.seen.iter().find(|e| e["event"] == "plan");
        plan.map(|e| e["plan"]["hosts"][host].clone()).unwrap_or_default()
    }

    /// Where in the course of events a host came to a phase.
    pub fn at(&self, host: &str, phase: &str) -> Option<usize> {
        self.seen.iter().position(|e| e["event"] == "phase" && e["host"] == host && e["phase"] == phase)
    }

    /// Checks what came of every host.
    #[track_caller]
    pub fn outcomes(&self, want: [&str; 3]) {
        let got = crate::world::HOSTS.map(|h| self.outcome(h).0);
        assert_eq!(got, want.map(str::to_owned), "{self:#?}");
    }
}
