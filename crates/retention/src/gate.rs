//! Between batches: what others need is looked at all the while, and the next batch waits, or is smaller, if it would harm.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tierkeep_db::Pool;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::database::Database;
use crate::engine::Order;
use crate::error::RetentionError;
use crate::lease::Hold;
use crate::pace::Share;
use crate::running::{Session, Stop};
use crate::stop_sign::Ending;
use crate::throttle::{Reading, Source, Throttle, Verdict, Watched, health_postgres, health_sqlite};

/// Time between two looks. Who waits for a lock is seen only while a batch holds it, so it is looked beside the batches.
const LOOKS: Duration = Duration::from_millis(500);

/// What keeps a run from harming others.
pub(crate) struct Gate {
    readings: watch::Receiver<Vec<Reading>>,
    looking: JoinHandle<()>,
    throttle: Throttle,
    /// Share of the rows that a batch may have at the moment.
    share: Share,
    lock_wait: LockWait,
    held_back: Option<Instant>,
}

/// How long the last batch waited for the write lock, in milliseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct LockWait(Arc<AtomicU64>);

impl Gate {
    /// Begins to look, and has looked once.
    pub(crate) async fn open(
        db: &Database,
        session: &Session,
        order: &Order,
        tables: Vec<String>,
    ) -> Result<Self, RetentionError> {
        let lock_wait = LockWait::default();
        let (sender, mut readings) = watch::channel(Vec::new());
        let (looking, sources): (_, &[Source]) = match (db, session) {
            (Database::Postgres(pool), Session::Postgres(session)) => {
                let own: i32 = session.query_typed_one("select pg_backend_pid()", &[]).await?.try_get(0)?;
                let watched = Watched { tables, own_sessions: vec![own] };
                (tokio::spawn(look_at_postgres(pool.clone(), watched, sender)), &Source::POSTGRES)
            }
            (Database::Sqlite(file), _) => {
                let (file, waited) = (file.clone(), lock_wait.clone());
                let looking = async move {
                    loop {
                        let readings = health_sqlite(&file, waited.last()).await;
                        if sender.send(readings).is_err() {
                            return;
                        }
                        tokio::time::sleep(LOOKS).await;
                    }
                };
                (tokio::spawn(looking), &Source::SQLITE)
            }
            (Database::Postgres(_), Session::Sqlite(_)) => {
                return Err(RetentionError::Mismatch("a session of another database".to_owned()));
            }
        };
        // a look has a limit of its own, and tells what it could not see
        let _ = readings.changed().await;
        let throttle = Throttle::new(order.throttle.clone(), sources);
        Ok(Self { readings, looking, throttle, share: Share::ALL, lock_wait, held_back: None })
    }

    /// Waits until a batch may begin, or ends.
    pub(crate) async fn pass(&mut self, order: &Order, hold: &Hold) -> Result<(), Stop> {
        loop {
            let readings = self.readings.borrow().clone();
            match self.throttle.decide(Instant::now(), &readings).verdict {
                Verdict::Stop { reason, retry } => {
                    let since = *self.held_back.get_or_insert_with(Instant::now);
                    if since.elapsed() >= order.throttle.patience {
                        return Err(Stop::Ending(Ending::Throttled(reason)));
                    }
                    order.observer.waiting(reason.word());
                    hold.renew().await?;
                    match order.stop.rest(order.now(), retry).await {
                        Some(Ending::Budget) => return Err(Stop::Ending(Ending::Throttled(reason))),
                        Some(ending) => return Err(Stop::Ending(ending)),
                        None => {}
                    }
                }
                verdict => {
                    self.held_back = None;
                    self.share = verdict.share().unwrap_or(Share::LEAST);
                    return Ok(());
                }
            }
        }
    }

    /// Rows of the next batch.
    pub(crate) fn rows(&self, rows: NonZeroU32) -> NonZeroU32 {
        self.share.of_rows(rows)
    }

    /// Where a batch notes how long it waited for the write lock.
    pub(crate) fn lock_wait(&self) -> LockWait {
        self.lock_wait.clone()
    }
}

impl LockWait {
    pub(crate) fn note(&self, time: Duration) {
        self.0.store(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn last(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

async fn look_at_postgres(pool: Pool, watched: Watched, sender: watch::Sender<Vec<Reading>>) {
    while sender.send(health_postgres(&pool, &watched).await).is_ok() {
        tokio::time::sleep(LOOKS).await;
    }
}
