//! Runs and tasks as the database knows them.

use std::fmt;
use std::str::FromStr as _;

use jiff::Timestamp;
use serde_json::Value;

use crate::TaskName;
use crate::rows::Row;

/// The number of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(i64);

impl RunId {
    pub(crate) fn new(number: i64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunState {
    /// It waits for its instant, or for the next attempt.
    Waiting,
    /// A node does it.
    Works,
    /// It is done.
    Done,
    /// Its last attempt failed.
    Failed,
    /// A guard has refused it.
    Refused,
}

impl RunState {
    /// As it stands in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Works => "works",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }

    fn read(text: &str) -> Option<Self> {
        let all = [Self::Waiting, Self::Works, Self::Done, Self::Failed, Self::Refused];
        all.into_iter().find(|state| state.as_str() == text)
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A run in the history.
#[derive(Debug, Clone)]
pub struct RunEntry {
    /// Its number.
    pub id: RunId,
    /// Its task.
    pub task: TaskName,
    /// The instant it ran for.
    pub due: Timestamp,
    /// Whether somebody asked for it.
    pub is_asked_for: bool,
    /// How it stands.
    pub state: RunState,
    /// Attempts so far.
    pub attempts: u32,
    /// When its last attempt began.
    pub started_at: Option<Timestamp>,
    /// When that ended.
    pub ended_at: Option<Timestamp>,
    /// Who did it.
    pub node: Option<String>,
    /// What it told.
    pub output: Option<Value>,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

impl RunEntry {
    /// A row with the columns of `run_one.sql`; none if it is of a task, or in a state, that this program cannot name.
    pub(crate) fn read(row: &Row) -> Option<Self> {
        Some(Self {
            id: RunId(row.int(0)?),
            task: TaskName::from_str(row.text(1)?).ok()?,
            due: instant(row.int(2)?),
            is_asked_for: row.flag(3),
            state: RunState::read(row.text(4)?)?,
            attempts: u32::try_from(row.number(5)).unwrap_or(u32::MAX),
            started_at: row.int(6).map(instant),
            ended_at: row.int(7).map(instant),
            node: row.text(8).map(str::to_owned),
            output: row.text(9).and_then(|text| serde_json::from_str(text).ok()),
            error: row.text(10).map(str::to_owned),
        })
    }
}

/// A task as the database knows it.
#[derive(Debug, Clone)]
pub struct TaskState {
    /// What it is called.
    pub name: TaskName,
    /// When it is due, as text.
    pub timing: String,
    /// In which zone.
    pub zone: String,
    /// Whether it is on.
    pub is_enabled: bool,
    /// When it is due next; `None`: never, or it is off.
    pub next_at: Option<Timestamp>,
    /// Its last run that ended.
    pub last: Option<RunEntry>,
    /// When a run of it was last done.
    pub succeeded_at: Option<Timestamp>,
    /// Runs since then that failed.
    pub failures: u64,
    /// Its run that works now.
    pub works: Option<RunEntry>,
}

/// An instant of the database; one beyond the calendar is its end.
pub(crate) fn instant(microseconds: i64) -> Timestamp {
    let end = if microseconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_microsecond(microseconds).unwrap_or(end)
}
