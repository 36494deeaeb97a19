//! An answer as it is kept and sent: its bytes, their tag, and while which instants they hold.

use std::ops::Range;

use axum::body::Bytes;
use axum::http::HeaderValue;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tierkeep_cache::{ByteSize, Codec, CodecError};
use tierkeep_learning::service::Footing;
use tierkeep_learning::store::Basis;

/// Bytes that hold most answers without growing.
const TYPICAL: usize = 1024;
/// Bytes of the tag that is made from an answer: enough for two different answers never to meet.
const DIGEST: usize = 16;
/// Bytes of the tag as it is sent: six bits a letter, and two quotes.
const ETAG: usize = (DIGEST * 8).div_ceil(6) + 2;

/// An encoded answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    json: Bytes,
    digest: [u8; DIGEST],
    footing: Footing,
}

impl Body {
    /// Encodes an answer, once for all who will get it.
    pub(super) fn encode(answer: &impl Serialize, footing: &Footing) -> Self {
        let mut json = Vec::with_capacity(TYPICAL);
        serde_json::to_writer(&mut json, answer).expect("an answer is made of names, numbers and dates");
        json.shrink_to_fit();
        Self { digest: digest(&json), json: json.into(), footing: footing.clone() }
    }

    /// The bytes that are sent.
    #[must_use]
    pub fn json(&self) -> Bytes {
        self.json.clone()
    }

    /// The entity tag: equal exactly where the answers are, `as_of` apart.
    #[must_use]
    pub fn etag(&self) -> HeaderValue {
        let mut tag = [b'"'; ETAG];
        let coded = URL_SAFE_NO_PAD.encode_slice(self.digest, &mut tag[1..ETAG - 1]).expect("16 bytes are 22 letters");
        debug_assert_eq!(coded, ETAG - 2);
        HeaderValue::from_bytes(&tag).expect("base64 is printable ASCII")
    }

    /// What it was computed from.
    #[must_use]
    pub fn basis(&self) -> Basis {
        self.footing.basis
    }

    /// At which instants it is the answer: the day in which it was computed.
    #[must_use]
    pub fn holds(&self) -> &Range<Timestamp> {
        &self.footing.today
    }
}

/// A digest of everything but the value of the first `as_of`. Before it stand an id and the name of a zone, so that no text
/// from outside can be taken for it.
fn digest(json: &[u8]) -> [u8; DIGEST] {
    const FIELD: &[u8] = b"\"as_of\":\"";
    let mut hash = Sha256::new();
    match json.windows(FIELD.len()).position(|window| window == FIELD) {
        None => hash.update(json),
        Some(at) => {
            let (before, rest) = json.split_at(at + FIELD.len());
            let end = rest.iter().position(|byte| *byte == b'"').unwrap_or(rest.len());
            hash.update(before);
            hash.update(&rest[end..]);
        }
    }
    let mut digest = [0; DIGEST];
    digest.copy_from_slice(&hash.finalize()[..DIGEST]);
    digest
}

impl ByteSize for Body {
    fn byte_size(&self) -> usize {
        // the bytes are one more allocation with a counter
        size_of::<Self>() + 48 + self.json.len()
    }
}

/// A body in Redis: digest (16 bytes), basis (1: 0 summaries, 1 rows), first and end of the instants in microseconds
/// (8 bytes each, big-endian), the JSON.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyCodec;

const HEAD: usize = DIGEST + 1 + 8 + 8;

impl Codec<Body> for BodyCodec {
    fn fingerprint(&self) -> u64 {
        // "tkbody" and the version of the form above
        0x746b_626f_6479_0001
    }

    fn encode(&self, body: &Body) -> Result<Vec<u8>, CodecError> {
        let mut bytes = Vec::with_capacity(HEAD + body.json.len());
        bytes.extend_from_slice(&body.digest);
        bytes.push(u8::from(body.footing.basis == Basis::Rows));
        bytes.extend_from_slice(&body.footing.today.start.as_microsecond().to_be_bytes());
        bytes.extend_from_slice(&body.footing.today.end.as_microsecond().to_be_bytes());
        bytes.extend_from_slice(&body.json);
        Ok(bytes)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Body, CodecError> {
        let short = || CodecError::new("too short for an answer");
        let (head, json) = bytes.split_at_checked(HEAD).ok_or_else(short)?;
        let (digest, rest) = head.split_first_chunk::<DIGEST>().ok_or_else(short)?;
        let (basis, rest) = rest.split_first().ok_or_else(short)?;
        let (start, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        let (end, _) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        let basis = match basis {
            0 => Basis::Summaries,
            1 => Basis::Rows,
            other => return Err(CodecError::new(format_args!("{other} is no basis"))),
        };
        let instant =
            |bytes: &[u8; 8]| Timestamp::from_microsecond(i64::from_be_bytes(*bytes)).map_err(CodecError::new);
        let today = instant(start)?..instant(end)?;
        Ok(Body { json: Bytes::copy_from_slice(json), digest: *digest, footing: Footing { basis, today } })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn footing() -> Footing {
        let instant = |text: &str| text.parse::<Timestamp>().unwrap();
        Footing { basis: Basis::Rows, today: instant("2026-01-30T23:00:00Z")..instant("2026-01-31T23:00:00Z") }
    }

    fn body(answer: &serde_json::Value) -> Body {
        Body::encode(answer, &footing())
    }

    #[test]
    fn only_the_clock_is_outside_the_tag() {
        let one = body(&json!({ "user_id": 1, "as_of": "2026-01-31T14:00:00Z", "n": 3 }));
        let later = body(&json!({ "user_id": 1, "as_of": "2026-01-31T15:00:00.5Z", "n": 3 }));
        let other = body(&json!({ "user_id": 1, "as_of": "2026-01-31T14:00:00Z", "n": 4 }));

        assert_eq!(one.etag(), later.etag());
        assert_ne!(one.etag(), other.etag());
        assert_ne!(one.json(), later.json());
    }

    #[test]
    fn a_body_comes_back_from_redis_as_it_was() {
        let body = body(&json!({ "as_of": "x", "text": "中文" }));

        let bytes = BodyCodec.encode(&body).unwrap();

        assert_eq!(BodyCodec.decode(&bytes).unwrap(), body);
        assert!(BodyCodec.decode(&bytes[..HEAD - 1]).is_err());
    }

    proptest! {
        #[test]
        fn foreign_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = BodyCodec.decode(&bytes);
        }
    }
}
