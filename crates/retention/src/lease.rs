//! Who works: at most one run on a database, on any number of nodes.
//!
//! One row, `tierkeep_retention`, says who has the lease, until when by the clock of the database, and how often it changed
//! hands (the *fence*). Each batch begins by an update of that row which names the fence, so a run whose lease has passed on
//! commits nothing more, however late it wakes up. Everything else here only decides how soon a lease may pass on:
//!
//! - **At once, if the holder is provably gone.** On PostgreSQL a holder keeps a session of its own, with an advisory lock, for
//!   as long as it lives: its process ended or was cut off when `pg_locks` does not have it any more. On SQLite it keeps an OS
//!   lock on an empty file beside the database, `NAME.db-retention`, which stays.
//! - **When its time is over, if it lives but stands still**: a paused process, a machine that is cut off from a database which
//!   does not know it yet. Whoever replaces it shows signs of life of its own; on SQLite it gets the file's lock when the
//!   former holder is gone.
//! - **Not while a batch is in flight**: the batch's transaction has the row locked, whether or not its client is still there.
//!   On PostgreSQL a batch whose client stands still is ended by the server (`idle_in_transaction_session_timeout`) after the
//!   time of a lease.
//!
//! # What is not proof
//!
//! Behind a pooler that lends a session per transaction (PgBouncer) the advisory lock stays with one of the pooler's sessions.
//! While the pooler keeps that session, only the lease's time counts; when it closes it, a holder that lives is taken for gone,
//! and its next batch is refused. The same if a network device cuts the holder's session while it is idle. At worst a run
//! ends early; two never work at once. On a file system without locks only the time counts, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tierkeep_db::Database;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::RetentionError;
use crate::error::RESET;
use postgres::Session;
use sqlite::{FileLock, Place};

mod postgres;
mod sqlite;

/// How long a lease lasts without a renewal. Each batch renews it and takes well below a second; what stands still for
/// thirty has stopped, or waits for something that another run would not wait for. It is also how long a paused run can
/// keep others out.
const LEASE: Duration = Duration::from_secs(30);

/// Between two looks of somebody who waits: soon enough for people, and nothing that a database notices.
const POLL: Duration = Duration::from_millis(250);

/// The right to work, until it is released, dropped or passed on.
///
/// It takes one connection of the pool for as long as it lives (PostgreSQL), so the pool must be allowed two or more.
///
/// # When it is dropped
///
/// A drop cannot wait for the database, so the row still names the holder; but its session is closed and its file's lock is
/// given up, so it counts as gone and the next one takes over at once. Batches that begin later are refused
/// ([`RetentionError::Fenced`]), one in flight may still commit. [`release`](Self::release) says goodbye properly.
#[derive(Debug)]
pub struct Hold {
    keeper: Keeper,
    life: Life,
}

/// What each batch asks for leave; cheap to clone, and only good while its [`Hold`] lives.
#[derive(Debug, Clone)]
pub struct Keeper {
    ticket: Arc<Ticket>,
}

/// What proves that the holder lives.
#[derive(Debug)]
enum Life {
    // Boxed: a connection is large, and the other one small.
    Postgres(Box<Session>),
    Sqlite(Place),
}

#[derive(Debug)]
struct Ticket {
    holder: String,
    fence: i64,
    given_up: AtomicBool,
    /// Absent on PostgreSQL.
    file: Option<Arc<FileLock>>,
}

/// What the row says.
#[derive(Debug)]
struct Seen {
    holder: String,
    stop: Option<String>,
    since: Option<i64>,
    until: Option<i64>,
}

impl Hold {
    /// Takes the lease, and waits for it up to `wait` if another run has it.
    ///
    /// The wait ends at once when `stop` is cancelled; one attempt is made in any case, which itself waits at most a
    /// quarter of a second for a batch in flight (PostgreSQL), or the busy time of the database for another writer (SQLite).
    /// If the future is dropped while the lease is being taken, it is as if the [`Hold`] had been dropped.
    ///
    /// # Errors
    ///
    /// [`RetentionError::Busy`] if another run still works then; [`RetentionError::Refused`] while the switch
    /// `tierkeep_retention.stop` is set; [`RetentionError::LockFile`] if the file beside an SQLite database cannot be made; what
    /// the database says.
    pub async fn take(db: &Database, wait: Duration, stop: &CancellationToken) -> Result<Self, RetentionError> {
        let life = match db {
            Database::Postgres(pool) => Life::Postgres(Box::new(Session::open(pool).await?)),
            Database::Sqlite(file) => Life::Sqlite(Place::open(file).await?),
        };
        Self::wait_for(life, wait, stop).await
    }

    async fn wait_for(mut life: Life, wait: Duration, stop: &CancellationToken) -> Result<Self, RetentionError> {
        let name = format!("process {}", std::process::id());
        let began = Instant::now();
        loop {
            if let Some((holder, fence)) = life.try_take(&name).await? {
                let ticket = Ticket { holder, fence, given_up: AtomicBool::new(false), file: life.file() };
                return Ok(Self { keeper: Keeper { ticket: Arc::new(ticket) }, life });
            }
            let seen = life.look().await?;
            if let Some(reason) = seen.stop {
                return Err(RetentionError::Refused(format!(
                    "retention is switched off in table tierkeep_retention: {reason}; to allow runs again: {RESET}"
                )));
            }
            let waited = began.elapsed();
            let left = wait.saturating_sub(waited);
            if left.is_zero() || stop.is_cancelled() {
                return Err(seen.busy(waited));
            }
            tokio::select! {
                () = stop.cancelled() => return Err(seen.busy(began.elapsed())),
                () = tokio::time::sleep(left.min(POLL)) => {}
            }
        }
    }

    /// Returns what batches ask for leave.
    #[must_use]
    pub fn keeper(&self) -> Keeper {
        self.keeper.clone()
    }

    /// Renews the lease, for long work between batches: at least every ten seconds.
    ///
    /// It waits for a batch of this run that is in flight; batches renew it by themselves. On PostgreSQL it goes through the
    /// holder's own session, so that it also fails if that is lost. After a failure the run must end: it cannot
    /// know who has the lease.
    ///
    /// # Errors
    ///
    /// [`RetentionError::Fenced`], [`RetentionError::Stopped`]; [`RetentionError::Silent`] if there is no answer in time; what
    /// the database says.
    pub async fn renew(&self) -> Result<(), RetentionError> {
        let renewal = async {
            match &self.life {
                Life::Postgres(session) => postgres::keep(session.client(), &self.keeper.ticket).await,
                Life::Sqlite(place) => {
                    let keeper = self.keeper();
                    place.db().write(move |tx| keeper.ticket.keep_sqlite(tx)).await
                }
            }
        };
        let kept = tokio::time::timeout(LEASE, renewal).await;
        kept.map_err(|_| RetentionError::Silent { waited: LEASE })?
    }

    /// Does something that takes longer than a lease, and keeps it meanwhile.
    ///
    /// # Errors
    ///
    /// Those of the work, and of [`renew`](Self::renew), which end the work where it stands.
    pub async fn while_renewing<T>(
        &self,
        work: impl Future<Output = Result<T, RetentionError>>,
    ) -> Result<T, RetentionError> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(LEASE / 3) => self.renew().await?,
            }
        }
    }

    /// Gives the lease back.
    ///
    /// # Errors
    ///
    /// [`RetentionError::Fenced`] if it had passed on; [`RetentionError::Silent`] and what the database says if it could not be
    /// told. The session is closed and the file's lock given up all the same, so nobody has to wait.
    pub async fn release(self) -> Result<(), RetentionError> {
        let ticket = Arc::clone(&self.keeper.ticket);
        let release = async {
            match &self.life {
                Life::Postgres(session) => postgres::release(session.client(), &ticket).await,
                Life::Sqlite(place) => {
                    let ticket = Arc::clone(&ticket);
                    place.db().write(move |tx| sqlite::release(tx, &ticket)).await
                }
            }
        };
        let released = tokio::time::timeout(LEASE, release).await;
        released.map_err(|_| RetentionError::Silent { waited: LEASE })?
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.keeper.ticket.given_up.store(true, Ordering::Release);
    }
}

impl Keeper {
    /// Asks for leave to commit this transaction, and renews the lease: the first statement of every batch.
    ///
    /// One update, which keeps the row locked until the transaction ends: nobody takes the lease over before that. If it
    /// fails the transaction must not be committed. Unless the session has a limit of its own, it also makes the server
    /// end this transaction if its client stands still for the time of a lease.
    ///
    /// # Errors
    ///
    /// [`RetentionError::Fenced`] if the lease has passed on or the [`Hold`] was dropped; [`RetentionError::Stopped`] if the
    /// switch is set; what the database says.
    pub async fn keep_postgres(&self, tx: &tokio_postgres::Transaction<'_>) -> Result<(), RetentionError> {
        postgres::keep(tx.client(), &self.ticket).await
    }

    /// As [`keep_postgres`](Self::keep_postgres), on SQLite, where the write lock stands for the row's.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn keep_sqlite(&self, tx: &rusqlite::Transaction<'_>) -> Result<(), RetentionError> {
        self.ticket.keep_sqlite(tx)
    }

    /// As [`keep_postgres`](Self::keep_postgres), also if the switch is set: a run that was stopped says so.
    pub(crate) async fn check_postgres(&self, tx: &tokio_postgres::Transaction<'_>) -> Result<(), RetentionError> {
        postgres::check(tx.client(), &self.ticket).await.map(drop)
    }

    pub(crate) fn check_sqlite(&self, tx: &rusqlite::Transaction<'_>) -> Result<(), RetentionError> {
        sqlite::check(tx, &self.ticket).map(drop)
    }

    pub(crate) fn fence(&self) -> i64 {
        self.ticket.fence
    }
}

impl Life {
    async fn try_take(&mut self, name: &str) -> Result<Option<(String, i64)>, RetentionError> {
        match self {
            Self::Postgres(session) => session.try_take(name).await,
            Self::Sqlite(place) => place.try_take(name).await,
        }
    }

    async fn look(&self) -> Result<Seen, RetentionError> {
        let seen = match self {
            Self::Postgres(session) => session.look().await?,
            Self::Sqlite(place) => place.look().await?,
        };
        seen.ok_or_else(|| RetentionError::Unreadable {
            place: "table tierkeep_retention".to_owned(),
            why: "it has no row; to give it one: insert into tierkeep_retention default values".to_owned(),
        })
    }

    fn file(&self) -> Option<Arc<FileLock>> {
        match self {
            Self::Postgres(_) => None,
            Self::Sqlite(place) => Some(place.file()),
        }
    }
}

impl Ticket {
    fn keep_sqlite(&self, tx: &rusqlite::Transaction<'_>) -> Result<(), RetentionError> {
        stopped(sqlite::check(tx, self)?)
    }

    /// Whether the hold was dropped: its transactions are refused without asking.
    fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }
}

fn stopped(stop: Option<String>) -> Result<(), RetentionError> {
    stop.map_or(Ok(()), |reason| Err(RetentionError::Stopped(reason)))
}

fn microseconds(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

impl Seen {
    fn busy(self, waited: Duration) -> RetentionError {
        let instant = |microseconds: Option<i64>| Timestamp::from_microsecond(microseconds?).ok();
        let holder = if self.holder.is_empty() {
            "a transaction that has the row of tierkeep_retention locked".to_owned()
        } else {
            self.holder
        };
        RetentionError::Busy { holder, since: instant(self.since), until: instant(self.until), waited }
    }
}
