//! Whether this process lives, and whether it can answer.

use std::sync::Arc;
use std::time::Duration;

use axum::extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tierkeep_db::Error as DatabaseError;
use tierkeep_learning::store::StoreError;
use utoipa::ToSchema;

use super::error::ApiError;
use super::{App, json};
use crate::tiers::{LearnedState, Standing, State};

/// Longest wait for the database: load balancers ask often and give up early.
const PATIENCE: Duration = Duration::from_secs(3);

/// The process answers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Life {
    /// `ok`.
    status: CheckStatus,
}

/// Whether requests can be answered, check by check.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    /// `ok` when every check is, `warming` when only the warm-up is not, and `stopping` when the node is about to end.
    status: CheckStatus,
    /// The checks.
    checks: Checks,
}

/// The checks of a node.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Checks {
    /// Whether the database answers.
    database: Check,
    /// Whether its tables are the ones this binary expects.
    migrations: Check,
    /// Whether it has said within `freshness.bound` what changed; absent where no answer is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    feed: Option<FeedCheck>,
    /// Whether what was hot before the start is there, or was waited for long enough; absent where nothing is restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    warmup: Option<Check>,
}

/// The change feed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FeedCheck {
    /// The check.
    #[serde(flatten)]
    check: Check,
    /// The position up to which this node was told every change.
    position: u64,
    /// Milliseconds since the question began to which the database has answered last.
    lag_ms: u64,
}

/// One check.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Check {
    /// Its result.
    status: CheckStatus,
    /// Why it is not `ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum CheckStatus {
    /// As it should be.
    Ok,
    /// The node is about to end.
    Stopping,
    /// What was hot before the start is being computed.
    Warming,
    /// Not as it should be.
    Failing,
    /// Not known, because another check fails.
    Unknown,
}

impl Check {
    const OK: Self = Self { status: CheckStatus::Ok, reason: None };
    const UNKNOWN: Self = Self { status: CheckStatus::Unknown, reason: None };

    fn failing(reason: &str) -> Self {
        Self { status: CheckStatus::Failing, reason: Some(reason.to_owned()) }
    }
}

impl Checks {
    fn of(database: Check, migrations: Check) -> Self {
        Self { database, migrations, feed: None, warmup: None }
    }
}

/// The process lives
#[utoipa::path(get, path = "/livez", tag = "operation", responses((status = 200, body = Life)))]
pub(super) async fn livez() -> Result<Response, ApiError> {
    json(&Life { status: CheckStatus::Ok })
}

/// The node can answer
#[utoipa::path(
    get, path = "/readyz", tag = "operation",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness))
)]
pub(super) async fn readyz(extract::State(app): extract::State<Arc<App>>) -> Result<Response, ApiError> {
    let checks = match tokio::time::timeout(PATIENCE, app.statistics().store().check()).await {
        Ok(Ok(())) => Checks::of(Check::OK, Check::OK),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the database is not ready");
            failing(&error)
        }
        Err(_) => Checks::of(Check::failing("it does not answer in time"), Check::UNKNOWN),
    };
    let state = app.tiers.state();
    let warmup = state.as_ref().and_then(|state| state.learned.as_ref()).map(warmup);
    let checks = Checks { feed: state.as_ref().map(feed), warmup, ..checks };
    let is_warm = checks.warmup.as_ref().is_none_or(|check| check.status == CheckStatus::Ok);
    let ready = [Some(&checks.database), Some(&checks.migrations), checks.feed.as_ref().map(|feed| &feed.check)]
        .into_iter()
        .flatten()
        .all(|check| check.status == CheckStatus::Ok);
    let status = match (app.gate.is_stopping(), ready, is_warm) {
        (true, ..) => CheckStatus::Stopping,
        (false, false, _) => CheckStatus::Failing,
        (false, true, false) => CheckStatus::Warming,
        (false, true, true) => CheckStatus::Ok,
    };
    let mut response = json(&Readiness { status, checks })?.into_response();
    if status != CheckStatus::Ok {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(response)
}

/// A missing trigger is no reason to take a node out: it answers from rows, as the others do.
fn feed(state: &State) -> FeedCheck {
    let check = match state.standing {
        Standing::Current => Check::OK,
        Standing::Untold => Check {
            status: CheckStatus::Ok,
            reason: Some(format!("every answer is computed from rows: {}", state.broken.join("; "))),
        },
        Standing::Behind(_) => Check::failing("it is older than freshness.bound: every answer comes from the database"),
    };
    FeedCheck { check, position: state.position, lag_ms: u64::try_from(state.behind.as_millis()).unwrap_or(u64::MAX) }
}

fn warmup(learned: &LearnedState) -> Check {
    match learned.ready {
        Some(_) => Check::OK,
        None => {
            Check { status: CheckStatus::Warming, reason: Some("what was hot before is being computed".to_owned()) }
        }
    }
}

fn failing(error: &StoreError) -> Checks {
    let migrations = |reason: &str| Checks::of(Check::OK, Check::failing(reason));
    match error {
        StoreError::NotMigrated => migrations("the tables are missing"),
        StoreError::Outdated { .. } => migrations("the tables are older than this binary"),
        StoreError::Database(DatabaseError::DatabaseNewer { .. }) => {
            migrations("the tables are newer than this binary")
        }
        other => match other.misfit() {
            Some(why) => migrations(&why),
            None => Checks::of(Check::failing("it cannot be asked; the log says why"), Check::UNKNOWN),
        },
    }
}
