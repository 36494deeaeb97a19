//! Upkeep on SQLite.

use rusqlite::Connection;
use tierkeep_db::SqliteDatabase;
use tierkeep_db::feed::own_change_sqlite;

use super::{FORGOTTEN_AT_ONCE, FREE_SHARE, Sizes};
use crate::error::RetentionError;
use crate::lease::Keeper;
use crate::rule::Policy;

/// Rows of an index that measuring looks at: the write lock is held meanwhile.
const SAMPLED: u32 = 1000;
/// Pages that are given back in one transaction.
const GIVEN_BACK_AT_ONCE: u32 = 2000;
/// A file of less is not worth a word: 4 MiB.
const SMALL_FILE: u64 = 4 * 1024 * 1024;

/// The pages of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct File {
    pub(super) pages: u64,
    pub(super) free: u64,
    pub(super) page_bytes: u64,
    /// Whether free pages can be given back some at a time.
    pub(super) gives_back: bool,
}

impl File {
    pub(super) fn bytes(self) -> u64 {
        self.pages.saturating_mul(self.page_bytes)
    }

    pub(super) fn free_bytes(self) -> u64 {
        self.free.saturating_mul(self.page_bytes)
    }

    /// What should be done about free pages, if anything.
    pub(super) fn advice(self) -> Option<String> {
        let is_much = self.free > self.pages / FREE_SHARE && self.bytes() >= SMALL_FILE;
        is_much.then(|| {
            format!(
                "{} of {} bytes of the file are free, and used again only by new rows; to give them back, at a quiet hour \
                 and with as much room on the disk, since it writes the file anew: vacuum",
                self.free_bytes(),
                self.bytes()
            )
        })
    }

    fn look(db: &Connection) -> Result<Self, RetentionError> {
        let number = |value: i64| u64::try_from(value).unwrap_or(0);
        Ok(db.query_row(include_str!("../sql/sqlite/upkeep.sql"), [], |row| {
            Ok(Self {
                pages: number(row.get(0)?),
                free: number(row.get(1)?),
                page_bytes: number(row.get(2)?),
                gives_back: row.get(3)?,
            })
        })?)
    }
}

/// `are_read`: whether tables are read to tell their sizes, where this SQLite can.
pub(super) async fn sizes(db: &SqliteDatabase, policy: &Policy, are_read: bool) -> Result<Sizes, RetentionError> {
    let names: Vec<(String, String)> = policy
        .subjects
        .iter()
        .map(|subject| (subject.name.to_owned(), subject.relation.table().name().as_str().to_owned()))
        .collect();
    db.read(move |db| {
        let mut sizes = Sizes { file: Some(File::look(db)?), ..Sizes::default() };
        // a part of SQLite that may be left out
        let text = "select sum(pgsize) from dbstat where aggregate = 1 \
                    and name in (select name from sqlite_schema where tbl_name = ?1 collate nocase)";
        if let (true, Ok(mut statement)) = (are_read, db.prepare(text)) {
            for (subject, table) in names {
                let bytes: Option<i64> = statement.query_row([table], |row| row.get(0))?;
                sizes.tables.extend(bytes.and_then(|bytes| u64::try_from(bytes).ok()).map(|bytes| (subject, bytes)));
            }
        }
        Ok(sizes)
    })
    .await
}

/// Measures a table for the planner.
pub(super) async fn analyze(db: &SqliteDatabase, keeper: Keeper, table: String) -> Result<(), RetentionError> {
    db.write(move |tx| {
        keeper.keep_sqlite(tx)?;
        let limit: u32 = tx.query_row("pragma analysis_limit", [], |row| row.get(0))?;
        // The first one makes a table.
        own_change_sqlite(tx, |tx| {
            tx.execute_batch(&format!(
                "pragma analysis_limit = {SAMPLED}; analyze {table}; pragma analysis_limit = {limit}"
            ))
        })?;
        Ok(())
    })
    .await
}

/// Gives some free pages back, where the file is made for that; whether there are more.
pub(super) async fn give_back(db: &SqliteDatabase, keeper: Keeper) -> Result<bool, RetentionError> {
    let look = |db: &mut Connection| File::look(db);
    let before = db.read(look).await?;
    if !before.gives_back || before.free == 0 {
        return Ok(false);
    }
    db.write(move |tx| {
        keeper.keep_sqlite(tx)?;
        // a page with each step
        let mut statement = tx.prepare(&format!("pragma incremental_vacuum({GIVEN_BACK_AT_ONCE})"))?;
        let mut steps = statement.query([])?;
        while steps.next()?.is_some() {}
        Ok::<_, RetentionError>(())
    })
    .await?;
    let after = db.read(look).await?;
    Ok(after.free > 0 && after.free < before.free)
}

/// Writes back what waits in the log and no reader needs. Whoever is at it already does the same.
pub(super) async fn write_back(db: &SqliteDatabase) {
    let path = db.path().to_owned();
    let written = tokio::task::spawn_blocking(move || crate::throttle::write_back(&path)).await;
    if let Ok(Err(error)) = written {
        tracing::debug!(%error, "the log of the database was not written back");
    }
}

pub(super) async fn advice(db: &SqliteDatabase) -> Result<Option<String>, RetentionError> {
    db.read(|db| Ok(File::look(db)?.advice())).await
}

/// Returns how many were forgotten.
pub(super) async fn prune_exempt(db: &SqliteDatabase, keeper: Keeper, now: i64) -> Result<u64, RetentionError> {
    db.write(move |tx| {
        keeper.keep_sqlite(tx)?;
        let gone = tx.execute(include_str!("../sql/sqlite/exempt_prune.sql"), [now, FORGOTTEN_AT_ONCE])?;
        Ok(u64::try_from(gone).unwrap_or(u64::MAX))
    })
    .await
}
