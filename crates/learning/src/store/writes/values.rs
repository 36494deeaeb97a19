//! A row's values by the names of their columns, for statements whose columns are known at run time only.

use jiff::Timestamp;

use crate::key::{CourseProgressId, Key};
use crate::rows::{ProgressRow, SessionRow};

/// A value that is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Value<'a> {
    Null,
    Key(Key),
    Text(&'a str),
    Integer(i64),
    Boolean(bool),
    Instant(Timestamp),
    Hundredths(i16),
}

fn optional<'a, T>(value: Option<T>, wrap: impl FnOnce(T) -> Value<'a>) -> Value<'a> {
    value.map_or(Value::Null, wrap)
}

/// Columns of a session that change, by their canonical names; its id and learner and when it was made do not.
pub(super) const SESSION_CHANGES: [&str; 16] = [
    "course_progress_id",
    "start_time",
    "end_time",
    "duration_minutes",
    "effectiveness_rating",
    "focus_score",
    "break_count",
    "is_active",
    "learning_environment",
    "device_type",
    "subject_category",
    "content_covered",
    "notes",
    "updated_at",
    "goal_id",
    "learning_plan_id",
];

/// Columns of a session that do not change.
pub(super) const SESSION_KEPT: [&str; 3] = ["id", "user_id", "created_at"];

/// Columns of course progress that are replaced.
pub(super) const PROGRESS_CHANGES: [&str; 7] = [
    "subject_name",
    "proficiency_level",
    "learning_hour_week",
    "learning_hour_total",
    "est_finish_hour",
    "difficulty",
    "updated_at",
];

/// Columns of course progress that are not.
pub(super) const PROGRESS_KEPT: [&str; 4] = ["id", "user_id", "content_id", "created_at"];

/// The value of a column of a session.
///
/// # Panics
/// For a name that is no column of a session.
pub(in crate::store) fn session_value<'a>(row: &'a SessionRow, column: &str) -> Value<'a> {
    match column {
        "id" => Value::Key(row.id.key()),
        "user_id" => Value::Key(row.user_id.key()),
        "course_progress_id" => optional(row.course_progress_id.map(CourseProgressId::key), Value::Key),
        "start_time" => Value::Instant(row.start_time),
        "end_time" => optional(row.end_time, Value::Instant),
        "duration_minutes" => Value::Integer(row.duration_minutes.into()),
        "effectiveness_rating" => optional(row.effectiveness_rating.map(i64::from), Value::Integer),
        "focus_score" => optional(row.focus_hundredths, Value::Hundredths),
        "break_count" => Value::Integer(row.break_count.into()),
        "is_active" => Value::Boolean(row.is_active),
        "learning_environment" => Value::Text(&row.learning_environment),
        "device_type" => Value::Text(&row.device_type),
        "subject_category" => Value::Text(&row.subject_category),
        "content_covered" => Value::Text(&row.content_covered),
        "notes" => Value::Text(&row.notes),
        "created_at" => Value::Instant(row.created_at),
        "updated_at" => Value::Instant(row.updated_at),
        "goal_id" => optional(row.goal_id, Value::Key),
        "learning_plan_id" => optional(row.learning_plan_id, Value::Key),
        other => unreachable!("{other} is no column of a session"),
    }
}

/// The value of a column of course progress.
///
/// # Panics
/// For a name that is no column of course progress.
pub(in crate::store) fn progress_value<'a>(row: &'a ProgressRow, column: &str) -> Value<'a> {
    match column {
        "id" => Value::Key(row.id.key()),
        "user_id" => Value::Key(row.user_id.key()),
        "content_id" => Value::Key(row.content_id.key()),
        "subject_name" => Value::Text(&row.subject_name),
        "proficiency_level" => Value::Integer(row.proficiency_level.into()),
        "learning_hour_week" => Value::Integer(row.learning_hour_week.into()),
        "learning_hour_total" => Value::Integer(row.learning_hour_total.into()),
        "est_finish_hour" => optional(row.est_finish_hour.map(i64::from), Value::Integer),
        "difficulty" => Value::Integer(row.difficulty.into()),
        "created_at" => Value::Instant(row.created_at),
        "updated_at" => Value::Instant(row.updated_at),
        other => unreachable!("{other} is no column of course progress"),
    }
}
