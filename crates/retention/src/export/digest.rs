//! Digests of rows, and checksums of files.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use xxhash_rust::xxh3::Xxh3Default;

/// Digest of a row by its fields as an export file says them: `None` and `Some("")` are equal.
///
/// It is stable between versions. It finds damage and changes, and is no defence against whoever wants two rows to have
/// one digest.
#[must_use]
pub fn row_digest(fields: &[Option<&str>]) -> u64 {
    digest(fields.iter().map(|field| field.unwrap_or_default().as_bytes()))
}

/// [`row_digest`] of fields as they are read.
pub(super) fn digest<'a>(fields: impl Iterator<Item = &'a [u8]>) -> u64 {
    let mut hash = Xxh3Default::new();
    for field in fields {
        // with lengths, or ("ab", "c") would be ("a", "bc")
        hash.update(&(field.len() as u64).to_le_bytes());
        hash.update(field);
    }
    hash.digest()
}

/// Digest of many rows: the sum of theirs, wrapping, so that neither their order nor their files matter and a row that
/// is there twice counts twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RowDigest(u64);

impl RowDigest {
    /// Adds a row by its [`row_digest`].
    pub fn add(&mut self, row: u64) {
        self.0 = self.0.wrapping_add(row);
    }

    /// Adds all rows of another digest.
    pub fn merge(&mut self, rows: Self) {
        self.add(rows.0);
    }

    /// The sum.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

/// Sixteen hexadecimal digits.
impl fmt::Display for RowDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for RowDigest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        unhex(text).map(|bytes| Self(u64::from_be_bytes(bytes)))
    }
}

/// SHA-256 of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256Sum([u8; 32]);

impl Sha256Sum {
    /// A sum that was computed.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// 64 hexadecimal digits, as `sha256sum` prints them.
impl fmt::Display for Sha256Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Sha256Sum {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        unhex(text).map(Self)
    }
}

/// Text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a text of {found} bytes is no digest; accepted: {expected} hexadecimal digits in lower case")]
pub struct DigestError {
    found: usize,
    expected: usize,
}

fn unhex<const N: usize>(text: &str) -> Result<[u8; N], DigestError> {
    let error = || DigestError { found: text.len(), expected: 2 * N };
    if text.len() != 2 * N || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(error());
    }
    let mut bytes = [0; N];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).map_err(|_| error())?;
    }
    Ok(bytes)
}

macro_rules! text_form {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = DigestError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(digest: $name) -> Self {
                digest.to_string()
            }
        }
    )*};
}

text_form!(RowDigest, Sha256Sum);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(rows: &[Vec<Option<String>>]) -> RowDigest {
        let mut sum = RowDigest::default();
        for row in rows {
            sum.add(row_digest(&row.iter().map(Option::as_deref).collect::<Vec<_>>()));
        }
        sum
    }

    #[test]
    fn the_digest_is_xxh3_of_lengths_and_fields() {
        let bytes = b"\x01\0\0\0\0\0\0\x007\0\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0M\xc3\xbcnchen";

        // the published digest of nothing
        assert_eq!(row_digest(&[]), 0x2d06_8005_38d3_94c2);
        assert_eq!(row_digest(&[Some("7"), None, Some("München")]), xxhash_rust::xxh3::xxh3_64(bytes));
    }

    #[test]
    fn where_a_field_ends_counts() {
        assert_ne!(row_digest(&[Some("ab"), Some("c")]), row_digest(&[Some("a"), Some("bc")]));
        assert_ne!(row_digest(&[Some("a"), None]), row_digest(&[None, Some("a")]));
        assert_ne!(row_digest(&[Some("a")]), row_digest(&[Some("a"), None]));
        assert_eq!(row_digest(&[Some("")]), row_digest(&[None]));
    }

    #[test]
    fn a_row_that_is_there_twice_counts_twice() {
        let row = vec![vec![Some("a".to_owned())]];
        let thrice = [row.clone(), row.clone(), row.clone()].concat();

        // an exclusive or would not see the pair
        assert_ne!(sum(&row), sum(&thrice));
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        for text in [
            "",
            "0",
            "00000000000000000",
            "000000000000000G",
            "000000000000000A",
            "+00000000000000f",
            "é00000000000000",
        ] {
            assert!(text.parse::<RowDigest>().is_err(), "{text}");
        }
        assert!("0".repeat(63).parse::<Sha256Sum>().is_err());
    }

    proptest! {
        #[test]
        fn order_does_not_matter_and_texts_are_read_back(
            rows in prop::collection::vec(prop::collection::vec(prop::option::of(".{0,8}"), 0..4), 0..8)
        ) {
            let backwards: Vec<_> = rows.iter().rev().cloned().collect();

            prop_assert_eq!(sum(&rows), sum(&backwards));
            prop_assert_eq!(sum(&rows).to_string().parse(), Ok(sum(&rows)));
        }

        #[test]
        fn checksums_are_read_back(bytes: [u8; 32]) {
            prop_assert_eq!(Sha256Sum::new(bytes).to_string().parse(), Ok(Sha256Sum::new(bytes)));
        }
    }
}
