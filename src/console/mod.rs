//! Consoles: a terminal emulator for what a guest prints, made fit for guests that mean harm.
//!
//! ```text
//! bytes ─▶ filter (strings dropped, repeats bounded) ─▶ parser ─▶ guard ─▶ grid + history
//! ```
//!
//! The emulation is `alacritty_terminal`'s. What is added: no byte a guest sends can make memory
//! grow without bound or reach the terminal, the clipboard or the title of the person who watches.
//!
//! Invariant: no I/O and no clock; replies to the guest are only queued, and whoever owns the guest
//! decides whether to send them (several viewers must not answer twice).

mod filter;
mod guard;
mod pass;
mod screen;
mod search;

pub use alacritty_terminal::term::cell::{Cell, Flags};
pub use alacritty_terminal::vi_mode::ViMotion;
pub use alacritty_terminal::vte::ansi::{Color, NamedColor};
pub use pass::PassThrough;
pub use screen::{DEFAULT_COLS, DEFAULT_ROWS, GuestModes, Screen, Selected};
pub use search::Found;
