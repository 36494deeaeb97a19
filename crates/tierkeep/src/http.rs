//! The API: JSON answers of the statistics, problems of RFC 9457, and the pages that explain both.
//!
//! [`router`] is a tower service, so tests call it without a socket; [`serve`] puts it behind one.

mod admin;
mod answer;
mod batch;
mod body;
mod courses;
mod docs;
mod encoding;
mod erasure;
mod error;
mod extract;
mod fields;
mod guard;
mod health;
mod idempotency;
mod index;
mod language;
mod learner;
mod metrics;
mod position;
mod retention;
mod routes;
mod serve;
mod session_batch;
mod session_fields;
mod sessions;
mod strict;
mod users;
mod write_docs;

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde::Serialize;
use tierkeep_learning::key::UserId;
use tierkeep_learning::service::{ServiceError, Statistics};

use crate::access::Access;
use crate::cleanup::Desk;
use crate::clock::Clock;
use crate::config::ByteSize;
use crate::metrics::Metrics;
use crate::tiers::Tiers;

pub use self::admin::Invalidated;
pub(crate) use self::admin::{InvalidateRequest, document as cache_document};
pub use self::body::Misfit;
pub(crate) use self::docs::Id;
pub use self::error::{ApiError, Problem};
pub use self::routes::{openapi, router};
pub use self::serve::serve;

/// What the handlers share.
#[derive(Debug)]
pub struct App {
    /// The statistics behind their tiers.
    pub tiers: Tiers,
    /// Who may ask.
    pub access: Access,
    /// The present instant.
    pub clock: Clock,
    /// Limits of one request.
    pub limits: Limits,
    /// Clean-ups that this node was asked for.
    pub retention: Desk,
    /// What is counted.
    pub metrics: Metrics,
}

/// Limits of one request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest body.
    pub body: ByteSize,
    /// Longest time for an answer.
    pub timeout: Duration,
}

impl App {
    fn statistics(&self) -> &Statistics {
        self.tiers.statistics()
    }

    /// An id of the type that this database does not have belongs to nobody, and no query has to find that out.
    fn known(&self, user: UserId) -> Result<UserId, ApiError> {
        if user.key().key_type() == self.statistics().store().key_type() {
            Ok(user)
        } else {
            Err(ServiceError::UnknownLearner(user).into())
        }
    }
}

/// Bytes that hold most answers without growing.
const TYPICAL_ANSWER: usize = 1024;

/// An answer, serialized once.
fn json(answer: &impl Serialize) -> Result<Response, ApiError> {
    let mut body = Vec::with_capacity(TYPICAL_ANSWER);
    serde_json::to_writer(&mut body, answer).map_err(ApiError::internal)?;
    Ok(json_bytes(body))
}

fn json_bytes(body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
