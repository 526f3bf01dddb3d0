//! `diorama build`: everything that machines boot, without booting them.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::eval::{self, ModelArgs};
use super::{Global, Outcome, out};
use crate::error::{Result, ResultExt};
use crate::model::Manifest;
use crate::paths::Paths;
use crate::qemu::{self, NodeConfig};

const EXAMPLES: &str = "\
Prints the start scripts it wrote, one for each machine: each boots its machine by hand, with the
serial console on the terminal, and can be read.

Examples:
  diorama build                      build the model of this directory
  diorama build --out ./vms          put manifest.json and the run-NODE scripts there
  $(diorama build -q | head -1)      boot the first machine by hand";

/// Build everything that a model's machines boot, and write their start scripts.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Where the manifest and the scripts go, instead of the network's state directory.
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) async fn run(args: &Args, global: &Global) -> Outcome {
    let cancel = eval::cancelled_by_ctrl_c();
    let (evaluator, evaluation) = eval::evaluate(&args.model, global, &cancel).await?;
    let quiet = args.model.is_quiet();
    evaluator.realise(&evaluation, &mut |p| eval::say(&p, quiet), &cancel).await?;
    let paths = Paths::from_env(global.state_dir.as_deref()).map_err(anyhow::Error::from)?;
    for script in write_scripts(&evaluation.manifest, &paths, args.out.as_deref()).await? {
        out::line(&script.display().to_string());
    }
    Ok(0)
}

/// Writes the manifest and a start script for every node; gives the scripts.
///
/// # Errors
/// When there is no usable QEMU, or a file cannot be written.
pub async fn write_scripts(
    manifest: &Manifest,
    paths: &Paths,
    dir: Option<&std::path::Path>,
) -> Result<Vec<PathBuf>> {
    let found = qemu::find().map_err(anyhow::Error::from)?;
    let accel = qemu::accel::choose(None, &found, &paths.cache).await.accel;
    let network = &manifest.network.name;
    let state = paths.network_state(network);
    let dir = match dir {
        Some(dir) => std::path::absolute(dir).doing(dir.display())?,
        None => state.clone(),
    };
    std::fs::create_dir_all(&dir).doing(dir.display())?;
    let write = |name: &str, text: &str, mode| -> Result<PathBuf> {
        let path = dir.join(name);
        std::fs::write(&path, text).doing(path.display())?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).doing(path.display())?;
        Ok(path)
    };
    write("manifest.json", &serde_json::to_string_pretty(manifest)?, 0o644)?;
    let mut scripts = Vec::new();
    for name in manifest.nodes.keys() {
        let Some(config) = NodeConfig::of(manifest, name) else { continue };
        let text = qemu::run_script(&config, &paths.node(network, name), accel, &found);
        scripts.push(write(&format!("run-{name}"), &text, 0o755)?);
    }
    Ok(scripts)
}
