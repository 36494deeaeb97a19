//! Reading the sources of PostgreSQL, 13 to 18.

use std::time::Duration;

use tierkeep_db::Pool;
use tokio_postgres::{IsolationLevel, Row};

use super::{Reading, Replica, Source, TableRows};
use crate::RetentionError;

const HEALTH: &str = include_str!("../sql/postgres/health.sql");

/// The statement may take 2 s. It reads shared memory and statistics, and takes 4 ms on a quiet server (measured, two
/// cores); one that takes 2 s has told enough.
const STATEMENT: &str = "set local statement_timeout = '2s'; set local jit = off";

/// All of it, the wait for a connection included.
const LIMIT: Duration = Duration::from_secs(3);

/// What a run works on, and as whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watched {
    /// Tables that rows leave or arrive in, as SQL writes them: `study_sessions`, `school."Sessions"`.
    pub tables: Vec<String>,
    /// Process numbers (`pg_backend_pid()`) of the run's own sessions. The one that reads is added.
    pub own_sessions: Vec<i32>,
}

/// Reads all sources of a PostgreSQL database with one statement.
///
/// It takes no lock that anybody waits for. Sessions that wait for us are seen only while a batch holds locks: read this
/// on another connection while the batch runs, and the next one is the answer to what this one did.
///
/// Waiters, archiving and slots can be read by every role. The state of other roles' sessions and of replicas needs
/// `pg_monitor` (or `pg_read_all_stats`); without it these sources are unknown where there is anything to see.
/// What fails, or takes more than 3 s, makes every source unknown. A server whose archiving statistics were reset tells
/// nothing of a queue until it has archived one segment, or failed to.
///
/// If the future is dropped, the pool ends the statement.
pub async fn health_postgres(pool: &Pool, watched: &Watched) -> Vec<Reading> {
    let why = match tokio::time::timeout(LIMIT, query(pool, watched)).await {
        Ok(Ok(row)) => match readings(&row) {
            Ok(readings) => return readings,
            Err(error) => error.to_string(),
        },
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("the database did not say how it is within {LIMIT:?}"),
    };
    Source::POSTGRES.map(|source| Reading::Unknown { source, why: why.clone() }).into()
}

async fn query(pool: &Pool, watched: &Watched) -> Result<Row, RetentionError> {
    let mut connection = pool.get().await?;
    let transaction =
        connection.build_transaction().read_only(true).isolation_level(IsolationLevel::ReadCommitted).start().await?;
    transaction.batch_execute(STATEMENT).await?;
    let row = transaction.query_one(HEALTH, &[&watched.tables, &watched.own_sessions]).await?;
    transaction.commit().await?;
    Ok(row)
}

fn readings(row: &Row) -> Result<Vec<Reading>, RetentionError> {
    Ok(vec![
        replicas(row)?,
        Reading::Waiters { sessions: count(row, "waiters")? },
        Reading::Archive {
            is_failing: row.try_get("archive_is_failing")?,
            waiting_segments: count(row, "archive_segments")?,
        },
        Reading::Slots { retained_bytes: count(row, "slot_bytes")? },
        load(row)?,
        tables(row)?,
    ])
}

fn replicas(row: &Row) -> Result<Reading, RetentionError> {
    let hidden = count(row, "replicas_hidden")?;
    if hidden > 0 {
        let why = format!("this role cannot see how far {hidden} replicas are: grant pg_monitor to it");
        return Ok(Reading::Unknown { source: Source::ReplicationLag, why });
    }
    let names: Vec<String> = row.try_get("replica_names")?;
    let bytes: Vec<Option<i64>> = row.try_get("replica_bytes")?;
    let delays: Vec<Option<f64>> = row.try_get("replica_seconds")?;
    let replicas = names.into_iter().zip(bytes).zip(delays).map(|((name, bytes), seconds)| Replica {
        name,
        // A position past the one that was read a moment before is no lag.
        bytes: bytes.map(|bytes| u64::try_from(bytes).unwrap_or(0)),
        delay: seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)),
    });
    Ok(Reading::Replicas(replicas.collect()))
}

fn load(row: &Row) -> Result<Reading, RetentionError> {
    let hidden = count(row, "sessions_hidden")?;
    if hidden > 0 {
        let why = format!("this role cannot see what {hidden} sessions do: grant pg_monitor to it");
        return Ok(Reading::Unknown { source: Source::Load, why });
    }
    Ok(Reading::Load { active: count(row, "sessions_active")?, max_connections: count(row, "max_connections")? })
}

fn tables(row: &Row) -> Result<Reading, RetentionError> {
    let missing: Vec<String> = row.try_get("tables_missing")?;
    if !missing.is_empty() {
        let why = format!("there is no table {}, or this role may not see it", missing.join(", "));
        return Ok(Reading::Unknown { source: Source::Autovacuum, why });
    }
    let live: Vec<i64> = row.try_get("rows_live")?;
    let dead: Vec<i64> = row.try_get("rows_dead")?;
    let number = |rows: i64| u64::try_from(rows).unwrap_or(0);
    let rows = live.into_iter().zip(dead).map(|(live, dead)| TableRows { live: number(live), dead: number(dead) });
    Ok(Reading::Tables { is_vacuumed: row.try_get("is_vacuumed")?, rows: rows.collect() })
}

/// A number that is not negative.
fn count(row: &Row, column: &str) -> Result<u64, RetentionError> {
    Ok(u64::try_from(row.try_get::<_, i64>(column)?).unwrap_or(0))
}
