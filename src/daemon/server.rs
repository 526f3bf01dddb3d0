//! The daemon's socket: accepts clients of this user.

use std::os::unix::fs::PermissionsExt;

use tokio::net::UnixListener;

use super::connection::{self, Shared};
use super::log;
use crate::error::{Result, ResultExt};
use crate::lock::SessionFiles;

/// Clients at once.
const MOST_CLIENTS: usize = 64;

/// Opens the socket.
pub(super) fn listen(files: &SessionFiles) -> Result<UnixListener> {
    let path = files.socket();
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e).doing(path.display()),
        _ => {}
    }
    let listener = UnixListener::bind(&path).doing(path.display())?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).doing(path.display())?;
    std::fs::write(files.pid(), format!("{}\n", std::process::id())).doing(files.pid().display())?;
    Ok(listener)
}

/// Serves clients until the session ends.
pub(super) async fn serve(listener: UnixListener, shared: Shared) {
    let room = std::sync::Arc::new(tokio::sync::Semaphore::new(MOST_CLIENTS));
    let us = nix::unistd::geteuid().as_raw();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let peer = stream.peer_cred().map(|c| c.uid());
                // The directory keeps others out; this says the same once more.
                if !peer.as_ref().is_ok_and(|uid| *uid == us || *uid == 0) {
                    log::line(&format!("a client of another user was refused: {peer:?}"));
                    continue;
                }
                let shared = shared.clone();
                tokio::spawn(async move {
                    connection::serve(stream, shared).await;
                    drop(permit);
                });
            }
            Err(e) => {
                log::line(&format!("accepting a client: {e}"));
                // Out of descriptors, most likely: others have to end first.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}
