//! Computing what is going to be asked before anybody asks: after a change, what this node was lately asked about the
//! learner who changed.
//!
//! It keeps its own record of what is asked ([`Hot`]) beside that of [`learned`](super::learned): this one finds what was
//! asked about one learner at once, however rarely that was, as the last hour had it; that one weighs keys against each
//! other, forgets those that are light, and has no place to look a learner up.
//!
//! It is told of a change when the feed is, so by then the change is committed and the node knows its position, which is
//! claimed before anything is read: what is computed here is fenced as every other computation.

mod debounce;
mod hot;

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tierkeep_learning::key::UserId;
use tierkeep_learning::store::Changes;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::debounce::Debounce;
use self::hot::Hot;
use super::question::Question;
use crate::config::Warmup as Options;

/// Learners that wait for their turn at most.
const QUEUED: usize = 10_000;

/// How one answer's warm-up ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Warmed {
    /// It is there.
    Yes,
    /// It would not have been kept.
    NotNow,
    /// It could not be computed.
    Failed,
}

/// What the warm-up has done since the node started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WarmupCounts {
    /// Learners whose turn was set; those that were waiting already are not counted again.
    pub queued: u64,
    /// Answers that were brought into the tiers, or were there.
    pub done: u64,
    /// Learners that gave way because too many waited, and answers that would not have been kept.
    pub dropped: u64,
    /// Answers that could not be computed.
    pub failed: u64,
    /// Learners that wait for their turn now.
    pub waiting: usize,
}

/// What is hot, and whose turn it is.
#[derive(Debug)]
pub(super) struct Warmup {
    options: Options,
    hot: Hot,
    queue: Mutex<Debounce<UserId>>,
    wake: Notify,
    queued: AtomicU64,
    done: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl Warmup {
    /// Where answers are shared with other nodes each node waits a little less than `delay`, but not the same time: the
    /// first one computes, and the others find it in Redis.
    pub(super) fn new(options: Options, is_shared: bool) -> Self {
        let delay = if is_shared { options.delay.mul_f64(own_share()) } else { options.delay };
        let options = Options { delay, ..options };
        Self {
            options,
            hot: Hot::new(),
            queue: Mutex::new(Debounce::new(options.delay, QUEUED)),
            wake: Notify::new(),
            queued: AtomicU64::new(0),
            done: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    fn is_on(&self) -> bool {
        self.options.concurrency > 0
    }

    /// A question was answered from memory.
    #[inline]
    pub(super) fn hit(&self, question: Question) {
        if self.is_on() {
            self.hot.sample(question);
        }
    }

    /// A question was answered by another tier than memory.
    pub(super) fn missed(&self, question: Question) {
        if self.is_on() {
            self.hot.record(question, Instant::now());
        }
    }

    /// Changes were told, and this node knows their position.
    pub(super) fn changed(&self, changes: &Changes) {
        if !self.is_on() {
            return;
        }
        if changes.everybody.is_some() {
            self.everybody_changed();
        } else {
            self.note(changes.learners.iter().map(|(user, _)| *user));
        }
    }

    /// Anything of anybody may have changed.
    pub(super) fn everybody_changed(&self) {
        if self.is_on() {
            self.note(self.hot.learners());
        }
    }

    fn note(&self, users: impl IntoIterator<Item = UserId>) {
        let now = Instant::now();
        for user in users {
            if !self.hot.contains(user, now) {
                continue;
            }
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let before = queue.len();
            let displaced = queue.note(user, now).is_some();
            if displaced {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
            if displaced || queue.len() > before {
                self.queued.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.wake.notify_one();
    }

    /// Warms until `stop`: so many answers at once, so many a second, as the options say.
    pub(super) async fn work<W, F>(&self, warm: W, stop: CancellationToken)
    where
        W: Fn(Question) -> F,
        F: Future<Output = Warmed> + Send + 'static,
    {
        if !self.is_on() {
            return;
        }
        let mut running = JoinSet::new();
        let working = async {
            let mut next_start = Instant::now();
            loop {
                for question in self.turn(&mut running).await {
                    tokio::time::sleep_until(next_start).await;
                    while running.len() >= self.options.concurrency {
                        self.ended(running.join_next().await);
                    }
                    next_start = Instant::now() + Duration::from_secs(1) / self.options.rate;
                    running.spawn(warm(question));
                }
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = working => {}
        }
        running.shutdown().await;
    }

    /// Waits for the next turn; what is hot of the learner whose it is.
    async fn turn(&self, running: &mut JoinSet<Warmed>) -> Vec<Question> {
        loop {
            let now = Instant::now();
            let (user, next) = {
                let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                (queue.take(now), queue.next())
            };
            if let Some(user) = user {
                return self.hot.questions(user, now);
            }
            let due = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(ended) = running.join_next(), if !running.is_empty() => self.ended(Some(ended)),
                () = self.wake.notified() => {}
                () = due => {}
            }
        }
    }

    fn ended(&self, ended: Option<Result<Warmed, JoinError>>) {
        let count = match ended {
            None => return,
            Some(Ok(Warmed::Yes)) => &self.done,
            Some(Ok(Warmed::NotNow)) => &self.dropped,
            Some(Ok(Warmed::Failed) | Err(_)) => &self.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> WarmupCounts {
        WarmupCounts {
            queued: self.queued.load(Ordering::Relaxed),
            done: self.done.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            waiting: self.queue.lock().unwrap_or_else(PoisonError::into_inner).len(),
        }
    }
}

/// A number from 0.9 to 1, another one on each node.
fn own_share() -> f64 {
    1.0 - f64::from(RandomState::new().hash_one("warmup") as u8) / 2550.0
}

#[cfg(test)]
mod tests;
