//! Every address there is, and what every request passes through.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, Method, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::trace::TraceLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::ApiError;
use super::{
    App, admin, batch, courses, docs, encoding, erasure, guard, health, index, learner, metrics, retention,
    session_batch, sessions, users,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tierkeep",
        description = "Learning statistics from study sessions. Errors are RFC 9457 problems with a stable `type`.",
    ),
    components(schemas(docs::CacheState)),
    tags(
        (name = "statistics", description = "What is derived from sessions and course progress"),
        (name = "learners", description = "Learners and their sessions"),
        (name = "sessions", description = "Writing sessions and course progress"),
        (name = "operation", description = "Health, the cache, and this description"),
    )
)]
struct Document;

fn described() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(learner::daily))
        .routes(routes!(learner::weekly))
        .routes(routes!(learner::monthly))
        .routes(routes!(learner::analytics))
        .routes(routes!(learner::streaks))
        .routes(routes!(learner::heatmap))
        .routes(routes!(learner::courses))
        .routes(routes!(learner::global))
        .routes(routes!(batch::batch))
        .routes(routes!(users::users))
        .routes(routes!(users::sessions))
        .routes(routes!(erasure::delete))
        .routes(routes!(erasure::export))
        .routes(routes!(sessions::create))
        .routes(routes!(session_batch::batch))
        .routes(routes!(sessions::read, sessions::patch, sessions::delete))
        .routes(routes!(sessions::complete))
        .routes(routes!(courses::put, courses::delete))
        .routes(routes!(admin::cache))
        .routes(routes!(admin::invalidate))
        .routes(routes!(retention::cleanup))
        .routes(routes!(retention::runs))
        .routes(routes!(retention::run))
        .routes(routes!(retention::restore))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::metrics))
        .routes(routes!(docs::document))
        .routes(routes!(index::index))
}

/// The OpenAPI 3.1 document of all routes.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = described().into_openapi();
    guard::describe(&mut document);
    document
}

/// The API as a service.
pub fn router(app: Arc<App>) -> Router {
    let (router, _) = described().split_for_parts();
    let body_limit = usize::try_from(app.limits.body.get()).unwrap_or(usize::MAX);
    router
        .route("/docs", get(docs::redirect))
        .route("/docs/", get(docs::page))
        .route("/docs/{*file}", get(docs::page))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard::guard))
        .layer(middleware::from_fn(encoding::refuse_unacceptable))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), in_time))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(CompressionLayer::new().compress_when(encoding::worthwhile()))
        .layer(middleware::map_response(encoding::weaken_tag))
        .layer(middleware::map_response(no_sniffing))
        .layer(DefaultBodyLimit::max(body_limit))
        .layer(TraceLayer::new_for_http())
        .layer(middleware::from_fn_with_state(Arc::clone(&app), metrics::counted))
        .with_state(app)
}

async fn unknown_path(uri: Uri) -> ApiError {
    ApiError::UnknownPath(uri.path().to_owned())
}

async fn wrong_method(method: Method) -> ApiError {
    ApiError::WrongMethod(method.to_string())
}

async fn in_time(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(app.limits.timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::Timeout.into_response(),
    }
}

/// The panic hook has logged it.
fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    ApiError::internal("a handler panicked").problem().into_response()
}

async fn no_sniffing(mut response: Response) -> Response {
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
