//! A machine with a display: pictures of it for people and scripts, and VNC for whoever may enter the session.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixStream;

use crate::environment::{TestEnvironment, free_port};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The network's machines `web`, which has a display, and `db`, which has none.
fn network(t: &TestEnvironment) -> String {
    let path = t.network("duo", &["web", "db"], free_port());
    let mut manifest: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    manifest["nodes"]["web"]["graphics"] = true.into();
    fs::write(&path, manifest.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_display_is_photographed_drawn_and_looked_at() {
    let t = TestEnvironment::new();
    let manifest = network(&t);
    t.ok(&["up", "-d", "--wait", "--accel", "tcg", &manifest]);

    let file = t.path("display.png");
    assert!(t.ok(&["screenshot", "web", "-o", file.to_str().unwrap()]).contains("display.png"));
    let picture = fs::read(&file).unwrap();
    assert!(picture.starts_with(PNG) && picture.len() > 200, "{} bytes", picture.len());

    // Drawn: every line ends with the colours put back, none is wider than the terminal.
    let drawn = t.ok(&["screenshot", "web", "--show"]);
    assert!(drawn.lines().count() > 5 && drawn.lines().all(|l| l.ends_with("\x1b[0m")), "{drawn:?}");
    assert!(drawn.lines().all(|l| l.matches('▀').count() <= 80), "{drawn:?}");

    let ran = t.run(&["screenshot", "db"]);
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("db has no display") && ran.stderr.contains("graphics = true"), "{ran:?}");
    assert_eq!(t.run(&["screenshot", "wbe"]).status, 3);
    // Only the pictures that were asked for are left: none beside the session's socket.
    let left = fs::read_dir(t.path("run/duo/.daemon")).unwrap().map(|e| e.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().contains("picture")));

    // Debian's QEMU has VNC.
    let mut greeting = [0; 4];
    UnixStream::connect(t.path("run/duo/web/vnc.sock")).unwrap().read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"RFB ");
    assert!(!t.path("run/duo/db/vnc.sock").exists());

    t.ok(&["down"]);
    t.assert_clean();
}

#[test]
fn a_scripts_picture_is_in_its_report() {
    let t = TestEnvironment::new();
    let manifest = network(&t);
    let script = t.write(
        "script.py",
        "start_all()\nweb.wait_for_console_text('login:')\nweb.screenshot('seen')\nweb.send_key('ctrl-alt-f2')\n\
         try:\n    db.screenshot('unseen')\nexcept MachineError as e:\n    assert 'virtualisation.graphics' in str(e), e\n",
    );
    let out = t.path("out");
    t.ok(&[
        "test",
        "--accel",
        "tcg",
        &manifest,
        "--script",
        script.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ]);
    assert!(fs::read(out.join("seen.png")).unwrap().starts_with(PNG));
    let log = fs::read_to_string(out.join("log.ndjson")).unwrap();
    let artifact = log.lines().find(|l| l.contains("\"artifact\"")).unwrap();
    assert!(artifact.contains("\"screenshot\"") && artifact.contains("seen.png"), "{artifact}");
    t.assert_clean();
}
