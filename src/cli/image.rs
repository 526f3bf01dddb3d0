//! `diorama image`: a bootable disk with one node's system, as a host has it.

use std::path::PathBuf;

use super::production::{self, ModelArgs};
use super::{Global, Outcome, eval, out};
use crate::error::{Error, nearest};
use crate::model::DriveFormat;
use crate::qemu::disk;

const EXAMPLES: &str = "\
The disk has a boot loader for a BIOS, one ext4 partition, and a Nix store of its own; its root file
system grows to the disk's size when it starts. Whoever holds an SSH key that the model names for
root (users.users.root.openssh.authorizedKeys) can log in; there is no other way in. From then on
`diorama deploy` switches it to what the model says.

Examples:
  diorama image web                               web.qcow2, for a virtual machine
  diorama image web shop.nix -i production.nix    with what that host's own module says
  diorama image web --format raw -o /tmp/web.img  to be written to a real disk with dd
  diorama image web --size 20G                    a larger disk";

/// Make a bootable disk for a host.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The node.
    #[arg(value_name = "NODE")]
    node: String,
    #[command(flatten)]
    model: ModelArgs,
    /// The disk's format.
    #[arg(long, value_enum, default_value = "qcow2")]
    format: Format,
    /// Where the disk goes. By default NODE.qcow2 or NODE.raw.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How large the disk is, such as 20G; by default what virtualisation.diskSize says.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    size: Option<u64>,
    /// Replace the file when it is there.
    #[arg(long)]
    force: bool,
    /// Say nothing but errors.
    #[arg(short, long)]
    quiet: bool,
}

/// What a disk is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// QEMU's, which only holds what is written.
    Qcow2,
    /// Plain bytes.
    Raw,
}

impl From<Format> for DriveFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Qcow2 => Self::Qcow2,
            Format::Raw => Self::Raw,
        }
    }
}

/// Reads a size with its unit; gives MiB.
fn size(text: &str) -> std::result::Result<u64, String> {
    let wrong = || format!("{text:?} is no size such as 20G or 4096M");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let factor = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "M" | "MIB" => 1,
        "G" | "GIB" => 1 << 10,
        "T" | "TIB" => 1 << 20,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).filter(|&s| (64..=1 << 31).contains(&s)).ok_or_else(wrong)
}

pub(super) async fn run(args: &Args, global: &Global) -> Outcome {
    let format = DriveFormat::from(args.format);
    let to = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}.{format}", args.node)));
    if to.exists() && !args.force {
        return Err(Error::new(format!("{} is there already", to.display()))
            .hint("give another name with --output, or replace it with --force"));
    }
    let cancel = eval::cancelled_by_ctrl_c();
    let (evaluator, model) = production::evaluator(&args.model, global, Some(&args.node))?;
    let production = evaluator.production(&model, &mut |p| eval::say(&p, args.quiet), &cancel).await?;
    let image = production.images.get(&args.node).ok_or_else(|| unknown(&args.node, &production))?;
    evaluator.realise_images(&production, &mut |p| eval::say(&p, args.quiet), &cancel).await?;
    let (from, out_file, size) = (image.path.clone(), to.clone(), args.size);
    tokio::task::spawn_blocking(move || disk::export(&from, &out_file, format, size))
        .await
        .map_err(anyhow::Error::from)?
        .map_err(anyhow::Error::from)?;
    out::line(&to.display().to_string());
    Ok(0)
}

fn unknown(node: &str, production: &crate::nix::Production) -> Error {
    if production.realise.contains_key(node) {
        let (model, why) = (production.model.display(), &production.system.why);
        return Error::new(format!("{model}: {node}'s system is evaluated already ({why})"))
            .hint("a disk is made of a model; name one, or the flake's output `diorama' or `colmena'");
    }
    let e = Error::not_found(format!("{} has no node {node:?}", production.model.display()));
    let names = || production.realise.keys().map(String::as_str);
    match nearest(node, names()) {
        Some(near) => e.hint(format!("did you mean {near}?")),
        None => e.hint(format!("its nodes are {}", names().collect::<Vec<_>>().join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("4096M"), Ok(4096));
        assert_eq!(size("20G"), Ok(20_480));
        assert_eq!(size("1tib"), Ok(1 << 20));
        for wrong in ["", "G", "20", "20K", "-5G", "1.5G", "63M", "99999999999999999999T", "20 G"] {
            assert!(size(wrong).is_err(), "{wrong:?}");
        }
    }
}
