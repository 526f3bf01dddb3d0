//! What the verbs share that concern production: the hosts, the way to them, what a person is told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Global, common, eval, models, out};
use crate::assets;
use crate::config::Config;
use crate::deploy::foreign;
use crate::deploy::model::{self, Deployment};
use crate::deploy::{Compress, Password, Records, Settings};
use crate::error::{Error, Result, ResultExt};
use crate::nix::{Evaluator, Hosts, Options, Progress, Store};
use crate::paths::{self, Paths};
use crate::secrets::{self, Secrets, Texts};

/// How the model and its hosts are named.
#[derive(Debug, Clone, clap::Args)]
pub struct ModelArgs {
    /// The model, an output of a flake (DIR#OUTPUT), or a deployment (a file that ends in .json, ours or deploy-rs')
    /// whose systems are in the store.
    pub model: Option<PathBuf>,
    /// The infrastructure model, which host each node goes to; by default the configured one, else the file
    /// infrastructure.nix beside the model when there is one.
    #[arg(short, long, value_name = "FILE")]
    pub infrastructure: Option<PathBuf>,
    /// The distribution model, which machine of the infrastructure each node goes to, when machines have names of
    /// their own. By default the configured one, else the file distribution.nix beside the model; neither with
    /// --infrastructure.
    #[arg(long, value_name = "FILE")]
    pub distribution: Option<PathBuf>,
    /// The network's name, instead of the model's own.
    #[arg(long)]
    pub name: Option<String>,
    /// Evaluate the model as NixOS, with this nixpkgs (a path, or a search path entry in `<>`).
    #[arg(long, value_name = "PATH")]
    pub nixpkgs: Option<String>,
}

/// Where and how systems are built.
#[derive(Debug, Clone, clap::Args)]
pub struct BuildArgs {
    /// Have every host build its own system: recipes and sources travel instead of what they make.
    #[arg(long)]
    pub build_on_target: bool,
    /// Builds and downloads at once, here or on each host.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=512))]
    pub max_build: u32,
}

/// How hosts are reached.
#[derive(Debug, Clone, clap::Args)]
pub struct ReachArgs {
    /// Only these hosts: a node, a pattern with `*`, or @TAG; several with commas, or repeated.
    #[arg(long, value_name = "NODE|@TAG|GLOB", value_delimiter = ',')]
    pub on: Vec<String>,
    /// Pin the keys of hosts that nobody has seen before.
    #[arg(long)]
    pub trust_on_first_use: bool,
    /// Ask for the password that sudo wants on the hosts; read from standard input when that is no
    /// terminal.
    #[arg(long)]
    pub ask_sudo_password: bool,
    /// Compress copies: when the line is found to be slow, always (without a word), or never.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Compress::Auto, default_missing_value = "yes",
          num_args = 0..=1, require_equals = true)]
    pub compress: Compress,
    /// Seconds until an address counts as unreachable.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub connect_timeout: u64,
}

impl ReachArgs {
    /// What the command line says when it says nothing.
    pub fn plain() -> Self {
        Self {
            on: Vec::new(),
            trust_on_first_use: false,
            ask_sudo_password: false,
            compress: Compress::Auto,
            connect_timeout: 10,
        }
    }
}

/// A model's systems, built, and where they go.
pub struct Built {
    /// The hosts.
    pub deployment: Deployment,
    /// The model's file.
    pub model: PathBuf,
    /// The infrastructure model, when there is one.
    pub infrastructure: Option<PathBuf>,
    /// The distribution model, when there is one.
    pub distribution: Option<PathBuf>,
    /// What hosts build themselves: the derivations by node.
    pub remote: BTreeMap<String, Vec<String>>,
    /// This machine's store.
    pub store: Store,
    /// Whether the systems were evaluated elsewhere, so that there is no model that a clone could be made of.
    pub ready: bool,
    /// The secrets that the model has as text.
    pub texts: Texts,
}

impl Built {
    /// Reads the secrets of some hosts from where they are.
    ///
    /// # Errors
    /// Names the first that cannot be had.
    pub async fn secrets(
        &self,
        selected: &BTreeSet<String>,
        cancel: &CancellationToken,
    ) -> Result<Arc<Secrets>> {
        let nodes = self.deployment.nodes.iter().filter(|(node, _)| selected.contains(*node));
        let keys = nodes.map(|(node, target)| (node, &target.keys));
        for warning in secrets::exposed(keys.clone()) {
            out::err(&format!("warning: {warning}\n"));
        }
        let dir = self.model.parent().unwrap_or(Path::new("/"));
        let read = tokio::select! {
            read = secrets::read(keys, &self.texts, dir) => read,
            () = cancel.cancelled() => return Err(Error::interrupted()),
        };
        Ok(Arc::new(read.map_err(|e| e.hint("nothing was changed on any host"))?))
    }
}

/// Evaluates a model for production and builds what its hosts do not build themselves.
pub async fn build(
    args: &ModelArgs,
    how: &BuildArgs,
    global: &Global,
    quiet: bool,
    cancel: &CancellationToken,
) -> Result<Built> {
    let paths = common::paths(global)?;
    if let Some(file) = args.model.as_deref().filter(|m| m.extension().is_some_and(|e| e == "json")) {
        return written(file, args, Store::find(&paths.data));
    }
    let (evaluator, model) = evaluator(args, global, None)?;
    let store = evaluator.store().clone();
    let evaluator = evaluator.at_once(how.max_build as usize);
    let mut production = evaluator.production(&model, &mut |p| eval::say(&p, quiet), cancel).await?;
    let mut say = |p: Progress| eval::say(&p, quiet);
    let mut remote = BTreeMap::new();
    let deployment = match production.hosts.clone() {
        Hosts::Ours(deployment) => {
            let mut deployment = model::parse(&deployment.to_string())?;
            secrets::resolve(deployment.keys(), &model);
            let there = |node: &String| {
                how.build_on_target || deployment.nodes.get(node).is_some_and(|target| target.build_on_target)
            };
            (remote, production.realise) =
                std::mem::take(&mut production.realise).into_iter().partition(|(node, _)| there(node));
            evaluator.realise_production(&production, &mut say, cancel).await?;
            deployment
        }
        Hosts::DeployRs(nodes) => {
            no_infrastructure(args, "deploy-rs' nodes name their hosts themselves")?;
            if how.build_on_target {
                return Err(Error::usage("what deploy-rs' profiles lead to is known when they are built, so hosts cannot build them")
                    .hint("leave --build-on-target out, or deploy the flake's nixosConfigurations"));
            }
            evaluator.realise_production(&production, &mut say, cancel).await?;
            deploy_rs(&production.network, &nodes.to_string()).doing(model.display())?
        }
    };
    if deployment.nodes.is_empty() {
        return Err(Error::new(format!("{} has no node to deploy", model.display())));
    }
    // deploy-rs' nodes have not looked at these.
    let (infrastructure, distribution) = match production.hosts {
        Hosts::Ours(_) => evaluator.places(),
        Hosts::DeployRs(_) => (None, None),
    };
    Ok(Built {
        deployment,
        model,
        infrastructure,
        distribution,
        remote,
        store,
        ready: production.ready,
        texts: production.texts,
    })
}

/// A deployment from a file, ours or deploy-rs', whose systems are in the store.
fn written(file: &Path, args: &ModelArgs, store: Store) -> Result<Built> {
    no_infrastructure(args, "a deployment in JSON names its hosts itself")?;
    let text = std::fs::read_to_string(file).doing(file.display())?;
    let mut deployment = if foreign::is_deploy_rs(&text) {
        let name = args.name.clone().unwrap_or_else(|| models::name_from_file(file));
        deploy_rs(&common::session_name(&name)?, &text)
    } else {
        model::parse(&text)
    }
    .doing(file.display())?;
    let model = std::path::absolute(file)?;
    secrets::resolve(deployment.keys(), &model);
    Ok(Built {
        deployment,
        model,
        infrastructure: None,
        distribution: None,
        remote: BTreeMap::new(),
        store,
        ready: true,
        texts: Texts::default(),
    })
}

/// deploy-rs' nodes as a deployment, read once more as ours, for what is checked there.
fn deploy_rs(network: &str, text: &str) -> Result<Deployment> {
    let read = foreign::read(network, text, foreign::look)?;
    model::parse(&serde_json::to_string(&read)?)
}

/// What names its hosts itself takes no other word for it.
fn no_infrastructure(args: &ModelArgs, why: &str) -> Result<()> {
    for (option, file) in [("--infrastructure", &args.infrastructure), ("--distribution", &args.distribution)]
    {
        if let Some(file) = file {
            return Err(Error::usage(format!("{option} {} means nothing: {why}", file.display())));
        }
    }
    Ok(())
}

/// What evaluates the model that the command line names, for production; the model's file with it. `image` is the
/// node whose bootable disk is wanted.
pub fn evaluator(args: &ModelArgs, global: &Global, image: Option<&str>) -> Result<(Evaluator, PathBuf)> {
    let paths = common::paths(global)?;
    let assets = assets::dir(&paths.cache)?;
    let model = models::find(args.model.as_deref(), &paths)?.path;
    let name = args.name.clone().unwrap_or_else(|| models::name_from_file(&model));
    let real = |file: Option<PathBuf>| -> Result<Option<PathBuf>> {
        file.map(|file| std::fs::canonicalize(&file).doing(file.display())).transpose()
    };
    let infrastructure = real(infrastructure(args, &model)?)?;
    let distribution = real(distribution(args, &model)?)?;
    let nixpkgs = match &args.nixpkgs {
        Some(path) if !path.starts_with('<') => {
            let path = std::fs::canonicalize(path).doing(format!("nixpkgs {path}"))?;
            Some(path.to_string_lossy().into_owned())
        }
        other => other.clone(),
    };
    let options = Options {
        name: Some(common::session_name(&name)?),
        nixpkgs,
        infrastructure,
        distribution,
        image: image.map(str::to_owned),
        ..Options::new(paths, assets)
    };
    let evaluator = Evaluator::new(options);
    let store = evaluator.store();
    if !store.store_dir().starts_with("/nix/store") {
        return Err(Error::new(format!(
            "the store {} cannot be copied to hosts, whose store is /nix/store",
            store.store_dir().display()
        ))
        .hint("run the Nix daemon here, or deploy from a machine that has one"));
    }
    Ok((evaluator, model))
}

/// The infrastructure model: the one that is named, else the configured one, else the one beside the model.
pub fn infrastructure(args: &ModelArgs, model: &Path) -> Result<Option<PathBuf>> {
    if args.infrastructure.is_some() {
        return Ok(args.infrastructure.clone());
    }
    let beside = model.parent().unwrap_or(Path::new("."));
    if let Some(configured) = Config::load(Some(beside))?.deploy.infrastructure {
        return Ok(Some(beside.join(configured)));
    }
    Ok(Some(beside.join("infrastructure.nix")).filter(|f| f.is_file()))
}

/// The distribution model: the one that is named, else the configured one, else the one beside the model. An
/// infrastructure model that is named is another one than theirs, so what they say does not count for it.
pub fn distribution(args: &ModelArgs, model: &Path) -> Result<Option<PathBuf>> {
    if args.distribution.is_some() || args.infrastructure.is_some() {
        return Ok(args.distribution.clone());
    }
    let beside = model.parent().unwrap_or(Path::new("."));
    if let Some(configured) = Config::load(Some(beside))?.deploy.distribution {
        return Ok(Some(beside.join(configured)));
    }
    Ok(Some(beside.join("distribution.nix")).filter(|f| f.is_file()))
}

/// Prepares the ways to a network's hosts.
pub fn settings(network: &str, reach: &ReachArgs, paths: &Paths) -> Result<Arc<Settings>> {
    let state = paths.network_state(network);
    std::fs::create_dir_all(&state).doing(state.display())?;
    // A name that no session can have, and short: OpenSSH adds to the socket's name.
    let dir = paths.runtime.join(format!(".ssh-{}", std::process::id()));
    paths::make_private(&dir)?;
    paths::check_socket_path(&dir.join("1234567890.abcdefghijklmnop"))?;
    let mut settings = Settings::new(state.join("known_hosts"), dir);
    settings.trust_on_first_use = reach.trust_on_first_use;
    settings.compress = reach.compress;
    settings.timeout = reach.connect_timeout.clamp(1, 600);
    if reach.ask_sudo_password {
        settings.password = Some(Password::new(&ask_password()?));
    }
    Ok(Arc::new(settings))
}

/// Reads a line from the terminal without showing it, or from standard input.
fn ask_password() -> Result<String> {
    use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
    use std::io::IsTerminal;
    let stdin = std::io::stdin();
    let mut line = String::new();
    if !stdin.is_terminal() {
        stdin.read_line(&mut line).doing("reading the password")?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    out::err("password for sudo on the hosts: ");
    let before = tcgetattr(&stdin).map_err(std::io::Error::from).doing("the terminal")?;
    let mut quiet = before.clone();
    quiet.local_flags.remove(LocalFlags::ECHO);
    tcsetattr(&stdin, SetArg::TCSAFLUSH, &quiet).map_err(std::io::Error::from).doing("the terminal")?;
    let read = stdin.read_line(&mut line);
    let restored = tcsetattr(&stdin, SetArg::TCSAFLUSH, &before);
    out::err("\n");
    read.doing("reading the password")?;
    restored.map_err(std::io::Error::from).doing("the terminal")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Refuses when deploying is turned off.
pub fn check_writable(readonly: bool, model: Option<&Path>) -> Result<()> {
    if readonly {
        return Err(Error::new("deploying is turned off by --readonly"));
    }
    if Config::load(model.and_then(Path::parent))?.deploy.readonly {
        return Err(Error::new("deploying is turned off by the configuration")
            .hint("deploy.readonly = true stands in config.toml or in the model's diorama.toml"));
    }
    Ok(())
}

/// The network whose generations are meant: the one that is named, or the only one that has any.
pub fn recorded(named: Option<&str>, paths: &Paths) -> Result<(String, Records)> {
    if let Some(name) = named {
        let name = common::session_name(name)?;
        let records = Records::new(&paths.network_state(&name));
        return Ok((name, records));
    }
    let mut found: Vec<String> = std::fs::read_dir(&paths.state)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| e.path().join("deployments").is_dir())
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    match found.as_slice() {
        [one] => Ok((one.clone(), Records::new(&paths.network_state(one)))),
        [] => Err(Error::not_found("nothing has been deployed from here")
            .hint("`diorama deploy MODEL` ships a model to its hosts")),
        many => Err(Error::usage("several networks have been deployed from here")
            .hint(format!("name one with --network: {}", many.join(", ")))),
    }
}

/// Removes the masters' directory when the verb has ended.
pub struct Sockets(pub Arc<Settings>);

impl Drop for Sockets {
    fn drop(&mut self) {
        // The next run makes one of its own; what is left of this one does no harm.
        let _ = std::fs::remove_dir_all(&self.0.sockets);
    }
}

/// Who deploys, as USER@HOST, in one word.
pub fn who() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
    let user = user.map_or_else(|| "unknown".into(), |u| u.name);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{user}@{}", host.trim())
}

/// Seconds since 1970.
pub fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found for a model, by the files' names: infrastructure and distribution.
    fn found(beside: &[&str], config: &str, named: (Option<&str>, Option<&str>)) -> [Option<String>; 2] {
        let dir = tempfile::tempdir().unwrap();
        for file in beside {
            std::fs::write(dir.path().join(file), "{ }").unwrap();
        }
        std::fs::write(dir.path().join("diorama.toml"), config).unwrap();
        let args = ModelArgs {
            model: None,
            infrastructure: named.0.map(PathBuf::from),
            distribution: named.1.map(PathBuf::from),
            name: None,
            nixpkgs: None,
        };
        let model = dir.path().join("network.nix");
        let name =
            |file: Option<PathBuf>| file.map(|f| f.file_name().unwrap().to_string_lossy().into_owned());
        [name(infrastructure(&args, &model).unwrap()), name(distribution(&args, &model).unwrap())]
    }

    #[test]
    fn where_nodes_go_is_said_by_two_files_that_belong_together() {
        let both = ["infrastructure.nix", "distribution.nix"];
        let config = "[deploy]\ninfrastructure = \"i.nix\"\ndistribution = \"d.nix\"\n";
        for (beside, config, named, want) in [
            (&[][..], "", (None, None), [None, None]),
            (&both[..], "", (None, None), [Some("infrastructure.nix"), Some("distribution.nix")]),
            (&both[..1], "", (None, None), [Some("infrastructure.nix"), None]),
            (&both[..], config, (None, None), [Some("i.nix"), Some("d.nix")]),
            (&both[..], "", (Some("x.nix"), None), [Some("x.nix"), None]),
            (&both[..], config, (Some("x.nix"), None), [Some("x.nix"), None]),
            (&both[..], config, (Some("x.nix"), Some("y.nix")), [Some("x.nix"), Some("y.nix")]),
            (&both[..], "", (None, Some("y.nix")), [Some("infrastructure.nix"), Some("y.nix")]),
        ] {
            assert_eq!(
                found(beside, config, named),
                want.map(|w| w.map(str::to_owned)),
                "{config} {named:?}"
            );
        }
    }
}
