//! Test scripts: the host's side of a run.
//!
//! ```text
//! cli::test ─▶ run: python3 with the driver (assets/python) ◀─ session protocol ─▶ daemon
//!                │ one socket, the child's standard input: the order goes in, events come out
//!                ▼
//!            report (pure) ─▶ junit
//! ```
//!
//! A script is Python and runs in the machine's own `python3`; what it says of its subtests, commands
//! and faults comes back as events, one JSON object a line, which are the log and which the report is
//! made of. So a script that is killed is reported as far as it came.
//!
//! Invariant: nothing here touches a machine; a run that ends in any way leaves no process of the
//! script behind.

mod junit;
mod report;
mod run;

pub use junit::junit;
pub use report::{Case, Outcome, Report};
pub use run::{Ended, Next, Order, Python, Run, find_python};
