//! Where a request belongs: `traceparent` and `tracestate` of W3C Trace Context.
//!
//! The SDK has a reader of its own, which takes ids of any length and signs before numbers.

use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Bytes of a `traceparent`, as far as its form is known.
const KNOWN: usize = 55;
/// Bytes of `tracestate` that are taken over at least, by the standard; here also at most.
const LONGEST_STATE: usize = 512;

/// The span elsewhere that a request was made for; `None` where none is named, or not by the standard.
pub(super) fn of(headers: &HeaderMap) -> Option<SpanContext> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let Named { trace, span, flags } = read(value.as_bytes())?;
    let context = SpanContext::new(
        TraceId::from_bytes(trace.to_be_bytes()),
        SpanId::from_bytes(span.to_be_bytes()),
        // what other flags mean is not known
        TraceFlags::new(flags) & TraceFlags::SAMPLED,
        true,
        state(headers).unwrap_or_default(),
    );
    context.is_valid().then_some(context)
}

struct Named {
    trace: u128,
    span: u64,
    flags: u8,
}

fn read(value: &[u8]) -> Option<Named> {
    let (known, rest) = value.split_at_checked(KNOWN)?;
    let known = std::str::from_utf8(known).ok()?;
    let mut parts = known.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lengths = [version, trace, span, flags].map(str::len);
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte) || byte == b'-';
    if lengths != [2, 32, 16, 2] || !known.bytes().all(is_hex) || version == "ff" {
        return None;
    }
    // later versions may say more behind what is known
    if !rest.is_empty() && (version == "00" || rest[0] != b'-') {
        return None;
    }
    Some(Named {
        trace: u128::from_str_radix(trace, 16).ok()?,
        span: u64::from_str_radix(span, 16).ok()?,
        flags: u8::from_str_radix(flags, 16).ok()?,
    })
}

/// `None` as well where what is given is too long or not readable: the trace goes on without it.
fn state(headers: &HeaderMap) -> Option<TraceState> {
    let values: Option<Vec<&str>> = headers.get_all(TRACESTATE).iter().map(|value| value.to_str().ok()).collect();
    let text = values?.join(",");
    if text.is_empty() || text.len() > LONGEST_STATE {
        return None;
    }
    TraceState::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn headers(of: &[(HeaderName, &str)]) -> HeaderMap {
        of.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    fn parent(value: &str) -> Option<SpanContext> {
        of(&headers(&[(TRACEPARENT, value)]))
    }

    #[test]
    fn a_parent_is_continued_with_its_decision() {
        for (tail, is_sampled) in [("01", true), ("00", false), ("03", true), ("fe", false)] {
            let parent = parent(&format!("00-{TRACE}-{SPAN}-{tail}")).expect(tail);

            assert_eq!((parent.trace_id().to_string(), parent.span_id().to_string()), (TRACE.into(), SPAN.into()));
            assert_eq!((parent.is_sampled(), parent.is_remote()), (is_sampled, true));
        }
        for later in [format!("01-{TRACE}-{SPAN}-01"), format!("cc-{TRACE}-{SPAN}-01-more")] {
            assert!(parent(&later).is_some(), "{later}");
        }
    }

    #[test]
    fn what_the_standard_does_not_know_is_no_parent() {
        let (zeros, upper) = ("0".repeat(32), TRACE.to_uppercase());
        for wrong in [
            String::new(),
            "nonsense".to_owned(),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("01-{TRACE}-{SPAN}-01more"),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{upper}-{SPAN}-01"),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{TRACE}-{SPAN}-+1"),
            format!("00-{TRACE}{SPAN}--01"),
            format!("00-{TRACE}-{}ä-01", &SPAN[..14]),
        ] {
            assert!(parent(&wrong).is_none(), "{wrong}");
        }
        let twice = headers(&[(TRACEPARENT, &format!("00-{TRACE}-{SPAN}-01")), (TRACEPARENT, "nonsense")]);
        assert!(of(&twice).is_none());
    }

    #[test]
    fn a_state_goes_with_the_trace_unless_it_cannot_be_read() {
        let named = format!("00-{TRACE}-{SPAN}-01");
        let long = format!("a={}", "x".repeat(LONGEST_STATE));
        for (given, taken) in [
            (vec!["a=1", "b=2"], "a=1,b=2"),
            (vec![], ""),
            (vec!["Upper=1"], ""),
            (vec!["none"], ""),
            (vec![long.as_str()], ""),
        ] {
            let mut all = vec![(TRACEPARENT, named.as_str())];
            all.extend(given.into_iter().map(|value| (TRACESTATE, value)));

            assert_eq!(of(&headers(&all)).unwrap().trace_state().header(), taken);
        }
    }
}
