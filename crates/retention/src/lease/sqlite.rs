//! The lease on SQLite.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension as _, Transaction};
use tierkeep_db::{Error, SqliteDatabase};

use super::{LEASE, Seen, Ticket, microseconds};
use crate::RetentionError;

/// What the name of the database gets for the file.
const SUFFIX: &str = "-retention";

/// The database and the file beside it. Dropping it gives up the file's lock.
#[derive(Debug)]
pub(super) struct Place {
    db: SqliteDatabase,
    file: Arc<FileLock>,
}

/// The file whose lock says that a holder lives. The system gives it up when the process ends, in whichever way.
#[derive(Debug)]
pub(super) struct FileLock {
    file: File,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    Ours,
    /// For good: a batch that comes late must not lock it again.
    GivenUp,
}

impl Place {
    pub(super) async fn open(db: &SqliteDatabase) -> Result<Self, RetentionError> {
        let path = beside(db.path());
        let opened = tokio::task::spawn_blocking(move || {
            let path = path.map_err(|(path, source)| RetentionError::LockFile { path, source })?;
            // Never truncated, written or removed: a file that is removed is another file to whoever comes next.
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
            file.map_err(|source| RetentionError::LockFile { path, source })
        });
        let file = opened.await.expect("opening a file does not panic")?;
        let file = Arc::new(FileLock { file, state: Mutex::new(State::Free) });
        Ok(Self { db: db.clone(), file })
    }

    pub(super) fn db(&self) -> &SqliteDatabase {
        &self.db
    }

    pub(super) fn file(&self) -> Arc<FileLock> {
        Arc::clone(&self.file)
    }

    /// Holder and fence if it was taken.
    pub(super) async fn try_take(&self, name: &str) -> Result<Option<(String, i64)>, RetentionError> {
        let file = self.file();
        let name = name.to_owned();
        let taken = self
            .db
            .write(move |tx| {
                if file.is_given_up() {
                    // Nobody waits for it any more.
                    return Ok(None);
                }
                let is_ours = file.try_lock();
                let taken = tx
                    .query_row(
                        include_str!("../sql/sqlite/lease_take.sql"),
                        (&name, microseconds(LEASE), is_ours),
                        |row| Ok((row.get(0)?, row.get(1)?)),
                    )
                    .optional()?;
                Ok(taken)
            })
            .await;
        let taken = match taken {
            // A transaction of another process, perhaps the batch of a former holder.
            Err(RetentionError::Database(Error::Busy { .. })) => None,
            taken => taken?,
        };
        if taken.is_none() {
            // It belongs to whoever has the lease.
            self.file.unlock(State::Free);
        }
        Ok(taken)
    }

    pub(super) async fn look(&self) -> Result<Option<Seen>, RetentionError> {
        self.db.read(look).await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.file.unlock(State::GivenUp);
    }
}

impl FileLock {
    /// Whether the lock is ours now.
    fn try_lock(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state == State::Free {
            match self.file.try_lock() {
                Ok(()) => *state = State::Ours,
                Err(TryLockError::WouldBlock) => {}
                // A file system without locks: then only the lease's time counts.
                Err(TryLockError::Error(error)) => {
                    tracing::debug!(%error, "the file of the retention lease cannot be locked");
                }
            }
        }
        *state == State::Ours
    }

    fn is_given_up(&self) -> bool {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) == State::GivenUp
    }

    fn unlock(&self, next: State) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state == State::Ours {
            // If it cannot be unlocked, closing the file does.
            let _ = self.file.unlock();
        }
        *state = next;
    }
}

/// The file beside the database, under whichever name that was opened.
fn beside(db: &Path) -> Result<PathBuf, (PathBuf, std::io::Error)> {
    let mut name = db.canonicalize().map_err(|error| (db.to_owned(), error))?.into_os_string();
    name.push(SUFFIX);
    Ok(name.into())
}

fn look(connection: &mut Connection) -> Result<Option<Seen>, RetentionError> {
    let seen = connection
        .query_row(include_str!("../sql/sqlite/lease_look.sql"), [], |row| {
            Ok(Seen { holder: row.get(0)?, stop: row.get(1)?, since: row.get(2)?, until: row.get(3)? })
        })
        .optional()?;
    Ok(seen)
}

/// Renews the lease; what the switch says.
pub(super) fn check(tx: &Transaction<'_>, ticket: &Ticket) -> Result<Option<String>, RetentionError> {
    if ticket.is_given_up() {
        return Err(RetentionError::Fenced);
    }
    let is_ours = ticket.file.as_ref().is_some_and(|file| file.try_lock());
    let stop = tx
        .prepare_cached(include_str!("../sql/sqlite/lease_keep.sql"))?
        .query_row((ticket.fence, &ticket.holder, microseconds(LEASE), is_ours), |row| row.get(0))
        .optional()?;
    if stop.is_none()
        && let Some(file) = &ticket.file
    {
        // It belongs to the one who has the lease now.
        file.unlock(State::GivenUp);
    }
    stop.ok_or(RetentionError::Fenced)
}

pub(super) fn release(tx: &Transaction<'_>, ticket: &Ticket) -> Result<(), RetentionError> {
    match tx.execute(include_str!("../sql/sqlite/lease_release.sql"), (ticket.fence, &ticket.holder))? {
        0 => Err(RetentionError::Fenced),
        _ => Ok(()),
    }
}
