use super::*;
use crate::paths::Paths;

fn node(dir: &Path) -> NodePaths {
    let at = |s: &str| dir.join(s);
    let paths = Paths { cache: at("c"), state: at("s"), data: at("d"), runtime: at("r") };
    paths.make_session("net").unwrap();
    let node = paths.node("net", "web");
    node.make().unwrap();
    node
}

#[tokio::test]
async fn the_status_of_every_end_is_known() {
    for (script, expected, said) in [
        ("exit 0", Exit::Code(0), ""),
        ("echo no such device >&2; exit 1", Exit::Code(1), "no such device"),
        ("kill -9 $$", Exit::Signal(9), ""),
        ("kill -SEGV $$", Exit::Signal(11), ""),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let node = node(dir.path());
        let process = spawn(&node, Path::new("/bin/sh"), &["-c", script]).unwrap();
        assert_eq!(process.wait().await.unwrap(), expected, "{script}");
        assert_eq!(process.last_words(1).join(""), said);
        assert_eq!(last_exit(&node), Some(expected));
        assert!(adopt(&node).unwrap().is_none(), "an ended machine is not taken over");
        process.kill().unwrap();
    }
    assert_eq!(Exit::Signal(9).status(), Some(137));
    assert_eq!(Exit::Signal(9).to_string(), "exit status 137, killed by SIGKILL");
}

#[tokio::test]
async fn another_process_can_take_a_machine_over() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path());
    let first = spawn(&node, Path::new("/bin/sh"), &["-c", "exec sleep 60"]).unwrap();
    let again = spawn(&node, Path::new("/bin/true"), &[""; 0]).unwrap_err();
    assert!(again.to_string().contains("runs already"), "{again}");
    let adopted = adopt(&node).unwrap().unwrap();
    assert_eq!(adopted.pid, first.pid);
    adopted.kill().unwrap();
    let (a, b) = tokio::join!(first.wait(), adopted.wait());
    assert_eq!((a.unwrap(), b.unwrap()), (Exit::Signal(9), Exit::Signal(9)));
}

#[tokio::test]
async fn a_number_used_again_is_somebody_else() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path());
    let process = spawn(&node, Path::new("/bin/sleep"), &["60"]).unwrap();
    let text = fs::read_to_string(node.pid()).unwrap();
    let mut record = Record::parse(&text).unwrap();
    assert!(open(&node, &record).unwrap().is_some());
    record.qemu.started -= 1;
    assert!(open(&node, &record).unwrap().is_none(), "another start time");
    let record = Record { boot: "another".into(), ..Record::parse(&text).unwrap() };
    assert!(open(&node, &record).unwrap().is_none(), "another boot");
    process.kill().unwrap();
    process.wait().await.unwrap();
}

#[tokio::test]
async fn without_its_waiter_the_end_is_seen_and_the_status_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path());
    let process = spawn(&node, Path::new("/bin/sleep"), &["60"]).unwrap();
    pidfd_send_signal(process.waiter.as_ref().unwrap(), Signal::SIGKILL).unwrap();
    process.kill().unwrap();
    assert_eq!(process.wait().await.unwrap(), Exit::Unknown);
}

#[tokio::test]
async fn a_program_that_is_not_there_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path());
    let process = spawn(&node, Path::new("/nonexistent/qemu"), &["x"]).unwrap();
    assert_eq!(process.wait().await.unwrap(), Exit::Code(127));
    assert!(process.last_words(1)[0].contains("not found"));
}

#[test]
fn stat_lines_with_odd_names() {
    let tail = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
    for (line, expected) in [
        (format!("7 (sh) {tail}"), Some((7, 4242))),
        (format!("7 (a b) c) (d) {tail}"), Some((7, 4242))),
        ("7 (sh".to_owned(), None),
        (String::new(), None),
    ] {
        assert_eq!(Identity::parse(&line).map(|i| (i.pid, i.started)), expected, "{line}");
    }
}
