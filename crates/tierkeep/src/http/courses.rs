//! A learner's course progress: put and deleted by what it is about.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use tierkeep_learning::key::{ContentId, CourseProgressId, UserId};
use tierkeep_learning::rows::ProgressRow;
use tierkeep_learning::session_change::FieldFault;
use tierkeep_learning::store::writes::{CourseWrite, Order, Outcome, Refusal};
use utoipa::ToSchema;

use super::App;
use super::docs::Id;
use super::error::{ApiError, Problem, refusal_problem};
use super::extract::{Learner, Parameters, in_path};
use super::fields::{Fields, Object, integer};
use super::idempotency::{Incoming, Kept};
use super::write_docs::CoursePut;

/// Longest name of a subject, in characters.
const LONGEST_SUBJECT: usize = 100;

/// Course progress as it was written.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Course {
    /// The row's id.
    #[schema(value_type = Id)]
    id: CourseProgressId,
    /// Whose.
    #[schema(value_type = Id)]
    user_id: UserId,
    /// In what.
    #[schema(value_type = Id)]
    content_id: ContentId,
    /// Name of the subject.
    subject_name: String,
    /// 0 to 100.
    proficiency_level: i32,
    /// Hours this week.
    learning_hour_week: i32,
    /// Hours in all.
    learning_hour_total: i32,
    /// Hours estimated until the end.
    #[schema(required)]
    est_finish_hour: Option<i32>,
    /// 1 to 10.
    difficulty: i32,
    /// When the row was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<&ProgressRow> for Course {
    fn from(row: &ProgressRow) -> Self {
        Self {
            id: row.id,
            user_id: row.user_id,
            content_id: row.content_id,
            subject_name: row.subject_name.clone(),
            proficiency_level: row.proficiency_level,
            learning_hour_week: row.learning_hour_week,
            learning_hour_total: row.learning_hour_total,
            est_finish_hour: row.est_finish_hour,
            difficulty: row.difficulty,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// The content that a path names.
#[derive(Debug)]
pub(super) struct Content(ContentId);

impl FromRequestParts<Arc<App>> for Content {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<App>) -> Result<Self, ApiError> {
        in_path(parts, state, "content_id").await.map(Self)
    }
}

/// Puts course progress
///
/// Of several rows about one content the one that counts is replaced. What is not named has its default.
#[utoipa::path(
    put, path = "/v1/users/{id}/courses/{content_id}", tag = "sessions",
    params(
        ("id" = Id, Path, description = "The learner's id"),
        ("content_id" = Id, Path, description = "The content's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters"),
    ),
    request_body = CoursePut,
    responses(
        (status = 200, body = Course, description = "It was replaced", headers(
            ("X-Tierkeep-Position" = u64, description = "Sent with a read, on any node, it makes the read see this write"),
        )),
        (status = 201, body = Course, description = "It was made"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(
    State(app): State<Arc<App>>,
    Learner(user): Learner,
    Content(content_id): Content,
    query: Parameters,
    incoming: Incoming,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    let user_id = app.known(user)?;
    let course = course(incoming.object()?, &app, user_id, content_id).map_err(Refusal::Fields)?;
    incoming.carry_out(&app, vec![Order::PutCourse(course)], answer).await
}

/// Deletes course progress
///
/// All rows about the content. Sessions that belong to it stay as they are.
#[utoipa::path(
    delete, path = "/v1/users/{id}/courses/{content_id}", tag = "sessions",
    params(
        ("id" = Id, Path, description = "The learner's id"),
        ("content_id" = Id, Path, description = "The content's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters"),
    ),
    responses(
        (status = 204, headers(
            ("X-Tierkeep-Position" = u64, description = "Sent with a read, on any node, it makes the read see this write"),
        )),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Learner(user): Learner,
    Content(content_id): Content,
    query: Parameters,
    incoming: Incoming,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    let user_id = app.known(user)?;
    incoming.carry_out(&app, vec![Order::DeleteCourse { user_id, content_id }], answer).await
}

fn answer(outcomes: &[Outcome]) -> Kept {
    match outcomes {
        [Outcome::CourseCreated(row)] => Kept::json(StatusCode::CREATED, &Course::from(row)),
        [Outcome::CourseReplaced(row)] => Kept::json(StatusCode::OK, &Course::from(row)),
        [Outcome::Refused(refusal)] => Kept::problem(&refusal_problem(refusal)),
        _ => Kept::nothing(),
    }
}

fn course(object: &Object, app: &App, user_id: UserId, content_id: ContentId) -> Result<CourseWrite, Vec<FieldFault>> {
    const NAMES: [&str; 6] = [
        "subject_name",
        "proficiency_level",
        "learning_hour_week",
        "learning_hour_total",
        "est_finish_hour",
        "difficulty",
    ];
    let mut fields = Fields::of(object, &NAMES);
    let most = i64::from(i32::MAX);
    let hours = "an integer from 0 to 2147483647, in hours";
    let course = CourseWrite {
        user_id,
        content_id,
        made: app.made_uuid(),
        subject_name: fields.text("subject_name", LONGEST_SUBJECT).unwrap_or_default(),
        proficiency_level: fields.read("proficiency_level", "an integer from 0 to 100", integer(0..=100)).unwrap_or(0),
        learning_hour_week: fields.read("learning_hour_week", hours, integer(0..=most)).unwrap_or(0),
        learning_hour_total: fields.read("learning_hour_total", hours, integer(0..=most)).unwrap_or(0),
        est_finish_hour: fields
            .nullable("est_finish_hour", "an integer from 1 to 2147483647, in hours", integer(1..=most))
            .flatten(),
        difficulty: fields.read("difficulty", "an integer from 1 to 10", integer(1..=10)).unwrap_or(1),
    };
    fields.finish(Some(course))
}
