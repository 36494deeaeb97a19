//! What watchers of a node ask for.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;

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
    let retention = app.retention.standing(&**app.statistics().store(), app.clock.now()).await;
    let mut response = Response::new(app.metrics.render(&app.tiers, retention).map_err(ApiError::internal)?.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    Ok(response)
}

/// Counts a request when it is answered; one whose client goes away before is not.
pub(super) async fn counted(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map(MatchedPath::as_str);
    app.metrics.traffic.note(&method, route, response.status(), began.elapsed());
    response
}
