//! What the last computations cost that were long enough to make somebody wait: whoever was slow finds here why, also
//! where it waited for somebody else's computation.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tierkeep_learning::store::{Basis, Effort};

use super::slow::Subject;

/// Computations that are remembered. Who waits for one looks when it ends, so few are enough.
const REMEMBERED: usize = 64;

/// A computation that has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) subject: Subject,
    pub(super) ended: Instant,
    pub(super) took: Duration,
    pub(super) effort: Effort,
    /// `None` where it failed.
    pub(super) basis: Option<Basis>,
}

/// The last ones.
#[derive(Debug, Default)]
pub(super) struct Loads(Mutex<VecDeque<Load>>);

impl Loads {
    pub(super) fn remember(&self, load: Load) {
        let mut loads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if loads.len() == REMEMBERED {
            loads.pop_front();
        }
        loads.push_back(load);
    }

    /// The longest about a subject of those that ended after somebody began to wait.
    pub(super) fn since(&self, subject: Subject, began: Instant) -> Option<Load> {
        let loads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let matching = loads.iter().filter(|load| load.subject.is_about(subject) && load.ended >= began);
        matching.max_by_key(|load| load.took).copied()
    }
}
