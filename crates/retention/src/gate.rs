//! Between batches: what others need is looked at all the while, and the next batch waits, or is smaller, if it would harm.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tierkeep_db::{Database, Pool};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

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

/// How long the last batch waited for the write lock, and when that was.
#[derive(Debug, Clone, Default)]
pub(crate) struct LockWait(Arc<Mutex<Option<(Duration, Instant)>>>);

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
                        let readings = health_sqlite(&file, waited.left()).await;
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
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((time, Instant::now()));
    }

    /// What is left of that wait if as long as it lasted is left to others now. Without an end it would hold the run back for
    /// ever: only a batch could find a shorter one.
    fn left(&self) -> Duration {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.map_or(Duration::ZERO, |(waited, at)| waited.saturating_sub(at.elapsed()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_for_the_write_lock_holds_back_for_as_long_as_it_lasted() {
        let wait = LockWait::default();
        assert_eq!(wait.left(), Duration::ZERO);

        wait.note(Duration::from_secs(3));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(wait.left(), Duration::from_secs(2));
        tokio::time::advance(Duration::from_secs(5)).await;

        assert_eq!(wait.left(), Duration::ZERO, "the next batch may begin");
    }
}
