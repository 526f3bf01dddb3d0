//! The terminal interface.
//!
//! ```text
//! terminal ─┐                                        ┌─▶ daemon
//! daemon ───┼─▶ Msg ─▶ update(state, msg) ─▶ Req ────┼─▶ clipboard, editor, browser
//! clock ────┘                │                       └─▶ end
//!                            └─▶ draw(&state) ─▶ screen
//! ```
//!
//! Invariant: `update` and `draw` are pure; only `run` knows terminals, sockets and clocks.

pub mod commands;
mod console_acts;
pub mod docs;
mod encode;
mod jobs;
pub mod keymap;
mod layer;
mod mouse;
mod moving;
mod msg;
mod outside;
mod perform;
mod regions;
mod run;
mod server;
mod ship;
mod state;
mod test_acts;
#[cfg(test)]
mod tests;
mod theme;
mod tile;
mod update;
mod view;

pub use msg::{Leave, Msg, Req};
pub use outside::{browse, has_browser};
pub use run::{Wire, run, run_on};
pub use state::{State, TuiOptions};
pub use theme::{fit, themes};
pub use update::update;
pub use view::draw;
