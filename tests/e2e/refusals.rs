//! Starts that cannot succeed: what the person sees, and that nothing is left.

use crate::environment::{TestEnvironment, guest};

fn manifest(kernel: &str, initrd: &str, memory: u64) -> String {
    serde_json::json!({
        "version": 1,
        "network": { "name": "lie" },
        "nodes": { "a": {
            "hostName": "a",
            "memorySize": memory,
            "boot": { "kind": "direct", "kernel": kernel, "initrd": initrd },
        } },
    })
    .to_string()
}

#[test]
fn manifests_that_lie() {
    let t = TestEnvironment::new();
    let [kernel, initrd] = ["kernel", "initrd"].map(|f| guest().join(f).display().to_string());
    let text = t.write("kernel.txt", "this is no kernel\n");
    for (content, want) in [
        ("{".to_owned(), "line 1 column"),
        (r#"{"version": 9}"#.to_owned(), "version 9 is not known here"),
        (manifest("/nowhere/kernel", "/nowhere/initrd", 64), "/nowhere/kernel"),
        (manifest(text.to_str().unwrap(), &initrd, 64), "kernel.txt"),
        (manifest("relative", &initrd, 64), "relative is not an absolute path"),
        (manifest(&kernel, &initrd, 1 << 20), "MiB of memory"),
    ] {
        let path = t.write("lie.json", &content);
        for detach in [true, false] {
            let mut args = vec!["up", "--accel", "tcg", path.to_str().unwrap()];
            args.extend(detach.then_some("-d"));
            let ran = t.run(&args);
            assert_eq!(ran.status, 1, "{ran:?}");
            assert!(ran.stderr.starts_with("error: ") && ran.stderr.contains(want), "{want}: {ran:?}");
            t.assert_clean();
        }
    }
}

#[test]
fn arguments_that_make_no_sense() {
    let t = TestEnvironment::new();
    for (args, status, want) in [
        (&["up", "nowhere.nix"][..], 1, "nowhere.nix: No such file"),
        (&["up", "--name", "../x", "."], 2, "cannot name a session"),
        (&["ls", "-s", "x"], 3, "there is no session \"x\""),
        (&["exec", "a", "--", "true"], 3, "no session is running"),
        (&["link", "cut", "a"], 2, "<TO>"),
        (&["cp", "a", "b"], 2, "NODE:PATH"),
        (&["forward", "add", "a", "x:1"], 2, "not a port"),
    ] {
        let ran = t.run(args);
        assert_eq!(ran.status, status, "{ran:?}");
        assert!(ran.stderr.contains(want), "{want}: {ran:?}");
    }
    t.assert_clean();
}
