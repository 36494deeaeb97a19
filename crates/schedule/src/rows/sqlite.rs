//! Statements on SQLite.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};
use tierkeep_db::Error;

use super::{Row, Rows, Sql, Value};

/// A connection, in a transaction or not.
pub(crate) struct SqliteRows<'a>(pub(crate) &'a Connection);

impl Rows for SqliteRows<'_> {
    async fn query(&self, sql: Sql, values: &[Value]) -> Result<Vec<Row>, Error> {
        let mut statement = self.0.prepare_cached(sql.sqlite)?;
        let columns = statement.column_count();
        let mut rows = statement.query(params_from_iter(values))?;
        let mut read = Vec::new();
        while let Some(row) = rows.next()? {
            let values = (0..columns).map(|at| {
                Ok(match row.get_ref(at)? {
                    ValueRef::Integer(value) => Value::Int(Some(value)),
                    ValueRef::Text(text) => Value::Text(Some(String::from_utf8_lossy(text).into_owned())),
                    _ => Value::Int(None),
                })
            });
            read.push(Row(values.collect::<Result<_, rusqlite::Error>>()?));
        }
        Ok(read)
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Int(value) => value.to_sql(),
            Self::Text(value) => value.to_sql(),
            Self::Flag(value) => value.to_sql(),
        }
    }
}
