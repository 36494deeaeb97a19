//! An answer of the tiers as a response: its bytes, where they came from, and whether the client has them already.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use http_body::Frame;

use super::json_bytes;
use crate::tiers::Found;

/// Which tier answered.
pub(super) const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// The response; without a body where `If-None-Match` names the tag of the answer.
pub(super) fn respond(found: &Found, asked: &HeaderMap) -> Response {
    let etag = found.body.etag();
    let (mut response, etag) = match named(asked, &etag) {
        Some(named) => (unchanged(), named),
        None => (json_bytes(found.body.json()), etag),
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag);
    // said here and not by the compression, which leaves out what has no body
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(header::AGE, HeaderValue::from(found.age.as_secs()));
    headers.insert(X_CACHE, HeaderValue::from_static(found.tier.name()));
    response
}

/// The tag of the client's that means the answer, as the client wrote it: a compressed answer has a weak one, and a cache
/// finds what it stored by exactly its tag.
///
/// Compares as RFC 9110 says for `If-None-Match`: weak tags are equal to strong ones.
fn named(asked: &HeaderMap, etag: &HeaderValue) -> Option<HeaderValue> {
    let tags =
        asked.get_all(header::IF_NONE_MATCH).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let mut tags = tags.map(<[u8]>::trim_ascii);
    let tag = tags.find(|tag| *tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == etag.as_bytes())?;
    if tag.starts_with(b"W/") { HeaderValue::from_bytes(tag).ok() } else { Some(etag.clone()) }
}

fn unchanged() -> Response {
    let mut response = Response::new(Body::new(Absent));
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

/// The body of an answer that was left out. Its length is not told: an empty body would get `Content-Length: 0`, and that
/// header speaks of the answer that the client has.
struct Absent;

impl HttpBody for Absent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(tags: &str) -> bool {
        let asked = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_str(tags).unwrap())]);
        named(&asked, &HeaderValue::from_static("\"abc\"")).is_some()
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
