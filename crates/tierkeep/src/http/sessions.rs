//! One session: made, read, changed, completed, deleted.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use tierkeep_learning::key::SessionId;
use tierkeep_learning::session_change::Flag;
use tierkeep_learning::store::writes::{NewId, Order, Outcome, Refusal, SessionVersion, WrittenSession};
use utoipa::ToSchema;
use uuid::Uuid;

use super::docs::Id;
use super::error::{ApiError, Problem};
use super::extract::{Parameters, in_path};
use super::idempotency::{Incoming, Kept, Unencoded, tag};
use super::session_fields::{change, completion, new_session};
use super::users::Session;
use super::write_docs::{SessionCompletion, SessionCreate, SessionPatch};
use super::{App, json};

/// A session as it was written.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Written {
    /// The session.
    #[serde(flatten)]
    session: Session,
    /// What is odd about it: `overlap` (shares time with another session of the learner), `open_too_long` (open and begun
    /// more than 16 hours ago), `over_long` (more than 16 hours), `future` (begins more than an hour from now). It is
    /// stored as it was said all the same.
    #[schema(value_type = Vec<String>)]
    flags: Vec<Flag>,
}

impl From<&WrittenSession> for Written {
    fn from(written: &WrittenSession) -> Self {
        Self { session: written.session.clone().into(), flags: written.flags.clone() }
    }
}

/// The session that a path names.
#[derive(Debug)]
pub(super) struct SessionOf(pub(super) SessionId);

impl FromRequestParts<Arc<App>> for SessionOf {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<App>) -> Result<Self, ApiError> {
        in_path(parts, state, "id").await.map(Self)
    }
}

/// One session
#[utoipa::path(
    get, path = "/v1/sessions/{id}", tag = "sessions",
    params(("id" = Id, Path, description = "The session's id")),
    responses(
        (status = 200, body = Session, headers(("ETag" = String, description = "The version, for If-Match"))),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn read(
    State(app): State<Arc<App>>,
    SessionOf(id): SessionOf,
    query: Parameters,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    let found = app.statistics().store().session(id).await?.ok_or(Refusal::UnknownSession(id))?;
    let version = tag(&SessionVersion::of(&found));
    let mut response = json(&Session::from(found))?;
    response.headers_mut().insert(header::ETAG, HeaderValue::try_from(version).map_err(ApiError::internal)?);
    response.extensions_mut().insert(Unencoded);
    Ok(response)
}

/// Makes a session
///
/// With an `id` of the client's choice the same request again is a retry, and is answered with 200. With an
/// `Idempotency-Key` the first answer is given again, for a day at least. Without an end the session is open;
/// `duration_minutes` follows from `end_time`.
#[utoipa::path(
    post, path = "/v1/sessions", tag = "sessions",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters")),
    request_body = SessionCreate,
    responses(
        (status = 201, body = Written, headers(
            ("Location" = String, description = "The session's address"),
            ("ETag" = String, description = "Its version, for If-Match"),
            ("X-Tierkeep-Position" = u64, description = "Sent with a read, on any node, it makes the read see this write"),
            ("Idempotency-Replayed" = bool, description = "The answer was given before"),
        )),
        (status = 200, body = Written, description = "The session was there, just so"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    query: Parameters,
    incoming: Incoming,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    let (id, session) =
        new_session(incoming.object()?, app.statistics().store().key_type()).map_err(Refusal::Fields)?;
    let id = id.map_or_else(|| NewId::Made(app.made_uuid()), NewId::Chosen);
    incoming.carry_out(&app, vec![Order::Create { id, session }], one).await
}

/// Changes a session
///
/// A JSON merge patch: what is not named stays. `duration_minutes` follows from `start_time` and `end_time` when one of
/// these is named. An archived session is not changed: restore it first.
#[utoipa::path(
    patch, path = "/v1/sessions/{id}", tag = "sessions",
    params(
        ("id" = Id, Path, description = "The session's id"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the version that is changed: another one is 412"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters"),
    ),
    request_body = SessionPatch,
    responses(
        (status = 200, body = Written, headers(
            ("ETag" = String, description = "Its version, for If-Match"),
            ("X-Tierkeep-Position" = u64, description = "Sent with a read, on any node, it makes the read see this write"),
        )),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn patch(
    State(app): State<Arc<App>>,
    SessionOf(id): SessionOf,
    query: Parameters,
    incoming: Incoming,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    let change = change(incoming.object()?).map_err(Refusal::Fields)?;
    let expected = incoming.expected.clone();
    incoming.carry_out(&app, vec![Order::Change { id, change, expected }], one).await
}

/// Ends a session
///
/// Again with the same words it changes nothing.
#[utoipa::path(
    post, path = "/v1/sessions/{id}/complete", tag = "sessions",
    params(
        ("id" = Id, Path, description = "The session's id"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the version that is changed: another one is 412"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters"),
    ),
    request_body = Option<SessionCompletion>,
    responses(
        (status = 200, body = Written, headers(
            ("ETag" = String, description = "Its version, for If-Match"),
            ("X-Tierkeep-Position" = u64, description = "Sent with a read, on any node, it makes the read see this write"),
        )),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn complete(
    State(app): State<Arc<App>>,
    SessionOf(id): SessionOf,
    query: Parameters,
    incoming: Incoming,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    let completion = completion(&incoming.object_or_empty()).map_err(Refusal::Fields)?;
    let expected = incoming.expected.clone();
    incoming.carry_out(&app, vec![Order::Complete { id, completion, expected }], one).await
}

/// Deletes a session
///
/// Its id is not used again: a late retry of its making is refused. Deleting it again changes nothing.
#[utoipa::path(
    delete, path = "/v1/sessions/{id}", tag = "sessions",
    params(
        ("id" = Id, Path, description = "The session's id"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the version that is deleted: another one is 412"),
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
    SessionOf(id): SessionOf,
    query: Parameters,
    incoming: Incoming,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    let expected = incoming.expected.clone();
    incoming.carry_out(&app, vec![Order::Delete { id, expected }], one).await
}

/// The answer to one order.
fn one(outcomes: &[Outcome]) -> Kept {
    let written = |status, written: &WrittenSession| {
        Kept::json(status, &Written::from(written)).version(&SessionVersion::of(&written.session))
    };
    match outcomes {
        [Outcome::Created(session)] => {
            written(StatusCode::CREATED, session).location(format!("/v1/sessions/{}", session.session.row.id))
        }
        [Outcome::Replayed(session) | Outcome::Changed(session)] => written(StatusCode::OK, session),
        [Outcome::Refused(refusal)] => Kept::problem(&super::error::refusal_problem(refusal)),
        _ => Kept::nothing(),
    }
}

impl App {
    /// A UUID of version 7: this instant, and chance from the operating system by way of the standard library's hash keys.
    pub(super) fn made_uuid(&self) -> Uuid {
        let millis = u64::try_from(self.clock.now().as_millisecond()).unwrap_or(0);
        let chance = [RandomState::new(), RandomState::new()].map(|keys| keys.hash_one(millis).to_be_bytes());
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&chance[0]);
        bytes[8..].copy_from_slice(&chance[1][..2]);
        uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
    }
}
