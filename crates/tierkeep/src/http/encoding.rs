//! Which encoding an answer has, and clients that accept none.

use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, Version, header};
use tower_http::compression::predicate::{DefaultPredicate, Predicate};

use super::idempotency::Unencoded;

/// Whether a client accepts gzip, or an answer as it is. What cannot be read is left out. The compression would refuse whoever
/// accepts neither as well, but only once the request was carried out, and would send the answer with it.
pub(super) fn is_acceptable(headers: &HeaderMap) -> bool {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    for coding in values.flat_map(|value| value.split(',')) {
        let (name, parameter) = coding.split_once(';').map_or((coding, None), |(name, rest)| (name, Some(rest)));
        let Some(accepted) = parameter.map_or(Some(true), is_above_zero) else { continue };
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => gzip = gzip.or(Some(accepted)),
            "identity" => identity = identity.or(Some(accepted)),
            "*" => any = any.or(Some(accepted)),
            _ => {}
        }
    }
    gzip.or(any).unwrap_or(false) || identity.or(any).unwrap_or(true)
}

/// Whether a weight, as RFC 9110 writes it, is above 0.
fn is_above_zero(parameter: &str) -> Option<bool> {
    let value = parameter.trim().strip_prefix(['q', 'Q'])?.strip_prefix('=')?;
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let is_fraction = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let is_zero = fraction.bytes().all(|byte| byte == b'0');
    match whole {
        "0" if is_fraction => Some(!is_zero),
        "1" if is_fraction && is_zero => Some(true),
        _ => None,
    }
}

/// Which answers are compressed: as the layer decides, but never one that was left out, or whose tag must stay strong.
pub(super) fn worthwhile() -> impl Predicate {
    DefaultPredicate::new().and(|status: StatusCode, _: Version, _: &HeaderMap, extensions: &Extensions| {
        status != StatusCode::NOT_MODIFIED && extensions.get::<Unencoded>().is_none()
    })
}

/// A compressed answer has other bytes than a plain one, so its tag promises equal meaning only.
pub(super) fn weaken_tag(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONTENT_ENCODING)
        && let Some(etag) = headers.get(header::ETAG)
        && !etag.as_bytes().starts_with(b"W/")
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", etag.as_bytes()].concat())
    {
        headers.insert(header::ETAG, weak);
    }
}
