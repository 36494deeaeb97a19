//! Facts from PostgreSQL's catalog and statistics.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::{ColumnFacts, ExistingIndex, ExistingKey, Facts, TableFacts};
use crate::statement::IndexMethod;
use crate::{Error, Ident, TableName};

/// Reads what is known of some tables. Six round trips.
///
/// # Errors
///
/// [`Error::Postgres`].
pub(in crate::advice) async fn load(client: &Client, tables: &[TableName]) -> Result<Facts, Error> {
    let closed = closed_schemas(client, tables).await?;
    let is_closed = |table: &&TableName| table.schema().is_some_and(|schema| closed.contains(schema.as_str()));
    let names: Vec<String> = tables.iter().filter(|table| !is_closed(table)).map(TableName::quoted).collect();
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 1] = [(&names, Type::TEXT_ARRAY)];
    let has_trigrams = "select exists (select 1 from pg_extension where extname = 'pg_trgm')";
    let has_trigrams = client.query_one(has_trigrams, &[]).await?.try_get(0)?;
    let mut facts = Facts { tables: BTreeMap::new(), has_trigrams };
    // Known to be there and no more: `is_readable` is false.
    facts.tables.extend(tables.iter().filter(is_closed).map(|table| (table.clone(), TableFacts::default())));
    for row in client.query_typed(include_str!("../catalog/postgres/tables.sql"), &parameters).await? {
        let rows: f64 = row.try_get("row_count")?;
        let table = TableFacts {
            rows: (rows >= 0.0).then_some(rows),
            pages: row.try_get("pages")?,
            scans: row.try_get("scans")?,
            is_partitioned: row.try_get("is_partitioned")?,
            is_readable: row.try_get("is_readable")?,
            ..TableFacts::default()
        };
        facts.tables.insert(table_name(&row)?, table);
    }
    for row in client.query_typed(include_str!("../catalog/postgres/columns.sql"), &parameters).await? {
        let Some(table) = facts.tables.get_mut(&table_name(&row)?) else { continue };
        let Some(name) = ident(row.try_get("column")?) else { continue };
        // Without statistics a column is not known, and not guessed.
        let Some(distinct) = row.try_get::<_, Option<f64>>("n_distinct")? else { continue };
        let rows = table.row_count();
        let values: Option<Vec<String>> = row.try_get("common_values")?;
        let shares: Option<Vec<f64>> = row.try_get("common_shares")?;
        let common = values.unwrap_or_default().into_iter().zip(shares.unwrap_or_default()).collect();
        table.columns.insert(
            name,
            ColumnFacts {
                // Negative is a share of the rows.
                distinct: if distinct < 0.0 { -distinct * rows } else { distinct },
                null_fraction: row.try_get("null_fraction")?,
                width: row.try_get("width")?,
                correlation: row.try_get::<_, Option<f64>>("correlation")?.unwrap_or(0.0),
                common,
                bounds: row.try_get::<_, Option<Vec<String>>>("bounds")?.unwrap_or_default(),
                needs_pattern: row.try_get("needs_pattern")?,
            },
        );
    }
    for row in client.query_typed(include_str!("../catalog/postgres/indexes.sql"), &parameters).await? {
        if let Some(table) = facts.tables.get_mut(&table_name(&row)?)
            && let Some(index) = index(&row)?
        {
            table.indexes.push(index);
        }
    }
    for row in client.query_typed(include_str!("../catalog/postgres/foreign_keys.sql"), &parameters).await? {
        let columns: Vec<String> = row.try_get("columns")?;
        if let Some(table) = facts.tables.get_mut(&table_name(&row)?) {
            table.foreign_keys.push(columns.into_iter().filter_map(ident).collect());
        }
    }
    Ok(facts)
}

/// Schemas that this role may not look into: asked for a name in one of them, the server fails.
async fn closed_schemas(client: &Client, tables: &[TableName]) -> Result<BTreeSet<String>, Error> {
    let schemas: BTreeSet<&str> = tables.iter().filter_map(|table| table.schema()).map(Ident::as_str).collect();
    let schemas: Vec<&str> = schemas.into_iter().collect();
    let sql = "select nspname::text from pg_namespace \
               where nspname = any ($1) and not has_schema_privilege(oid, 'usage')";
    let rows = client.query_typed(sql, &[(&schemas, Type::TEXT_ARRAY)]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// The kind of an index, by the names of its method and of the operators of its first key.
fn method(method: String, operators: Option<String>) -> Option<IndexMethod> {
    match (method.as_str(), operators.as_deref()) {
        ("btree", _) => Some(IndexMethod::Tree),
        ("brin", Some(operators)) if operators.ends_with("minmax_ops") => Some(IndexMethod::Blocks),
        ("gin", Some("gin_trgm_ops")) => Some(IndexMethod::Trigrams),
        _ => None,
    }
}

fn index(row: &Row) -> Result<Option<ExistingIndex>, Error> {
    let columns: Vec<Option<String>> = row.try_get("columns")?;
    let texts: Vec<String> = row.try_get("texts")?;
    let options: Vec<i32> = row.try_get("options")?;
    let defaults: Vec<bool> = row.try_get("defaults")?;
    let mut keys = Vec::with_capacity(options.len());
    for ((column, text), (option, is_default)) in columns.iter().zip(texts).zip(options.iter().zip(defaults)) {
        let column = column.clone().and_then(ident);
        keys.push(ExistingKey {
            expression: column.is_none().then_some(text),
            column,
            is_descending: option & 1 != 0,
            nulls_first: option & 2 != 0,
            is_default,
        });
    }
    let include = columns.into_iter().skip(options.len()).flatten().filter_map(ident).collect();
    let (Some(schema), Some(name)) = (ident(row.try_get("schema")?), ident(row.try_get("index")?)) else {
        return Ok(None);
    };
    let bytes: i64 = row.try_get("bytes")?;
    Ok(Some(ExistingIndex {
        schema,
        name,
        keys,
        include,
        predicate: row.try_get("predicate")?,
        is_unique: row.try_get("is_unique")?,
        is_constraint: row.try_get("is_constraint")?,
        is_valid: row.try_get("is_valid")?,
        method: method(row.try_get("method")?, row.try_get("operators")?),
        bytes: u64::try_from(bytes).unwrap_or(0),
        scans: row.try_get("scans")?,
    }))
}

/// Indexes of one table, by what they are.
///
/// # Errors
///
/// [`Error::Postgres`].
pub(in crate::advice) async fn indexes(client: &Client, table: &TableName) -> Result<Vec<ExistingIndex>, Error> {
    let name = vec![table.quoted()];
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 1] = [(&name, Type::TEXT_ARRAY)];
    let mut indexes = Vec::new();
    for row in client.query_typed(include_str!("../catalog/postgres/indexes.sql"), &parameters).await? {
        indexes.extend(index(&row)?);
    }
    Ok(indexes)
}

fn table_name(row: &Row) -> Result<TableName, Error> {
    let parts: BTreeMap<&str, String> =
        [("schema", row.try_get("schema")?), ("table", row.try_get("table")?)].into_iter().collect();
    // Names of the catalog have at most 63 bytes and no zero byte.
    let part = |name: &str| Ident::new(&parts[name]).expect("a name of the catalog is a name");
    Ok(TableName::new(Some(part("schema")), part("table")))
}

fn ident(name: String) -> Option<Ident> {
    Ident::try_from(name).ok()
}
