//! Whether a host is what its clone shows: two machines' answers, and what the model says of either.
//!
//! ```text
//! clone ─ agent ─▶ facts ─┐
//!                         ├─▶ compare ─▶ differences, explained or not
//! host ── ssh ───▶ facts ─┘      ▲
//!                          the model's two systems
//! ```
//!
//! The two systems are not the same by design: a clone has a root shell and cloned addresses, a host has a
//! store and a boot loader. A difference is explained when both machines are, at that place, as their own
//! system says, and both systems come from the same model; or when a row of `rules` explains it. Every
//! other difference was made by somebody.
//!
//! Invariant: `facts`, `compare` and `rules` are pure; collecting changes nothing on either machine.

mod compare;
mod facts;
mod local;
mod rules;

use std::sync::Arc;
use std::time::Duration;

use super::model::Target;
use super::ssh::{Link, Settings};
use crate::client::{Client, StreamItem};
use crate::error::{Error, Result, ResultExt};
use crate::proto::StreamEnd;

pub use compare::{Area, Difference, Report, Wanted, compare};
pub use facts::Facts;
pub use local::said;

/// The collector, the same in a clone and on a host.
const SCRIPT: &str = include_str!("../sh/facts.sh");
/// Bytes of an answer that are read.
const ANSWER_MAX: usize = 32 << 20;
/// How long a machine may take; an emulated one takes its time.
const LIMIT: Duration = Duration::from_secs(300);

/// Asks a host; gives the address that answered, too.
///
/// # Errors
/// When there is no way to it, or its answer makes no sense.
pub async fn ask_host(target: &Target, settings: &Arc<Settings>) -> Result<(String, Facts)> {
    let link = Link::open(target, settings).await.map_err(|e| Error::new(e.to_string()))?;
    let answer = tokio::time::timeout(LIMIT, link.run(SCRIPT, &[], &[]))
        .await
        .map_err(|_| Error::new(format!("{} does not say in time what it is made of", link.address)))??;
    if !answer.ok() {
        return Err(Error::new(format!("{}: {}", link.address, answer.err)));
    }
    let facts = facts::parse(&answer.out).doing(&link.address)?;
    Ok((link.address.clone(), facts))
}

/// Asks a clone.
///
/// # Errors
/// When its root shell does not answer, or its answer makes no sense.
pub async fn ask_clone(client: &Client, node: &str) -> Result<Facts> {
    let argv = ["sh", "-c", SCRIPT].map(str::to_owned).to_vec();
    let asking = async {
        let mut stream = client.exec(node, argv, Vec::new(), None).await?;
        // The script reads nothing; an end that comes too late does no harm.
        let _ = stream.input().end().await;
        let mut answer = Vec::new();
        loop {
            match stream.next().await {
                Some(StreamItem::Data { channel: 1, bytes }) if answer.len() < ANSWER_MAX => {
                    answer.extend(bytes)
                }
                Some(StreamItem::Data { .. }) => {}
                Some(StreamItem::End(StreamEnd::Exited { code: 0 })) => return Ok(answer),
                Some(StreamItem::End(StreamEnd::NotStarted { reason } | StreamEnd::Broken { reason })) => {
                    return Err(Error::new(reason));
                }
                Some(StreamItem::End(_)) | None => return Err(Error::new("its root shell broke off")),
            }
        }
    };
    let answer = tokio::time::timeout(LIMIT, asking)
        .await
        .map_err(|_| Error::new("the clone does not say in time what it is made of"))?
        .doing("the clone")?;
    facts::parse(&answer).doing("the clone")
}
