//! This program's own terminal: raw while a guest has it, put back however the program ends.

use std::io::IsTerminal;

use crate::error::{Result, ResultExt};

/// The terminal in raw mode until this is dropped.
#[derive(Debug)]
pub(super) struct Raw(());

impl Raw {
    /// Switches standard input's terminal to raw mode.
    pub fn enter() -> Result<Self> {
        crossterm::terminal::enable_raw_mode().doing("switching the terminal to raw mode")?;
        Ok(Self(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // There is nothing to be done about a terminal that went away.
        let _ = crossterm::terminal::disable_raw_mode();
    }
}

/// Rows and columns of the terminal, if there is one.
pub(super) fn size() -> Option<(u16, u16)> {
    if !std::io::stdout().is_terminal() && !std::io::stdin().is_terminal() {
        return None;
    }
    // A guest's terminal has at least two columns and rows.
    crossterm::terminal::size().ok().map(|(cols, rows)| (rows.max(2), cols.max(2)))
}

/// Standard input as a channel, read by a thread: a read cannot be cancelled.
pub(super) fn stdin() -> tokio::sync::mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    std::thread::spawn(move || {
        use std::io::Read;
        let mut stdin = std::io::stdin().lock();
        let mut buffer = vec![0; 32 << 10];
        while let Ok(n @ 1..) = stdin.read(&mut buffer) {
            if sender.blocking_send(buffer[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Writes raw bytes to standard output or standard error; false when nobody reads them any more.
pub(super) fn write(to_stderr: bool, bytes: &[u8]) -> bool {
    use std::io::Write;
    let written = if to_stderr {
        let mut err = std::io::stderr().lock();
        err.write_all(bytes).and_then(|()| err.flush())
    } else {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush())
    };
    written.is_ok()
}
