//! Faults for tests: wrappers that make a remote tier or a bus late, deaf, forgetful or dead.
//!
//! Each node gets its own wrapper of the one tier that all share, and the test switches the wrapper's faults while
//! the node runs. Chance comes from the wrapper's seed and time from tokio, so under tokio's paused clock one seed
//! gives one course of events.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use tierkeep_cache::remote::InProcess;
//! use tierkeep_cache::testing::{CallFaults, FaultyRemote};
//! use tierkeep_cache::{Cache, Clock};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?.block_on(async {
//! let remote = Arc::new(InProcess::new(Clock::simulated(Duration::ZERO)));
//! let faulty = Arc::new(FaultyRemote::new(remote, 7));
//! let cache = Cache::builder("shop").remote(faulty.clone()).build()?;
//! let prices = cache.view::<u64, Vec<u8>>("prices").codec(tierkeep_cache::RawBytes).build()?;
//!
//! faulty.set(CallFaults { black_hole: true, ..CallFaults::default() });
//! assert!(!prices.invalidate(&7).await.is_complete());
//!
//! faulty.set(CallFaults::default());
//! assert!(prices.invalidate(&7).await.is_complete());
//! # Ok::<_, tierkeep_cache::BuildError>(()) })?;
//! # Ok(()) }
//! ```

mod bus;
mod remote;

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::entropy::Entropy;

pub use bus::{DeliveryFaults, FaultyBus};
pub use remote::FaultyRemote;

/// What happens to the calls that a node makes. Chances are percent; 100 and more is always.
///
/// The default is no fault at all: no delay either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallFaults {
    /// A call takes effect after any time up to this.
    pub before: Duration,
    /// Its answer arrives after any time up to this from then on.
    pub after: Duration,
    /// How many calls fail at once, without effect.
    pub refused_percent: u8,
    /// How many take effect and lose their answer: the caller is told that they timed out.
    pub lost_answer_percent: u8,
    /// How many take effect only after their caller was told that they timed out, by any time up to `limit`.
    pub overtaken_percent: u8,
    /// No call takes effect; all time out.
    pub black_hole: bool,
    /// After this time a call whose answer will not come has timed out.
    pub limit: Duration,
}

impl Default for CallFaults {
    fn default() -> Self {
        Self {
            before: Duration::ZERO,
            after: Duration::ZERO,
            refused_percent: 0,
            lost_answer_percent: 0,
            overtaken_percent: 0,
            black_hole: false,
            limit: Duration::from_millis(500),
        }
    }
}

/// How often a wrapper did what, so that a test can tell that it tested something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Injected {
    /// Calls that went through, late perhaps.
    pub passed: u64,
    /// Calls that failed at once.
    pub refused: u64,
    /// Calls that took effect without an answer.
    pub lost_answers: u64,
    /// Calls that took effect after their caller had given up.
    pub overtaken: u64,
    /// Calls that went into a black hole.
    pub black_holed: u64,
    /// Messages that were delivered.
    pub delivered: u64,
    /// Messages that were lost, those lost to a deaf node included.
    pub lost_messages: u64,
    /// Messages that were delivered twice.
    pub duplicates: u64,
    /// Messages that arrived before one that was sent earlier.
    pub reordered: u64,
    /// Subscriptions that were cut.
    pub cuts: u64,
}

/// The line between a node and what all nodes share.
#[derive(Debug)]
struct Line {
    entropy: Entropy,
    state: Mutex<LineState>,
}

#[derive(Debug, Default)]
struct LineState {
    faults: CallFaults,
    injected: Injected,
    crashed: bool,
}

enum Fate {
    Passes,
    Refused,
    AnswerLost,
    Overtaken,
    Swallowed,
}

impl Line {
    fn new(seed: u64) -> Self {
        Self { entropy: Entropy::seeded(seed), state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, LineState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, faults: CallFaults) {
        self.lock().faults = faults;
    }

    fn count(&self, count: impl FnOnce(&mut Injected)) {
        count(&mut self.lock().injected);
    }

    fn up_to(&self, most: Duration) -> Duration {
        Duration::from_millis(self.entropy.below(most.as_millis() as u64 + 1))
    }

    fn chance(&self, percent: u8) -> bool {
        self.entropy.below(100) < u64::from(percent)
    }

    /// Waits for ever once the node has crashed: nothing that it began goes on.
    async fn unless_crashed(&self) {
        if self.lock().crashed {
            std::future::pending::<()>().await;
        }
    }

    fn fate(&self) -> (CallFaults, Fate) {
        let faults = self.lock().faults;
        // Each is drawn, whether it matters or not: a switch of one fault moves no other.
        let refused = self.chance(faults.refused_percent);
        let lost = self.chance(faults.lost_answer_percent);
        let overtaken = self.chance(faults.overtaken_percent);
        let mut state = self.lock();
        let injected = &mut state.injected;
        let (counter, fate) = if faults.black_hole {
            (&mut injected.black_holed, Fate::Swallowed)
        } else if refused {
            (&mut injected.refused, Fate::Refused)
        } else if overtaken {
            (&mut injected.overtaken, Fate::Overtaken)
        } else if lost {
            (&mut injected.lost_answers, Fate::AnswerLost)
        } else {
            (&mut injected.passed, Fate::Passes)
        };
        *counter += 1;
        (faults, fate)
    }

    /// Makes a call, or what is left of it. `Err` tells how it failed on the way.
    async fn carry<T, E>(&self, call: impl Future<Output = Result<T, E>> + Send + 'static) -> Result<Result<T, E>, Lost>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        self.unless_crashed().await;
        let (faults, fate) = self.fate();
        let (before, after) = (self.up_to(faults.before), self.up_to(faults.after));
        let late = self.up_to(faults.limit);
        tokio::time::sleep(before).await;
        self.unless_crashed().await;
        let timed_out = Err(Lost::TimedOut(faults.limit));
        let answer = match fate {
            Fate::Refused => Err(Lost::Refused),
            Fate::Swallowed => {
                tokio::time::sleep(faults.limit).await;
                timed_out
            }
            Fate::Overtaken => {
                // It lies in a queue, out of its caller's reach.
                tokio::spawn(async move {
                    tokio::time::sleep(faults.limit + late).await;
                    drop(call.await);
                });
                tokio::time::sleep(faults.limit).await;
                timed_out
            }
            Fate::AnswerLost => {
                drop(call.await);
                tokio::time::sleep(faults.limit).await;
                timed_out
            }
            Fate::Passes => {
                let answer = call.await;
                tokio::time::sleep(after).await;
                Ok(answer)
            }
        };
        self.unless_crashed().await;
        answer
    }
}

/// How a call failed before it reached what it was for, or after.
#[derive(Clone, Copy, Debug)]
enum Lost {
    Refused,
    TimedOut(Duration),
}
