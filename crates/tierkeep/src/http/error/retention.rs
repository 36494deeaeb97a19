//! What the client is told of retention.

use tierkeep_retention::RetentionError;

use super::kinds::KINDS;
use super::{Problem, problem};

/// The problem that an error of a run is, if it is no failure.
pub(super) fn retention_problem(error: &RetentionError) -> Option<Problem> {
    let kind = match error {
        RetentionError::Busy { .. } => KINDS.run_under_way,
        RetentionError::Refused(_) | RetentionError::Stopped(_) | RetentionError::Fenced => KINDS.retention_refused,
        RetentionError::UnknownRun(_) => KINDS.unknown_run,
        _ => return None,
    };
    Some(problem(kind, error.to_string()))
}
