//! Statements with their values, what answers them, and who counts them.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{GenericClient, Statement};

use crate::value::sqlite::json_list;
use crate::{Database, Dialect, Error, Row, Value, ValueError};

/// A parameter: one value, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Param {
    /// A value.
    One(Value),
    /// An array on PostgreSQL, a JSON array on SQLite.
    List(Vec<Value>),
}

/// The text of one statement and the values of its parameters, for one of the databases.
///
/// Made by [`Raw`](crate::raw::Raw) and by the builders of this crate, never from a text alone. It runs on a
/// [`Database`], or inside a transaction of the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundSql {
    dialect: Dialect,
    sql: String,
    params: Vec<Param>,
}

/// What answers statements that read: a [`Database`], or a [`QueryCount`] in front of one.
pub trait Queries: Sync {
    /// Which language it speaks.
    fn dialect(&self) -> Dialect;

    /// Runs a statement that reads, and returns all its rows.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if a value does not fit its parameter or a column cannot be read; what the database says.
    fn query(&self, statement: &BoundSql) -> impl Future<Output = Result<Vec<Row>, Error>> + Send;
}

/// Counts the statements that pass through it, so that a test can fail on a query per row.
///
/// # Examples
///
/// ```
/// use tierkeep_db::raw::{Params, Raw};
/// use tierkeep_db::{Database, Dialect, Queries, QueryCount, SqliteConfig, SqliteDatabase, SqlitePath};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # let directory = tempfile::tempdir()?;
/// # let file = SqlitePath::new(directory.path().join("a.db"));
/// let db = Database::Sqlite(SqliteDatabase::open(&file, SqliteConfig::default()).await?);
/// let counted = QueryCount::new(&db);
///
/// for id in 0..3_i64 {
///     let one = Raw::new(Dialect::Sqlite, "select :id as id", Params::named([("id", id)]))?;
///     counted.query(one.statement()).await?;
/// }
///
/// assert_eq!(counted.count(), 3);
/// let refused = counted.at_most(2).unwrap_err().to_string();
/// assert_eq!(refused, "3 statements were sent, accepted are 2; most often, 3 times: select ?1 as id");
/// # Ok(()) })
/// # }
/// ```
#[derive(Debug)]
pub struct QueryCount<'a, Q> {
    inner: &'a Q,
    sent: Mutex<BTreeMap<String, usize>>,
}

/// More statements were sent than expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sent} statements were sent, accepted are {accepted}; most often, {times} times: {statement}")]
pub struct TooManyQueries {
    /// How many were sent.
    pub sent: usize,
    /// How many were expected at most.
    pub accepted: usize,
    /// The statement that was sent most often.
    pub statement: String,
    /// How often.
    pub times: usize,
}

impl BoundSql {
    pub(crate) fn new(dialect: Dialect, sql: String, params: Vec<Param>) -> Self {
        Self { dialect, sql, params }
    }

    /// The language it is written in.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Its text, with `$1` or `?1` for the first parameter.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// The values of its parameters, in order.
    #[must_use]
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// Runs it on a connection or in a transaction of PostgreSQL and returns all rows. Two round trips more than a
    /// statement that is prepared already.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] and [`Error::Postgres`].
    pub async fn query_postgres<C: GenericClient + Sync>(&self, client: &C) -> Result<Vec<Row>, Error> {
        let statement = client.prepare(&self.sql).await?;
        self.query_prepared(client, &statement).await
    }

    async fn query_prepared<C: GenericClient + Sync>(
        &self,
        client: &C,
        statement: &Statement,
    ) -> Result<Vec<Row>, Error> {
        self.check(statement)?;
        let rows = client.query(statement, &self.references()).await?;
        let columns: Arc<[String]> = statement.columns().iter().map(|column| column.name().to_owned()).collect();
        rows.iter()
            .map(|row| {
                let values = statement.columns().iter().enumerate().map(|(place, column)| {
                    let Received(raw) = row.try_get(place)?;
                    Ok(Value::decode_postgres(column.type_(), raw)
                        .map_err(|source| in_column(column.name(), source))?)
                });
                Ok(Row::of(&columns, values.collect::<Result<_, Error>>()?))
            })
            .collect()
    }

    /// Runs it on a connection or in a transaction of PostgreSQL and returns how many rows it touched.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] and [`Error::Postgres`].
    pub async fn execute_postgres<C: GenericClient + Sync>(&self, client: &C) -> Result<u64, Error> {
        let statement = client.prepare(&self.sql).await?;
        self.check(&statement)?;
        Ok(client.execute(&statement, &self.references()).await?)
    }

    /// Runs it on a connection or in a transaction of SQLite and returns all rows.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] and [`Error::Sqlite`].
    pub fn query_sqlite(&self, connection: &rusqlite::Connection) -> Result<Vec<Row>, Error> {
        let mut statement = connection.prepare_cached(&self.sql)?;
        let columns: Arc<[String]> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement.query(rusqlite::params_from_iter(self.stored()?))?;
        let mut answer = Vec::new();
        while let Some(row) = rows.next()? {
            let mut values = Vec::with_capacity(columns.len());
            for (place, column) in columns.iter().enumerate() {
                values.push(Value::decode_sqlite(row.get_ref(place)?).map_err(|source| in_column(column, source))?);
            }
            answer.push(Row::of(&columns, values));
        }
        Ok(answer)
    }

    /// Runs it on a connection or in a transaction of SQLite and returns how many rows it touched.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] and [`Error::Sqlite`].
    pub fn execute_sqlite(&self, connection: &rusqlite::Connection) -> Result<usize, Error> {
        Ok(connection.prepare_cached(&self.sql)?.execute(rusqlite::params_from_iter(self.stored()?))?)
    }

    fn references(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.params.iter().map(|param| param as &(dyn ToSql + Sync)).collect()
    }

    /// Refuses values that do not fit before anything is sent; the driver would wrap the reason.
    fn check(&self, statement: &Statement) -> Result<(), ValueError> {
        let mut scratch = BytesMut::new();
        for (param, ty) in self.params.iter().zip(statement.params()) {
            let values = match param {
                Param::One(value) => std::slice::from_ref(value),
                Param::List(values) => values,
            };
            for value in values {
                scratch.clear();
                value.encode_postgres(member(param, ty), &mut scratch)?;
            }
        }
        Ok(())
    }

    fn stored(&self) -> Result<Vec<rusqlite::types::Value>, ValueError> {
        self.params
            .iter()
            .map(|param| match param {
                Param::One(value) => value.encode_sqlite(),
                Param::List(values) => Ok(rusqlite::types::Value::Text(json_list(values)?)),
            })
            .collect()
    }
}

/// The type of the values of a parameter.
fn member<'a>(param: &Param, ty: &'a Type) -> &'a Type {
    match (param, ty.kind()) {
        (Param::List(_), tokio_postgres::types::Kind::Array(member)) => member,
        _ => ty,
    }
}

fn in_column(column: &str, source: ValueError) -> ValueError {
    ValueError::InColumn { column: column.to_owned(), source: Box::new(source) }
}

impl ToSql for Param {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::One(value) => value.to_sql(ty, out),
            Self::List(values) => values.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A value as it came.
struct Received<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for Received<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl Queries for Database {
    fn dialect(&self) -> Dialect {
        Self::dialect(self)
    }

    /// On PostgreSQL the statement stays prepared on its connection; if its tables have changed since, it is prepared anew
    /// once. On SQLite it runs on a reader's thread, which cannot write.
    async fn query(&self, statement: &BoundSql) -> Result<Vec<Row>, Error> {
        match self {
            Self::Postgres(pool) => {
                let connection = pool.get().await?;
                let prepared = connection.prepared(statement.sql()).await?;
                match statement.query_prepared(&*connection, &prepared).await {
                    Err(Error::Postgres(error)) if is_outdated(&error) => {
                        connection.forget_prepared();
                        let prepared = connection.prepared(statement.sql()).await?;
                        statement.query_prepared(&*connection, &prepared).await
                    }
                    answer => answer,
                }
            }
            Self::Sqlite(db) => {
                let statement = statement.clone();
                db.read(move |connection| statement.query_sqlite(connection)).await
            }
        }
    }
}

/// `cached plan must not change result type`: a table was altered after the statement was prepared.
fn is_outdated(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED)
        && error.as_db_error().is_some_and(|error| error.routine() == Some("RevalidateCachedQuery"))
}

impl<'a, Q: Queries> QueryCount<'a, Q> {
    /// Starts counting at 0.
    pub fn new(inner: &'a Q) -> Self {
        Self { inner, sent: Mutex::default() }
    }

    /// How many statements were sent, whether or not they succeeded.
    pub fn count(&self) -> usize {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// Accepts up to so many statements.
    ///
    /// # Errors
    ///
    /// [`TooManyQueries`], which names the statement that was sent most often.
    pub fn at_most(&self, accepted: usize) -> Result<(), TooManyQueries> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let total = sent.values().sum();
        match sent.iter().max_by_key(|(_, times)| **times) {
            Some((statement, times)) if total > accepted => {
                Err(TooManyQueries { sent: total, accepted, statement: statement.clone(), times: *times })
            }
            _ => Ok(()),
        }
    }
}

impl<Q: Queries> Queries for QueryCount<'_, Q> {
    fn dialect(&self) -> Dialect {
        self.inner.dialect()
    }

    async fn query(&self, statement: &BoundSql) -> Result<Vec<Row>, Error> {
        *self.sent.lock().unwrap_or_else(PoisonError::into_inner).entry(statement.sql().to_owned()).or_default() += 1;
        self.inner.query(statement).await
    }
}
