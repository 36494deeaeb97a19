//! Every address there is, and what every request passes through.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{Method, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::FutureExt;
use tower_http::compression::CompressionLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::api::Api;
use super::error::ApiError;
use super::fast_path::Judged;
use super::observe::{Observer, observed};
use super::{
    App, admin, batch, courses, docs, encoding, erasure, guard, health, index, learner, metrics, retention, schedule,
    session_batch, sessions, users,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tierkeep",
        description = "Learning statistics from study sessions. Errors are RFC 9457 problems with a stable `type`. Whoever asks too \
                       often gets 429 with `Retry-After`.",
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
        .routes(routes!(admin::database::database))
        .routes(routes!(retention::cleanup))
        .routes(routes!(retention::runs))
        .routes(routes!(retention::run))
        .routes(routes!(retention::restore))
        .routes(routes!(schedule::schedule))
        .routes(routes!(schedule::history))
        .routes(routes!(schedule::run))
        .routes(routes!(schedule::switch))
        .routes(routes!(schedule::precompute))
        .routes(routes!(schedule::warmup))
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
pub fn api(app: Arc<App>) -> Api {
    let observer = Observer::new(Arc::clone(&app));
    Api::new(router(app, observer.clone()), observer)
}

fn router(app: Arc<App>, observer: Observer) -> Router {
    let (router, _) = described().split_for_parts();
    let body_limit = usize::try_from(app.limits.body.get()).unwrap_or(usize::MAX);
    router
        .route("/docs", get(docs::redirect))
        .route("/docs/", get(docs::page))
        .route("/docs/{*file}", get(docs::page))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        // the first is the outermost; one layer of several, since each layer of a Router is boxed, and so is what each request
        // makes of it
        .layer((
            from_fn_with_state(observer, observed),
            DefaultBodyLimit::max(body_limit),
            CompressionLayer::new().compress_when(encoding::worthwhile()),
            from_fn_with_state(Arc::clone(&app), guarded),
        ))
        .with_state(app)
}

async fn unknown_path(uri: Uri) -> ApiError {
    ApiError::UnknownPath(uri.path().to_owned())
}

async fn wrong_method(method: Method) -> ApiError {
    ApiError::WrongMethod(method.to_string())
}

/// Nothing waits longer than a request may, and nothing that panics takes more with it than its own request.
async fn guarded(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let answering = async {
        let verdict = match request.extensions_mut().remove::<Judged>() {
            Some(Judged(verdict)) => verdict,
            None => {
                let scope = guard::scope(&request);
                if scope.is_some() {
                    app.access.catch_up().await;
                }
                guard::pass(&app, &request, scope)
            }
        };
        match verdict {
            Ok(()) => next.run(request).await,
            Err(refusal) => ApiError::from(refusal).into_response(),
        }
    };
    // what is left half-way is the request's own
    let caught = AssertUnwindSafe(answering).catch_unwind();
    match tokio::time::timeout(app.limits.timeout, caught).await {
        Ok(Ok(response)) => response,
        // the panic hook has logged it
        Ok(Err(_)) => ApiError::internal("a handler panicked").problem().into_response(),
        Err(_) => ApiError::Timeout.into_response(),
    }
}
