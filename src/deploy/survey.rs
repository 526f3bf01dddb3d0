//! Asking hosts: how they are, and what they lack of what they shall become.
//!
//! Invariant: reads only; what was asked is answered for every host, in bounded time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::local::{self, LocalClosure};
use super::model::{Deployment, Target};
use super::probe::{self, Found, Probe, in_time};
use super::ssh::{Link, Settings};
use super::token::token;
use super::{health, keys, remote};
use crate::error::{Error, Result, ResultExt};
use crate::nix::Store;
use crate::secrets::Secrets;

/// Hosts that are asked at once.
const ASKED: usize = 16;

/// What a network's hosts are asked about.
#[derive(Debug, Clone, Copy)]
pub struct Inquiry<'a> {
    /// The network.
    pub deployment: &'a Deployment,
    /// The hosts that are asked.
    pub selected: &'a BTreeSet<String>,
    /// The derivations of systems that their hosts are to build, and have not built yet.
    pub recipes: &'a BTreeMap<String, Vec<String>>,
    /// The ways to them.
    pub settings: &'a Arc<Settings>,
    /// This machine's store.
    pub store: &'a Store,
    /// What they shall have beside their systems.
    pub secrets: &'a Arc<Secrets>,
}

/// What was found of a network's hosts.
#[derive(Debug, Default)]
pub struct Survey {
    /// How each was found.
    pub found: BTreeMap<String, Found>,
    /// The systems' closures.
    pub closures: BTreeMap<String, LocalClosure>,
    pub(super) links: BTreeMap<String, Arc<Link>>,
}

/// What one host is asked.
struct Question {
    node: String,
    network: String,
    target: Target,
    recipe: Option<Vec<String>>,
    closure: Option<LocalClosure>,
    store: Store,
    secrets: Arc<Secrets>,
    salt: String,
}

impl Inquiry<'_> {
    /// Asks all hosts at once how they are.
    ///
    /// # Errors
    /// When a task of the program fails.
    pub async fn ask(&self) -> Result<Survey> {
        let mut out = Survey::default();
        let limit = Arc::new(Semaphore::new(ASKED));
        let mut asked = JoinSet::new();
        let mut known: BTreeMap<&str, Option<LocalClosure>> = BTreeMap::new();
        for (node, target) in self.deployment.nodes.iter().filter(|(n, _)| self.selected.contains(*n)) {
            let closure = match known.get(target.toplevel.as_str()) {
                Some(closure) => closure.clone(),
                // What an earlier generation needs may be on its host alone.
                None => local::closure_of(self.store, &target.toplevel).await.ok(),
            };
            known.insert(&target.toplevel, closure.clone());
            let question = Question {
                node: node.clone(),
                network: self.deployment.network.name.clone(),
                target: target.clone(),
                recipe: self.recipes.get(node).cloned(),
                closure,
                store: self.store.clone(),
                secrets: Arc::clone(self.secrets),
                salt: token().doing("a salt for the question about secrets")?,
            };
            let (settings, limit) = (Arc::clone(self.settings), Arc::clone(&limit));
            asked.spawn(async move {
                let _permit = limit.acquire().await;
                let node = question.node.clone();
                match Link::open(&question.target, &settings).await {
                    Ok(link) => match in_time(question.ask(&link)).await {
                        Ok((probe, closure)) => (node, Found::Host(Box::new(probe)), Some(link), closure),
                        Err(e) => (node, Found::Odd(e.to_string()), Some(link), LocalClosure::default()),
                    },
                    Err(e) => (node, Found::NoWay(e), None, question.closure.unwrap_or_default()),
                }
            });
        }
        while let Some(done) = asked.join_next().await {
            let (node, found, link, closure) =
                done.map_err(|e| Error::new(format!("a task of the program: {e}")))?;
            if let Some(link) = link {
                out.links.insert(node.clone(), Arc::new(link));
            }
            out.closures.insert(node.clone(), closure);
            out.found.insert(node, found);
        }
        Ok(out)
    }
}

/// Asks hosts how they are, and nothing about what they shall become.
///
/// # Errors
/// When a task of the program fails.
pub async fn status(deployment: &Deployment, settings: &Arc<Settings>) -> Result<BTreeMap<String, Found>> {
    let limit = Arc::new(Semaphore::new(ASKED));
    let mut asked = JoinSet::new();
    for (node, target) in &deployment.nodes {
        let (node, target, settings) = (node.clone(), target.clone(), Arc::clone(settings));
        let (network, limit) = (deployment.network.name.clone(), Arc::clone(&limit));
        asked.spawn(async move {
            let _permit = limit.acquire().await;
            let found = match Link::open(&target, &settings).await {
                Ok(link) => match in_time(probe::ask(&link, &network)).await {
                    Ok(probe) => Found::Host(Box::new(probe)),
                    Err(e) => Found::Odd(e.to_string()),
                },
                Err(e) => Found::NoWay(e),
            };
            (node, found)
        });
    }
    let mut out = BTreeMap::new();
    while let Some(done) = asked.join_next().await {
        let (node, found) = done.map_err(|e| Error::new(format!("a task of the program: {e}")))?;
        out.insert(node, found);
    }
    Ok(out)
}

impl Question {
    async fn ask(&self, link: &Link) -> Result<(Probe, LocalClosure)> {
        let Self { target, store, closure, .. } = self;
        let closure = closure.clone();
        let mut probe = probe::ask(link, &self.network).await?;
        if !probe.lacks.is_empty() || !probe::fits(&probe.machine, target) {
            return Ok((probe, closure.unwrap_or_default()));
        }
        // Nobody but root is told more, and the plan says so.
        if !probe.root {
            return Ok((probe, closure.unwrap_or_default()));
        }
        // What it has built before it need not build.
        let recipe = match &self.recipe {
            Some(recipe) if !probe::invalid(link, &[&target.toplevel]).await?.is_empty() => Some(recipe),
            _ => None,
        };
        let closure = match closure {
            Some(closure) => closure,
            None if recipe.is_some() => LocalClosure::default(),
            None => LocalClosure {
                paths: probe::closure(link, &target.toplevel)
                    .await
                    .map_err(|_| {
                        Error::new(format!(
                            "{} is neither in this machine's store nor in the host's",
                            target.toplevel
                        ))
                    })?
                    .into_iter()
                    .map(|path| (path, 0))
                    .collect(),
                inhibitors: probe::inhibitors(link, &target.toplevel).await?,
                ..LocalClosure::default()
            },
        };
        if let Some(current) = &probe.current {
            // What was deployed from here is known here. A host whose store does not know its own system is still
            // worth a plan.
            probe.closure = match local::requisites(store, current).await {
                Ok(paths) => Some(paths),
                Err(_) => probe::closure(link, current).await.ok(),
            };
        }
        let present = probe.closure.iter().flatten().cloned().collect();
        if let Some(recipe) = recipe {
            probe.builds = Some(remote::foresee(link, store, recipe, &present).await?);
        } else {
            let missing = probe::missing(link, &target.toplevel, &closure.paths, &present).await?;
            if missing.is_empty() && probe.current.as_ref() != Some(&target.toplevel) {
                probe.dry_activate = Some(probe::dry_activate(link, &target.toplevel).await?);
            }
            probe.missing = Some(missing);
        }
        if probe.root {
            probe.keys = keys::changes(link, self.secrets.of(&self.node), &self.salt).await?;
        }
        for check in &target.health_checks {
            if let Err(why) = health::now(link, check).await {
                probe.unhealthy.push(why);
            }
        }
        Ok((probe, closure))
    }
}

impl Survey {
    /// The numbers of the generations that hosts remember.
    pub fn numbers(&self) -> Vec<u64> {
        self.found
            .values()
            .filter_map(|f| match f {
                Found::Host(probe) => probe.record.as_ref().map(|r| r.number),
                _ => None,
            })
            .collect()
    }

    /// What every host that answered runs.
    pub fn systems(&self) -> BTreeMap<String, String> {
        self.found
            .iter()
            .filter_map(|(node, f)| match f {
                Found::Host(probe) => Some((node.clone(), probe.current.clone()?)),
                _ => None,
            })
            .collect()
    }

    /// What activating would do, on the hosts that can say so, copying nothing.
    pub fn dry(&self) -> BTreeMap<String, String> {
        self.found
            .iter()
            .filter_map(|(node, f)| match f {
                Found::Host(probe) => Some((node.clone(), probe.dry_activate.clone()?)),
                _ => None,
            })
            .collect()
    }
}
