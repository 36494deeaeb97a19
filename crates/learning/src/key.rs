//! Keys as the platform has them: UUIDs or 64-bit integers, one type per database.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use uuid::Uuid;

/// Which of the two kinds of key a database uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// 128-bit UUIDs.
    Uuid,
    /// Signed 64-bit integers.
    Int,
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uuid => "uuid",
            Self::Int => "int",
        })
    }
}

impl FromStr for KeyType {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        match text {
            "uuid" => Ok(Self::Uuid),
            "int" => Ok(Self::Int),
            other => Err(KeyError::Type(clip(other))),
        }
    }
}

/// A key of either kind. Ordered as the database orders it, within one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// An integer key.
    Int(i64),
    /// A UUID key.
    Uuid(Uuid),
}

/// Why a text is not a key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Neither a UUID nor an integer.
    #[error("{0:?} is not an id; accepted: a UUID or an integer from -2^63 to 2^63-1")]
    Unreadable(String),
    /// A key of the other kind than the database uses.
    #[error("{text:?} is not an id of type {expected}, the type of this database")]
    OtherType {
        /// What was given, clipped.
        text: String,
        /// What the database uses.
        expected: KeyType,
    },
    /// Not the name of a key type.
    #[error("{0:?} is not a type of id; accepted: uuid, int")]
    Type(String),
}

/// Longest part of a bad input that an error repeats, in characters.
const SHOWN: usize = 60;

pub(crate) fn clip(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl Key {
    /// The kind of this key.
    #[must_use]
    pub fn key_type(self) -> KeyType {
        match self {
            Self::Int(_) => KeyType::Int,
            Self::Uuid(_) => KeyType::Uuid,
        }
    }

    /// Reads a key of a given kind.
    ///
    /// # Errors
    /// [`KeyError::OtherType`] when the text is a key of the other kind, [`KeyError::Unreadable`] when it is none.
    pub fn parse_as(text: &str, expected: KeyType) -> Result<Self, KeyError> {
        let key: Self = text.parse()?;
        if key.key_type() == expected { Ok(key) } else { Err(KeyError::OtherType { text: clip(text), expected }) }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => number.fmt(f),
            Self::Uuid(uuid) => uuid.as_hyphenated().fmt(f),
        }
    }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        // 32 digits without hyphens would read as either kind only if it fitted an i64; it does not.
        if let Ok(number) = text.parse::<i64>() {
            return Ok(Self::Int(number));
        }
        Uuid::parse_str(text).map(Self::Uuid).map_err(|_| KeyError::Unreadable(clip(text)))
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Int(number) => serializer.serialize_i64(*number),
            Self::Uuid(uuid) => serializer.collect_str(&uuid.as_hyphenated()),
        }
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a UUID or a 64-bit integer")
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Key, E> {
                Ok(Key::Int(number))
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Key, E> {
                i64::try_from(number).map(Key::Int).map_err(|_| E::custom("an integer id goes up to 2^63-1"))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Key, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Key);

        impl $name {
            /// Wraps a key.
            #[must_use]
            pub fn new(key: Key) -> Self {
                Self(key)
            }

            /// The key itself.
            #[must_use]
            pub fn key(self) -> Key {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = KeyError;

            fn from_str(text: &str) -> Result<Self, KeyError> {
                text.parse().map(Self)
            }
        }
    };
}

id! {
    /// A learner: a row of `users`.
    UserId
}
id! {
    /// A study session.
    SessionId
}
id! {
    /// A row of `course_progress`.
    CourseProgressId
}
id! {
    /// What a course-progress row is about; one learner has one counted row per content.
    ContentId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_read_and_written_back() {
        let int: UserId = "-42".parse().unwrap();
        let uuid: UserId = "0191F9A0-0000-7000-8000-000000000001".parse().unwrap();

        assert_eq!(int.to_string(), "-42");
        assert_eq!(uuid.to_string(), "0191f9a0-0000-7000-8000-000000000001");
        assert_eq!(serde_json::to_string(&int).unwrap(), "-42");
        assert_eq!(serde_json::from_str::<UserId>(&serde_json::to_string(&uuid).unwrap()).unwrap(), uuid);
    }

    #[test]
    fn a_key_of_the_other_kind_is_named_as_such() {
        assert!(matches!(Key::parse_as("7", KeyType::Uuid), Err(KeyError::OtherType { .. })));
        assert!(matches!(Key::parse_as("o'clock\"", KeyType::Int), Err(KeyError::Unreadable(_))));
        assert!(matches!(Key::parse_as("9223372036854775808", KeyType::Int), Err(KeyError::Unreadable(_))));
    }

    #[test]
    fn an_error_repeats_only_the_beginning_of_a_long_text() {
        let message = "é".repeat(5000).parse::<Key>().unwrap_err().to_string();

        assert!(message.len() < 300, "{message}");
    }
}
