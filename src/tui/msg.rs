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
    /// Something outside (editor, browser) has something to say.
    Note {
        /// Whether it went wrong.
        bad: bool,
        /// One line for people.
        text: String,
    },
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
