//! Statements on PostgreSQL.

use tierkeep_db::Error;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, GenericClient, Transaction};

use super::{Row, Rows, Sql, Value};

/// A connection or a transaction. Nothing is prepared, so that a pooler of transactions may stand between.
pub(crate) struct PostgresRows<'a, C>(pub(crate) &'a C);

impl Rows for PostgresRows<'_, Client> {
    async fn query(&self, sql: Sql, values: &[Value]) -> Result<Vec<Row>, Error> {
        query(self.0, sql, values).await
    }
}

impl Rows for PostgresRows<'_, Transaction<'_>> {
    async fn query(&self, sql: Sql, values: &[Value]) -> Result<Vec<Row>, Error> {
        query(self.0, sql, values).await
    }
}

async fn query(client: &impl GenericClient, sql: Sql, values: &[Value]) -> Result<Vec<Row>, Error> {
    let parameters: Vec<(&(dyn ToSql + Sync), Type)> = values.iter().map(parameter).collect();
    let rows = client.query_typed(sql.postgres, &parameters).await?;
    rows.iter().map(read).collect()
}

fn parameter(value: &Value) -> (&(dyn ToSql + Sync), Type) {
    match value {
        Value::Int(value) => (value, Type::INT8),
        Value::Text(value) => (value, Type::TEXT),
        Value::Flag(value) => (value, Type::BOOL),
    }
}

fn read(row: &tokio_postgres::Row) -> Result<Row, Error> {
    let mut values = Vec::with_capacity(row.len());
    for (at, column) in row.columns().iter().enumerate() {
        values.push(match *column.type_() {
            Type::INT8 => Value::Int(row.try_get(at)?),
            Type::BOOL => Value::Flag(row.try_get::<_, Option<bool>>(at)?.unwrap_or_default()),
            _ => Value::Text(row.try_get(at)?),
        });
    }
    Ok(Row(values))
}
