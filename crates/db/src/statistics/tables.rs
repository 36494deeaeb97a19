//! Tables: how large, how dead, how long untended.

use std::fmt;
use std::time::Duration;

use tokio_postgres::{Client, Row};

use super::bloat::{self, Bloat, Shape};
use super::{BLOAT_FLOOR, Bytes, Estimate, Examined, Wanted, age, count, over_existing_columns};
use crate::{Error, Ident, SqlType, TableName};

/// What a database knows of one table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableStatistics {
    /// The table, with its schema on PostgreSQL.
    pub table: TableName,
    /// Rows that are alive.
    pub live: Examined<Estimate>,
    /// Rows that are dead and still take room; SQLite has none.
    pub dead: Examined<Estimate>,
    /// The rows themselves.
    pub table_size: Examined<Bytes>,
    /// Its indexes.
    pub index_size: Examined<Bytes>,
    /// Values that are kept apart because they are long.
    pub toast_size: Examined<Bytes>,
    /// Room in the table that no live row needs.
    pub bloat: Examined<Bloat>,
    /// When it was last tended.
    pub upkeep: Upkeep,
    /// Times it was read as a whole; SQLite does not count.
    pub full_scans: Examined<u64>,
    /// Times it was read by an index.
    pub index_scans: Examined<u64>,
}

/// How long ago a table was tended.
#[derive(Debug, Clone, PartialEq)]
pub struct Upkeep {
    /// Since dead rows were last collected, by hand or by the server; `None`: never since statistics were reset.
    pub vacuumed: Option<Duration>,
    /// Since the planner's statistics were last made; `None`: never since statistics were reset, or not told (SQLite).
    pub analysed: Option<Duration>,
    /// Whether the planner has no statistics of this table at all.
    pub is_never_analysed: bool,
    /// Rows that changed since then.
    pub changed_since: Examined<Estimate>,
    /// Time that vacuums of this table took, in milliseconds, where the server tells (from 18 on).
    pub vacuum_ms: Option<f64>,
}

impl TableStatistics {
    /// Which part of the rows is dead, 0 to 1; `None` if there is none or it is not known.
    #[must_use]
    pub fn dead_share(&self) -> Option<f64> {
        let (live, dead) = (self.live.found()?.0, self.dead.found()?.0);
        (live + dead > 0).then(|| dead as f64 / (live + dead) as f64)
    }

    /// The whole of it, of what is known.
    #[must_use]
    pub fn total_size(&self) -> Bytes {
        Bytes(
            [&self.table_size, &self.index_size, &self.toast_size].iter().filter_map(|s| s.found()).map(|s| s.0).sum(),
        )
    }
}

const TABLES: &[Wanted] = &[
    ("relid", &["relid"], SqlType::Bigint),
    ("schemaname", &["schemaname"], SqlType::Text),
    ("relname", &["relname"], SqlType::Text),
    ("seq_scan", &["seq_scan"], SqlType::Bigint),
    ("idx_scan", &["idx_scan"], SqlType::Bigint),
    ("n_live_tup", &["n_live_tup"], SqlType::Bigint),
    ("n_dead_tup", &["n_dead_tup"], SqlType::Bigint),
    ("n_mod_since_analyze", &["n_mod_since_analyze"], SqlType::Bigint),
    ("last_vacuum", &["last_vacuum"], SqlType::Timestamptz),
    ("last_autovacuum", &["last_autovacuum"], SqlType::Timestamptz),
    ("last_analyze", &["last_analyze"], SqlType::Timestamptz),
    ("last_autoanalyze", &["last_autoanalyze"], SqlType::Timestamptz),
    ("total_vacuum_time", &["total_vacuum_time"], SqlType::Numeric),
    ("total_autovacuum_time", &["total_autovacuum_time"], SqlType::Numeric),
];

/// Reads what PostgreSQL knows of the tables outside its own schemas, the largest first.
///
/// Numbers of rows are the server's estimates. Sizes are exact; bloat is estimated for tables of at least
/// [`BLOAT_FLOOR`](super::BLOAT_FLOOR) that were analysed and that the role may read, which is said of each. Two round
/// trips, and a look at each table's files.
///
/// # Errors
///
/// [`Error::Postgres`].
pub async fn tables_postgres(client: &Client) -> Result<Examined<Vec<TableStatistics>>, Error> {
    let view: TableName = "pg_stat_user_tables".parse().expect("a plain name");
    let statement = include_str!("sql/postgres/tables.sql");
    let Some(sql) = over_existing_columns(client, &view, "counted", TABLES, statement).await? else {
        return Ok(Examined::not_examined("this server has no view pg_stat_user_tables"));
    };
    let rows = client.query_typed(&sql, &[]).await?;
    Ok(Examined::Found(rows.iter().map(table_postgres).collect::<Result<_, _>>()?))
}

fn table_postgres(row: &Row) -> Result<TableStatistics, Error> {
    let name = |column| -> Result<Ident, Error> {
        Ok(Ident::try_from(row.try_get::<_, String>(column)?).expect("a name that PostgreSQL keeps is one of ours"))
    };
    let table = TableName::new(Some(name("schemaname")?), name("relname")?);
    let number = |column| -> Result<u64, Error> { Ok(count(row.try_get(column)?)) };
    let size = |column| -> Result<Examined<Bytes>, Error> { Ok(Examined::Found(Bytes(number(column)?))) };
    let (may_read, role): (bool, String) = (row.try_get("may_read")?, row.try_get("role")?);
    let (columns, analysed_columns) = (number("columns")?, number("analysed_columns")?);
    let analysed = age(row.try_get("analysed_us")?);
    let bytes = number("table_bytes")?;
    let bloat = if bytes < BLOAT_FLOOR.0 {
        Examined::not_examined(format!("smaller than {BLOAT_FLOOR}"))
    } else if !may_read {
        Examined::NotPermitted {
            needs: format!("the right SELECT on {table}"),
            command: format!("grant select on {} to {role}", table.quoted()),
        }
    } else if analysed_columns < columns || row.try_get::<_, f64>("rows")? < 0.0 {
        Examined::after("the planner has no statistics of it", format!("analyze {}", table.quoted()))
    } else {
        Examined::Found(bloat::estimate(&Shape {
            bytes,
            block: number("block_bytes")?,
            rows: row.try_get("rows")?,
            row_width: row.try_get("row_width")?,
            fill_percent: number("fill_percent")?,
        }))
    };
    Ok(TableStatistics {
        live: Examined::Found(Estimate(number("live")?)),
        dead: Examined::Found(Estimate(number("dead")?)),
        table_size: size("table_bytes")?,
        index_size: size("index_bytes")?,
        toast_size: size("toast_bytes")?,
        bloat,
        upkeep: Upkeep {
            vacuumed: age(row.try_get("vacuumed_us")?),
            analysed,
            is_never_analysed: analysed.is_none() && analysed_columns == 0 && columns > 0,
            changed_since: Examined::Found(Estimate(number("changed")?)),
            vacuum_ms: row.try_get("vacuum_ms")?,
        },
        full_scans: Examined::Found(number("full_scans")?),
        index_scans: Examined::Found(number("index_scans")?),
        table,
    })
}

/// Reads what SQLite knows of the tables of `main`, by name.
///
/// Numbers of rows and sizes come from `dbstat`, where SQLite was compiled with it, and are exact then. Costs a pass over the
/// pages of the file. Elsewhere rows are those that the last `analyze` found.
///
/// # Errors
///
/// [`Error::Sqlite`].
pub fn tables_sqlite(connection: &rusqlite::Connection) -> Result<Vec<TableStatistics>, Error> {
    let has = |sql| connection.query_row(sql, [], |row| row.get::<_, bool>(0));
    let has_sizes = has("select exists (select 1 from pragma_module_list where name = 'dbstat')")?;
    let has_rows = has("select exists (select 1 from main.sqlite_schema where name = 'sqlite_stat1')")?;
    let mut tables: Vec<(String, bool, Option<u64>)> = connection
        .prepare(include_str!("sql/sqlite/tables.sql"))?
        .query_map([], |row| Ok((row.get("name")?, row.get("is_without_rowid")?, None)))?
        .collect::<Result<_, _>>()?;
    if has_rows {
        let mut statement = connection.prepare(include_str!("source/sqlite/rows.sql"))?;
        for (table, _, analysed) in &mut tables {
            *analysed = statement.query_row([&*table], |row| row.get::<_, Option<i64>>(0))?.map(count);
        }
    }
    let mut sizes = if has_sizes { Some(connection.prepare(include_str!("source/sqlite/sizes.sql"))?) } else { None };
    let mut found = Vec::with_capacity(tables.len());
    for (name, is_without_rowid, analysed) in tables {
        let (table_size, index_size, counted) = match &mut sizes {
            Some(statement) => {
                let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
                let (table, index, rows): (i64, i64, i64) =
                    statement.query_row(rusqlite::params![name, is_without_rowid], read)?;
                (Examined::Found(Bytes(count(table))), Examined::Found(Bytes(count(index))), Some(count(rows)))
            }
            None => (not_compiled(), not_compiled(), None),
        };
        // SQLite's names may be longer than ours; such a table is nobody's.
        let Ok(ident) = Ident::new(&name) else { continue };
        let live = match counted.or(analysed) {
            Some(rows) => Examined::Found(Estimate(rows)),
            None => Examined::after("never analysed, or empty then", format!("analyze {}", ident.quoted())),
        };
        found.push(TableStatistics {
            table: TableName::new(None, ident),
            live,
            dead: Examined::not_examined("SQLite keeps no dead rows"),
            table_size,
            index_size,
            toast_size: Examined::not_examined("SQLite keeps long values with their rows"),
            bloat: Examined::after("SQLite counts free pages for the whole file", "pragma freelist_count"),
            upkeep: Upkeep {
                vacuumed: None,
                analysed: None,
                is_never_analysed: analysed.is_none(),
                changed_since: Examined::not_examined("SQLite does not count changes"),
                vacuum_ms: None,
            },
            full_scans: Examined::not_examined("SQLite does not count scans"),
            index_scans: Examined::not_examined("SQLite does not count scans"),
        });
    }
    Ok(found)
}

fn not_compiled() -> Examined<Bytes> {
    Examined::not_examined("SQLite was compiled without dbstat")
}

impl fmt::Display for TableStatistics {
    /// One line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} rows, {}", self.table, self.live, self.total_size())?;
        if let Some(share) = self.dead_share().filter(|share| *share > 0.0) {
            write!(f, ", {:.0} % dead", share * 100.0)?;
        }
        if let Examined::Found(bloat) = &self.bloat {
            write!(f, ", bloat {bloat}")?;
        }
        self.upkeep.fmt(f)
    }
}

impl fmt::Display for Upkeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(since) = self.vacuumed {
            write!(f, ", vacuumed {} ago", Ago(since))?;
        }
        match self.analysed {
            _ if self.is_never_analysed => f.write_str(", never analysed"),
            Some(since) => write!(f, ", analysed {} ago", Ago(since)),
            None => Ok(()),
        }
    }
}

/// A time in its largest unit.
struct Ago(Duration);

impl fmt::Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            seconds @ 0..60 => write!(f, "{seconds} s"),
            seconds @ 60..3600 => write!(f, "{} min", seconds / 60),
            seconds @ 3600..172_800 => write!(f, "{} h", seconds / 3600),
            seconds => write!(f, "{} d", seconds / (24 * 3600)),
        }
    }
}
