//! What proves that a node lives, so that it need not be waited for when it does not.
//!
//! On PostgreSQL a node that works keeps a session with an advisory lock: its process ended or was cut off when `pg_locks`
//! does not have it any more. On SQLite it keeps an OS lock on an empty file beside the database, one for each task,
//! `NAME.db-task-TASK`, which stays. Where there is no proof (a file system without locks, a pooler between) only the lease's
//! time counts; where a proof is lost though the node lives, its next transaction is refused by the fence. Two never write.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tierkeep_db::{Connection, Database, Error, Pool, SqliteDatabase};
use tokio_postgres::types::Type;

use crate::TaskName;

/// The proof of a node for as long as anything works on it.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    session: Mutex<Option<Arc<Session>>>,
}

/// What one attempt shows.
#[derive(Debug)]
pub(crate) enum Proof {
    Session(Arc<Presence>),
    /// None: the file could not be made.
    File(Option<LockFile>),
}

impl Proof {
    /// What is stored as the session.
    pub(crate) fn show(&self) -> Option<i64> {
        match self {
            Self::Session(presence) => presence.number(),
            Self::File(file) => file.as_ref().is_some_and(LockFile::is_ours).then_some(1),
        }
    }
}

impl Presence {
    /// Opens the session if it is not open. One at a time calls this.
    pub(crate) async fn show(&self, pool: &Pool) {
        if self.number().is_some() {
            return;
        }
        let session = match Session::open(pool).await {
            Ok(session) => Some(Arc::new(session)),
            Err(error) => {
                tracing::debug!(%error, "nothing proves that this node lives but its leases");
                None
            }
        };
        *self.current() = session;
    }

    pub(crate) fn leave(&self) {
        *self.current() = None;
    }

    fn number(&self) -> Option<i64> {
        let current = self.current();
        let session = current.as_ref()?;
        (!session.connection.as_ref()?.is_closed()).then_some(session.number)
    }

    /// No code that holds this lock can panic, so a poisoned one is as good as new.
    fn current(&self) -> std::sync::MutexGuard<'_, Option<Arc<Session>>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Session {
    /// Present until it is dropped.
    connection: Option<Connection>,
    number: i64,
}

impl Session {
    async fn open(pool: &Pool) -> Result<Self, Error> {
        // A server that closes idle sessions would take the node for gone. The setting is of PostgreSQL 14.
        const SHOW: &str = "select pg_backend_pid()::bigint, pg_try_advisory_lock(1953198947, pg_backend_pid()),
            case when current_setting('idle_session_timeout', true) is not null
                then set_config('idle_session_timeout', '0', false) end";
        let mut session = Self { connection: Some(pool.get().await?), number: 0 };
        let none: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 0] = [];
        if let Some(connection) = &session.connection {
            let rows = connection.query_typed(SHOW, &none).await?;
            session.number = rows.first().map_or(0, |row| row.get(0));
        }
        Ok(session)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It has a lock and a setting of its own: it is not lent again.
        if let Some(connection) = self.connection.take() {
            connection.discard();
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("number", &self.number).finish_non_exhaustive()
    }
}

/// The file of a task. The system gives its lock up when the process ends, in whichever way.
#[derive(Debug)]
pub(crate) struct LockFile {
    file: File,
    is_ours: Mutex<bool>,
}

impl LockFile {
    /// Opens the file of a task, and locks it if nobody has it locked.
    pub(crate) async fn open(db: &SqliteDatabase, task: &TaskName) -> Option<Self> {
        let (db, task) = (db.path().to_owned(), task.to_string());
        let opened = tokio::task::spawn_blocking(move || {
            // Under whichever name the database was opened.
            let mut path = db.canonicalize()?.into_os_string();
            path.push(format!("-task-{task}"));
            // Never truncated, written or removed: a file that is removed is another file to whoever comes next.
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(PathBuf::from(path))?;
            let file = Self { file, is_ours: Mutex::new(false) };
            file.is_ours();
            Ok::<_, std::io::Error>(file)
        });
        match opened.await {
            Ok(Ok(file)) => Some(file),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the file of a task cannot be made");
                None
            }
            Err(_) => None,
        }
    }

    /// Whether the lock is ours now: also that of one who stood still and has gone since.
    pub(crate) fn is_ours(&self) -> bool {
        let mut is_ours = self.is_ours.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_ours {
            match self.file.try_lock() {
                Ok(()) => *is_ours = true,
                Err(TryLockError::WouldBlock) => {}
                // A file system without locks.
                Err(TryLockError::Error(error)) => tracing::debug!(%error, "the file of a task cannot be locked"),
            }
        }
        *is_ours
    }
}

/// What an attempt at a task would show, before it is taken.
pub(crate) async fn prove(db: &Database, presence: &Arc<Presence>, task: &TaskName) -> Proof {
    match db {
        Database::Postgres(pool) => {
            presence.show(pool).await;
            Proof::Session(Arc::clone(presence))
        }
        Database::Sqlite(file) => Proof::File(LockFile::open(file, task).await),
    }
}
