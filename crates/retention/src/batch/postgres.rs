//! Batches on PostgreSQL: one statement each, in the caller's transaction.

use std::collections::BTreeMap;

use tierkeep_db::Connection;
use tokio_postgres::{Statement, Transaction};

use super::{Batch, Place, count};
use crate::error::RetentionError;
use crate::rule::{Action, Policy, Sweep};
use crate::statements::{Found, archive_of};

/// Settings of a batch's transaction. No lock is waited for longer than a reader would accept, no statement outlives the
/// lease or is compiled while it holds locks (for a second, to move some rows), and values become text in one way whoever
/// runs this.
pub(crate) fn settings(lock_timeout_ms: u128) -> String {
    format!(
        "set local lock_timeout = {lock_timeout_ms}; set local statement_timeout = '20s'; \
         set local jit = off; set local idle_in_transaction_session_timeout = '20s'; {}",
        in_text()
    )
}

/// Does something for which tables are locked outside of a transaction: a statement that is prepared waits for its tables, and
/// would wait for ever.
pub(crate) async fn impatiently<T>(
    db: &Connection,
    lock_timeout_ms: u128,
    work: impl Future<Output = Result<T, RetentionError>>,
) -> Result<T, RetentionError> {
    db.batch_execute(&format!("set lock_timeout = {lock_timeout_ms}")).await?;
    let done = work.await;
    db.batch_execute("reset lock_timeout").await?;
    done
}

/// Settings by which values become the same text whoever asks.
pub(crate) fn in_text() -> &'static str {
    "set local datestyle = 'ISO, YMD'; set local timezone = 'UTC'; set local intervalstyle = 'postgres'; \
     set local extra_float_digits = 1; set local bytea_output = 'hex'"
}

/// The statements of one sweep.
#[derive(Debug)]
pub(crate) struct Mover {
    name: String,
    /// For the first batch, and for those that begin behind a place.
    texts: [String; 2],
    by_age: bool,
    is_anonymising: bool,
    turns: bool,
}

/// The statements of a sweep on a connection.
pub(crate) struct Prepared(Vec<Statement>);

impl Mover {
    pub(crate) fn new(policy: &Policy, sweep: &Sweep<'_>, found: &Found<'_>) -> Result<Self, RetentionError> {
        let has_survivor = matches!(sweep.action(), Action::Quarantine { survivor: Some(_) });
        let turns = has_survivor && !found.subject.dependants.is_empty();
        let texts = match sweep.action() {
            Action::Archive { .. } => {
                let (into, by, at) = archive_of(sweep.action(), policy).expect("an archive says where");
                [found.archive(sweep, into, by, at, false)?, found.archive(sweep, into, by, at, true)?]
            }
            Action::Quarantine { survivor: Some(survivor) } if turns => {
                [found.repoint_postgres(sweep, survivor, policy)?, String::new()]
            }
            Action::Quarantine { .. } => [found.quarantine(sweep)?, String::new()],
            Action::Anonymise(columns) => [found.anonymise(sweep, columns)?, String::new()],
            Action::Delete | Action::DeleteDependants { .. } => [String::new(), String::new()],
        };
        Ok(Self {
            name: sweep.name().to_owned(),
            texts,
            by_age: matches!(sweep.action(), Action::Archive { .. }),
            is_anonymising: matches!(sweep.action(), Action::Anonymise(_)),
            turns,
        })
    }

    /// Whether its batches go by age, and not by where rows lie.
    pub(crate) fn goes_by_age(&self) -> bool {
        self.by_age
    }

    /// The same moves without the deletion, for tests that must notice.
    #[cfg(feature = "crash-points")]
    pub(crate) fn copying(&self) -> Self {
        let texts = self.texts.each_ref().map(|text| {
            let (head, tail) = text.split_once("delete from ").expect("a move deletes");
            let (from, tail) = tail.split_once("returning ").expect("a move returns what it deletes");
            let (columns, tail) = tail.split_once("),\ncame as").expect("a move inserts");
            format!("{head}select {columns} from {from}),\ncame as{tail}")
        });
        Self { name: self.name.clone(), texts, ..*self }
    }

    /// The deletion that [`copying`](Self::copying) leaves out.
    #[cfg(feature = "crash-points")]
    pub(crate) fn removing(&self, run: i64) -> String {
        let between = |from: &str, to: &str| -> String {
            let tail = self.texts[0].split_once(from).expect("a move has its tables").1;
            tail.split_once(to).expect("a move has its tables").0.trim().to_owned()
        };
        let (table, into) = (between("delete from ", " as t"), between("insert into ", " ("));
        let text = "delete from {table} where id in (select id from {into} where archived_by = {run})";
        crate::statements::fill(text, &[("table", &table), ("into", &into), ("run", &run.to_string())])
    }

    /// Prepares its statements, before a transaction begins.
    pub(crate) async fn prepare(&self, db: &Connection) -> Result<Prepared, RetentionError> {
        let mut both = Vec::with_capacity(2);
        for text in &self.texts {
            if !text.is_empty() {
                both.push(db.prepared(text).await?);
            }
        }
        Ok(Prepared(both))
    }

    /// Moves a batch. `place`: where to begin, `None` = at the beginning; `span`: how many pages are looked at.
    pub(crate) async fn run(
        &self,
        Prepared(statements): &Prepared,
        tx: &Transaction<'_>,
        run: i64,
        rows: i64,
        place: Option<&Place>,
        span: i64,
    ) -> Result<Batch, RetentionError> {
        if self.by_age {
            return self.run_by_age(statements, tx, run, rows, place).await;
        }
        let first = match place {
            Some(Place::From(page)) => *page,
            _ => 0,
        };
        let (from, to) = (tid(first), tid(first.saturating_add(span)));
        let statement = &statements[0];
        if self.is_anonymising {
            let row = tx.query_one(statement, &[&rows, &from, &to]).await?;
            let done = count(row.try_get(1)?);
            return Ok(Batch {
                picked: count(row.try_get(0)?),
                kinds: BTreeMap::from([(self.name.clone(), done)]),
                ..Batch::default()
            });
        }
        let row = tx.query_one(statement, &[&rows, &run, &from, &to]).await?;
        let kinds: BTreeMap<String, u64> =
            serde_json::from_str(row.try_get(4)?).map_err(|error| RetentionError::Mismatch(error.to_string()))?;
        let batch = Batch {
            picked: count(row.try_get(0)?),
            repointed: if self.turns { count(row.try_get(5)?) } else { 0 },
            kinds,
            digest_left: row.try_get(2)?,
            digest_arrived: row.try_get(3)?,
            ..Batch::default()
        };
        let arrived = i64::try_from(batch.rows()).unwrap_or(i64::MAX);
        batch.checked(&self.name, row.try_get(1)?, arrived)
    }

    async fn run_by_age(
        &self,
        statements: &[Statement],
        tx: &Transaction<'_>,
        run: i64,
        rows: i64,
        place: Option<&Place>,
    ) -> Result<Batch, RetentionError> {
        let row = match place {
            Some(Place::Behind { age, key }) => tx.query_one(&statements[1], &[&rows, &run, age, key]).await?,
            _ => tx.query_one(&statements[0], &[&rows, &run]).await?,
        };
        let last_age: Option<String> = row.try_get(6)?;
        let last_key: Option<String> = row.try_get(7)?;
        let (left, arrived): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
        Batch {
            picked: count(row.try_get(0)?),
            kinds: BTreeMap::from([(self.name.clone(), count(left))]),
            repointed: 0,
            digest_left: row.try_get(3)?,
            digest_arrived: row.try_get(4)?,
            first_age: row.try_get(5)?,
            last: last_age.clone().zip(last_key),
            last_age,
        }
        .checked(&self.name, left, arrived)
    }
}

/// The first place of a page.
fn tid(page: i64) -> String {
    // a page number has 32 bits
    format!("({},0)", page.clamp(0, i64::from(u32::MAX) - 1))
}
