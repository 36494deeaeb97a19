//! The ledger on SQLite.

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use super::{Batch, End, RunId, RunRow};
use crate::chain::{BatchLink, RunLink};
use crate::{Keeper, RetentionError};

pub(super) fn begin(tx: &Transaction<'_>, keeper: &Keeper, command: &str, plan: &str) -> Result<RunId, RetentionError> {
    keeper.keep_sqlite(tx)?;
    tx.execute(include_str!("../sql/sqlite/run_close.sql"), [])?;
    let tip: String = tx.query_row(include_str!("../sql/sqlite/run_tip.sql"), [], |row| row.get(0))?;
    let fence = keeper.fence();
    let (id, started_at): (i64, i64) =
        tx.query_row(include_str!("../sql/sqlite/run_begin.sql"), (command, fence, plan), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let chain = RunLink { id, command, started_at: Some(started_at), fence, plan }.digest(&tip);
    tx.execute(include_str!("../sql/sqlite/run_link.sql"), (id, chain))?;
    RunId::new(id).map_err(|error| RetentionError::Unreadable {
        place: "the sequence of tierkeep_run".to_owned(),
        why: error.to_string(),
    })
}

pub(super) fn finish(tx: &Transaction<'_>, keeper: &Keeper, end: &End) -> Result<(), RetentionError> {
    keeper.check_sqlite(tx)?;
    let parameters = (end.run.get(), end.ended.word(), &end.reason, &end.report);
    match tx.execute(include_str!("../sql/sqlite/run_finish.sql"), parameters)? {
        0 => Err(RetentionError::NotUnderWay(end.run)),
        _ => Ok(()),
    }
}

pub(super) fn record(tx: &Transaction<'_>, batch: &Batch<'_>) -> Result<u64, RetentionError> {
    let run = batch.run.get();
    let tip = tx
        .prepare_cached(include_str!("../sql/sqlite/batch_tip.sql"))?
        .query_row([run], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let (tip, batches, now) = tip.ok_or(RetentionError::NotUnderWay(batch.run))?;
    let link = BatchLink::next(batch, batches, now);
    let chain = link.digest(&tip);

    tx.prepare_cached(include_str!("../sql/sqlite/batch_insert.sql"))?.execute(params![
        run,
        link.number,
        link.at,
        link.rule,
        link.rows,
        link.digest_left,
        link.digest_arrived,
        link.first_age,
        link.last_age,
        chain,
    ])?;
    tx.prepare_cached(include_str!("../sql/sqlite/batch_progress.sql"))?.execute(params![
        run,
        link.number,
        link.rows,
        chain,
        batch.report.to_string(),
    ])?;
    Ok(link.number.unsigned_abs())
}

pub(super) fn page(
    connection: &mut Connection,
    newest: i64,
    limit: u32,
    without: Option<&str>,
) -> Result<Vec<RunRow>, RetentionError> {
    let mut statement = connection.prepare_cached(include_str!("../sql/sqlite/run_page.sql"))?;
    let row = |row: &Row<'_>| {
        Ok(RunRow {
            id: row.get(0)?,
            command: row.get(1)?,
            started_at: row.get(2)?,
            ended_at: row.get(3)?,
            ended: row.get(4)?,
            reason: row.get(5)?,
            plan: row.get(6)?,
            report: row.get(7)?,
            batches: row.get(8)?,
            rows: row.get(9)?,
            has_lease: row.get(10)?,
        })
    };
    let rows = statement.query_map((newest, limit, without), row)?.collect::<Result<_, _>>()?;
    Ok(rows)
}
