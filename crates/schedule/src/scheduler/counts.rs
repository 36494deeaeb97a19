//! What ended on this node, for whoever measures.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::{RunEntry, RunState, TaskName};

/// What ended on this node since it started, of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskCounts {
    /// The task.
    pub name: TaskName,
    /// Runs that are done.
    pub done: u64,
    /// Runs whose last attempt failed.
    pub failed: u64,
    /// Runs that a guard refused.
    pub refused: u64,
    /// Attempts that are to be followed by another one, because they failed or were stopped.
    pub put_off: u64,
    /// Attempts whose run passed to another node.
    pub overtaken: u64,
    /// What all attempts took.
    pub took: Duration,
    /// How long after it could have begun the last attempt did.
    pub lag: Duration,
}

/// The counts of all tasks.
#[derive(Debug)]
pub(crate) struct Counts(Mutex<Vec<TaskCounts>>);

impl Counts {
    pub(crate) fn new(names: impl IntoIterator<Item = TaskName>) -> Self {
        let none = |name| TaskCounts {
            name,
            done: 0,
            failed: 0,
            refused: 0,
            put_off: 0,
            overtaken: 0,
            took: Duration::ZERO,
            lag: Duration::ZERO,
        };
        Self(Mutex::new(names.into_iter().map(none).collect()))
    }

    pub(crate) fn all(&self) -> Vec<TaskCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn began(&self, task: &TaskName, lag: Duration) {
        self.change(task, |counts| counts.lag = lag);
    }

    /// `took`: absent for a run that nobody on this node worked at.
    pub(crate) fn ended(&self, task: &TaskName, took: Option<Duration>, entry: Option<&RunEntry>) {
        self.change(task, |counts| {
            counts.took = counts.took.saturating_add(took.unwrap_or_default());
            let count = match entry.map(|entry| entry.state) {
                Some(RunState::Done) => &mut counts.done,
                Some(RunState::Failed) => &mut counts.failed,
                Some(RunState::Refused) => &mut counts.refused,
                Some(RunState::Waiting | RunState::Works) => &mut counts.put_off,
                None => &mut counts.overtaken,
            };
            *count += 1;
        });
    }

    /// No code that holds this lock can panic, so a poisoned one is as good as new.
    fn change(&self, task: &TaskName, change: impl FnOnce(&mut TaskCounts)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = all.iter_mut().find(|counts| counts.name == *task) {
            change(counts);
        }
    }
}
