//! What a task does.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use tierkeep_db::Fence;
use tokio_util::sync::CancellationToken;

use crate::{RunId, TaskName};

/// One attempt at a run, as the job that does it sees it.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskName,
    /// The instant it runs for; of a run that somebody asked for, when that was.
    pub due: Timestamp,
    /// 1 = the first attempt.
    pub number: u32,
    /// What transactions of this attempt check: it is overtaken when they cannot hold it.
    pub fence: Fence,
    /// Cancelled when the attempt is to end at the next safe point: the node ends, the time is over, or the lease is lost.
    pub stop: CancellationToken,
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// It may succeed when it is tried again.
    #[error("{0}")]
    Failed(String),
    /// Trying again would not help: a guard has refused it.
    #[error("{0}")]
    Refused(String),
    /// It was asked to stop, and what is left is for another attempt: on another node at once, if this one ends.
    #[error("stopped before it was done")]
    Stopped,
}

/// Something that is done at times.
#[async_trait]
pub trait Job: Send + Sync {
    /// Does it, and returns what is kept in the history (at most 64 KiB of JSON).
    ///
    /// # Errors
    /// [`JobError`]; a panic counts as [`JobError::Failed`].
    async fn run(&self, attempt: &Attempt) -> Result<Value, JobError>;
}
