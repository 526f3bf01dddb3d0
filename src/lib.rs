//! diorama: a working scale model of your network, on your laptop.
//!
//! One declarative model of a network of machines is evaluated, booted as a clone made of virtual
//! machines, tested, and deployed. The arrows between the modules point one way:
//!
//! ```text
//! cli, tui ─▶ client ─▶ proto ─▶ model
//! cli ─▶ script ─▶ proto
//! cli, tui ─▶ deploy ─▶ client, nix
//! deploy, daemon ─▶ secrets ─▶ model
//! daemon ─▶ session ─▶ switch, console, qemu ─▶ model
//! ```
//!
//! Invariant: nothing below knows anything above; the pure modules (`model`, `proto`, `session`,
//! the decisions of `switch`, `qemu::command_line`, `tui::update` and `tui::draw`) perform no I/O
//! and take time as an argument.

pub mod agent;
pub mod apt;
pub mod assets;
pub mod cli;
pub mod client;
pub mod config;
pub mod console;
pub mod daemon;
pub mod deploy;
pub mod doctor;
pub mod error;
pub mod files;
pub mod lock;
pub mod model;
pub mod nix;
pub mod paths;
pub mod picture;
pub mod proto;
pub mod qemu;
pub mod script;
pub mod secrets;
pub mod session;
pub mod shell;
pub mod switch;
pub mod tui;
