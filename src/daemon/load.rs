//! What the machines' QEMU processes take of this machine, out of /proc (proc(5)).
//!
//! Invariant: a process that is gone, or that is somebody else's by now, counts as nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::unistd::{SysconfVar, sysconf};

use crate::proto::Load;

/// The shortest time over which a share of the CPUs is told.
const SPAN: Duration = Duration::from_millis(900);

/// Looks at processes from time to time.
#[derive(Debug)]
pub(super) struct Meter {
    ticks_per_second: f64,
    page: u64,
    cpus: f64,
    taken: Option<Instant>,
    /// Clock ticks that each process has had.
    ticks: BTreeMap<u32, u64>,
    loads: BTreeMap<String, Load>,
}

impl Meter {
    /// A meter that has seen nothing.
    pub fn new() -> Self {
        let number = |var| sysconf(var).ok().flatten().filter(|n| *n > 0);
        Self {
            ticks_per_second: number(SysconfVar::CLK_TCK).unwrap_or(100) as f64,
            page: number(SysconfVar::PAGE_SIZE).unwrap_or(4096).unsigned_abs(),
            cpus: number(SysconfVar::_NPROCESSORS_ONLN).unwrap_or(1) as f64,
            taken: None,
            ticks: BTreeMap::new(),
            loads: BTreeMap::new(),
        }
    }

    /// What each node's process takes; looked at anew when enough time has passed.
    pub fn read(&mut self, processes: &[(String, u32)]) -> &BTreeMap<String, Load> {
        let passed = self.taken.map(|t| t.elapsed());
        if passed.is_some_and(|p| p < SPAN) {
            return &self.loads;
        }
        let whole = passed.map(|p| p.as_secs_f64() * self.ticks_per_second * self.cpus);
        let before = std::mem::take(&mut self.ticks);
        self.loads.clear();
        for (node, pid) in processes {
            let Some((ticks, pages)) = stat(*pid) else { continue };
            let spent = before.get(pid).map(|old| ticks.saturating_sub(*old) as f64);
            let cpu = match (spent, whole) {
                (Some(spent), Some(whole)) if whole > 0.0 => spent / whole * 1000.0,
                _ => 0.0,
            };
            self.ticks.insert(*pid, ticks);
            let load = Load { cpu_permille: cpu.min(1000.0) as u16, memory: pages * self.page };
            self.loads.insert(node.clone(), load);
        }
        self.taken = Some(Instant::now());
        &self.loads
    }
}

/// Clock ticks used, and pages of memory held, by a process.
fn stat(pid: u32) -> Option<(u64, u64)> {
    parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse(stat: &str) -> Option<(u64, u64)> {
    // The second field is the program's name in brackets, and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    // The first of these is the third of proc(5): utime is its 14th, stime its 15th, rss its 24th.
    let field = |n: usize| fields.get(n - 3)?.parse::<u64>().ok();
    Some((field(14)? + field(15)?, field(24)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_the_name() {
        let line = "7 (a b) c) S 1 7 7 0 -1 4194304 900 0 0 0 30 12 0 0 20 0 3 0 55 800000 4321 18446744073709551615";
        assert_eq!(parse(line), Some((42, 4321)));
        assert_eq!(parse("7 (x) S 1"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn this_process_holds_memory_and_a_missing_one_counts_as_nothing() {
        let mut meter = Meter::new();
        let loads = meter.read(&[("me".into(), std::process::id()), ("gone".into(), u32::MAX)]);
        assert!(loads["me"].memory > 1 << 20);
        assert!(!loads.contains_key("gone"));
    }
}
