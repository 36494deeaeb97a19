//! Our values on PostgreSQL's wire.

use std::error::Error;

use bytes::BytesMut;
use jiff::Timestamp;
use postgres_types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use crate::instant::{self, END_MICROS, MIN_MICROS};
use crate::key::{Key, KeyType};
use crate::store::writes::Value;

type Failure = Box<dyn Error + Sync + Send>;

/// PostgreSQL counts microseconds from 2000-01-01, we from 1970.
const EPOCH_2000: i64 = 946_684_800_000_000;

/// A key of either type.
#[derive(Debug, Clone, Copy)]
pub(super) struct PgKey(pub(super) Key);

impl<'a> FromSql<'a> for PgKey {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        Ok(Self(match *ty {
            Type::INT8 => Key::Int(i64::from_sql(ty, raw)?),
            Type::INT4 => Key::Int(i32::from_sql(ty, raw)?.into()),
            Type::INT2 => Key::Int(i16::from_sql(ty, raw)?.into()),
            _ => Key::Uuid(Uuid::from_sql(ty, raw)?),
        }))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::INT4 | Type::INT2 | Type::UUID)
    }
}

impl ToSql for PgKey {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        match self.0 {
            Key::Int(number) => number.to_sql(ty, out),
            Key::Uuid(uuid) => uuid.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::UUID)
    }

    to_sql_checked!();
}

/// Keys as one array parameter of the database's type; a key of the other type is the key of nobody and becomes null.
#[derive(Debug)]
pub(super) enum PgKeys {
    Int(Vec<Option<i64>>),
    Uuid(Vec<Option<Uuid>>),
}

impl PgKeys {
    pub(super) fn new(keys: KeyType, all: impl IntoIterator<Item = Key>) -> Self {
        let all = all.into_iter();
        match keys {
            KeyType::Int => {
                Self::Int(all.map(|key| if let Key::Int(number) = key { Some(number) } else { None }).collect())
            }
            KeyType::Uuid => {
                Self::Uuid(all.map(|key| if let Key::Uuid(uuid) = key { Some(uuid) } else { None }).collect())
            }
        }
    }
}

impl ToSql for PgKeys {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        match self {
            Self::Int(keys) => keys.to_sql(ty, out),
            Self::Uuid(keys) => keys.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8_ARRAY | Type::UUID_ARRAY)
    }

    to_sql_checked!();
}

/// An integer of any width: a platform's column is wider than ours, or narrower.
#[derive(Debug, Clone, Copy)]
pub(super) struct PgInteger(i64);

impl<'a> FromSql<'a> for PgInteger {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        Ok(Self(match *ty {
            Type::INT8 => i64::from_sql(ty, raw)?,
            Type::INT2 => i16::from_sql(ty, raw)?.into(),
            _ => i32::from_sql(ty, raw)?.into(),
        }))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::INT4 | Type::INT2)
    }
}

impl PgInteger {
    /// The value, or the nearest that fits.
    pub(super) fn clamped<T: TryFrom<i64> + Bounded>(self) -> T {
        T::try_from(self.0).unwrap_or(if self.0 < 0 { T::LOWEST } else { T::HIGHEST })
    }
}

/// An integer type with ends.
pub(super) trait Bounded {
    const LOWEST: Self;
    const HIGHEST: Self;
}

impl Bounded for i16 {
    const LOWEST: Self = Self::MIN;
    const HIGHEST: Self = Self::MAX;
}

impl Bounded for i32 {
    const LOWEST: Self = Self::MIN;
    const HIGHEST: Self = Self::MAX;
}

/// One learner, or an array of them. A key of the other type is the key of nobody: null.
#[derive(Debug)]
pub(super) enum PgLearners {
    One(Option<PgKey>),
    Many(PgKeys),
}

impl ToSql for PgLearners {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        match self {
            Self::One(key) => key.to_sql(ty, out),
            Self::Many(keys) => keys.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        <PgKey as ToSql>::accepts(ty) || <PgKeys as ToSql>::accepts(ty)
    }

    to_sql_checked!();
}

/// An instant; one outside the range we accept (`infinity` among them) is read as the nearest inside.
#[derive(Debug, Clone, Copy)]
pub(super) struct PgInstant(pub(super) Timestamp);

impl<'a> FromSql<'a> for PgInstant {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        let since_2000 = i64::from_be_bytes(raw.try_into()?);
        let micros = since_2000.saturating_add(EPOCH_2000).clamp(MIN_MICROS, END_MICROS - 1);
        Ok(Self(instant::from_micros(micros).ok_or("an instant inside the range is one")?))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::TIMESTAMPTZ | Type::TIMESTAMP)
    }
}

impl PgInstant {
    /// Microseconds since 2000, as PostgreSQL counts. An instant lies far inside its range.
    pub(super) fn since_2000(self) -> i64 {
        self.0.as_microsecond() - EPOCH_2000
    }
}

impl ToSql for PgInstant {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        out.extend_from_slice(&self.since_2000().to_be_bytes());
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }

    to_sql_checked!();
}

/// A `numeric` in hundredths, rounded half up, at the ends of its range for anything beyond (NaN included): there every
/// value is invalid as a focus score, which is all such a value is good for. Rounding makes no score valid: what lies
/// below 0 is at most -1, what lies above 1 at least 101.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PgHundredths(pub(super) i16);

const NUMERIC_NEGATIVE: u16 = 0x4000;
const NUMERIC_POSITIVE: u16 = 0x0000;

impl<'a> FromSql<'a> for PgHundredths {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        let mut words = raw.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        let mut word = || words.next().ok_or("a numeric has a head of four words");
        let (digits, weight, sign, _scale) = (word()?, word()?, word()?, word()?);
        let weight = i16::from_be_bytes(weight.to_be_bytes());
        if !matches!(sign, NUMERIC_POSITIVE | NUMERIC_NEGATIVE) {
            return Ok(Self(i16::MIN));
        }
        // ten-thousandths: digit k stands for 10_000^(weight - k), of which the first behind the point is enough,
        // and any digit after it can only lift a half that is already rounded up
        let (mut value, mut has_rest) = (0_i64, false);
        for place in 0..digits {
            let digit = i64::from(word()?);
            match i32::from(weight) - i32::from(place) {
                exponent @ 0.. => {
                    let factor = 10_000_i64.saturating_pow(u32::try_from(exponent + 1).unwrap_or(u32::MAX));
                    value = value.saturating_add(digit.saturating_mul(factor));
                }
                -1 => value = value.saturating_add(digit),
                _ => has_rest |= digit != 0,
            }
        }
        let hundredths = value.saturating_add(50) / 100;
        let signed = match sign {
            NUMERIC_NEGATIVE if value > 0 || has_rest => -hundredths.max(1),
            _ if value > 10_000 || (value == 10_000 && has_rest) => hundredths.max(101),
            _ => hundredths,
        };
        Ok(Self(i16::try_from(signed).unwrap_or(if signed < 0 { i16::MIN } else { i16::MAX })))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::NUMERIC
    }
}

impl ToSql for PgHundredths {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        let magnitude = self.0.unsigned_abs();
        let (whole, fraction) = (magnitude / 100, magnitude % 100 * 100);
        let digits: &[u16] = match (whole, fraction) {
            (0, 0) => &[],
            (0, _) => &[fraction],
            (_, 0) => &[whole],
            _ => &[whole, fraction],
        };
        let weight: i16 = if whole == 0 && fraction != 0 { -1 } else { 0 };
        let sign = if self.0 < 0 { NUMERIC_NEGATIVE } else { NUMERIC_POSITIVE };
        let count = u16::try_from(digits.len())?;
        for word in [count, u16::from_be_bytes(weight.to_be_bytes()), sign, 2].iter().chain(digits) {
            out.extend_from_slice(&word.to_be_bytes());
        }
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::NUMERIC
    }

    to_sql_checked!();
}

impl ToSql for Value<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Key(key) => PgKey(*key).to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
            Self::Integer(number) => match *ty {
                Type::INT2 => i16::try_from(*number)?.to_sql(ty, out),
                _ => i32::try_from(*number)?.to_sql(ty, out),
            },
            Self::Boolean(value) => value.to_sql(ty, out),
            Self::Instant(instant) => PgInstant(*instant).to_sql(ty, out),
            Self::Hundredths(focus) => PgHundredths(*focus).to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(
            *ty,
            Type::INT8
                | Type::UUID
                | Type::TEXT
                | Type::INT2
                | Type::INT4
                | Type::BOOL
                | Type::TIMESTAMPTZ
                | Type::NUMERIC
        )
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hundredths_of_every_value_of_the_column_are_read_back() {
        for hundredths in -999..=999 {
            let mut out = BytesMut::new();
            PgHundredths(hundredths).to_sql(&Type::NUMERIC, &mut out).unwrap();

            assert_eq!(PgHundredths::from_sql(&Type::NUMERIC, &out).unwrap(), PgHundredths(hundredths));
        }
    }

    #[test]
    fn a_numeric_that_is_no_number_is_invalid_and_no_panic() {
        let nan = [0u8, 0, 0, 0, 0xC0, 0, 0, 0];
        assert_eq!(PgHundredths::from_sql(&Type::NUMERIC, &nan).unwrap(), PgHundredths(i16::MIN));
        assert!(PgHundredths::from_sql(&Type::NUMERIC, &[0, 1]).is_err());
        // 10_000^5000
        let huge = [0u8, 1, 0x13, 0x88, 0, 0, 0, 0, 0, 1];
        assert_eq!(PgHundredths::from_sql(&Type::NUMERIC, &huge).unwrap(), PgHundredths(i16::MAX));
    }

    #[test]
    fn rounding_makes_no_focus_score_valid() {
        let read = |sign: u16, weight: i16, digits: &[u16]| {
            let head = [u16::try_from(digits.len()).unwrap(), u16::from_be_bytes(weight.to_be_bytes()), sign, 4];
            let raw: Vec<u8> = head.iter().chain(digits).flat_map(|word| word.to_be_bytes()).collect();
            PgHundredths::from_sql(&Type::NUMERIC, &raw).unwrap().0
        };

        assert_eq!(read(NUMERIC_POSITIVE, 0, &[1]), 100);
        assert_eq!(read(NUMERIC_POSITIVE, 0, &[1, 1]), 101, "1.0001");
        assert_eq!(read(NUMERIC_POSITIVE, 0, &[1, 0, 1]), 101, "1.00000001");
        assert_eq!(read(NUMERIC_NEGATIVE, -1, &[1]), -1, "-0.0001");
        assert_eq!(read(NUMERIC_NEGATIVE, -2, &[1]), -1, "-0.00000001");
        assert_eq!(read(NUMERIC_POSITIVE, -1, &[9951]), 100, "0.9951");
    }

    #[test]
    fn infinity_is_read_as_the_end_of_the_range() {
        let read = |micros: i64| PgInstant::from_sql(&Type::TIMESTAMPTZ, &micros.to_be_bytes()).unwrap().0;

        assert_eq!(read(i64::MAX).as_microsecond(), END_MICROS - 1);
        assert_eq!(read(i64::MIN).as_microsecond(), MIN_MICROS);
    }
}
