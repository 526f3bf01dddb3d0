//! Scripts beside a person: the prompt, and the Tests panel of a session that runs.

use std::io::{Read, Write};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::environment::{PATIENCE, TestEnvironment, free_port};

/// The program in a terminal of its own.
struct Terminal {
    keys: Box<dyn Write + Send>,
    screen: Arc<(Mutex<vt100::Parser>, Condvar)>,
    child: Box<dyn Child + Send + Sync>,
    _master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    fn start(t: &TestEnvironment, args: &[&str]) -> Self {
        let size = PtySize { rows: 50, cols: 160, ..PtySize::default() };
        let pair = native_pty_system().openpty(size).unwrap();
        let plain = t.command(args);
        let mut command = CommandBuilder::new(plain.get_program());
        command.args(args);
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            }
        }
        command.env("TERM", "xterm-256color");
        command.cwd(t.path(""));
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let screen = Arc::new((Mutex::new(vt100::Parser::new(50, 160, 1000)), Condvar::new()));
        let mut reader = pair.master.try_clone_reader().unwrap();
        let shared = screen.clone();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(n @ 1..) = reader.read(&mut piece) {
                shared.0.lock().unwrap().process(&piece[..n]);
                shared.1.notify_all();
            }
        });
        let keys = pair.master.take_writer().unwrap();
        Self { keys, screen, child, _master: pair.master }
    }

    fn type_in(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// The last line that is not empty.
    fn last_line(&self) -> String {
        let text = self.screen.0.lock().unwrap().screen().contents();
        text.trim_end().lines().last().unwrap_or_default().trim_end().to_owned()
    }

    /// Waits until the screen shows something; all of the screen.
    fn wait_for(&self, what: &str) -> String {
        let start = Instant::now();
        let (screen, changed) = &*self.screen;
        let mut parser = screen.lock().unwrap();
        loop {
            let text = parser.screen().contents();
            if text.contains(what) {
                return text;
            }
            let left = PATIENCE.checked_sub(start.elapsed());
            let left = left.unwrap_or_else(|| panic!("{what:?} is not shown:\n{text}"));
            parser = changed.wait_timeout(parser, left).unwrap().0;
        }
    }
}

#[test]
fn a_prompt_beside_the_clone() {
    let t = TestEnvironment::new();
    let script = t.write(
        "script.py",
        "start_all()\nwith subtest('stops'):\n    found = web.succeed('echo in-side')\n    debug.breakpoint()\n\
         with subtest('fails'):\n    web.succeed('exit 7')\n",
    );
    let manifest = t.network("duo", &["web", "db"], free_port());
    let args = ["test", "--interactive", "--accel", "tcg", "--script", script.to_str().unwrap()];
    let args = [&args[..], &[manifest.to_str().unwrap()]].concat();
    let mut p = Terminal::start(&t, &args);
    p.wait_for(">>> ");
    p.type_in("test_script()\n");
    p.wait_for("(test) ");
    // The clone runs meanwhile, and others reach it.
    assert_eq!(t.guest("web", "echo reached"), "reached\n");
    p.type_in("p found.upper()\n");
    p.wait_for("IN-SIDE");
    p.type_in("c\n");
    p.wait_for("(exit code 7)");
    p.type_in("'found is ' + found.strip() + '.'\n");
    p.wait_for("found is in-side.");

    // ctrl-c is the guest's in its shell, and ends what is being done at the prompt.
    p.type_in("web.shell_interact()\n");
    p.wait_for("ctrl-] comes back");
    // A shell that is just being started throws away what was typed before.
    t.wait_for("the shell's prompt", || p.last_line().ends_with('#'));
    p.type_in("echo sh''ell\n");
    p.wait_for("shell\n");
    p.type_in("sleep 1000\n");
    t.wait_for("the guest's sleep", || t.run(&["exec", "web", "--", "pidof", "sleep"]).status == 0);
    p.type_in("\x03");
    p.type_in("echo st''ill $?\n");
    p.wait_for("still 130");
    p.type_in("\x1d");
    // What is typed behind the escape in one go is lost with it.
    t.wait_for("the prompt", || p.last_line() == ">>>");
    p.type_in("web.succeed('sleep 1000')\n");
    t.wait_for("the script's sleep", || t.run(&["exec", "web", "--", "pidof", "sleep"]).status == 0);
    p.type_in("\x03");
    p.wait_for("interrupted");
    t.wait_for("its end", || t.run(&["exec", "web", "--", "pidof", "sleep"]).status != 0);
    p.type_in("40 + 2\n");
    p.wait_for("42");
    p.type_in("\x04");
    p.wait_for("what it left is in");
    assert_eq!(p.child.wait().unwrap().exit_code(), 1, "the script failed");
    t.assert_clean();
}

#[test]
fn without_a_terminal_there_is_no_prompt() {
    let t = TestEnvironment::new();
    let manifest = t.network("duo", &["web"], free_port());
    let script = t.write("script.py", "");
    let mut command = t.command(&["test", "--interactive", "--accel", "tcg", "--script"]);
    // Not even the one that the tests were started from.
    let ran = command.args([script, manifest]);
    let ran = std::process::Command::new("setsid")
        .arg("--wait")
        .arg(ran.get_program())
        .args(ran.get_args())
        .envs(ran.get_envs().filter_map(|(k, v)| Some((k, v?))))
        .current_dir(t.path(""))
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("needs a terminal"));
    t.assert_clean();
}

#[test]
fn a_session_that_runs_its_script_shows_it_to_all() {
    let t = TestEnvironment::new();
    let mut manifest: serde_json::Value = serde_json::from_str(
        &std::fs::read_to_string(t.network("duo", &["web", "db"], free_port())).unwrap(),
    )
    .unwrap();
    manifest["testScript"] = serde_json::json!(
        "with subtest('good'):\n    web.succeed('true')\n\
         with subtest('bad'):\n    db.succeed('echo a-trace > /dev/ttyS0; sleep 1; false')\n\
         with subtest('last'):\n    pass\n"
    );
    let manifest = t.write("duo.json", &manifest.to_string());
    t.ok(&["up", "-d", "--wait", "--accel", "tcg", manifest.to_str().unwrap()]);
    let states = |t: &TestEnvironment| -> Vec<(String, String)> {
        let view = t.view();
        let word = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
        let all = view["tests"]["subtests"].as_array().unwrap();
        all.iter().map(|s| (word(&s["name"]), word(&s["state"]))).collect()
    };
    let are = |want: [&str; 3]| -> Vec<(String, String)> {
        ["good", "bad", "last"].iter().zip(want).map(|(n, s)| ((*n).to_owned(), s.to_owned())).collect()
    };
    assert_eq!(states(&t), are(["waiting"; 3]), "known before any run");
    let mut a = Terminal::start(&t, &["attach"]);
    let mut b = Terminal::start(&t, &["attach"]);
    for screen in [&mut a, &mut b] {
        screen.type_in("6");
        screen.wait_for("· good");
    }
    a.type_in("t");
    for screen in [&a, &b] {
        let text = screen.wait_for("✕ bad");
        assert!(text.contains("● good"), "{text}");
    }
    assert_eq!(states(&t), are(["passed", "failed", "waiting"]));
    // To the line, and one of them again.
    b.type_in("j\r");
    b.wait_for("had printed this when the subtest failed");
    t.wait_for("the runner's end", || t.view()["tests"]["state"] == "failed");
    let again = t.run(&["test", "--attach", "-k", "=good"]);
    assert_eq!(again.status, 0, "{again:?}");
    assert_eq!(states(&t), are(["passed", "skipped", "skipped"]));
    assert_eq!(t.node("db")["state"], "up", "the session goes on");
    a.type_in("q");
    a.wait_for("Leave?");
    a.type_in("s");
    a.child.wait().unwrap();
    b.child.wait().unwrap();
    t.assert_clean();
}
