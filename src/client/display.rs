//! Pictures of a machine's display, taken by its QEMU.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;

use super::Client;
use crate::error::{Error, Result, ResultExt};
use crate::proto::{Request, Response};

/// How long a display that is just being drawn may take to be written out.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a picture is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureFormat {
    /// For people and files.
    Png,
    /// For programs: raw pixels.
    Ppm,
}

/// A file that is gone when nobody needs it any more.
struct Passing(PathBuf);

impl Drop for Passing {
    fn drop(&mut self) {
        // It may never have been written.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Client {
    /// Takes a picture of a node's display.
    ///
    /// # Errors
    /// When the node does not run, has no display, or its QEMU cannot write pictures.
    pub async fn picture(&self, node: &str, format: PictureFormat) -> Result<Vec<u8>> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let (kind, end): (_, &[u8]) = match format {
            PictureFormat::Png => ("png", b"IEND\xaeB`\x82"),
            PictureFormat::Ppm => ("ppm", b""),
        };
        // Beside the daemon's socket: nobody else may look there.
        let name = format!("picture-{}-{number}.{kind}", std::process::id());
        let file = Passing(self.socket().with_file_name(name));
        let arguments = json!({ "filename": file.0, "format": kind });
        let request = Request::Qmp { node: node.into(), command: "screendump".into(), arguments };
        match self.request(request).await {
            Ok(Response::Qmp { .. }) => {}
            Ok(other) => return Err(Error::new(format!("the daemon answered something else: {other:?}"))),
            Err(e) if e.to_string().contains("no console") => {
                return Err(Error::new(format!("{node} has no display"))
                    .hint("a model gives it one with virtualisation.graphics = true"));
            }
            Err(e) => return Err(e),
        }
        let written = async {
            loop {
                let bytes = std::fs::read(&file.0).unwrap_or_default();
                if !bytes.is_empty() && bytes.ends_with(end) {
                    return bytes;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, written)
            .await
            .map_err(|_| Error::new(format!("{node}'s QEMU wrote no picture")))
            .doing(format!("taking a picture of {node}"))
    }
}
