//! What was found, for programs.

use serde::Serialize;
use serde_json::{Value, json};
use tierkeep_db::Dialect;
use tierkeep_db::statistics::{Examined, IndexFinding, QueryCounters, SlowQueries, TableStatistics};
use utoipa::ToSchema;

use super::{Examination, GrowthByTable, Task};

/// What was found in the database. What could not be looked at is null here and named in `not_examined`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Document {
    /// `postgresql` or `sqlite`.
    database: &'static str,
    /// What is worth doing, the most urgent first.
    tasks: Vec<Task>,
    /// Statements that take 100 ms or more on average, the one that takes most time in all first.
    #[schema(value_type = Option<Vec<Object>>, required)]
    slow_queries: Option<Vec<Value>>,
    /// Tables, the largest first.
    #[schema(value_type = Option<Vec<Object>>, required)]
    tables: Option<Vec<Value>>,
    /// Indexes that something is wrong with.
    #[schema(value_type = Vec<Object>)]
    indexes: Vec<Value>,
    /// What could not be looked at, why, and what would help.
    not_examined: Vec<String>,
}

impl Document {
    pub(crate) fn of(examination: &Examination) -> Self {
        let slow = examination.statements.found().map(|snapshot| {
            let period = snapshot.whole();
            period.slowest(SlowQueries::default()).into_iter().map(query).collect()
        });
        Self {
            database: match examination.dialect {
                Dialect::Postgres => "postgresql",
                Dialect::Sqlite => "sqlite",
            },
            tasks: examination.tasks(),
            slow_queries: slow,
            tables: examination
                .tables
                .found()
                .map(|tables| tables.iter().map(|found| table(found, &examination.growth)).collect()),
            indexes: examination.findings().iter().map(finding).collect(),
            not_examined: examination.omissions(),
        }
    }
}

/// A statement.
pub(crate) fn query(query: &QueryCounters) -> Value {
    json!({
        "sql": query.text,
        "calls": query.calls,
        "total_ms": query.total_ms(),
        "mean_ms": query.mean_ms(),
        "min_ms": query.execution.min_ms,
        "max_ms": query.execution.max_ms,
        "stddev_ms": query.execution.stddev_ms,
        "rows": query.rows,
        "hit_ratio": query.hit_ratio(),
        "temp_blocks_written": query.blocks.temp_written,
    })
}

/// A table; null = not examined.
pub(crate) fn table(table: &TableStatistics, growth: &GrowthByTable) -> Value {
    let seconds = |age: Option<std::time::Duration>| age.map(|age| age.as_secs());
    let growth = growth.get(&table.table.to_string());
    json!({
        "table": table.table.to_string(),
        "rows_per_day": growth.map(|growth| growth.rows_per_day),
        "bytes_per_day": growth.map(|growth| growth.bytes_per_day),
        "live_rows_estimate": table.live.found().map(|rows| rows.0),
        "dead_rows_estimate": table.dead.found().map(|rows| rows.0),
        "table_bytes": table.table_size.found().map(|size| size.0),
        "index_bytes": table.index_size.found().map(|size| size.0),
        "toast_bytes": table.toast_size.found().map(|size| size.0),
        "bloat_bytes_estimate": table.bloat.found().map(|bloat| bloat.bytes.0),
        "vacuumed_seconds_ago": seconds(table.upkeep.vacuumed),
        "analysed_seconds_ago": seconds(table.upkeep.analysed),
        "never_analysed": table.upkeep.is_never_analysed,
        "full_scans": found(&table.full_scans),
        "index_scans": found(&table.index_scans),
    })
}

/// Something that is wrong with an index.
pub(crate) fn finding(finding: &IndexFinding) -> Value {
    json!({
        "table": finding.table.to_string(),
        "finding": finding.to_string(),
        "command": finding.command,
        "frees_bytes": finding.frees.map(|bytes| bytes.0),
    })
}

fn found(count: &Examined<u64>) -> Option<u64> {
    count.found().copied()
}
