//! One host's part in a deployment: carries out the effects that `step` orders, over SSH, and tells what
//! has happened.
//!
//! A connection that is lost is made again, as long as the supervisor waits: an activation may restart
//! the network. Orders are such that saying one twice does no harm, so the last is repeated.
//!
//! Invariant: whatever is ordered is answered by an event, in bounded time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::channel::{Channel, Said};
use super::copy;
use super::health;
use super::local::LocalClosure;
use super::model::{Target, is_store_path};
use super::probe;
use super::record::HostRecord;
use super::ssh::{ConnectError, Link, Settings};
use super::step::{Effect, Event, Goal};
use crate::error::{Error, Result};
use crate::nix::Store;

const START: &str = include_str!("sh/start.sh");
const SUPERVISE: &str = include_str!("sh/supervise.sh");
const STATE: &str = include_str!("sh/state.sh");

/// Between two tries to connect.
const PAUSE: Duration = Duration::from_secs(1);
/// How long an acknowledgement's fresh connection may take.
const FRESH: Duration = Duration::from_secs(30);
/// How long a host may take to go back by itself after its patience is over, before it counts as lost.
const GOING_BACK: Duration = Duration::from_secs(120);

/// What is heard of a host.
#[derive(Debug)]
pub(super) enum Heard {
    /// Something has happened.
    Event(Event),
    /// Bytes were copied.
    Copy(copy::Progress),
    /// A line of the activation's output.
    Line(String),
    /// A reboot is due.
    Reboot,
}

/// What an agent knows.
#[derive(Debug)]
pub(super) struct Agent {
    pub node: String,
    pub target: Target,
    pub settings: Arc<Settings>,
    pub store: Store,
    pub network: String,
    pub goal: Goal,
    pub token: String,
    /// The system that the plan was made for.
    pub expected: String,
    pub closure: Arc<LocalClosure>,
    pub record: HostRecord,
    /// What the host remembered before.
    pub previous: Option<HostRecord>,
    /// How long the supervisor waits for a sign of us.
    pub patience: Duration,
    pub link: Option<Arc<Link>>,
    pub cancel: CancellationToken,
    pub tell: mpsc::Sender<(String, Heard)>,
}

/// A host's answer about an attempt.
#[derive(Debug, Default)]
struct Standing {
    alive: bool,
    state: String,
    nonce: String,
    current: String,
    profile: String,
}

/// The conversation with one attempt's supervisor.
struct Talk {
    token: String,
    channel: Option<Channel>,
    /// Lines that were seen.
    seen: usize,
    /// The last order, repeated after a reconnection.
    last: Option<String>,
    /// Whether the supervisor has said its last word.
    over: bool,
    /// Whether there was a supervisor.
    begun: bool,
}

impl Agent {
    /// Carries out orders until there are no more.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Effect>) {
        let mut talk =
            Talk { token: self.token.clone(), channel: None, seen: 0, last: None, over: false, begun: false };
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.perform(order, &mut talk).await,
                    None => break,
                },
                said = next(&mut talk.channel) => match said {
                    Some(said) => self.hear(said, &mut talk).await,
                    None => {
                        talk.channel = None;
                        if !talk.over {
                            self.regain(&mut talk).await;
                        }
                    }
                },
            }
        }
        if !talk.begun
            && let Some(link) = &self.link
        {
            // What it holds would be collected with the attempt's supervisor, and there was none.
            let _ = tokio::time::timeout(FRESH, copy::unroot(link, &self.token)).await;
        }
    }

    async fn tell(&self, event: Event) {
        self.say(Heard::Event(event)).await;
    }

    async fn say(&self, heard: Heard) {
        // Nobody listens any more when the person has left: the supervisor goes back by itself.
        let _ = self.tell.send((self.node.clone(), heard)).await;
    }

    fn beat(&self) -> Duration {
        (self.patience / 8).clamp(Duration::from_millis(500), Duration::from_secs(5))
    }

    async fn perform(&mut self, order: Effect, talk: &mut Talk) {
        match order {
            Effect::Copy => {
                let event = match self.copy().await {
                    Ok(()) => Event::Copied,
                    Err(e) => Event::Failed(e.to_string()),
                };
                self.tell(event).await;
            }
            // The driver cancels the token.
            Effect::Cancel => {}
            Effect::Lock => {
                let record = self.record.clone();
                let (new, expected) = (self.target.toplevel.clone(), self.expected.clone());
                match self.start(talk, self.goal, &new, &expected, &record).await {
                    Ok(()) => {}
                    Err(e) => self.tell(Event::Failed(e.to_string())).await,
                }
            }
            Effect::Activate => self.order(talk, "activate").await,
            Effect::Acknowledge => {
                if let Err(e) = self.acknowledge(talk).await {
                    self.tell(Event::Unhealthy(e.to_string())).await;
                }
            }
            Effect::Check => self.check(),
            Effect::Commit => self.order(talk, "commit").await,
            Effect::Release => self.order(talk, "release").await,
            Effect::Abort => {
                if talk.begun {
                    self.order(talk, "abort").await;
                } else {
                    self.tell(Event::Reverted).await;
                }
            }
            Effect::Recover => self.recover(talk).await,
            Effect::Restore => {
                let old = self.expected.clone();
                let event = match self.restore(&old).await {
                    Ok(()) => Event::Reverted,
                    Err(e) => Event::RevertFailed(e.to_string()),
                };
                self.tell(event).await;
            }
        }
    }

    /// The connection, made when there is none.
    async fn link(&mut self) -> Result<Arc<Link>, ConnectError> {
        if let Some(link) = &self.link {
            return Ok(Arc::clone(link));
        }
        let link = Arc::new(Link::open(&self.target, &self.settings).await?);
        self.link = Some(Arc::clone(&link));
        Ok(link)
    }

    /// A connection made now.
    async fn fresh(&mut self, limit: Duration) -> Result<Arc<Link>> {
        let end = Instant::now() + limit;
        loop {
            let failed = match tokio::time::timeout_at(end, Link::open(&self.target, &self.settings)).await {
                Ok(Ok(link)) => return Ok(Arc::new(link)),
                Ok(Err(e)) => e.to_string(),
                Err(_) => "it does not answer".into(),
            };
            if Instant::now() + PAUSE >= end {
                return Err(Error::new(failed));
            }
            sleep(PAUSE).await;
        }
    }

    async fn copy(&mut self) -> Result<()> {
        let link = self.link().await.map_err(|e| Error::new(e.to_string()))?;
        let closure = Arc::clone(&self.closure);
        copy::root(&link, &self.token, &closure.paths).await?;
        let missing = probe::missing(&link, &closure.paths).await?;
        let (tell, node) = (self.tell.clone(), self.node.clone());
        let mut each = |progress| {
            // Only the newest matters, so a full queue loses nothing.
            let _ = tell.try_send((node.clone(), Heard::Copy(progress)));
        };
        copy::send(&self.store, &link, &closure.paths, &missing, &self.cancel, &mut each).await?;
        if missing.is_empty() {
            return Ok(());
        }
        let still = probe::missing(&link, &closure.paths).await?;
        match still.first() {
            None => Ok(()),
            Some(path) => Err(Error::new(format!("{}: {path} did not arrive", link.address))),
        }
    }

    /// Starts a supervisor and the conversation with it.
    async fn start(
        &mut self,
        talk: &mut Talk,
        goal: Goal,
        new: &str,
        expected: &str,
        record: &HostRecord,
    ) -> Result<()> {
        let link = self.link().await.map_err(|e| Error::new(e.to_string()))?;
        let mut input = serde_json::to_string(record)?;
        input.push('\n');
        input.push_str(SUPERVISE);
        let goal = match goal {
            Goal::Switch | Goal::DryActivate => "switch",
            Goal::Boot => "boot",
            Goal::Test => "test",
        };
        let patience = self.patience.as_secs().to_string();
        let args = [&talk.token, goal, new, expected, &patience, &self.network, &record.by];
        let answer = link.run(START, &args, input.as_bytes()).await?;
        if !answer.ok() {
            let why = answer.err.lines().next_back().unwrap_or("the connection was lost").to_owned();
            return Err(Error::new(format!("{}: no supervisor: {why}", link.address)));
        }
        talk.begun = true;
        talk.channel = Some(Channel::open(&link, &talk.token, talk.seen, self.beat()).await?);
        Ok(())
    }

    async fn order(&mut self, talk: &mut Talk, order: &str) {
        talk.last = Some(order.to_owned());
        if let Some(channel) = &talk.channel {
            channel.order(order).await;
        }
    }

    async fn hear(&mut self, said: Said, talk: &mut Talk) {
        talk.seen += 1;
        let (word, rest) = match said {
            Said::Line(line) => return self.say(Heard::Line(line)).await,
            Said::Event(word, rest) => (word, rest),
        };
        let event = match word.as_str() {
            "locked" => {
                if is_store_path(&rest) {
                    self.expected = rest;
                }
                Event::Locked
            }
            "refused" => Event::Refused(format!("refused: {rest}")),
            "active" => {
                if rest == "100" {
                    self.say(Heard::Reboot).await;
                }
                Event::Activated { failed_units: rest == "4" }
            }
            "acked" => Event::Acked,
            "committed" => {
                if rest == "100" {
                    self.say(Heard::Reboot).await;
                }
                Event::Committed
            }
            "released" => self.verify(talk).await,
            "reverting" => Event::Reverting(rest),
            "reverted" => Event::Reverted,
            "revert-failed" => Event::RevertFailed(rest),
            "absent" => {
                talk.over = true;
                return self.after_a_reboot(&rest).await;
            }
            _ => return,
        };
        talk.over |=
            matches!(event, Event::Refused(_) | Event::Released | Event::Reverted | Event::RevertFailed(_));
        self.tell(event).await;
    }

    /// The supervisor says that the new system is kept: the host itself has the last word.
    async fn verify(&mut self, talk: &Talk) -> Event {
        let Some(standing) = self.standing(&talk.token).await else { return Event::Released };
        let new = &self.target.toplevel;
        if self.goal != Goal::Boot && standing.current != *new {
            return Event::RevertFailed(format!("it was let go, and runs {}", standing.current));
        }
        if self.goal != Goal::Test && standing.profile != *new {
            return Event::RevertFailed(format!("it was let go, and would boot {}", standing.profile));
        }
        Event::Released
    }

    /// How an attempt stands, over the present connection.
    async fn standing(&mut self, token: &str) -> Option<Standing> {
        let link = self.link.clone()?;
        standing(&link, token).await
    }

    /// There is no supervisor any more: the machine was started anew, with the old profile unless it
    /// had been told to commit.
    async fn after_a_reboot(&mut self, current: &str) {
        let event = if current == self.expected {
            Event::Reverted
        } else {
            let old = self.expected.clone();
            match self.restore(&old).await {
                Ok(()) => Event::Reverted,
                Err(e) => Event::RevertFailed(e.to_string()),
            }
        };
        self.tell(Event::Reverting("the machine was started anew".into())).await;
        self.tell(event).await;
    }

    /// The conversation broke off: takes it up again, as long as the supervisor waits.
    async fn regain(&mut self, talk: &mut Talk) {
        self.link = None;
        match self.fresh(self.patience).await {
            Ok(link) => self.take_up(talk, link).await,
            Err(e) => self.tell(Event::Lost(format!("the connection was lost: {e}"))).await,
        }
    }

    /// Takes up the conversation over a new connection, or tells how it has ended.
    async fn take_up(&mut self, talk: &mut Talk, link: Arc<Link>) {
        self.link = Some(Arc::clone(&link));
        let lost = |e: String| Event::Lost(format!("the connection was lost: {e}"));
        let Some(standing) = standing(&link, &talk.token).await else {
            self.link = None;
            return self.tell(lost("it does not answer".into())).await;
        };
        let ended = match standing.state.as_str() {
            _ if standing.alive => None,
            "released" => Some(Event::Released),
            "reverted" => Some(Event::Reverted),
            "revert-failed" => Some(Event::RevertFailed(format!("it runs {}", standing.current))),
            _ => {
                talk.over = true;
                return self.after_a_reboot(&standing.current).await;
            }
        };
        if let Some(event) = ended {
            talk.over = true;
            return self.tell(event).await;
        }
        match Channel::open(&link, &talk.token, talk.seen, self.beat()).await {
            Ok(channel) => {
                if let Some(last) = &talk.last {
                    channel.order(last).await;
                }
                talk.channel = Some(channel);
            }
            Err(e) => self.tell(lost(e.to_string())).await,
        }
    }

    /// Proves over a fresh connection that the host can be reached with its new configuration.
    async fn acknowledge(&mut self, talk: &mut Talk) -> Result<()> {
        let link = self.fresh(FRESH.max(self.patience / 2)).await?;
        let standing = standing(&link, &talk.token)
            .await
            .ok_or_else(|| Error::new("it does not answer over a fresh connection"))?;
        let channel = Channel::open(&link, &talk.token, talk.seen, self.beat()).await?;
        talk.channel = Some(channel);
        self.link = Some(link);
        self.order(talk, &format!("ack {}", standing.nonce)).await;
        Ok(())
    }

    fn check(&self) {
        let Some(link) = self.link.clone() else { return };
        let (checks, node, tell) = (self.target.health_checks.clone(), self.node.clone(), self.tell.clone());
        // In a task of its own, so that what the supervisor says meanwhile is heard.
        tokio::spawn(async move {
            let mut event = Event::Healthy;
            for check in &checks {
                if let Err(why) = health::check(&link, check).await {
                    event = Event::Unhealthy(format!("health check: {why}"));
                    break;
                }
            }
            // Nobody listens any more when the person has left.
            let _ = tell.send((node, Heard::Event(event))).await;
        });
    }

    /// Finds out how a host stands that was lost.
    async fn recover(&mut self, talk: &mut Talk) {
        talk.channel = None;
        talk.last = Some("abort".into());
        match self.fresh(self.patience + GOING_BACK).await {
            Ok(link) => self.take_up(talk, link).await,
            Err(e) => {
                let seconds = self.patience.as_secs();
                let why =
                    format!("{e}; it goes back by itself {seconds} seconds after it heard the last of us");
                self.tell(Event::Unreachable(why)).await;
            }
        }
    }

    /// Brings back the old system, as a deployment of its own.
    async fn restore(&mut self, old: &str) -> Result<()> {
        if self.link.is_none() {
            self.link = Some(self.fresh(self.patience).await?);
        }
        let mut record = self.previous.clone().unwrap_or_else(|| self.record.clone());
        record.toplevel = old.to_owned();
        let mut talk = Talk {
            token: format!("{}-back", self.token),
            channel: None,
            seen: 0,
            last: None,
            over: false,
            begun: false,
        };
        self.start(&mut talk, Goal::Switch, old, "any", &record).await?;
        while let Some(said) = next_bounded(&mut talk.channel, self.patience + GOING_BACK).await {
            talk.seen += 1;
            let (word, rest) = match said {
                Said::Line(line) => {
                    self.say(Heard::Line(line)).await;
                    continue;
                }
                Said::Event(word, rest) => (word, rest),
            };
            match word.as_str() {
                "locked" => self.order(&mut talk, "activate").await,
                "active" => self.acknowledge(&mut talk).await?,
                "acked" => self.order(&mut talk, "commit").await,
                "committed" => self.order(&mut talk, "release").await,
                "released" => {
                    return match self.standing(&talk.token).await {
                        Some(standing) if standing.current != old => {
                            Err(Error::new(format!("it runs {}", standing.current)))
                        }
                        _ => Ok(()),
                    };
                }
                "refused" | "reverting" => return Err(Error::new(rest)),
                _ => {}
            }
        }
        Err(Error::new("the connection was lost while it was taken back"))
    }
}

async fn next(channel: &mut Option<Channel>) -> Option<Said> {
    match channel {
        Some(channel) => channel.next().await,
        None => std::future::pending().await,
    }
}

async fn next_bounded(channel: &mut Option<Channel>, limit: Duration) -> Option<Said> {
    tokio::time::timeout(limit, next(channel)).await.ok().flatten()
}

async fn standing(link: &Link, token: &str) -> Option<Standing> {
    let answer = tokio::time::timeout(FRESH, link.run(STATE, &[token], &[])).await.ok()?.ok()?;
    if !answer.ok() {
        return None;
    }
    let mut out = Standing::default();
    for line in answer.text().lines() {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        let value = crate::error::printable(value);
        match key {
            "unit" => {
                out.alive = matches!(value.as_str(), "active" | "activating" | "deactivating" | "reloading")
            }
            "state" => out.state = value,
            "nonce" => out.nonce = value,
            "current" => out.current = value,
            "profile" => out.profile = value,
            _ => {}
        }
    }
    Some(out)
}
