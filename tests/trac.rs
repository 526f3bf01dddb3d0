//! The main job, for real: the bundled Trac network, from nothing to its page, through an outage, and back.
//!
//! Invariant: what is asked for is asked of the real program, the real guests and their services.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// What a wait may take on a machine that is busy; nothing here is measured.
const PATIENCE: Duration = Duration::from_secs(900);

/// A user of their own: nothing of this one's sessions, models or disks is seen or touched.
struct User {
    home: tempfile::TempDir,
}

impl User {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    fn diorama(&self, args: &[&str]) -> Output {
        let home = self.home.path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_diorama"));
        command.args(args).current_dir(home).env("HOME", home);
        for name in
            ["XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"]
        {
            let dir = home.join(name);
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
            command.env(name, dir);
        }
        command.output().unwrap()
    }

    /// Runs the program; it has to succeed.
    fn ok(&self, args: &[&str]) -> String {
        let out = self.diorama(args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(out.status.success(), "{args:?}: {}\n{}{}", out.status, text(&out.stdout), text(&out.stderr));
        text(&out.stdout)
    }

    fn sql(&self, statement: &str) -> String {
        let psql = format!("psql -d foobar -Atc \"{statement}\"");
        self.ok(&["exec", "postgresql", "--", "su", "-", "postgres", "-c", &psql]).trim().to_owned()
    }

    /// The host port that leads to the web server.
    fn port(&self) -> u16 {
        let sessions: serde_json::Value = serde_json::from_str(&self.ok(&["ls", "--json"])).unwrap();
        let forwards = sessions[0]["forwards"].as_array().unwrap();
        let web = forwards.iter().find(|f| f["node"] == "webserver" && f["guestPort"] == 80).unwrap();
        u16::try_from(web["hostPort"].as_u64().unwrap()).unwrap()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // After a failed assertion too, no machine is left running.
        let _ = self.diorama(&["down", "--power"]);
    }
}

/// A page's status and text, or why there is none within the time given.
fn page(port: u16, path: &str, within: Duration) -> Result<(u16, String), String> {
    let fail = |e: std::io::Error| e.to_string();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut socket = TcpStream::connect_timeout(&address, within).map_err(fail)?;
    socket.set_read_timeout(Some(within)).map_err(fail)?;
    write!(socket, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").map_err(fail)?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).map_err(fail)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or("no HTTP answer")?;
    Ok((status, answer))
}

/// Asks for a page until it is right.
fn wait_for_page(port: u16, path: &str, words: &[&str]) {
    let start = Instant::now();
    loop {
        let got = page(port, path, Duration::from_secs(60));
        if let Ok((200, text)) = &got
            && words.iter().all(|w| text.contains(w))
        {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{path} never showed {words:?}: {got:?}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Processes whose command line names a directory.
fn processes_of(dir: &Path) -> Vec<String> {
    let needle = dir.to_str().unwrap();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let text = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).replace('\0', " ");
        if text.contains(needle) {
            found.push(text);
        }
    }
    found
}

#[test]
fn the_trac_network_lives_through_an_outage_and_a_restart() {
    let user = User::new();
    user.ok(&["up", "-d"]);
    let port = user.port();
    wait_for_page(port, "/", &["Project Foobar"]);

    // Its data is in PostgreSQL on one machine, its repository on NFS from another.
    let pages: u32 = user.sql("select count(*) from wiki").parse().unwrap();
    assert!(pages > 0, "Trac's own wiki pages are in the database");
    let mount = user.ok(&["exec", "webserver", "--", "findmnt", "-no", "SOURCE,FSTYPE", "/repos"]);
    assert_eq!(mount.split_whitespace().collect::<Vec<_>>(), ["storage:/repos", "nfs4"]);
    wait_for_page(port, "/browser", &["trunk", "The project's first files"]);

    // An outage in one direction, silent: the page fails; healed, it comes back.
    user.ok(&["link", "cut", "webserver", "postgresql"]);
    let broken = page(port, "/wiki", Duration::from_secs(20));
    assert!(!matches!(broken, Ok((200, _))), "the page needs its database: {broken:?}");
    user.ok(&["link", "undo"]);
    wait_for_page(port, "/wiki", &["Project Foobar"]);

    // State survives.
    user.sql("update wiki set author = 'the test' where name = 'WikiStart'");
    user.ok(&["down"]);
    assert_eq!(processes_of(user.home.path()), Vec::<String>::new(), "nothing is left running");
    user.ok(&["up", "-d"]);
    wait_for_page(user.port(), "/", &["Project Foobar"]);
    assert_eq!(user.sql("select distinct author from wiki where name = 'WikiStart'"), "the test");
    user.ok(&["down"]);
    assert_eq!(processes_of(user.home.path()), Vec::<String>::new(), "nothing is left running");
}
