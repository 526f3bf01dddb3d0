//! What comes in and what goes out of the pure half of the interface.

use bytes::Bytes;
use ratatui::crossterm::event::{KeyEvent, MouseEvent};

use crate::proto::{Request, ServerMessage};

/// Something happened.
#[derive(Debug)]
pub enum Msg {
    /// A key was pressed.
    Key(KeyEvent),
    /// The mouse moved or a button changed.
    Mouse(MouseEvent),
    /// Text was pasted.
    Paste(String),
    /// The terminal has this size now.
    Resize(u16, u16),
    /// The daemon said something.
    Server(ServerMessage),
    /// Bytes of a stream came.
    Data {
        /// The stream.
        stream: u32,
        /// The bytes.
        bytes: Bytes,
    },
    /// The connection to the daemon ended.
    Lost(String),
    /// There is a connection again, to a new daemon that took the session over.
    Reconnected,
    /// A second went by.
    Tick,
    /// A job printed a line.
    JobLine {
        /// Which.
        job: Job,
        /// The line.
        text: String,
    },
    /// A job ended.
    JobEnded {
        /// Which.
        job: Job,
        /// Its exit status; none when it was killed or could not be started.
        status: Option<i32>,
        /// The last of what it printed on standard error.
        errors: String,
    },
    /// Something outside (editor, browser) has something to say.
    Note {
        /// Whether it went wrong.
        bad: bool,
        /// One line for people.
        text: String,
    },
}

/// This program, run once more for a work of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Job {
    /// `diorama plan`.
    Plan,
    /// `diorama deploy`.
    Deploy,
    /// `diorama status`.
    Status,
}

/// Something is wanted from the outside.
#[derive(Debug, PartialEq)]
pub enum Req {
    /// A request for the daemon.
    Send {
        /// Its id.
        id: u64,
        /// The request.
        request: Request,
    },
    /// Bytes for a stream.
    Data {
        /// The stream.
        stream: u32,
        /// The bytes.
        bytes: Bytes,
    },
    /// Text for the clipboard of whoever watches.
    Clipboard(String),
    /// Text to look at in an editor.
    Edit {
        /// Used in the temporary file's name.
        name: String,
        /// The text.
        text: String,
    },
    /// An address to open in the browser.
    Browse(String),
    /// Run this program with these arguments, and tell what it prints.
    Job {
        /// Which.
        job: Job,
        /// The arguments.
        args: Vec<String>,
    },
    /// Interrupt a job, as ctrl-c does.
    StopJob(Job),
    /// Run this program with these arguments in a terminal of this machine's own.
    Terminal {
        /// The stream that stands for it, `LOCAL` of the tiles or above.
        stream: u32,
        /// The arguments.
        args: Vec<String>,
        /// Its rows.
        rows: u16,
        /// Its columns.
        cols: u16,
    },
    /// Whether mouse events are wanted.
    Mouse(bool),
    /// Draw everything anew.
    Redraw,
    /// Stop this process as ctrl-z does.
    Suspend,
    /// End the interface.
    Leave(Leave),
}

/// How the interface ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leave {
    /// The session goes on.
    Detached,
    /// The session was shut down, or never came up; the daemon's words, if it said any.
    ShutDown(Option<String>),
}
