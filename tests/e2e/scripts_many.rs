//! Several runs of one script at once, and the reports of runs.

use std::fs;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::environment::{Ran, TestEnvironment, free_port};

/// Runs of a script on two machines, three times and two at once.
fn many(t: &TestEnvironment, script: &str) -> std::process::Command {
    let manifest = t.network("duo", &["web", "db"], free_port());
    let script = t.write("script.py", script);
    let out = t.path("out");
    let mut command = t.command(&["test", "--accel", "tcg", "--repeat", "3", "--jobs", "2", "--out"]);
    command.arg(out).arg("--script").args([script, manifest]);
    command
}

#[test]
fn runs_at_once_are_told_apart_and_summed_up() {
    let t = TestEnvironment::new();
    // The second run fails; a file of one run's clone is in no other's.
    let script = r#"
start_all()
with subtest("alone"):
    web.fail("test -e /tmp/mine")
    web.succeed("echo mine > /tmp/mine")
    db.wait_until_succeeds("ping -c 1 -W 1 192.168.1.1", timeout=60)
    web.copy_from_machine("/tmp/mine")
with subtest("not in the second run"):
    assert "run-2" not in str(driver.out_dir), "this is the second"
"#;
    let ran = Ran::new(&[], many(&t, script).output().unwrap());
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stdout.contains("2 of 3 runs passed; FAILED: 2"), "{ran:?}");
    assert!(ran.stderr.lines().any(|l| l.starts_with("3 | ")), "each line names its run: {ran:?}");
    let xml = fs::read_to_string(t.path("out/junit.xml")).unwrap();
    assert!(xml.contains("<testsuites tests=\"9\" failures=\"2\""), "{xml}");
    let log = fs::read_to_string(t.path("out/log.ndjson")).unwrap();
    let events: Vec<serde_json::Value> = log.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    for run in 1..=3 {
        let ended = |e: &&serde_json::Value| e["run"] == run && e["event"] == "script-end";
        assert_eq!(events.iter().filter(ended).count(), 1, "run {run}");
        assert!(t.path(&format!("out/run-{run}/junit.xml")).exists());
        assert_eq!(fs::read_to_string(t.path(&format!("out/run-{run}/mine"))).unwrap(), "mine\n");
    }
    let page = fs::read_to_string(t.path("out/report.html")).unwrap();
    assert!(page.contains("href=\"run-2/report.html\"") && page.contains("this is the second"));

    // What was made can be made again, and the newest is known.
    let one = t.path("out/run-2/report.html");
    let before = fs::read_to_string(&one).unwrap();
    assert!(before.contains("not in the second run"));
    fs::remove_file(&one).unwrap();
    let shown = t.ok(&["report", "--print", t.path("out/run-2").to_str().unwrap()]);
    assert_eq!(shown.trim(), one.to_str().unwrap());
    assert_eq!(fs::read_to_string(&one).unwrap(), before);
    assert_eq!(t.ok(&["report", "--print"]).trim(), t.path("out/report.html").to_str().unwrap());
    t.assert_clean();
}

#[test]
fn a_stop_ends_all_runs() {
    let t = TestEnvironment::new();
    let begun = t.path("begun");
    let script = format!(
        "web.succeed('true')\nopen({begun:?} + os.path.basename(driver.out_dir), 'w').close()\n\
         web.execute('sleep 1000')"
    );
    let child = many(&t, &script).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    t.wait_for("two runs", || t.path("begunrun-1").exists() && t.path("begunrun-2").exists());
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let ran = Ran::new(&[], child.wait_with_output().unwrap());
    assert_eq!(ran.status, 130, "{ran:?}");
    assert!(ran.stdout.contains("1 did not begin"), "{ran:?}");
    t.assert_clean();

    // The program itself dies.
    for name in ["begunrun-1", "begunrun-2"] {
        fs::remove_file(t.path(name)).unwrap();
    }
    let mut child = many(&t, &script).spawn().unwrap();
    t.wait_for("two runs", || t.path("begunrun-1").exists() && t.path("begunrun-2").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    t.assert_clean();
}
