//! The feed on PostgreSQL.

use std::error::Error as StdError;
use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Client, Row, Transaction};

use super::sqlite::micros;
use super::{Feed, FeedError, FeedEvent, FeedHealth, Installed, NUMBERED_AT_ONCE, Polled};
use crate::{Connection, Ident, SqlType, TableName};

/// The advisory lock of an installation, so that two nodes that start at once install once.
const INSTALL_LOCK: i64 = i64::from_be_bytes(*b"tierfeed");
/// Microseconds from 1970 to 2000, where PostgreSQL counts from.
const EPOCH_2000: i64 = 946_684_800_000_000;

impl Feed {
    /// Installs the feed in the first schema of the search path, or brings an older installation up to date.
    ///
    /// Locks a watched table (`ACCESS EXCLUSIVE`, for as long as the transaction lasts) only if its triggers are missing or
    /// differ; set a `lock_timeout`. Run it again when [`FeedHealth`] names a new partition.
    ///
    /// # Errors
    ///
    /// [`FeedError::ReadOnly`], [`NoSchema`](FeedError::NoSchema), [`Privilege`](FeedError::Privilege),
    /// [`TableMissing`](FeedError::TableMissing), [`NotATable`](FeedError::NotATable),
    /// [`ColumnMissing`](FeedError::ColumnMissing), [`ColumnType`](FeedError::ColumnType) and
    /// [`NotOurs`](FeedError::NotOurs), before anything was done; [`FeedError::Postgres`].
    pub async fn install_postgres(&self, tx: &Transaction<'_>) -> Result<Installed, FeedError> {
        tx.query_typed("select pg_advisory_xact_lock($1)", &[(&INSTALL_LOCK, Type::INT8)]).await?;
        for source in &self.definition.sources {
            // A shadow is read by the owner of the functions, and so belongs to the same owner.
            for (table, columns) in source.needed_columns() {
                self.check(tx, table, &columns).await?;
            }
        }
        for statement in self.definition.install_postgres() {
            tx.batch_execute(&statement).await.map_err(not_ours)?;
        }
        let row = tx
            .query_one(
                "select exists (select from tierkeep_outbox where source = '' and position is null \
                 and xmin = pg_current_xact_id_if_assigned()::xid) as changed",
                &[],
            )
            .await?;
        Ok(Installed { changed: row.try_get("changed")? })
    }

    /// Whether everything is as [`install_postgres`](Self::install_postgres) would leave it, so that it would do nothing.
    ///
    /// # Errors
    ///
    /// [`FeedError::Postgres`].
    pub async fn is_installed_postgres(&self, db: &Client) -> Result<bool, FeedError> {
        let tables = "select num_nulls(to_regclass('tierkeep_feed'), to_regclass('tierkeep_outbox'), \
                      to_regclass('tierkeep_feed_lost')) = 0";
        if !db.query_typed_one(tables, &[]).await?.try_get::<_, bool>(0)? {
            return Ok(false);
        }
        let state = "select f.fingerprint, l.is_called from tierkeep_feed as f cross join tierkeep_feed_lost as l";
        let installed = match db.query_typed(state, &[]).await?.first() {
            Some(row) => {
                row.try_get::<_, &str>(0)? == self.definition.postgres_fingerprint && !row.try_get::<_, bool>(1)?
            }
            None => false,
        };
        Ok(installed && self.problems_postgres(db).await?.is_empty())
    }

    /// Numbers what has become visible, reads the events after a position, and checks the triggers.
    ///
    /// At most `limit` events. Do not call it in a transaction. On a replica nothing is numbered, only read. If the future
    /// is dropped, what was numbered stays numbered; nothing is lost.
    ///
    /// # Cost
    ///
    /// One round trip and no write if there is nothing to number, two if there is; one more when a trigger, a function or
    /// the set of partitions has changed or the server has restarted, and every time while the feed is broken.
    ///
    /// # Errors
    ///
    /// [`FeedError::Postgres`] and [`FeedError::Database`]. Tables of the feed that are missing are no error but
    /// [`FeedHealth::Broken`].
    pub async fn poll_postgres(&self, db: &Connection, after: u64, limit: u32) -> Result<Polled, FeedError> {
        let Some(mut read) = self.read(db, after, limit).await? else {
            let mut problems = self.problems_postgres(db).await?;
            problems.insert(0, "the outbox is missing, or is not the one of this version".to_owned());
            return Ok(Polled::unusable(after, 0, problems));
        };
        let mut problems = Vec::new();
        if !read.is_mark_known {
            problems = self.problems_postgres(db).await?;
        }
        if read.fingerprint != self.definition.postgres_fingerprint {
            problems.push(super::OTHER_INSTALLATION.to_owned());
        }
        // Only a whole feed is remembered: until then each poll looks closely, and when it is whole again the mark has
        // moved, which adds "everything". Nodes that watch something else would move it back and forth.
        let mark = (!read.is_mark_known && problems.is_empty()).then(|| read.mark.clone());
        let mut numbered = 0;
        if (read.has_pending || mark.is_some()) && !read.is_read_only {
            numbered = self.number(db, mark.as_deref()).await?;
            if let Some(again) = self.read(db, after, limit).await? {
                read = again;
            }
        }
        if read.lost > 0 {
            problems.push(format!(
                "{} writes could not be noted since the feed was installed; install it again",
                read.lost
            ));
        }
        let is_cut = read.events.len() == limit as usize
            && read.events.last().is_some_and(|event| event.position < read.position);
        Ok(Polled {
            position: read.position,
            floor: read.floor,
            more: is_cut || numbered == NUMBERED_AT_ONCE,
            gap: after < read.floor || after > read.position,
            health: FeedHealth::of(problems),
            unsettled: read.has_unsettled,
            epoch: read.epoch,
            events: read.events,
        })
    }

    /// Deletes settled events that are older than `keep` or more than `most_rows` positions back, at most 10,000; raises
    /// the floor in the same statement. Returns how many.
    ///
    /// # Errors
    ///
    /// [`FeedError::Postgres`].
    pub async fn prune_postgres(&self, db: &Client, keep: Duration, most_rows: u64) -> Result<u64, FeedError> {
        let most_rows = i64::try_from(most_rows).unwrap_or(i64::MAX);
        let rows = db
            .query_typed(
                include_str!("sql/postgres/prune.sql"),
                &[(&micros(keep), Type::INT8), (&most_rows, Type::INT8)],
            )
            .await?;
        Ok(rows.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0)).map(unsigned)?)
    }

    /// Replaces all events by one "everything" if the outbox takes more than `most_bytes` on disk and at least a quarter
    /// of that is rows that are alive; returns whether it did. From then on writers keep to that bound, too: while nobody
    /// prunes, about one in a thousand replaces the oldest events by an "everything".
    ///
    /// Nobody waits for it but another poll that would number. Costs a pass over the outbox if that is so large.
    ///
    /// # Errors
    ///
    /// [`FeedError::Postgres`].
    pub async fn collapse_postgres(&self, db: &Client, most_bytes: u64) -> Result<bool, FeedError> {
        let most_bytes = i64::try_from(most_bytes).unwrap_or(i64::MAX);
        let set = "update tierkeep_feed set most_bytes = $1 where most_bytes <> $1";
        db.query_typed(set, &[(&most_bytes, Type::INT8)]).await?;
        let rows = db.query_typed(include_str!("sql/postgres/size.sql"), &[(&most_bytes, Type::INT8)]).await?;
        let is_large = rows.first().map_or(Ok(false), |row| row.try_get(0))?;
        if is_large {
            db.query_typed(include_str!("sql/postgres/collapse.sql"), &[]).await?;
        }
        Ok(is_large)
    }

    /// `None` if a table of the feed is missing, or is not as this program knows it.
    async fn read(&self, db: &Connection, after: u64, limit: u32) -> Result<Option<Read>, FeedError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let read = async {
            let statement = db.prepared(include_str!("sql/postgres/read.sql")).await?;
            Ok::<_, crate::Error>(
                db.query(
                    &statement,
                    &[
                        &after,
                        &i64::from(limit),
                        &self.definition.tables,
                        &self.definition.column_tables,
                        &self.definition.column_names,
                    ],
                )
                .await?,
            )
        };
        match read.await {
            // Without its one row there is no position.
            Ok(rows) => rows.first().map(|first| Read::new(first, &rows)).transpose(),
            Err(crate::Error::Postgres(error)) if is_not_as_known(&error) => {
                db.forget_prepared();
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns how many rows there were to number.
    async fn number(&self, db: &Connection, mark: Option<&str>) -> Result<i64, FeedError> {
        let statement = db.prepared(include_str!("capture/postgres/number.sql")).await?;
        match db.query_one(&statement, &[&mark, &NUMBERED_AT_ONCE]).await {
            Ok(row) => Ok(row.try_get(0)?),
            // Where transactions are repeatable by default: somebody else has just numbered.
            Err(error) if error.code() == Some(&SqlState::T_R_SERIALIZATION_FAILURE) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// What is missing or differs.
    async fn problems_postgres(&self, db: &Client) -> Result<Vec<String>, FeedError> {
        let Self { definition } = self;
        let rows = db
            .query_typed(
                include_str!("capture/postgres/health.sql"),
                &[
                    (&definition.tables, Type::TEXT_ARRAY),
                    (&definition.functions, Type::TEXT_ARRAY),
                    (&definition.bodies, Type::TEXT_ARRAY),
                ],
            )
            .await?;
        rows.iter().map(|row| Ok(row.try_get("problem")?)).collect()
    }

    /// Whether a table can be watched, or read as a shadow.
    async fn check(
        &self,
        tx: &Transaction<'_>,
        table: &TableName,
        columns: &[(&Ident, bool)],
    ) -> Result<(), FeedError> {
        let names: Vec<&str> = columns.iter().map(|(column, _)| column.as_str()).collect();
        let rows = tx
            .query_typed(
                include_str!("capture/postgres/tables.sql"),
                &[(&table.quoted(), Type::TEXT), (&names, Type::TEXT_ARRAY)],
            )
            .await?;
        for row in rows {
            if row.try_get("is_read_only")? {
                return Err(FeedError::ReadOnly);
            }
            let Some(schema) = row.try_get::<_, Option<String>>("schema")? else { return Err(FeedError::NoSchema) };
            let name = || table.to_string();
            match row.try_get::<_, Option<&str>>("kind")? {
                None => return Err(FeedError::TableMissing { table: name() }),
                Some("r" | "p") => {}
                Some("v") => return Err(FeedError::NotATable { table: name(), kind: "view" }),
                Some("m") => return Err(FeedError::NotATable { table: name(), kind: "materialized view" }),
                Some("f") => return Err(FeedError::NotATable { table: name(), kind: "foreign table" }),
                Some(_) => return Err(FeedError::NotATable { table: name(), kind: "relation of another kind" }),
            }
            if !row.try_get::<_, bool>("is_owner")? {
                let owner = row.try_get("owner")?;
                return Err(FeedError::Privilege { privilege: "ownership", object: name(), owner });
            }
            if !row.try_get::<_, bool>("may_create")? {
                let owner = row.try_get("schema_owner")?;
                return Err(FeedError::Privilege { privilege: "CREATE", object: format!("schema {schema}"), owner });
            }
            let column: String = row.try_get("column")?;
            if !row.try_get::<_, bool>("is_present")? {
                return Err(FeedError::ColumnMissing { table: name(), column });
            }
            let is_key = columns.iter().any(|(known, is_key)| *is_key && known.as_str() == column);
            let found: String = row.try_get("type_name")?;
            let accepted = accepted_types(self.definition.key_type);
            if is_key && !accepted.split(", ").any(|accepted| accepted == found) {
                return Err(FeedError::ColumnType { table: name(), column, found, accepted });
            }
        }
        Ok(())
    }
}

/// One reading of the feed.
struct Read {
    position: u64,
    floor: u64,
    fingerprint: String,
    epoch: u64,
    mark: String,
    is_mark_known: bool,
    has_pending: bool,
    has_unsettled: bool,
    is_read_only: bool,
    lost: u64,
    events: Vec<FeedEvent>,
}

impl Read {
    fn new(first: &Row, rows: &[Row]) -> Result<Self, FeedError> {
        Ok(Self {
            position: unsigned(first.try_get("position")?),
            floor: unsigned(first.try_get("floor")?),
            fingerprint: first.try_get("fingerprint")?,
            epoch: unsigned(first.try_get("epoch")?),
            mark: first.try_get("mark")?,
            is_mark_known: first.try_get("is_mark_known")?,
            has_pending: first.try_get("has_pending")?,
            has_unsettled: first.try_get("has_unsettled")?,
            is_read_only: first.try_get("is_read_only")?,
            lost: unsigned(first.try_get("lost")?),
            events: rows.iter().filter_map(|row| event(row).transpose()).collect::<Result<_, _>>()?,
        })
    }
}

/// `None` in the one row of a reading without events.
fn event(row: &Row) -> Result<Option<FeedEvent>, FeedError> {
    let Some(position) = row.try_get::<_, Option<i64>>("event_position")? else { return Ok(None) };
    let instant =
        |name| -> Result<Option<i64>, FeedError> { Ok(row.try_get::<_, Option<Micros>>(name)?.map(|at| at.0)) };
    Ok(Some(FeedEvent {
        position: unsigned(position),
        source: row.try_get("source")?,
        key: row.try_get("key")?,
        first: instant("first")?,
        last: instant("last")?,
        note: row.try_get("note")?,
    }))
}

/// An instant in microseconds since 1970; infinite ones are the ends of the range.
struct Micros(i64);

impl<'a> FromSql<'a> for Micros {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        let since_2000 = i64::from_be_bytes(raw.try_into()?);
        // Infinite ones are the ends of the range on the wire, too.
        Ok(Self(if since_2000 == i64::MIN { i64::MIN } else { since_2000.saturating_add(EPOCH_2000) }))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }
}

/// Types of columns whose values are keys, as PostgreSQL prints them.
fn accepted_types(key_type: SqlType) -> &'static str {
    match key_type {
        SqlType::Uuid => "uuid",
        SqlType::Text => "text, character varying, character",
        // `Feed::new` lets nothing else pass.
        _ => "bigint, integer, smallint",
    }
}

/// Whether a statement failed because a table of the feed is not there or not as it was made.
fn is_not_as_known(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| {
        [
            SqlState::UNDEFINED_TABLE,
            SqlState::UNDEFINED_COLUMN,
            SqlState::UNDEFINED_FUNCTION,
            SqlState::FEATURE_NOT_SUPPORTED,
            SqlState::WRONG_OBJECT_TYPE,
            SqlState::DATATYPE_MISMATCH,
        ]
        .contains(code)
    })
}

fn not_ours(error: tokio_postgres::Error) -> FeedError {
    match error.as_db_error() {
        Some(refusal) if *refusal.code() == SqlState::DUPLICATE_TABLE => {
            FeedError::NotOurs { reason: refusal.message().to_owned() }
        }
        _ => error.into(),
    }
}

/// Positions are never negative.
fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
