//! What watchers of a node ask for.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;

use super::App;
use super::error::{ApiError, Problem};
use super::extract::Parameters;
use crate::metrics::CONTENT_TYPE;

/// Counts and measures of this node, in the text format of OpenMetrics
#[utoipa::path(
    get, path = "/metrics", tag = "operation",
    responses(
        (status = 200, body = String, content_type = "application/openmetrics-text"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn metrics(State(app): State<Arc<App>>, query: Parameters) -> Result<Response, ApiError> {
    query.only(&[])?;
    let store = app.statistics().store();
    // both wait for the database, and at the same time
    let (retention, told) = tokio::join!(
        app.retention.standing(&**store, app.clock.now()),
        app.metrics.asked.read(store, app.schedule.as_ref())
    );
    let ended = app.schedule.as_ref().map(|scheduler| scheduler.counts()).unwrap_or_default();
    let page = app.metrics.render(&app.tiers, retention, ended, told).map_err(ApiError::internal)?;
    let mut response = Response::new(page.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    Ok(response)
}
