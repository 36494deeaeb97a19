//! The page at `/`: what this is, and where to go on.

use std::sync::{Arc, LazyLock};

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::App;
use super::error::ApiError;

/// Learners on the page.
const SHOWN: u32 = 8;

const STYLE: &str = include_str!("../../templates/index.css");

#[derive(Template)]
#[template(path = "index.html")]
struct Index {
    version: &'static str,
    style: &'static str,
    learners: Vec<Learner>,
    reachable: bool,
    guarded: bool,
}

struct Learner {
    id: String,
    username: String,
}

/// Nothing may be loaded; the one style in the page is allowed by its hash.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).expect("the policy is made of printable ASCII")
});

/// What this is
#[utoipa::path(get, path = "/", tag = "operation", responses((status = 200, content_type = "text/html", body = String)))]
pub(super) async fn index(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    // names are for those who may read them, and this page asks nobody who they are
    let guarded = app.access.is_required();
    let rows = if guarded { Ok(Vec::new()) } else { app.statistics().store().users(None, SHOWN).await };
    if let Err(error) = &rows {
        tracing::error!(%error, "the index page has no learners");
    }
    let reachable = rows.is_ok();
    let learners = rows.unwrap_or_default();
    let learners = learners.into_iter().map(|row| Learner { id: row.id.to_string(), username: row.username }).collect();
    let page = Index { version: env!("CARGO_PKG_VERSION"), style: STYLE, learners, reachable, guarded };
    let mut response = Html(page.render().map_err(ApiError::internal)?).into_response();
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
    response.headers_mut().insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    Ok(response)
}
