//! What the client is told of the schedule.

use tierkeep_schedule::ScheduleError;

use super::kinds::KINDS;
use super::{INSIDE, Problem, problem};

/// The problem that an error of the schedule is.
pub(super) fn schedule_problem(error: &ScheduleError) -> Problem {
    match error {
        ScheduleError::UnknownTask { given, accepted } => Problem {
            parameter: Some("name".to_owned()),
            given: Some(super::clip(given)),
            accepted: Some(accepted.clone()),
            ..problem(KINDS.unknown_task, format!("there is no task {:?}; accepted: {accepted}", super::clip(given)))
        },
        ScheduleError::Busy { .. } => problem(KINDS.run_under_way, error.to_string()),
        ScheduleError::Database(error) if super::is_outage_of_database(error) => {
            problem(KINDS.unavailable, "the database cannot be reached; try again later".to_owned())
        }
        _ => problem(KINDS.internal, INSIDE.to_owned()),
    }
}
