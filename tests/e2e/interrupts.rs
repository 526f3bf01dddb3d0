//! Ctrl-c while there are no machines yet.

use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::environment::{Ran, TestEnvironment};

/// A model whose only machine takes for ever to build; its builder has the test's directory on its command line.
fn endless(t: &TestEnvironment) -> String {
    let script = format!("echo started >&2; sleep 1000; : {}", t.path("builder").display());
    let model = format!(
        r#"{{
  a = {{ lib, ... }}:
    let
      endless = lib.mkForce (derivation {{
        name = "endless-{}";
        system = builtins.currentSystem;
        builder = "/bin/sh";
        PATH = "/usr/bin:/bin";
        args = [ "-c" "{script}" ];
      }});
    in
    {{ system.build.vm = endless; system.build.toplevel = endless; }};
}}"#,
        std::process::id()
    );
    t.write("endless.nix", &model).display().to_string()
}

#[test]
fn ctrl_c_while_building_says_that_all_is_over_when_it_is() {
    let t = TestEnvironment::new();
    let model = endless(&t);
    let nixpkgs = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nix/fake-nixpkgs");
    let args = ["up", "--accel", "tcg", "--nixpkgs", nixpkgs, &model];
    // Without the machine's own sandbox and caches, which differ.
    let mut command = t.command(&args);
    command.env("NIX_CONFIG", "sandbox = false\nsubstitute = false");
    let up = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let builder = t.path("builder").display().to_string();
    let builds = || t.processes().iter().any(|(_, words)| words.contains(&builder));
    t.wait_for("the builder", builds);
    kill(Pid::from_raw(up.id().cast_signed()), Signal::SIGINT).unwrap();
    let ran = Ran::new(&args, up.wait_with_output().unwrap());
    assert!(!builds(), "the builder outlives the message: {ran:?}");
    assert_eq!(ran.status, 130, "{ran:?}");
    assert!(ran.stderr.contains("everything is shut down"), "{ran:?}");
    t.assert_clean();
}
