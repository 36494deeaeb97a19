//! How a warm-up went.

use std::fmt;
use std::time::Duration;

use crate::error::LoadError;

/// How it went with one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Brought {
    Loaded,
    AlreadyThere,
    Failed(String),
    /// Too many loads were waiting, another node is at it, or it was invalidated all the time.
    Skipped,
    /// The cache was closed.
    Closed,
}

impl Brought {
    pub(crate) fn of_error<E: fmt::Display>(error: Option<LoadError<E>>) -> Self {
        match error {
            None | Some(LoadError::Overloaded) => Self::Skipped,
            Some(LoadError::Closed) => Self::Closed,
            Some(error) => Self::Failed(error.to_string()),
        }
    }
}

/// Why a warm-up ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// All keys had their turn.
    Whole,
    /// It was cancelled, or the cache was closed; keys that had begun were brought to their end.
    Cancelled,
    /// Its time was over.
    DeadlineOver,
    /// Its source gave nothing but errors; this is the last one.
    SourceFailed(String),
}

/// What a warm-up did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WarmupReport {
    /// Keys whose loader was called.
    pub loaded: u64,
    /// Keys that memory had, that the remote tier had, or that somebody was loading.
    pub already_there: u64,
    /// Keys whose loader failed, and errors of the source.
    pub failed: u64,
    /// Keys that were left out: too many loads were waiting, or another node was at it.
    pub skipped: u64,
    /// From its beginning to its end.
    pub took: Duration,
    /// Why it ended.
    pub ended: Ended,
    /// What the last failure said.
    pub last_failure: Option<String>,
}

impl WarmupReport {
    pub(super) fn empty() -> Self {
        Self {
            loaded: 0,
            already_there: 0,
            failed: 0,
            skipped: 0,
            took: Duration::ZERO,
            ended: Ended::Whole,
            last_failure: None,
        }
    }

    /// Keys that had their turn.
    pub fn keys(&self) -> u64 {
        self.loaded + self.already_there + self.failed + self.skipped
    }

    pub(super) fn add(&mut self, brought: Brought) {
        match brought {
            Brought::Loaded => self.loaded += 1,
            Brought::AlreadyThere => self.already_there += 1,
            Brought::Skipped => self.skipped += 1,
            Brought::Closed => {
                self.skipped += 1;
                self.ended = Ended::Cancelled;
            }
            Brought::Failed(why) => {
                self.failed += 1;
                self.last_failure = Some(why);
            }
        }
    }
}

/// How far a warm-up is; given to its observer after each key or batch.
#[derive(Debug)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// The job's name.
    pub job: &'a str,
    /// What it did so far.
    pub so_far: &'a WarmupReport,
}
