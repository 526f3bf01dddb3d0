//! Carrying a deployment through: asking all hosts, then events to `step` and its effects to the agents.
//!
//! Invariant: the state has one owner, the loop in [`Deploy::run`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::agent::{Agent, Heard};
use super::local;
use super::model::{Deployment, levels};
use super::plan::{Plan, Status};
use super::probe::{self, Found};
use super::record::HostRecord;
use super::ssh::{Link, Settings};
use super::step::{Setup, State};
use super::survey::Survey;
use super::token::token;
use super::words::{Effect, Goal, Outcome, Phase, Strategy};
use crate::error::{Error, Result, ResultExt};
use crate::nix::Store;
use crate::secrets::Secrets;

/// How a deployment is done.
#[derive(Debug, Clone)]
pub struct Options {
    /// What is wanted.
    pub goal: Goal,
    /// In which order, and what a failure means.
    pub strategy: Strategy,
    /// Whether failed units are accepted.
    pub accept_failed_units: bool,
    /// Hosts that copy at once.
    pub max_copy: usize,
    /// Hosts that activate at once.
    pub max_activate: usize,
    /// How long a host waits for a sign of us before it goes back.
    pub patience: Duration,
    /// Who deploys.
    pub by: String,
    /// The generation's number.
    pub number: u64,
    /// When it begins, in seconds since 1970.
    pub time: u64,
}

/// What a deployment tells while it is under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Happening {
    /// A host has come to a phase.
    Phase {
        /// The host.
        host: String,
        /// The phase.
        phase: Phase,
    },
    /// Bytes were copied.
    Copy {
        /// The host.
        host: String,
        /// Bytes so far.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// What the activation printed.
    Said {
        /// The host.
        host: String,
        /// One line.
        line: String,
    },
    /// A reboot is due.
    Reboot {
        /// The host.
        host: String,
    },
    /// Everything is taken back.
    Failing {
        /// Why.
        why: String,
    },
}

/// A deployment that can be carried through.
pub struct Deploy {
    /// How it is done.
    pub options: Options,
    /// What is deployed.
    pub deployment: Deployment,
    /// How the hosts are reached.
    pub settings: Arc<Settings>,
    /// This machine's store.
    pub store: Store,
    /// What is put on the hosts beside their systems.
    pub secrets: Arc<Secrets>,
}

struct Worker {
    orders: mpsc::Sender<Effect>,
    cancel: CancellationToken,
}

impl Deploy {
    /// Carries it through on every host of the plan that is to be changed. `stop` asks to take it back.
    ///
    /// # Errors
    /// When the person has asked twice to stop, and does not wait for the hosts to go back.
    pub async fn run(
        &self,
        plan: &Plan,
        survey: Survey,
        stop: &mut mpsc::Receiver<()>,
        tell: &mut (dyn FnMut(&Happening) + Send),
    ) -> Result<BTreeMap<String, Outcome>> {
        let changing: BTreeSet<String> =
            plan.hosts.iter().filter(|(_, h)| h.status == Status::Changes).map(|(n, _)| n.clone()).collect();
        let mut outcomes: BTreeMap<String, Outcome> = plan
            .hosts
            .iter()
            .filter_map(|(n, h)| match &h.status {
                Status::Changes => None,
                Status::Unchanged => Some((n.clone(), Outcome::Unchanged)),
                other => {
                    Some((n.clone(), Outcome::Untouched(other.obstacle().unwrap_or_default().to_owned())))
                }
            })
            .collect();
        let mut state = State::new(
            Setup {
                goal: self.options.goal,
                best_effort: self.options.strategy == Strategy::BestEffort,
                accept_failed_units: self.options.accept_failed_units,
                max_copy: self.options.max_copy.max(1),
                max_activate: self.options.max_activate.max(1),
            },
            self.groups(&changing)?,
        );
        let (heard_tell, mut heard) = mpsc::channel(1024);
        let mut agents = JoinSet::new();
        let workers = self.start_agents(&changing, survey, &heard_tell, &mut agents)?;
        drop(heard_tell);
        let mut failing = false;
        let mut stops = 0;
        let mut effects = state.begin();
        loop {
            for (host, phase) in state.passed() {
                tell(&Happening::Phase { host, phase });
            }
            for (host, effect) in std::mem::take(&mut effects) {
                if let Some(worker) = workers.get(&host) {
                    if effect == Effect::Cancel {
                        worker.cancel.cancel();
                    }
                    // An agent that has ended has told its last event before.
                    let _ = worker.orders.send(effect).await;
                }
            }
            if !failing && let Some(why) = state.failing() {
                failing = true;
                tell(&Happening::Failing { why: why.to_owned() });
            }
            if state.finished() {
                break;
            }
            tokio::select! {
                one = heard.recv() => match one {
                    Some((host, Heard::Event(event))) => effects = state.step(&host, event),
                    Some((host, Heard::Copy(p))) => tell(&Happening::Copy { host, done: p.done, total: p.total }),
                    Some((host, Heard::Line(line))) => tell(&Happening::Said { host, line }),
                    Some((host, Heard::Reboot)) => tell(&Happening::Reboot { host }),
                    None => return Err(Error::new("every task of the deployment has ended before it was over")),
                },
                Some(()) = stop.recv() => {
                    stops += 1;
                    if stops > 1 {
                        return Err(Error::interrupted().hint(format!(
                            "hosts that were begun go back by themselves in {} seconds",
                            self.options.patience.as_secs()
                        )));
                    }
                    effects = state.interrupt();
                }
            }
        }
        drop(workers);
        while agents.join_next().await.is_some() {}
        outcomes.extend(state.outcomes());
        Ok(outcomes)
    }

    /// Starts hosts anew, all at once, and waits until each is back with the system it shall run.
    ///
    /// # Errors
    /// Names the hosts that did not come back as they should.
    pub async fn reboot(&self, hosts: &BTreeSet<String>, limit: Duration) -> Result<()> {
        let mut tasks = JoinSet::new();
        for (node, target) in self.deployment.nodes.iter().filter(|(n, _)| hosts.contains(*n)) {
            let (node, target, settings) = (node.clone(), target.clone(), Arc::clone(&self.settings));
            let network = self.deployment.network.name.clone();
            tasks.spawn(async move { reboot(&target, &settings, &network, limit).await.doing(node) });
        }
        let mut failed = Vec::new();
        while let Some(done) = tasks.join_next().await {
            if let Err(e) = done.map_err(|e| Error::new(e.to_string())).and_then(|r| r) {
                failed.push(e.to_string());
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(Error::new(failed.join("; "))) }
    }

    /// Every host's group, and the hosts that come before it.
    fn groups(&self, changing: &BTreeSet<String>) -> Result<BTreeMap<String, (usize, Vec<String>)>> {
        let order = levels(&self.deployment, changing)
            .map_err(|circle| Error::new(format!("{} wait for each other", circle.join(", "))))?;
        let canary =
            |n: &str| self.deployment.nodes.get(n).is_some_and(|t| t.tags.iter().any(|t| t == "canary"));
        if self.options.strategy == Strategy::Canary && !changing.iter().any(|n| canary(n)) {
            return Err(Error::usage("no host that changes has the tag \"canary\"")
                .hint("give one deployment.tags = [ \"canary\" ], or choose another --strategy"));
        }
        let mut out = BTreeMap::new();
        for (at, node) in order.into_iter().flatten().enumerate() {
            let group = match self.options.strategy {
                Strategy::Atomic | Strategy::BestEffort => 0,
                Strategy::Rolling => at,
                Strategy::Canary => usize::from(!canary(&node)),
            };
            let mut after = self.deployment.nodes.get(&node).map(|t| t.after.clone()).unwrap_or_default();
            // A canary does not wait for those that come later by definition.
            if self.options.strategy == Strategy::Canary && group == 0 {
                after.retain(|a| canary(a));
            }
            out.insert(node, (group, after));
        }
        Ok(out)
    }

    fn start_agents(
        &self,
        changing: &BTreeSet<String>,
        mut survey: Survey,
        tell: &mpsc::Sender<(String, Heard)>,
        agents: &mut JoinSet<()>,
    ) -> Result<BTreeMap<String, Worker>> {
        let mut workers = BTreeMap::new();
        for node in changing {
            let (Some(target), Some(Found::Host(probe))) =
                (self.deployment.nodes.get(node), survey.found.get(node))
            else {
                continue;
            };
            let token = token().doing("a token for the attempt")?;
            let cancel = CancellationToken::new();
            let record = HostRecord {
                number: self.options.number,
                time: self.options.time,
                by: self.options.by.clone(),
                toplevel: target.toplevel.clone(),
                token: token.clone(),
            };
            let agent = Agent {
                node: node.clone(),
                target: target.clone(),
                settings: Arc::clone(&self.settings),
                store: self.store.clone(),
                network: self.deployment.network.name.clone(),
                goal: self.options.goal,
                secrets: self.secrets.of(node).to_vec(),
                token,
                expected: probe.current.clone().unwrap_or_default(),
                profile: probe.profile.clone(),
                closure: Arc::new(survey.closures.get(node).cloned().unwrap_or_default()),
                present: probe.closure.iter().flatten().cloned().collect(),
                record,
                previous: probe.record.clone(),
                patience: self.options.patience,
                link: survey.links.remove(node),
                cancel: cancel.clone(),
                tell: tell.clone(),
            };
            let (orders, given) = mpsc::channel(16);
            agents.spawn(agent.run(given));
            workers.insert(node.clone(), Worker { orders, cancel });
        }
        Ok(workers)
    }
}

async fn reboot(
    target: &super::model::Target,
    settings: &Arc<Settings>,
    network: &str,
    limit: Duration,
) -> Result<()> {
    let no_way = |e: super::ssh::ConnectError| Error::new(e.to_string());
    let link = Link::open(target, settings).await.map_err(no_way)?;
    let before = probe::ask(&link, network).await?.boot;
    link.run("PATH=$PATH:/run/current-system/sw/bin; systemctl reboot", &[], &[]).await?;
    drop(link);
    let end = tokio::time::Instant::now() + limit;
    let mut why = "it did not come back in time".to_owned();
    while tokio::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let link = match Link::open(target, settings).await {
            Ok(link) => link,
            Err(e) => {
                why = e.to_string();
                continue;
            }
        };
        let Ok(probe) = probe::ask(&link, network).await else { continue };
        if probe.boot == before {
            continue;
        }
        return match probe.current {
            Some(current) if current == target.toplevel => Ok(()),
            other => Err(Error::new(format!("it booted {}", other.unwrap_or_else(|| "no system".into())))),
        };
    }
    Err(Error::new(why))
}

/// Keeps a generation's systems in this machine's store.
///
/// # Errors
/// When a link cannot be made.
pub async fn keep(
    store: &Store,
    records: &super::record::Records,
    number: u64,
    deployment: &Deployment,
    nodes: impl IntoIterator<Item = &String>,
) -> Result<()> {
    for node in nodes {
        let Some(target) = deployment.nodes.get(node) else { continue };
        let link = records.root(number, node);
        if let Some(dir) = link.parent() {
            std::fs::create_dir_all(dir).doing(dir.display())?;
        }
        local::root(store, &link, &target.toplevel).await?;
    }
    Ok(())
}
