//! Whole rows of the three tables, as they are imported and listed.
//!
//! A row here fits its columns; it need not be valid (contract, section 2: data as bad as a platform's must fit).

use jiff::Timestamp;
use serde::Serialize;

use crate::estimator::Estimator;
use crate::key::{ContentId, CourseProgressId, Key, SessionId, UserId};

/// A row of `users`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// The learner's key.
    pub id: UserId,
    /// E-mail address; never shown or logged.
    pub email: String,
    /// Name to sign in with.
    pub username: String,
    /// Whether the account is in use.
    pub is_active: bool,
    /// Last sign-in.
    pub last_login: Option<Timestamp>,
    /// When the account was made.
    pub created_at: Timestamp,
    /// IANA zone name; `None` = the installation's zone.
    pub time_zone: Option<String>,
}

/// A row of `course_progress`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressRow {
    /// The row's key.
    pub id: CourseProgressId,
    /// Whose progress.
    pub user_id: UserId,
    /// In what.
    pub content_id: ContentId,
    /// Name of the subject.
    pub subject_name: String,
    /// 0 to 100.
    pub proficiency_level: i32,
    /// Hours this week.
    pub learning_hour_week: i32,
    /// Hours in all.
    pub learning_hour_total: i32,
    /// Hours estimated until the end.
    pub est_finish_hour: Option<i32>,
    /// 1 to 10.
    pub difficulty: i32,
    /// When the row was made.
    pub created_at: Timestamp,
    /// When it last changed; the newest row of a content counts.
    pub updated_at: Timestamp,
}

/// A row of `study_sessions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionRow {
    /// The session's key.
    pub id: SessionId,
    /// Whose session.
    pub user_id: UserId,
    /// The course it belongs to.
    pub course_progress_id: Option<CourseProgressId>,
    /// When it began.
    pub start_time: Timestamp,
    /// When it ended.
    pub end_time: Option<Timestamp>,
    /// Minutes studied.
    pub duration_minutes: i32,
    /// 1 to 5 when valid.
    pub effectiveness_rating: Option<i16>,
    /// Focus score in hundredths, 0 to 100 when valid; shown as a decimal.
    #[serde(rename = "focus_score", serialize_with = "hundredths_as_decimal")]
    pub focus_hundredths: Option<i16>,
    /// Breaks taken.
    pub break_count: i16,
    /// Whether the session is open.
    pub is_active: bool,
    /// Where.
    pub learning_environment: String,
    /// On what.
    pub device_type: String,
    /// Which subject; empty = none.
    pub subject_category: String,
    /// What was covered.
    pub content_covered: String,
    /// The learner's notes.
    pub notes: String,
    /// When the row was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// The platform's goal.
    pub goal_id: Option<Key>,
    /// The platform's learning plan.
    pub learning_plan_id: Option<Key>,
    /// The rule that inferred this session; `None` for a recorded one.
    pub estimator: Option<Estimator>,
}

fn hundredths_as_decimal<S: serde::Serializer>(focus: &Option<i16>, serializer: S) -> Result<S::Ok, S::Error> {
    focus.map(|hundredths| f64::from(hundredths) / 100.0).serialize(serializer)
}
