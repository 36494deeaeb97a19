//! What the catalog says of the tables that a store works on.

use tierkeep_db::{CatalogColumn, Dialect, SqliteDatabase, columns_postgres, columns_sqlite};
use tokio_postgres::Client;

use super::super::StoreError;
use super::super::postgres::drift::Platform;
use super::super::statements::{absent_summaries, no_archive};
use super::super::tables::Tables;
use super::super::writes::RowStatements;
use crate::key::KeyType;
use crate::mapping::{Mapping, Source};

/// What was found about the tables of a database.
pub(in crate::store) struct Found {
    pub(in crate::store) keys: KeyType,
    pub(super) tables: Tables,
    /// Shows a platform's tables under the canonical names.
    pub(in crate::store) prefix: Vec<String>,
    /// Whether learners have a column for their zone.
    pub(in crate::store) has_zones: bool,
    /// Statements that write one row.
    pub(super) rows: RowStatements,
    /// What the platform's columns are, where Tierkeep is attached to them.
    pub(super) platform: Option<Platform>,
}

/// The columns of the tables.
pub(super) type Columns = Vec<(Source, Vec<CatalogColumn>)>;

impl Found {
    pub(super) fn own(
        mapping: &Mapping,
        dialect: Dialect,
        keys: KeyType,
        columns: &Columns,
    ) -> Result<Self, StoreError> {
        let rows = RowStatements::new(mapping, dialect, keys, columns)?;
        Ok(Self { keys, tables: Tables::Own, prefix: Vec::new(), has_zones: true, rows, platform: None })
    }
}

/// What a mapping finds in a platform's database.
pub(in crate::store) async fn mapped_postgres(
    db: &Client,
    mapping: &Mapping,
    is_attached: bool,
) -> Result<Found, StoreError> {
    let found = columns_of_postgres(db, mapping).await?;
    let keys = mapping.key_type(Dialect::Postgres, &found[0].1)?;
    let archive = if is_attached { columns_postgres(db, &mapping.archive()).await? } else { None };
    platform(mapping, Dialect::Postgres, keys, &found, is_attached, archive.as_deref())
}

pub(super) async fn columns_of_postgres(db: &Client, mapping: &Mapping) -> Result<Columns, StoreError> {
    let mut found = Vec::new();
    for source in Source::ALL {
        let columns = columns_postgres(db, &mapping.table(source)).await?;
        found.push((source, columns.ok_or_else(|| no_table(mapping, source))?));
    }
    Ok(found)
}

pub(super) async fn columns_of_sqlite(db: &SqliteDatabase, mapping: &Mapping) -> Result<Columns, StoreError> {
    let mapping = mapping.clone();
    db.read(move |db| {
        let mut found = Vec::new();
        for source in Source::ALL {
            let columns = columns_sqlite(db, &mapping.table(source))?;
            found.push((source, columns.ok_or_else(|| no_table(&mapping, source))?));
        }
        Ok(found)
    })
    .await
}

fn no_table(mapping: &Mapping, source: Source) -> StoreError {
    StoreError::Mapping(format!(
        "there is no table {} for {source}; name the platform's table in [mapping.{source}]",
        mapping.table(source).quoted()
    ))
}

/// What a platform's tables are, once their columns are `found`. `archive` are the columns of the archive.
pub(super) fn platform(
    mapping: &Mapping,
    dialect: Dialect,
    keys: KeyType,
    found: &[(Source, Vec<CatalogColumn>)],
    is_attached: bool,
    archive: Option<&[CatalogColumn]>,
) -> Result<Found, StoreError> {
    let mut prefix = Vec::new();
    for (source, columns) in found {
        prefix.push(mapping.projection(*source, dialect, keys, columns)?);
    }
    prefix.push(match archive {
        Some(columns) => mapping.archive_projection(dialect, keys, columns)?,
        None => no_archive(),
    });
    if !is_attached {
        prefix.extend(absent_summaries(dialect, keys));
    }
    let rows = RowStatements::new(mapping, dialect, keys, found)?;
    let (tables, platform) = if is_attached {
        (Tables::Attached, Some(Platform::new(mapping, keys, found)?))
    } else {
        (Tables::Platform, None)
    };
    Ok(Found { keys, tables, prefix, has_zones: mapping.has(Source::Users, "time_zone", &found[0].1), rows, platform })
}
