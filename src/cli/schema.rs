//! `diorama schema`: the manifest's JSON Schema.

use super::{Global, Outcome, out};
use crate::deploy::model::Deployment;
use crate::model::Manifest;

const EXAMPLES: &str = "\
A manifest is what evaluation of a model ends in; one written by hand runs as well.

Examples:
  diorama schema > manifest.schema.json
  diorama schema --deployment        of what `diorama deploy` reads: hosts and their systems
  diorama eval network.nix > manifest.json
  diorama up manifest.json";

/// Print the JSON Schema of manifests, or of deployments.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Of deployments instead.
    #[arg(long)]
    deployment: bool,
}

pub(super) fn run(args: &Args, _: &Global) -> Outcome {
    if args.deployment {
        out::json(&schemars::schema_for!(Deployment))?;
        return Ok(0);
    }
    out::json(&schemars::schema_for!(Manifest))?;
    Ok(0)
}
