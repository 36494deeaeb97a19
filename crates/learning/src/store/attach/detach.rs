//! Taking every trace away.

use tierkeep_db::{Connection, DatabaseUrl, Dialect, Pool, TableName, columns_postgres};
use tokio_postgres::{Client, Transaction};

use super::super::StoreError;
use super::super::erasure::own;
use super::super::feed::feed;
use super::super::open::{DROP_OWN_TABLES, OpenOptions};
use super::survey::{holds_rows, refuse, stored_mapping};
use super::{address, archive, locks, patiently, restore};
use crate::key::KeyType;
use crate::mapping::{Mapping, Source};

/// What becomes of archived rows when Tierkeep leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchivedRows {
    /// While there are any, detaching is refused.
    Refuse,
    /// They go back to the platform's table, column for column. Day bases and quarantined rows, which the platform has no
    /// place for, are dropped.
    RestoreAll,
    /// Their table stays, marked so that attaching again finds it. Day bases and quarantined rows are dropped.
    Keep,
}

/// What detaching did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detached {
    /// Rows that went back to the platform's table.
    pub restored: u64,
    /// The archive that was left, quoted.
    pub kept: Option<String>,
}

/// Removes triggers, functions and all tables of Tierkeep's from a platform's database. The mapping is the one it was
/// attached with, whatever `options` say.
///
/// With [`ArchivedRows::RestoreAll`] the rows go back in one statement and a transaction of their own, before any lock is
/// taken; if some cannot go, none does. If the future is dropped, what was not committed is undone.
///
/// # Errors
/// [`StoreError::Attaching`] if nothing is attached, if there are archived rows, day bases or quarantined rows and
/// nobody said what becomes of them, if
/// some cannot go back, or if locks were not to be had.
pub async fn detach(url: &DatabaseUrl, options: &OpenOptions, rows: ArchivedRows) -> Result<Detached, StoreError> {
    let pool = Pool::new(address(url, "detach")?, options.pool.clone())?;
    let detached = async {
        let mut restored = 0;
        if rows == ArchivedRows::RestoreAll {
            restored = restore_all(&mut pool.get().await?).await?;
        }
        let kept = patiently(&pool, async |db, attempt| detach_once(db, rows, attempt).await).await?;
        Ok(Detached { restored, kept })
    }
    .await;
    pool.close().await;
    detached
}

async fn restore_all(db: &mut Connection) -> Result<u64, StoreError> {
    let tx = db.transaction().await?;
    let mapping = attached(tx.client()).await?.mapping;
    if columns_postgres(tx.client(), &mapping.archive()).await?.is_none() {
        return Ok(0);
    }
    let restored = restore::restore(&tx, &mapping).await?;
    tx.commit().await.map_err(restore::not_taken_back)?;
    Ok(restored)
}

async fn detach_once(db: &mut Connection, rows: ArchivedRows, attempt: usize) -> Result<Option<String>, StoreError> {
    let tx = db.transaction().await?;
    locks::begin(&tx).await?;
    let attached = attached(tx.client()).await?;
    locks::take(&tx, &[], attempt).await?;
    for (what, table, remedy, needs_place) in holders(&attached.mapping) {
        let must_be_empty = match rows {
            ArchivedRows::Refuse => true,
            ArchivedRows::RestoreAll => needs_place,
            ArchivedRows::Keep => false,
        };
        // tables of a later version than the one that was attached
        let is_there = columns_postgres(tx.client(), &table).await?.is_some();
        if must_be_empty && is_there && holds_rows(tx.client(), &table).await? {
            return refuse(&format!("{} holds {what}: {remedy}", table.quoted()));
        }
    }
    let kept = remove(&tx, &attached, rows).await?;
    tx.commit().await?;
    Ok(kept)
}

async fn remove(tx: &Transaction<'_>, attached: &Attachment, rows: ArchivedRows) -> Result<Option<String>, StoreError> {
    let Attachment { keys, mapping } = attached;
    // what is removed depends on the schema only, not on the sources
    for statement in feed(*keys, mapping, false)?.remove_sql(Dialect::Postgres) {
        tx.batch_execute(&statement).await?;
    }
    for name in own_tables() {
        tx.batch_execute(&format!("drop table if exists {name}")).await?;
    }
    let archive = mapping.archive();
    if columns_postgres(tx.client(), &archive).await?.is_none() {
        return Ok(None);
    }
    if rows == ArchivedRows::Keep && holds_rows(tx.client(), &archive).await? {
        tx.batch_execute(&archive::mark_kept(&archive)).await?;
        return Ok(Some(archive.quoted()));
    }
    tx.batch_execute(&format!("drop table {}", archive.quoted())).await?;
    Ok(None)
}

/// What must not be dropped unasked while it holds rows: what it holds, its table, what helps, and whether the rows have a
/// place in the platform's tables.
fn holders(mapping: &Mapping) -> [(&'static str, TableName, &'static str, bool); 3] {
    [
        (
            "archived sessions",
            mapping.archive(),
            "detach with --restore-all to move them back to the platform's table, or with --keep-archive to leave them where \
             they are",
            true,
        ),
        (
            "day bases",
            own("tierkeep_base"),
            "what deleted sessions counted for has no place in the platform's tables: detach with --restore-all or \
             --keep-archive, which drop it and treat archived sessions as they say",
            false,
        ),
        (
            "quarantined rows",
            own("tierkeep_quarantine"),
            "bring those that are wanted back with `tierkeep restore`, then detach with --restore-all or --keep-archive, which \
             drop the others and treat archived sessions as they say",
            false,
        ),
    ]
}

/// All tables of Tierkeep's beside those of rows. Tokens outlive a change of keys and are therefore not in the list.
pub(in crate::store) fn own_tables() -> impl Iterator<Item = &'static str> {
    let names = DROP_OWN_TABLES.lines().filter_map(|line| line.trim_end_matches(';').split_whitespace().last());
    names.filter(|name| name.starts_with("tierkeep_")).chain(["tierkeep_token"])
}

/// What is attached.
struct Attachment {
    keys: KeyType,
    mapping: Mapping,
}

async fn attached(db: &Client) -> Result<Attachment, StoreError> {
    let is_read_only = "select pg_is_in_recovery() or current_setting('transaction_read_only') = 'on', \
                        to_regclass('tierkeep_state') is not null";
    let row = db.query_typed_one(is_read_only, &[]).await?;
    if row.try_get(0)? {
        return refuse("this server is a replica or read-only, and detaching writes: give the address of the primary");
    }
    if !row.try_get::<_, bool>(1)? {
        return refuse("tierkeep is not attached to this database: there is nothing to detach");
    }
    let row = db.query_typed_one("select key_type, to_jsonb(s) ->> 'mapping' from tierkeep_state as s", &[]).await?;
    let Some(mapping) = row.try_get::<_, Option<&str>>(1)? else {
        return refuse("this database has tierkeep's own tables, not a platform's: there is nothing to detach");
    };
    let mapping = stored_mapping(mapping)?;
    // a name that cannot be quoted would have been refused by attaching
    mapping.column(Source::StudySessions, "id")?;
    let keys = row.try_get::<_, &str>(0)?;
    let keys = keys.parse().map_err(|error| StoreError::State { reason: format!("its type of keys: {error}") })?;
    Ok(Attachment { keys, mapping })
}
