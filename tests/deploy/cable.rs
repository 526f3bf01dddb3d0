//! The cable between the deployer and one host: a TCP relay that can be unplugged, and made slow.
//!
//! Unplugged, it is silent as a real one is: connections stay as they are, no byte passes and none is lost, and new
//! ones are not answered.
//!
//! Invariant: it listens on 127.0.0.1 alone.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

#[derive(Default)]
struct State {
    cut: bool,
    /// Bytes a second towards the host, when they are limited.
    speed: Option<u64>,
    /// Bytes that have gone towards the host.
    sent: u64,
    /// Both ends of every connection.
    ends: Vec<TcpStream>,
}

type Shared = Arc<(Mutex<State>, Condvar)>;

/// A relay, until the end of the test.
pub struct Cable {
    /// Where the deployer finds the host.
    pub port: u16,
    shared: Shared,
}

impl Cable {
    /// Lays a cable from one port of this machine to another.
    pub fn lay(own: u16, port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, own)).unwrap();
        let shared = Shared::default();
        let cable = Self { port: own, shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    wait_plugged(&shared);
                    let Ok(host) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return };
                    let ends = [client.try_clone().unwrap(), host.try_clone().unwrap()];
                    shared.0.lock().unwrap().ends.extend(ends);
                    let (from, to, back) =
                        (client.try_clone().unwrap(), host.try_clone().unwrap(), shared.clone());
                    std::thread::spawn(move || pump(from, to, &shared, true));
                    pump(host, client, &back, false);
                });
            }
        });
        cable
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.0.lock().unwrap());
        self.shared.1.notify_all();
    }

    /// Unplugs it.
    pub fn cut(&self) {
        self.change(|s| s.cut = true);
    }

    /// Ends every connection; new ones pass.
    pub fn snap(&self) {
        self.change(|s| {
            for end in s.ends.drain(..) {
                // It may have ended by itself.
                let _ = end.shutdown(Shutdown::Both);
            }
        });
    }

    /// Makes it whole and fast.
    pub fn heal(&self) {
        self.change(|s| (s.cut, s.speed) = (false, None));
    }

    /// Makes the way to the host slow.
    pub fn slow(&self, speed: u64) {
        self.change(|s| s.speed = Some(speed));
    }

    /// Bytes that have gone towards the host.
    pub fn sent(&self) -> u64 {
        self.shared.0.lock().unwrap().sent
    }

    /// Waits until so many more bytes have gone towards the host.
    pub fn wait_sent(&self, more: u64, limit: Duration) {
        let end = Instant::now() + limit;
        let want = self.sent() + more;
        let mut state = self.shared.0.lock().unwrap();
        while state.sent < want {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no bytes travel");
            state = self.shared.1.wait_timeout(state, left).unwrap().0;
        }
    }
}

fn wait_plugged(shared: &Shared) {
    let mut state = shared.0.lock().unwrap();
    while state.cut {
        state = shared.1.wait(state).unwrap();
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, shared: &Shared, towards: bool) {
    let mut buffer = [0; 16 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        wait_plugged(shared);
        if to.write_all(&buffer[..n]).is_err() {
            break;
        }
        if towards {
            let mut state = shared.0.lock().unwrap();
            state.sent += n as u64;
            shared.1.notify_all();
            // A limit is kept by the clock; whoever heals the cable ends the wait.
            let end = Instant::now()
                + state.speed.map_or(Duration::ZERO, |s| Duration::from_secs_f64(n as f64 / s as f64));
            while state.speed.is_some() && Instant::now() < end {
                state =
                    shared.1.wait_timeout(state, end.saturating_duration_since(Instant::now())).unwrap().0;
            }
        }
    }
    wait_plugged(shared);
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
