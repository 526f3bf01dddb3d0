//! Tests as Nix functions, and coverage, for real: `nix-build -A test`, `-A report`, several at once, a script
//! that fails, and a C program measured on two machines.
//!
//! Invariant: everything runs as a user would run it: the real program, Nix' own builders, real guests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A directory of models with a home of its own.
struct User {
    home: tempfile::TempDir,
}

impl User {
    fn new() -> Self {
        Self { home: tempfile::Builder::new().prefix("dn").tempdir_in("/tmp").unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A program in this user's world.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.home.path()).env("HOME", self.home.path());
        for name in
            ["XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"]
        {
            let dir = self.path(name);
            fs::create_dir_all(&dir).unwrap();
            fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
            command.env(name, dir);
        }
        command
    }

    fn diorama(&self, args: &[&str]) -> String {
        let out = self.command(env!("CARGO_BIN_EXE_diorama")).args(args).output().unwrap();
        assert!(out.status.success(), "{args:?}: {}\n{}", out.status, said(&out));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// One of Nix' programs, on the store that the program itself would choose.
    fn nix(&self, program: &str, args: &[&str]) -> Output {
        let mut command = self.command(program);
        let store = diorama::nix::Store::find(&self.path("XDG_DATA_HOME").join("diorama"));
        command.envs(store.environment(true)).env("DIORAMA", env!("CARGO_BIN_EXE_diorama"));
        command.args(args).args(["--arg", "diorama", &format!("import {} {{ }}", asset("nix").display())]);
        command.output().unwrap()
    }

    fn copy_example(&self, name: &str) {
        copy(&asset("examples").join(name), self.home.path());
    }
}

fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets").join(name)
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// Everything that a command has said.
fn said(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

fn output_path(out: &Output) -> Vec<PathBuf> {
    assert!(out.status.success(), "{}", said(out));
    String::from_utf8_lossy(&out.stdout).lines().map(PathBuf::from).collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).unwrap()
}

fn lines_hit(counts: &Value) -> u64 {
    counts["lines"]["hit"].as_u64().unwrap()
}

const GREET: &str = r#"
#include <stdio.h>
#include <string.h>

static int hello(void) {
  puts("hello");
  return 0;
}

static int bye(void) {
  puts("bye");
  return 0;
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "bye") == 0) return bye();
  return hello();
}
"#;

const NETWORK: &str = r#"
{
  defaults.virtualisation.memorySize = 192;
  nodes.machine = { pkgs, ... }: {
    environment.systemPackages = [
      ((pkgs.addCoverageInstrumentation pkgs.stdenv).mkDerivation {
        name = "greet";
        src = ./src;
        buildPhase = "make greet";
        installPhase = "mkdir -p $out/bin; cp greet $out/bin/";
      })
    ];
  };
}
"#;

const FUNCTIONS: &str = r#"
{ diorama }:
rec {
  network = (import ./network.nix).nodes // { inherit (import ./network.nix) defaults; };
  vms = diorama.buildVirtualNetwork { inherit network; name = "greet"; lock = ./network.lock.json; };
  hello = diorama.runTests { inherit vms; name = "hello"; coverage = true; } ''
    with subtest("it says hello"):
        t.assertEqual(machine.succeed("greet"), "hello\n")
  '';
  bye = diorama.runTests { inherit vms; name = "bye"; coverage = true; } ({ nodes, ... }: ''
    with subtest("it says bye"):
        t.assertEqual(${nodes.machine.config.networking.hostName}.succeed("greet bye"), "bye\n")
  '');
  bad = diorama.runTests { inherit vms; name = "bad"; } ./bad.py;
  report = diorama.makeReport [ hello bye ];
}
"#;

#[test]
fn several_tests_run_at_once_and_a_script_that_fails_fails_its_build() {
    let user = User::new();
    fs::create_dir(user.path("src")).unwrap();
    fs::write(user.path("src/greet.c"), GREET).unwrap();
    fs::write(user.path("src/Makefile"), "greet: greet.c\n").unwrap();
    fs::write(user.path("network.nix"), NETWORK).unwrap();
    fs::write(user.path("functions.nix"), FUNCTIONS).unwrap();
    fs::write(user.path("bad.py"), "machine.succeed(\"echo what went wrong >&2; exit 7\")\n").unwrap();
    user.diorama(&["lock", "network.nix"]);

    // A test is a function of its model, its script and the program: it changes with them, and with nothing else.
    let derivation = |attribute: &str| {
        let out = user.nix("nix-instantiate", &["functions.nix", "-A", attribute]);
        output_path(&out)[0].clone()
    };
    let (before, bad) = (derivation("hello"), derivation("bad"));
    fs::write(user.path("bad.py"), "machine.succeed(\"echo what went wrong; exit 7\")\n").unwrap();
    assert_eq!(derivation("hello"), before);
    assert_ne!(derivation("bad"), bad);

    let out = user.nix(
        "nix-build",
        &[
            "functions.nix",
            "-A",
            "hello",
            "-A",
            "bye",
            "-A",
            "bad",
            "-j",
            "3",
            "--keep-going",
            "--no-out-link",
        ],
    );
    let text = said(&out);
    assert!(!out.status.success(), "{text}");
    for essence in ["what went wrong", "exit code 7", "bad.drv' failed with exit code 1"] {
        assert!(text.contains(essence), "{essence:?} is not in the build's output:\n{text}");
    }
    let ended = text.find("passed in").unwrap_or_else(|| panic!("none has passed:\n{text}"));
    for name in ["hello", "bye", "bad"] {
        let begun = text.find(&format!("-test-{name}.drv'...")).unwrap();
        assert!(begun < ended, "{name} began only when another had ended:\n{text}");
    }

    let out = user.nix("nix-build", &["functions.nix", "-A", "hello", "-A", "bye", "--no-out-link"]);
    let mut alone = Vec::new();
    for test in output_path(&out) {
        for file in
            ["junit.xml", "log.ndjson", "report.html", "consoles/machine.log", "coverage/html/index.html"]
        {
            assert!(test.join(file).is_file(), "{} has no {file}", test.display());
        }
        alone.push(lines_hit(&json(&test.join("coverage/summary.json"))["total"]));
    }
    let report =
        output_path(&user.nix("nix-build", &["functions.nix", "-A", "report", "--no-out-link"])).remove(0);
    let page = fs::read_to_string(report.join("index.html")).unwrap();
    assert!(page.contains("hello/report.html") && page.contains("bye/report.html"), "{page}");
    let sum = json(&report.join("coverage/summary.json"))["total"].clone();
    assert!(alone.iter().all(|a| *a < lines_hit(&sum)), "{alone:?} and together {sum}");
    assert_eq!(sum["lines"]["hit"], sum["lines"]["found"], "together they execute every line");
}

#[test]
fn the_trac_network_is_a_test_and_a_report() {
    let user = User::new();
    user.copy_example("trac");
    user.diorama(&["lock", "network.nix"]);
    let build = |attribute| {
        output_path(&user.nix("nix-build", &["trac.nix", "-A", attribute, "--no-out-link"])).remove(0)
    };
    let test = build("test");
    let junit = fs::read_to_string(test.join("junit.xml")).unwrap();
    assert!(junit.contains("an outage of the database, and its end"), "{junit}");
    let report = build("report");
    assert!(report.join("index.html").is_file() && report.join("trac/log.ndjson").is_file());
}

#[test]
fn a_c_program_is_measured_on_two_machines() {
    let user = User::new();
    user.copy_example("coverage");
    user.diorama(&["test", "--coverage", "--out", "out", "network.nix"]);
    let summary = json(&user.path("out/coverage/summary.json"));
    assert_eq!(summary["problems"], serde_json::json!([]));
    let (client, server) = (lines_hit(&summary["nodes"]["client"]), lines_hit(&summary["nodes"]["server"]));
    let both = lines_hit(&summary["total"]);
    assert!(both > client && both > server, "{summary:#}");
    // Each side executes its own, and what both have they execute in different ways.
    let file = |name: &str, node: &str| lines_hit(&summary["files"][name]["nodes"][node]);
    assert!(file("larder-1.0/server/store.c", "server") > 0);
    assert_eq!(file("larder-1.0/server/store.c", "client"), 0);
    assert!(file("larder-1.0/client/connection.c", "client") > 0);
    assert_eq!(file("larder-1.0/client/connection.c", "server"), 0);
    let codec = &summary["files"]["larder-1.0/common/codec.c"];
    assert!(lines_hit(&codec["nodes"]["client"]) < lines_hit(&codec["total"]), "{codec}");
    assert!(lines_hit(&summary["files"]["python/report.py"]["nodes"]["client"]) > 0);
    for page in ["index.html", "total/larder-1.0/server/store.c.gcov.html", "nodes/client/index.html"] {
        assert!(user.path("out/coverage/html").join(page).is_file(), "{page}");
    }
}

/// The guide's hook for LLVM's profiles, on a program that says hello and nothing else.
const HOOK: &str = r#"
{
  testScript = ''
    t.assertEqual(machine.succeed("greet"), "hello\n")
  '';
  nodes.machine = { pkgs, ... }:
    let
      app = pkgs.stdenv.mkDerivation {
        name = "greet";
        src = ./src;
        nativeBuildInputs = [ pkgs.clang pkgs.libclang-rt-14-dev ];
        # The name by which the profile knows the source is one that the machine has.
        buildPhase = ''
          mkdir -p $out/src $out/bin
          cp greet.c $out/src/
          clang -fprofile-instr-generate -fcoverage-mapping -o $out/bin/greet $out/src/greet.c
        '';
        installPhase = "true";
      };
    in
    {
      environment.systemPackages = [ app ];
      coverage.hooks.llvm = {
        environment.LLVM_PROFILE_FILE = "/var/lib/coverage/llvm/%p-%m.profraw";
        toLcov = ''
          ${pkgs.llvm}/bin/llvm-profdata merge -o /run/llvm.profdata /var/lib/coverage/llvm/*.profraw
          ${pkgs.llvm}/bin/llvm-cov export --format=lcov --instr-profile=/run/llvm.profdata ${app}/bin/greet
        '';
      };
    };
}
"#;

#[test]
fn a_hook_measures_what_clang_has_built() {
    let user = User::new();
    fs::create_dir(user.path("src")).unwrap();
    fs::write(user.path("src/greet.c"), GREET).unwrap();
    fs::write(user.path("network.nix"), HOOK).unwrap();
    user.diorama(&["test", "--coverage", "--out", "out", "network.nix"]);
    let summary = json(&user.path("out/coverage/summary.json"));
    assert_eq!(summary["problems"], serde_json::json!([]));
    let functions = &summary["total"]["functions"];
    assert_eq!((functions["hit"].as_u64(), functions["found"].as_u64()), (Some(2), Some(3)), "{summary:#}");
    let page = fs::read_to_string(user.path("out/coverage/html/index.html")).unwrap();
    assert!(page.contains("greet.c"), "{page}");
}
