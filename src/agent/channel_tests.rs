use proptest::prelude::*;

use super::super::codec::OVERHEAD;
use super::*;

const OURS: [u8; NONCE] = *b"0123456789abcdef";

fn guest(kind: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = ((payload.len() + 5) as u32).to_be_bytes().to_vec();
    out.push(kind);
    out.extend(id.to_be_bytes());
    out.extend(payload);
    out
}

fn hello(nonce: &[u8; NONCE], version: u8) -> Vec<u8> {
    guest(2, 0, &[&nonce[..], &[version]].concat())
}

fn exec(window: u32) -> Exec {
    Exec { argv: vec![b"true".to_vec()], env: Vec::new(), pty: None, window }
}

/// A conversation that is ready and runs command 1 with this window.
fn running(window: u32) -> Channel {
    let mut channel = Channel::new(OURS);
    let mut events = Vec::new();
    assert_eq!(channel.receive(&hello(&OURS, 1), &mut events), Ok(()));
    assert_eq!(events, [Event::Ready]);
    assert_eq!(channel.exec(&exec(window), &mut Vec::new()), Ok(1));
    channel
}

fn receive(channel: &mut Channel, bytes: &[u8]) -> Result<Vec<Event>, ChannelError> {
    let mut events = Vec::new();
    channel.receive(bytes, &mut events).map(|()| events)
}

#[test]
fn garbage_and_old_answers_before_hello_are_skipped() {
    let garbage =
        [guest(8, 7, &[0xee; 300]), hello(b"the old question", 1)[..26].to_vec(), vec![0, 0, 0, 22, 2]]
            .concat();
    let stream = [garbage, hello(&OURS, 1), guest(8, 1, b"of a command that is unknown")].concat();
    for chunk in [1, 7, 26, 1000] {
        let mut channel = Channel::new(OURS);
        let mut events = Vec::new();
        for bytes in stream.chunks(chunk) {
            assert_eq!(channel.receive(bytes, &mut events), Ok(()));
        }
        assert_eq!(events, [Event::Ready], "in pieces of {chunk}");
    }
}

#[test]
fn endless_garbage_ends_the_conversation() {
    let mut channel = Channel::new(OURS);
    let garbage = vec![0; 1024 * 1024];
    let outcome = (0..80).map(|_| receive(&mut channel, &garbage)).find(Result::is_err);
    assert_eq!(outcome, Some(Err(ChannelError::NoHello)));
    assert!(channel.buffer.capacity() < 4 * 1024 * 1024);
}

#[test]
fn another_version_is_refused_and_a_repeated_answer_is_not() {
    assert_eq!(receive(&mut Channel::new(OURS), &hello(&OURS, 2)), Err(ChannelError::Version(2)));
    let mut channel = running(10);
    assert_eq!(receive(&mut channel, &hello(&OURS, 1)), Ok(vec![]));
    assert_eq!(receive(&mut channel, &hello(b"fedcba9876543210", 1)), Err(ChannelError::StrayHello));
}

#[test]
fn the_window_is_enforced() {
    let mut channel = running(10);
    let bytes = |n: usize| vec![1; n];
    assert_eq!(
        receive(&mut channel, &guest(8, 1, &bytes(6))),
        Ok(vec![Event::Output(1, Stream::Stdout, bytes(6))])
    );
    assert_eq!(
        receive(&mut channel, &guest(9, 1, &bytes(4))),
        Ok(vec![Event::Output(1, Stream::Stderr, bytes(4))])
    );
    let mut out = Vec::new();
    channel.grant(1, 3, &mut out);
    assert_eq!(out.len(), OVERHEAD + 4);
    assert_eq!(
        receive(&mut channel, &guest(8, 1, &bytes(2))),
        Ok(vec![Event::Output(1, Stream::Stdout, bytes(2))])
    );
    let over = receive(&mut channel, &guest(8, 1, &bytes(2)));
    assert_eq!(over, Err(ChannelError::Window { sent: 2, granted: 1 }));
}

#[test]
fn input_waits_for_its_acknowledgement() {
    let mut channel = running(10);
    let input = vec![7; STDIN_WINDOW as usize + 100];
    let mut out = Vec::new();
    assert_eq!(channel.input(1, &input, &mut out), STDIN_WINDOW as usize);
    assert_eq!(channel.input(1, b"more", &mut out), 0);
    assert_eq!(receive(&mut channel, &guest(12, 1, &50u32.to_be_bytes())), Ok(vec![Event::Taken(1, 50)]));
    assert_eq!(channel.input(1, &input, &mut out), 50);
    assert_eq!(
        receive(&mut channel, &guest(12, 1, &(STDIN_WINDOW + 1).to_be_bytes())),
        Err(ChannelError::Ack)
    );
}

#[test]
fn an_ended_command_is_unknown() {
    let mut channel = running(10);
    assert_eq!(
        receive(&mut channel, &guest(10, 1, &[0, 3])),
        Ok(vec![Event::Exited(1, ExitStatus::Exited(3))])
    );
    assert_eq!(receive(&mut channel, &guest(8, 1, &[0; 4000])), Ok(vec![]));
    assert_eq!(receive(&mut channel, &guest(10, 1, &[0, 0])), Ok(vec![]));
    let mut out = Vec::new();
    assert_eq!(channel.input(1, b"gone", &mut out), 4);
    channel.end_input(1, &mut out);
    channel.grant(1, 5, &mut out);
    channel.signal(1, 9, &mut out);
    channel.resize(1, Size { rows: 1, cols: 1 }, &mut out);
    assert!(out.is_empty());
    assert_eq!(channel.exec(&exec(1), &mut out), Ok(2));
    assert_eq!(
        receive(&mut channel, &guest(11, 2, b"no such file")),
        Ok(vec![Event::Failed(2, "no such file".to_owned())])
    );
    assert_eq!(channel.running(), 0);
}

#[test]
fn a_refused_command_uses_no_number_and_leaves_nothing_behind() {
    let mut channel = running(10);
    let mut out = Vec::new();
    let empty = Exec { argv: Vec::new(), ..exec(1) };
    assert_eq!(channel.exec(&empty, &mut out), Err(BadExec::Empty));
    assert_eq!((out.len(), channel.running()), (0, 1));
    assert_eq!(channel.exec(&exec(1), &mut out), Ok(2));
}

proptest! {
    /// A guest that says anything at all, in pieces of any size, never has more kept than granted.
    #[test]
    fn a_hostile_guest(
        frames in proptest::collection::vec((0u8..14, 0u32..4, proptest::collection::vec(any::<u8>(), 0..20)), 0..40),
        noise in proptest::collection::vec(any::<u8>(), 0..30),
        chunk in 1usize..60,
    ) {
        let mut channel = running(64);
        let stream: Vec<u8> = frames.iter().flat_map(|(kind, id, payload)| guest(*kind, *id, payload)).chain(noise).collect();
        let mut events = Vec::new();
        for bytes in stream.chunks(chunk) {
            if channel.receive(bytes, &mut events).is_err() {
                break;
            }
        }
        let mut kept = 0;
        for event in &events {
            match event {
                Event::Output(id, _, bytes) => {
                    prop_assert_eq!(*id, 1);
                    kept += bytes.len();
                }
                Event::Taken(_, count) => prop_assert_eq!(*count, 0),
                Event::Exited(id, _) | Event::Failed(id, _) => prop_assert_eq!(*id, 1),
                Event::Ready => prop_assert!(false, "ready twice"),
            }
        }
        prop_assert!(kept <= 64);
    }
}
