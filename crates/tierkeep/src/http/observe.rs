//! What every request passes through first and last: its id, its count, its line in the log, and what every answer says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use super::answer::X_CACHE;
use super::secure::secure;
use super::{App, encoding};
use crate::request::{self, Ids, X_REQUEST_ID};
use crate::telemetry::Span;

/// What the outermost layer needs.
#[derive(Debug, Clone)]
pub(super) struct Observer {
    app: Arc<App>,
    ids: Arc<Ids>,
}

impl Observer {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app, ids: Arc::new(Ids::new()) }
    }

    pub(super) fn app(&self) -> &App {
        &self.app
    }

    /// The id that a request brings, or a new one.
    pub(super) fn id_of(&self, headers: &HeaderMap) -> HeaderValue {
        self.ids.of(headers)
    }

    /// Counts and logs a request that is answered, and says what every answer says.
    pub(super) fn end(
        &self,
        method: &Method,
        route: Option<&str>,
        began: Instant,
        response: &mut Response,
        id: HeaderValue,
    ) {
        let took = began.elapsed();
        self.app.metrics.traffic.note(method, route, response.status(), took);
        log(&self.app, method, route, response, took);
        let headers = response.headers_mut();
        encoding::weaken_tag(headers);
        secure(headers);
        headers.insert(X_REQUEST_ID, id);
    }
}

/// Names a request, and counts and logs it when it is answered; one whose client goes away before is neither.
pub(super) async fn observed(State(observer): State<Observer>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = observer.ids.of(request.headers());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route_name = route.as_ref().map(MatchedPath::as_str);
    let span = tracing::debug_span!("request", %method, route = route_name);
    let traced = Span::request(request.headers(), &method, route_name, began);
    let answering = async {
        let mut response = traced.during(next.run(request).instrument(span)).await;
        observer.end(&method, route_name, began, &mut response, id.clone());
        traced.answered(&response);
        response
    };
    request::during(id.clone(), answering).await
}

/// The route and not the address: what stands in an address is a client's.
fn log(app: &App, method: &Method, route: Option<&str>, response: &Response, took: Duration) {
    let tier = || response.headers().get(X_CACHE).and_then(|tier| tier.to_str().ok());
    let duration_ms = || took.as_secs_f64() * 1000.0;
    tracing::debug!(
        target: "tierkeep::access",
        %method,
        route,
        status = response.status().as_u16(),
        duration_ms = duration_ms(),
        tier = tier(),
        "answered"
    );
    let watch = app.tiers.watch();
    // the tiers have said more of what was slow there
    if watch.is_slow(took)
        && !request::is_explained()
        && let Some(suppressed) = watch.may_tell()
    {
        tracing::warn!(
            target: "tierkeep::slow",
            %method,
            route,
            status = response.status().as_u16(),
            duration_ms = duration_ms(),
            suppressed = (suppressed > 0).then_some(suppressed),
            "a request was slow"
        );
    }
}
