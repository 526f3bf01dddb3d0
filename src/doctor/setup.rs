//! Installing what is missing: a plan first, then its steps.
//!
//! Invariant: the plan is pure and complete; nothing runs that it does not name.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use crate::error::{Error, Result};
use crate::nix::{BUILD_GROUP, build_users};
use crate::paths::Paths;

use super::checks::{self, Report};

/// How many users build for root; each builds one thing at a time.
const BUILD_USERS: usize = 10;

/// One command of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it is for.
    pub why: String,
    /// The command and its arguments.
    pub command: Vec<String>,
}

/// What has to be done on this machine, as root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The commands, in order.
    pub steps: Vec<Step>,
    /// The packages that will be installed.
    pub packages: Vec<&'static str>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The plan as command lines for a shell, `sudo` before each when the user is not root.
    pub fn command_lines(&self, sudo: bool) -> Vec<String> {
        let before = if sudo { "sudo " } else { "" };
        let quote = |w: &String| match w.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=,:+".contains(c))
        {
            true => w.clone(),
            false => format!("'{w}'"),
        };
        self.steps
            .iter()
            .map(|s| format!("{before}{}", s.command.iter().map(quote).collect::<Vec<_>>().join(" ")))
            .collect()
    }
}

/// What is to be done about a report. `root` is whether Nix will run as root here, `users` whether it
/// has users to build as, `lists` whether apt has package lists.
pub fn plan(reports: &[Report], root: bool, users: bool, lists: bool) -> Plan {
    let packages = checks::missing_packages(reports);
    let mut steps = Vec::new();
    let mut step = |why: &str, command: &[&str]| {
        let command = command.iter().map(|w| (*w).to_owned()).collect();
        steps.push(Step { why: why.into(), command });
    };
    if !lists {
        step("fetch apt's package lists", &["apt-get", "update"]);
    }
    // A qemu-utils that is newer than the QEMU to be installed stands in its way: asked for both at once, apt
    // refuses. Asked for QEMU alone it removes the newer one, and then the fitting one can be had.
    let (first, then) = match packages.contains(&checks::QEMU) {
        true => packages.iter().partition(|p| **p != checks::QEMU_UTILS),
        false => (packages.clone(), Vec::new()),
    };
    for (why, packages) in [("install what is missing", first), ("install QEMU's tools of its version", then)]
    {
        if !packages.is_empty() {
            let mut command = vec!["apt-get", "install", "--yes", "--no-install-recommends"];
            command.extend(packages);
            step(why, &command);
        }
    }
    if root && !users {
        step(
            "make the group whose members build for root",
            &["groupadd", "--force", "--system", BUILD_GROUP],
        );
        for n in 1..=BUILD_USERS {
            let name = format!("{BUILD_GROUP}{n}");
            step(
                "make a user that builds",
                &[
                    "useradd",
                    "--system",
                    "--no-create-home",
                    "--home-dir",
                    "/var/empty",
                    "--shell",
                    "/usr/sbin/nologin",
                    "--comment",
                    "Nix build user",
                    "--gid",
                    BUILD_GROUP,
                    "--groups",
                    BUILD_GROUP,
                    &name,
                ],
            );
        }
    }
    Plan { steps, packages }
}

/// Looks at the machine and plans.
pub async fn look(paths: &Paths) -> Plan {
    let reports = checks::report(paths).await;
    let root = nix::unistd::geteuid().is_root();
    plan(&reports, root, build_users(), checks::package_lists())
}

/// Does what a plan says. `say` is told what is being done.
///
/// # Errors
/// When this user is not root, or a step fails.
pub fn run(plan: &Plan, say: &mut dyn FnMut(&str)) -> Result<()> {
    if plan.is_empty() {
        return Ok(());
    }
    if !nix::unistd::geteuid().is_root() {
        let sudo = crate::qemu::on_path("sudo").is_some();
        let e = Error::new("this needs root, for the package manager");
        return Err(plan.command_lines(sudo).into_iter().fold(e, |e, line| e.hint(format!("run: {line}"))));
    }
    let mut last = "";
    for step in &plan.steps {
        if step.why != last {
            say(&step.why);
            last = &step.why;
        }
        let Some((program, args)) = step.command.split_first() else { continue };
        // A user that an interrupted run has made stays.
        if program == "useradd" && exists(step.command.last().map(String::as_str).unwrap_or_default()) {
            continue;
        }
        execute(program, args)?;
    }
    Ok(())
}

fn exists(user: &str) -> bool {
    matches!(nix::unistd::User::from_name(user), Ok(Some(_)))
}

/// Runs one command; its own words go to standard error, so that standard output stays for results.
fn execute(program: &str, args: &[impl AsRef<OsStr>]) -> Result<()> {
    let stderr = std::io::stderr();
    let output = std::os::fd::AsFd::as_fd(&stderr).try_clone_to_owned()?;
    let status = Command::new(program)
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::from(output))
        .status()
        .map_err(|e| Error::new(format!("{program} cannot be run: {e}")))?;
    if status.success() {
        return Ok(());
    }
    let e = Error::new(format!("{program} failed ({status})"));
    Err(match program {
        "apt-get" => e.hint("its own words are above; `apt-get update` may be needed first"),
        _ => e,
    })
}

#[cfg(test)]
mod tests {
    use super::super::checks::{CHECKS, Need};
    use super::*;

    fn reports(missing: &[&str]) -> Vec<Report> {
        CHECKS
            .iter()
            .map(|c| {
                let ok = !missing.contains(&c.name);
                Report {
                    name: c.name,
                    purpose: c.purpose,
                    need: Need::Needed,
                    ok,
                    found: String::new(),
                    fix: None,
                    package: if ok { None } else { c.package },
                }
            })
            .collect()
    }

    #[test]
    fn the_plan_names_everything_in_order() {
        let all = plan(&reports(&["QEMU", "nix-store"]), true, false, false);
        let lines = all.command_lines(false);
        assert_eq!(lines[0], "apt-get update");
        let install = "apt-get install --yes --no-install-recommends";
        assert_eq!(lines[1], format!("{install} qemu-system-x86 nix-bin"));
        assert_eq!(lines[2], format!("{install} qemu-utils"), "together with QEMU apt may refuse it");
        assert_eq!(lines[3], "groupadd --force --system nixbld");
        assert!(lines[4].starts_with("useradd --system") && lines[4].ends_with("--groups nixbld nixbld1"));
        assert_eq!(lines.len(), 4 + BUILD_USERS);
        assert!(lines[4].contains("'Nix build user'"));
        let tools = plan(&reports(&["qemu-img", "xz"]), true, true, true);
        assert_eq!(tools.command_lines(false), [format!("{install} qemu-utils xz-utils")]);
        assert!(plan(&reports(&[]), true, true, true).is_empty());
        assert!(plan(&reports(&[]), false, false, true).is_empty(), "a private store needs no users");
        let one = plan(&reports(&["xz"]), false, false, true);
        assert_eq!(one.command_lines(true), ["sudo apt-get install --yes --no-install-recommends xz-utils"]);
    }
}
