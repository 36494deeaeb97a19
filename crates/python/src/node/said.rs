//! What a node said, read: JSON, or why it is no answer of a node.

use std::sync::Arc;

use super::wire::Response;

/// What a node said, read.
pub(super) struct Said {
    pub(super) status: u16,
    /// None: what is kept still holds.
    pub(super) body: Option<Arc<str>>,
    pub(super) etag: Option<String>,
    pub(super) tier: Option<String>,
    pub(super) position: Option<u64>,
}

/// The answer as text that is JSON, or why it is not.
pub(super) fn text(response: Response, has_kept: bool) -> Result<Said, String> {
    let Response { status, etag, cache: tier, position, is_json, body, .. } = response;
    if status == 304 {
        return if has_kept {
            Ok(Said { status, body: None, etag, tier, position })
        } else {
            Err("status 304, though it was not asked whether something changed".to_owned())
        };
    }
    if !is_json && !body.is_empty() {
        return Err(format!("status {status} with a body that is not declared as JSON"));
    }
    if !(200..300).contains(&status) && !(400..600).contains(&status) {
        return Err(format!("status {status}"));
    }
    let body = String::from_utf8(body).map_err(|_| format!("status {status} with a body that is no UTF-8"))?;
    if (status == 200 || !body.is_empty()) && serde_json::from_str::<serde::de::IgnoredAny>(&body).is_err() {
        return Err(format!("status {status} with a body that is no JSON"));
    }
    Ok(Said { status, body: Some(body.into()), etag, tier, position })
}
