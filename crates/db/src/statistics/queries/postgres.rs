//! Reading `pg_stat_statements`, whichever version it has.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Row};

use super::{Blocks, QueryCounters, QueryKey, QuerySnapshot, Timing};
use crate::statistics::{Examined, Wanted, count, over_existing_columns, own_name};
use crate::{Error, Ident, SqlType, TableName};

/// The names before 1.8 come last; times of blocks are not read.
const STATEMENTS: &[Wanted] = &[
    ("userid", &["userid"], SqlType::Bigint),
    ("dbid", &["dbid"], SqlType::Bigint),
    ("queryid", &["queryid"], SqlType::Bigint),
    ("toplevel", &["toplevel"], SqlType::Boolean),
    ("query", &["query"], SqlType::Text),
    ("calls", &["calls"], SqlType::Bigint),
    ("plans", &["plans"], SqlType::Bigint),
    ("rows", &["rows"], SqlType::Bigint),
    ("total_exec_time", &["total_exec_time", "total_time"], SqlType::Numeric),
    ("min_exec_time", &["min_exec_time", "min_time"], SqlType::Numeric),
    ("max_exec_time", &["max_exec_time", "max_time"], SqlType::Numeric),
    ("stddev_exec_time", &["stddev_exec_time", "stddev_time"], SqlType::Numeric),
    ("total_plan_time", &["total_plan_time"], SqlType::Numeric),
    ("min_plan_time", &["min_plan_time"], SqlType::Numeric),
    ("max_plan_time", &["max_plan_time"], SqlType::Numeric),
    ("stddev_plan_time", &["stddev_plan_time"], SqlType::Numeric),
    ("shared_blks_hit", &["shared_blks_hit"], SqlType::Bigint),
    ("shared_blks_read", &["shared_blks_read"], SqlType::Bigint),
    ("temp_blks_read", &["temp_blks_read"], SqlType::Bigint),
    ("temp_blks_written", &["temp_blks_written"], SqlType::Bigint),
    ("stats_since", &["stats_since"], SqlType::Timestamptz),
];

const INFO: &[Wanted] =
    &[("dealloc", &["dealloc"], SqlType::Bigint), ("stats_reset", &["stats_reset"], SqlType::Timestamptz)];

/// Reads the counters of all statements of this server, or says why that is not possible.
///
/// The view is looked up along the search path first, where some hosts put one that shows more, and then in the schema of
/// its extension. Which columns it has follows from the *extension's* version, and columns that are not there count
/// nothing. Resets nothing. Five round trips; the server copies all texts, some megabytes at most.
///
/// Instead of a snapshot:
/// - the library is not in `shared_preload_libraries`: [`Examined::NotExamined`];
/// - the extension was not created in this database: [`Examined::NotExamined`], with the command;
/// - statements of others are hidden from this role: [`Examined::NotPermitted`], with the command.
///
/// # Errors
///
/// [`Error::Postgres`].
pub async fn query_snapshot_postgres(client: &Client) -> Result<Examined<QuerySnapshot>, Error> {
    let found = client.query_typed_one(include_str!("../source/postgres/whereabouts.sql"), &[]).await?;
    let schema: Option<String> = found.try_get("schema")?;
    let role: String = found.try_get("role")?;
    let is_preloaded: Option<bool> = found.try_get("is_preloaded")?;
    let Some(schema) = schema else { return missing(&found, is_preloaded) };
    if is_preloaded == Some(false) && found.try_get("is_extension")? {
        return Ok(not_preloaded());
    }
    let schema = Ident::try_from(schema).expect("a name that PostgreSQL keeps is one of ours");
    let view = |name: &str| TableName::new(Some(schema.clone()), own_name(name));
    let not_permitted = || Examined::NotPermitted {
        needs: "pg_read_all_stats, as statements of other roles are hidden".to_owned(),
        command: format!("grant pg_read_all_stats to {role}"),
    };

    let statements = include_str!("../source/postgres/statements.sql");
    let Some(sql) =
        over_existing_columns(client, &view("pg_stat_statements"), "statements", STATEMENTS, statements).await?
    else {
        return missing(&found, is_preloaded);
    };
    let rows = match client.query_typed(&sql, &[]).await {
        Ok(rows) => rows,
        // What the view's function says if its library was not loaded.
        Err(error) if error.code() == Some(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE) => return Ok(not_preloaded()),
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => return Ok(not_permitted()),
        Err(error) => return Err(error.into()),
    };
    let mut queries = Vec::with_capacity(rows.len());
    for row in &rows {
        // A role that may not see a statement sees neither its hash nor its text.
        let Some(query) = counters(row)? else { return Ok(not_permitted()) };
        queries.push(query);
    }

    let info = include_str!("../source/postgres/statements_info.sql");
    let sql = over_existing_columns(client, &view("pg_stat_statements_info"), "info", INFO, info).await?;
    let told = match sql {
        Some(sql) => client.query_typed(&sql, &[]).await?.into_iter().next(),
        None => None,
    };
    let (evictions, reset_us) = match &told {
        Some(row) => (row.try_get::<_, Option<i64>>("evictions")?, row.try_get("reset_us")?),
        None => (None, None),
    };
    let taken_us = found.try_get("taken_us")?;
    Ok(Examined::Found(QuerySnapshot { taken_us, reset_us, evictions: evictions.map(count), queries }))
}

/// There is no view of that name.
fn missing(found: &Row, is_preloaded: Option<bool>) -> Result<Examined<QuerySnapshot>, Error> {
    Ok(if !found.try_get::<_, bool>("is_available")? {
        Examined::not_examined(
            "the server has no extension pg_stat_statements: install the contrib package of its version",
        )
    } else if is_preloaded == Some(false) {
        not_preloaded()
    } else {
        Examined::after(
            "the extension pg_stat_statements was not created in this database",
            "create extension pg_stat_statements",
        )
    })
}

fn not_preloaded() -> Examined<QuerySnapshot> {
    Examined::after(
        "pg_stat_statements is not in shared_preload_libraries: add it, restart the server, then create the extension",
        "alter system set shared_preload_libraries = 'pg_stat_statements'",
    )
}

/// `None` for a statement that is hidden from this role.
fn counters(row: &Row) -> Result<Option<QueryCounters>, tokio_postgres::Error> {
    let Some(query_id) = row.try_get("queryid")? else { return Ok(None) };
    let number = |name| -> Result<u64, tokio_postgres::Error> { Ok(count(row.try_get(name)?)) };
    let timing = |kind: [&str; 4]| -> Result<Timing, tokio_postgres::Error> {
        let [total, min, max, stddev] = kind;
        Ok(Timing {
            total_ms: row.try_get(total)?,
            min_ms: row.try_get(min)?,
            max_ms: row.try_get(max)?,
            stddev_ms: row.try_get(stddev)?,
        })
    };
    Ok(Some(QueryCounters {
        key: QueryKey {
            user_id: row.try_get("userid")?,
            database_id: row.try_get("dbid")?,
            query_id,
            is_top_level: row.try_get("toplevel")?,
        },
        // Null where the server cannot read its file of texts.
        text: row.try_get::<_, Option<String>>("query")?.unwrap_or_default(),
        calls: number("calls")?,
        plans: number("plans")?,
        rows: Some(number("rows")?),
        execution: timing(["total_exec_time", "min_exec_time", "max_exec_time", "stddev_exec_time"])?,
        planning: timing(["total_plan_time", "min_plan_time", "max_plan_time", "stddev_plan_time"])?,
        blocks: Blocks {
            shared_hit: number("shared_blks_hit")?,
            shared_read: number("shared_blks_read")?,
            temp_read: number("temp_blks_read")?,
            temp_written: number("temp_blks_written")?,
        },
        since_us: row.try_get("since_us")?,
    }))
}
