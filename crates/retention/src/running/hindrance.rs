//! What others do that keeps a batch from being committed, and that passes.

use tokio_postgres::error::{DbError, SqlState};

use crate::error::RetentionError;

/// Whether a batch failed for what others do at this moment.
pub(crate) fn is_hindered(error: &RetentionError) -> bool {
    let states = [
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::QUERY_CANCELED,
        // a row came to the archive by another way while the batch began
        SqlState::UNIQUE_VIOLATION,
    ];
    if matches!(error, RetentionError::Database(tierkeep_db::Error::Busy { .. })) {
        return true;
    }
    // also below what a companion says
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<DbError>().is_some_and(|error| states.contains(error.code())) {
            return true;
        }
        cause = error.source();
    }
    false
}
