//! Transactions that only move rows, on SQLite: a row that the triggers look for and that nobody else sees.

use rusqlite::{Connection, Transaction};

use super::exists;
use crate::feed::Feed;

pub(super) const TABLE: &str = "tierkeep_feed_quiet";
/// A condition of every trigger on a source.
pub(super) const UNLESS_QUIET: &str = "not exists (select 1 from tierkeep_feed_quiet)";

const BEGIN: &str = "insert into tierkeep_feed_quiet (only_row) values (1)";
const END: &str = "update tierkeep_feed_quiet set is_over = 1; delete from tierkeep_feed_quiet";
/// A row that is deleted while it is not over notes "everything".
const END_LEFT: &str = "update tierkeep_feed_quiet set is_over = 0; delete from tierkeep_feed_quiet";

impl Feed {
    /// On SQLite, runs `moves` without noting what it does to watched tables: for rows that change their place, and nothing
    /// that anybody derives from them.
    ///
    /// Before and after it in the same transaction all is noted, and so is what others write. Where no feed is installed it
    /// only runs `moves`. Called within `moves` it adds an "everything", and the rest of the outer one is noted.
    ///
    /// The transaction is to be rolled back if this fails. Should a mark of silence be committed, nobody's writes are noted
    /// until it is gone: polls say [`Broken`](crate::feed::FeedHealth::Broken), and whoever prunes, installs or moves next
    /// takes it away and adds an "everything".
    ///
    /// # Errors
    ///
    /// Those of `moves`, and what SQLite refuses.
    pub fn quietly_sqlite<T, E: From<rusqlite::Error>>(
        tx: &Transaction<'_>,
        moves: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        if !exists(tx, TABLE)? {
            return moves(tx);
        }
        end_left(tx)?;
        tx.execute(BEGIN, [])?;
        let moved = moves(tx);
        // An error like that of a full disk has rolled back the whole transaction.
        let ended = if tx.is_autocommit() { Ok(()) } else { tx.execute_batch(END) };
        let moved = moved?;
        ended?;
        Ok(moved)
    }
}

/// What a poll says of a row that it sees.
pub(super) fn problem(db: &Connection) -> rusqlite::Result<Option<String>> {
    let is_quiet: bool =
        db.prepare_cached("select exists (select 1 from tierkeep_feed_quiet)")?.query_row([], |row| row.get(0))?;
    Ok(is_quiet.then(|| "a row was left in tierkeep_feed_quiet, so nothing is noted; install it again".to_owned()))
}

/// Takes away a row that was left, and notes "everything" for it.
pub(super) fn end_left(tx: &Connection) -> rusqlite::Result<()> {
    if exists(tx, TABLE)? && problem(tx)?.is_some() {
        tx.execute_batch(END_LEFT)?;
    }
    Ok(())
}
