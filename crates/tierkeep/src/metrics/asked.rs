//! What only the database knows, and is the same on all nodes: the schedule, what waits, and how much is stored. It is asked
//! when somebody looks, and seldom.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tierkeep_learning::store::{Queues, Store, TableSize};
use tierkeep_schedule::{Scheduler, TaskState};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::chain::Chain;

/// Longest time that who looks waits for the database.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest time for one question, also when nobody waits for its answer any more.
const LIMIT: Duration = Duration::from_secs(60);

/// How often something is asked, and how long an answer is told of when newer ones do not come.
#[derive(Debug, Clone, Copy)]
struct Pace {
    every: Duration,
    keep: Duration,
}

/// An old answer says rightly how long ago a run was last done: who waits for the next one should hear of that all the more
/// while the database is away.
const SCHEDULE: Pace = Pace { every: Duration::from_secs(15), keep: Duration::from_secs(24 * 3600) };
const QUEUES: Pace = Pace { every: Duration::from_secs(15), keep: Duration::from_secs(120) };
const SIZES_POSTGRES: Pace = Pace { every: Duration::from_secs(300), keep: Duration::from_secs(3600) };
/// Every page of the file is looked at.
const SIZES_SQLITE: Pace = Pace { every: Duration::from_secs(900), keep: Duration::from_secs(3600) };

/// The answers of the database, and the questions under way.
#[derive(Debug, Default)]
pub struct Asked {
    schedule: Answer<Schedule>,
    queues: Answer<Queues>,
    sizes: Answer<Vec<TableSize>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What the database has told; `None` where it is not known.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(super) schedule: Option<Schedule>,
    pub(super) queues: Option<Queues>,
    pub(super) sizes: Option<Vec<TableSize>>,
}

/// The tasks, by the clock of the database.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    pub(super) now: Timestamp,
    pub(super) tasks: Vec<TaskState>,
}

impl Asked {
    /// What is known at this moment. Asks the database for what is due to be asked, and waits up to 2 s for it: a slow answer
    /// is found by who looks next.
    pub(crate) async fn read(&self, store: &Arc<dyn Store>, scheduler: Option<&Arc<Scheduler>>) -> Told {
        if store.is_read_only() {
            return Told::default();
        }
        let sizes = if store.pool_status().is_some() { SIZES_POSTGRES } else { SIZES_SQLITE };
        let schedule = async {
            let scheduler = scheduler?;
            self.ask(&self.schedule, SCHEDULE, schedule(Arc::clone(store), Arc::clone(scheduler))).await
        };
        let queues = self.ask(&self.queues, QUEUES, {
            let store = Arc::clone(store);
            async move { store.queues().await.map_err(|error| Chain(&error).to_string()) }
        });
        let sizes = self.ask(&self.sizes, sizes, {
            let store = Arc::clone(store);
            async move { store.table_sizes().await.map_err(|error| Chain(&error).to_string()) }
        });
        let (schedule, queues, sizes) = tokio::join!(schedule, queues, sizes);
        let since = |(age, schedule): (Duration, Schedule)| {
            let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
            Schedule { now: schedule.now.saturating_add(age).unwrap_or(schedule.now), ..schedule }
        };
        Told {
            schedule: schedule.map(since),
            queues: queues.map(|(_, queues)| queues),
            sizes: sizes.map(|(_, sizes)| sizes),
        }
    }

    /// The last answer and its age, after the question was asked again if it is time to.
    async fn ask<T: Clone + Send + 'static>(
        &self,
        answer: &Answer<T>,
        pace: Pace,
        asking: impl Future<Output = Result<T, String>> + Send + 'static,
    ) -> Option<(Duration, T)> {
        if answer.is_due(pace) {
            let (answer, stop) = (answer.clone(), self.stop.clone());
            let working = self.tasks.spawn(async move {
                let told = tokio::select! {
                    biased;
                    () = stop.cancelled() => Err("the node ends".to_owned()),
                    told = tokio::time::timeout(LIMIT, asking) => told.unwrap_or_else(|_| Err("it takes too long".to_owned())),
                };
                answer.note(told);
            });
            // it goes on, whether or not somebody waits
            let _ = tokio::time::timeout(PATIENCE, working).await;
        }
        answer.read(pace)
    }

    /// Gives up what is asked, and waits for its end.
    pub(crate) async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn schedule(store: Arc<dyn Store>, scheduler: Arc<Scheduler>) -> Result<Schedule, String> {
    let tasks = scheduler.tasks().await.map_err(|error| Chain(&error).to_string())?;
    let now = store.database_now().await.map_err(|error| Chain(&error).to_string())?;
    Ok(Schedule { now, tasks })
}

/// The last answer to one question.
#[derive(Debug)]
struct Answer<T>(Arc<Mutex<Known<T>>>);

#[derive(Debug)]
struct Known<T> {
    asked: Option<Instant>,
    is_asking: bool,
    told: Option<(Instant, T)>,
}

impl<T> Default for Answer<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Known { asked: None, is_asking: false, told: None })))
    }
}

impl<T> Clone for Answer<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Clone> Answer<T> {
    /// Whether it is to be asked again: by who is told so.
    fn is_due(&self, pace: Pace) -> bool {
        let mut known = self.known();
        // one whose task panicked is not waited for forever
        let pause = if known.is_asking { pace.every.max(2 * LIMIT) } else { pace.every };
        let is_due = known.asked.is_none_or(|asked| asked.elapsed() >= pause);
        if is_due {
            known.asked = Some(Instant::now());
            known.is_asking = true;
        }
        is_due
    }

    fn note(&self, told: Result<T, String>) {
        let mut known = self.known();
        known.is_asking = false;
        match told {
            Ok(told) => known.told = Some((Instant::now(), told)),
            Err(error) => tracing::debug!(error, "a measure of the database is not known"),
        }
    }

    fn read(&self, pace: Pace) -> Option<(Duration, T)> {
        let known = self.known();
        let (at, told) = known.told.as_ref()?;
        let age = at.elapsed();
        (age <= pace.keep).then(|| (age, told.clone()))
    }

    fn known(&self) -> MutexGuard<'_, Known<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const PACE: Pace = Pace { every: Duration::from_secs(15), keep: Duration::from_secs(120) };

    async fn one(questions: &Arc<AtomicU32>) -> Result<u32, String> {
        Ok(questions.fetch_add(1, Ordering::Relaxed) + 1)
    }

    #[tokio::test(start_paused = true)]
    async fn who_looks_often_asks_seldom() {
        let (asked, answer, questions) = (Asked::default(), Answer::default(), Arc::new(AtomicU32::new(0)));
        let look = || {
            let questions = Arc::clone(&questions);
            asked.ask(&answer, PACE, async move { one(&questions).await })
        };

        for _ in 0..30 {
            assert_eq!(look().await.map(|(_, told)| told), Some(1));
            tokio::time::advance(Duration::from_millis(400)).await;
        }

        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(look().await, Some((Duration::ZERO, 2)));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_two_seconds_and_the_next_one_finds_the_answer() {
        let (asked, answer) = (Asked::default(), Answer::default());
        let slow = || async {
            tokio::time::sleep(Duration::from_secs(50)).await;
            Ok(7)
        };
        let began = Instant::now();

        assert_eq!(asked.ask(&answer, PACE, slow()).await, None);
        assert_eq!(began.elapsed(), PATIENCE);
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(asked.ask(&answer, PACE, slow()).await, None, "it is being asked: nobody waits, nobody asks again");
        assert_eq!(began.elapsed(), PATIENCE + Duration::from_secs(20));
        tokio::time::advance(Duration::from_secs(40)).await;
        asked.tasks.close();
        asked.tasks.wait().await;

        assert_eq!(answer.read(PACE).map(|(_, told)| told), Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_outlives_failures_for_a_while() {
        let (asked, answer) = (Asked::default(), Answer::default());
        asked.ask(&answer, PACE, async { Ok(7) }).await;
        let fail = || async { Err("away".to_owned()) };

        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!(asked.ask(&answer, PACE, fail()).await, Some((Duration::from_secs(100), 7)));
        tokio::time::advance(Duration::from_secs(21)).await;
        assert_eq!(asked.ask(&answer, PACE, fail()).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_does_not_wait_for_answers() {
        let (asked, answer) = (Asked::default(), Answer::<u32>::default());
        assert_eq!(asked.ask(&answer, PACE, std::future::pending()).await, None);
        let began = Instant::now();

        asked.close().await;

        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
