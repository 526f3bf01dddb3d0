//! End-to-end tests: the real program, real daemons, real guests.
//!
//! The guest is the smallest that shows a login prompt and runs the agent, see `tests/guest/mini.sh`.
//! It is built once. Every test has directories of its own, and leaves no process behind.

mod displays;
mod environment;
mod faults;
mod interrupts;
mod refusals;
mod scripts;
mod scripts_live;
mod scripts_many;
mod secrets;
mod sessions;
mod start_scripts;
