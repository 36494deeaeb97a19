//! After the batches: the planner's statistics, advice about space, and how the tables fare.

use std::collections::BTreeMap;
use std::time::Instant;

use tierkeep_db::Ident;

use crate::backlog::Remaining;
use crate::error::RetentionError;
use crate::report::{FileReport, Report, TableReport};
use crate::rule::{Action, Policy};
use crate::running::{Running, Session, Stop};

mod postgres;
mod sqlite;

/// Rows that must have changed before a table is measured anew, whatever its size: PostgreSQL's own scale is 50 and a tenth, but
/// a plan for a few rows is good however wrong their number.
const LEAST_CHANGED: u64 = 1000;
/// The share of a table's rows that must have changed, one in so many.
const CHANGED_SHARE: u64 = 10;
/// The share of dead rows that is worth a vacuum, one in so many.
const DEAD_SHARE: u64 = 5;
/// The share of a file's pages that must be free to be worth giving back, one in so many.
const FREE_SHARE: u64 = 4;
/// Restored rows that are forgotten in one transaction.
const FORGOTTEN_AT_ONCE: i64 = 10_000;
/// The table of the engine's own into which rules put rows.
const QUARANTINE: &str = "tierkeep_quarantine";

/// What a run did to the rows of a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Change {
    gone: u64,
    came: u64,
    overwritten: u64,
}

/// How large tables are.
#[derive(Debug, Clone, Default)]
struct Sizes {
    /// By subject, where the database tells.
    tables: BTreeMap<String, u64>,
    file: Option<sqlite::File>,
}

impl Change {
    fn rows(self) -> u64 {
        self.gone + self.came + self.overwritten
    }
}

/// What a run did to the rows of each subject.
fn changes(policy: &Policy, report: &Report) -> BTreeMap<&'static str, Change> {
    let mut changes: BTreeMap<&'static str, Change> = BTreeMap::new();
    let quarantine = policy.subjects.iter().find(|subject| is_quarantine(subject.relation.table().name()));
    for rule in &policy.rules {
        let rows = report.rows(rule.name);
        let own = changes.entry(rule.subject).or_default();
        match &rule.action {
            Action::Anonymise(_) => own.overwritten += rows,
            Action::DeleteDependants { .. } => {}
            Action::Delete => own.gone += rows,
            Action::Quarantine { .. } => {
                own.gone += rows;
                if let Some(quarantine) = quarantine {
                    changes.entry(quarantine.name).or_default().came += rows;
                }
            }
            Action::Archive { into, .. } => {
                own.gone += rows;
                changes.entry(into).or_default().came += rows;
            }
        }
        for (subject, rows) in report.dependants.get(rule.name).into_iter().flatten() {
            if let Some(subject) = policy.subjects.iter().find(|known| known.name == subject) {
                changes.entry(subject.name).or_default().gone += rows;
            }
        }
    }
    changes
}

fn is_quarantine(name: &Ident) -> bool {
    name.as_str() == QUARANTINE
}

/// Whether so many changed rows are worth measuring a table of `rows` anew.
fn is_worth_measuring(changed: u64, rows: u64) -> bool {
    changed > LEAST_CHANGED.max(rows / CHANGED_SHARE)
}

impl Running<'_> {
    /// Works, and puts into the report how the tables fare before and after, how old what is left is, and when it could be done.
    /// None of that is worth failing for.
    pub(crate) async fn work_measured(&mut self) -> Result<(), Stop> {
        let begun = Instant::now();
        let before = self.sizes().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the sizes of tables could not be read before a retention run");
            Sizes::default()
        });
        let done = self.work().await;
        if !matches!(done, Ok(()) | Err(Stop::Ending(_))) {
            return done;
        }
        if let Err(error) = self.measure(&before).await {
            tracing::warn!(%error, "the sizes of tables could not be read after a retention run");
        }
        match self.backlog().await {
            Ok(backlog) => self.report.backlog = backlog,
            Err(error) => tracing::warn!(%error, "the oldest row that retention is still about could not be read"),
        }
        if done.is_err() {
            let remaining = Remaining::estimate(&self.plan, &self.report, begun.elapsed(), self.order.now());
            self.report.remaining = (remaining.rows > 0).then_some(remaining);
        }
        done
    }

    /// How large the tables are, to be compared with afterwards. Sizes that take reading a table are asked for only if
    /// the tables are to be looked after.
    async fn sizes(&self) -> Result<Sizes, RetentionError> {
        match &self.session {
            Session::Postgres(db) => postgres::sizes(db, &self.engine.policy).await,
            Session::Sqlite(file) => sqlite::sizes(file, &self.engine.policy, self.engine.is_optimizing).await,
        }
    }

    /// Forgets restored rows whose grace is over.
    pub(crate) async fn prune_exempt(&mut self) -> Result<(), Stop> {
        let now = self.order.now().as_microsecond();
        let keeper = self.hold.keeper();
        loop {
            self.pass_gate().await?;
            let settings = crate::batch::postgres::settings(self.order.lock_timeout.as_millis());
            let gone = match &mut self.session {
                Session::Postgres(db) => postgres::prune_exempt(db, &keeper, &settings, now).await,
                Session::Sqlite(file) => sqlite::prune_exempt(file, keeper.clone(), now).await,
            };
            match gone {
                Ok(gone) if gone < FORGOTTEN_AT_ONCE.unsigned_abs() => return Ok(()),
                Ok(_) => {}
                Err(error) => self.wait_out(error).await?,
            }
        }
    }

    /// Measures tables whose rows changed much, and tells what an operator should do about space.
    pub(crate) async fn keep_up(&mut self) -> Result<(), Stop> {
        let policy = &self.engine.policy;
        let changes = changes(policy, &self.report);
        if let Session::Postgres(db) = &self.session {
            postgres::flush(db).await?;
        }
        for subject in &policy.subjects {
            self.pass_gate().await?;
            self.hold.renew().await?;
            let changed = changes.get(subject.name).copied().unwrap_or_default().rows();
            let table = subject.relation.table().quoted();
            match &mut self.session {
                Session::Postgres(db) => {
                    let fares = postgres::fares(db, &table).await?;
                    if is_worth_measuring(changed.max(fares.modified), fares.alive) {
                        let bounds = postgres::Bounds::of(self.order);
                        let analyzing = postgres::analyze(db, &table, fares.may_analyze, bounds);
                        match self.hold.while_renewing(analyzing).await? {
                            Some(advice) => self.report.advice.push(advice),
                            None => self.report.analyzed.push(subject.name.to_owned()),
                        }
                    }
                    self.report.advice.extend(fares.advice(&table, changed));
                }
                Session::Sqlite(file) => {
                    let rows = self.plan.tables.iter().find(|found| found.subject == subject.name);
                    if is_worth_measuring(changed, rows.map_or(0, |found| found.rows)) {
                        sqlite::analyze(file, self.hold.keeper(), table).await?;
                        self.report.analyzed.push(subject.name.to_owned());
                    }
                }
            }
        }
        if let Session::Sqlite(file) = &self.session {
            let file = file.clone();
            while sqlite::give_back(&file, self.hold.keeper()).await? {
                self.pass_gate().await?;
            }
            sqlite::write_back(&file).await;
            self.report.advice.extend(sqlite::advice(&file).await?);
        }
        Ok(())
    }

    /// Puts sizes and numbers of rows into the report.
    async fn measure(&mut self, before: &Sizes) -> Result<(), RetentionError> {
        let after = self.sizes().await?;
        let policy = &self.engine.policy;
        let changes = changes(policy, &self.report);
        let mut tables = Vec::new();
        for subject in &policy.subjects {
            let counted = self.plan.tables.iter().find(|found| found.subject == subject.name).map(|found| found.rows);
            let change = changes.get(subject.name).copied().unwrap_or_default();
            tables.push(TableReport {
                subject: subject.name.to_owned(),
                bytes_before: before.tables.get(subject.name).copied(),
                bytes_after: after.tables.get(subject.name).copied(),
                rows_before: counted,
                rows_after: counted.map(|rows| (rows + change.came).saturating_sub(change.gone)),
            });
        }
        self.report.tables = tables;
        self.report.file = before.file.zip(after.file).map(|(before, after)| FileReport {
            bytes_before: before.bytes(),
            bytes_after: after.bytes(),
            bytes_free: after.free_bytes(),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
