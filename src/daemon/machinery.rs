//! The QEMU and the accelerator that a session uses: found once, kept for every later start.

use std::sync::Arc;

use super::Context;
use crate::error::{Error, Result};
use crate::qemu::accel::{self, Choice};
use crate::qemu::{Accel, Qemu};

/// What machines are started with.
#[derive(Debug)]
pub(super) struct Machinery {
    /// The program.
    pub qemu: Qemu,
    /// The accelerator, and why.
    pub choice: Choice,
}

impl Machinery {
    /// One line for people, which starts with the accelerator's name.
    pub fn accelerator(&self) -> String {
        let name = self.choice.accel.to_string();
        if self.choice.why.starts_with(&name) {
            self.choice.why.clone()
        } else {
            format!("{name}: {}", self.choice.why)
        }
    }
}

/// Finds QEMU and proves an accelerator, unless that has been done.
pub(super) async fn find(context: Arc<Context>) -> Result<Arc<Machinery>> {
    let found = context.machinery.get_or_try_init(|| async {
        let qemu = tokio::task::spawn_blocking(crate::qemu::find)
            .await
            .map_err(|e| Error::new(e.to_string()))?
            .map_err(anyhow::Error::from)?;
        let requested = match context.options.accel.as_deref() {
            Some("kvm") => Some(Accel::Kvm),
            Some("tcg") => Some(Accel::Tcg),
            Some(other) => {
                return Err(Error::usage(format!("{other:?} is no accelerator")).hint("kvm or tcg"));
            }
            None => None,
        };
        let choice = accel::choose(requested, &qemu, &context.paths.cache).await;
        Ok::<_, Error>(Arc::new(Machinery { qemu, choice }))
    });
    found.await.cloned()
}
