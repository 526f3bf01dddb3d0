//! The edge: terminal, socket, clock and signals around the pure half.
//!
//! Invariant: the terminal is given back as it was, however this ends; the screen is drawn only
//! when something changed and at most `fps` times a second.

use std::io::{BufWriter, Stdout, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use futures::{SinkExt, StreamExt};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture, Event, EventStream,
};
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::codec::{FramedRead, FramedWrite};

use super::jobs::Aside;
use super::msg::{Leave, Msg, Req};
use super::state::{State, TuiOptions};
use super::tile::LOCAL;
use super::update::update;
use super::{outside, server, view};
use crate::client::Client;
use crate::proto::{ClientMessage, Codec, Frame, PROTOCOL_VERSION, Phase, Request, Response, ServerMessage};

/// Frames that may wait to be written; a daemon that reads none for so long has failed.
const UNSENT: usize = 1024;
/// Time for drawing output into screens between two looks at the keyboard.
const DIGEST: Duration = Duration::from_millis(6);

/// A connection to a session's daemon that has said hello.
#[derive(Debug)]
pub struct Wire {
    read: FramedRead<OwnedReadHalf, Codec>,
    write: FramedWrite<OwnedWriteHalf, Codec>,
}

impl Wire {
    /// Connects to a daemon's socket.
    ///
    /// # Errors
    /// When nobody listens there or the versions differ.
    pub async fn connect(socket: &Path) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(socket)
            .await
            .with_context(|| format!("connecting to the session at {}", socket.display()))?;
        Self::over(stream).await
    }

    /// Says hello over a connected socket.
    ///
    /// # Errors
    /// When the other side does not speak this protocol version.
    pub async fn over(stream: UnixStream) -> anyhow::Result<Self> {
        let (read, write) = stream.into_split();
        let (mut read, mut write) = (FramedRead::new(read, Codec), FramedWrite::new(write, Codec));
        let hello = Request::Hello { version: PROTOCOL_VERSION, client: "tui".into() };
        write.send(Frame::json(&ClientMessage { id: 0, request: hello })?).await?;
        let answer = read.next().await.context("the session closed the connection at once")??;
        let Frame::Json(body) = answer else { bail!("the session answered hello with data") };
        match serde_json::from_slice(&body).context("reading the session's welcome")? {
            ServerMessage::Response { response: Response::Welcome { .. }, .. } => Ok(Self { read, write }),
            ServerMessage::Response { response: Response::Error { message, hint }, .. } => {
                bail!("{message}{}", hint.map(|h| format!("; {h}")).unwrap_or_default())
            }
            other => bail!("the session answered hello with {other:?}"),
        }
    }
}

/// Runs the interface on a client's session until it is left.
///
/// # Errors
/// When the session or the terminal cannot be used, or the configuration is wrong.
pub async fn run(client: Client, options: TuiOptions) -> anyhow::Result<Leave> {
    // The interface keeps a connection of its own, whose messages it sees one by one.
    let wire = Wire::connect(client.socket()).await?;
    let session = client.session();
    drop(client);
    serve(wire, options, Some(session)).await
}

/// Runs the interface over a connection until it is left.
///
/// # Errors
/// When the terminal cannot be used or the configuration is wrong.
pub async fn run_on(wire: Wire, options: TuiOptions) -> anyhow::Result<Leave> {
    serve(wire, options, None).await
}

/// The same; a session with a name is looked for again when its daemon dies.
async fn serve(wire: Wire, options: TuiOptions, session: Option<String>) -> anyhow::Result<Leave> {
    let fps = options.config.ui.fps.clamp(1, 60);
    let mut state = State::new(options, (0, 0)).map_err(anyhow::Error::msg)?;
    let mut screen = Screen::enter(state.mouse)?;
    let size = screen.terminal.size().context("asking the terminal for its size")?;
    state.size = (size.width, size.height);
    let mut outside = Outside::new(wire, session, Duration::from_millis(1000 / u64::from(fps)));
    let leave = outside.serve(&mut state, &mut screen).await;
    drop(screen);
    let Outside { out, writer, .. } = outside;
    drop(out);
    // What was asked for last still goes out.
    let _ = tokio::time::timeout(Duration::from_secs(2), writer).await;
    leave
}

/// Looks for a session whose daemon died until it is found, for half a minute: whoever looks first
/// starts the daemon that takes over.
async fn find_again(session: String) -> anyhow::Result<Wire> {
    let paths = crate::paths::Paths::from_env(None)?;
    let mut tries = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        tries += 1;
        let found = crate::client::find(&paths, Some(&session)).await;
        let wire = match found {
            Ok(found) => Wire::connect(&found.files.socket()).await,
            Err(e) => Err(anyhow::anyhow!("{e}")),
        };
        match wire {
            Err(_) if tries < 60 => {}
            done => return done,
        }
    }
}

async fn write_all(mut write: FramedWrite<OwnedWriteHalf, Codec>, mut queue: mpsc::Receiver<Frame>) {
    while let Some(frame) = queue.recv().await {
        // A broken connection shows on the reading side, which reports it.
        if write.feed(frame).await.is_err() {
            return;
        }
        if queue.is_empty() && write.flush().await.is_err() {
            return;
        }
    }
}

struct Outside {
    read: FramedRead<OwnedReadHalf, Codec>,
    out: mpsc::Sender<Frame>,
    writer: JoinHandle<()>,
    /// The search for the session after its daemon died.
    search: Option<JoinHandle<anyhow::Result<Wire>>>,
    session: Option<String>,
    frame: Duration,
    aside: Aside,
}

impl Outside {
    fn new(wire: Wire, session: Option<String>, frame: Duration) -> Self {
        let (out, queue) = mpsc::channel(UNSENT);
        let writer = tokio::spawn(write_all(wire.write, queue));
        Self { read: wire.read, out, writer, search: None, session, frame, aside: Aside::new() }
    }

    async fn serve(&mut self, state: &mut State, screen: &mut Screen) -> anyhow::Result<Leave> {
        let mut ends = [
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
            signal(SignalKind::interrupt())?,
        ];
        let [term, hup, int] = &mut ends;
        let mut events = EventStream::new();
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut todo = server::greet(state);
        let mut dirty = true;
        let mut drawn = Instant::now() - self.frame;
        let mut clock = 0;
        loop {
            for req in std::mem::take(&mut todo) {
                if let Some(leave) = self.fulfil(state, screen, &mut events, req).await? {
                    return Ok(leave);
                }
                dirty = true;
            }
            let due = drawn + self.frame;
            if dirty && Instant::now() >= due {
                screen.terminal.draw(|f| view::draw(state, f)).context("drawing")?;
                drawn = Instant::now();
                dirty = false;
            }
            let msg = tokio::select! {
                biased;
                _ = term.recv() => return Ok(Leave::Detached),
                _ = hup.recv() => return Ok(Leave::Detached),
                _ = int.recv() => return Ok(Leave::Detached),
                event = events.next() => match event {
                    Some(Ok(event)) => from_terminal(event),
                    Some(Err(e)) => return Err(e).context("reading the terminal"),
                    None => return Ok(Leave::Detached),
                },
                () = tokio::time::sleep_until(due.into()), if dirty => None,
                msg = self.aside.next() => Some(msg),
                frame = self.read.next(), if state.connected => Some(from_daemon(frame)),
                found = async { self.search.as_mut().expect("checked by the guard").await },
                    if self.search.is_some() => self.found(found),
                _ = tick.tick() => Some(Msg::Tick),
                () = std::future::ready(()), if state.behind() => None,
            };
            if let Some(msg) = msg {
                let is_tick = matches!(msg, Msg::Tick);
                let over = matches!(state.view.phase, Phase::Failed { .. } | Phase::Stopping);
                if let (Msg::Lost(_), Some(session), false) = (&msg, &self.session, over) {
                    self.search = Some(tokio::spawn(find_again(session.clone())));
                }
                todo = update(state, now(), msg);
                let shown = clock_shown(state);
                dirty |= !is_tick || shown != clock;
                clock = shown;
            }
            let start = Instant::now();
            while state.behind() && start.elapsed() < DIGEST {
                todo.extend(state.digest(32 << 10));
                dirty = true;
            }
        }
    }

    /// Takes the new connection that the search came back with.
    fn found(&mut self, found: Result<anyhow::Result<Wire>, tokio::task::JoinError>) -> Option<Msg> {
        self.search = None;
        match found {
            Ok(Ok(wire)) => {
                let aside = std::mem::replace(&mut self.aside, Aside::new());
                *self = Self { aside, ..Self::new(wire, self.session.take(), self.frame) };
                Some(Msg::Reconnected)
            }
            Ok(Err(e)) => Some(Msg::Note { bad: true, text: format!("{e:#}") }),
            Err(e) => Some(Msg::Note { bad: true, text: e.to_string() }),
        }
    }

    /// Does what the pure half wants done; returns how to end when that is wanted.
    async fn fulfil(
        &mut self,
        state: &mut State,
        screen: &mut Screen,
        events: &mut EventStream,
        req: Req,
    ) -> anyhow::Result<Option<Leave>> {
        match req {
            Req::Data { stream, bytes } if stream & LOCAL != 0 => self.aside.input(stream, bytes),
            Req::Send { request: Request::Resize { stream, rows, cols }, .. } if stream & LOCAL != 0 => {
                self.aside.resize(stream, rows, cols);
            }
            Req::Send { request: Request::Close { stream }, .. } if stream & LOCAL != 0 => {
                self.aside.close(stream);
            }
            // What a terminal prints waits in a bounded queue; there is nothing to grant.
            Req::Send { request: Request::Window { stream, .. }, .. } if stream & LOCAL != 0 => {}
            Req::Job { job, args } => self.aside.job(job, &args),
            Req::StopJob(job) => self.aside.stop(job),
            Req::Terminal { stream, args, rows, cols } => self.aside.terminal(stream, &args, rows, cols),
            Req::Send { id, request } => self.send(state, Frame::json(&ClientMessage { id, request })?),
            Req::Data { stream, bytes } => self.send(state, Frame::Data { stream, channel: 0, bytes }),
            Req::Clipboard(text) => {
                let out = screen.terminal.backend_mut();
                out.write_all(outside::clipboard_sequence(&text).as_bytes())?;
                Write::flush(out)?;
            }
            Req::Edit { name, text } => {
                screen.leave();
                // The event stream reads the keyboard on a thread of its own until it is dropped.
                *events = EventStream::new();
                let done = tokio::task::spawn_blocking(move || outside::edit(&name, &text)).await?;
                screen.reenter(state.mouse)?;
                *events = EventStream::new();
                if let Err(e) = done {
                    update(state, now(), Msg::Note { bad: true, text: format!("{e:#}") });
                }
            }
            Req::Browse(url) => {
                let (bad, text) = match outside::browse(&url) {
                    Ok(text) => (false, text),
                    Err(text) => (true, text),
                };
                update(state, now(), Msg::Note { bad, text });
            }
            Req::Mouse(on) => screen.mouse(on)?,
            Req::Redraw => screen.clear()?,
            Req::Suspend => {
                screen.leave();
                nix::sys::signal::raise(nix::sys::signal::Signal::SIGTSTP)?;
                screen.reenter(state.mouse)?;
            }
            Req::Leave(leave) => return Ok(Some(leave)),
        }
        Ok(None)
    }

    fn send(&mut self, state: &mut State, frame: Frame) {
        if state.connected && self.out.try_send(frame).is_err() {
            let text = "the session does not answer; what was asked just now is lost";
            update(state, now(), Msg::Note { bad: true, text: text.into() });
        }
    }
}

fn from_terminal(event: Event) -> Option<Msg> {
    match event {
        Event::Key(key) => Some(Msg::Key(key)),
        Event::Mouse(mouse) => Some(Msg::Mouse(mouse)),
        Event::Paste(text) => Some(Msg::Paste(text)),
        Event::Resize(cols, rows) => Some(Msg::Resize(cols, rows)),
        Event::FocusGained | Event::FocusLost => None,
    }
}

fn from_daemon(frame: Option<Result<Frame, crate::proto::FrameError>>) -> Msg {
    match frame {
        Some(Ok(Frame::Data { stream, bytes, .. })) => Msg::Data { stream, bytes },
        Some(Ok(Frame::Json(body))) => match serde_json::from_slice(&body) {
            Ok(message) => Msg::Server(message),
            Err(e) => Msg::Lost(format!("it said something unreadable: {e}")),
        },
        Some(Err(e)) => Msg::Lost(e.to_string()),
        None => Msg::Lost("connection closed".into()),
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A number that changes when something on the screen depends on the clock and changes with it.
fn clock_shown(state: &State) -> u64 {
    let quiet = |t: &super::tile::Tile| t.last_output.map_or(0, |l| state.now.saturating_sub(l) / 60_000 + 1);
    let tiles = state.tiles.iter().map(quiet).fold(0u64, |h, q| h.wrapping_mul(31).wrapping_add(q));
    tiles.wrapping_mul(2).wrapping_add(u64::from(state.notice.is_some()))
}

/// The terminal while it is ours.
struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Screen {
    fn enter(mouse: bool) -> anyhow::Result<Self> {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            previous(info);
        }));
        take(mouse)?;
        // One write a frame: cells are written one by one otherwise.
        let out = BufWriter::with_capacity(256 << 10, std::io::stdout());
        let terminal = Terminal::new(CrosstermBackend::new(out)).inspect_err(|_| restore())?;
        Ok(Self { terminal })
    }

    fn leave(&mut self) {
        restore();
    }

    fn reenter(&mut self, mouse: bool) -> anyhow::Result<()> {
        take(mouse)?;
        self.clear()
    }

    /// Has everything drawn anew. `Terminal::clear` would ask the terminal where its cursor is and
    /// wait for the answer, which the event stream takes away.
    fn clear(&mut self) -> anyhow::Result<()> {
        let size = self.terminal.size()?;
        Ok(self.terminal.resize(ratatui::layout::Rect::new(0, 0, size.width, size.height))?)
    }

    fn mouse(&mut self, on: bool) -> anyhow::Result<()> {
        let out = self.terminal.backend_mut();
        Ok(if on { execute!(out, EnableMouseCapture) } else { execute!(out, DisableMouseCapture) }?)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

fn take(mouse: bool) -> anyhow::Result<()> {
    enable_raw_mode().context("taking the terminal")?;
    let mut out = std::io::stdout();
    execute!(out, EnterAlternateScreen, EnableBracketedPaste, cursor::Hide)?;
    if mouse {
        execute!(out, EnableMouseCapture)?;
    }
    Ok(())
}

/// Gives the terminal back; nothing can be done about errors any more.
fn restore() {
    let mut out = std::io::stdout();
    let _ = execute!(out, DisableMouseCapture, DisableBracketedPaste, LeaveAlternateScreen, cursor::Show);
    let _ = disable_raw_mode();
}
