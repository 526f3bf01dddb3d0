//! `diorama deploy`: a model onto its hosts. `rollback` shares everything after the evaluation.
//!
//! ```text
//! evaluate ─▶ build ─▶ ask hosts ─▶ plan ─▶ confirm ─▶ carry through ─▶ record ─▶ reboot
//! ```

mod check;
mod record;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use self::check::{check, confirm};
use self::record::record;
use self::tell::{Teller, line};
use super::production::{self, BuildArgs, ModelArgs, ReachArgs, Sockets};
use super::{Global, Outcome, common, eval, out};
use crate::deploy::model::Deployment;
use crate::deploy::plan::{Plan, Status, megabytes, plan};
use crate::deploy::remote::Job;
use crate::deploy::words::{self, Goal, Strategy, exit_status};
use crate::deploy::{self, Deploy, Files, Inquiry, Options, Records, Settings, print_plan, select};
use crate::error::{Error, Result, ResultExt};
use crate::nix::Store;
use crate::paths::Paths;
use crate::secrets::Secrets;

const EXAMPLES: &str = "\
Everything is copied before anything is activated, and nothing is kept before everything is active,
reachable and healthy: then all hosts keep it, or every one goes back to what it ran. A host goes back
by itself when it hears nothing for as long as its patience, so this program may die at any moment.

Exit status:
  0    every host runs what it shall run
  1    it failed before anything was changed
  4    all switched, some with failed units (only with --accept-failed-units)
  5    it failed, and every host that was changed is as it was
  6    ROLLBACK FAILED, or nobody knows how a host is
  7    some hosts switched, others not (only with --strategy best-effort or --skip-unreachable)
  130  interrupted, and every host is as it was

Examples:
  diorama deploy                             this directory's model
  diorama deploy shop.nix -i production.nix  its hosts in a file of their own
  diorama deploy --on web --goal test        one host, until its next boot
  diorama deploy --strategy canary --yes     hosts with the tag \"canary\" first; no question
  diorama deploy --test-first                only if the model's own test passes
  diorama deploy --json --yes > events.ndjson";

/// Ship a model to its hosts: all of them, or none.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    build: BuildArgs,
    #[command(flatten)]
    how: HowArgs,
    /// Run the model's test script in a clone first, and the hosts' health checks after it.
    #[arg(long)]
    test_first: bool,
}

/// How a deployment is carried through.
#[derive(Debug, Clone, clap::Args)]
pub struct HowArgs {
    #[command(flatten)]
    pub reach: ReachArgs,
    /// What is to become of the new configuration.
    #[arg(long, value_enum, default_value_t = Goal::Switch)]
    goal: Goal,
    /// In which order hosts are activated, and what a failure means for the others.
    #[arg(long, value_enum, default_value_t = Strategy::Atomic)]
    strategy: Strategy,
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
    /// Leave hosts out that cannot be reached.
    #[arg(long)]
    skip_unreachable: bool,
    /// Change hosts, too, that do not run what was last deployed to them.
    #[arg(long, visible_alias = "force")]
    accept_drift: bool,
    /// Keep a configuration whose units have failed, if all else is well.
    #[arg(long)]
    accept_failed_units: bool,
    /// Start hosts anew afterwards, where that is due.
    #[arg(long)]
    reboot: bool,
    /// Hosts that copy at once.
    #[arg(long, value_name = "N", default_value_t = 8)]
    max_copy: usize,
    /// Hosts that activate at once.
    #[arg(long, value_name = "N", default_value_t = 16)]
    max_activate: usize,
    /// Seconds that a host waits for a sign of this program before it goes back.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
    /// Print what happens as JSON, one object a line.
    #[arg(long)]
    json: bool,
    /// Refuse to change anything.
    #[arg(long)]
    readonly: bool,
}

impl HowArgs {
    /// Refuses when deploying is turned off.
    pub(super) fn check_writable(&self, model: &str) -> Result<()> {
        production::check_writable(self.readonly, Some(Path::new(model)))
    }
}

pub(super) async fn run(args: Args, global: &Global) -> Outcome {
    production::check_writable(args.how.readonly, args.model.model.as_deref())?;
    let cancel = eval::cancelled_by_ctrl_c();
    let built = production::build(&args.model, &args.build, global, args.how.json, &cancel).await?;
    production::check_writable(false, Some(&built.model))?;
    if args.test_first && built.ready {
        let model = built.model.display();
        return Err(Error::usage(format!(
            "--test-first: {model} has systems that are evaluated already, and no clone"
        ))
        .hint("test the model that they are of: `diorama test MODEL`"));
    }
    if args.test_first {
        rehearse(&common::paths(global)?, &built.deployment, &built.model, args.model.nixpkgs.as_deref())
            .await?;
    }
    let selected = select::select(&built.deployment, &args.how.reach.on)?;
    let secrets = match args.how.goal {
        // What is put below /run now is not there after the start that this is about.
        Goal::Boot => {
            if built.deployment.nodes.iter().any(|(n, t)| selected.contains(n) && !t.keys.is_empty()) {
                out::err("--goal boot puts no keys on hosts; deploy once more when they have started\n");
            }
            Arc::default()
        }
        _ => built.secrets(&selected, &cancel).await?,
    };
    let wanted = Wanted {
        secrets,
        deployment: built.deployment,
        files: Files {
            model: std::path::absolute(&built.model)?.display().to_string(),
            infrastructure: built.infrastructure.map(|file| file.display().to_string()),
            distribution: built.distribution.map(|file| file.display().to_string()),
        },
        rehearsal: (!args.test_first && !built.ready).then_some((built.model, args.model.nixpkgs)),
        remote: built.remote,
        max_build: args.build.max_build as usize,
        store: built.store,
    };
    ship(wanted, &args.how, global).await
}

/// The model's own test and the hosts' health checks in a clone, by this very program.
async fn rehearse(paths: &Paths, deployment: &Deployment, model: &Path, nixpkgs: Option<&str>) -> Result<()> {
    let program = std::env::current_exe().doing("this program's own file")?;
    let mut command = tokio::process::Command::new(program);
    command.arg("test").arg(model);
    if let Some(nixpkgs) = nixpkgs {
        command.args(["--nixpkgs", nixpkgs]);
    }
    let state = paths.network_state(&deployment.network.name);
    std::fs::create_dir_all(&state).doing(state.display())?;
    let checks = state.join(format!("health-checks-{}.py", std::process::id()));
    if let Some(script) = deploy::rehearse::script(deployment) {
        std::fs::write(&checks, script).doing(checks.display())?;
        command.arg("--then").arg(&checks);
    }
    // What it prints belongs to people; standard output may be a stream of events.
    command.stdin(std::process::Stdio::null()).stdout(std::io::stderr());
    let status = command.status().await;
    // There is none when no host has a check.
    let _ = std::fs::remove_file(&checks);
    match status.doing("cannot run diorama test")?.code() {
        Some(0) => Ok(()),
        Some(130) => Err(Error::interrupted()),
        _ => {
            Err(Error::new("the model's test or a health check failed in the clone, so nothing was deployed"))
        }
    }
}

/// What is to be deployed.
pub(super) struct Wanted {
    pub deployment: Deployment,
    /// What is put on the hosts beside their systems.
    pub secrets: Arc<Secrets>,
    pub files: Files,
    /// The model and its nixpkgs, when a clone can be asked first and was not.
    pub rehearsal: Option<(PathBuf, Option<String>)>,
    /// What hosts build themselves: the derivations by node.
    pub remote: BTreeMap<String, Vec<String>>,
    /// Derivations that a host builds at once.
    pub max_build: usize,
    pub store: Store,
}

/// Everything after the evaluation.
pub(super) async fn ship(wanted: Wanted, how: &HowArgs, global: &Global) -> Outcome {
    let network = wanted.deployment.network.name.clone();
    let selected = select::select(&wanted.deployment, &how.reach.on)?;
    let paths = common::paths(global)?;
    let settings = production::settings(&network, &how.reach, &paths)?;
    let _sockets = Sockets(settings.clone());
    let records = Records::new(&paths.network_state(&network));
    build_there(&wanted, &selected, how.json, &settings).await?;
    // What hosts build is there by now.
    let survey = Inquiry {
        deployment: &wanted.deployment,
        selected: &selected,
        recipes: &BTreeMap::new(),
        settings: &settings,
        store: &wanted.store,
        secrets: &wanted.secrets,
    };
    let survey = survey.ask().await?;
    let plan = plan(&wanted.deployment, &selected, &survey.found, &survey.closures);
    if how.json {
        line(&json!({ "event": "plan", "plan": plan }));
    } else {
        out::print(&print_plan(&plan));
    }
    let skipped = check(&plan, how)?;
    if how.goal == Goal::DryActivate {
        for (node, said) in survey.dry() {
            out::line(&format!("\n{node}:\n{said}"));
        }
        return Ok(0);
    }
    if !plan.hosts.values().any(|h| h.status == Status::Changes) {
        if how.json {
            line(&json!({ "event": "end", "status": u8::from(skipped) }));
        } else {
            out::line("\nnothing to do");
        }
        return Ok(u8::from(skipped));
    }
    while !confirm(&network, how, wanted.rehearsal.is_some())? {
        if let Some((model, nixpkgs)) = &wanted.rehearsal {
            rehearse(&paths, &wanted.deployment, model, nixpkgs.as_deref()).await?;
            out::err("\nthe clone passed\n");
        }
    }
    let before = survey.systems();
    let claim = records.claim(survey.numbers())?;
    let deploy = Deploy {
        options: Options {
            goal: how.goal,
            strategy: how.strategy,
            accept_failed_units: how.accept_failed_units,
            max_copy: how.max_copy,
            max_activate: how.max_activate,
            patience: Duration::from_secs(how.patience.clamp(6, 3600)),
            by: production::who(),
            number: claim.number,
            time: production::now(),
        },
        deployment: wanted.deployment,
        settings,
        store: wanted.store,
        secrets: wanted.secrets,
    };
    let (mut stop, interrupted) = stops()?;
    let mut teller = Teller::new(how.json);
    let began = Instant::now();
    let outcomes = deploy.run(&plan, survey, &mut stop, &mut |h| teller.tell(h)).await?;
    for (host, outcome) in &outcomes {
        if how.json {
            line(&json!({ "event": "outcome", "host": host, "result": outcome }));
        } else {
            out::line(&format!("{host}: {}", outcome.describe()));
        }
    }
    let interrupted = interrupted.load(std::sync::atomic::Ordering::Relaxed);
    let status = exit_status(&outcomes, interrupted && teller.failing);
    let number = record(&deploy, &records, &before, &outcomes, wanted.files, &wanted.remote).await?;
    drop(claim);
    let seconds = began.elapsed().as_secs_f64();
    if how.json {
        line(&json!({
            "event": "end", "status": status, "generation": number, "seconds": seconds, "bytes": teller.bytes(),
        }));
    } else {
        let generation = number.map_or_else(String::new, |n| format!("generation {n}; "));
        out::line(&format!("{generation}{} copied, {seconds:.1} s", megabytes(teller.bytes())));
    }
    let due: BTreeSet<String> = outcomes
        .iter()
        .filter(|(n, o)| {
            o.is_good() && (teller.reboot.contains(*n) || how.goal == Goal::Boot || due(&plan, n))
        })
        .filter(|(_, o)| **o != words::Outcome::Unchanged)
        .map(|(n, _)| n.clone())
        .collect();
    if how.reboot && !due.is_empty() && how.goal != Goal::Test {
        out::err(&format!("starting anew: {}\n", names(&due)));
        deploy.reboot(&due, Duration::from_secs(600)).await?;
        let gone = |n: &String| {
            deploy
                .deployment
                .nodes
                .get(n)
                .is_some_and(|t| t.keys.values().any(|k| k.path.starts_with("/run/")))
        };
        if due.iter().any(gone) {
            out::err("keys below /run are gone with the start: deploy once more to put them there\n");
        }
    } else if !due.is_empty() {
        out::err(&format!("a reboot is due: {}\n", names(&due)));
    }
    Ok(status)
}

/// Has hosts build their own systems.
async fn build_there(
    wanted: &Wanted,
    selected: &BTreeSet<String>,
    json: bool,
    settings: &Arc<Settings>,
) -> Result<()> {
    let derivations: BTreeMap<String, Vec<String>> = wanted
        .remote
        .iter()
        .filter(|(n, _)| selected.contains(*n))
        .map(|(n, d)| (n.clone(), d.clone()))
        .collect();
    if derivations.is_empty() {
        return Ok(());
    }
    let job = Job { deployment: wanted.deployment.clone(), derivations, max_build: wanted.max_build };
    let cancel = eval::cancelled_by_ctrl_c();
    let mut say = |host: &str, said: &str| {
        if json {
            line(&json!({ "event": "said", "host": host, "line": said }));
        } else {
            out::err(&format!("{host} builds | {said}\n"));
        }
    };
    deploy::remote::build(job, settings, &wanted.store, &mut say, &cancel).await
}

fn names(hosts: &BTreeSet<String>) -> String {
    hosts.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn due(plan: &Plan, node: &str) -> bool {
    plan.hosts.get(node).is_some_and(|h| h.reboot.is_some())
}

type Interrupted = std::sync::Arc<std::sync::atomic::AtomicBool>;

/// Every way in which a person or a system says "stop".
fn stops() -> Result<(mpsc::Receiver<()>, Interrupted)> {
    let (tell, stops) = mpsc::channel(4);
    let interrupted = Interrupted::default();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut signals = signal(kind).doing("listening for signals")?;
        let (tell, interrupted) = (tell.clone(), interrupted.clone());
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                interrupted.store(true, std::sync::atomic::Ordering::Relaxed);
                out::err("\ntaking it back; ctrl-c once more does not wait for the hosts …\n");
                if tell.send(()).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok((stops, interrupted))
}
