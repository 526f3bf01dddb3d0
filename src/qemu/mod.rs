//! QEMU: the command line of a node, and the programs and sockets behind it.
//!
//! `command` and `features` are pure. The rest is thin I/O: `find` the program, `accel` proves an
//! accelerator by running a guest, `disk` makes state disks, `process` starts machines that outlive
//! whoever started them, `qmp` talks to their monitors.
//!
//! Invariant: no machine is a child that dies with its parent, and none is recognised by its number
//! alone.

pub mod accel;
mod command;
pub mod disk;
mod features;
mod find;
pub mod process;
pub mod qmp;
mod script;
mod start;

pub use command::{NodeConfig, SocketPaths, command_line};
pub use features::{Accel, Features, OLDEST, Qemu, Version};
pub use find::{FindError, find, on_path};
pub use script::run_script;
pub use start::{ScriptError, nic_of, script_environment, script_words, user_netdev};

#[cfg(test)]
mod live_tests;
