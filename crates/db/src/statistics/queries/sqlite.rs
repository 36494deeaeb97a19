//! Statements that programs have counted themselves, in a table of the same file.

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::{Blocks, QueryCounters, QueryKey, QuerySnapshot, Timing};
use crate::Error;
use crate::feed::own_change_sqlite;
use crate::sqlite::counting::{Counted, MOST_TEXTS, digest};
use crate::statistics::{Examined, count};

/// Reads what programs have counted of the statements of this file ([`StatementCounts::On`]), or says why there is nothing.
///
/// Calls and times are those that [`note_statements`](crate::SqliteDatabase::note_statements) has stored; rows and blocks are
/// not counted there. A text that is thrown away to make room counts once in the evictions, and so does each execution for
/// whose text there was no room.
///
/// # Errors
///
/// [`Error::Sqlite`].
///
/// [`StatementCounts::On`]: crate::StatementCounts::On
pub fn query_snapshot_sqlite(connection: &Connection) -> Result<Examined<QuerySnapshot>, Error> {
    let is_there =
        "select exists (select 1 from sqlite_schema where type = 'table' and name = 'tierkeep_statement_log')";
    if !connection.query_row(is_there, [], |row| row.get::<_, bool>(0))? {
        return Ok(Examined::not_examined(
            "SQLite does not count statements, and no program has stored counts of its own in this file",
        ));
    }
    let log = "select since_us, evictions, cast(unixepoch('subsec') * 1000000 as integer) from tierkeep_statement_log";
    let log = connection.query_row(log, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
    let Some((since_us, evictions, taken_us)) = log else {
        return Ok(Examined::not_examined("nobody knows since when the statements in this file are counted"));
    };
    let mut statement = connection.prepare(include_str!("../source/sqlite/statements.sql"))?;
    let queries = statement.query_map([], |row| {
        let (text, calls): (String, i64) = (row.get(0)?, row.get(1)?);
        let (total_ms, min_ms, max_ms, squares): (f64, f64, f64, f64) =
            (row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?);
        let number = calls.max(1) as f64;
        let variance = (squares / number - (total_ms / number).powi(2)).max(0.0);
        Ok(QueryCounters {
            key: QueryKey {
                user_id: 0,
                database_id: 0,
                query_id: i64::from_ne_bytes(digest(&text).to_ne_bytes()),
                is_top_level: true,
            },
            text,
            calls: count(calls),
            plans: 0,
            rows: None,
            execution: Timing { total_ms, min_ms, max_ms, stddev_ms: variance.sqrt() },
            planning: Timing::default(),
            blocks: Blocks::default(),
            since_us: None,
        })
    })?;
    let queries = queries.collect::<Result<Vec<_>, _>>()?;
    Ok(Examined::Found(QuerySnapshot {
        taken_us,
        reset_us: Some(since_us),
        evictions: Some(count(evictions)),
        queries,
    }))
}

/// Adds counts to the tables, which are made if they are absent, and keeps the texts that took most time.
pub(crate) fn store_statements(tx: &Transaction<'_>, texts: &[Counted], dropped: u64) -> Result<(), Error> {
    own_change_sqlite(tx, |tx| tx.execute_batch(include_str!("../source/sqlite/statements_tables.sql")))?;
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let mut store = tx.prepare_cached(include_str!("../source/sqlite/statements_store.sql"))?;
    for Counted { text, calls, total_ms, min_ms, max_ms, squares } in texts {
        store.execute(params![text, signed(*calls), total_ms, min_ms, max_ms, squares])?;
    }
    let pruned = tx.execute(include_str!("../source/sqlite/statements_prune.sql"), [MOST_TEXTS as i64])?;
    let evictions = signed(dropped.saturating_add(pruned as u64));
    if evictions > 0 {
        tx.execute("update tierkeep_statement_log set evictions = evictions + ?1", [evictions])?;
    }
    Ok(())
}
