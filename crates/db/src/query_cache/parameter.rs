//! Parameters as parts of a key: with their types, so that no two different lists are one key.

use std::time::SystemTime;

use tokio_postgres::types::{ToSql, Type};

/// A value that can be bound and be part of a key. Implemented for what implements [`KeyPart`], and for options of it.
pub trait Parameter: ToSql + Sync + Send {
    /// What is bound.
    fn value(&self) -> &(dyn ToSql + Sync);

    /// Its type on the wire.
    fn sql_type(&self) -> Type;

    /// Writes it into a key.
    fn write(&self, key: &mut ParameterKey);
}

/// A type whose values can be parameters. Implement it for your own.
///
/// # Examples
///
/// ```
/// use bytes::BytesMut;
/// use tierkeep_db::query_cache::{KeyPart, ParameterKey};
/// use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
///
/// #[derive(Debug)]
/// struct OrderId(i64);
///
/// impl KeyPart for OrderId {
///     fn part_type() -> Type {
///         Type::INT8
///     }
///
///     fn write_part(&self, key: &mut ParameterKey) {
///         key.fixed(self.0.to_be_bytes());
///     }
/// }
///
/// impl ToSql for OrderId {
///     fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
///         self.0.to_sql(ty, out)
///     }
///     fn accepts(ty: &Type) -> bool {
///         <i64 as ToSql>::accepts(ty)
///     }
///     to_sql_checked!();
/// }
/// ```
pub trait KeyPart: ToSql + Sync + Send {
    /// The type on the wire; the server converts nothing, so the statement must fit it: `$1::text::uuid`.
    fn part_type() -> Type
    where
        Self: Sized;

    /// Writes the value: equal bytes for equal values only. The type is written before it.
    fn write_part(&self, key: &mut ParameterKey);
}

/// Collects the parameters of a key.
#[derive(Debug)]
pub struct ParameterKey {
    /// Begins with room for the number of the text. Short keys need no allocation.
    short: [u8; SHORT],
    length: usize,
    /// All of a key that is not short; else empty.
    long: Vec<u8>,
    /// Whether a text may stand for the present where it becomes a time.
    pub(super) says_time: bool,
}

/// Words that PostgreSQL reads as times, and that are another time tomorrow.
pub(super) const TIME_WORDS: [&str; 4] = ["now", "today", "tomorrow", "yesterday"];

/// Bytes of the number of a text.
const NUMBER: usize = size_of::<u64>();
/// Bytes that the keys of most queries need no more than.
const SHORT: usize = 40;

impl Default for ParameterKey {
    fn default() -> Self {
        Self { short: [0; SHORT], length: NUMBER, long: Vec::new(), says_time: false }
    }
}

impl ParameterKey {
    /// Makes it the key of a text with this number.
    pub(super) fn number(&mut self, number: u64) {
        let begin = if self.long.is_empty() { &mut self.short[..NUMBER] } else { &mut self.long[..NUMBER] };
        begin.copy_from_slice(&number.to_be_bytes());
    }

    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        if self.long.is_empty() { &self.short[..self.length] } else { &self.long }
    }

    #[inline]
    fn extend(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        if self.long.is_empty() && end <= SHORT {
            self.short[self.length..end].copy_from_slice(bytes);
            self.length = end;
        } else {
            self.extend_long(bytes);
        }
    }

    #[cold]
    fn extend_long(&mut self, bytes: &[u8]) {
        if self.long.is_empty() {
            self.long.extend_from_slice(&self.short[..self.length]);
        }
        self.long.extend_from_slice(bytes);
    }

    /// Bytes whose number the type fixes.
    #[inline]
    pub fn fixed<const N: usize>(&mut self, bytes: [u8; N]) {
        self.extend(&bytes);
    }

    /// Bytes of any length, preceded by that length.
    pub fn any(&mut self, bytes: &[u8]) {
        self.fixed((bytes.len() as u64).to_be_bytes());
        self.extend(bytes);
    }

    /// A text, preceded by its length.
    pub fn text(&mut self, text: &str) {
        self.says_time |= says_time(text);
        self.any(text.as_bytes());
    }
}

/// Whether a text has one of the words that stand for the present.
pub(super) fn says_time(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphabetic())
        .any(|word| TIME_WORDS.iter().any(|time| word.eq_ignore_ascii_case(time)))
}

impl<T: KeyPart> Parameter for T {
    fn value(&self) -> &(dyn ToSql + Sync) {
        self
    }

    fn sql_type(&self) -> Type {
        T::part_type()
    }

    fn write(&self, key: &mut ParameterKey) {
        key.fixed(T::part_type().oid().to_be_bytes());
        self.write_part(key);
    }
}

impl<T: KeyPart> KeyPart for Option<T> {
    fn part_type() -> Type {
        T::part_type()
    }

    fn write_part(&self, key: &mut ParameterKey) {
        key.fixed([u8::from(self.is_some())]);
        if let Some(value) = self {
            value.write_part(key);
        }
    }
}

macro_rules! key_parts {
    ($($part:ty, $sql_type:ident, |$value:ident, $key:ident| $write:expr;)*) => {$(
        impl KeyPart for $part {
            fn part_type() -> Type {
                Type::$sql_type
            }

            fn write_part(&self, $key: &mut ParameterKey) {
                let $value = self;
                $write;
            }
        }
    )*};
}

key_parts! {
    bool, BOOL, |value, key| key.fixed([u8::from(*value)]);
    i16, INT2, |value, key| key.fixed(value.to_be_bytes());
    i32, INT4, |value, key| key.fixed(value.to_be_bytes());
    i64, INT8, |value, key| key.fixed(value.to_be_bytes());
    f32, FLOAT4, |value, key| key.fixed(value.to_bits().to_be_bytes());
    f64, FLOAT8, |value, key| key.fixed(value.to_bits().to_be_bytes());
    &str, TEXT, |value, key| key.text(value);
    String, TEXT, |value, key| key.text(value);
    &[u8], BYTEA, |value, key| key.any(value);
    Vec<u8>, BYTEA, |value, key| key.any(value);
    Vec<i32>, INT4_ARRAY, |value, key| { key.fixed((value.len() as u64).to_be_bytes()); value.iter().for_each(|part| part.write_part(key)) };
    Vec<i64>, INT8_ARRAY, |value, key| { key.fixed((value.len() as u64).to_be_bytes()); value.iter().for_each(|part| part.write_part(key)) };
    Vec<String>, TEXT_ARRAY, |value, key| { key.fixed((value.len() as u64).to_be_bytes()); value.iter().for_each(|part| part.write_part(key)) };
    SystemTime, TIMESTAMPTZ, |value, key| write_time(*value, key);
}

/// The wire has microseconds; two times in one of them are one parameter for the server and two keys here.
fn write_time(time: SystemTime, key: &mut ParameterKey) {
    let (is_before, distance) = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => (false, since),
        Err(error) => (true, error.duration()),
    };
    key.fixed([u8::from(is_before)]);
    key.fixed(distance.as_nanos().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(parameters: &[&dyn Parameter]) -> Vec<u8> {
        let mut key = ParameterKey::default();
        parameters.iter().for_each(|parameter| parameter.write(&mut key));
        key.as_bytes().to_vec()
    }

    /// D8: the seed's keys were made of `str(args)`.
    #[test]
    fn lists_that_differ_in_any_value_type_or_place_are_different_keys() {
        let (none_text, bytes) = (None::<String>, b"1".as_slice());
        let lists: Vec<Vec<&dyn Parameter>> = vec![
            vec![],
            vec![&1_i64],
            vec![&1_i32],
            vec![&"1"],
            vec![&true],
            vec![&1.0_f64],
            vec![&0.0_f64],
            vec![&-0.0_f64],
            vec![&"1", &""],
            vec![&"", &"1"],
            vec![&"a,b"],
            vec![&"a", &"b"],
            vec![&"ab"],
            vec![&none_text],
            vec![&None::<i64>],
            vec![&Some(0_i64)],
            vec![&bytes],
        ];

        for (at, list) in lists.iter().enumerate() {
            for other in &lists[at + 1..] {
                assert_ne!(encoded(list), encoded(other), "{list:?} {other:?}");
            }
        }
        assert_eq!(encoded(&[&"a".to_owned()]), encoded(&[&"a"]), "whoever owns the text");
    }

    #[test]
    fn key_of_any_length_has_all_of_its_bytes() {
        for length in 0..200 {
            let mut key = ParameterKey::default();
            (0..length).for_each(|n: u8| key.fixed([n]));
            key.number(7);

            let wanted: Vec<u8> = 7_u64.to_be_bytes().into_iter().chain(0..length).collect();
            assert_eq!(key.as_bytes(), wanted);
        }
    }

    #[test]
    fn text_that_may_stand_for_the_present_is_noticed() {
        for text in ["now", " NOW ", "Today 10:00", "tomorrow", "yesterday allballs"] {
            assert!(says_time(text), "{text}");
        }
        for text in ["knowledge", "nowhere", "", "2024-01-01", "epoch"] {
            assert!(!says_time(text), "{text}");
        }
    }
}
