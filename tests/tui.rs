//! The real program in a pseudo-terminal, its screen read by a second, independent emulator.
//!
//! The daemon is one of our own that speaks the real protocol; the machines behind it are not there.

#[path = "tui/fake.rs"]
mod fake;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use diorama::lock::{Lock, SessionFiles};
use diorama::proto::View;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// What a wait may take on a machine that is busy; nothing here is measured.
const PATIENCE: Duration = Duration::from_secs(30);

/// A session nobody runs, and the program attached to it.
struct Lab {
    screen: Arc<(Mutex<vt100::Parser>, Condvar)>,
    keys: Box<dyn Write + Send>,
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
    raw: Arc<Mutex<Vec<u8>>>,
    _lock: Lock,
    _runtime: tokio::runtime::Runtime,
    _dir: tempfile::TempDir,
}

impl Lab {
    fn start(view: View, rows: u16, cols: u16) -> Self {
        Self::start_with(view, rows, cols, &[])
    }

    fn start_with(view: View, rows: u16, cols: u16, env: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let session = dir.path().join("diorama").join(&view.session);
        let files = private(&session);
        let lock = Lock::take(&files.lock()).unwrap().expect("nobody else has it");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = {
            let _inside = runtime.enter();
            tokio::net::UnixListener::bind(files.socket()).unwrap()
        };
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(fake::serve(socket, view.clone()));
            }
        });
        let pair = native_pty_system().openpty(PtySize { rows, cols, ..PtySize::default() }).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_diorama"));
        command.args(["attach", "-s", "fake"]);
        command.env_clear();
        for (name, value) in [("TERM", "xterm-256color"), ("PATH", "/usr/bin:/bin"), ("LANG", "C.UTF-8")] {
            command.env(name, value);
        }
        for name in ["HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"] {
            command.env(name, dir.path());
        }
        for (name, value) in env {
            command.env(name, value);
        }
        command.cwd(dir.path());
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let screen = Arc::new((Mutex::new(vt100::Parser::new(rows, cols, 0)), Condvar::new()));
        let raw = Arc::new(Mutex::new(Vec::new()));
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (theirs, bytes) = (screen.clone(), raw.clone());
        std::thread::spawn(move || {
            let mut buf = [0; 65536];
            while let Ok(n @ 1..) = reader.read(&mut buf) {
                bytes.lock().unwrap().extend_from_slice(&buf[..n]);
                theirs.0.lock().unwrap().process(&buf[..n]);
                theirs.1.notify_all();
            }
        });
        let keys = pair.master.take_writer().unwrap();
        Self { screen, keys, master: pair.master, child, raw, _lock: lock, _runtime: runtime, _dir: dir }
    }

    fn press(&mut self, bytes: &str) {
        self.keys.write_all(bytes.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until the screen is as wanted; fails with the screen as it is.
    fn wait(&self, what: &str, wanted: impl Fn(&vt100::Screen) -> bool) {
        let (screen, changed) = &*self.screen;
        let (screen, timeout) =
            changed.wait_timeout_while(screen.lock().unwrap(), PATIENCE, |p| !wanted(p.screen())).unwrap();
        assert!(!timeout.timed_out(), "never seen: {what}\n{}", screen.screen().contents());
    }

    fn see(&self, text: &str) {
        self.wait(text, |s| s.contents().contains(text));
    }

    fn end(&mut self) -> u32 {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.exit_code();
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::yield_now();
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A session's directory as a daemon makes it.
fn private(dir: &std::path::Path) -> SessionFiles {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(dir).unwrap();
    let files = SessionFiles::new(PathBuf::from(dir));
    builder.create(files.private()).unwrap();
    files
}

#[test]
fn look_steer_and_detach() {
    let mut lab = Lab::start(fake::network(3), 40, 120);
    lab.see("3/3 up");
    lab.see("webserver login:");
    lab.press("3l ");
    lab.see("1 FAULT");
    lab.see("diorama link cut postgresql webserver");
    lab.press(":");
    lab.see("Commands");
    lab.press("heal-all\r");
    lab.wait("no fault", |s| !s.contents().contains("FAULT"));
    lab.press("1\r");
    lab.see("CONSOLE");
    lab.press("q:?\r");
    lab.see("postgresql login: q:?");
    lab.press("\x1d");
    lab.see("NAV");
    lab.press("q");
    lab.see("Leave?");
    lab.press("d");
    assert_eq!(lab.end(), 0);
    lab.wait("the terminal as it was", |s| {
        !s.alternate_screen()
            && !s.hide_cursor()
            && s.mouse_protocol_mode() == vt100::MouseProtocolMode::None
            && !s.bracketed_paste()
    });
}

#[test]
fn a_terminal_that_changes_its_size_down_to_nothing() {
    let lab = Lab::start(fake::network(10), 24, 80);
    lab.see("10/10 up");
    for (rows, cols) in [(1, 1), (2, 3), (5, 200), (70, 250), (24, 80)] {
        lab.screen.0.lock().unwrap().screen_mut().set_size(rows, cols);
        lab.master.resize(PtySize { rows, cols, ..PtySize::default() }).unwrap();
    }
    lab.wait("the list again", |s| s.contents().contains("node03") && s.contents().contains("10/10 up"));
}

#[test]
fn floods_and_evil_on_every_console_leave_the_keys_alive() {
    let mut lab = Lab::start(fake::network(9), 50, 200);
    lab.see("node09 login:");
    for _ in 0..9 {
        lab.press("\r\x06\x1d]");
    }
    lab.see("flood of colours");
    lab.press("?");
    lab.see("any other key closes");
    lab.press("xq");
    lab.see("Leave?");
    lab.press("d");
    assert_eq!(lab.end(), 0);
    let raw = lab.raw.lock().unwrap();
    let evil = raw.windows(4).any(|w| w == b"evil");
    assert!(!evil, "a guest's title reached the terminal");
}

#[test]
fn a_copy_reaches_the_clipboard_and_a_paste_the_guest() {
    let mut lab = Lab::start(fake::network(3), 40, 120);
    lab.see("postgresql login:");
    lab.press("0/Debian\r");
    lab.see("SELECT");
    lab.press("Vy");
    lab.see("copied");
    let seq = b"\x1b]52;c;RGViaWFu";
    assert!(lab.raw.lock().unwrap().windows(seq.len()).any(|w| w == seq));
    lab.press("\r");
    lab.see("CONSOLE");
    lab.press("\x1b[200~pasted text\x1b[201~");
    lab.see("login: pasted text");
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let mut lab = Lab::start(fake::network(3), 24, 80);
    lab.see("3/3 up");
    let pid = lab.child.process_id().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGTERM)
        .unwrap();
    lab.end();
    lab.wait("the terminal as it was", |s| !s.alternate_screen() && !s.hide_cursor());
}

#[test]
fn shut_down_and_the_daemons_last_word() {
    let mut lab = Lab::start(fake::network(3), 24, 80);
    lab.see("3/3 up");
    lab.press("qs");
    lab.end();
    lab.see("every machine is off");
}

#[test]
fn without_colours_no_colour_is_sent() {
    let lab = Lab::start_with(fake::network(3), 24, 80, &[("NO_COLOR", "1")]);
    lab.see("3/3 up");
    let screen = lab.screen.0.lock().unwrap();
    for row in 0..24 {
        for col in 0..80 {
            if let Some(cell) = screen.screen().cell(row, col) {
                assert_eq!((cell.fgcolor(), cell.bgcolor()), (vt100::Color::Default, vt100::Color::Default));
            }
        }
    }
}
