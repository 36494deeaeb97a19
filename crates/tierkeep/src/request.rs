//! The request that is being answered: its id, which every line of the log under it carries.
//!
//! The id travels with the task and not in a span: it is there whatever is logged, and costs nothing where nothing is.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The header that names a request, in both directions.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over from a client.
const LONGEST: usize = 64;
/// Letters of an id that is made here: none that people mistake for another.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 64 bits in letters of 5.
const LETTERS_OF_ID: usize = 13;

tokio::task_local! {
    static CURRENT: Current;
}

struct Current {
    id: HeaderValue,
    is_explained: Cell<bool>,
}

/// Runs a future as what answers a request.
pub(crate) async fn during<T>(id: HeaderValue, answering: impl Future<Output = T>) -> T {
    CURRENT.scope(Current { id, is_explained: Cell::new(false) }, answering).await
}

/// Runs a function as what answers a request.
pub(crate) fn during_sync<T>(id: HeaderValue, answering: impl FnOnce() -> T) -> T {
    CURRENT.sync_scope(Current { id, is_explained: Cell::new(false) }, answering)
}

/// Hands the id of the request that this task answers to a function; `None` where it answers none.
pub(crate) fn with_id<T>(read: impl FnOnce(&str) -> T) -> Option<T> {
    CURRENT.try_with(|current| current.id.to_str().ok().map(read)).ok().flatten()
}

/// The log says already why this request is slow.
pub(crate) fn note_explained() {
    // a reader that is no request has nobody to tell
    let _ = CURRENT.try_with(|current| current.is_explained.set(true));
}

/// Whether it does.
pub(crate) fn is_explained() -> bool {
    CURRENT.try_with(|current| current.is_explained.get()).unwrap_or(false)
}

/// Names requests that bring no name.
#[derive(Debug)]
pub(crate) struct Ids(AtomicU64);

impl Ids {
    /// Ids that begin anywhere: two nodes do not give the same ones, and nobody can count requests by them.
    pub(crate) fn new() -> Self {
        let mut seed = [0; 8];
        // without chance ids would repeat after a start, which only those who read two logs notice
        let _ = getrandom::fill(&mut seed);
        Self(AtomicU64::new(u64::from_ne_bytes(seed)))
    }

    /// The id that a request brings, if it is a sane one, else a new one.
    pub(crate) fn of(&self, headers: &HeaderMap) -> HeaderValue {
        given(headers).unwrap_or_else(|| self.next())
    }

    fn next(&self) -> HeaderValue {
        let mut bits = scramble(self.0.fetch_add(1, Ordering::Relaxed));
        let id: [u8; LETTERS_OF_ID] = std::array::from_fn(|_| {
            let letter = LETTERS[(bits & 31) as usize];
            bits >>= 5;
            letter
        });
        HeaderValue::from_bytes(&id).expect("letters and digits")
    }
}

/// One id of 1 to 64 letters, digits, dots, lines and underscores; what else a client sends is not repeated anywhere.
fn given(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all(X_REQUEST_ID).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let is_sane = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let bytes = value.as_bytes();
    ((1..=LONGEST).contains(&bytes.len()) && bytes.iter().all(is_sane)).then(|| value.clone())
}

/// Another number for each: the last step of SplitMix64.
fn scramble(count: u64) -> u64 {
    let bits = count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        values.iter().map(|value| (X_REQUEST_ID, HeaderValue::from_bytes(value).unwrap())).collect()
    }

    #[test]
    fn a_sane_id_is_taken_over_and_nothing_else() {
        let ids = Ids::new();
        let longest = "x".repeat(64);
        for sane in ["a", "0b9f-4.A_z", longest.as_str()] {
            assert_eq!(ids.of(&headers(&[sane.as_bytes()])), sane);
        }
        let too_long = "x".repeat(65);
        let refused: [&[&[u8]]; 7] = [
            &[],
            &[b""],
            &[b"a b"],
            &[b"ada@secret.example"],
            &["日".as_bytes()],
            &[too_long.as_bytes()],
            &[b"a", b"a"],
        ];
        for refused in refused {
            let id = ids.of(&headers(refused));
            assert_eq!(id.len(), LETTERS_OF_ID, "{refused:?}");
            assert_eq!(given(&headers(&[id.as_bytes()])), Some(id));
        }
    }

    #[test]
    fn ids_differ() {
        let ids = Ids(AtomicU64::new(u64::MAX - 5000));

        let made: Vec<HeaderValue> = (0..10_000).map(|_| ids.next()).collect();

        assert_eq!(made.iter().collect::<HashSet<_>>().len(), made.len());
    }

    #[tokio::test]
    async fn an_id_belongs_to_one_request() {
        assert_eq!(with_id(str::to_owned), None);

        let seen = during(HeaderValue::from_static("outer"), async {
            let inner = during(HeaderValue::from_static("inner"), async {
                note_explained();
                (with_id(str::to_owned), is_explained())
            });
            (inner.await, with_id(str::to_owned), is_explained())
        });

        assert_eq!(seen.await, ((Some("inner".to_owned()), true), Some("outer".to_owned()), false));
    }
}
