//! Queries of SQLite.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use tierkeep_cache::{Cache, Counts, LoadContext};
use tokio_util::sync::CancellationToken;

use super::follower::EVENTS;
use super::kept::{Asked, EncodedKey, Kept};
use super::plans::{LONGEST, Plan, Prepared, Verdict};
use super::postgres::completeness;
use super::{Answer, Bypass, Origin, ParameterKey, QueryError, QuerySettings, Uncachable};
use crate::feed::Feed;
use crate::statement::opcodes_of;
use crate::{Dialect, Error, SqliteDatabase, columns_sqlite};

/// Functions that SQLite calls deterministic and that read the clock all the same, if they are given `now`.
const CLOCK: [&str; 10] = [
    "current_date",
    "current_time",
    "current_timestamp",
    "date",
    "datetime",
    "julianday",
    "strftime",
    "time",
    "timediff",
    "unixepoch",
];

/// Queries of a file of SQLite, answered from memory while no table they read has changed.
///
/// Cheap to clone. What is kept, for how long and how fresh is written at [the module](crate::query_cache). A row is its
/// values in the order of the columns; SQLite names computed columns as they were spelt, so there are no names.
///
/// # Examples
///
/// ```
/// use rusqlite::types::Value;
/// use tierkeep_cache::Cache;
/// use tierkeep_db::feed::{Feed, FeedSource, WatchedRows};
/// use tierkeep_db::query_cache::{Origin, QuerySettings, SqliteQueries};
/// use tierkeep_db::{Error, SqlType, SqliteConfig, SqliteDatabase, SqlitePath};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # let directory = tempfile::tempdir()?;
/// let file = SqlitePath::new(directory.path().join("shop.db"));
/// let db = SqliteDatabase::open(&file, SqliteConfig::default()).await?;
/// let rows = WatchedRows::Owned { id: "id".parse()?, key: "customer".parse()?, at: None, shadow: None };
/// let source = FeedSource { name: "orders", table: "orders".parse()?, rows, settles: false };
/// let feed = Feed::new(SqlType::Bigint, vec![source])?;
/// let install = feed.clone();
/// db.write(move |tx| {
///     tx.execute_batch("create table orders (id integer primary key, customer integer not null, price integer)")
///         .map_err(Error::from)?;
///     install.install_sqlite(tx)
/// })
/// .await?;
///
/// let cache = Cache::builder("shop").build()?;
/// let queries = SqliteQueries::new(db.clone(), feed, &cache, &QuerySettings::default()).await?;
/// let sum = "select sum(price) from orders where customer = ?1";
/// for origin in [Origin::Database, Origin::Cache] {
///     assert_eq!(queries.query(sum, &[Value::Integer(7)]).await?.origin, origin);
/// }
///
/// db.write(|tx| Ok::<_, Error>(tx.execute("insert into orders (customer, price) values (7, 30)", [])?)).await?;
/// queries.catch_up().await?;
///
/// assert_eq!(queries.query(sum, &[Value::Integer(7)]).await?.rows[0], [Value::Integer(30)]);
/// # Ok(()) })
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SqliteQueries {
    inner: Arc<Inner>,
}

/// A text of [`SqliteQueries::prepare`].
#[derive(Debug)]
pub struct PreparedSqliteQuery {
    queries: SqliteQueries,
    prepared: Prepared,
}

impl PreparedSqliteQuery {
    /// Returns the rows, as [`SqliteQueries::query`] does.
    ///
    /// # Errors
    ///
    /// [`QueryError::Database`]; [`QueryError::NotRun`] if the cache refuses the load.
    pub async fn query(&self, parameters: &[Value]) -> Result<Answer<Vec<Value>>, QueryError> {
        let kept = &self.queries.inner.kept;
        let mut encoded = ParameterKey::default();
        parameters.iter().for_each(|parameter| write(parameter, &mut encoded));
        let number = kept.number_of(&self.prepared, false);
        match kept.at_once(number, encoded) {
            Ok(answer) => Ok(answer),
            Err(asked) => Box::pin(self.queries.answered(&self.prepared.text, parameters, asked)).await,
        }
    }
}

#[derive(Debug)]
struct Inner {
    db: SqliteDatabase,
    feed: Feed,
    kept: Kept<Vec<Value>>,
}

impl SqliteQueries {
    /// Prepares to answer queries from the cache; asks the feed, which must be installed, for the first time.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cache`] if the name of the view is taken; [`QueryError::Database`] and [`QueryError::Feed`].
    pub async fn new(
        db: SqliteDatabase,
        feed: Feed,
        cache: &Cache,
        settings: &QuerySettings,
    ) -> Result<Self, QueryError> {
        let kept = Kept::new(cache, settings, &feed, Dialect::Sqlite, weight)?;
        let queries = Self { inner: Arc::new(Inner { db, feed, kept }) };
        queries.catch_up().await?;
        Ok(queries)
    }

    /// Returns the rows of a query.
    ///
    /// Costs some hundred nanoseconds if the answer is kept, and else the query on a reader's thread.
    ///
    /// # Errors
    ///
    /// [`QueryError::Database`]; [`QueryError::NotRun`] if the cache refuses the load.
    pub async fn query(&self, sql: &str, parameters: &[Value]) -> Result<Answer<Vec<Value>>, QueryError> {
        let kept = &self.inner.kept;
        let mut encoded = ParameterKey::default();
        parameters.iter().for_each(|parameter| write(parameter, &mut encoded));
        let number = kept.number(sql, false);
        match kept.at_once(number, encoded) {
            Ok(answer) => Ok(answer),
            Err(asked) => Box::pin(self.answered(sql, parameters, asked)).await,
        }
    }

    /// Prepares a text that is asked often: its answers are found without looking at the text again. Asks nothing.
    #[must_use]
    pub fn prepare(&self, sql: &str) -> PreparedSqliteQuery {
        PreparedSqliteQuery { queries: self.clone(), prepared: Prepared::new(sql) }
    }

    async fn answered(&self, sql: &str, parameters: &[Value], asked: Asked) -> Result<Answer<Vec<Value>>, QueryError> {
        let Inner { db, kept, .. } = &*self.inner;
        let Asked { parameters: encoded, number } = asked;
        let number = match number {
            Some(number) => number,
            None => match self.cachable(sql).await? {
                Ok(plan) => plan.number,
                Err(bypass) => return self.bypass(sql, parameters, bypass).await,
            },
        };
        let key = EncodedKey::new(number, encoded);
        let load = |context: LoadContext<Vec<Vec<Value>>>| async move {
            kept.depend(&context, sql, number);
            Ok(run(db, sql, parameters).await?)
        };
        match kept.answer(&key, load).await? {
            Some(answer) => Ok(answer),
            None => self.bypass(sql, parameters, Bypass::OtherSession).await,
        }
    }

    /// Whether the answers of a text can be kept, and if not why.
    ///
    /// # Errors
    ///
    /// [`QueryError::Database`].
    pub async fn explain(&self, sql: &str) -> Result<Result<(), Bypass>, QueryError> {
        Ok(self.plan(sql).await?.map(|_| ()))
    }

    /// Asks the feed what has changed and forgets what that outdates: whatever committed before this call is in no
    /// answer that is served after it.
    ///
    /// # Errors
    ///
    /// [`QueryError::Database`] and [`QueryError::Feed`].
    pub async fn catch_up(&self) -> Result<(), QueryError> {
        let Inner { db, feed, kept } = &*self.inner;
        let poll = |after| {
            let feed = feed.clone();
            db.read(move |connection| feed.poll_sqlite(connection, after, EVENTS))
        };
        kept.catch_up(poll).await
    }

    /// Asks eight times within the bound until `stop`; questions that fail are asked again.
    pub async fn follow(&self, stop: CancellationToken) {
        self.inner.kept.follow(|| self.catch_up(), stop).await;
    }

    /// Forgets all answers, and what is known of texts.
    pub async fn forget(&self) {
        self.inner.kept.forget().await;
    }

    /// What the cache has counted: hits, loads, answers in memory.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.inner.kept.counts()
    }

    async fn bypass(&self, sql: &str, parameters: &[Value], bypass: Bypass) -> Result<Answer<Vec<Value>>, QueryError> {
        let rows = run(&self.inner.db, sql, parameters).await?;
        Ok(Answer { rows: Arc::new(rows), origin: Origin::Bypassed(bypass) })
    }

    async fn cachable(&self, sql: &str) -> Result<Result<Arc<Plan>, Bypass>, QueryError> {
        if let Some(bypass) = self.inner.kept.follower.objection() {
            return Ok(Err(bypass));
        }
        self.plan(sql).await
    }

    async fn plan(&self, sql: &str) -> Result<Result<Arc<Plan>, Bypass>, QueryError> {
        let Inner { db, feed, kept } = &*self.inner;
        let (now, era) = (kept.clock.now(), kept.plans.era());
        if let Some(plan) = kept.plans.get(sql, now).or_else(|| kept.plans.get_normal(sql, now)) {
            return Ok(plan.cachable());
        }
        let (feed, text) = (feed.clone(), sql.to_owned());
        let verdict = db.read(move |connection| examine(connection, &feed, &text)).await?;
        Ok(kept.plans.note(sql, verdict, era, now).cachable())
    }
}

async fn run(db: &SqliteDatabase, sql: &str, parameters: &[Value]) -> Result<Vec<Vec<Value>>, Error> {
    let (sql, parameters) = (sql.to_owned(), parameters.to_vec());
    db.read(move |connection| {
        let mut statement = connection.prepare_cached(&sql)?;
        let columns = statement.column_count();
        let rows = statement.query_map(params_from_iter(parameters), |row| {
            (0..columns).map(|column| row.get(column)).collect::<rusqlite::Result<Vec<Value>>>()
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    })
    .await
}

/// The types are part of the key: the integer 1 is not the text `1`.
fn write(value: &Value, key: &mut ParameterKey) {
    match value {
        Value::Null => key.fixed([0]),
        Value::Integer(value) => {
            key.fixed([1]);
            key.fixed(value.to_be_bytes());
        }
        Value::Real(value) => {
            key.fixed([2]);
            key.fixed(value.to_bits().to_be_bytes());
        }
        Value::Text(value) => {
            key.fixed([3]);
            key.any(value.as_bytes());
        }
        Value::Blob(value) => {
            key.fixed([4]);
            key.any(value);
        }
    }
}

fn weight(row: &Vec<Value>) -> usize {
    let owned = |value: &Value| match value {
        Value::Text(text) => text.capacity(),
        Value::Blob(bytes) => bytes.capacity(),
        Value::Null | Value::Integer(_) | Value::Real(_) => 0,
    };
    size_of::<Vec<Value>>() + row.capacity() * size_of::<Value>() + row.iter().map(owned).sum::<usize>()
}

/// Finds out what a query reads, from the program that SQLite makes of it.
fn examine(connection: &Connection, feed: &Feed, sql: &str) -> Result<Verdict, Error> {
    if sql.len() > LONGEST {
        return Ok(Err(Uncachable::TooLong(sql.len())));
    }
    // What begins with another word may have no program, or one that is not the query's.
    let normal = super::normalised(Dialect::Sqlite, sql);
    if !["select", "with", "values"].iter().any(|word| normal.starts_with(word)) {
        return Ok(Err(Uncachable::NoQuery("only a query can be kept".to_owned())));
    }
    let statement = match connection.prepare(sql) {
        Ok(statement) => statement,
        Err(error) => return Ok(Err(Uncachable::Unparsable(error.to_string()))),
    };
    if !statement.readonly() {
        return Ok(Err(Uncachable::NoQuery("it writes".to_owned())));
    }
    drop(statement);
    let program = match program(connection, sql) {
        Ok(program) => program,
        Err(error) => return Ok(Err(Uncachable::Unparsable(error.to_string()))),
    };
    let mut tables = BTreeSet::new();
    for Opcode { name, page, database, function } in program {
        match name.as_str() {
            "VOpen" => {
                return Ok(Err(Uncachable::Kind { table: "one of its tables".to_owned(), kind: "virtual table" }));
            }
            "OpenRead" | "ReopenIdx" if database != 0 => {
                return Ok(Err(Uncachable::Kind {
                    table: "one of its tables".to_owned(),
                    kind: "table of another file, or temporary",
                }));
            }
            "OpenRead" | "ReopenIdx" => match table_of(connection, page)? {
                Some(table) => {
                    tables.insert(table);
                }
                None => {
                    return Ok(Err(Uncachable::Kind { table: "sqlite_schema".to_owned(), kind: "system catalog" }));
                }
            },
            _ => {}
        }
        if let Some(function) = function
            && let Err(reason) = is_steady(connection, &function)?
        {
            return Ok(Err(reason));
        }
    }
    let mut watched = HashMap::new();
    for source in feed.sources() {
        let columns = columns_sqlite(connection, &source.table)?.unwrap_or_default();
        let is_never_null = |name: &str| columns.iter().any(|c| c.name.eq_ignore_ascii_case(name) && !c.nullable);
        let told = completeness(feed, source, is_never_null).map(|()| source.name);
        watched.insert(source.table.name().as_str().to_lowercase(), told);
    }
    Ok(tables
        .into_iter()
        .map(|table| match watched.get(&table.to_lowercase()) {
            Some(Ok(source)) => Ok(*source),
            Some(Err(why)) => Err(Uncachable::PartlyWatched { table, why }),
            None => Err(Uncachable::Unwatched(table)),
        })
        .collect())
}

/// One step of a program.
struct Opcode {
    name: String,
    /// Where the table or index begins that is opened.
    page: i64,
    database: i64,
    function: Option<String>,
}

fn program(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<Opcode>> {
    let mut statement = connection.prepare(&opcodes_of(sql))?;
    let opcodes = statement.raw_query().mapped(|row| {
        let name: String = row.get("opcode")?;
        let calls = ["Function", "PureFunc", "AggStep", "AggStep1", "AggInverse", "AggValue", "AggFinal"];
        let call: Option<String> = if calls.contains(&name.as_str()) { row.get("p4")? } else { None };
        Ok(Opcode {
            page: row.get("p2")?,
            database: row.get("p3")?,
            // `sum(1)`: the number is that of the arguments.
            function: call.map(|call| call.split('(').next().unwrap_or_default().to_lowercase()),
            name,
        })
    });
    opcodes.collect()
}

/// The table that begins at a page, or whose index does; `None` for SQLite's own.
fn table_of(connection: &Connection, page: i64) -> Result<Option<String>, Error> {
    let mut statement = connection.prepare_cached("select tbl_name from main.sqlite_schema where rootpage = ?1")?;
    let mut rows = statement.query([page])?;
    Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
}

fn is_steady(connection: &Connection, function: &str) -> Result<Result<(), Uncachable>, Error> {
    if CLOCK.contains(&function) {
        return Ok(Err(Uncachable::Volatile(function.to_owned())));
    }
    // 0x800: it always gives the same result for the same arguments. Aggregates of SQLite's own do, and do not say so.
    let mut statement = connection.prepare_cached(
        "select count(*), min((flags & 2048) > 0 or (builtin and type <> 's')) from pragma_function_list
         where name = ?1 collate nocase",
    )?;
    let (overloads, is_steady): (i64, Option<i64>) =
        statement.query_row([function], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(match (overloads, is_steady) {
        (0, _) => Err(Uncachable::UnknownFunction(function.to_owned())),
        (_, Some(flag)) if flag > 0 => Ok(()),
        _ => Err(Uncachable::Volatile(function.to_owned())),
    })
}
