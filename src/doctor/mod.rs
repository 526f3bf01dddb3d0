//! What the program needs on a machine: looked for by `doctor`, installed by `setup`.
//!
//! [`checks()`] is the one table; text, JSON and the list of packages derive from it.
//!
//! Invariant: looking changes nothing; installing says first what it will do.

mod checks;
mod setup;

pub use checks::{Check, Found, Need, Report, checks, missing_packages, report};
pub use setup::{Plan, Step, look, plan, run as set_up};
