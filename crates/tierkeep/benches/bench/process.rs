//! What processes have used.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// CPU time of the living threads of a process.
pub(crate) fn cpu_of(pid: u32) -> Result<Duration> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let times = fs::read_to_string(task?.path().join("schedstat"))?;
        let running = times.split_whitespace().next().context("schedstat has three numbers")?;
        nanoseconds += running.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// CPU time of the backends of PostgreSQL that serve a database, as their titles name it.
pub(crate) fn cpu_of_backends(server: u32, database: &str) -> Result<Duration> {
    let mut total = Duration::ZERO;
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // a process may end while it is looked at
        let (Ok(stat), Ok(title)) =
            (fs::read_to_string(format!("/proc/{pid}/stat")), fs::read_to_string(format!("/proc/{pid}/cmdline")))
        else {
            continue;
        };
        let parent = stat.rsplit(')').next().unwrap_or_default().split_whitespace().nth(1).map(str::parse);
        if parent == Some(Ok(server)) && title.split(' ').any(|word| word == database) {
            total += cpu_of(pid).unwrap_or_default();
        }
    }
    Ok(total)
}

/// A line of what the kernel says of the memory of a process, in MiB: `VmRSS:` what it has resident, `VmHWM:` the most so far.
pub(crate) fn memory_mib(pid: u32, name: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with(name)).context("a living process has memory")?;
    let kib: f64 = line.split_whitespace().nth(1).context("it has a number")?.parse()?;
    Ok(kib / 1024.0)
}
