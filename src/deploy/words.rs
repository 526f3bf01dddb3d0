//! The words of a deployment: goals and strategies, phases and outcomes, what happens to a host and what is done.
//!
//! Invariant: pure; what comes after what is not decided here (`step` does).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// Run the new configuration, and boot it from now on.
    Switch,
    /// Boot it from now on.
    Boot,
    /// Run it until the next boot.
    Test,
    /// Say what activating would do.
    DryActivate,
}

/// In which order hosts are activated, and what a failure means for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// All together; all or none.
    Atomic,
    /// One after another, each healthy before the next; all or none.
    Rolling,
    /// Those with the tag `canary` first; all or none.
    Canary,
    /// Each for itself.
    BestEffort,
}

/// What came of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "why", rename_all = "kebab-case")]
pub enum Outcome {
    /// It ran the wanted system already.
    Unchanged,
    /// It runs, or boots, the new system.
    Switched,
    /// It runs the new system, and units of it have failed.
    SwitchedWithFailedUnits,
    /// Nothing was changed on it.
    Untouched(String),
    /// It was changed, and runs the old system again.
    RolledBack(String),
    /// It was changed, and is not as it was.
    RollbackFailed(String),
    /// Nobody knows how it is.
    Unreachable(String),
}

impl Outcome {
    /// Whether it is what was wanted.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Unchanged | Self::Switched | Self::SwitchedWithFailedUnits)
    }

    /// The outcome in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Unchanged => "unchanged".into(),
            Self::Switched => "switched".into(),
            Self::SwitchedWithFailedUnits => "switched, with failed units".into(),
            Self::Untouched(why) => format!("untouched: {why}"),
            Self::RolledBack(why) => format!("rolled back: {why}"),
            Self::RollbackFailed(why) => format!("ROLLBACK FAILED: {why}"),
            Self::Unreachable(why) => format!("UNREACHABLE: {why}"),
        }
    }
}

/// Where a host is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing has begun.
    Waiting,
    /// Store paths travel.
    Copying,
    /// They are all there.
    Copied,
    /// Its supervisor is being started.
    Locking,
    /// Its supervisor holds the lock.
    Locked,
    /// The new system is being activated.
    Activating,
    /// It is active; a fresh connection has to say so.
    Acking,
    /// A fresh connection has said so.
    Acked,
    /// Its health is being checked.
    Checking,
    /// All its checks have succeeded.
    Healthy,
    /// Profile and boot loader are being set.
    Committing,
    /// They are set.
    Committed,
    /// Its supervisor is told to let go.
    Releasing,
    /// It goes back to the old system.
    Reverting,
    /// The connection was lost; how it stands is being found out.
    Recovering,
    /// It is over.
    Done(Outcome),
}

impl Phase {
    /// How far it is; what goes back or is over has no place in the order.
    pub(super) fn rank(&self) -> Option<u8> {
        Some(match self {
            Self::Waiting => 0,
            Self::Copying => 1,
            Self::Copied => 2,
            Self::Locking => 3,
            Self::Locked => 4,
            Self::Activating => 5,
            Self::Acking => 6,
            Self::Acked => 7,
            Self::Checking => 8,
            Self::Healthy => 9,
            Self::Committing => 10,
            Self::Committed => 11,
            Self::Releasing => 12,
            Self::Reverting | Self::Recovering | Self::Done(_) => return None,
        })
    }
}

/// What has happened to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Its paths are all there.
    Copied,
    /// Something failed before anything was changed.
    Failed(String),
    /// Its supervisor holds the lock.
    Locked,
    /// Its supervisor refuses.
    Refused(String),
    /// The new system is active.
    Activated {
        /// Whether units have failed.
        failed_units: bool,
    },
    /// A fresh connection has acknowledged it.
    Acked,
    /// All its checks have succeeded.
    Healthy,
    /// A check has failed.
    Unhealthy(String),
    /// Profile and boot loader are set.
    Committed,
    /// Its supervisor has let go, with the new system.
    Released,
    /// Its supervisor goes back.
    Reverting(String),
    /// It runs the old system.
    Reverted,
    /// It does not.
    RevertFailed(String),
    /// The connection was lost and could not be made again in time.
    Lost(String),
    /// Nor later.
    Unreachable(String),
}

/// What is to be done with a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Copy what it lacks.
    Copy,
    /// Stop copying.
    Cancel,
    /// Start its supervisor.
    Lock,
    /// Activate the new system.
    Activate,
    /// Acknowledge over a fresh connection.
    Acknowledge,
    /// Check its health.
    Check,
    /// Set profile and boot loader.
    Commit,
    /// Let go.
    Release,
    /// Take it back.
    Abort,
    /// Find out how it stands.
    Recover,
    /// Take it back although its supervisor has let go.
    Restore,
}

/// The process's exit status.
pub fn exit_status(outcomes: &BTreeMap<String, Outcome>, interrupted: bool) -> u8 {
    let any = |f: &dyn Fn(&Outcome) -> bool| outcomes.values().any(f);
    if any(&|o| matches!(o, Outcome::RollbackFailed(_) | Outcome::Unreachable(_))) {
        6
    } else if interrupted {
        130
    } else if outcomes.values().all(Outcome::is_good) {
        if any(&|o| *o == Outcome::SwitchedWithFailedUnits) { 4 } else { 0 }
    } else if any(&|o| matches!(o, Outcome::Switched | Outcome::SwitchedWithFailedUnits)) {
        7
    } else if any(&|o| matches!(o, Outcome::RolledBack(_))) {
        5
    } else {
        1
    }
}
