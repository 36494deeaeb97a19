//! A learner's data: all of it in one document, and its end.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use tierkeep_learning::service::ServiceError;

use super::docs::Id;
use super::error::{ApiError, Problem};
use super::extract::{Learner, Parameters};
use super::{App, json, json_bytes};
use crate::erasure::{Receipt, erase};
use crate::export::Document;

/// All rows about a learner
#[utoipa::path(
    get, path = "/v1/users/{id}/export", tag = "learners",
    description = "One JSON object: the learner's own row, course progress, live and archived sessions, each as stored. It is \
                   sent page by page; a failure on the way ends the connection before the object's end.",
    params(("id" = Id, Path, description = "The learner's id")),
    responses(
        (status = 200, body = Object),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn export(
    State(app): State<Arc<App>>,
    Learner(user): Learner,
    query: Parameters,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    let user = app.known(user)?;
    let store = Arc::clone(app.statistics().store());
    let document = Document::begin(store, user, app.clock.now()).await?.ok_or(ServiceError::UnknownLearner(user))?;
    let patience = app.limits.timeout;
    let pieces = futures_util::stream::unfold(Some(document), move |document| async move {
        let mut document = document?;
        match tokio::time::timeout(patience, document.next()).await {
            Ok(Ok(piece)) => Some((Ok(piece?), Some(document))),
            Ok(Err(error)) => {
                tracing::error!(%error, "an export broke off");
                Some((Err(error.to_string()), None))
            }
            Err(_) => Some((Err("the database does not answer in time".to_owned()), None)),
        }
    });
    let mut response = json_bytes(Body::from_stream(pieces));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Erases a learner
#[utoipa::path(
    delete, path = "/v1/users/{id}", tag = "learners",
    description = "Removes all rows about a learner, what was derived from them and every kept answer. From then on rows of this \
                   learner are refused. The receipt counts what was removed and what a second look found. Erasing again is 404.",
    params(("id" = Id, Path, description = "The learner's id")),
    responses(
        (status = 200, body = Receipt),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Learner(user): Learner,
    query: Parameters,
) -> Result<Response, ApiError> {
    query.only(&[])?;
    let user = app.known(user)?;
    // goes on when the client does not wait: what is removed must be forgotten by the tiers, too
    let erasing = tokio::spawn(async move { erase(&app.tiers, user).await });
    let receipt = erasing.await.map_err(ApiError::internal)??;
    json(&receipt.ok_or(ServiceError::UnknownLearner(user))?)
}
