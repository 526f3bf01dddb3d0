//! `diorama verify`: whether production is what the clone shows.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap_complete::engine::ArgValueCandidates;
use serde::Serialize;
use tokio::task::JoinSet;

use super::production::{self, ModelArgs, ReachArgs, Sockets};
use super::{Global, Outcome, candidates, common, eval, models, out};
use crate::deploy::model::Deployment;
use crate::deploy::verify::{self, Area, Difference, Report, Wanted};
use crate::deploy::{model, select};
use crate::error::{Error, Result};
use crate::model::Manifest;
use crate::nix::Hosts;

/// The exit status that tells differences from failures.
const DIFFERENT: u8 = 8;

const EXAMPLES: &str = "\
Looks into a running clone and at the host that the node is deployed to, and changes nothing: the system,
units and their states, files below /etc, packages, users and listening ports. Where both are as the model
says, a difference is explained: the clone's root shell, the host's store, the addresses of either.

Exit status:
  0    nothing differs that the model does not explain
  1    a clone or a host could not be looked at
  3    no such session or node
  8    something differs

Examples:
  diorama verify                   every node of the session's model
  diorama verify web @db --json    for programs
  diorama verify web --all         what is explained, too, with the reason";

/// Compare clones with the hosts that they stand for.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The nodes; all when none is named.
    #[arg(value_name = "NODE|@TAG|GLOB", add = ArgValueCandidates::new(candidates::nodes))]
    nodes: Vec<String>,
    /// The model; by default the session's own.
    #[arg(short, long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// The infrastructure model; by default the configured one, else the one beside the model, else that of the
    /// last deployment.
    #[arg(short, long, value_name = "FILE")]
    infrastructure: Option<PathBuf>,
    /// The distribution model, which machine of the infrastructure each node goes to; by default found as the
    /// infrastructure model is, and with it.
    #[arg(long, value_name = "FILE")]
    distribution: Option<PathBuf>,
    /// The network's name, instead of the model's own.
    #[arg(long)]
    name: Option<String>,
    /// Evaluate the model as NixOS, with this nixpkgs (a path, or a search path entry in `<>`).
    #[arg(long, value_name = "PATH")]
    nixpkgs: Option<String>,
    #[command(flatten)]
    reach: ReachArgs,
    /// List differences that are explained, too.
    #[arg(short, long)]
    all: bool,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

/// What came of one node.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verified {
    /// Whether nothing differs that is not explained.
    equal: bool,
    /// The address that answered.
    address: String,
    /// How many differences are explained; `--all` lists them.
    explained: usize,
    #[serde(flatten)]
    report: Report,
}

/// What came of a network.
#[derive(Debug, Serialize)]
struct Answer {
    network: String,
    nodes: BTreeMap<String, Verified>,
    /// Why nodes could not be compared.
    errors: BTreeMap<String, String>,
}

pub(super) async fn run(args: Args, global: &Global) -> Outcome {
    let client = common::connect(global).await?;
    let view = client.view().await?;
    let model_args = ModelArgs {
        model: args.model.clone().or_else(|| Some(PathBuf::from(&view.model))),
        infrastructure: args.infrastructure.clone(),
        distribution: args.distribution.clone(),
        name: args.name.clone(),
        nixpkgs: args.nixpkgs.clone(),
    };
    let (deployment, manifest) = evaluate(model_args, global, args.json).await?;
    let words: Vec<String> = args.nodes.iter().chain(&args.reach.on).cloned().collect();
    let selected = select::select(&deployment, &words)?;
    let paths = common::paths(global)?;
    let settings = production::settings(&deployment.network.name, &args.reach, &paths)?;
    let _sockets = Sockets(settings.clone());

    let mut asked = JoinSet::new();
    for (node, target) in deployment.nodes.iter().filter(|(n, _)| selected.contains(*n)) {
        let wanted = Wanted {
            clone: manifest.nodes.get(node).and_then(|n| n.toplevel.clone()).map(|p| p.display().to_string()),
            host: target.toplevel.clone(),
        };
        let (node, target, settings, client) =
            (node.clone(), target.clone(), settings.clone(), client.clone());
        asked.spawn(async move {
            let (clone, host) =
                tokio::join!(verify::ask_clone(&client, &node), verify::ask_host(&target, &settings));
            let both = clone.and_then(|clone| Ok((clone, host?)));
            let verified = both.map(|(clone, (address, mut host))| {
                let said = verify::said(Path::new(&wanted.host)).filter(|_| host.system.as_ref() == Some(&wanted.host));
                let vouched = said.map(|said| host.trust(said)).is_some();
                let mut report = verify::compare(&clone, &host, &wanted);
                if !vouched {
                    report.unknown.push(
                        "the host's files against this machine's: it does not run the model's system, or that is not \
                         in the store here; its own store vouches for them"
                            .into(),
                    );
                }
                let (equal, explained) = (report.unexplained().next().is_none(), report.explained());
                Verified { equal, address, explained, report }
            });
            (node, verified)
        });
    }
    let mut answer =
        Answer { network: deployment.network.name.clone(), nodes: BTreeMap::new(), errors: BTreeMap::new() };
    loop {
        let done = tokio::select! {
            done = asked.join_next() => done,
            _ = tokio::signal::ctrl_c() => return Err(Error::interrupted()),
        };
        let Some(done) = done else { break };
        let (node, verified) = done.map_err(|e| Error::new(format!("a task of the program: {e}")))?;
        match verified {
            Ok(mut verified) => {
                if !args.all {
                    verified.report.differences.retain(|d| d.explained.is_none());
                }
                answer.nodes.insert(node, verified);
            }
            Err(e) => drop(answer.errors.insert(node, e.to_string())),
        }
    }
    if args.json {
        out::json(&answer)?;
    } else {
        out::print(&print(&answer));
    }
    Ok(match (answer.errors.is_empty(), answer.nodes.values().all(|v| v.equal)) {
        (false, _) => 1,
        (true, false) => DIFFERENT,
        (true, true) => 0,
    })
}

/// The model's two sides: where its hosts are and what they shall run, and what its clones run.
async fn evaluate(mut args: ModelArgs, global: &Global, quiet: bool) -> Result<(Deployment, Manifest)> {
    let cancel = eval::cancelled_by_ctrl_c();
    let named = args.model.clone().unwrap_or_default();
    if named.extension().is_some_and(|e| e == "json") {
        return Err(Error::usage(format!("{} is a manifest, which knows no hosts", named.display()))
            .hint("name the model that the clones are of with --model"));
    }
    let model = models::find(Some(&named), &common::paths(global)?)?.path;
    args.model = Some(model.clone());
    if args.infrastructure.is_none() && production::infrastructure(&args, &model)?.is_none() {
        // Both of the last deployment: a distribution beside the model may be of another infrastructure.
        let (infrastructure, distribution) = last_places(&args, &model, global)?;
        args.infrastructure = infrastructure;
        args.distribution = args.distribution.or(distribution);
    }
    let (evaluator, model) = production::evaluator(&args, global, None)?;
    let production = evaluator.production(&model, &mut |p| eval::say(&p, quiet), &cancel).await?;
    let evaluation = evaluator.evaluate(&model, &mut |p| eval::say(&p, quiet), &cancel).await?;
    match production.hosts {
        Hosts::Ours(deployment) => Ok((model::parse(&deployment.to_string())?, evaluation.manifest)),
        Hosts::DeployRs(_) => {
            Err(Error::new(format!("{} has deploy-rs' nodes, which have no clone", model.display())))
        }
    }
}

/// The infrastructure and the distribution model of the last deployment of a network of this name.
fn last_places(
    args: &ModelArgs,
    model: &Path,
    global: &Global,
) -> Result<(Option<PathBuf>, Option<PathBuf>)> {
    let paths = common::paths(global)?;
    let name = args.name.clone().unwrap_or_else(|| models::name_from_file(model));
    let (_, records) = production::recorded(Some(&name), &paths)?;
    let last = records.all()?.pop();
    let file = |path: Option<String>| path.map(PathBuf::from).filter(|f| f.is_file());
    Ok(last.map_or((None, None), |g| (file(g.files.infrastructure), file(g.files.distribution))))
}

fn print(answer: &Answer) -> String {
    let mut out = String::new();
    for (node, v) in &answer.nodes {
        let mark = if v.equal { "●" } else { "✕" };
        let found = v.report.unexplained().count();
        let what = match found {
            0 => "what the clone shows".to_owned(),
            1 => "1 difference".to_owned(),
            n => format!("{n} differences"),
        };
        let _ = writeln!(out, "{mark} {node} at {}: {what}", v.address);
        let mut area = None;
        for d in &v.report.differences {
            if area != Some(d.area) {
                area = Some(d.area);
                let _ = writeln!(out, "  {}", title(d.area));
            }
            let _ = writeln!(out, "    {}", one(d));
        }
        for why in &v.report.unknown {
            let _ = writeln!(out, "  not compared: {why}");
        }
        if v.explained > 0 {
            let listed = v.report.differences.iter().any(|d| d.explained.is_some());
            let hint = if listed { "" } else { " (--all lists them)" };
            let _ = writeln!(out, "  {} more are explained by the model or the machine{hint}", v.explained);
        }
    }
    for (node, why) in &answer.errors {
        let _ = writeln!(out, "✕ {node}: not compared: {why}");
    }
    out
}

fn title(area: Area) -> &'static str {
    match area {
        Area::System => "system",
        Area::Units => "units",
        Area::Etc => "/etc",
        Area::Packages => "packages",
        Area::Users => "users",
        Area::Ports => "ports",
    }
}

fn one(d: &Difference) -> String {
    let sides = format!("{}: clone: {}; host: {}", d.item, d.clone, d.host);
    match &d.explained {
        Some(why) => format!("· {sides}  [{why}]"),
        None => format!("✕ {sides}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_listed_by_area_and_explained_ones_counted() {
        let difference = |area, item: &str, explained: Option<&str>| Difference {
            area,
            item: item.into(),
            clone: "not there".into(),
            host: "nc".into(),
            explained: explained.map(str::to_owned),
        };
        let report = Report {
            differences: vec![
                difference(Area::Ports, "tcp *:4444", None),
                difference(Area::Ports, "tcp *:22", Some("sshd.service is the host's alone")),
            ],
            unknown: vec!["the host has no ss".into()],
        };
        let verified = Verified { equal: false, address: "10.0.0.1".into(), explained: 1, report };
        let answer = Answer {
            network: "shop".into(),
            nodes: [("web".to_owned(), verified)].into(),
            errors: [("db".to_owned(), "no route".to_owned())].into(),
        };
        assert_eq!(
            print(&answer),
            "\
✕ web at 10.0.0.1: 1 difference
  ports
    ✕ tcp *:4444: clone: not there; host: nc
    · tcp *:22: clone: not there; host: nc  [sshd.service is the host's alone]
  not compared: the host has no ss
  1 more are explained by the model or the machine
✕ db: not compared: no route
"
        );
    }
}
