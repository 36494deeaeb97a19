//! Queries of PostgreSQL.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tierkeep_cache::{Cache, Counts, LoadContext};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};
use tokio_util::sync::CancellationToken;

use super::follower::EVENTS;
use super::kept::{Asked, EncodedKey, Kept, LoadFailure};
use super::plans::{LONGEST, Plan, Prepared, Verdict};
use super::reads::Reads;
use super::{Answer, Bypass, Origin, Parameter, ParameterKey, QueryError, QuerySettings, Uncachable};
use crate::feed::{Feed, FeedSource, WatchedRows};
use crate::{Connection, Dialect, Error, Pool, columns_postgres};

/// How deep views are followed.
const DEEPEST: usize = 16;

/// Functions of PostgreSQL that may give another result only where the session differs, which is part of the key: they
/// show values by its settings, or call what their arguments' types call.
const STEADY: [&str; 33] = [
    "array_to_json",
    "array_to_string",
    "concat",
    "concat_ws",
    "date_part",
    "date_trunc",
    "extract",
    "format",
    "generate_series",
    "json_agg",
    "json_build_array",
    "json_build_object",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_object_agg",
    "length",
    "make_timestamptz",
    "quote_literal",
    "quote_nullable",
    "row_to_json",
    "timezone",
    "to_ascii",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_number",
    "to_timestamp",
    "to_tsquery",
    "to_tsvector",
    "plainto_tsquery",
];

/// Queries of a PostgreSQL database, answered from memory while no table they read has changed.
///
/// Cheap to clone. What is kept, for how long and how fresh is written at [the module](crate::query_cache).
///
/// # Examples
///
/// ```no_run
/// use tierkeep_cache::Cache;
/// use tierkeep_db::feed::Feed;
/// use tierkeep_db::query_cache::{PostgresQueries, QuerySettings};
/// use tierkeep_db::{Pool, PoolConfig, PostgresUrl};
/// use tokio_util::sync::CancellationToken;
///
/// # async fn example(feed: Feed) -> Result<(), Box<dyn std::error::Error>> {
/// let url: PostgresUrl = "postgres://app@db.example/shop".parse()?;
/// let pool = Pool::new(&url, PoolConfig::default())?;
/// let cache = Cache::builder("shop").memory(64 << 20).build()?;
/// let queries = PostgresQueries::new(pool, feed, &cache, &QuerySettings::default()).await?;
/// let stop = CancellationToken::new();
/// let following = tokio::spawn({
///     let (queries, stop) = (queries.clone(), stop.clone());
///     async move { queries.follow(stop).await }
/// });
///
/// let answer = queries.query("select count(*) from orders where customer_id = $1", &[&7_i64]).await?;
/// println!("{} orders, from {:?}", answer.rows[0].get::<_, i64>(0), answer.origin);
///
/// stop.cancel();
/// following.await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct PostgresQueries {
    inner: Arc<Inner>,
}

/// A text of [`PostgresQueries::prepare`].
#[derive(Debug)]
pub struct PreparedPostgresQuery {
    queries: PostgresQueries,
    prepared: Prepared,
}

impl PreparedPostgresQuery {
    /// Returns the rows, as [`PostgresQueries::query`] does.
    ///
    /// # Errors
    ///
    /// [`QueryError::Database`]; [`QueryError::NotRun`] if the cache refuses the load.
    pub async fn query(&self, parameters: &[&dyn Parameter]) -> Result<Answer<Row>, QueryError> {
        let kept = &self.queries.inner.kept;
        let mut encoded = ParameterKey::default();
        parameters.iter().for_each(|parameter| parameter.write(&mut encoded));
        let number = kept.number_of(&self.prepared, encoded.says_time);
        match kept.at_once(number, encoded) {
            Ok(answer) => Ok(answer),
            Err(asked) => Box::pin(self.queries.answered(&self.prepared.text, parameters, asked)).await,
        }
    }
}

#[derive(Debug)]
struct Inner {
    pool: Pool,
    feed: Feed,
    session: Vec<String>,
    kept: Kept<Row>,
}

impl PostgresQueries {
    /// Prepares to answer the queries of the pool's role from the cache; asks the feed for the first time.
    ///
    /// The feed must be installed. All connections of the pool should have the same settings: those of the first one count.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cache`] if the name of the view is taken; [`QueryError::Database`] and [`QueryError::Feed`].
    pub async fn new(pool: Pool, feed: Feed, cache: &Cache, settings: &QuerySettings) -> Result<Self, QueryError> {
        let kept = Kept::new(cache, settings, &feed, Dialect::Postgres, |row: &Row| {
            size_of::<Row>() + row.raw_size_bytes() + row.len() * size_of::<std::ops::Range<usize>>()
        })?;
        let session = session(&*pool.get().await?).await?;
        let queries = Self { inner: Arc::new(Inner { pool, feed, session, kept }) };
        queries.catch_up().await?;
        Ok(queries)
    }

    /// Returns the rows of a query.
    ///
    /// Parameters are bound with the types that [`KeyPart::part_type`](super::KeyPart::part_type) says; the server converts
    /// them to no other. Statements are not prepared.
    ///
    /// Costs some hundred nanoseconds if the answer is kept, and else the query with one more round trip on the same
    /// connection; the first time of a text some round trips to the catalogs.
    ///
    /// # Errors
    ///
    /// [`QueryError::Database`]; [`QueryError::NotRun`] if the cache refuses the load.
    pub async fn query(&self, sql: &str, parameters: &[&dyn Parameter]) -> Result<Answer<Row>, QueryError> {
        let kept = &self.inner.kept;
        let mut encoded = ParameterKey::default();
        parameters.iter().for_each(|parameter| parameter.write(&mut encoded));
        let number = kept.number(sql, encoded.says_time);
        match kept.at_once(number, encoded) {
            Ok(answer) => Ok(answer),
            Err(asked) => Box::pin(self.answered(sql, parameters, asked)).await,
        }
    }

    /// Prepares a text that is asked often: its answers are found without looking at the text again. Asks nothing.
    #[must_use]
    pub fn prepare(&self, sql: &str) -> PreparedPostgresQuery {
        PreparedPostgresQuery { queries: self.clone(), prepared: Prepared::new(sql) }
    }

    async fn answered(
        &self,
        sql: &str,
        parameters: &[&dyn Parameter],
        asked: Asked,
    ) -> Result<Answer<Row>, QueryError> {
        let Inner { pool, kept, session: usual, .. } = &*self.inner;
        let Asked { parameters: encoded, number } = asked;
        let number = match number {
            Some(number) => number,
            None => match self.cachable(sql, &encoded).await? {
                Ok(plan) => plan.number,
                Err(bypass) => return self.bypass(sql, parameters, bypass).await,
            },
        };
        let key = EncodedKey::new(number, encoded);
        let load = |context: LoadContext<Vec<Row>>| async move {
            kept.depend(&context, sql, number);
            let connection = pool.get().await?;
            if session(&connection).await? != *usual {
                return Err(LoadFailure::OtherSession);
            }
            Ok(run(&connection, sql, parameters).await?)
        };
        match kept.answer(&key, load).await? {
            Some(answer) => Ok(answer),
            None => self.bypass(sql, parameters, Bypass::OtherSession).await,
        }
    }

    /// Whether the answers of a text can be kept, and if not why. Looks at the catalogs the first time.
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
        let Inner { pool, feed, kept, .. } = &*self.inner;
        let connection = pool.get().await?;
        let poll = |after| feed.poll_postgres(&connection, after, EVENTS);
        kept.catch_up(poll).await
    }

    /// Asks eight times within the bound until `stop`; questions that fail are asked again.
    pub async fn follow(&self, stop: CancellationToken) {
        self.inner.kept.follow(|| self.catch_up(), stop).await;
    }

    /// Forgets all answers, and what is known of texts: after a change of the schema or of rights.
    pub async fn forget(&self) {
        self.inner.kept.forget().await;
    }

    /// What the cache has counted: hits, loads, answers in memory.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.inner.kept.counts()
    }

    async fn bypass(
        &self,
        sql: &str,
        parameters: &[&dyn Parameter],
        bypass: Bypass,
    ) -> Result<Answer<Row>, QueryError> {
        let rows = run(&*self.inner.pool.get().await?, sql, parameters).await?;
        Ok(Answer { rows: Arc::new(rows), origin: Origin::Bypassed(bypass) })
    }

    async fn cachable(&self, sql: &str, encoded: &ParameterKey) -> Result<Result<Arc<Plan>, Bypass>, QueryError> {
        if let Some(bypass) = self.inner.kept.follower.objection() {
            return Ok(Err(bypass));
        }
        if encoded.says_time {
            return Ok(Err(Bypass::TimeInParameter));
        }
        self.plan(sql).await
    }

    async fn plan(&self, sql: &str) -> Result<Result<Arc<Plan>, Bypass>, QueryError> {
        let Inner { pool, feed, kept, session: usual } = &*self.inner;
        let (now, era) = (kept.clock.now(), kept.plans.era());
        if let Some(plan) = kept.plans.get(sql, now).or_else(|| kept.plans.get_normal(sql, now)) {
            return Ok(plan.cachable());
        }
        let connection = pool.get().await?;
        // Elsewhere the names of the text may be other tables.
        if session(&connection).await? != *usual {
            return Ok(Err(Bypass::OtherSession));
        }
        let verdict = Box::pin(examine(&connection, feed, sql)).await?;
        Ok(kept.plans.note(sql, verdict, era, now).cachable())
    }
}

async fn session(client: &Client) -> Result<Vec<String>, Error> {
    Ok(client.query_typed_one(include_str!("source/postgres/session.sql"), &[]).await?.try_get("session")?)
}

async fn run(client: &Client, sql: &str, parameters: &[&dyn Parameter]) -> Result<Vec<Row>, Error> {
    let typed: Vec<(&(dyn ToSql + Sync), Type)> =
        parameters.iter().map(|parameter| (parameter.value(), parameter.sql_type())).collect();
    Ok(client.query_typed(sql, &typed).await?)
}

/// Finds out what a query reads.
async fn examine(connection: &Connection, feed: &Feed, sql: &str) -> Result<Verdict, Error> {
    if sql.len() > LONGEST {
        return Ok(Err(Uncachable::TooLong(sql.len())));
    }
    let strings: String =
        connection.query_typed_one("select current_setting('standard_conforming_strings')", &[]).await?.try_get(0)?;
    if strings != "on" {
        return Ok(Err(Uncachable::Unparsable("standard_conforming_strings is off".to_owned())));
    }
    let watched = watched(connection, feed).await?;
    let mut tables = BTreeSet::new();
    let mut views = BTreeSet::new();
    let mut texts = vec![sql.to_owned()];
    for _ in 0..DEEPEST {
        let mut deeper = Vec::new();
        for text in &texts {
            let reads = match Reads::of(text) {
                Ok(reads) => reads,
                Err(reason) => return Ok(Err(reason)),
            };
            if let Err(reason) = functions(connection, &reads).await? {
                return Ok(Err(reason));
            }
            for relation in relations(connection, &reads).await? {
                match relation.part()? {
                    Part::Table(whole) => tables.insert((whole, relation.name)),
                    Part::View(definition) => {
                        if views.insert(relation.oid) {
                            deeper.push(definition);
                        }
                        true
                    }
                    Part::Refused(reason) => return Ok(Err(reason)),
                };
            }
        }
        if deeper.is_empty() {
            return Ok(tables.into_iter().map(|(whole, name)| source_of(&watched, whole, name)).collect());
        }
        texts = deeper;
    }
    Ok(Err(Uncachable::Nested))
}

/// The sources of a feed by their tables; `Err` says which changes are not told.
type Watched = HashMap<u32, Result<&'static str, &'static str>>;

fn source_of(watched: &Watched, whole: u32, table: String) -> Result<&'static str, Uncachable> {
    match watched.get(&whole) {
        Some(Ok(source)) => Ok(source),
        Some(Err(why)) => Err(Uncachable::PartlyWatched { table, why }),
        None => Err(Uncachable::Unwatched(table)),
    }
}

async fn watched(client: &Client, feed: &Feed) -> Result<Watched, Error> {
    let mut watched = BTreeMap::new();
    for source in feed.sources() {
        let columns = columns_postgres(client, &source.table).await?.unwrap_or_default();
        let is_never_null = |name: &str| columns.iter().any(|column| column.name == name && !column.nullable);
        watched.insert(source.table.quoted(), completeness(feed, source, is_never_null).map(|()| source.name));
    }
    let names: Vec<&String> = watched.keys().collect();
    let rows = client
        .query_typed(
            "select name, cast(to_regclass(name) as oid) from unnest($1) as given (name) \
             where to_regclass(name) is not null",
            &[(&names, Type::TEXT_ARRAY)],
        )
        .await?;
    rows.iter().map(|row| Ok((row.try_get(1)?, watched[row.try_get::<_, &str>(0)?]))).collect()
}

/// Whether every change of a source's table is told.
pub(super) fn completeness(
    feed: &Feed,
    source: &FeedSource,
    is_never_null: impl Fn(&str) -> bool,
) -> Result<(), &'static str> {
    match &source.rows {
        WatchedRows::Keys { .. } => return Err("only keys and their notes are"),
        WatchedRows::Owned { shadow: Some(_), .. } => return Err("rows that move to another table are not"),
        WatchedRows::Owned { key, .. } if !is_never_null(key.as_str()) => {
            return Err("rows whose key is null are not, or the key's column is missing");
        }
        WatchedRows::Owned { .. } => {}
    }
    let is_shadow = feed.sources().iter().any(
        |other| matches!(&other.rows, WatchedRows::Owned { shadow: Some(shadow), .. } if shadow.table == source.table),
    );
    if is_shadow { Err("rows that move from another table are not") } else { Ok(()) }
}

/// A relation that a text may read.
struct Relation {
    oid: u32,
    name: String,
    kind: String,
    whole: u32,
    is_system: bool,
    is_temporary: bool,
    is_inherited: bool,
    has_row_security: bool,
    definition: Option<String>,
}

enum Part {
    /// The table, or the whole of which it is a partition.
    Table(u32),
    /// The text of a view.
    View(String),
    Refused(Uncachable),
}

impl Relation {
    fn part(&self) -> Result<Part, Error> {
        let is_a = |kind| Part::Refused(Uncachable::Kind { table: self.name.clone(), kind });
        Ok(match (self.kind.as_str(), &self.definition) {
            _ if self.is_system => is_a("system catalog"),
            _ if self.is_temporary => is_a("temporary table"),
            _ if self.has_row_security => Part::Refused(Uncachable::RowSecurity(self.name.clone())),
            ("v", Some(definition)) => Part::View(definition.clone()),
            _ if self.is_inherited => is_a("table that inherits or is inherited from"),
            ("r" | "p", _) => Part::Table(self.whole),
            ("m", _) => is_a("materialized view"),
            ("f", _) => is_a("foreign table"),
            ("S", _) => is_a("sequence"),
            _ => is_a("relation of another kind"),
        })
    }
}

async fn relations(client: &Client, reads: &Reads) -> Result<Vec<Relation>, Error> {
    let names: Vec<&String> = reads.relations.iter().collect();
    let rows = client.query_typed(include_str!("source/postgres/relations.sql"), &[(&names, Type::TEXT_ARRAY)]).await?;
    let relation = |row: &Row| -> Result<Relation, Error> {
        let (schema, name): (String, String) = (row.try_get("schema")?, row.try_get("name")?);
        Ok(Relation {
            oid: row.try_get("oid")?,
            name: format!("{schema}.{name}"),
            kind: row.try_get("kind")?,
            whole: row.try_get("whole")?,
            is_system: row.try_get("is_system")?,
            is_temporary: row.try_get("is_temporary")?,
            is_inherited: row.try_get("is_inherited")?,
            has_row_security: row.try_get("has_row_security")?,
            definition: row.try_get("definition")?,
        })
    };
    // Indexes and composite types have names, too, and nothing to read.
    let mut found = Vec::new();
    for row in &rows {
        let relation = relation(row)?;
        if !matches!(relation.kind.as_str(), "i" | "I" | "c" | "t") {
            found.push(relation);
        }
    }
    Ok(found)
}

async fn functions(client: &Client, reads: &Reads) -> Result<Result<(), Uncachable>, Error> {
    let (functions, names): (Vec<&String>, Vec<&String>) =
        (reads.functions.iter().collect(), reads.names.iter().collect());
    let own =
        client.query_typed_one(include_str!("source/postgres/operators.sql"), &[(&names, Type::TEXT_ARRAY)]).await?;
    if own.try_get("has_own_operators")? {
        return Ok(Err(Uncachable::Operators));
    }
    if let Some(name) = own.try_get::<_, Option<String>>("called_by_name")? {
        return Ok(Err(Uncachable::Volatile(name)));
    }
    let rows =
        client.query_typed(include_str!("source/postgres/functions.sql"), &[(&functions, Type::TEXT_ARRAY)]).await?;
    for row in rows {
        let name: String = row.try_get("name")?;
        if row.try_get::<_, i64>("overloads")? == 0 {
            return Ok(Err(Uncachable::UnknownFunction(name)));
        }
        let is_changeable: bool = row.try_get("is_changeable")?;
        let is_steady = !is_changeable || STEADY.contains(&name.as_str());
        if row.try_get("is_volatile")? || row.try_get("is_own_changeable")? || !is_steady {
            return Ok(Err(Uncachable::Volatile(name)));
        }
    }
    Ok(Ok(()))
}
