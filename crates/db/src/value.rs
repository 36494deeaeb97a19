//! Values of either database, each with one exact meaning.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

mod civil;
mod decimal;
mod postgres;
pub(crate) mod sqlite;

/// A value of a column, a parameter or a key.
///
/// What is written is read back exactly:
///
/// | value | PostgreSQL | SQLite |
/// |---|---|---|
/// | `Bool` | `boolean` | 0 or 1 |
/// | `Integer` | `smallint`, `integer`, `bigint`, `oid`; into `numeric` and floating columns too, where exact | integer |
/// | `Float` | `double precision`, `real` (which rounds) | real; NaN is refused, as SQLite would store null; -0 becomes 0 |
/// | `Numeric` | `numeric`, with its scale | text |
/// | `Text` | `text`, `varchar`, `char(n)`, `name`, `citext`, enums; without NUL characters | text |
/// | `Bytes` | `bytea` | blob |
/// | `Uuid` | `uuid` | text, lower case with hyphens |
/// | `Instant` | `timestamptz`; `timestamp` taken as UTC | integer |
/// | `Date` | `date` | text, `2026-11-22` |
/// | `Json` | `json`; `jsonb`, which normalises | text |
///
/// SQLite knows five storage classes only, so a value read from there is `Null`, `Integer`, `Float`, `Text` or `Bytes`, and
/// [`into_kind`](Self::into_kind) says what it is meant to be.
///
/// Equality is of the exact value: floating-point numbers are equal if their bits are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Value {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Float(f64),
    /// A decimal number as text: `-12.50`, `1e-7`, `NaN`.
    Numeric(String),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A UUID.
    Uuid(Uuid),
    /// An instant: microseconds since 1970 in UTC. `i64::MAX` and `i64::MIN` are PostgreSQL's `infinity` and `-infinity`.
    Instant(i64),
    /// A day: days since 1970-01-01. `i32::MAX` and `i32::MIN` are PostgreSQL's `infinity` and `-infinity`.
    Date(i32),
    /// A JSON document as text.
    Json(String),
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// [`Value::Null`]
    Null,
    /// [`Value::Bool`]
    Bool,
    /// [`Value::Integer`]
    Integer,
    /// [`Value::Float`]
    Float,
    /// [`Value::Numeric`]
    Numeric,
    /// [`Value::Text`]
    Text,
    /// [`Value::Bytes`]
    Bytes,
    /// [`Value::Uuid`]
    Uuid,
    /// [`Value::Instant`]
    Instant,
    /// [`Value::Date`]
    Date,
    /// [`Value::Json`]
    Json,
}

/// Why a value cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// The kind does not fit the place.
    #[error("a value of kind {kind} does not fit {wanted}, accepted is {accepted}")]
    Mismatch {
        /// What was given.
        kind: Kind,
        /// The type of the column or parameter.
        wanted: String,
        /// The kinds that fit.
        accepted: &'static str,
    },
    /// The number, instant or day is outside of what the type holds.
    #[error("{given} is out of the range of {wanted}")]
    OutOfRange {
        /// The value.
        given: String,
        /// The type.
        wanted: String,
    },
    /// PostgreSQL holds no NUL character in a text.
    #[error("the text has a NUL character at byte {at}, which postgresql cannot store: remove it or use bytes")]
    NulInText {
        /// Where, counted from 0.
        at: usize,
    },
    /// SQLite would store null instead.
    #[error("sqlite cannot store NaN, accepted are null and any other number")]
    NanOnSqlite,
    /// The text is not what its kind says.
    #[error("`{text}` is no {kind}")]
    Malformed {
        /// What it should be.
        kind: Kind,
        /// The text.
        text: String,
    },
    /// A type that is not read.
    #[error("a column of type {type_name} cannot be read as a value: cast it to text in the statement")]
    Unsupported {
        /// Its name.
        type_name: String,
    },
    /// A row has no column of that name.
    #[error("there is no column `{column}`, there are: {known}")]
    NoColumn {
        /// The name.
        column: String,
        /// The names there are.
        known: String,
    },
    /// A value of a row is not what was asked for.
    #[error("column `{column}`: {source}")]
    InColumn {
        /// Its name.
        column: String,
        /// What is wrong.
        source: Box<ValueError>,
    },
}

impl Value {
    /// What the value is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Null => Kind::Null,
            Self::Bool(_) => Kind::Bool,
            Self::Integer(_) => Kind::Integer,
            Self::Float(_) => Kind::Float,
            Self::Numeric(_) => Kind::Numeric,
            Self::Text(_) => Kind::Text,
            Self::Bytes(_) => Kind::Bytes,
            Self::Uuid(_) => Kind::Uuid,
            Self::Instant(_) => Kind::Instant,
            Self::Date(_) => Kind::Date,
            Self::Json(_) => Kind::Json,
        }
    }

    /// Whether there is no value.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The value as that kind, if its storage on SQLite can mean it. Null stays null.
    ///
    /// # Errors
    ///
    /// [`ValueError::Mismatch`] or [`ValueError::Malformed`].
    ///
    /// # Examples
    ///
    /// ```
    /// use tierkeep_db::{Kind, Value};
    ///
    /// assert_eq!(Value::from("2026-11-22").into_kind(Kind::Date)?, Value::Date(20_779));
    /// assert!(Value::from("yesterday").into_kind(Kind::Date).is_err());
    /// # Ok::<(), tierkeep_db::ValueError>(())
    /// ```
    pub fn into_kind(self, kind: Kind) -> Result<Self, ValueError> {
        let malformed = |text: &str| ValueError::Malformed { kind, text: text.to_owned() };
        Ok(match (self, kind) {
            (Self::Null, _) => Self::Null,
            (Self::Integer(number @ (0 | 1)), Kind::Bool) => Self::Bool(number == 1),
            (Self::Integer(micros), Kind::Instant) => Self::Instant(micros),
            (Self::Integer(number), Kind::Float) => {
                Self::Float(exact_float(number).ok_or_else(|| malformed(&number.to_string()))?)
            }
            (Self::Text(text), Kind::Uuid) => Self::Uuid(Uuid::parse_str(&text).map_err(|_| malformed(&text))?),
            (Self::Text(text), Kind::Date) => Self::Date(civil::parse(&text).ok_or_else(|| malformed(&text))?),
            (Self::Text(text), Kind::Numeric) => {
                decimal::Decimal::parse(&text).ok_or_else(|| malformed(&text))?;
                Self::Numeric(text)
            }
            (Self::Text(text), Kind::Json) => Self::Json(text),
            (value, kind) if value.kind() == kind => value,
            (value, kind) => {
                return Err(ValueError::Mismatch {
                    kind: value.kind(),
                    wanted: kind.to_string(),
                    accepted: "what sqlite stores for it",
                });
            }
        })
    }
}

/// The floating-point number that is this whole number, if there is one.
fn exact_float(number: i64) -> Option<f64> {
    /// Up to here all whole numbers are floating-point numbers.
    const EXACT: u64 = 1 << 53;
    (number.unsigned_abs() <= EXACT).then_some(number as f64)
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Integer(a), Self::Integer(b)) | (Self::Instant(a), Self::Instant(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Numeric(a), Self::Numeric(b)) | (Self::Text(a), Self::Text(b)) | (Self::Json(a), Self::Json(b)) => {
                a == b
            }
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Uuid(a), Self::Uuid(b)) => a == b,
            (Self::Date(a), Self::Date(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool => "boolean",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Numeric => "numeric",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Uuid => "uuid",
            Self::Instant => "instant",
            Self::Date => "date",
            Self::Json => "json",
        })
    }
}

macro_rules! from {
    ($($source:ty => $variant:ident),* $(,)?) => {
        $(impl From<$source> for Value {
            fn from(value: $source) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}

from!(bool => Bool, i16 => Integer, i32 => Integer, u32 => Integer, i64 => Integer, f32 => Float, f64 => Float,
    &str => Text, String => Text, &[u8] => Bytes, Vec<u8> => Bytes, Uuid => Uuid);

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests;
