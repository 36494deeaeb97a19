//! What the databases themselves know of statements, tables and indexes.
//!
//! Each reader asks once and returns a value; what follows from it ([`QueryPeriod::slowest`], [`growth`], [`judge`]) is
//! computed without any I/O. On PostgreSQL readers go by the columns that exist, so that one program reads every version
//! from 13 on, and views that somebody put earlier on the search path. Nothing is ever reset.
//!
//! What could not be looked at is never an empty list: [`Examined`] says what is missing and the command that would help.
//!
//! - Statements: [`query_snapshot_postgres`], a reading of `pg_stat_statements`, and the difference of two of them;
//!   [`query_snapshot_sqlite`], of what programs have counted themselves.
//! - Tables: [`tables_postgres`] and [`tables_sqlite`]; [`TableSample`]s, stored and read, for growth over time.
//! - Indexes: [`indexes_postgres`] and [`indexes_sqlite`], and what is wrong with them.
//!
//! # Examples
//!
//! ```
//! use tierkeep_db::statistics::{indexes_sqlite, judge};
//!
//! let db = rusqlite::Connection::open_in_memory()?;
//! db.execute_batch("create table t (a, b); create index narrow on t (a); create index wide on t (a, b)")?;
//!
//! let findings = judge(&indexes_sqlite(&db)?);
//!
//! assert_eq!(findings[0].to_string(), "narrow on t repeats the beginning of wide; drop it: drop index \"narrow\"");
//! # Ok::<(), tierkeep_db::Error>(())
//! ```

mod bloat;
mod examined;
mod growth;
mod indexes;
mod judgement;
mod queries;
mod tables;

pub use bloat::{BLOAT_FLOOR, Bloat};
pub use examined::{Bytes, Estimate, Examined};
pub use growth::{
    Growth, SAMPLES_POSTGRES, SAMPLES_SQLITE, TableSample, growth, samples_postgres, samples_sqlite,
    store_samples_postgres, store_samples_sqlite,
};
pub use indexes::{
    ForeignKey, Index, IndexKey, IndexReading, IndexRole, ScanWindow, Scans, indexes_postgres, indexes_sqlite,
};
pub use judgement::{IndexFinding, Shortcoming, judge};
pub(crate) use queries::store_statements;
pub use queries::{
    Blocks, Completeness, QueryCounters, QueryKey, QueryPeriod, QuerySnapshot, SlowQueries, SlowestBy, Timing,
    query_snapshot_postgres, query_snapshot_sqlite,
};
pub use tables::{TableStatistics, Upkeep, tables_postgres, tables_sqlite};

use tokio_postgres::Client;

use crate::{ColumnExpr, Dialect, Error, Ident, SqlType, TableName, columns_postgres, projection, with_prefix};

/// A column of a view under the name that our statements use: the names it had in some version, the newest first, and the
/// type of the null that stands for it where no version's name exists.
type Wanted = (&'static str, &'static [&'static str], SqlType);

/// Puts a statement behind a projection of those columns of a view that exist; `None` if there is no such view.
async fn over_existing_columns(
    client: &Client,
    view: &TableName,
    name: &'static str,
    wanted: &[Wanted],
    statement: &str,
) -> Result<Option<String>, Error> {
    let Some(existing) = columns_postgres(client, view).await? else { return Ok(None) };
    let columns: Vec<(Ident, ColumnExpr)> = wanted
        .iter()
        .map(|(canonical, names, sql_type)| {
            let found = names.iter().find(|name| existing.iter().any(|column| column.name == **name));
            let expression = found.map_or(ColumnExpr::Null(*sql_type), |found| ColumnExpr::Column(own_name(found)));
            (own_name(canonical), expression)
        })
        .collect();
    let prefix = projection(Dialect::Postgres, &own_name(name), view, &columns);
    Ok(Some(with_prefix(&[prefix], statement).expect("our statements start with select")))
}

fn own_name(name: &str) -> Ident {
    Ident::new(name).expect("names of this module are short and plain")
}

/// What was said in SQL as a number of microseconds, or was not.
fn age(micros: Option<i64>) -> Option<std::time::Duration> {
    micros.map(|micros| std::time::Duration::from_micros(micros.max(0).unsigned_abs()))
}

/// Counters of the databases are never negative.
fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
