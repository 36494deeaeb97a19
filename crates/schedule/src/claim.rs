//! Which run of a task is to begin.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::rows::Row;
use crate::run::instant;
use crate::{Retries, RunId, TaskName};

/// A run that waits or works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenRun {
    pub(crate) id: RunId,
    pub(crate) works: bool,
    pub(crate) due: Timestamp,
    pub(crate) run_at: Timestamp,
    pub(crate) failures: u32,
    pub(crate) is_asked_for: bool,
    pub(crate) is_only_here: bool,
    /// Whether whoever works at it has lost it: its lease is over, or it is gone.
    pub(crate) is_lost: bool,
}

impl OpenRun {
    pub(crate) fn waiting(id: RunId, run_at: Timestamp) -> Self {
        Self {
            id,
            works: false,
            due: run_at,
            run_at,
            failures: 0,
            is_asked_for: false,
            is_only_here: false,
            is_lost: false,
        }
    }

    /// A row of `runs_open.sql`.
    pub(crate) fn read(row: &Row) -> Self {
        Self {
            id: RunId::new(row.number(0)),
            works: row.flag(1),
            due: instant(row.number(2)),
            run_at: instant(row.number(3)),
            failures: u32::try_from(row.number(5)).unwrap_or(u32::MAX),
            is_asked_for: row.flag(6),
            is_only_here: row.flag(7),
            is_lost: row.flag(8),
        }
    }
}

/// What is to be done with the runs of a task.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pick<'a> {
    Nothing,
    /// Begin an attempt; so many before it failed.
    Take {
        run: &'a OpenRun,
        failures: u32,
    },
    /// Nobody works at it any more, and that was the last attempt.
    GiveUp {
        run: &'a OpenRun,
        failures: u32,
    },
}

/// The run of a task that is to begin: the one that has lost its node, or, if none works, the first that may.
pub(crate) fn pick(open: &[OpenRun], is_enabled: bool, now: Timestamp, retries: Retries) -> Pick<'_> {
    if let Some(run) = open.iter().find(|run| run.works) {
        if !run.is_lost {
            return Pick::Nothing;
        }
        let failures = run.failures.saturating_add(1);
        if run.is_only_here || retries.pause_after(failures).is_none() {
            return Pick::GiveUp { run, failures };
        }
        return Pick::Take { run, failures };
    }
    let may_begin = |run: &&OpenRun| run.run_at <= now && !run.is_only_here && (is_enabled || run.is_asked_for);
    let first = open.iter().filter(may_begin).min_by_key(|run| (run.run_at, run.id));
    first.map_or(Pick::Nothing, |run| Pick::Take { run, failures: run.failures })
}

/// What the fence of a task is called.
pub(crate) fn fence_name(task: &TaskName) -> String {
    format!("task {task}")
}

/// What a zone is called in the table: only a name can be read by other nodes.
pub(crate) fn zone_name(zone: &TimeZone) -> String {
    match (zone.iana_name(), zone.to_fixed_offset()) {
        (Some(name), _) => name.to_owned(),
        (None, Ok(offset)) => offset.to_string(),
        (None, Err(_)) => "unnamed".to_owned(),
    }
}

#[cfg(test)]
mod tests;
