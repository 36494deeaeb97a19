//! Lists, page by page: the learners, and the sessions of one.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tierkeep_db::{Cursor, Page, PageSize};
use tierkeep_learning::estimator::Estimator;
use tierkeep_learning::instant;
use tierkeep_learning::key::{CourseProgressId, Key, SessionId, UserId};
use tierkeep_learning::rows::UserRow;
use tierkeep_learning::service::ServiceError;
use tierkeep_learning::store::{ListedSession, SessionPlace};
use utoipa::ToSchema;

use super::docs::{Id, PageOf};
use super::error::{ApiError, BadParameter, Fault, Problem, clip};
use super::extract::{Learner, Limit, Parameters};
use super::position::Asked;
use super::{App, json};

/// A learner in a list. The e-mail address is never shown.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct User {
    /// The learner's id.
    #[schema(value_type = Id)]
    id: UserId,
    /// The name to sign in with.
    username: String,
    /// Whether the account is in use.
    is_active: bool,
    /// IANA zone; null = the installation's.
    #[schema(required)]
    time_zone: Option<String>,
}

/// A session in a list, as stored: it need not be valid.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Session {
    /// The session's id.
    #[schema(value_type = Id)]
    id: SessionId,
    /// Whose session.
    #[schema(value_type = Id)]
    user_id: UserId,
    /// The course it belongs to.
    #[schema(value_type = Option<Id>, required)]
    course_progress_id: Option<CourseProgressId>,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    start_time: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    end_time: Option<Timestamp>,
    /// Minutes studied.
    duration_minutes: i32,
    /// 1 to 5 when valid.
    #[schema(required)]
    effectiveness_rating: Option<i16>,
    /// 0 to 1 when valid.
    #[schema(required)]
    focus_score: Option<f64>,
    /// Breaks taken.
    break_count: i16,
    /// Whether the session is open.
    is_active: bool,
    /// Where.
    learning_environment: String,
    /// On what.
    device_type: String,
    /// Which subject; empty = none.
    subject_category: String,
    /// What was covered.
    content_covered: String,
    /// The learner's notes.
    notes: String,
    /// When the row was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// The platform's goal.
    #[schema(value_type = Option<Id>, required)]
    goal_id: Option<Key>,
    /// The platform's learning plan.
    #[schema(value_type = Option<Id>, required)]
    learning_plan_id: Option<Key>,
    /// The rule that inferred this session; null for a recorded one.
    #[schema(value_type = Option<Object>, required)]
    estimator: Option<Estimator>,
    /// Whether it lies in the archive.
    archived: bool,
}

/// Learners, in the order of their ids
#[utoipa::path(
    get, path = "/v1/users", tag = "learners",
    params(
        ("after" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Rows of a page; default: 100"),
    ),
    responses(
        (status = 200, body = PageOf<User>),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn users(State(app): State<Arc<App>>, query: Parameters) -> Result<Response, ApiError> {
    query.only(&["after", "limit"])?;
    let store = app.statistics().store();
    let spec = "users by id";
    let size = limit(&query)?;
    let after = match cursor::<String>(&query, spec)? {
        None => None,
        Some((id, text)) => Some(id.parse::<UserId>().map_err(|_| not_a_cursor(text))?),
    };
    if after.is_some_and(|id| id.key().key_type() != store.key_type()) {
        return Err(not_a_cursor(query.text("after").unwrap_or_default()).into());
    }
    let rows = store.users(after, size.limit()).await?;
    let page = Page::new(rows, size, spec, |row: &UserRow| row.id.to_string());
    let items = page
        .items
        .into_iter()
        .map(|row| User { id: row.id, username: row.username, is_active: row.is_active, time_zone: row.time_zone })
        .collect();
    json(&Page::<User> { items, next: page.next })
}

/// A learner's sessions, live and archived, newest first
#[utoipa::path(
    get, path = "/v1/users/{id}/sessions", tag = "learners",
    params(
        ("id" = Id, Path, description = "The learner's id"),
        ("after" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Rows of a page; default: 100"),
    ),
    responses(
        (status = 200, body = PageOf<Session>),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn sessions(
    State(app): State<Arc<App>>,
    Learner(user): Learner,
    query: Parameters,
    _: Asked,
) -> Result<Response, ApiError> {
    query.only(&["after", "limit"])?;
    let user = app.known(user)?;
    let spec = format!("sessions of {user}, newest first");
    let size = limit(&query)?;
    let after = match cursor::<(i64, String)>(&query, &spec)? {
        None => None,
        Some(((micros, id), text)) => {
            let start_time = instant::from_micros(micros).ok_or_else(|| not_a_cursor(text))?;
            Some(SessionPlace { start_time, id: id.parse().map_err(|_| not_a_cursor(text))? })
        }
    };
    let rows = app.statistics().store().sessions(user, after, size.limit()).await?;
    let rows = rows.ok_or(ServiceError::UnknownLearner(user))?;
    let page = Page::new(rows, size, &spec, |listed: &ListedSession| {
        (listed.row.start_time.as_microsecond(), listed.row.id.to_string())
    });
    json(&Page { items: page.items.into_iter().map(Session::from).collect::<Vec<_>>(), next: page.next })
}

fn limit(query: &Parameters) -> Result<PageSize, ApiError> {
    Ok(query.get::<Limit>("limit")?.unwrap_or_default().0)
}

/// The key in the cursor, and the cursor itself for messages.
fn cursor<'a, T: DeserializeOwned>(query: &'a Parameters, spec: &str) -> Result<Option<(T, &'a str)>, BadParameter> {
    let Some(text) = query.text("after") else { return Ok(None) };
    let key = Cursor::decode(spec, text).map_err(|_| not_a_cursor(text))?;
    Ok(Some((key, text)))
}

fn not_a_cursor(text: &str) -> BadParameter {
    BadParameter {
        parameter: "after",
        given: clip(text),
        accepted: "the `next` of a page of this address, unchanged".to_owned(),
        fault: Fault::Unreadable,
    }
}

impl From<ListedSession> for Session {
    fn from(ListedSession { row, archived }: ListedSession) -> Self {
        Self {
            id: row.id,
            user_id: row.user_id,
            course_progress_id: row.course_progress_id,
            start_time: row.start_time,
            end_time: row.end_time,
            duration_minutes: row.duration_minutes,
            effectiveness_rating: row.effectiveness_rating,
            focus_score: row.focus_hundredths.map(|hundredths| f64::from(hundredths) / 100.0),
            break_count: row.break_count,
            is_active: row.is_active,
            learning_environment: row.learning_environment,
            device_type: row.device_type,
            subject_category: row.subject_category,
            content_covered: row.content_covered,
            notes: row.notes,
            created_at: row.created_at,
            updated_at: row.updated_at,
            goal_id: row.goal_id,
            learning_plan_id: row.learning_plan_id,
            estimator: row.estimator,
            archived,
        }
    }
}
