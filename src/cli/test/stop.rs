//! The ways in which a person or a system says "stop", counted, for any number of listeners.
//!
//! Invariant: from its making on no such signal ends the process by itself.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::error::{Result, ResultExt};

/// How often it was said; each listener hears each time.
#[derive(Debug, Clone)]
pub(super) struct Stop(watch::Receiver<u32>);

impl Stop {
    /// Listens from now on. Where `keyboard` is false, ctrl-c means something else and is passed over.
    pub(super) fn listen(keyboard: bool) -> Result<Self> {
        let listen = |kind| signal(kind).doing("listening for signals");
        let mut interrupt = listen(SignalKind::interrupt())?;
        let mut terminate = listen(SignalKind::terminate())?;
        let mut hangup = listen(SignalKind::hangup())?;
        let (said, heard) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => if !keyboard {
                        continue;
                    },
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
                said.send_modify(|n| *n += 1);
            }
        });
        Ok(Self(heard))
    }

    /// Waits until it is said once more.
    pub(super) async fn heard(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody can say it any more.
            std::future::pending::<()>().await;
        }
    }

    /// Whether it was ever said.
    pub(super) fn was_said(&self) -> bool {
        *self.0.borrow() > 0
    }
}
