//! What a second `up` of an unchanged model costs beyond Nix's own evaluation, in one run.
//!
//! `cargo bench --bench build [-- ROUNDS]`. `diorama build` (evaluate, look whether all is there, write
//! the start scripts) and the bare `nix-instantiate` that it runs take turns on the bundled Trac
//! network; the table shows medians and their ratio.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn main() {
    let rounds: usize = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(7);
    let here = tempfile::tempdir().expect("a directory for the model");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let model = here.path().join("network.nix");
    std::fs::copy(root.join("assets/examples/trac/network.nix"), &model).expect("the example is there");
    let ours = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_diorama"));
        command.args(["build", "-q", "--out"]).arg(here.path().join("out")).arg(&model);
        command
    };
    // Once for the lock file, the packages and the images.
    assert!(ours().status().expect("the program runs").success(), "the model can be built here");

    let mirrors = diorama::apt::mirrors().expect("apt has sources");
    let bare = || {
        let mut command = Command::new("nix-instantiate");
        command
            .args(["--eval", "--strict", "--json", "--read-write-mode"])
            .arg(root.join("assets/nix/eval.nix"))
            .arg("--argstr")
            .arg("model")
            .arg(&model)
            .arg("--argstr")
            .arg("lock")
            .arg(here.path().join("network.lock.json"))
            .args(["--arg", "mirrors", &diorama::apt::nix_argument(&mirrors, None)]);
        command
    };
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        a.push(time(ours()));
        b.push(time(bare()));
    }
    let (a, b) = (median(a), median(b));
    println!(
        "median of {rounds}: diorama build {a:.2?}, nix-instantiate {b:.2?}, ratio {:.2}",
        a.as_secs_f64() / b.as_secs_f64()
    );
}

fn time(mut command: Command) -> Duration {
    let start = Instant::now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("it can be started");
    assert!(status.success(), "{command:?}");
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
