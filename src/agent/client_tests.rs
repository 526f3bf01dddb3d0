//! The client against the real agent, which runs on this machine behind a relay that stands for QEMU:
//! the guest's end stays while hosts come and go.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::process::{Child, Command, Stdio};

use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::super::codec::{BadExec, Size};
use super::super::command::DEFAULT_WINDOW;
use super::*;

/// How long a test waits for what must come; only a failing one waits so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// A guest with the real agent in it.
struct Guest {
    dir: tempfile::TempDir,
    /// The port as the agent has it.
    port: StdStream,
    agent: Child,
    relay: JoinHandle<()>,
}

impl Guest {
    /// Starts the agent; `None` on a machine without Perl.
    fn start() -> Option<Self> {
        let (ours, theirs) = StdStream::pair().unwrap();
        let agent = match agent(&theirs) {
            Ok(agent) => agent,
            Err(error) => {
                eprintln!("skipped: perl cannot be started: {error}");
                return None;
            }
        };
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("agent.sock")).unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut port = UnixStream::from_std(ours).unwrap();
        let relay = tokio::spawn(async move {
            while let Ok((mut host, _)) = listener.accept().await {
                relay(&mut host, &mut port).await;
            }
        });
        Some(Self { dir, port: theirs, agent, relay })
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("agent.sock")
    }

    /// Waits until the agent has ended, and starts another, as systemd does.
    async fn restart(&mut self) {
        while self.agent.try_wait().unwrap().is_none() {
            sleep(Duration::from_millis(10)).await;
        }
        self.agent = agent(&self.port).unwrap();
    }

    fn connect(&self) -> AgentClient {
        AgentClient::connect(&self.path())
    }
}

impl Guest {
    /// Ends the machine: nobody has the port any more.
    fn stop(&mut self) {
        self.agent.kill().unwrap();
        self.port.shutdown(std::net::Shutdown::Both).unwrap();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.relay.abort();
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}

/// Starts the real agent on a port.
fn agent(port: &StdStream) -> io::Result<Child> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/guest/agent.pl");
    let port = OwnedFd::from(port.try_clone()?);
    Command::new("perl").args([script, "fd:0"]).stdin(Stdio::from(port)).stderr(Stdio::null()).spawn()
}

/// Carries bytes until the host leaves. What the guest says to nobody stays in its socket.
async fn relay(host: &mut UnixStream, port: &mut UnixStream) {
    let (mut host_in, mut host_out) = host.split();
    let (mut port_in, mut port_out) = port.split();
    let up = async {
        let mut buffer = vec![0; 65_536];
        loop {
            match host_in.read(&mut buffer).await {
                Ok(count) if count > 0 && port_out.write_all(&buffer[..count]).await.is_ok() => {}
                _ => return,
            }
        }
    };
    let down = async {
        let mut buffer = vec![0; 65_536];
        loop {
            match port_in.read(&mut buffer).await {
                Ok(count) if count > 0 && host_out.write_all(&buffer[..count]).await.is_ok() => {}
                _ => return,
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

fn shell(script: &str) -> ExecRequest {
    ExecRequest::new(["sh", "-c", script])
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens in time")
}

async fn run(client: &AgentClient, request: ExecRequest) -> Result<(String, String, ExitStatus), ExecError> {
    let (stdout, stderr, status) = within(client.exec(request)).await?.collect().await?;
    Ok((String::from_utf8_lossy(&stdout).into_owned(), String::from_utf8_lossy(&stderr).into_owned(), status))
}

/// Runs a command until it says this: what was started or killed takes effect in its own time.
async fn says(client: &AgentClient, command: &str, what: &str) {
    within(async { while run(client, shell(command)).await.unwrap().0 != what {} }).await;
}

#[tokio::test]
async fn streams_status_and_environment_are_real() {
    let Some(guest) = Guest::start() else { return };
    let client = guest.connect();
    let mut request = shell("echo out $A; echo err >&2; exit 3");
    request.env = vec![(b"A".to_vec(), b"b=c d".to_vec())];
    let expected = ("out b=c d\n".to_owned(), "err\n".to_owned(), ExitStatus::Exited(3));
    assert_eq!(run(&client, request).await, Ok(expected));
    assert_eq!(*client.state().borrow(), AgentState::Ready);
    let error = run(&client, ExecRequest::new(["/no/such/program"])).await.unwrap_err();
    assert!(matches!(&error, ExecError::Start(why) if why.contains("/no/such/program")), "{error}");
    let error = run(&client, ExecRequest::new(["a\0b"])).await.unwrap_err();
    assert_eq!(error, ExecError::Request(BadExec::Nul));
    assert_eq!(run(&client, shell("kill -9 $$")).await.unwrap().2, ExitStatus::Killed(9));
}

#[tokio::test]
async fn commands_run_side_by_side() {
    let Some(guest) = Guest::start() else { return };
    let client = guest.connect();
    let runs = (0..20).map(|n| {
        let client = client.clone();
        tokio::spawn(
            async move { run(&client, shell(&format!("cat; seq {n} 2000 | tail -n 1; exit {n}"))).await },
        )
    });
    for (n, run) in runs.collect::<Vec<_>>().into_iter().enumerate() {
        let expected = ("2000\n".to_owned(), String::new(), ExitStatus::Exited(n as u8));
        assert_eq!(run.await.unwrap(), Ok(expected));
    }
}

#[tokio::test]
async fn a_flood_arrives_whole_while_a_stuck_consumer_stalls_only_itself() {
    let Some(guest) = Guest::start() else { return };
    let client = guest.connect();
    let stuck = within(client.exec(shell("yes"))).await.unwrap();
    let mut flood = within(client.exec(shell("head -c 104857600 /dev/zero"))).await.unwrap();
    let mut count = 0;
    while let Some(output) = within(flood.output.next()).await {
        assert!(output.bytes.iter().all(|byte| *byte == 0));
        count += output.bytes.len();
    }
    assert_eq!(within(flood.wait()).await, Ok(ExitStatus::Exited(0)));
    assert_eq!(count, 104_857_600);
    stuck.control.signal(15);
    let (stdout, _, status) = within(stuck.collect()).await.unwrap();
    assert_eq!(status, ExitStatus::Killed(15));
    assert!(stdout.len() >= DEFAULT_WINDOW as usize, "the window was filled: {}", stdout.len());
}

#[tokio::test]
async fn long_input_comes_back_as_it_was() {
    let Some(guest) = Guest::start() else { return };
    let client = guest.connect();
    let input: Vec<u8> = (0..10_485_760u32).map(|n| (n * 7 + n / 4096) as u8).collect();
    let (mut stdin, mut output, _, end) =
        within(client.exec(ExecRequest::new(["cat"]))).await.unwrap().split();
    let sent = input.clone();
    let writer = tokio::spawn(async move { stdin.write(&sent).await });
    let mut back = Vec::new();
    while let Some(piece) = within(output.next()).await {
        back.extend(piece.bytes);
    }
    assert!(writer.await.unwrap().is_ok());
    assert_eq!(within(end).await, Ok(ExitStatus::Exited(0)));
    assert!(back == input, "{} bytes came back of {}", back.len(), input.len());
}

#[tokio::test]
async fn input_waits_for_a_command_that_does_not_read_and_ends_with_it() {
    let Some(guest) = Guest::start() else { return };
    let client = guest.connect();
    let (mut stdin, _output, control, end) =
        within(client.exec(shell("exec sleep 1000"))).await.unwrap().split();
    // The pipe and the windows hold less than this, so that the write has to wait until the end.
    let writer = tokio::spawn(async move {
        let outcome = stdin.write(&vec![7; 2_000_000]).await;
        (stdin, outcome)
    });
    assert_eq!(run(&client, shell("exit 5")).await.unwrap().2, ExitStatus::Exited(5));
    assert!(!writer.is_finished());
    control.signal(15);
    assert_eq!(within(end).await, Ok(ExitStatus::Killed(15)));
    // Between the command's last breath and its end, the agent takes input and throws it away.
    let (mut stdin, outcome) = within(writer).await.unwrap();
    assert!(outcome.is_ok() || outcome.is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe));
    assert_eq!(stdin.write(b"more").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn output_that_nobody_wants_keeps_no_command_waiting() {
    let Some(guest) = Guest::start() else { return };
    let client = guest.connect();
    let (_stdin, mut output, _, end) =
        within(client.exec(shell("head -c 3000000 /dev/zero; exit 4"))).await.unwrap().split();
    assert!(within(output.next()).await.is_some());
    drop(output);
    assert_eq!(within(end).await, Ok(ExitStatus::Exited(4)));
}

#[tokio::test]
async fn a_command_that_nobody_waits_for_is_hung_up_on() {
    let Some(guest) = Guest::start() else { return };
    let client = guest.connect();
    let file = guest.dir.path().join("hung-up");
    let file = file.display();
    let trap = format!("trap 'echo $$ > {file}; exit' HUP; echo ready; while :; do sleep 0.05; done");
    let mut handle = within(client.exec(shell(&trap))).await.unwrap();
    assert!(within(handle.output.next()).await.is_some(), "the trap is set");
    drop(handle);
    let wait = format!("until test -s {file}; do sleep 0.05; done");
    assert_eq!(within(run(&client, shell(&wait))).await.unwrap().2, ExitStatus::Exited(0));
}

#[tokio::test]
async fn a_terminal_has_a_size_that_changes() {
    let Some(guest) = Guest::start() else { return };
    let client = guest.connect();
    let mut request = shell("stty size; read line; stty size; test -t 0 && echo terminal $line");
    request.pty = Some(Size { rows: 24, cols: 80 });
    let mut handle = within(client.exec(request)).await.unwrap();
    let mut screen = String::new();
    while !screen.contains("24 80") {
        screen += &String::from_utf8_lossy(&within(handle.output.next()).await.expect("the size").bytes);
    }
    handle.control.resize(Size { rows: 50, cols: 132 });
    handle.stdin.write(b"yes\n").await.unwrap();
    while let Some(output) = within(handle.output.next()).await {
        screen += &String::from_utf8_lossy(&output.bytes);
    }
    assert_eq!(within(handle.wait()).await, Ok(ExitStatus::Exited(0)));
    assert!(screen.contains("50 132") && screen.contains("terminal yes"), "{screen:?}");
}

#[tokio::test]
async fn a_host_that_dies_in_the_middle_is_followed_by_another() {
    let Some(guest) = Guest::start() else { return };
    // Half of a frame, then nothing more.
    let mut half = UnixStream::connect(guest.path()).await.unwrap();
    half.write_all(b"\0\0\xea\x60\x04\0\0\0\x01half of it").await.unwrap();
    drop(half);
    let client = guest.connect();
    assert_eq!(run(&client, shell("exit 6")).await.unwrap().2, ExitStatus::Exited(6));
    // Gone in the middle of a flood of output; what is left of it comes before the next HELLO.
    let flood = within(client.exec(shell("yes; exit 1"))).await.unwrap();
    let floods = "for s in $(grep -ls \"^PPid:[[:space:]]$PPID\\$\" /proc/[0-9]*/status); do \
                  tr '\\0' ' ' <${s%status}cmdline; echo; done 2>/dev/null | grep -c '^sh -c yes'";
    says(&client, floods, "1\n").await;
    drop((flood, client));
    let client = guest.connect();
    assert_eq!(run(&client, shell("exit 7")).await.unwrap().2, ExitStatus::Exited(7));
    // Commands of the host before are gone.
    says(&client, floods, "0\n").await;
    // A new conversation ends what runs in the old one.
    for _ in 0..10 {
        let mut old = within(client.exec(shell("sleep 1000"))).await.unwrap();
        client.resync();
        assert_eq!(run(&client, shell("exit 8")).await.unwrap().2, ExitStatus::Exited(8));
        assert!(matches!(within(old.wait()).await, Err(ExecError::Lost(_))));
    }
}

#[tokio::test]
async fn the_connection_lasts_as_long_as_a_client_or_a_command() {
    let Some(guest) = Guest::start() else { return };
    let client = guest.connect();
    let mut ended = within(client.exec(shell("exit 1"))).await.unwrap();
    assert_eq!(within(ended.wait()).await, Ok(ExitStatus::Exited(1)));
    let mut last = within(client.exec(shell("read line; exit $line"))).await.unwrap();
    drop(client);
    last.stdin.write(b"7\n").await.unwrap();
    assert_eq!(within(last.wait()).await, Ok(ExitStatus::Exited(7)));
    // Both handles are still here, and the relay, like QEMU, serves one connection at a time.
    assert_eq!(run(&guest.connect(), shell("exit 2")).await.unwrap().2, ExitStatus::Exited(2));
    drop((ended, last));
}

#[tokio::test]
async fn an_agent_that_was_started_anew_is_asked_again() {
    let Some(mut guest) = Guest::start() else { return };
    // Nonsense ends the agent, and with it go the bytes that it had read: the first question, too.
    let mut nonsense = UnixStream::connect(guest.path()).await.unwrap();
    nonsense.write_all(&[0; 64]).await.unwrap();
    drop(nonsense);
    let client = guest.connect();
    guest.restart().await;
    assert_eq!(run(&client, shell("exit 9")).await.unwrap().2, ExitStatus::Exited(9));
    // It ends by itself; QEMU tells the daemon, which asks for a new conversation.
    let mut old = within(client.exec(shell("sleep 1000"))).await.unwrap();
    guest.agent.kill().unwrap();
    guest.restart().await;
    client.resync();
    assert!(matches!(within(old.wait()).await, Err(ExecError::Lost(_))));
    assert_eq!(run(&client, shell("exit 10")).await.unwrap().2, ExitStatus::Exited(10));
}

#[tokio::test]
async fn the_end_of_the_machine_ends_its_commands() {
    let Some(mut guest) = Guest::start() else { return };
    let client = guest.connect();
    let mut handle = within(client.exec(shell("sleep 1000"))).await.unwrap();
    guest.stop();
    let error = within(handle.wait()).await.unwrap_err();
    assert!(error.to_string().contains("the machine has stopped"), "{error}");
    assert_eq!(within(handle.output.next()).await, None);
    assert_eq!(handle.stdin.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn a_guest_that_sends_too_much_loses_the_connection_and_may_try_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let client = AgentClient::connect(&path);
    for window in [10, 20] {
        let (mut guest, _) = within(listener.accept()).await.unwrap();
        let mut sync = [0; 25];
        within(guest.read_exact(&mut sync)).await.unwrap();
        guest.write_all(b"garbage from before").await.unwrap();
        guest.write_all(&[b"\0\0\0\x16\x02\0\0\0\0", &sync[9..], &[1]].concat()).await.unwrap();
        let request = ExecRequest { window, ..shell("true") };
        let mut handle = within(client.exec(request)).await.unwrap();
        let mut exec = [0; 9];
        within(guest.read_exact(&mut exec)).await.unwrap();
        let id = &exec[5..];
        guest.write_all(&[b"\0\0\0\x0c\x08", id, b"7 bytes"].concat()).await.unwrap();
        guest.write_all(&[b"\0\0\0\x15\x09", id, b"sixteen bytes..."].concat()).await.unwrap();
        assert_eq!(within(handle.output.next()).await.map(|output| output.bytes), Some(b"7 bytes".to_vec()));
        let error = within(handle.wait()).await.unwrap_err();
        assert!(
            error.to_string().contains(&format!("16 bytes of output where {} were granted", window - 7)),
            "{error}"
        );
    }
}

/// A machine whose console has a back door: a bash in a terminal of its own, as in NixOS's tests.
struct Console {
    dir: tempfile::TempDir,
    shell: Child,
    relay: JoinHandle<()>,
}

impl Console {
    /// Starts it; `None` where bash is missing. Without `perl`, the shell finds none.
    fn start(perl: bool) -> Option<Self> {
        let pty = nix::pty::openpty(None, None).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let terminal = nix::unistd::ttyname(&pty.slave).unwrap();
        let mut path = dir.path().as_os_str().to_owned();
        for tool in [
            "bash", "stty", "setsid", "dd", "cat", "tee", "env", "sh", "sleep", "head", "seq", "true", "wc",
            "printf",
        ] {
            let found = std::env::split_paths(&std::env::var_os("PATH").unwrap())
                .map(|d| d.join(tool))
                .find(|p| p.exists());
            std::os::unix::fs::symlink(found?, dir.path().join(tool)).unwrap();
        }
        if perl {
            path.push(":");
            path.push(std::env::var_os("PATH").unwrap());
        }
        let script = format!(
            "exec <{0} >{0}; stty raw -echo; echo Spawning backdoor root shell...; exec bash --norc {0}",
            terminal.display()
        );
        let shell = Command::new("setsid")
            .args(["bash", "-c", &script])
            .env("PATH", path)
            .stderr(Stdio::null())
            .spawn();
        let shell = shell.ok()?;
        let listener = UnixListener::bind(dir.path().join("agent.sock")).unwrap();
        let (ours, theirs) = StdStream::pair().unwrap();
        // The terminal's other end is read and written by threads, which end with it.
        let mut from_console = std::fs::File::from(pty.master.try_clone().unwrap());
        let mut to_console = std::fs::File::from(pty.master);
        let (mut one, mut other) = (theirs.try_clone().unwrap(), theirs);
        std::thread::spawn(move || {
            let _slave = pty.slave;
            let _ = std::io::copy(&mut other, &mut to_console);
        });
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from_console, &mut one);
        });
        ours.set_nonblocking(true).unwrap();
        let mut port = UnixStream::from_std(ours).unwrap();
        let relay = tokio::spawn(async move {
            while let Ok((mut host, _)) = listener.accept().await {
                relay(&mut host, &mut port).await;
            }
        });
        Some(Self { dir, shell, relay })
    }

    fn connect(&self) -> AgentClient {
        AgentClient::connect_backdoor(&self.dir.path().join("agent.sock"))
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.relay.abort();
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

#[tokio::test]
async fn a_back_door_runs_commands_whatever_is_behind_it() {
    for perl in [true, false] {
        let Some(console) = Console::start(perl) else { return };
        let client = console.connect();
        let mut request = shell("echo \"out $A\"; echo err >&2; printf rest >&2; exit 3");
        request.env.push((b"A".to_vec(), b"it's  b".to_vec()));
        let expected = ("out it's  b\n".to_owned(), "err\nrest".to_owned(), ExitStatus::Exited(3));
        assert_eq!(run(&client, request).await.unwrap(), expected, "perl {perl}");
        assert_eq!(run(&client, ExecRequest::new(["true"])).await.unwrap().2.code(), 0);

        // Input of any bytes, more than any buffer holds, comes back whole.
        let mut handle = within(client.exec(ExecRequest::new(["cat"]))).await.unwrap();
        let sent: Vec<u8> = (0..700_000_u32).map(|n| (n * 7 % 256) as u8).collect();
        let bytes = sent.clone();
        let (mut stdin, mut output, _control, end) =
            std::mem::replace(&mut handle, within(client.exec(shell("echo second"))).await.unwrap()).split();
        let feed = async move { stdin.write(&bytes).await.unwrap() };
        let take = async {
            let mut got = Vec::new();
            while let Some(piece) = output.next().await {
                got.extend(piece.bytes);
            }
            got
        };
        let ((), got) = within(async { tokio::join!(feed, take) }).await;
        assert!(got == sent, "perl {perl}: {} bytes of {}", got.len(), sent.len());
        assert_eq!(within(end).await.unwrap(), ExitStatus::Exited(0));
        let (second, _, _) = within(handle.collect()).await.unwrap();
        assert_eq!(second, b"second\n", "what was asked for meanwhile had its turn");

        // Much output for a slow reader; a command that is ended; one that reads nothing of its input.
        let (zeros, _, _) = run(&client, shell("head -c 3000000 /dev/zero")).await.unwrap();
        assert_eq!(zeros.len(), 3_000_000, "perl {perl}");
        let mut handle = within(client.exec(shell("echo begins; sleep 1000"))).await.unwrap();
        handle.stdin.write(&[b'z'; 100_000]).await.unwrap();
        assert_eq!(within(handle.output.next()).await.unwrap().bytes, b"begins\n");
        handle.control.signal(15);
        assert_eq!(within(handle.wait()).await.unwrap().code(), 143, "perl {perl}");
        assert_eq!(run(&client, shell("wc -c")).await.unwrap().0.trim(), "0");
    }
}

#[tokio::test]
async fn a_back_door_knows_the_next_host() {
    for perl in [true, false] {
        let Some(console) = Console::start(perl) else { return };
        let client = console.connect();
        let mut left = within(client.exec(shell("echo begins; sleep 1000"))).await.unwrap();
        assert_eq!(within(left.output.next()).await.unwrap().bytes, b"begins\n");
        client.resync();
        assert!(within(left.wait()).await.is_err(), "its conversation is over");
        let (out, _, status) = run(&client, shell("echo again")).await.unwrap();
        assert_eq!((out.as_str(), status.code()), ("again\n", 0), "perl {perl}");
    }
}
