//! Reading the facts of a table.

use rusqlite::{Connection, OptionalExtension};
use tierkeep_db::TableName;
use tokio_postgres::types::Type;

use super::TableFacts;
use super::facts::quoted;
use super::raw::RawTable;
use crate::RetentionError;

/// Names under which SQLite shows the number of a row, unless a column bears them.
const ROW_NUMBER_NAMES: [&str; 3] = ["rowid", "_rowid_", "oid"];

impl TableFacts {
    /// Reads a table of PostgreSQL; `None` if there is no such relation.
    ///
    /// Without a schema the name is looked up along the connection's search path. Needs no right on the table, nor on its
    /// schema if that is named. Two round trips; sizes are asked of the file system, once per partition.
    ///
    /// # Errors
    ///
    /// [`RetentionError::Postgres`].
    pub async fn read_postgres(
        client: &tokio_postgres::Client,
        table: &TableName,
    ) -> Result<Option<Self>, RetentionError> {
        let schema = table.schema().map(tierkeep_db::Ident::as_str);
        let found = client
            .query_typed(
                include_str!("../sql/postgres/preflight_find.sql"),
                &[(&schema, Type::TEXT), (&table.name().as_str(), Type::TEXT), (&table.quoted(), Type::TEXT)],
            )
            .await?;
        let Some(oid) = found.first().map(|row| row.try_get::<_, u32>("oid")).transpose()? else { return Ok(None) };
        let rows =
            client.query_typed(include_str!("../sql/postgres/preflight_table.sql"), &[(&oid, Type::OID)]).await?;
        // Dropped meanwhile.
        let Some(facts) = rows.first().map(|row| row.try_get::<_, &str>("facts")).transpose()? else { return Ok(None) };
        Ok(Some(parsed(facts)?.postgres()))
    }

    /// Reads a table of SQLite; `None` if there is none of that name.
    ///
    /// Without a schema the name is looked up in all attached databases, as SQLite does. A connection that only reads by its
    /// own choice (`query_only`) says nothing about what may be written.
    ///
    /// # Errors
    ///
    /// [`RetentionError::Sqlite`].
    pub fn read_sqlite(db: &Connection, table: &TableName) -> Result<Option<Self>, RetentionError> {
        let schema = table.schema().map(tierkeep_db::Ident::as_str);
        let found: Option<(String, String)> = db
            .prepare_cached(include_str!("../sql/sqlite/preflight_find.sql"))?
            .query_row((schema, table.name().as_str()), |row| Ok((row.get("schema")?, row.get("name")?)))
            .optional()?;
        let Some((schema, name)) = found else { return Ok(None) };
        let statement = include_str!("../sql/sqlite/preflight_table.sql").replace("{schema}", &quoted(&schema));
        let facts: Option<String> = db.query_row(&statement, (&schema, &name), |row| row.get("facts")).optional()?;
        let Some(facts) = facts else { return Ok(None) };
        let raw = parsed(&facts)?;
        let has_row_numbers = raw.has_row_numbers;
        let is_reader: bool = db.query_row("select query_only from pragma_query_only", [], |row| row.get(0))?;
        let mut facts = raw.sqlite(is_reader || !db.is_readonly(schema.as_str())?);
        facts.estimated_rows = match analyzed_rows(db, &facts)? {
            None if has_row_numbers => numbered_rows(db, &facts)?,
            rows => rows,
        };
        Ok(Some(facts))
    }
}

/// Rows by the statistics of the planner, if the table was ever analyzed.
fn analyzed_rows(db: &Connection, table: &TableFacts) -> Result<Option<u64>, RetentionError> {
    if !db.table_exists(Some(table.schema.as_str()), "sqlite_stat1")? {
        return Ok(None);
    }
    let statement = "select max(cast(stat as integer)) from {schema}.sqlite_stat1 where tbl = ?1 collate nocase"
        .replace("{schema}", &quoted(&table.schema));
    let rows: Option<i64> = db.query_row(&statement, [&table.name], |row| row.get(0))?;
    Ok(rows.and_then(|rows| u64::try_from(rows).ok()))
}

/// The most rows there can be between the first row number and the last. Two look-ups.
fn numbered_rows(db: &Connection, table: &TableFacts) -> Result<Option<u64>, RetentionError> {
    let is_free = |name: &&&str| table.column(name).is_none();
    let Some(number) = ROW_NUMBER_NAMES.iter().find(is_free) else { return Ok(None) };
    let statement = "select (select min({number}) from {table}) as first, (select max({number}) from {table}) as last"
        .replace("{number}", number)
        .replace("{table}", &table.full_name());
    let (first, last): (Option<i64>, Option<i64>) =
        db.query_row(&statement, [], |row| Ok((row.get("first")?, row.get("last")?)))?;
    Ok(match (first, last) {
        (Some(first), Some(last)) => last.abs_diff(first).checked_add(1),
        _ => Some(0),
    })
}

fn parsed(facts: &str) -> Result<RawTable, RetentionError> {
    serde_json::from_str(facts)
        .map_err(|error| RetentionError::Refused(format!("the catalog says what is not understood: {error}")))
}
