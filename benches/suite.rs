//! What a suite of twenty subtests costs: the round trip of `execute`, and the overhead of a subtest.
//!
//! `cargo bench --bench suite [-- COMMANDS]`. One machine (the tests' smallest guest) runs a script of
//! twenty subtests with some commands each, `true` every time; the figures are taken from the script
//! itself and from the run's own log of events, the bare agent's (`diorama exec`) beside them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const SUBTESTS: usize = 20;

const SCRIPT: &str = r#"
import json, time
machine.connect()
machine.execute("true")
trips, bare = [], []
begin = time.monotonic()
for number in range(SUBTESTS):
    with subtest(f"subtest {number}"):
        for _ in range(COMMANDS):
            before = time.monotonic()
            assert machine.execute("true") == (0, "")
            trips.append(time.monotonic() - before)
whole = time.monotonic() - begin
for number in range(SUBTESTS):
    before = time.monotonic()
    with subtest(f"empty {number}"):
        pass
    bare.append(time.monotonic() - before)
open(FIGURES, "w").write(json.dumps({"trips": trips, "bare": bare, "whole": whole}))
"#;

fn main() {
    let commands: usize = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(25);
    let here = tempfile::Builder::new().prefix("dio").tempdir_in("/tmp").expect("a directory");
    let manifest = manifest(here.path());
    let figures = here.path().join("figures.json");
    let script = here.path().join("script.py");
    let text = SCRIPT
        .replace("SUBTESTS", &SUBTESTS.to_string())
        .replace("COMMANDS", &commands.to_string())
        .replace("FIGURES", &format!("{figures:?}"));
    std::fs::write(&script, text).expect("the script can be written");
    let start = Instant::now();
    let status = Command::new(env!("CARGO_BIN_EXE_diorama"))
        .args(["test", "--quiet", "--out"])
        .arg(here.path().join("out"))
        .arg("--script")
        .args([&script, &manifest])
        .envs(["RUNTIME", "STATE"].map(|n| (format!("DIORAMA_{n}_DIR"), here.path().join(n))))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .expect("the program runs");
    assert!(status.success(), "the suite passes");
    let all = start.elapsed().as_secs_f64();

    let read = std::fs::read_to_string(figures).expect("the script has written them");
    let read: serde_json::Value = serde_json::from_str(&read).expect("they are JSON");
    let times = |key: &str| -> Vec<f64> {
        let mut times: Vec<f64> =
            read[key].as_array().into_iter().flatten().filter_map(serde_json::Value::as_f64).collect();
        times.sort_by(f64::total_cmp);
        times
    };
    let (trips, bare) = (times("trips"), times("bare"));
    let whole = read["whole"].as_f64().unwrap_or_default();
    let spent: f64 = trips.iter().sum();
    let at =
        |sorted: &[f64], percent: usize| sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)] * 1e3;
    println!(
        "execute, {} round trips: p50 {:.1} ms, p99 {:.1} ms, mean {:.1} ms",
        trips.len(),
        at(&trips, 50),
        at(&trips, 99),
        spent / trips.len() as f64 * 1e3
    );
    println!(
        "{SUBTESTS} subtests of {commands} commands: {whole:.2} s, of it outside of the commands {:.2} ms a subtest",
        (whole - spent) / SUBTESTS as f64 * 1e3
    );
    println!("an empty subtest: p50 {:.2} ms, p99 {:.2} ms", at(&bare, 50), at(&bare, 99));
    println!("the whole run with boot, reports and teardown: {all:.1} s");
}

/// A manifest of one machine with the tests' guest.
fn manifest(dir: &Path) -> PathBuf {
    let guest = dir.join("guest");
    let builder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest/mini.sh");
    let built = Command::new("sh").arg(builder).arg(&guest).output().expect("sh runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let manifest = serde_json::json!({
        "version": 1,
        "network": { "name": "suite", "system": "other" },
        "nodes": { "machine": {
            "hostName": "machine",
            "memorySize": 96,
            "boot": {
                "kind": "direct",
                "kernel": guest.join("kernel"),
                "initrd": guest.join("initrd"),
                "kernelParams": ["quiet", "mini.name=machine", "mini.ip=192.168.1.1/24"],
            },
            "interfaces": [{ "kind": "user", "name": "eth0" }],
        } },
    });
    let path = dir.join("suite.json");
    std::fs::write(&path, manifest.to_string()).expect("the manifest can be written");
    path
}
