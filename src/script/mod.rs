//! Test scripts: the host's side of a run.
//!
//! ```text
//! cli::test ─▶ run: python3 with the driver (assets/python) ◀─ session protocol ─▶ daemon
//!                │ one socket, the child's standard input: the order goes in, events come out
//!                ▼
//!            report (pure) ─▶ junit           log.ndjson ─▶ story (pure) ─▶ html
//! ```
//!
//! A script is Python and runs in the machine's own `python3`; what it says of its subtests, commands
//! and faults comes back as events, one JSON object a line, which are the log and which the report is
//! made of. So a script that is killed is reported as far as it came.
//!
//! Invariant: nothing here touches a machine but through the session's protocol; a run that ends in any way leaves no process of the
//! script behind.

pub mod coverage;
mod html;
mod junit;
mod render;
mod report;
mod run;
mod story;

pub use html::{Summary, summary_page};
pub use junit::{junit, junit_of_all};
pub use render::{LOG, PAGE, find_log, write_page};
pub use report::{Case, Outcome, Report};
pub use run::{Ended, Next, Order, Python, Run, Say, find_python};
