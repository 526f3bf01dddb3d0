//! One host's part in a deployment: carries out the effects that `step` orders, over SSH, and tells what
//! has happened.
//!
//! A connection that is lost is made again, as long as the supervisor waits: an activation may restart
//! the network. Orders are such that saying one twice does no harm, so the last is repeated.
//!
//! Invariant: whatever is ordered is answered by an event, in bounded time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::channel::{Channel, Said};
use super::copy;
use super::health;
use super::keys;
use super::local::LocalClosure;
use super::model::{Target, is_store_path};
use super::order::{Due, Order};
use super::probe::{self, in_time};
use super::record::HostRecord;
use super::ssh::{ConnectError, Link, Settings};
use super::standing::{FRESH, Standing, standing};
use super::words::{Effect, Event, Goal};
use crate::error::{Error, Result};
use crate::nix::Store;
use crate::secrets::{Carried, KEYS};

const START: &str = include_str!("sh/start.sh");
const SUPERVISE: &str = include_str!("sh/supervise.sh");

/// Between two tries to connect.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a host may take to start a supervisor.
const START_LIMIT: Duration = Duration::from_secs(120);
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
    /// What is put on the host with the new system.
    pub secrets: Vec<Carried>,
    pub token: String,
    /// The system that the plan was made for.
    pub expected: String,
    /// What it would have booted then.
    pub profile: Option<String>,
    pub closure: Arc<LocalClosure>,
    /// Paths that the host has in any case.
    pub present: BTreeSet<String>,
    pub record: HostRecord,
    /// What the host remembered before.
    pub previous: Option<HostRecord>,
    /// How long the supervisor waits for a sign of us.
    pub patience: Duration,
    pub link: Option<Arc<Link>>,
    pub cancel: CancellationToken,
    pub tell: mpsc::Sender<(String, Heard)>,
}

/// The conversation with one attempt's supervisor.
#[derive(Default)]
struct Talk {
    token: String,
    channel: Option<Channel>,
    /// Lines that were seen.
    seen: usize,
    /// The last order, as long as it has not been answered.
    order: Option<Order>,
    /// The health checks that are under way.
    checking: Option<tokio::task::AbortHandle>,
    /// Whether the supervisor has said its last word.
    over: bool,
    /// Whether there was a supervisor.
    begun: bool,
}

impl Agent {
    /// Carries out orders until there are no more.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Effect>) {
        let mut talk = Talk { token: self.token.clone(), ..Talk::default() };
        loop {
            let due = talk.order.as_ref().map(Order::deadline);
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
                () = at(due) => self.unanswered(&mut talk).await,
            }
        }
        let Some(link) = &self.link else { return };
        if !talk.begun {
            // What it holds would be collected with the attempt's supervisor, and there was none.
            let _ = tokio::time::timeout(FRESH, copy::unroot(link, &self.token)).await;
        } else if !self.secrets.is_empty() {
            // Nothing is taken back any more, so nobody needs what was there before. What cannot be removed now goes
            // with the machine's next start, or with a deployment a day later.
            // What could not be put back stays where the supervisor has said that it is.
            let script =
                "[ \"$(cat \"/run/diorama/$1/state\")\" != released ] || rm -rf \"/run/diorama/$1/keys\"";
            let _ = tokio::time::timeout(FRESH, link.run(script, &[&self.token], &[])).await;
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
        if matches!(order, Effect::Abort | Effect::Recover)
            && let Some(checking) = talk.checking.take()
        {
            checking.abort();
        }
        match order {
            Effect::Copy => {
                let cancel = self.cancel.clone();
                let copied = tokio::select! {
                    copied = self.copy() => copied,
                    () = cancel.cancelled() => Err(Error::interrupted()),
                };
                let event = match copied {
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
                let secrets = self.secrets.clone();
                match self.start(talk, self.goal, &new, &expected, &record, &secrets).await {
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
            Effect::Check => self.check(talk).await,
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
        in_time(copy::root(&link, &self.token, &closure.paths)).await?;
        let system = self.target.toplevel.clone();
        let missing = in_time(probe::missing(&link, &system, &closure.paths, &self.present)).await?;
        let (tell, node) = (self.tell.clone(), self.node.clone());
        let mut each = |progress| {
            // Only the newest matters, so a full queue loses nothing.
            let _ = tell.try_send((node.clone(), Heard::Copy(progress)));
        };
        copy::send(&self.store, &link, &closure.paths, &missing, &mut each).await?;
        if missing.is_empty() {
            return Ok(());
        }
        let still = in_time(probe::missing(&link, &system, &closure.paths, &self.present)).await?;
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
        secrets: &[Carried],
    ) -> Result<()> {
        let link = self.link().await.map_err(|e| Error::new(e.to_string()))?;
        let mut input = serde_json::to_vec(record)?;
        input.push(b'\n');
        input.append(&mut keys::input(secrets));
        input.extend_from_slice(KEYS.as_bytes());
        input.extend_from_slice(SUPERVISE.as_bytes());
        let goal = match goal {
            Goal::Switch | Goal::DryActivate => "switch",
            Goal::Boot => "boot",
            Goal::Test => "test",
        };
        let patience = self.patience.as_secs().to_string();
        let args = [&talk.token, goal, new, expected, &patience, &self.network, &record.by];
        let answer = tokio::time::timeout(START_LIMIT, link.run(START, &args, &input))
            .await
            .map_err(|_| Error::new(format!("{}: it does not start a supervisor", link.address)))??;
        if !answer.ok() {
            let why = answer.err.lines().next_back().unwrap_or("the connection was lost").to_owned();
            return Err(Error::new(format!("{}: no supervisor: {why}", link.address)));
        }
        talk.begun = true;
        talk.channel = Some(Channel::open(&link, &talk.token, talk.seen, self.beat()).await?);
        // Its first word is waited for as an order's answer is.
        talk.order = Some(Order::new("", Instant::now()));
        Ok(())
    }

    async fn order(&mut self, talk: &mut Talk, order: &str) {
        talk.order = Some(Order::new(order, Instant::now()));
        talk.say_order().await;
    }

    /// An order's answer has not come in time.
    async fn unanswered(&mut self, talk: &mut Talk) {
        match talk.order.as_mut().and_then(|o| o.due(Instant::now())) {
            None => {}
            Some(Due::Repeat) => talk.say_order().await,
            Some(Due::Reconnect) => {
                talk.channel = None;
                self.regain(talk).await;
            }
            Some(Due::GiveUp(why)) => {
                talk.channel = None;
                talk.order = None;
                self.tell(Event::Lost(why)).await;
            }
        }
    }

    async fn hear(&mut self, said: Said, talk: &mut Talk) {
        talk.seen += 1;
        let (word, rest) = match said {
            Said::Line(line) => return self.say(Heard::Line(line)).await,
            Said::Event(word, rest) => (word, rest),
        };
        if talk.order.as_mut().is_some_and(|o| o.hears(&word)) {
            talk.order = None;
        }
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
            "absent" => return self.after_a_reboot(talk).await,
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

    /// There is no supervisor any more: the machine was started anew, with the old system unless it had
    /// been told to commit.
    async fn after_a_reboot(&mut self, talk: &mut Talk) {
        talk.over = true;
        talk.order = None;
        let old = self.expected.clone();
        let event = match self.standing(&talk.token).await {
            None => return self.tell(Event::Lost("the connection was lost".into())).await,
            Some(now) if now.current == old && self.profile.as_ref().is_none_or(|p| *p == now.profile) => {
                Event::Reverted
            }
            Some(_) => match self.restore(&old).await {
                Ok(()) => Event::Reverted,
                Err(e) => Event::RevertFailed(e.to_string()),
            },
        };
        // Its supervisor would have let go of it.
        if let Some(link) = &self.link {
            let _ = tokio::time::timeout(FRESH, copy::unroot(link, &talk.token)).await;
        }
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
            "released" => Some(self.verify(talk).await),
            "reverted" => Some(Event::Reverted),
            "revert-failed" => Some(Event::RevertFailed(format!("it runs {}", standing.current))),
            // It was told so in a word that was lost.
            "refused" => Some(Event::Refused("refused: somebody else deploys to it".into())),
            _ => return self.after_a_reboot(talk).await,
        };
        if let Some(event) = ended {
            talk.over = true;
            talk.order = None;
            return self.tell(event).await;
        }
        match Channel::open(&link, &talk.token, talk.seen, self.beat()).await {
            Ok(channel) => {
                talk.channel = Some(channel);
                if let Some(order) = &mut talk.order {
                    order.said_anew(Instant::now());
                }
                talk.say_order().await;
                // What was being checked over the old connection is checked over this one.
                if let Some(checking) = talk.checking.take().filter(|c| !c.is_finished()) {
                    checking.abort();
                    self.check(talk).await;
                }
            }
            Err(e) => self.tell(lost(e.to_string())).await,
        }
    }

    /// Proves over a fresh connection that the host can be reached with its new configuration.
    async fn acknowledge(&mut self, talk: &mut Talk) -> Result<()> {
        let link = self.fresh(FRESH.max(self.patience / 2)).await?;
        let now = standing(&link, &talk.token)
            .await
            .ok_or_else(|| Error::new("it does not answer over a fresh connection"))?;
        let channel = Channel::open(&link, &talk.token, talk.seen, self.beat()).await?;
        talk.channel = Some(channel);
        self.link = Some(link);
        self.order(talk, &format!("ack {}", now.nonce)).await;
        Ok(())
    }

    async fn check(&self, talk: &mut Talk) {
        let Some(link) = self.link.clone() else {
            return self.tell(Event::Unhealthy("health check: the connection was lost".into())).await;
        };
        let (checks, node, tell) = (self.target.health_checks.clone(), self.node.clone(), self.tell.clone());
        // In a task of its own, so that what the supervisor says meanwhile is heard.
        let task = tokio::spawn(async move {
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
        talk.checking = Some(task.abort_handle());
    }

    /// Finds out how a host stands that was lost.
    async fn recover(&mut self, talk: &mut Talk) {
        talk.channel = None;
        talk.order = Some(Order::new("abort now", Instant::now()));
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
        let limit = self.patience + GOING_BACK * 2;
        tokio::time::timeout(limit, self.restore_now(old))
            .await
            .unwrap_or_else(|_| Err(Error::new("it was not taken back in time")))
    }

    async fn restore_now(&mut self, old: &str) -> Result<()> {
        if self.link.is_none() {
            self.link = Some(self.fresh(self.patience).await?);
        }
        let mut record = self.previous.clone().unwrap_or_else(|| self.record.clone());
        record.toplevel = old.to_owned();
        let mut talk = Talk { token: format!("{}-back", self.token), ..Talk::default() };
        self.start(&mut talk, Goal::Switch, old, "any", &record, &[]).await?;
        loop {
            let due = talk.order.as_ref().map(Order::deadline);
            let said = tokio::select! {
                said = next(&mut talk.channel) => said,
                () = at(due) => match talk.order.as_mut().and_then(|o| o.due(Instant::now())) {
                    Some(Due::GiveUp(why)) => return Err(Error::new(why)),
                    Some(Due::Repeat | Due::Reconnect) => {
                        talk.say_order().await;
                        continue;
                    }
                    None => continue,
                },
            };
            let (word, rest) = match said {
                Some(Said::Event(word, rest)) => (word, rest),
                Some(Said::Line(line)) => {
                    talk.seen += 1;
                    self.say(Heard::Line(line)).await;
                    continue;
                }
                None => break,
            };
            talk.seen += 1;
            if talk.order.as_mut().is_some_and(|o| o.hears(&word)) {
                talk.order = None;
            }
            match word.as_str() {
                "locked" => self.order(&mut talk, "activate").await,
                "active" => self.acknowledge(&mut talk).await?,
                "acked" => self.order(&mut talk, "commit").await,
                "committed" => self.order(&mut talk, "release").await,
                "released" => {
                    return match self.standing(&talk.token).await {
                        Some(now) if now.current != old => {
                            Err(Error::new(format!("it runs {}", now.current)))
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

impl Talk {
    async fn say_order(&self) {
        if let (Some(channel), Some(order)) = (&self.channel, &self.order)
            && !order.text.is_empty()
        {
            channel.order(&order.text).await;
        }
    }
}

async fn next(channel: &mut Option<Channel>) -> Option<Said> {
    match channel {
        Some(channel) => channel.next().await,
        None => std::future::pending().await,
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
