//! What must be true of the database before a run.

use jiff::Timestamp;
use rusqlite::Connection;
use serde::Serialize;

use super::checks::Intent;
use super::finding::{Code, Findings};
use crate::RetentionError;

/// A database as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerFacts {
    /// Its version, in its words.
    pub version: String,
    /// Why nothing can be written, if so. `None` also of a reading connection to an SQLite file, which cannot tell.
    pub read_only: Option<&'static str>,
    /// What a crash may undo.
    pub durability: Durability,
    /// Whether it has a hash of whole rows (PostgreSQL 14 and later).
    pub has_row_hash: bool,
    /// Its clock, when it was asked.
    pub clock: Timestamp,
}

/// What a crash may undo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Settings of PostgreSQL.
    Postgres {
        /// Whether what is written is waited for; without, a power failure may ruin the database.
        fsync: bool,
        /// Whether pages that were half-written can be mended.
        full_page_writes: bool,
        /// What a commit waits for.
        synchronous_commit: String,
    },
    /// Settings of SQLite.
    Sqlite {
        /// How a transaction is undone: `wal`, `delete`, …, `memory`, `off`.
        journal_mode: String,
        /// How often the disk is waited for: 0 never, 1 at checkpoints, 2 at commits, 3 twice.
        synchronous: i64,
        /// Bytes of a page.
        page_size: u32,
        /// Pages of the file.
        pages: u32,
        /// Pages that hold nothing.
        free_pages: u32,
    },
}

impl ServerFacts {
    /// Reads them of PostgreSQL. One round trip.
    ///
    /// # Errors
    ///
    /// [`RetentionError::Postgres`].
    pub async fn read_postgres(client: &tokio_postgres::Client) -> Result<Self, RetentionError> {
        let rows = client.query_typed(include_str!("../sql/postgres/preflight_server.sql"), &[]).await?;
        let [row] = rows.as_slice() else { return Err(unreadable_clock()) };
        let read_only = if row.try_get("is_replica")? {
            Some("it is a replica")
        } else if row.try_get("is_read_only_by_default")? {
            Some("default_transaction_read_only is on")
        } else if row.try_get("is_read_only")? {
            Some("the transaction is read only")
        } else {
            None
        };
        Ok(Self {
            version: row.try_get("version")?,
            read_only,
            durability: Durability::Postgres {
                fsync: row.try_get("fsync")?,
                full_page_writes: row.try_get("full_page_writes")?,
                synchronous_commit: row.try_get("synchronous_commit")?,
            },
            has_row_hash: row.try_get("has_row_hash")?,
            clock: Timestamp::from_microsecond(row.try_get("clock")?).map_err(|_| unreadable_clock())?,
        })
    }

    /// Reads them of SQLite, of the connection and the main file. A connection that only reads by its own
    /// choice (`query_only`) says nothing about what may be written.
    ///
    /// # Errors
    ///
    /// [`RetentionError::Sqlite`].
    pub fn read_sqlite(db: &Connection) -> Result<Self, RetentionError> {
        let is_readonly = db.is_readonly("main")?;
        let mut statement = db.prepare_cached(include_str!("../sql/sqlite/preflight_server.sql"))?;
        let (facts, clock) = statement.query_row([], |row| {
            let is_reader: bool = row.get("is_reader")?;
            let facts = Self {
                version: row.get("version")?,
                read_only: (is_readonly && !is_reader).then_some("the file can only be read"),
                durability: Durability::Sqlite {
                    journal_mode: row.get("journal_mode")?,
                    synchronous: row.get("synchronous")?,
                    page_size: row.get("page_size")?,
                    pages: row.get("pages")?,
                    free_pages: row.get("free_pages")?,
                },
                has_row_hash: false,
                clock: Timestamp::UNIX_EPOCH,
            };
            Ok((facts, row.get::<_, i64>("clock")?))
        })?;
        Ok(Self { clock: Timestamp::from_millisecond(clock).map_err(|_| unreadable_clock())?, ..facts })
    }
}

/// Checks what must be true of the database itself, whatever the rules are.
#[must_use]
pub fn check_server(server: &ServerFacts, intent: Intent) -> Findings {
    let mut findings = Findings::default();
    if let Some(why) = server.read_only {
        let what = format!("the database takes no writes: {why}");
        match intent {
            Intent::Preview => findings.notice(Code::ReadOnly, what),
            Intent::Run => findings.refuse(Code::ReadOnly, what, "run where the database can be written"),
        }
    }
    match &server.durability {
        Durability::Postgres { fsync, full_page_writes, synchronous_commit } => {
            for (name, is_on) in [("fsync", fsync), ("full_page_writes", full_page_writes)] {
                if !is_on {
                    let what = format!("{name} is off: a power failure may ruin the database, archived rows with it");
                    findings.notice(Code::Durability, what);
                }
            }
            if synchronous_commit == "off" {
                let what = "synchronous_commit is off: a crash may undo the last batches, whole ones only";
                findings.notice(Code::Durability, what.to_owned());
            }
        }
        Durability::Sqlite { journal_mode, synchronous, .. } => {
            // Without a journal an interrupted statement leaves what it did; a batch could not be undone.
            if journal_mode == "off" {
                findings.refuse(
                    Code::Durability,
                    "the journal mode is off: a batch that is interrupted could not be undone".to_owned(),
                    "pragma journal_mode = wal",
                );
            } else if journal_mode == "memory" {
                let what = "the journal is in memory: a crash of the program in a batch may ruin the file";
                findings.notice(Code::Durability, what.to_owned());
            }
            if *synchronous == 0 {
                let what = "synchronous is off: a power failure may ruin the file, archived rows with it";
                findings.notice(Code::Durability, what.to_owned());
            }
        }
    }
    findings
}

fn unreadable_clock() -> RetentionError {
    RetentionError::Refused("the clock of the database is outside of the years that can be counted".to_owned())
}
