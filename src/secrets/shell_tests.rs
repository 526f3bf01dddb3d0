//! The shell's part of putting secrets into their places, in a directory of a test's own.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use super::KEYS;

/// One secret in an attempt's directory, and a shell that knows the functions.
struct Attempt {
    dir: tempfile::TempDir,
}

impl Attempt {
    fn new(user: &str, mode: &str, mkdirs: &str, path: &str, action: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("keys")).unwrap();
        std::fs::create_dir_all(at("system/etc")).unwrap();
        let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
        std::fs::write(at("system/etc/passwd"), format!("x:x:1:\nme:x:{uid}:{gid}::/:/bin/sh\n")).unwrap();
        let file = at("root").join(path);
        let line = format!("1 pre-activation 6 0 {user} {gid} {mode} {mkdirs} {} db\n", file.display());
        std::fs::write(at("keys/table"), line).unwrap();
        std::fs::write(at("keys/1.new"), "secret").unwrap();
        std::fs::write(at("keys/1.action"), action).unwrap();
        std::fs::create_dir(at("root")).unwrap();
        Self { dir }
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Whether the functions succeed, and what they say.
    fn run(&self, script: &str) -> (bool, String) {
        let here = self.dir.path().display();
        let text = format!(
            "set -u\numask 077\nkeys={here}/keys token=t0k said={here}/said key_system={here}/system child=\n\
             {KEYS}\n{script}"
        );
        let out = Command::new("sh").arg("-c").arg(text).current_dir("/").output().unwrap();
        let trouble = std::fs::read_to_string(self.at("keys/trouble")).unwrap_or_default();
        (out.status.success(), format!("{trouble}{}", String::from_utf8_lossy(&out.stderr)))
    }

    #[track_caller]
    fn works(&self, script: &str) {
        let (ok, said) = self.run(script);
        assert!(ok && said.is_empty(), "{script}: {said}");
    }

    /// Every file below the hosts' root, with its mode and content.
    fn tree(&self) -> Vec<(String, u32, String)> {
        let mut out = Vec::new();
        walk(&self.at("root"), &self.at("root"), &mut out);
        out.sort();
        out
    }
}

fn walk(base: &Path, dir: &Path, out: &mut Vec<(String, u32, String)>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(base).unwrap().display().to_string();
        let meta = path.symlink_metadata().unwrap();
        let content = match meta.file_type() {
            t if t.is_symlink() => format!("-> {}", std::fs::read_link(&path).unwrap().display()),
            t if t.is_dir() => "/".into(),
            _ => std::fs::read_to_string(&path).unwrap(),
        };
        out.push((name, meta.permissions().mode() & 0o7777, content));
        if meta.is_dir() {
            walk(base, &path, out);
        }
    }
}

fn file(name: &str, mode: u32, content: &str) -> (String, u32, String) {
    (name.into(), mode, content.into())
}

#[test]
fn a_new_secret_comes_with_its_directories_and_goes_with_them() {
    let a = Attempt::new("me", "440", "1", "a/b/key", "");
    a.works("keys_put post-activation");
    assert!(a.tree().is_empty());
    a.works("keys_put pre-activation");
    let there = [file("a", 0o755, "/"), file("a/b", 0o755, "/"), file("a/b/key", 0o440, "secret")];
    assert_eq!(a.tree(), there);
    a.works("keys_back && keys_back");
    assert!(a.tree().is_empty());
}

#[test]
fn what_was_there_comes_back_as_it_was() {
    let a = Attempt::new("0", "600", "1", "key", "");
    // What an attempt that was killed has left beside the file goes, too.
    let check = |set_up: &dyn Fn(&Path)| {
        let path = a.at("root/key");
        let _ = std::fs::remove_file(&path);
        set_up(&path);
        for left in ["1.was", "1.none"] {
            let _ = std::fs::remove_file(a.at("keys").join(left));
        }
        let before = a.tree();
        a.works("keys_put pre-activation");
        assert_eq!(a.tree(), [file("key", 0o600, "secret")]);
        std::fs::write(a.at("root/key.t0k"), "half").unwrap();
        a.works("keys_back");
        assert_eq!(a.tree(), before);
    };
    if !nix::unistd::getuid().is_root() {
        return;
    }
    check(&|_| {});
    check(&|path| {
        std::fs::write(path, "old").unwrap();
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
    });
    check(&|path| symlink("/etc/shadow", path).unwrap());
    check(&|path| symlink("/", path).unwrap());
}

#[test]
fn a_secret_that_is_there_already_is_not_touched_and_acts_on_nobody() {
    let a = Attempt::new("me", "600", "1", "key", "echo acted >>\"$OLDPWD\"/never; exit 1");
    std::fs::write(a.at("root/key"), "secret").unwrap();
    std::fs::set_permissions(a.at("root/key"), PermissionsExt::from_mode(0o600)).unwrap();
    let before = a.at("root/key").metadata().unwrap().ino();
    a.works("keys_put pre-activation && keys_back && keys_act_back");
    assert_eq!(a.at("root/key").metadata().unwrap().ino(), before);
    assert_eq!(a.tree().len(), 1);
}

#[test]
fn an_action_is_run_when_it_is_new_and_again_on_the_way_back() {
    let a = Attempt::new("me", "600", "1", "key", "");
    let acted = a.at("acted");
    std::fs::write(a.at("keys/1.action"), format!("echo ran >> {}", acted.display())).unwrap();
    std::fs::write(a.at("root/key"), "old").unwrap();
    a.works("keys_put pre-activation");
    assert_eq!(std::fs::read_to_string(&acted).unwrap(), "ran\n");
    a.works("keys_back && keys_act_back");
    assert_eq!(std::fs::read_to_string(&acted).unwrap(), "ran\nran\n");
    std::fs::write(a.at("keys/1.action"), "exit 7").unwrap();
    let (ok, said) = a.run("keys_put pre-activation");
    assert!(!ok && said.contains("the key db: its action ended with status 7"), "{said}");
}

#[test]
fn an_owner_who_comes_with_the_activation_gets_it_then() {
    let acted = "echo ran >> \"$keys\"/../acted";
    let a = Attempt::new("them", "440", "1", "key", &acted.replace("\"$keys\"", "$KEYS"));
    a.works("export KEYS=$keys; keys_put pre-activation");
    assert_eq!(a.tree(), [file("key", 0o400, "secret")]);
    let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
    std::fs::write(a.at("system/etc/passwd"), format!("them:x:{uid}:{gid}::/:/bin/sh\n")).unwrap();
    a.works("export KEYS=$keys; keys_put post-activation");
    assert_eq!(a.tree(), [file("key", 0o440, "secret")]);
    assert_eq!(std::fs::read_to_string(a.at("acted")).unwrap(), "ran\n", "when it is whose it shall be");
    a.works("keys_back");
    assert!(a.tree().is_empty());
}

#[test]
fn what_others_have_put_beside_it_is_never_written_to() {
    let a = Attempt::new("me", "444", "1", "key", "");
    let theirs = a.at("theirs");
    std::fs::write(&theirs, "theirs").unwrap();
    std::fs::set_permissions(&theirs, PermissionsExt::from_mode(0o600)).unwrap();
    for script in ["keys_put pre-activation", "keys_back"] {
        symlink(&theirs, a.at("root/key.t0k")).unwrap();
        a.works(script);
        let mode = theirs.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((std::fs::read_to_string(&theirs).unwrap().as_str(), mode), ("theirs", 0o600), "{script}");
        assert!(a.at("root/key.t0k").symlink_metadata().is_err(), "{script}");
    }
}

#[test]
fn what_cannot_be_done_is_said_and_changes_nothing() {
    let check = |a: &Attempt, words: &str| {
        let before = a.tree();
        let (ok, said) = a.run("keys_put pre-activation && keys_put post-activation");
        assert!(!ok && said.contains(words), "{words}: {said}");
        a.works("rm -f $keys/trouble; keys_back");
        assert_eq!(a.tree(), before);
    };
    check(
        &Attempt::new("nobody-of-this-name", "600", "1", "key", ""),
        "there is no user nobody-of-this-name",
    );
    check(&Attempt::new("me", "600", "0", "a/key", ""), "there is no directory");
    let a = Attempt::new("me", "600", "1", "key", "");
    std::fs::create_dir(a.at("root/key")).unwrap();
    check(&a, "is no file");
    let a = Attempt::new("me", "600", "1", "a/key", "");
    std::fs::write(a.at("root/a"), "a file").unwrap();
    check(&a, "there is no directory");
}
