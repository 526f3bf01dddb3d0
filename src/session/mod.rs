//! The session's mind: what state it is in, what may happen to it, and what is to be done about it.
//!
//! ```text
//! Event ──▶ step(&mut State, now) ──▶ Vec<Effect>      State ──▶ view() ──▶ proto::View
//! ```
//!
//! The daemon feeds events (a request of a client, QEMU ended, a login prompt was seen, a deadline
//! passed) and carries out the effects. A machine's life is in `node`, links and their faults in
//! `links`, port forwards in `forwards`, machines that join later in `added`.
//!
//! Invariant: pure. No I/O, no clock, no randomness; time is an argument in Unix milliseconds. The
//! same events give the same effects.

mod added;
mod event;
mod forwards;
mod links;
mod node;
mod prompt;
mod saved;
mod state;
mod step;
mod suite;
mod view;

#[cfg(test)]
mod tests;

pub use event::{Effect, Event, Exit, ForwardOutcome, ForwardSpec, Ticket};
pub use prompt::Detector;
pub use saved::{Alive, SAVED_VERSION, Saved, SavedNode};
pub use state::{Faults, Forward, Machine, Origin, State, Want};
pub use step::step;
pub use suite::Suite;
pub use view::{Traffic, TrafficLink, TrafficPort, view};
