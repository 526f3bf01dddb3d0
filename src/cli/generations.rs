//! `diorama generations`: what was deployed when.

use super::{Global, Outcome, common, out, production};
use crate::deploy::words;

const EXAMPLES: &str = "\
Generation 0 is what the first deployment found on the hosts.

Examples:
  diorama generations                    of the only network that was deployed from here
  diorama generations --network shop
  diorama diff 3 4                       what changed in between
  diorama rollback 3                     go back to it";

/// List the generations of a network.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The network.
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Outcome {
    let (_, records) = production::recorded(args.network.as_deref(), &common::paths(global)?)?;
    let all = records.all()?;
    if args.json {
        out::json(&all)?;
        return Ok(0);
    }
    let mut rows = vec![["GENERATION", "WHEN", "BY", "CHANGED", "MODEL"].map(String::from).to_vec()];
    for g in &all {
        let changed: Vec<&str> = g
            .outcomes
            .iter()
            .filter(|(_, o)| matches!(o, words::Outcome::Switched | words::Outcome::SwitchedWithFailedUnits))
            .map(|(n, _)| n.as_str())
            .collect();
        let changed = if g.number == 0 { "(as found)".to_owned() } else { changed.join(", ") };
        rows.push(vec![g.number.to_string(), when(g.time), g.by.clone(), changed, g.files.model.clone()]);
    }
    out::print(&out::table(&rows));
    Ok(0)
}

/// A time for people, in UTC.
pub(super) fn when(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|s| time::OffsetDateTime::from_unix_timestamp(s).ok())
        .map(|t| {
            let (date, clock) = (t.date(), t.time());
            format!("{date} {:02}:{:02}:{:02}", clock.hour(), clock.minute(), clock.second())
        })
        .unwrap_or_else(|| seconds.to_string())
}
