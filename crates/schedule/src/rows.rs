//! Statements of a transaction on either database, so that what is done in one is written once.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tierkeep_db::Error;

mod postgres;
mod sqlite;

pub(crate) use postgres::PostgresRows;
pub(crate) use sqlite::SqliteRows;

/// A statement in both languages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sql {
    pub(crate) postgres: &'static str,
    pub(crate) sqlite: &'static str,
}

/// The statement of a file.
macro_rules! sql {
    ($name:literal) => {
        $crate::rows::Sql {
            postgres: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/sql/postgres/", $name, ".sql")),
            sqlite: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/sql/sqlite/", $name, ".sql")),
        }
    };
}
pub(crate) use sql;

/// Does something in a transaction, which is committed if it succeeds: `$work` is an expression with `.await` in it, and `$rows`
/// what it sends its statements to.
macro_rules! transaction {
    ($db:expr, $rows:ident => $work:expr) => {
        match $db {
            tierkeep_db::Database::Postgres(pool) => {
                let mut connection = pool.get().await?;
                let tx = connection.transaction().await.map_err(tierkeep_db::Error::from)?;
                let done = {
                    let $rows = &$crate::rows::PostgresRows(&tx);
                    $work.await?
                };
                tx.commit().await.map_err(tierkeep_db::Error::from)?;
                done
            }
            tierkeep_db::Database::Sqlite(file) => {
                file.write(move |tx| {
                    let $rows = &$crate::rows::SqliteRows(tx);
                    $crate::rows::at_once($work)
                })
                .await?
            }
        }
    };
}
pub(crate) use transaction;

/// Reads by one statement, without a transaction.
macro_rules! read {
    ($db:expr, $rows:ident => $work:expr) => {
        match $db {
            tierkeep_db::Database::Postgres(pool) => {
                let connection = pool.get().await?;
                let client: &tokio_postgres::Client = &connection;
                let $rows = &$crate::rows::PostgresRows(client);
                $work.await?
            }
            tierkeep_db::Database::Sqlite(file) => {
                file.read(move |connection| {
                    let $rows = &$crate::rows::SqliteRows(connection);
                    $crate::rows::at_once($work)
                })
                .await?
            }
        }
    };
}
pub(crate) use read;

/// A value that is sent.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Flag(bool),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<Option<&str>> for Value {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(str::to_owned))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Flag(value)
    }
}

/// A row that came back. What is absent, or of another type than the statement's, reads as nothing.
#[derive(Debug, Default)]
pub(crate) struct Row(Vec<Value>);

impl Row {
    pub(crate) fn int(&self, at: usize) -> Option<i64> {
        match self.0.get(at) {
            Some(Value::Int(value)) => *value,
            _ => None,
        }
    }

    /// A number that the table's definition says is there.
    pub(crate) fn number(&self, at: usize) -> i64 {
        self.int(at).unwrap_or_default()
    }

    pub(crate) fn text(&self, at: usize) -> Option<&str> {
        match self.0.get(at) {
            Some(Value::Text(value)) => value.as_deref(),
            _ => None,
        }
    }

    pub(crate) fn flag(&self, at: usize) -> bool {
        match self.0.get(at) {
            Some(Value::Flag(value)) => *value,
            Some(Value::Int(value)) => value.is_some_and(|value| value != 0),
            _ => false,
        }
    }
}

/// What answers statements.
pub(crate) trait Rows {
    /// The rows of a statement.
    async fn query(&self, sql: Sql, values: &[Value]) -> Result<Vec<Row>, Error>;

    /// The first of them.
    async fn first(&self, sql: Sql, values: &[Value]) -> Result<Option<Row>, Error> {
        Ok(self.query(sql, values).await?.into_iter().next())
    }
}

/// The result of a future that waits for nothing: SQLite answers within the call.
pub(crate) fn at_once<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => unreachable!("SQLite answers within the call"),
    }
}
