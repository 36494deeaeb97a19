//! Which columns a table has, for checking a mapping before it is used.

use tokio_postgres::types::Type;

use crate::{Error, TableName};

/// One column of a table or view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogColumn {
    /// Its name, exactly.
    pub name: String,
    /// Its type as the database prints it: `timestamp with time zone`, `character varying(80)`; as declared on SQLite,
    /// where it may be empty.
    pub type_name: String,
    /// Whether it may hold no value, as far as its declaration says.
    pub nullable: bool,
}

/// Returns the columns of a table, view, materialized view, partitioned or foreign table in their order, or `None` if
/// there is no such relation.
///
/// Without a schema the name is looked up along the connection's search path. Needs no right on the table itself. One
/// round trip.
///
/// # Errors
///
/// [`Error::Postgres`], also if the schema exists and the role has no right to use it.
pub async fn columns_postgres(
    client: &tokio_postgres::Client,
    table: &TableName,
) -> Result<Option<Vec<CatalogColumn>>, Error> {
    let rows =
        client.query_typed(include_str!("catalog/sql/postgres/columns.sql"), &[(&table.quoted(), Type::TEXT)]).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut columns = Vec::with_capacity(rows.len());
    for row in rows {
        // A relation without columns is one row without a name.
        if let Some(name) = row.try_get("name")? {
            columns.push(CatalogColumn {
                name,
                type_name: row.try_get("type_name")?,
                nullable: row.try_get("nullable")?,
            });
        }
    }
    Ok(Some(columns))
}

/// Returns the columns of a table or view in their order, or `None` if there is no such relation.
///
/// Without a schema the name is looked up in all attached databases, as SQLite does.
///
/// # Errors
///
/// [`Error::Sqlite`].
pub fn columns_sqlite(
    connection: &rusqlite::Connection,
    table: &TableName,
) -> Result<Option<Vec<CatalogColumn>>, Error> {
    let mut statement = connection.prepare_cached(include_str!("catalog/sql/sqlite/columns.sql"))?;
    let schema = table.schema().map(crate::Ident::as_str);
    let columns = statement
        .query_map((table.name().as_str(), schema), |row| {
            Ok(CatalogColumn {
                name: row.get("name")?,
                type_name: row.get("type_name")?,
                nullable: row.get("nullable")?,
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    // SQLite has no relation without columns, so none means that there is no relation.
    Ok((!columns.is_empty()).then_some(columns))
}
