//! A task: what it is called, when it is due, and what happens when it fails.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::tz::TimeZone;
use thiserror::Error;

use crate::{Missed, Timing};

/// What a task is called: 1 to 64 lower-case ASCII letters, digits and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskName(String);

impl TaskName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no name of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no name of a task; accepted: 1 to 64 lower-case letters, digits and '-'")]
pub struct TaskNameError;

impl FromStr for TaskName {
    type Err = TaskNameError;

    fn from_str(text: &str) -> Result<Self, TaskNameError> {
        let is_known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=64).contains(&text.len()) && text.bytes().all(is_known) {
            Ok(Self(text.to_owned()))
        } else {
            Err(TaskNameError)
        }
    }
}

/// What happens after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Further attempts after the first, 0 to 10.
    pub at_most: u32,
    /// The pause before the first of them; each further one doubles it. 1 s to 1 d.
    pub first_pause: Duration,
}

impl Default for Retries {
    /// Three, after 60, 120 and 240 seconds.
    fn default() -> Self {
        Self { at_most: 3, first_pause: Duration::from_secs(60) }
    }
}

impl Retries {
    /// The pause after a failed attempt (1 = the first); `None` = it was the last.
    #[must_use]
    pub fn pause_after(&self, attempt: u32) -> Option<Duration> {
        (1..=self.at_most).contains(&attempt).then(|| self.first_pause.saturating_mul(1 << (attempt - 1).min(20)))
    }
}

/// A task as it is configured.
#[derive(Debug, Clone)]
pub struct Task {
    /// What it is called.
    pub name: TaskName,
    /// When it is due.
    pub timing: Timing,
    /// In which zone.
    pub zone: TimeZone,
    /// What becomes of missed runs.
    pub missed: Missed,
    /// A run begins up to this long after it is due, by chance.
    pub jitter: Duration,
    /// What happens when it fails.
    pub retries: Retries,
    /// An attempt that takes longer is asked to stop.
    pub time_limit: Duration,
    /// Whether it is on, as long as nobody has switched it ([`Scheduler::set_enabled`](crate::Scheduler::set_enabled)): from then
    /// on the database says whether it is.
    pub is_enabled: bool,
}
