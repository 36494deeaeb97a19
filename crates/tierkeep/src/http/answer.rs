//! An answer of the tiers as a response: its bytes, where they came from, and whether the client has them already.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::json_bytes;
use crate::tiers::Found;

/// Which tier answered.
pub(super) const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// The response; without a body where `If-None-Match` names the tag of the answer.
pub(super) fn respond(found: &Found, asked: &HeaderMap) -> Response {
    let etag = found.body.etag();
    let mut response = if has_already(asked, &etag) {
        let mut unchanged = Response::default();
        *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
        unchanged
    } else {
        json_bytes(found.body.json())
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag);
    headers.insert(header::AGE, HeaderValue::from(found.age.as_secs()));
    headers.insert(X_CACHE, HeaderValue::from_static(found.tier.name()));
    response
}

/// Compares as RFC 9110 says for `If-None-Match`: weak tags are equal to strong ones.
fn has_already(asked: &HeaderMap, etag: &HeaderValue) -> bool {
    let tags =
        asked.get_all(header::IF_NONE_MATCH).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    tags.map(<[u8]>::trim_ascii).any(|tag| tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == etag.as_bytes())
}

/// A compressed answer has other bytes than a plain one, so its tag promises equal meaning only.
pub(super) async fn weaken_encoded(mut response: Response) -> Response {
    if response.headers().contains_key(header::CONTENT_ENCODING)
        && let Some(etag) = response.headers().get(header::ETAG)
        && !etag.as_bytes().starts_with(b"W/")
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", etag.as_bytes()].concat())
    {
        response.headers_mut().insert(header::ETAG, weak);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(tags: &str) -> bool {
        let asked = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_str(tags).unwrap())]);
        has_already(&asked, &HeaderValue::from_static("\"abc\""))
    }

    #[test]
    fn one_of_several_tags_is_enough() {
        for tags in ["\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*", " \"abc\" ,\"y\""] {
            assert!(has(tags), "{tags}");
        }
        for tags in ["\"ab\"", "abc", "", "\"abc", "W/*"] {
            assert!(!has(tags), "{tags}");
        }
    }
}
