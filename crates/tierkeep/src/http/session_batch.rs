//! Many sessions at once, from a queue: a bad one does not stop the others.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tierkeep_learning::session_change::FieldFault;
use tierkeep_learning::store::writes::{MAX_ORDERS, NewId, Order, Outcome, Refusal};
use utoipa::ToSchema;

use super::App;
use super::error::{ApiError, Problem, refusal_problem};
use super::extract::Parameters;
use super::fields::{Fields, Object};
use super::idempotency::{Incoming, Kept};
use super::session_fields::new_session;
use super::sessions::Written;
use super::write_docs::SessionBatch;

/// What became of each session, in the order given.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BatchResults {
    /// One for each session.
    results: Vec<BatchResult>,
}

/// What became of one session.
#[derive(Debug, Serialize, ToSchema)]
struct BatchResult {
    /// `created`, `replayed` (it was there, just so) or `rejected`.
    status: &'static str,
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<Written>,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Problem>,
}

/// Makes many sessions
///
/// At most 1000, in one transaction. One that is rejected does not stop the others: each has its own result, in the order
/// given.
#[utoipa::path(
    post, path = "/v1/sessions/batch", tag = "sessions",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters")),
    request_body = SessionBatch,
    responses(
        (status = 200, body = BatchResults, headers(
            ("X-Tierkeep-Position" = u64, description = "Sent with a read, on any node, it makes the read see this write"),
        )),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn batch(
    State(app): State<Arc<App>>,
    query: Parameters,
    incoming: Incoming,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    let rows = rows(incoming.object()?).map_err(Refusal::Fields)?;
    let keys = app.statistics().store().key_type();
    let mut orders = Vec::with_capacity(rows.len());
    // for each row its fault, or none if it is the next of the orders
    let mut refused = Vec::with_capacity(rows.len());
    for row in rows {
        let read = match Object::deserialize(&row) {
            Ok(object) => new_session(&object, keys),
            Err(_) => Err(vec![FieldFault::new("sessions", &row.to_string(), "objects, each a session")]),
        };
        refused.push(match read {
            Ok((id, session)) => {
                let id = id.map_or_else(|| NewId::Made(app.made_uuid()), NewId::Chosen);
                orders.push(Order::Create { id, session });
                None
            }
            Err(faults) => Some(refusal_problem(&Refusal::Fields(faults))),
        });
    }
    let answer = move |outcomes: &[Outcome]| {
        let mut outcomes = outcomes.iter();
        let result = |refused: &Option<Problem>| match refused {
            Some(problem) => BatchResult::rejected(problem.clone()),
            None => outcomes.next().map_or_else(|| BatchResult::rejected(nothing()), BatchResult::of),
        };
        Kept::json(StatusCode::OK, &BatchResults { results: refused.iter().map(result).collect() })
    };
    incoming.carry_out(&app, orders, answer).await
}

/// The sessions of a body, not yet looked at.
fn rows(object: &Object) -> Result<Vec<Value>, Vec<FieldFault>> {
    let mut fields = Fields::of(object, &["sessions"]);
    let accepted = format!("an array of at most {MAX_ORDERS} sessions");
    let rows =
        fields.needed("sessions", &accepted, |value| value.as_array().filter(|rows| rows.len() <= MAX_ORDERS).cloned());
    fields.finish(rows)
}

fn nothing() -> Problem {
    ApiError::internal("an order has no outcome").problem()
}

impl BatchResult {
    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Created(session) => Self::written("created", session.into()),
            Outcome::Replayed(session) | Outcome::Changed(session) => Self::written("replayed", session.into()),
            Outcome::Refused(refusal) => Self::rejected(refusal_problem(refusal)),
            _ => Self::rejected(nothing()),
        }
    }

    fn written(status: &'static str, session: Written) -> Self {
        Self { status, session: Some(session), error: None }
    }

    fn rejected(error: Problem) -> Self {
        Self { status: "rejected", session: None, error: Some(error) }
    }
}
