//! Times in order, and what processes have used.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Durations of one kind.
#[derive(Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn add(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The smallest that `per_mille` thousandths of the samples do not exceed, in milliseconds.
    pub(crate) fn quantile_ms(&mut self, per_mille: usize) -> f64 {
        self.0.sort_unstable();
        let place = (self.0.len() * per_mille).div_ceil(1000).max(1) - 1;
        self.0[place].as_secs_f64() * 1e3
    }
}

/// The middle one.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

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

/// The most memory that a process had resident so far, in MiB.
pub(crate) fn peak_mib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("a living process has memory")?;
    let kib: f64 = line.split_whitespace().nth(1).context("VmHWM has a number")?.parse()?;
    Ok(kib / 1024.0)
}
