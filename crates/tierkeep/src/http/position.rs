//! A position that a client has seen: what it reads from here on is not older.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};

use super::App;
use super::error::{ApiError, BadParameter, Fault, clip};

/// The position that covers a write, and the one that a reader asks for.
pub(super) const X_TIERKEEP_POSITION: HeaderName = HeaderName::from_static("x-tierkeep-position");

/// The headers of a question about statistics, and whether what this node has kept may answer it. Every handler of a
/// statistic takes this, so that none forgets the position.
#[derive(Debug)]
pub(super) struct Asked {
    /// The headers that an answer depends on: what the client has, and which language it prefers.
    pub(super) headers: HeaderMap,
    /// Whether the tiers above the database may answer: this node knows of everything up to the position asked for.
    pub(super) may_be_kept: bool,
}

impl FromRequestParts<Arc<App>> for Asked {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let may_be_kept = match seen(&parts.headers)? {
            None => true,
            Some(position) => app.tiers.reach(position).await,
        };
        let mut headers = HeaderMap::new();
        for name in [header::IF_NONE_MATCH, header::ACCEPT_LANGUAGE] {
            for value in parts.headers.get_all(&name) {
                headers.append(&name, value.clone());
            }
        }
        Ok(Self { headers, may_be_kept })
    }
}

fn seen(headers: &HeaderMap) -> Result<Option<u64>, BadParameter> {
    let mut values = headers.get_all(X_TIERKEEP_POSITION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(position) if is_number && values.next().is_none() => Ok(Some(position)),
        _ => Err(BadParameter {
            parameter: "X-Tierkeep-Position",
            given: clip(&text),
            accepted: "one number, as a write returned it: 0 to 2^64-1".to_owned(),
            fault: Fault::Unreadable,
        }),
    }
}
