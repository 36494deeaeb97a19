//! What concerns all nodes, as one of them tells it: the schedule, what waits, and how much is stored.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use prometheus_client::encoding::NoLabelSet;
use prometheus_client::metrics::MetricType;
use tierkeep_learning::store::{Queues, TableSize};
use tierkeep_schedule::{TaskCounts, TaskState};

use super::asked::{Schedule, Told};
use super::snapshot::{Page, measure};

type Measured = (&'static str, &'static str, fn(&TaskState, Timestamp) -> Option<f64>);

/// What is told of each task. A measure that there is not yet is left out.
const OF_TASKS: [Measured; 7] = [
    ("tierkeep_schedule_enabled", "Whether a task is on (1)", |task, _| Some(f64::from(u8::from(task.is_enabled)))),
    ("tierkeep_schedule_running", "Whether a node works at it (1)", |task, _| {
        Some(f64::from(u8::from(task.works.is_some())))
    }),
    ("tierkeep_schedule_failures", "Runs that have failed since one was last done", |task, _| {
        Some(measure(task.failures))
    }),
    ("tierkeep_schedule_due_seconds", "Time until it is due; below 0, by which it is late", |task, now| {
        task.next_at.map(|next| next.duration_since(now).as_secs_f64())
    }),
    ("tierkeep_schedule_success_age_seconds", "Time since a run of it was last done", |task, now| {
        task.succeeded_at.map(|at| passed(now.duration_since(at)))
    }),
    ("tierkeep_schedule_run_age_seconds", "Time since the run began that works now", |task, now| {
        task.works.as_ref()?.started_at.map(|at| passed(now.duration_since(at)))
    }),
    (
        "tierkeep_schedule_last_duration_seconds",
        "What its last run took that has ended, its last attempt",
        |task, _| {
            let last = task.last.as_ref()?;
            Some(passed(last.ended_at?.duration_since(last.started_at?)))
        },
    ),
];

type Counted = (&'static str, fn(&TaskCounts) -> u64);

/// How attempts of this node end.
const ENDED: [Counted; 5] = [
    ("done", |counts| counts.done),
    ("failed", |counts| counts.failed),
    ("refused", |counts| counts.refused),
    ("put_off", |counts| counts.put_off),
    ("overtaken", |counts| counts.overtaken),
];

impl Page<'_> {
    /// What ended on this node.
    pub(super) fn ended(&mut self, tasks: &[TaskCounts]) -> fmt::Result {
        let help = "Attempts at runs that ended on this node: done; failed, the last one; refused; put_off, another one \
                    follows; overtaken, by another node";
        let by_end = tasks.iter().flat_map(|task| {
            ENDED.map(|(ended, count)| ([("task", task.name.as_str()), ("ended", ended)], count(task)))
        });
        self.counts("tierkeep_schedule_attempts", help, by_end)?;
        let help = "Time that these took";
        let mut family = self.family("tierkeep_schedule_attempt_seconds", help, MetricType::Counter)?;
        for task in tasks {
            let labels = [("task", task.name.as_str())];
            let mut series = family.encode_family(&labels)?;
            series.encode_counter::<NoLabelSet, f64, u64>(&task.took.as_secs_f64(), None)?;
        }
        let lags: Vec<_> = tasks.iter().map(|task| (task.name.as_str(), task.lag.as_secs_f64())).collect();
        let help = "How long after it could have begun the last one on this node did";
        self.gauges("tierkeep_schedule_lag_seconds", help, "task", &lags)
    }

    pub(super) fn told(&mut self, told: &Told) -> fmt::Result {
        told.schedule.as_ref().map_or(Ok(()), |schedule| self.schedule(schedule))?;
        told.queues.as_ref().map_or(Ok(()), |queues| self.queues(queues))?;
        told.sizes.as_ref().map_or(Ok(()), |sizes| self.tables(sizes))
    }

    fn schedule(&mut self, schedule: &Schedule) -> fmt::Result {
        for (name, help, of) in OF_TASKS {
            let tasks = schedule.tasks.iter();
            let values: Vec<_> = tasks.filter_map(|task| Some((task.name.as_str(), of(task, schedule.now)?))).collect();
            self.gauges(name, help, "task", &values)?;
        }
        Ok(())
    }

    fn queues(&mut self, queues: &Queues) -> fmt::Result {
        let lengths = [
            ("changes", measure(queues.outbox_rows)),
            ("learners", measure(queues.dirty_learners)),
            ("days", measure(queues.dirty_days)),
            ("analytics", measure(queues.analytics_due)),
        ];
        let help = "What waits, up to 100000: changes that are kept, learners with changes that are not folded, days on \
                    which those begin, learners who wait for nightly rows";
        self.gauges("tierkeep_queue_length", help, "queue", &lengths)?;
        let oldest = queues.oldest_change_age.unwrap_or_default();
        let help = "Time that the oldest change waits to be folded; 0 where none does";
        self.gauge("tierkeep_queue_oldest_change_seconds", help, passed(oldest))
    }

    fn tables(&mut self, sizes: &[TableSize]) -> fmt::Result {
        let bytes: Vec<_> = sizes.iter().map(|size| (size.table.as_str(), measure(size.bytes))).collect();
        self.gauges("tierkeep_table_bytes", "Bytes of a table on disk, with its indexes", "table", &bytes)?;
        let rows = sizes.iter().filter_map(|size| Some((size.table.as_str(), measure(size.rows_estimate?))));
        let rows: Vec<_> = rows.collect();
        self.gauges("tierkeep_table_rows", "Rows in it, as the database estimates", "table", &rows)
    }
}

/// Clocks that disagree make no time negative.
fn passed(time: SignedDuration) -> f64 {
    time.as_secs_f64().max(0.0)
}
