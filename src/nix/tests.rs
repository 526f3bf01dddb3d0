use super::*;

fn paths(dir: &Path) -> Paths {
    let at = |s: &str| dir.join(s);
    Paths { cache: at("cache"), state: at("state"), data: at("data"), runtime: at("run") }
}

#[tokio::test]
async fn a_manifest_needs_no_nix_and_its_lies_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("m.json");
    let evaluator = Evaluator::new(Options::new(paths(dir.path()), "/nonexistent".into()));
    for (text, expected) in [
        ("{", "m.json: line 1 column 1: EOF"),
        (r#"{ "version": 7 }"#, "version 7 is not known"),
        (
            r#"{ "version": 1, "network": { "name": "n" }, "nodes": { "a": { "hostName": "a",
               "boot": { "kind": "direct", "kernel": "/nonexistent/k", "initrd": "/nonexistent/i" } } } }"#,
            "2 problems\n  nodes.a.boot.kernel: /nonexistent/k: there is no such file\n  nodes.a.boot.initrd",
        ),
    ] {
        fs::write(&model, text).unwrap();
        let error = evaluator.evaluate(&model, &mut drop, &CancellationToken::new()).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let missing = dir.path().join("other.nix");
    let error = evaluator.evaluate(&missing, &mut drop, &CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().contains("other.nix"), "{error}");
}

#[test]
fn the_lock_lies_beside_the_model() {
    assert_eq!(lock_path(Path::new("/m/network.nix")), Path::new("/m/network.lock.json"));
}
