//! The conversation by data, and with a real bash where there is one.

use super::super::codec::{ExitStatus, Stream};
use super::*;

const NONCE_BYTES: [u8; NONCE] = [7; NONCE];

fn answer(what: &str) -> Vec<u8> {
    format!("{}{what}", "07".repeat(NONCE)).into_bytes()
}

fn exec(words: &[&str]) -> Exec {
    let argv = words.iter().map(|w| w.as_bytes().to_vec()).collect();
    Exec { argv, env: Vec::new(), pty: None, window: 100 }
}

fn door() -> Backdoor {
    Backdoor::new("tokentoken".into(), NONCE_BYTES)
}

/// A door behind which a shell without a perl has answered.
fn shell() -> Backdoor {
    let mut door = door();
    let (mut events, mut out) = (Vec::new(), Vec::new());
    door.receive(&answer("S"), &mut events, &mut out).unwrap();
    assert_eq!(events, [Event::Ready]);
    door
}

/// What the door makes of some bytes: the events, and what it writes.
fn hear(door: &mut Backdoor, bytes: &[u8]) -> (Vec<Event>, String) {
    let (mut events, mut out) = (Vec::new(), Vec::new());
    door.receive(bytes, &mut events, &mut out).unwrap();
    (events, String::from_utf8_lossy(&out).into_owned())
}

fn start(door: &mut Backdoor, words: &[&str]) -> (CommandId, String) {
    let mut out = Vec::new();
    let id = door.exec(&exec(words), &mut out).unwrap();
    (id, String::from_utf8_lossy(&out).into_owned())
}

#[test]
fn who_listens_is_asked_until_somebody_answers() {
    let mut door = door();
    let mut question = Vec::new();
    door.sync(&mut question);
    assert!(question.starts_with(b"\n#tokentoken\n"));
    // A console that echoes answers nothing, nor does one that boots.
    assert_eq!(hear(&mut door, &question), (Vec::new(), String::new()));
    assert_eq!(hear(&mut door, b"Spawning backdoor root shell...\r\n"), (Vec::new(), String::new()));
    assert!(!door.is_ready());
    let whole = answer("P");
    let (first, second) = whole.split_at(9);
    let (first, second) = (first.to_vec(), second.to_vec());
    assert_eq!(hear(&mut door, &first).1, "");
    let (events, out) = hear(&mut door, &second);
    assert!(events.is_empty() && out.starts_with("exec perl -e "), "{out}");
    let (_, out) = hear(&mut door, b"tokentoken!");
    assert_eq!(out.as_bytes()[4], 1, "the agent is asked to begin");
    let mut hello = vec![0, 0, 0, 22, 2, 0, 0, 0, 0];
    hello.extend(NONCE_BYTES);
    hello.push(1);
    assert_eq!(hear(&mut door, &hello).0, [Event::Ready]);
}

#[test]
fn a_shell_runs_one_command_after_the_other() {
    let mut door = shell();
    let (a, line) = start(&mut door, &["echo", "it's", "a b"]);
    let mark = line.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(line, format!("diorama {mark} 'echo' 'it'\\''s' 'a b'\n"));
    let (b, line) = start(&mut door, &["true"]);
    assert_eq!((line.as_str(), door.running()), ("", 2), "it waits");
    let (c, _) = start(&mut door, &["never"]);
    let (mut events, mut out) = (Vec::new(), Vec::new());
    door.signal(c, 15, &mut events, &mut out);
    assert_eq!((events, out), (vec![Event::Exited(c, ExitStatus::Killed(15))], Vec::new()));

    // What was printed before the beginning is of nobody; a mark may come in pieces.
    let (events, _) = hear(&mut door, format!("late words{mark}sout{}", &mark[..5]).as_bytes());
    assert_eq!(events, [Event::Output(a, Stream::Stdout, b"out".to_vec())]);
    let rest = format!("{}eno\n{mark}Ewhy{mark}x3\n", &mark[5..]);
    let (events, out) = hear(&mut door, rest.as_bytes());
    assert_eq!(
        events,
        [
            Event::Output(a, Stream::Stderr, b"no\n".to_vec()),
            Event::Output(a, Stream::Stderr, format!("why{mark}x3").into_bytes()),
        ],
        "a line is taken up to its end"
    );
    assert_eq!(out, "");
    let (events, out) = hear(&mut door, format!("{mark}x3\n").as_bytes());
    assert_eq!(events, [Event::Exited(a, ExitStatus::Exited(3))]);
    assert!(out.starts_with("q\ndiorama ") && out.ends_with(" 'true'\n"), "{out}");
    assert!(!out.contains(&mark), "a mark is used once");
    assert_eq!(door.running(), 1);
    let mark = out.split(' ').nth(1).unwrap();
    assert_eq!(
        hear(&mut door, format!("{mark}s{mark}x0\n").as_bytes()).0,
        [Event::Exited(b, ExitStatus::Exited(0))]
    );
}

#[test]
fn input_goes_piece_by_piece_and_signals_wait_for_the_group() {
    let mut door = shell();
    let (id, line) = start(&mut door, &["cat"]);
    let mark = line.split(' ').nth(1).unwrap().to_owned();
    let (mut events, mut out) = (Vec::new(), Vec::new());
    let input = vec![b'x'; 20_000];
    assert_eq!(door.input(id, &input, &mut out), input.len());
    door.end_input(id, &mut out);
    door.signal(id, 2, &mut events, &mut out);
    assert!(out.starts_with(b"d 16384\nxxx") && out.len() == 8 + 16_384, "one piece");
    let (events, out) = hear(&mut door, format!("{mark}s{mark}p77\n{mark}a").as_bytes());
    assert_eq!(events, [Event::Taken(id, 16_384)]);
    assert!(out.starts_with("g 77\nk -2 -- -77\nd 3616\n"), "{}", &out[..40]);
    let (events, out) = hear(&mut door, format!("{mark}a").as_bytes());
    assert_eq!((events, out.as_str()), (vec![Event::Taken(id, 3616)], "e\n"));
    // It has a window of 100 bytes: more is asked for when there is room.
    let more = format!("{}{mark}w", "y".repeat(101));
    assert_eq!(hear(&mut door, more.as_bytes()).1, "");
    let mut out = Vec::new();
    door.grant(id, 1, &mut out);
    assert!(out.is_empty());
    door.grant(id, 100, &mut out);
    assert_eq!(out, b"c\n");
    assert_eq!(hear(&mut door, format!("{mark}w").as_bytes()).1, "c\n");
}

#[test]
fn nonsense_ends_the_conversation() {
    let mut door = shell();
    let (_, line) = start(&mut door, &["true"]);
    let mark = line.split(' ').nth(1).unwrap().to_owned();
    let (mut events, mut out) = (Vec::new(), Vec::new());
    assert!(door.receive(format!("{mark}?\n").as_bytes(), &mut events, &mut out).is_err());
    let pty = Exec { pty: Some(Size { rows: 1, cols: 1 }), ..exec(&["sh"]) };
    assert_eq!(shell().exec(&pty, &mut out), Err(BadExec::NoTerminal));
}
