//! `diorama daemon`: what `up` starts in the background; not for people.

use super::Outcome;

pub(super) async fn run() -> Outcome {
    crate::daemon::run().await.map(|()| 0)
}
