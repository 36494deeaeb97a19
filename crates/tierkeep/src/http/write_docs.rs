//! Shapes of the bodies that writes take; they are read field by field, so that everything wrong is told at once.

use utoipa::ToSchema;

use super::docs::Id;

/// A session to be made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) struct SessionCreate {
    /// An id of the client's choice; default: one is made.
    #[schema(value_type = Option<Id>)]
    id: Option<()>,
    /// Whose session.
    user_id: Id,
    /// When it began, with its offset from UTC.
    #[schema(value_type = String, format = DateTime, example = "2026-01-31T08:00:00Z")]
    start_time: (),
    #[serde(flatten)]
    rest: SessionFields,
}

/// What changes of a session: a JSON merge patch.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) struct SessionPatch {
    /// When it began, with its offset from UTC.
    #[schema(value_type = Option<String>, format = DateTime)]
    start_time: Option<()>,
    #[serde(flatten)]
    rest: SessionFields,
}

/// What may be said of a session.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) struct SessionFields {
    /// The course it belongs to, one of the learner's.
    #[schema(value_type = Option<Id>)]
    course_progress_id: Option<()>,
    /// When it ended, not before it began; null = it has not.
    #[schema(value_type = Option<String>, format = DateTime)]
    end_time: Option<()>,
    /// Minutes studied. With an end: the whole minutes elapsed, or nothing, which is the same. Without one: 0 by default.
    #[schema(minimum = 0)]
    duration_minutes: Option<i32>,
    /// How effective it was.
    #[schema(minimum = 1, maximum = 5)]
    effectiveness_rating: Option<u8>,
    /// How focused, with at most two decimals.
    #[schema(minimum = 0, maximum = 1)]
    focus_score: Option<f64>,
    /// Breaks taken.
    #[schema(minimum = 0, maximum = 32767)]
    break_count: Option<i16>,
    /// Whether the session is open; by default it is without an end, and it cannot be with one.
    is_active: Option<bool>,
    /// home, library, cafe, classroom, online, other.
    learning_environment: Option<String>,
    /// mobile, tablet, laptop, desktop, other.
    device_type: Option<String>,
    /// Which subject.
    #[schema(max_length = 100)]
    subject_category: Option<String>,
    /// What was covered.
    content_covered: Option<String>,
    /// The learner's notes.
    notes: Option<String>,
    /// The platform's goal.
    #[schema(value_type = Option<Id>)]
    goal_id: Option<()>,
    /// The platform's learning plan.
    #[schema(value_type = Option<Id>)]
    learning_plan_id: Option<()>,
}

/// How a session ended.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) struct SessionCompletion {
    /// When; default: now.
    #[schema(value_type = Option<String>, format = DateTime)]
    end_time: Option<()>,
    /// How effective it was.
    #[schema(minimum = 1, maximum = 5)]
    effectiveness_rating: Option<u8>,
    /// How focused, with at most two decimals.
    #[schema(minimum = 0, maximum = 1)]
    focus_score: Option<f64>,
}

/// Sessions to be made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) struct SessionBatch {
    /// At most 1000.
    #[schema(max_items = 1000)]
    sessions: Vec<SessionCreate>,
}

/// Course progress to be put.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is used")]
pub(super) struct CoursePut {
    /// Name of the subject; default: empty.
    #[schema(max_length = 100)]
    subject_name: Option<String>,
    /// Default: 0.
    #[schema(minimum = 0, maximum = 100)]
    proficiency_level: Option<i32>,
    /// Hours this week; default: 0.
    #[schema(minimum = 0)]
    learning_hour_week: Option<i32>,
    /// Hours in all; default: 0.
    #[schema(minimum = 0)]
    learning_hour_total: Option<i32>,
    /// Hours estimated until the end; default: null.
    #[schema(minimum = 1)]
    est_finish_hour: Option<i32>,
    /// Default: 1.
    #[schema(minimum = 1, maximum = 10)]
    difficulty: Option<i32>,
}
