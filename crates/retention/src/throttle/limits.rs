//! From what to where a run slows down, and from where on it stops.

use std::time::Duration;

use super::{Reading, Replica, Source, TableRows, Verdict};
use crate::pace::Share;

/// The least that slowing down leaves: a tenth. Less would be a stop that nobody is told of.
pub(super) const LEAST_SHARE: Share = match Share::new(10) {
    Ok(share) => share,
    Err(_) => Share::LEAST,
};
/// What vacuum, running or due, leaves.
const BESIDE_VACUUM: Share = match Share::new(50) {
    Ok(share) => share,
    Err(_) => Share::LEAST,
};

/// Two limits of one measure: from `slow` on batches shrink, down to a tenth at `stop`; from `stop` on there are none.
///
/// A `slow` of `stop` or more means that nothing shrinks before it stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Band {
    /// The first value at which batches shrink.
    pub slow: u64,
    /// The first value at which none may begin.
    pub stop: u64,
}

/// The limits of all sources. `None` switches a source off: it is not looked at, not even whether it can be read.
///
/// Every value is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Replicas.
    pub replication: Option<ReplicationLimits>,
    /// Sessions that wait for us. Default: 1 and 5. Each of them is somebody's request: one halves a batch, two leave a
    /// third, and so on.
    pub waiters: Option<Band>,
    /// Finished segments of log, of 16 MiB each unless the server was built otherwise, that wait to be archived; a failing
    /// archive stops whatever their number. Default: 16 and 42; GitLab stops its migrations above 42.
    pub wal_archive: Option<Band>,
    /// Bytes of log that a replication slot keeps. Default: 1 GiB and 8 GiB. What a slot keeps can fill the disk.
    pub slots: Option<Band>,
    /// What others do. It only slows down.
    pub load: Option<LoadLimits>,
    /// The tables themselves. It only slows down.
    pub tables: Option<TableLimits>,
    /// SQLite.
    pub sqlite: SqliteLimits,
    /// How long a source may be unknown. Default 10 s: longer than a fail-over of a pool, shorter than what anybody would
    /// call unattended.
    pub grace: Duration,
    /// How long all verdicts may be stops before the run is to end: its lease is better given back. Default 10 min, for
    /// which GitLab puts off a migration.
    pub patience: Duration,
    /// When to ask again after a stop. Default 1 s, the interval at which pt-archiver looks at its replicas.
    pub retry: Duration,
}

/// Limits of the lag of each replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicationLimits {
    /// Bytes that it has not applied. Default: 16 MiB and 256 MiB.
    pub bytes: Band,
    /// Its delay in milliseconds. Default: 500 and 1,500; gh-ost stops at 1,500, pt-archiver at 1,000.
    pub delay_ms: Band,
    /// `application_name`s of replicas that do not count, such as one that is delayed on purpose. Default: none.
    pub ignored: Vec<String>,
}

/// Limits of what others do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadLimits {
    /// Share of `max_connections` that may run a statement. Default 25 %.
    pub active: Share,
    /// The most that may, if that is less: for example the cores of the server, which cannot be asked for. Default: no
    /// such limit.
    pub active_max: Option<u64>,
}

/// Limits of the tables a run works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableLimits {
    /// Share of dead versions in all rows of a table, or `None`. Default `None`: what a run deletes is more than any share
    /// that would say something of others, and a vacuum is waited for when it comes.
    pub dead: Option<Share>,
    /// Dead versions below which the share is not looked at. Default 10,000.
    pub dead_rows: u64,
}

/// Limits of SQLite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqliteLimits {
    /// Bytes of log that could not be written back. Default: 64 MiB and 512 MiB. Each reader looks through the log, and it
    /// is on the same disk as the file.
    pub wal_file: Option<Band>,
    /// Milliseconds that the last batch waited for the write lock, less the time since then. Default: 100 and 2,000. Whoever kept it that long will
    /// be kept waiting by us as often.
    pub write_lock_ms: Option<Band>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            replication: Some(ReplicationLimits::default()),
            waiters: Some(Band { slow: 1, stop: 5 }),
            wal_archive: Some(Band { slow: 16, stop: 42 }),
            slots: Some(Band { slow: 1 << 30, stop: 8 << 30 }),
            load: Some(LoadLimits::default()),
            tables: Some(TableLimits::default()),
            sqlite: SqliteLimits::default(),
            grace: Duration::from_secs(10),
            patience: Duration::from_secs(600),
            retry: Duration::from_secs(1),
        }
    }
}

impl Default for ReplicationLimits {
    fn default() -> Self {
        Self {
            bytes: Band { slow: 16 << 20, stop: 256 << 20 },
            delay_ms: Band { slow: 500, stop: 1500 },
            ignored: Vec::new(),
        }
    }
}

impl Default for LoadLimits {
    fn default() -> Self {
        Self { active: share(25), active_max: None }
    }
}

impl Default for TableLimits {
    fn default() -> Self {
        Self { dead: None, dead_rows: 10_000 }
    }
}

impl Default for SqliteLimits {
    fn default() -> Self {
        Self {
            wal_file: Some(Band { slow: 64 << 20, stop: 512 << 20 }),
            write_lock_ms: Some(Band { slow: 100, stop: 2000 }),
        }
    }
}

impl Limits {
    /// The verdict on one reading by itself.
    #[must_use]
    pub fn judge(&self, reading: &Reading) -> Verdict {
        let source = reading.source();
        if !self.is_wanted(source) {
            return Verdict::Go;
        }
        let band = |limits: Option<Band>, value: u64| {
            limits.map_or(Verdict::Go, |limits| self.judge_band(source, limits, value))
        };
        match reading {
            Reading::Replicas(replicas) => self.judge_replicas(replicas),
            Reading::Waiters { sessions } => self.judge_waiters(*sessions),
            Reading::Archive { is_failing: true, .. } => self.stop(source),
            Reading::Archive { waiting_segments, .. } => band(self.wal_archive, *waiting_segments),
            Reading::Slots { retained_bytes } => band(self.slots, *retained_bytes),
            Reading::Load { active, max_connections } => self.judge_load(*active, *max_connections),
            Reading::Tables { is_vacuumed, rows } => self.judge_tables(*is_vacuumed, rows),
            Reading::WalFile { bytes } => band(self.sqlite.wal_file, *bytes),
            Reading::WriteLock { waited } => band(self.sqlite.write_lock_ms, milliseconds(*waited)),
            Reading::Unknown { why, .. } => Verdict::Unknown { why: why.clone() },
        }
    }

    fn is_wanted(&self, source: Source) -> bool {
        match source {
            Source::ReplicationLag => self.replication.is_some(),
            Source::LockWaiters => self.waiters.is_some(),
            Source::WalArchive => self.wal_archive.is_some(),
            Source::SlotRetention => self.slots.is_some(),
            Source::Load => self.load.is_some(),
            Source::Autovacuum => self.tables.is_some(),
            Source::WalFile => self.sqlite.wal_file.is_some(),
            Source::WriteLock => self.sqlite.write_lock_ms.is_some(),
        }
    }

    /// A replica that tells no position lags. One that has applied everything has no delay to tell and does not lag; one
    /// that has not and tells no delay lags.
    fn judge_replicas(&self, replicas: &[Replica]) -> Verdict {
        let Some(limits) = &self.replication else { return Verdict::Go };
        replicas
            .iter()
            .filter(|replica| !limits.ignored.contains(&replica.name))
            .map(|replica| match (replica.bytes, replica.delay) {
                (Some(0), _) => Verdict::Go,
                (Some(bytes), Some(delay)) => {
                    let by_bytes = self.judge_band(Source::ReplicationLag, limits.bytes, bytes);
                    by_bytes.worse(self.judge_band(Source::ReplicationLag, limits.delay_ms, milliseconds(delay)))
                }
                _ => self.stop(Source::ReplicationLag),
            })
            .fold(Verdict::Go, Verdict::worse)
    }

    /// Not in proportion to the band: from none to one is the step that counts.
    fn judge_waiters(&self, sessions: u64) -> Verdict {
        let Some(limits) = self.waiters else { return Verdict::Go };
        if sessions >= limits.stop {
            self.stop(Source::LockWaiters)
        } else if sessions >= limits.slow {
            slow(100 / (sessions.saturating_add(1)))
        } else {
            Verdict::Go
        }
    }

    fn judge_load(&self, active: u64, max_connections: u64) -> Verdict {
        let Some(limits) = self.load else { return Verdict::Go };
        let accepted = max_connections.saturating_mul(u64::from(limits.active.percent())) / 100;
        let accepted = limits.active_max.map_or(accepted, |most| most.min(accepted)).max(1);
        if active <= accepted { Verdict::Go } else { slow(accepted.saturating_mul(100) / active) }
    }

    fn judge_tables(&self, is_vacuumed: bool, rows: &[TableRows]) -> Verdict {
        let Some(limits) = self.tables else { return Verdict::Go };
        let is_due = |rows: &TableRows| {
            let all = u128::from(rows.live) + u128::from(rows.dead);
            let is_large = |most: Share| u128::from(rows.dead) * 100 >= all * u128::from(most.percent());
            rows.dead >= limits.dead_rows && rows.dead > 0 && limits.dead.is_some_and(is_large)
        };
        if is_vacuumed || rows.iter().any(is_due) { Verdict::Slow(BESIDE_VACUUM) } else { Verdict::Go }
    }

    fn judge_band(&self, source: Source, band: Band, value: u64) -> Verdict {
        if value >= band.stop {
            return self.stop(source);
        }
        if value < band.slow {
            return Verdict::Go;
        }
        // Here slow <= value < stop. What is left of the way to the stop, in percent.
        let left = u128::from(band.stop - value) * 100 / u128::from(band.stop - band.slow);
        slow(u64::try_from(left).unwrap_or(100))
    }

    fn stop(&self, source: Source) -> Verdict {
        Verdict::Stop { reason: source, retry: self.retry }
    }
}

/// Slowing down to so many percent, to no less than a tenth, and to less than all.
fn slow(percent: u64) -> Verdict {
    let least = u64::from(LEAST_SHARE.percent());
    Verdict::Slow(share(u8::try_from(percent.clamp(least, 99)).unwrap_or(99)))
}

fn share(percent: u8) -> Share {
    Share::new(percent).unwrap_or(Share::ALL)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
