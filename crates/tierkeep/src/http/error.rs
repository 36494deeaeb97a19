//! From errors to answers: the one place where a failure becomes a status.

use std::error::Error;
use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tierkeep_db::Error as DatabaseError;
use tierkeep_learning::service::ServiceError;
use tierkeep_learning::session_change::FieldFault;
use tierkeep_learning::store::writes::Refusal;
use tierkeep_learning::store::{Scope, StoreError};
use tierkeep_retention::RetentionError;
use tierkeep_schedule::ScheduleError;
use utoipa::ToSchema;

pub use self::edge::Edge;
use self::kinds::{KINDS, Kind};
use super::body::Misfit;
use crate::access::Denied;
use crate::chain::Chain;
use crate::config::ByteSize;

mod edge;
mod kinds;
mod retention;
mod schedule;

/// What was wrong (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// Which kind of problem; stable, for programs.
    #[schema(example = "urn:tierkeep:problem:unknown-learner")]
    pub r#type: &'static str,
    /// The kind of problem in words.
    #[schema(example = "Unknown learner")]
    pub title: &'static str,
    /// The status of the answer.
    #[schema(example = 404)]
    pub status: u16,
    /// What was wrong this time.
    pub detail: String,
    /// The parameter or the field of the body that was wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// What it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given: Option<String>,
    /// What would have been accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
    /// Every field of the body that was wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldProblem>,
}

/// What was wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldProblem {
    /// Its name.
    pub field: String,
    /// What it was; absent = it was missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given: Option<String>,
    /// What would have been accepted.
    pub accepted: String,
}

/// Why a request has no proper answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum ApiError {
    /// The statistics, or the store behind them, say so.
    Service(Arc<ServiceError>),
    /// No route has this path.
    UnknownPath(String),
    /// The route has other methods.
    WrongMethod(String),
    /// A parameter is not what was asked for.
    Parameter(BadParameter),
    /// A query parameter that the route does not have.
    UnknownParameter {
        /// Its name.
        name: String,
        /// The ones there are.
        accepted: &'static [&'static str],
    },
    /// The body is no JSON.
    Syntax(String),
    /// The body is JSON of another shape.
    Shape(Misfit),
    /// The body is longer than this limit.
    TooLarge(ByteSize),
    /// The body is declared as something else than JSON.
    MediaType(String),
    /// The request brings no token that admits it.
    Denied(Denied),
    /// It is refused before a handler sees it.
    Edge(Edge),
    /// The client accepts no encoding that there is.
    NotAcceptable,
    /// A write was refused.
    Refused(Refusal),
    /// An idempotency key belongs to another request.
    KeyTaken,
    /// The answer under an idempotency key was erased with a learner.
    AnswerErased,
    /// The schedule says so.
    Schedule(ScheduleError),
    /// The same is at work already; in words.
    AtWork(String),
    /// No answer would be kept at present.
    NothingKept,
    /// There was no answer in time.
    Timeout,
    /// A bug, or a failure that nobody outside can mend.
    Internal(Box<dyn Error + Send + Sync>),
}

/// A parameter that cannot be used.
#[derive(Debug)]
pub struct BadParameter {
    /// Which one.
    pub parameter: &'static str,
    /// What it was, cut after 60 characters.
    pub given: String,
    /// What would have been accepted.
    pub accepted: String,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It cannot be read.
    Unreadable,
    /// It can be read and lies outside of what is accepted.
    OutOfRange,
}

impl ApiError {
    /// A failure that is logged and not told.
    pub(super) fn internal(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Internal(error.into())
    }

    /// What the client is told.
    #[must_use]
    pub fn problem(&self) -> Problem {
        match self {
            Self::Service(error) => service_problem(error),
            Self::Internal(_) => problem(KINDS.internal, INSIDE.to_owned()),
            Self::UnknownPath(path) => problem(KINDS.unknown_path, format!("there is nothing at {}", clip(path))),
            Self::WrongMethod(method) => {
                problem(KINDS.wrong_method, format!("{} is not a method of this address", clip(method)))
            }
            Self::Parameter(bad) => bad.problem(),
            Self::UnknownParameter { name, accepted } => unknown_parameter(name, accepted),
            Self::Syntax(reason) => problem(KINDS.syntax, reason.clone()),
            Self::Shape(misfit) => misfit_problem(misfit),
            Self::TooLarge(limit) => Problem {
                accepted: Some(format!("at most {limit}")),
                ..problem(KINDS.too_large, format!("the body is longer than {limit}"))
            },
            Self::MediaType(given) => Problem {
                given: Some(clip(given)),
                accepted: Some("application/json".to_owned()),
                ..problem(KINDS.media_type, "the body must be declared as application/json".to_owned())
            },
            Self::Denied(denied) => denial(*denied),
            Self::Edge(edge) => edge.problem(),
            Self::NotAcceptable => Problem {
                accepted: Some("gzip, identity".to_owned()),
                ..problem(KINDS.not_acceptable, "Accept-Encoding excludes every encoding of this server".to_owned())
            },
            Self::Refused(refusal) => refusal_problem(refusal),
            Self::KeyTaken => problem(
                KINDS.key_taken,
                "this Idempotency-Key was used for a request with another method, path or body; take a new one"
                    .to_owned(),
            ),
            Self::AnswerErased => problem(
                KINDS.answer_erased,
                "a request with this Idempotency-Key was carried out, and its answer was erased with a learner it spoke of; \
                 nothing was written now"
                    .to_owned(),
            ),
            Self::Schedule(error) => schedule::schedule_problem(error),
            Self::AtWork(what) => problem(KINDS.run_under_way, what.clone()),
            Self::NothingKept => problem(
                KINDS.nothing_kept,
                "this node keeps no answers at present: nothing is stored, or the database does not say what changed".to_owned(),
            ),
            Self::Timeout => problem(KINDS.timeout, "there was no answer in time; try again later".to_owned()),
        }
    }
}

fn misfit_problem(Misfit { field, reason, accepted }: &Misfit) -> Problem {
    let mut detail = match field {
        Some(field) => format!("{field} does not fit: {reason}"),
        None => format!("the body does not fit: {reason}"),
    };
    if let Some(accepted) = accepted {
        detail = format!("{detail}; accepted: {accepted}");
    }
    Problem { parameter: field.clone(), accepted: accepted.clone(), ..problem(KINDS.shape, detail) }
}

/// A token that was revoked is unknown: whoever still has it learns nothing else.
fn denial(denied: Denied) -> Problem {
    match denied {
        Denied::Missing => {
            let detail = "this address needs a token, as `Authorization: Bearer tk_…`".to_owned();
            problem(KINDS.unauthorized, detail)
        }
        Denied::Unknown => problem(KINDS.unauthorized, "the token is unknown or was revoked".to_owned()),
        Denied::Expired(end) => problem(KINDS.unauthorized, format!("the token expired at {end}")),
        Denied::TooSmall { scope, needed } => Problem {
            given: Some(scope.name().to_owned()),
            accepted: Some(needed.name().to_owned()),
            ..problem(KINDS.forbidden, format!("this address needs the scope {needed} and the token has {scope}"))
        },
    }
}

/// What RFC 6750 says in `WWW-Authenticate`.
fn challenge(denied: Denied) -> HeaderValue {
    HeaderValue::from_static(match denied {
        Denied::Missing => "Bearer realm=\"tierkeep\"",
        Denied::Unknown | Denied::Expired(_) => "Bearer realm=\"tierkeep\", error=\"invalid_token\"",
        Denied::TooSmall { needed: Scope::Read, .. } => {
            "Bearer realm=\"tierkeep\", error=\"insufficient_scope\", scope=\"read\""
        }
        Denied::TooSmall { needed: Scope::Write, .. } => {
            "Bearer realm=\"tierkeep\", error=\"insufficient_scope\", scope=\"write\""
        }
        Denied::TooSmall { needed: Scope::Admin, .. } => {
            "Bearer realm=\"tierkeep\", error=\"insufficient_scope\", scope=\"admin\""
        }
    })
}

const INSIDE: &str = "the request failed inside the server; its log says why";

/// What the client is told of a statistic that has no answer.
pub(super) fn service_problem(error: &ServiceError) -> Problem {
    if let ServiceError::Store(StoreError::Retention(error)) = error
        && let Some(problem) = retention::retention_problem(error)
    {
        return problem;
    }
    match error {
        ServiceError::UnknownLearner(user) => problem(KINDS.unknown_learner, format!("learner {user} is unknown")),
        ServiceError::Future { what, given, latest } => Problem {
            parameter: Some((*what).to_owned()),
            given: Some(given.clone()),
            accepted: Some(format!("up to {latest}")),
            ..problem(KINDS.out_of_range, error.to_string())
        },
        ServiceError::Store(StoreError::ReadOnly(_)) => {
            problem(KINDS.read_only, "this server was started with --read-only".to_owned())
        }
        ServiceError::Store(error @ StoreError::Erased(_)) => problem(KINDS.erased_learner, error.to_string()),
        ServiceError::Store(error) => match error.misfit() {
            Some(why) => problem(KINDS.unavailable, format!("this node does not fit the database: {why}")),
            None if is_outage(error) => {
                problem(KINDS.unavailable, "the database cannot be reached; try again later".to_owned())
            }
            None => problem(KINDS.internal, INSIDE.to_owned()),
        },
        _ => problem(KINDS.internal, INSIDE.to_owned()),
    }
}

/// What the client is told of a write that was refused.
pub(super) fn refusal_problem(refusal: &Refusal) -> Problem {
    let detail = refusal.to_string();
    match refusal {
        Refusal::Fields(faults) => {
            let names: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
            Problem {
                errors: faults.iter().map(FieldProblem::of).collect(),
                ..problem(KINDS.fields, format!("these fields cannot be taken: {}", names.join(", ")))
            }
        }
        Refusal::UnknownSession(_) => problem(KINDS.unknown_session, detail),
        Refusal::UnknownCourse { .. } => problem(KINDS.unknown_course, detail),
        Refusal::UnknownLearner(_) => problem(KINDS.unknown_learner, detail),
        Refusal::ErasedLearner(_) => problem(KINDS.erased_learner, detail),
        Refusal::Deleted(_) => problem(KINDS.session_deleted, detail),
        Refusal::Archived(_) => problem(KINDS.session_archived, detail),
        Refusal::OtherContent(_) => problem(KINDS.session_exists, detail),
        Refusal::EndedOtherwise(_) => problem(KINDS.session_ended, detail),
        Refusal::OtherVersion { found, .. } => {
            Problem { accepted: Some(super::idempotency::tag(found)), ..problem(KINDS.other_version, detail) }
        }
        Refusal::Rule { name, is_conflict, .. } => {
            let kind = if *is_conflict { KINDS.rule_conflict } else { KINDS.rule };
            Problem { parameter: Some(name.clone()).filter(|name| !name.is_empty()), ..problem(kind, detail) }
        }
        _ => problem(KINDS.internal, INSIDE.to_owned()),
    }
}

impl FieldProblem {
    fn of(fault: &FieldFault) -> Self {
        Self {
            field: fault.field.clone(),
            given: Some(fault.given.clone()).filter(|given| !given.is_empty()),
            accepted: fault.accepted.clone(),
        }
    }
}

impl BadParameter {
    fn problem(&self) -> Problem {
        let Self { parameter, given, accepted, fault } = self;
        let (kind, detail) = match fault {
            Fault::Unreadable => (KINDS.unreadable, format!("{parameter} {given:?} cannot be read")),
            Fault::OutOfRange => (KINDS.out_of_range, format!("{parameter} {given:?} is out of range")),
        };
        Problem {
            parameter: Some((*parameter).to_owned()),
            given: Some(given.clone()),
            accepted: Some(accepted.clone()),
            ..problem(kind, format!("{detail}; accepted: {accepted}"))
        }
    }
}

fn unknown_parameter(name: &str, accepted: &[&str]) -> Problem {
    let detail = match crate::config::nearest(name, accepted.iter().copied()) {
        Some(nearest) => format!("{:?} is not a parameter of this address; the nearest is {nearest}", clip(name)),
        None => format!("{:?} was given, and this address has no parameters", clip(name)),
    };
    Problem {
        parameter: Some(clip(name)),
        accepted: Some(if accepted.is_empty() { "none".to_owned() } else { accepted.join(", ") }),
        ..problem(KINDS.unknown_parameter, detail)
    }
}

/// Whether the database cannot be asked at present, so that the same request may succeed later.
fn is_outage(error: &StoreError) -> bool {
    match error {
        StoreError::Database(error) | StoreError::Retention(RetentionError::Database(error)) => {
            is_outage_of_database(error)
        }
        StoreError::Postgres(error) | StoreError::Retention(RetentionError::Postgres(error)) => {
            error.as_db_error().is_none_or(|db| ends_connection(db.code().code()))
        }
        StoreError::Retention(RetentionError::Silent { .. }) => true,
        StoreError::NotMigrated | StoreError::Outdated { .. } => true,
        _ => false,
    }
}

fn is_outage_of_database(error: &DatabaseError) -> bool {
    match error {
        DatabaseError::Unreachable { .. }
        | DatabaseError::ConnectTimeout { .. }
        | DatabaseError::PoolTimeout { .. }
        | DatabaseError::Closed
        | DatabaseError::Busy { .. } => true,
        // what the server did not say itself is the connection's end
        DatabaseError::Postgres(error) => error.as_db_error().is_none_or(|db| ends_connection(db.code().code())),
        _ => false,
    }
}

/// Connection failures, too many connections, and a server that is shutting down, starting up or failing over.
fn ends_connection(state: &str) -> bool {
    state.starts_with("08") || state.starts_with("57P") || state == "53300"
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        Self::Service(error.into())
    }
}

impl From<Arc<ServiceError>> for ApiError {
    fn from(error: Arc<ServiceError>) -> Self {
        Self::Service(error)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        ServiceError::from(error).into()
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ScheduleError> for ApiError {
    fn from(error: ScheduleError) -> Self {
        Self::Schedule(error)
    }
}

impl From<BadParameter> for ApiError {
    fn from(bad: BadParameter) -> Self {
        Self::Parameter(bad)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = self.problem();
        match &self {
            Self::Internal(error) => tracing::error!(error = %Chain(&**error), "a request failed"),
            Self::Schedule(error) if problem.status >= 500 => {
                tracing::error!(error = %Chain(error), "a request failed");
            }
            // what a guard refuses is no failure of this node
            Self::Service(error) if problem.status >= 500 => {
                if let ServiceError::Store(error) = &**error {
                    tracing::error!(error = %Chain(error), "a request failed");
                }
            }
            _ => {}
        }
        let mut response = problem.into_response();
        match self {
            Self::Denied(denied) => {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge(denied));
            }
            Self::Edge(edge) => {
                if let Some(seconds) = edge.retry_after() {
                    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
                }
            }
            _ => {}
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // texts and a number; if that cannot be written, the status still can
        let mut response = Response::new(serde_json::to_vec(&self).unwrap_or_default().into());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        } else if self.r#type == KINDS.run_under_way.0 {
            // a run that was killed is replaced after half of this
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
        }
        response
    }
}

/// Longest part of a bad input that an answer repeats, in characters.
const SHOWN: usize = 60;

/// The beginning of a text from outside.
pub(super) fn clip(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn problem((r#type, title, status): Kind, detail: String) -> Problem {
    Problem { r#type, title, status, detail, parameter: None, given: None, accepted: None, errors: Vec::new() }
}
