//! `diorama schema`: the manifest's JSON Schema.

use super::{Global, Outcome, out};
use crate::model::Manifest;

const EXAMPLES: &str = "\
A manifest is what evaluation of a model ends in; one written by hand runs as well.

Examples:
  diorama schema > manifest.schema.json
  diorama eval network.nix > manifest.json
  diorama up manifest.json";

/// Print the JSON Schema of manifests.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {}

pub(super) fn run(_: &Args, _: &Global) -> Outcome {
    out::json(&schemars::schema_for!(Manifest))?;
    Ok(0)
}
