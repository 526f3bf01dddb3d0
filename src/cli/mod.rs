//! The command line: one file a verb.
//!
//! A verb is a module with an `Args` (clap's derive; its doc comments and `after_help` are the
//! reference manual) and `async fn run(Args, &Global) -> Outcome`, and one row of [`Verb`]. Help,
//! completions, man pages and `docs/reference/cli.md` derive from these.
//!
//! Invariant: verbs talk to a session only through [`crate::client`].

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::engine::ArgValueCandidates;

use crate::error::{Error, Result};

pub mod out;

mod attach;
pub mod bridge;
pub mod build;
mod candidates;
mod common;
mod completions;
mod console;
mod coverage;
mod cp;
mod daemon;
mod deploy;
mod diff;
mod doctor;
mod down;
pub mod eval;
mod exec;
mod forward;
mod generations;
mod image;
mod link;
mod lock;
mod logs;
mod ls;
mod man;
mod models;
mod node;
mod plain;
mod plan;
mod production;
mod report;
mod rollback;
mod schema;
mod screenshot;
pub mod setup;
mod ssh;
mod status;
mod terminal;
mod test;
mod up;
mod verify;

/// The exit statuses that every verb shares; shown by `diorama --help`.
const EXIT_CODES: &str = "\
Exit status:
  0    done
  1    it failed
  2    the command line makes no sense
  3    no such session or node
  130  interrupted with ctrl-c
  `exec` hands on the remote command's status, see `diorama exec --help`.

Examples:
  diorama up                      boot the model in this directory and open the screen
  diorama up -d network.nix       the same in the background
  diorama exec web -- uname -a    run a command as root in a clone
  diorama link cut web db         drop every frame from web to db
  diorama link undo               take that back
  diorama down                    shut everything down";

/// A working scale model of your network: boots one declarative model's machines here, live.
#[derive(Debug, Parser)]
#[command(name = "diorama", version, after_help = EXIT_CODES, max_term_width = 100)]
#[command(propagate_version = true, disable_help_subcommand = true)]
pub struct Cli {
    /// What every verb understands.
    #[command(flatten)]
    pub global: Global,
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options that every verb understands.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Global {
    /// The session to talk to; by default the only one that runs.
    #[arg(short, long, global = true, value_name = "NAME", env = "DIORAMA_SESSION")]
    #[arg(add = ArgValueCandidates::new(candidates::sessions))]
    pub session: Option<String>,
    /// Keep disks, console logs and session files under this directory.
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<std::path::PathBuf>,
}

/// The verbs, in the order that help shows.
#[derive(Debug, Subcommand)]
pub enum Verb {
    Up(up::Args),
    Test(test::Args),
    Report(report::Args),
    Coverage(coverage::Args),
    Attach(attach::Args),
    Ls(ls::Args),
    Down(down::Args),
    Exec(exec::Args),
    Console(console::Args),
    Logs(logs::Args),
    Cp(cp::Args),
    Screenshot(screenshot::Args),
    Link(link::Args),
    Forward(forward::Args),
    Node(node::Args),
    Lock(lock::Args),
    Eval(eval::Args),
    Build(build::Args),
    Plan(plan::Args),
    Deploy(deploy::Args),
    Generations(generations::Args),
    Diff(diff::Args),
    Rollback(rollback::Args),
    Status(status::Args),
    Verify(verify::Args),
    Image(image::Args),
    Ssh(ssh::Args),
    Schema(schema::Args),
    Doctor(doctor::Args),
    Setup(setup::Args),
    Completions(completions::Args),
    Man(man::Args),
    /// Run a session in the background; started by `up`.
    #[command(hide = true)]
    Daemon,
    /// Carry a machine's VDE plugs to the session's switch; started with the machine.
    #[command(hide = true)]
    Bridge(bridge::Args),
}

/// What a verb ends in: the exit status, or an error for the person.
pub type Outcome = Result<u8>;

/// Runs the program on the process's own command line.
pub fn main() -> ExitCode {
    match completions::answer() {
        Ok(false) => {}
        Ok(true) => return ExitCode::SUCCESS,
        Err(e) => return report(&e),
    }
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return report(&Error::new(format!("the program cannot start its threads: {e}"))),
    };
    let outcome = runtime.block_on(run(cli));
    // A read of standard input cannot be cancelled; nobody waits for it.
    runtime.shutdown_background();
    match outcome {
        Ok(status) => ExitCode::from(status),
        Err(e) => report(&e),
    }
}

fn report(e: &Error) -> ExitCode {
    out::err(&e.print());
    ExitCode::from(e.status())
}

async fn run(cli: Cli) -> Outcome {
    let global = &cli.global;
    match cli.verb {
        Verb::Up(args) => up::run(args, global).await,
        Verb::Test(args) => test::run(args, global).await,
        Verb::Report(args) => report::run(&args, global),
        Verb::Coverage(args) => coverage::run(&args).await,
        Verb::Attach(args) => attach::run(args, global).await,
        Verb::Ls(args) => ls::run(args, global).await,
        Verb::Down(args) => down::run(args, global).await,
        Verb::Exec(args) => exec::run(args, global).await,
        Verb::Console(args) => console::run(args, global).await,
        Verb::Logs(args) => logs::run(args, global).await,
        Verb::Cp(args) => cp::run(args, global).await,
        Verb::Screenshot(args) => screenshot::run(args, global).await,
        Verb::Link(args) => link::run(args, global).await,
        Verb::Forward(args) => forward::run(args, global).await,
        Verb::Node(args) => node::run(args, global).await,
        Verb::Lock(args) => lock::run(args, global).await,
        Verb::Daemon => daemon::run().await,
        Verb::Bridge(args) => bridge::run(&args).await,
        Verb::Eval(args) => eval::run(&args, global).await,
        Verb::Build(args) => build::run(&args, global).await,
        Verb::Plan(args) => plan::run(&args, global).await,
        Verb::Deploy(args) => deploy::run(args, global).await,
        Verb::Generations(args) => generations::run(&args, global),
        Verb::Diff(args) => diff::run(&args, global).await,
        Verb::Rollback(args) => rollback::run(args, global).await,
        Verb::Status(args) => status::run(&args, global).await,
        Verb::Verify(args) => verify::run(args, global).await,
        Verb::Image(args) => image::run(&args, global).await,
        Verb::Ssh(args) => ssh::run(&args, global).await,
        Verb::Schema(args) => schema::run(&args, global),
        Verb::Doctor(args) => doctor::run(&args, global).await,
        Verb::Setup(args) => setup::run(&args, global).await,
        Verb::Completions(args) => completions::run(&args, global),
        Verb::Man(args) => man::run(&args, global),
    }
}

/// The whole command as clap knows it.
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_verb_teaches_by_example() {
        for verb in command().get_subcommands().filter(|c| !c.is_hide_set()) {
            let name = verb.get_name();
            assert!(verb.get_about().is_some(), "{name} has no description");
            let after = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains(&format!("diorama {name}")), "{name} shows no example");
        }
    }
}
