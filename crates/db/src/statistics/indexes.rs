//! Indexes and foreign keys as the catalogs describe them.

use std::fmt;
use std::time::Duration;

use rusqlite::Connection;
use tokio_postgres::{Client, Row};

use super::{Bytes, Estimate, Examined, Wanted, age, count, over_existing_columns};
use crate::{Error, Ident, SqlType, TableName};

/// All that [`judge`](super::judge) looks at.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexReading {
    /// The indexes of the tables that were looked at.
    pub indexes: Vec<Index>,
    /// The foreign keys of these tables.
    pub foreign_keys: Vec<ForeignKey>,
    /// Over which time scans were counted.
    pub window: Examined<ScanWindow>,
}

/// Over which time scans were counted, and where not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanWindow {
    /// Since the counters were reset; `None`: since they exist, no reset is known.
    pub since_reset: Option<Duration>,
    /// Whether this server is a replica, which counts its own scans only.
    pub is_replica: bool,
    /// Replicas that are connected to it. What they scan is not counted here.
    pub replicas: u64,
}

/// One index.
#[derive(Debug, Clone, PartialEq)]
pub struct Index {
    /// Its name, with its schema on PostgreSQL.
    pub name: TableName,
    /// The table it is on.
    pub table: TableName,
    /// Its method: `btree`, `gin`, …
    pub method: String,
    /// What orders it.
    pub keys: Vec<IndexKey>,
    /// Columns it carries besides.
    pub included: Vec<String>,
    /// The condition of a partial index.
    pub predicate: Option<String>,
    /// The statement that makes it.
    pub definition: String,
    /// What it is there for besides being fast.
    pub roles: Vec<IndexRole>,
    /// Whether it refuses equal keys.
    pub is_unique: bool,
    /// Whether queries can use it; a build that failed leaves one that costs every write and serves none.
    pub is_valid: bool,
    /// Whether it is being built at this moment.
    pub is_in_progress: bool,
    /// How often it was used.
    pub scans: Examined<Scans>,
    /// Its size.
    pub size: Examined<Bytes>,
    /// The size it would have if it were made anew, where the method and the statistics of the columns tell.
    pub expected_size: Examined<Estimate>,
}

/// One key of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexKey {
    /// The column, or the expression as the database prints it.
    pub expression: String,
    /// Whether it is a plain column.
    pub is_column: bool,
    /// Operator class, collation and direction, as one text that is equal if they are.
    pub rules: String,
}

/// Why an index stays, though nobody may scan it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexRole {
    /// It is the primary key.
    PrimaryKey,
    /// It keeps rows unique.
    Unique,
    /// It keeps rows from excluding each other.
    Exclusion,
    /// It names rows for logical replication.
    ReplicaIdentity,
    /// It is a partition of an index on the whole table.
    Partition,
    /// The table is stored in its order.
    Clustered,
}

/// How often an index was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scans {
    /// Scans on this server since the beginning of the window.
    pub count: u64,
    /// Since the last of them, where the server tells (from 16 on).
    pub last: Option<Duration>,
}

/// A foreign key, from the table that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// Its name; empty on SQLite.
    pub name: String,
    /// The table whose rows refer.
    pub table: TableName,
    /// Its columns.
    pub columns: Vec<String>,
    /// The table that is referred to.
    pub refers_to: TableName,
    /// Rows of the referring table, by estimate.
    pub rows: Examined<Estimate>,
}

impl ForeignKey {
    /// Whether an index finds the rows that refer to a given one: its first keys are these columns, in any order, and it
    /// has all rows.
    #[must_use]
    pub fn is_served_by(&self, index: &Index) -> bool {
        let leading = index.keys.get(..self.columns.len()).unwrap_or_default();
        index.table == self.table
            && index.is_valid
            && index.predicate.is_none()
            && index.method == "btree"
            && !leading.is_empty()
            && leading.iter().all(|key| key.is_column && self.columns.contains(&key.expression))
            && self.columns.iter().all(|column| leading.iter().any(|key| key.expression == *column))
    }
}

const SCANS: &[Wanted] = &[
    ("indexrelid", &["indexrelid"], SqlType::Bigint),
    ("idx_scan", &["idx_scan"], SqlType::Bigint),
    ("last_idx_scan", &["last_idx_scan"], SqlType::Timestamptz),
];

/// Reads the indexes and foreign keys outside PostgreSQL's own schemas.
///
/// Needs no right on the tables; expected sizes need it. Indexes of whole partitioned tables, which have no rows
/// themselves, are left out for those of their partitions. Four round trips.
///
/// # Errors
///
/// [`Error::Postgres`].
pub async fn indexes_postgres(client: &Client) -> Result<IndexReading, Error> {
    let view: TableName = "pg_stat_user_indexes".parse().expect("a plain name");
    let statement = include_str!("sql/postgres/indexes.sql");
    let indexes = match over_existing_columns(client, &view, "counted", SCANS, statement).await? {
        Some(sql) => client.query_typed(&sql, &[]).await?.iter().map(index_postgres).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    let foreign_keys = client
        .query_typed(include_str!("sql/postgres/foreign_keys.sql"), &[])
        .await?
        .iter()
        .map(|row| {
            Ok(ForeignKey {
                name: row.try_get("name")?,
                table: table_name(row, "table_schema", "table_name")?,
                columns: row.try_get("columns")?,
                refers_to: table_name(row, "other_schema", "other_name")?,
                rows: known_rows(row.try_get("rows")?),
            })
        })
        .collect::<Result<_, Error>>()?;
    let window = client.query_typed_one(include_str!("source/postgres/scan_window.sql"), &[]).await?;
    let window = Examined::Found(ScanWindow {
        since_reset: age(window.try_get("since_reset_us")?),
        is_replica: window.try_get("is_replica")?,
        replicas: count(window.try_get("replicas")?),
    });
    Ok(IndexReading { indexes, foreign_keys, window })
}

fn table_name(row: &Row, schema: &str, name: &str) -> Result<TableName, Error> {
    let ident = |column| -> Result<Ident, Error> {
        Ok(Ident::try_from(row.try_get::<_, String>(column)?).expect("a name that PostgreSQL keeps is one of ours"))
    };
    Ok(TableName::new(Some(ident(schema)?), ident(name)?))
}

/// Below zero before the first vacuum or analyze.
fn known_rows(rows: f64) -> Examined<Estimate> {
    if rows < 0.0 { Examined::not_examined("never analysed") } else { Examined::Found(Estimate(rows as u64)) }
}

fn index_postgres(row: &Row) -> Result<Index, Error> {
    let (expressions, rules): (Vec<String>, Vec<String>) = (row.try_get("keys")?, row.try_get("rules")?);
    let are_columns: Vec<bool> = row.try_get("are_columns")?;
    let keys = expressions
        .into_iter()
        .zip(rules)
        .zip(are_columns)
        .map(|((expression, rules), is_column)| IndexKey { expression, is_column, rules })
        .collect();
    let is = |column| -> Result<bool, Error> { Ok(row.try_get(column)?) };
    let roles = [
        (is("is_primary")?, IndexRole::PrimaryKey),
        (is("is_unique")?, IndexRole::Unique),
        (is("is_exclusion")?, IndexRole::Exclusion),
        (is("is_replica_identity")?, IndexRole::ReplicaIdentity),
        (is("is_partition")?, IndexRole::Partition),
        (is("is_clustered")?, IndexRole::Clustered),
    ];
    let method: String = row.try_get("method")?;
    let (rows, width): (f64, Option<f64>) = (row.try_get("rows")?, row.try_get("key_width")?);
    let predicate: Option<String> = row.try_get("predicate")?;
    let expected_size = match width {
        _ if method != "btree" => Examined::not_examined(format!("the size of a {method} index cannot be told")),
        _ if predicate.is_some() => Examined::not_examined("how many rows a condition leaves is not known"),
        Some(width) if rows >= 0.0 => Examined::Found(expected_btree(rows, width)),
        _ => Examined::not_examined("the planner has no statistics of its columns, or they are hidden from this role"),
    };
    Ok(Index {
        name: table_name(row, "index_schema", "index_name")?,
        table: table_name(row, "table_schema", "table_name")?,
        method,
        keys,
        included: row.try_get("included")?,
        predicate,
        definition: row.try_get("definition")?,
        roles: roles.into_iter().filter_map(|(has, role)| has.then_some(role)).collect(),
        is_unique: is("is_unique")?,
        is_valid: is("is_valid")?,
        is_in_progress: is("is_in_progress")?,
        scans: match row.try_get::<_, Option<i64>>("scans")? {
            Some(scans) => Examined::Found(Scans { count: count(scans), last: age(row.try_get("last_scan_us")?) }),
            None => Examined::not_examined("the server does not count the scans of this index"),
        },
        size: Examined::Found(Bytes(count(row.try_get("bytes")?))),
        expected_size,
    })
}

/// A B-tree as a build would leave it: entries of a pointer (4 bytes), a header (8) and the values, aligned, in leaves that
/// are nine tenths full. Equal keys are stored once, so it may well be smaller.
fn expected_btree(rows: f64, width: f64) -> Estimate {
    let entry = ((8.0 + width) / 8.0).ceil() * 8.0 + 4.0;
    let per_leaf = ((8192.0 - 40.0) * 0.9 / entry).floor().max(1.0);
    Estimate((((rows / per_leaf).ceil() + 2.0) * 8192.0) as u64)
}

/// Reads the indexes and foreign keys of the tables of `main`.
///
/// SQLite counts no scans; expressions and conditions of indexes are not compared.
///
/// # Errors
///
/// [`Error::Sqlite`].
pub fn indexes_sqlite(connection: &Connection) -> Result<IndexReading, Error> {
    let mut indexes = Vec::new();
    let mut list = connection.prepare(include_str!("sql/sqlite/indexes.sql"))?;
    let mut rows = list.query([])?;
    while let Some(row) = rows.next()? {
        let (name, table): (String, String) = (row.get("index_name")?, row.get("table_name")?);
        // Longer names than PostgreSQL's cannot be said; such tables are nobody's.
        let (Ok(index), Ok(table)) = (Ident::new(&name), Ident::new(&table)) else { continue };
        let origin: String = row.get("origin")?;
        let (is_unique, is_partial): (bool, bool) = (row.get("is_unique")?, row.get("is_partial")?);
        let mut roles = Vec::new();
        if origin == "pk" {
            roles.push(IndexRole::PrimaryKey);
        }
        if is_unique {
            roles.push(IndexRole::Unique);
        }
        indexes.push(Index {
            keys: keys_sqlite(connection, &name)?,
            name: TableName::new(None, index),
            table: TableName::new(None, table),
            method: "btree".to_owned(),
            included: Vec::new(),
            // Equal to no other.
            predicate: is_partial.then(|| format!("the condition of {name}")),
            definition: row.get::<_, Option<String>>("definition")?.unwrap_or_default(),
            roles,
            is_unique,
            is_valid: true,
            is_in_progress: false,
            scans: Examined::not_examined("SQLite does not count scans"),
            size: Examined::not_examined("see the sizes of tables"),
            expected_size: Examined::not_examined("SQLite tells no widths of columns"),
        });
    }
    Ok(IndexReading {
        indexes,
        foreign_keys: foreign_keys_sqlite(connection)?,
        window: Examined::not_examined("SQLite does not count scans"),
    })
}

fn keys_sqlite(connection: &Connection, index: &str) -> Result<Vec<IndexKey>, Error> {
    let mut statement = connection.prepare_cached(include_str!("source/sqlite/index_keys.sql"))?;
    let keys = statement.query_map([index], |row| {
        let column: Option<String> = row.get("name")?;
        let place: i64 = row.get("place")?;
        Ok(IndexKey {
            is_column: column.is_some(),
            expression: column.unwrap_or_else(|| format!("expression {place} of {index}")),
            rules: row.get("rules")?,
        })
    })?;
    Ok(keys.collect::<Result<_, _>>()?)
}

fn foreign_keys_sqlite(connection: &Connection) -> Result<Vec<ForeignKey>, Error> {
    let mut statement = connection.prepare(include_str!("sql/sqlite/foreign_keys.sql"))?;
    let mut rows = statement.query([])?;
    let mut keys: Vec<(i64, ForeignKey)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (table, other): (String, String) = (row.get("table_name")?, row.get("other_name")?);
        let (Ok(table), Ok(other)) = (Ident::new(&table), Ident::new(&other)) else { continue };
        let (number, column): (i64, String) = (row.get("number")?, row.get("column_name")?);
        let table = TableName::new(None, table);
        match keys.last_mut() {
            Some((last, key)) if *last == number && key.table == table => key.columns.push(column),
            _ => keys.push((
                number,
                ForeignKey {
                    name: String::new(),
                    table,
                    columns: vec![column],
                    refers_to: TableName::new(None, other),
                    rows: Examined::not_examined("see the statistics of tables"),
                },
            )),
        }
    }
    Ok(keys.into_iter().map(|(_, key)| key).collect())
}

impl fmt::Display for IndexRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PrimaryKey => "primary key",
            Self::Unique => "unique",
            Self::Exclusion => "exclusion",
            Self::ReplicaIdentity => "replica identity",
            Self::Partition => "part of an index on all partitions",
            Self::Clustered => "order of the table",
        })
    }
}

impl fmt::Display for ScanWindow {
    /// What "never scanned" means: over which time, and where nobody looked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.since_reset {
            Some(since) => write!(f, "counted for {:.1} days", since.as_secs_f64() / (24.0 * 3600.0))?,
            None => f.write_str("counted since the database was made or the server last crashed")?,
        }
        match (self.is_replica, self.replicas) {
            (true, _) => f.write_str(" on this replica only, not on the primary"),
            (false, 0) => f.write_str(" on this server"),
            (false, replicas) => write!(f, " on this server, not on its {replicas} replicas"),
        }
    }
}
