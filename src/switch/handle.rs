//! How the rest of the program speaks to the switch: messages in, events and published counters out.
//!
//! Invariant: no call waits for the switch's thread, except those whose documentation says so.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::counters::Counters;
use super::engine::Engine;
use super::frame::Mac;
use super::policy::Policy;
use super::vde_dir::VdeDir;
use super::{Millis, PortId};

/// A port to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortConfig {
    /// The machine it belongs to.
    pub node: String,
    /// The machine's name for the interface.
    pub interface: String,
    /// The segment it is on.
    pub vlan: u16,
    /// How frames come and go.
    pub plug: Plug,
}

/// How a port's frames come and go.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plug {
    /// QEMU's `-netdev stream,server=on,addr.type=unix`; the switch connects, again and again.
    QemuStream {
        /// QEMU's socket.
        path: PathBuf,
    },
}

/// What happened to a port without anyone asking for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwitchEvent {
    /// The port reached its QEMU.
    Connected {
        /// The port.
        port: PortId,
    },
    /// The port lost its QEMU, and tries to reach it again.
    Disconnected {
        /// The port.
        port: PortId,
        /// For people.
        why: String,
    },
    /// The port could not be added, and does not exist.
    Refused {
        /// The port.
        port: PortId,
        /// For people.
        why: String,
    },
    /// A VDE plug joined a segment; the port exists until [`SwitchEvent::VdeLeft`].
    VdeJoined {
        /// The new port.
        port: PortId,
        /// The segment.
        vlan: u16,
        /// `vde:PID`, or what the plug says of itself.
        name: String,
    },
    /// A VDE plug's first frame came in: the address may tell whose it is.
    VdeHeard {
        /// The port.
        port: PortId,
        /// Where the frame came from.
        mac: Mac,
    },
    /// A VDE plug was pulled; the port is gone.
    VdeLeft {
        /// The port that was.
        port: PortId,
    },
    /// The switch ended by itself: no frame passes any more.
    Failed {
        /// For people.
        why: String,
    },
}

/// The switch's thread has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the switch has stopped")]
pub struct Stopped;

/// Starts switches.
#[derive(Debug)]
pub struct Switch;

impl Switch {
    /// Starts a switch without ports on a thread of its own. `events` is called on that thread and
    /// must not block: it puts the event into a channel.
    pub fn start(events: impl Fn(SwitchEvent) + Send + 'static) -> io::Result<SwitchHandle> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let (commands, inbox) = mpsc::channel();
        let shared = Arc::new(Shared {
            wake: EventFd::from_value_and_flags(0, flags)?,
            next_port: AtomicU32::new(1),
            published: Mutex::default(),
            started: Instant::now(),
        });
        let engine = Engine::new(Arc::clone(&shared), inbox, Box::new(events))?;
        let thread = std::thread::Builder::new().name("switch".to_owned()).spawn(move || engine.run())?;
        let thread = Mutex::new(Some(thread));
        Ok(SwitchHandle { inner: Arc::new(Inner { shared, commands, thread }) })
    }
}

/// A running switch. Clones speak to the same one; it stops when the last is dropped.
#[derive(Debug, Clone)]
pub struct SwitchHandle {
    inner: Arc<Inner>,
}

impl SwitchHandle {
    /// Adds a port, which connects as soon as its other end listens.
    pub fn add_port(&self, config: PortConfig) -> Result<PortId, Stopped> {
        let id = self.inner.shared.port_id();
        self.send(Command::AddPort { id, config })?;
        Ok(id)
    }

    /// Removes a port with its counters, its policies and what waits for it.
    pub fn remove_port(&self, port: PortId) -> Result<(), Stopped> {
        self.send(Command::RemovePort(port))
    }

    /// Calls a port by another name in reports: a VDE plug's address told whose it is.
    pub fn rename(&self, port: PortId, name: String) -> Result<(), Stopped> {
        self.send(Command::Rename(port, name))
    }

    /// Tries to connect a port at once instead of waiting for its next attempt.
    pub fn retry(&self, port: PortId) -> Result<(), Stopped> {
        self.send(Command::Retry(port))
    }

    /// Sets what happens to frames from one port to another. Ports that are gone are passed over:
    /// a VDE plug may leave at any moment.
    pub fn set_policy(&self, from: PortId, to: PortId, policy: Policy) -> Result<(), Stopped> {
        self.send(Command::SetPolicies(vec![(from, to, policy)]))
    }

    /// Sets several policies between two frames: no frame sees one of them without the others.
    pub fn set_policies(&self, policies: Vec<(PortId, PortId, Policy)>) -> Result<(), Stopped> {
        self.send(Command::SetPolicies(policies))
    }

    /// Sets the largest IP packet that a segment carries.
    pub fn set_mtu(&self, vlan: u16, mtu: u32) -> Result<(), Stopped> {
        self.send(Command::SetMtu { vlan, mtu })
    }

    /// Serves a VDE control directory, through which VDE plugs join a segment. Touches the file
    /// system before it returns.
    pub fn add_vde_dir(&self, vlan: u16, dir: &Path) -> io::Result<()> {
        let dir = VdeDir::bind(vlan, dir)?;
        self.send(Command::AddVdeDir(dir)).map_err(io::Error::other)
    }

    /// The counters as last published, a tenth of a second behind the frames at most.
    pub fn snapshot(&self) -> Arc<Counters> {
        Arc::clone(&self.inner.shared.published())
    }

    /// The counters of this moment, after all that was asked for before. Waits for the switch's
    /// thread, which takes a loop's turn; not for an async task.
    pub fn exact(&self) -> Result<Arc<Counters>, Stopped> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.send(Command::Report(reply))?;
        answer.recv().map_err(|_| Stopped)
    }

    /// This moment on the switch's clock, to compare with times in [`Counters`].
    pub fn now(&self) -> Millis {
        self.inner.shared.now()
    }

    /// Stops the switch, removes its sockets and waits for its thread, a loop's turn at most.
    pub fn shutdown(&self) {
        let _ = self.send(Command::Shutdown);
        let thread = self.inner.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of the thread was told to the daemon as an event.
            let _ = thread.join();
        }
    }

    fn send(&self, command: Command) -> Result<(), Stopped> {
        self.inner.commands.send(command).map_err(|_| Stopped)?;
        self.inner.shared.wake();
        Ok(())
    }
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Shutdown);
        self.shared.wake();
    }
}

/// What the handle and the thread both see.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) wake: EventFd,
    next_port: AtomicU32,
    published: Mutex<Arc<Counters>>,
    started: Instant,
}

impl Shared {
    /// A port number never used before.
    pub(super) fn port_id(&self) -> PortId {
        PortId(self.next_port.fetch_add(1, Ordering::Relaxed))
    }

    /// The time since the start.
    pub(super) fn now(&self) -> Millis {
        Millis(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Publishes counters; false when a reader is just copying the old ones, so that the switch
    /// never waits for it.
    pub(super) fn publish(&self, counters: &Arc<Counters>) -> bool {
        match self.published.try_lock() {
            Ok(mut published) => {
                *published = Arc::clone(counters);
                true
            }
            Err(_) => false,
        }
    }

    fn published(&self) -> MutexGuard<'_, Arc<Counters>> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // The counter saturates only after 2^64 calls, and a thread that ended needs no waking.
        let _ = self.wake.write(1);
    }
}

/// A message to the switch's thread.
#[derive(Debug)]
pub(super) enum Command {
    AddPort { id: PortId, config: PortConfig },
    RemovePort(PortId),
    Rename(PortId, String),
    Retry(PortId),
    SetPolicies(Vec<(PortId, PortId, Policy)>),
    SetMtu { vlan: u16, mtu: u32 },
    AddVdeDir(VdeDir),
    Report(mpsc::SyncSender<Arc<Counters>>),
    Shutdown,
}
