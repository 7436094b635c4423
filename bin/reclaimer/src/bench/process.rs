//! What the system says of a process.

use std::time::Duration;

use anyhow::{Context, Result};

/// A process, by its number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process(pub(super) u32);

impl Process {
    /// How much memory it takes now, in bytes.
    pub(super) fn resident(self) -> Result<u64> {
        let status = self.read("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1_024)
    }

    /// How much processor time it has taken, its own and the kernel's for it.
    pub(super) fn busy(self) -> Result<Duration> {
        let stat = self.read("stat")?;
        // Its name is in brackets, and may have anything in it.
        let (_, after) = stat.rsplit_once(')').context("no name in stat")?;
        let ticks = after.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks = ticks.sum::<Result<u64, _>>()?;
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
    }

    fn read(self, what: &str) -> Result<String> {
        std::fs::read_to_string(format!("/proc/{}/{what}", self.0)).context("the process is gone")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_takes_memory_and_time() {
        let own = Process(std::process::id());
        assert!(own.resident().unwrap() > 1_000_000);
        let before = own.busy().unwrap();
        let mut sum = 0_u64;
        while own.busy().unwrap() == before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(own.busy().unwrap() > before);
    }
}
