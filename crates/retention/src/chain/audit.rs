//! Following the chain.

use rusqlite::Connection;
use tierkeep_db::Pool;
use tokio_postgres::types::{ToSql, Type};

use super::{BatchLink, Broken, RunLink};
use crate::RetentionError;

/// Findings after which an audit ends: whoever has so many needs a backup, not a longer list.
const MAX_FINDINGS: usize = 1000;

/// Runs that are read at a time; a plan has some kilobytes.
const RUNS: i64 = 100;

/// Batches that are read at a time, of a few hundred bytes each.
const BATCHES: i64 = 1000;

/// A row of `audit_runs.sql`.
struct StoredRun {
    id: i64,
    command: String,
    started_at: Option<i64>,
    fence: i64,
    plan: String,
    batches: i64,
    rows: i64,
    begun: String,
    chain: String,
}

/// A row of `audit_batches.sql`.
struct StoredBatch {
    run: i64,
    number: i64,
    at: Option<i64>,
    rule: String,
    rows: i64,
    digest_left: Option<String>,
    digest_arrived: Option<String>,
    first_age: Option<String>,
    last_age: Option<String>,
    chain: String,
}

/// Where an audit has come to.
#[derive(Default)]
struct Walk {
    before: Before,
    batches: i64,
    rows: i64,
    found: Vec<Broken>,
}

/// What the next link may name as the digest before it: what is stored there and, if that one is broken, what it should be.
/// So one altered row is one finding.
#[derive(Default)]
struct Before {
    stored: String,
    computed: Option<String>,
}

impl Before {
    fn is_followed_by(&self, stored: &str, digest: impl Fn(&str) -> String) -> bool {
        digest(&self.stored) == stored || self.computed.as_deref().is_some_and(|before| digest(before) == stored)
    }
}

impl Walk {
    fn begin(&mut self, run: &StoredRun) {
        let link = RunLink {
            id: run.id,
            command: &run.command,
            started_at: run.started_at,
            fence: run.fence,
            plan: &run.plan,
        };
        let follows = self.before.is_followed_by(&run.begun, |before| link.digest(before));
        if !follows {
            self.broken(run.id, None, "its beginning was altered, or the run before it was removed or altered");
        }
        let computed = (!follows).then(|| link.digest(&self.before.stored));
        self.before = Before { stored: run.begun.clone(), computed };
        (self.batches, self.rows) = (0, 0);
    }

    fn batch(&mut self, batch: &StoredBatch) {
        let link = BatchLink {
            run: batch.run,
            number: batch.number,
            at: batch.at,
            rule: &batch.rule,
            rows: batch.rows,
            digest_left: batch.digest_left.as_deref(),
            digest_arrived: batch.digest_arrived.as_deref(),
            first_age: batch.first_age.as_deref(),
            last_age: batch.last_age.as_deref(),
        };
        self.batches += 1;
        self.rows = self.rows.saturating_add(batch.rows);
        let follows = self.before.is_followed_by(&batch.chain, |before| link.digest(before));
        if !follows {
            self.broken(batch.run, Some(batch.number), "it was altered, or the batch before it was removed or altered");
        }
        let computed = (!follows).then(|| link.digest(&self.before.stored));
        self.before = Before { stored: batch.chain.clone(), computed };
    }

    fn end(&mut self, run: &StoredRun) {
        if run.batches != self.batches {
            let why = format!("it had {} batches, of which {} are there", run.batches, self.batches);
            self.broken(run.id, None, &why);
        }
        if run.rows != self.rows {
            let why = format!("it went over {} rows, its batches over {}", run.rows, self.rows);
            self.broken(run.id, None, &why);
        }
        let ends = run.chain == self.before.stored || self.before.computed.as_ref() == Some(&run.chain);
        if !ends {
            self.broken(run.id, None, "it ended with another digest than its last batch: that was removed or altered");
            // Either may be what the next run was begun after.
            self.before.computed = Some(run.chain.clone());
        }
    }

    fn orphans(&mut self, run: i64, count: i64) {
        self.broken(run, None, &format!("it is not recorded, but {count} of its batches are"));
    }

    fn broken(&mut self, run: i64, number: Option<i64>, why: &str) {
        self.found.push(Broken { run, number, why: why.to_owned() });
    }

    fn is_full(&self) -> bool {
        self.found.len() >= MAX_FINDINGS
    }

    fn found(mut self) -> Vec<Broken> {
        self.found.truncate(MAX_FINDINGS);
        self.found
    }
}

pub(crate) async fn audit_postgres(pool: &Pool) -> Result<Vec<Broken>, RetentionError> {
    let mut connection = pool.get().await?;
    let tx = connection
        .build_transaction()
        .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let mut walk = Walk::default();
    let mut after = i64::MIN;
    'runs: loop {
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&after, Type::INT8), (&RUNS, Type::INT8)];
        let rows = tx.query_typed(include_str!("../sql/postgres/audit_runs.sql"), &parameters).await?;
        let Some(last) = rows.last() else { break };
        after = last.get(0);
        for row in &rows {
            let run = StoredRun::of_postgres(row)?;
            walk.begin(&run);
            let mut number = i64::MIN;
            loop {
                let parameters: [(&(dyn ToSql + Sync), Type); 3] =
                    [(&run.id, Type::INT8), (&number, Type::INT8), (&BATCHES, Type::INT8)];
                let batches = tx.query_typed(include_str!("../sql/postgres/audit_batches.sql"), &parameters).await?;
                let Some(last) = batches.last() else { break };
                number = last.get(1);
                for batch in &batches {
                    walk.batch(&StoredBatch::of_postgres(batch)?);
                }
                if walk.is_full() {
                    break 'runs;
                }
            }
            walk.end(&run);
        }
    }
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&RUNS, Type::INT8)];
    for row in tx.query_typed(include_str!("../sql/postgres/audit_orphans.sql"), &parameters).await? {
        walk.orphans(row.get(0), row.get(1));
    }
    Ok(walk.found())
}

pub(crate) fn audit_sqlite(connection: &mut Connection) -> Result<Vec<Broken>, RetentionError> {
    // One transaction is one snapshot.
    let tx = connection.transaction()?;
    let mut runs = tx.prepare(include_str!("../sql/sqlite/audit_runs.sql"))?;
    let mut batches = tx.prepare(include_str!("../sql/sqlite/audit_batches.sql"))?;
    let mut walk = Walk::default();
    let mut after = i64::MIN;
    'runs: loop {
        let page: Vec<StoredRun> = runs.query_map((after, RUNS), StoredRun::of_sqlite)?.collect::<Result<_, _>>()?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for run in &page {
            walk.begin(run);
            // No page of batches: a step of the statement is a row.
            let mut rows = batches.query((run.id, i64::MIN, i64::MAX))?;
            while let Some(row) = rows.next()? {
                walk.batch(&StoredBatch::of_sqlite(row)?);
                if walk.is_full() {
                    break 'runs;
                }
            }
            walk.end(run);
        }
    }
    let mut orphans = tx.prepare(include_str!("../sql/sqlite/audit_orphans.sql"))?;
    let mut rows = orphans.query([RUNS])?;
    while let Some(row) = rows.next()? {
        walk.orphans(row.get(0)?, row.get(1)?);
    }
    Ok(walk.found())
}

impl StoredRun {
    fn of_postgres(row: &tokio_postgres::Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            id: row.try_get(0)?,
            command: row.try_get(1)?,
            started_at: row.try_get(2)?,
            fence: row.try_get(3)?,
            plan: row.try_get(4)?,
            batches: row.try_get(5)?,
            rows: row.try_get(6)?,
            begun: row.try_get(7)?,
            chain: row.try_get(8)?,
        })
    }

    fn of_sqlite(row: &rusqlite::Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            id: row.get(0)?,
            command: row.get(1)?,
            started_at: row.get(2)?,
            fence: row.get(3)?,
            plan: row.get(4)?,
            batches: row.get(5)?,
            rows: row.get(6)?,
            begun: row.get(7)?,
            chain: row.get(8)?,
        })
    }
}

impl StoredBatch {
    fn of_postgres(row: &tokio_postgres::Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            run: row.try_get(0)?,
            number: row.try_get(1)?,
            at: row.try_get(2)?,
            rule: row.try_get(3)?,
            rows: row.try_get(4)?,
            digest_left: row.try_get(5)?,
            digest_arrived: row.try_get(6)?,
            first_age: row.try_get(7)?,
            last_age: row.try_get(8)?,
            chain: row.try_get(9)?,
        })
    }

    fn of_sqlite(row: &rusqlite::Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            run: row.get(0)?,
            number: row.get(1)?,
            at: row.get(2)?,
            rule: row.get(3)?,
            rows: row.get(4)?,
            digest_left: row.get(5)?,
            digest_arrived: row.get(6)?,
            first_age: row.get(7)?,
            last_age: row.get(8)?,
            chain: row.get(9)?,
        })
    }
}
