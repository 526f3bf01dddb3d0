//! Shipping a model: one plan for the whole network, one transaction over all its hosts.
//!
//! ```text
//! deployment ─▶ probe ─▶ plan ─▶ confirm ─▶ step ◀─▶ agents, one a host ─▶ record
//!               ssh      pure               pure     ssh, copy, supervisor
//! ```
//!
//! `plan` and `step` decide; `probe`, `copy`, `agent` and `health` act over `ssh`. On every target a
//! supervisor (`sh/supervise.sh`, POSIX sh in a transient systemd unit) owns what changes there: it
//! goes back to the recorded store path by itself unless it is told to keep the new one, so neither
//! the deployer's death nor a lost connection can leave a host half-way.
//!
//! Invariant: nothing on a host changes but through its supervisor, which holds the host's lock.

mod agent;
mod channel;
pub mod closure;
mod copy;
mod drive;
pub mod foreign;
mod health;
mod inhibitors;
mod keys;
mod local;
pub mod model;
mod order;
pub mod plan;
pub mod probe;
mod recipe;
mod record;
pub mod rehearse;
pub mod remote;
mod render;
pub mod select;
mod squeeze;
mod ssh;
mod standing;
mod status;
mod step;
mod survey;
mod token;
pub mod verify;
pub mod words;

pub use closure::{Change, closure_diff};
pub use drive::{Deploy, Happening, Options, keep};
pub use keys::{KeyChange, KeyFate};
pub use local::{LocalClosure, closure_of};
pub use recipe::Builds;
pub use record::{Files, Generation, HostRecord, Records};
pub use render::{counted, print_diff, print_plan};
pub use squeeze::Compress;
pub use ssh::{ConnectError, Password, Settings, reach, terminal};
pub use status::{HostStatus, NetworkStatus};
pub use survey::{Inquiry, Survey, status};
