//! The text that says where a page starts, and its signature.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use xxhash_rust::xxh3::xxh3_64;

use super::{KeysetError, Walk};
use crate::Value;
use crate::asking::{BoundSql, Param};

/// First byte of every cursor; raised when the layout changes.
const VERSION: u8 = 1;
/// Bytes of a signature: all of HMAC-SHA256.
const SIGNATURE_BYTES: usize = 32;
/// Shortest key, in bytes: what cannot be guessed.
const KEY_BYTES_MIN: usize = 16;

/// The secret with which cursors are signed, and former ones that are still accepted.
///
/// All nodes of one service need the same. The text of it is never shown.
#[derive(Clone)]
pub struct CursorKey {
    current: Vec<u8>,
    former: Vec<Vec<u8>>,
}

/// A secret that is too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key has {given} bytes, accepted are {KEY_BYTES_MIN} or more, at random")]
pub struct CursorKeyError {
    given: usize,
}

/// What a cursor says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) walk: Walk,
    /// Whether the row of the key itself is part of the page.
    pub(super) is_inclusive: bool,
    pub(super) values: Vec<Value>,
}

/// What is in a cursor beside its version and its signature.
#[derive(Serialize, Deserialize)]
struct Content {
    is_backward: bool,
    is_inclusive: bool,
    list: u64,
    filter: u64,
    values: Vec<Value>,
}

/// Reads and writes the cursors of one list.
pub(super) struct Signed<'a> {
    key: &'a CursorKey,
    marks: Marks,
}

/// What tells lists, orders and filters apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marks {
    list: u64,
    filter: u64,
}

impl Marks {
    /// `list` is the statement without filter, `filtered` the one with it; neither has a key.
    pub(super) fn new(list: &BoundSql, filtered: &BoundSql) -> Self {
        Self { list: fingerprint(list), filter: fingerprint(filtered) }
    }
}

impl CursorKey {
    /// Takes a secret.
    ///
    /// # Errors
    ///
    /// [`CursorKeyError`] for fewer than 16 bytes.
    pub fn new(secret: &[u8]) -> Result<Self, CursorKeyError> {
        if secret.len() < KEY_BYTES_MIN {
            return Err(CursorKeyError { given: secret.len() });
        }
        Ok(Self { current: secret.to_vec(), former: Vec::new() })
    }

    /// Accepts cursors that another key has signed, while a secret is replaced.
    #[must_use]
    pub fn accepting(mut self, former: Self) -> Self {
        self.former.push(former.current);
        self
    }

    fn is_of(&self, body: &[u8], signature: &[u8]) -> bool {
        let mut keys = std::iter::once(&self.current).chain(&self.former);
        // in a time that does not depend on how much of the signature is right
        keys.any(|key| mac(key, body).verify_slice(signature).is_ok())
    }
}

impl std::fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CursorKey").field("former", &self.former.len()).finish_non_exhaustive()
    }
}

fn mac(key: &[u8], body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of HMAC may have any length");
    mac.update(body);
    mac
}

impl<'a> Signed<'a> {
    pub(super) fn new(key: &'a CursorKey, marks: Marks) -> Self {
        Self { key, marks }
    }

    pub(super) fn write(&self, position: &Position) -> String {
        let content = Content {
            is_backward: position.walk == Walk::Backward,
            is_inclusive: position.is_inclusive,
            list: self.marks.list,
            filter: self.marks.filter,
            values: position.values.clone(),
        };
        let mut bytes = postcard::to_extend(&content, vec![VERSION]).expect("a key is made of plain values");
        let signature = mac(&self.key.current, &bytes).finalize().into_bytes();
        bytes.extend_from_slice(&signature);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor whose key has so many columns.
    pub(super) fn read(&self, cursor: &str, width: usize) -> Result<Position, KeysetError> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| KeysetError::Damaged)?;
        let (body, signature) = bytes.split_last_chunk::<SIGNATURE_BYTES>().ok_or(KeysetError::Damaged)?;
        let (version, content) = body.split_first().ok_or(KeysetError::Damaged)?;
        if *version != VERSION {
            return Err(KeysetError::Version);
        }
        if !self.key.is_of(body, signature) {
            return Err(KeysetError::Signature);
        }
        let content: Content = postcard::from_bytes(content).map_err(|_| KeysetError::Damaged)?;
        if content.list != self.marks.list {
            return Err(KeysetError::OtherOrder);
        }
        if content.filter != self.marks.filter {
            return Err(KeysetError::OtherFilter);
        }
        if content.values.len() != width {
            return Err(KeysetError::Damaged);
        }
        let walk = if content.is_backward { Walk::Backward } else { Walk::Forward };
        Ok(Position { walk, is_inclusive: content.is_inclusive, values: content.values })
    }
}

/// A hash of a statement and its values that is the same on every node.
fn fingerprint(statement: &BoundSql) -> u64 {
    let values: Vec<(bool, &[Value])> = statement
        .params()
        .iter()
        .map(|param| match param {
            Param::One(value) => (false, std::slice::from_ref(value)),
            Param::List(values) => (true, values.as_slice()),
        })
        .collect();
    let text = (statement.dialect() == crate::Dialect::Postgres, statement.sql());
    let bytes = postcard::to_extend(&(text, values), Vec::new()).expect("values are plain");
    xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dialect;

    fn statement(sql: &str, value: i64) -> BoundSql {
        BoundSql::new(Dialect::Sqlite, sql.to_owned(), vec![Param::One(value.into())])
    }

    fn position() -> Position {
        let values = vec![Value::Instant(1), Value::Null, Value::Float(f64::MIN_POSITIVE), "ä".into()];
        Position { walk: Walk::Backward, is_inclusive: true, values }
    }

    /// The second and the fourth test case of RFC 4231.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let hex = |key: &[u8], body: &[u8]| {
            let bytes = mac(key, body).finalize().into_bytes();
            bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        let counted: Vec<u8> = (1..=25).collect();

        assert_eq!(
            hex(b"Jefe", b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(hex(&counted, &[0xcd; 50]), "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
    }

    #[test]
    fn cursor_says_what_was_written() {
        let key = CursorKey::new(&[7; 16]).unwrap();
        let signed = Signed::new(&key, Marks::new(&statement("a", 1), &statement("b", 1)));

        assert_eq!(signed.read(&signed.write(&position()), 4), Ok(position()));
    }

    #[test]
    fn every_altered_bit_is_noticed() {
        let key = CursorKey::new(&[7; 16]).unwrap();
        let signed = Signed::new(&key, Marks::new(&statement("a", 1), &statement("b", 1)));
        let bytes = URL_SAFE_NO_PAD.decode(signed.write(&position())).unwrap();

        for bit in 0..bytes.len() * 8 {
            let mut altered = bytes.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            let refused = signed.read(&URL_SAFE_NO_PAD.encode(altered), 4).unwrap_err();
            let expected = if bit < 8 { KeysetError::Version } else { KeysetError::Signature };
            assert_eq!(refused, expected, "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(signed.read(&URL_SAFE_NO_PAD.encode(&bytes[..length]), 4).is_err(), "cut to {length} bytes");
        }
    }

    #[test]
    fn cursor_of_another_list_filter_or_key_says_which() {
        let (key, other) = (CursorKey::new(&[7; 16]).unwrap(), CursorKey::new(&[8; 16]).unwrap());
        let (list, filtered) = (statement("a", 1), statement("b", 1));
        let cursor = Signed::new(&key, Marks::new(&list, &filtered)).write(&position());
        let read = |key: &CursorKey, list: &BoundSql, filtered: &BoundSql| {
            Signed::new(key, Marks::new(list, filtered)).read(&cursor, 4).map(|_| ())
        };

        assert_eq!(read(&key, &statement("c", 1), &filtered), Err(KeysetError::OtherOrder));
        assert_eq!(read(&key, &list, &statement("b", 2)), Err(KeysetError::OtherFilter));
        assert_eq!(read(&other, &list, &filtered), Err(KeysetError::Signature));
        assert_eq!(read(&other.accepting(key.clone()), &list, &filtered), Ok(()));
        assert_eq!(CursorKey::new(&[7; 15]).unwrap_err(), CursorKeyError { given: 15 });
    }
}
