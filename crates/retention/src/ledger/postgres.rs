//! The ledger on PostgreSQL.

use tierkeep_db::Pool;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, Transaction};

use super::{Batch, End, RunId, RunRow};
use crate::chain::{BatchLink, RunLink};
use crate::{Keeper, RetentionError};

type Bound<'a> = (&'a (dyn ToSql + Sync), Type);

pub(super) async fn begin(pool: &Pool, keeper: &Keeper, command: &str, plan: &str) -> Result<RunId, RetentionError> {
    let mut connection = pool.get().await?;
    let tx = connection.transaction().await?;
    keeper.keep_postgres(&tx).await?;
    tx.execute_typed(include_str!("../sql/postgres/run_close.sql"), &[]).await?;
    let tip: String = only(&tx, include_str!("../sql/postgres/run_tip.sql"), &[]).await?.get(0);
    let fence = keeper.fence();
    let parameters: [Bound<'_>; 3] = [(&command, Type::TEXT), (&fence, Type::INT8), (&plan, Type::TEXT)];
    let row = only(&tx, include_str!("../sql/postgres/run_begin.sql"), &parameters).await?;
    let (id, started_at): (i64, i64) = (row.get(0), row.get(1));
    let chain = RunLink { id, command, started_at: Some(started_at), fence, plan }.digest(&tip);
    let parameters: [Bound<'_>; 2] = [(&id, Type::INT8), (&chain, Type::TEXT)];
    tx.execute_typed(include_str!("../sql/postgres/run_link.sql"), &parameters).await?;
    let run = RunId::new(id).map_err(|error| unreadable_id(&error))?;
    tx.commit().await?;
    Ok(run)
}

pub(super) async fn finish(pool: &Pool, keeper: &Keeper, end: &End) -> Result<(), RetentionError> {
    let mut connection = pool.get().await?;
    let tx = connection.transaction().await?;
    keeper.check_postgres(&tx).await?;
    let parameters: [Bound<'_>; 4] = [
        (&end.run.get(), Type::INT8),
        (&end.ended.word(), Type::TEXT),
        (&end.reason, Type::TEXT),
        (&end.report, Type::TEXT),
    ];
    if tx.execute_typed(include_str!("../sql/postgres/run_finish.sql"), &parameters).await? == 0 {
        return Err(RetentionError::NotUnderWay(end.run));
    }
    tx.commit().await?;
    Ok(())
}

pub(super) async fn record(tx: &Transaction<'_>, batch: &Batch<'_>) -> Result<u64, RetentionError> {
    let run = batch.run.get();
    let tips = tx.query_typed(include_str!("../sql/postgres/batch_tip.sql"), &[(&run, Type::INT8)]).await?;
    let tip = tips.first().ok_or(RetentionError::NotUnderWay(batch.run))?;
    let link = BatchLink::next(batch, tip.get(1), tip.get(2));
    let chain = link.digest(tip.get(0));

    let parameters: [Bound<'_>; 10] = [
        (&run, Type::INT8),
        (&link.number, Type::INT8),
        (&link.at, Type::INT8),
        (&link.rule, Type::TEXT),
        (&link.rows, Type::INT8),
        (&link.digest_left, Type::TEXT),
        (&link.digest_arrived, Type::TEXT),
        (&link.first_age, Type::TEXT),
        (&link.last_age, Type::TEXT),
        (&chain, Type::TEXT),
    ];
    tx.execute_typed(include_str!("../sql/postgres/batch_insert.sql"), &parameters).await?;
    let report = batch.report.to_string();
    let parameters: [Bound<'_>; 5] = [
        (&run, Type::INT8),
        (&link.number, Type::INT8),
        (&link.rows, Type::INT8),
        (&chain, Type::TEXT),
        (&report, Type::TEXT),
    ];
    tx.execute_typed(include_str!("../sql/postgres/batch_progress.sql"), &parameters).await?;
    Ok(link.number.unsigned_abs())
}

pub(super) async fn page(
    pool: &Pool,
    newest: i64,
    limit: u32,
    without: Option<&str>,
) -> Result<Vec<RunRow>, RetentionError> {
    let connection = pool.get().await?;
    let parameters: [Bound<'_>; 3] = [(&newest, Type::INT8), (&i64::from(limit), Type::INT8), (&without, Type::TEXT)];
    let rows = connection.query_typed(include_str!("../sql/postgres/run_page.sql"), &parameters).await?;
    let row = |row: &Row| {
        Ok(RunRow {
            id: row.try_get(0)?,
            command: row.try_get(1)?,
            started_at: row.try_get(2)?,
            ended_at: row.try_get(3)?,
            ended: row.try_get(4)?,
            reason: row.try_get(5)?,
            plan: row.try_get(6)?,
            report: row.try_get(7)?,
            batches: row.try_get(8)?,
            rows: row.try_get(9)?,
            has_lease: row.try_get(10)?,
        })
    };
    rows.iter().map(row).collect()
}

/// The row of a statement that always gives one.
async fn only(tx: &Transaction<'_>, sql: &str, parameters: &[Bound<'_>]) -> Result<Row, RetentionError> {
    let rows = tx.query_typed(sql, parameters).await?;
    Ok(rows.into_iter().next().expect("the statement gives a row, whatever the table has"))
}

fn unreadable_id(error: &super::RunIdError) -> RetentionError {
    RetentionError::Unreadable { place: "the sequence of tierkeep_run".to_owned(), why: error.to_string() }
}
