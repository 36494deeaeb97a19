//! Whole partitions that are older than the cutoff: they pass from the live table to the archive by DDL, and their rows are
//! not touched.
//!
//! The archive is an ordinary table, and a partition becomes a child of it by inheritance: what is read, changed and deleted
//! by way of the archive is then read, changed and deleted in the child as well.
//!
//! What the rule asks of a row is looked at before any lock is taken, together with a digest of the versions of the rows (where
//! each lies, and which transaction wrote it). Under the lock only that digest is computed again, which is cheap, and which
//! differs if anybody wrote, changed or deleted a row meanwhile. So nothing is archived that the rule is not about.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tierkeep_db::{Comparison, Condition, Connection, Ident, Operand};
use tokio_postgres::types::Type;

use crate::batch::{Batch, postgres};
use crate::error::RetentionError;
use crate::ledger::Ledger;
use crate::preflight::{Bound, eligible};
use crate::report::Report;
use crate::rule::{Subject, Sweep};
use crate::running::{Running, Session, Stop, is_hindered, record_of};
use crate::statements::{Found, archive_of, fill, literal};
use crate::survey::stored;

/// Attempts at one partition while others hold locks.
const ATTEMPTS: u32 = 3;
/// Longest wait for a lock once others wait for ours: with all of them together it ends before a deadlock is looked for, so in
/// one nobody else's statement is given up.
const NEXT_LOCK: &str = "set local lock_timeout = '150ms'; set local statement_timeout = '800ms'";
/// Longest look at a partition without locks.
const LOOK: Duration = Duration::from_secs(600);
/// What the comment on a part of the archive begins with; the preflight knows it, too.
const MARK: &str = "tierkeep: archived partition ";

/// A partition that is to pass, and where to.
struct Passage<'a> {
    found: Found<'a>,
    part: String,
    archive: String,
    into: &'static str,
    by: &'a Ident,
    at: &'a Ident,
    check: String,
    versions: String,
}

/// What was found in a partition without a lock.
struct Looked {
    rows: i64,
    digest: Option<String>,
    versions: Option<String>,
    ages: [Option<String>; 2],
    bounds: String,
    keys: Vec<String>,
    comment: Option<String>,
    publications: Vec<String>,
}

/// What became of an attempt.
enum Passed {
    Whole {
        rows: u64,
        report: Box<Report>,
        publications: Vec<String>,
    },
    /// It is left to the ordinary way, for this reason.
    Not(String),
    /// Somebody wrote meanwhile.
    Changed,
}

/// The instant that a row must be older than for the condition to hold.
fn cutoff(condition: &Condition, age: &str) -> Option<i64> {
    match condition {
        Condition::All(all) => all.iter().filter_map(|one| cutoff(one, age)).min(),
        Condition::Compare(Operand::Column(column), Comparison::Less, Operand::Instant(at)) if *column == age => {
            Some(*at)
        }
        _ => None,
    }
}

impl Running<'_> {
    /// Lets partitions pass to the archive that a sweep is about as a whole; returns how many rows.
    pub(crate) async fn pass_partitions(&mut self, sweep: &Sweep<'_>) -> Result<u64, Stop> {
        let engine = self.engine;
        let Some((into, by, at)) = archive_of(sweep.action(), &engine.policy) else { return Ok(0) };
        let facts = self.survey.facts(sweep.subject.name)?;
        let Some((age, _)) = sweep.subject.age.filter(|_| facts.partitioning.is_some()) else { return Ok(0) };
        let cutoff = cutoff(&sweep.condition(), age).and_then(|at| Timestamp::from_microsecond(at).ok());
        let (Some(cutoff), Some(column)) = (cutoff, stored(sweep.subject, age)) else { return Ok(0) };
        let old = eligible(facts, Bound::Instant(cutoff), column);
        if old.is_empty() {
            return Ok(0);
        }
        if !facts.pointed_at_by.is_empty() {
            self.report.advice.push(format!(
                "partitions of {} go row by row: foreign keys point at it, and each partition that left would be looked for \
                 in their tables under a lock",
                facts.full_name()
            ));
            return Ok(0);
        }
        let survey = self.survey;
        let mut moved = 0;
        for part in old.into_iter().map(|part| part.name.clone()) {
            let found = survey.found(&engine.policy, sweep.subject.name)?;
            let passage = Passage::new(found, sweep, part, into, by, at)?;
            moved += self.pass_or_leave(sweep, &passage).await?;
        }
        Ok(moved)
    }

    /// Tries until it has passed, or says why it is left to the ordinary way.
    async fn pass_or_leave(&mut self, sweep: &Sweep<'_>, passage: &Passage<'_>) -> Result<u64, Stop> {
        let mut why = String::new();
        for _ in 0..ATTEMPTS {
            self.pass_gate().await?;
            match self.pass(sweep, passage).await {
                Ok(Passed::Whole { rows, report, publications }) => {
                    self.unhindered();
                    self.take_report(sweep, Some(*report));
                    if !publications.is_empty() {
                        self.report.advice.push(format!(
                            "{} left {}, which is published by {}: subscribers have to follow",
                            passage.part,
                            passage.found.table(),
                            publications.join(", ")
                        ));
                    }
                    return Ok(rows);
                }
                Ok(Passed::Not(reason)) => {
                    why = reason;
                    break;
                }
                Ok(Passed::Changed) => why = "it was written while it was looked at".to_owned(),
                Err(error) if is_hindered(&error) => {
                    why =
                        format!("others held locks, or its rows are too many to be compared within a second: {error}");
                    self.wait_out(error).await?;
                }
                // what the database has against it, it has not against moving rows
                Err(RetentionError::Postgres(error)) if error.as_db_error().is_some() => {
                    why = RetentionError::Postgres(error).to_string();
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.report.advice.push(format!("partition {} goes row by row: {why}", passage.part));
        Ok(0)
    }

    async fn pass(&mut self, sweep: &Sweep<'_>, passage: &Passage<'_>) -> Result<Passed, RetentionError> {
        let (hold, run, name) = (self.hold, self.run, sweep.name());
        let settings = postgres::settings(self.order.lock_timeout.as_millis());
        let Session::Postgres(db) = &mut self.session else {
            return Err(RetentionError::Mismatch("a statement of another database".to_owned()));
        };
        let looked = match hold.while_renewing(passage.look(db, &settings)).await? {
            Ok(looked) => looked,
            Err(why) => return Ok(Passed::Not(why)),
        };
        let rows = u64::try_from(looked.rows).unwrap_or(0);
        if rows == 0 {
            return Ok(Passed::Not("it is empty".to_owned()));
        }
        let [first_age, last_age] = looked.ages.clone();
        let batch = Batch {
            picked: rows,
            kinds: [(name.to_owned(), rows)].into(),
            digest_left: looked.digest.clone(),
            // the rows stay where they are
            digest_arrived: looked.digest.clone(),
            first_age,
            last_age,
            ..Batch::default()
        };
        let report = self.report.with(&batch, name);
        let companion = self.engine.companion.clone();
        let tx = db.transaction().await?;
        tx.batch_execute(&settings).await?;
        hold.keeper().keep_postgres(&tx).await?;
        let (live, part) = (passage.found.table(), &passage.part);
        // Parent before child. The first is waited for while nothing is held that others need.
        tx.batch_execute(&format!("lock table only {live} in access exclusive mode; {NEXT_LOCK}")).await?;
        tx.batch_execute(&format!("lock table only {part} in access exclusive mode")).await?;
        let now = tx.query_typed_one(&passage.versions, &[]).await?;
        let versions: Option<String> = now.try_get(1)?;
        if now.try_get::<_, i64>(0)? != looked.rows || versions != looked.versions {
            tx.rollback().await?;
            return Ok(Passed::Changed);
        }
        let passing = companion.passing_postgres(&tx, part).await?;
        for statement in passage.statements(&looked, run.get()) {
            tx.batch_execute(&statement).await?;
        }
        companion.passed_postgres(&tx, passing, Some(passage.into)).await?;
        Ledger::record_postgres(&tx, &record_of(run, name, &batch, &report.to_json()?)).await?;
        tx.commit().await?;
        Ok(Passed::Whole { rows, report: Box::new(report), publications: looked.publications })
    }

    /// Drops parts of an archive that have no row any more.
    pub(crate) async fn drop_empty_parts(&mut self, sweep: &Sweep<'_>) -> Result<(), Stop> {
        let table = sweep.subject.relation.table().quoted();
        let Session::Postgres(db) = &self.session else { return Ok(()) };
        let rows = db.query_typed(include_str!("partition/parts.sql"), &[(&table, Type::TEXT)]).await;
        let parts: Vec<String> = rows.map_err(RetentionError::from)?.iter().map(|row| row.get(0)).collect();
        for part in parts {
            self.pass_gate().await?;
            match self.drop_if_empty(&table, &part).await {
                Ok(()) => {}
                // the next run comes by again
                Err(error) if is_hindered(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn drop_if_empty(&mut self, table: &str, part: &str) -> Result<(), RetentionError> {
        let settings = postgres::settings(self.order.lock_timeout.as_millis());
        let companion = self.engine.companion.clone();
        let Session::Postgres(db) = &mut self.session else { return Ok(()) };
        let has_rows = fill("select exists (select from only {part})", &[("part", part)]);
        if db.query_typed_one(&has_rows, &[]).await?.try_get(0)? {
            return Ok(());
        }
        let tx = db.transaction().await?;
        tx.batch_execute(&settings).await?;
        self.hold.keeper().keep_postgres(&tx).await?;
        tx.batch_execute(&format!("lock table only {table} in share update exclusive mode; {NEXT_LOCK}")).await?;
        tx.batch_execute(&format!("lock table only {part} in access exclusive mode")).await?;
        if tx.query_typed_one(&has_rows, &[]).await?.try_get(0)? {
            return Ok(());
        }
        let passing = companion.passing_postgres(&tx, part).await?;
        tx.batch_execute(&format!("drop table {part}")).await?;
        companion.passed_postgres(&tx, passing, None).await?;
        tx.commit().await?;
        Ok(())
    }
}

impl<'a> Passage<'a> {
    fn new(
        found: Found<'a>,
        sweep: &Sweep<'_>,
        part: String,
        into: &'a Subject,
        by: &'a Ident,
        at: &'a Ident,
    ) -> Result<Self, RetentionError> {
        let version = if found.hashes_records {
            "hashtidextended(t.ctid, cast(cast(t.xmin as text) as bigint))"
        } else {
            "hashtextextended(concat(t.ctid, ' ', t.xmin), 0)"
        };
        let archive = into.relation.table().quoted();
        let places = [
            ("table", part.as_str()),
            ("archive", &archive),
            ("key", &found.key()),
            ("condition", &found.condition(&sweep.condition())?),
            ("digest", &found.digest()),
            ("version", version),
            ("age", &found.age("t")?),
        ];
        let check = fill(include_str!("partition/check.sql"), &places);
        let versions = fill(include_str!("partition/versions.sql"), &places);
        Ok(Self { found, part, archive, into: into.name, by, at, check, versions })
    }

    /// What the partition holds, without a lock; or why it does not pass as a whole.
    async fn look(&self, db: &mut Connection, settings: &str) -> Result<Result<Looked, String>, RetentionError> {
        let tx = db.transaction().await?;
        tx.batch_execute(settings).await?;
        tx.batch_execute(&format!("set local statement_timeout = {}", LOOK.as_millis())).await?;
        let live = self.found.table();
        let facts = tx
            .query_typed(include_str!("partition/facts.sql"), &[(&self.part, Type::TEXT), (&live, Type::TEXT)])
            .await?;
        let Some(facts) = facts.first() else { return Ok(Err("it is no partition any more".to_owned())) };
        if !facts.try_get::<_, bool>(4)? {
            return Ok(Err("this role is not its owner".to_owned()));
        }
        let row = tx.query_typed_one(&self.check, &[]).await?;
        let (others, archived): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
        if others + archived > 0 {
            return Ok(Err(format!("{others} of its rows are not to be archived, {archived} are archived already")));
        }
        Ok(Ok(Looked {
            rows: row.try_get(0)?,
            digest: row.try_get(3)?,
            versions: row.try_get(4)?,
            ages: [row.try_get(5)?, row.try_get(6)?],
            bounds: facts.try_get(0)?,
            keys: facts.try_get(1)?,
            comment: facts.try_get(2)?,
            publications: facts.try_get(3)?,
        }))
    }

    /// What makes a child of the archive of it. No row is written: the columns get constants.
    fn statements(&self, looked: &Looked, run: i64) -> Vec<String> {
        let (part, live) = (&self.part, self.found.table());
        let (by, at) = (self.by.quoted(), self.at.quoted());
        let mut statements = vec![format!("alter table {live} detach partition {part}")];
        // archived rows outlive what they refer to
        let keys = looked.keys.iter().filter_map(|key| Ident::new(key).ok());
        statements.extend(keys.map(|key| format!("alter table {part} drop constraint {}", key.quoted())));
        statements.push(format!(
            "alter table {part} add column {at} timestamptz not null default now(), add column {by} bigint default {run}"
        ));
        statements.push(format!("alter table {part} alter column {at} drop default, alter column {by} drop default"));
        statements.push(format!("alter table {part} inherit {}", self.archive));
        // by which it could be made a partition again
        let note = json!({ "run": run, "of": live, "bounds": looked.bounds, "comment": looked.comment });
        statements.push(format!("comment on table {part} is {}", literal(&format!("{MARK}{note}"))));
        statements
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn older(column: &'static str, than: i64) -> Condition {
        Condition::Compare(Operand::Column(column), Comparison::Less, Operand::Instant(than))
    }

    #[test]
    fn cutoff_is_what_every_row_must_be_older_than() {
        let both = Condition::All(vec![
            older("start", 7),
            Condition::True(Operand::Column("open")).unless(),
            older("start", 9),
        ]);

        assert_eq!(cutoff(&both, "start"), Some(7));
        assert_eq!(cutoff(&both, "end"), None);
        assert_eq!(cutoff(&Condition::Any(vec![older("start", 7)]), "start"), None, "one of several need not hold");
    }
}
