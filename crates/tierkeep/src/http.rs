//! The API: JSON answers of the statistics, problems of RFC 9457, and the pages that explain both.
//!
//! [`api`] is a tower service, so tests call it without a socket; [`serve`] puts it behind one.

mod admin;
mod answer;
mod api;
mod batch;
mod body;
mod courses;
mod docs;
mod encoding;
mod erasure;
mod error;
mod extract;
mod fast_path;
mod fields;
mod gate;
mod guard;
mod health;
mod idempotency;
mod index;
mod language;
mod learner;
mod limit;
mod metrics;
mod observe;
mod origin;
mod position;
mod retention;
mod routes;
mod schedule;
mod secure;
mod serve;
mod session_batch;
mod session_fields;
mod sessions;
mod strict;
mod users;
mod write_docs;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use serde::Serialize;
use tierkeep_learning::key::UserId;
use tierkeep_learning::service::{ServiceError, Statistics};
use tierkeep_schedule::Scheduler;

use crate::access::Access;
use crate::cleanup::Desk;
use crate::clock::Clock;
use crate::config::{ByteSize, Precompute};
use crate::metrics::Metrics;
use crate::tasks::Notices;
use crate::tasks::precompute::Precomputing;
use crate::tiers::Tiers;

pub use self::admin::Invalidated;
pub(crate) use self::admin::{InvalidateRequest, document as cache_document};
pub use self::api::{Answering, Api};
pub use self::body::Misfit;
pub(crate) use self::docs::Id;
pub use self::error::{ApiError, Edge, Problem};
pub use self::gate::Gate;
pub use self::origin::Foreign;
pub use self::routes::{api, openapi};
pub(crate) use self::schedule::{WarmupRequest, run_document, task_document};
pub use self::serve::serve;

/// What the handlers share.
#[derive(Debug)]
pub struct App {
    /// The statistics behind their tiers.
    pub tiers: Arc<Tiers>,
    /// Who may ask.
    pub access: Access,
    /// The present instant.
    pub clock: Clock,
    /// Limits of one request.
    pub limits: Limits,
    /// Clean-ups that this node was asked for.
    pub retention: Arc<Desk>,
    /// What is done at times; `None` where nothing may be written.
    pub schedule: Option<Arc<Scheduler>>,
    /// Whom the precomputing is about, and what it computes.
    pub options: Precompute,
    /// What is computed in advance because somebody asked for it.
    pub precompute: Precomputing,
    /// What is told of tasks that failed.
    pub notices: Notices,
    /// What is counted.
    pub metrics: Metrics,
    /// How often clients may ask, and whether the end is near.
    pub gate: Gate,
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
    /// What handlers need, without a schedule, with clean-ups as they are configured where nothing is said.
    #[must_use]
    pub fn new(tiers: Tiers, access: Access, clock: Clock, limits: Limits) -> Self {
        Self {
            tiers: Arc::new(tiers),
            access,
            clock,
            limits,
            retention: Arc::default(),
            schedule: None,
            options: Precompute::default(),
            precompute: Precomputing::default(),
            notices: Notices::default(),
            metrics: Metrics::default(),
            gate: Gate::default(),
        }
    }

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

/// Headers of most answers: they fit without growing.
const TYPICAL_HEADERS: usize = 12;

fn json_bytes(body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.headers_mut() = HeaderMap::with_capacity(TYPICAL_HEADERS);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
