//! Values in PostgreSQL's binary format, by the type of the column or parameter.

use std::error::Error as StdError;

use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, Kind as TypeKind, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use super::decimal::Decimal;
use super::{Kind, Value, ValueError, exact_float};

/// Microseconds from 1970, where we count from, to 2000, where PostgreSQL does.
const MICROS_TO_2000: i64 = 946_684_800_000_000;
/// Days from 1970 to 2000.
const DAYS_TO_2000: i32 = 10_957;
/// 4714-11-24 BC, PostgreSQL's first instant and day, counted from 2000.
const FIRST_MICROS: i64 = -211_813_488_000_000_000;
const FIRST_DAY: i32 = -2_451_545;
/// PostgreSQL's last day, 5874897-12-31, counted from 2000.
const LAST_DAY: i32 = 2_145_031_948;
/// First byte of a `jsonb` value.
const JSONB_VERSION: u8 = 1;

impl Value {
    /// Writes the value as PostgreSQL reads a value of this type.
    pub(crate) fn encode_postgres(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, ValueError> {
        let ty = base(ty);
        let out_of_range =
            |given: &dyn std::fmt::Display| ValueError::OutOfRange { given: given.to_string(), wanted: name(ty) };
        match (self, ty) {
            (Self::Null, _) => return Ok(IsNull::Yes),
            (Self::Bool(flag), &Type::BOOL) => out.put_u8(u8::from(*flag)),
            (Self::Integer(number), &Type::INT8) => out.put_i64(*number),
            (Self::Integer(number), &Type::INT4) => {
                out.put_i32((*number).try_into().map_err(|_| out_of_range(number))?);
            }
            (Self::Integer(number), &Type::INT2) => {
                out.put_i16((*number).try_into().map_err(|_| out_of_range(number))?);
            }
            (Self::Integer(number), &Type::OID) => out.put_u32((*number).try_into().map_err(|_| out_of_range(number))?),
            (Self::Integer(number), &Type::FLOAT8) => {
                out.put_f64(exact_float(*number).ok_or_else(|| out_of_range(number))?);
            }
            (Self::Integer(number), &Type::NUMERIC) => {
                Decimal::parse(&number.to_string()).ok_or_else(|| out_of_range(number))?.write(out);
            }
            (Self::Float(number), &Type::FLOAT8) => out.put_f64(*number),
            (Self::Float(number), &Type::FLOAT4) => {
                let narrow = *number as f32;
                if number.is_finite() && (narrow.is_infinite() || (narrow == 0.0 && *number != 0.0)) {
                    return Err(out_of_range(number));
                }
                out.put_f32(narrow);
            }
            (Self::Numeric(text), &Type::NUMERIC) => {
                let malformed = || ValueError::Malformed { kind: Kind::Numeric, text: text.clone() };
                Decimal::parse(text).ok_or_else(malformed)?.write(out);
            }
            (Self::Text(text), ty) if is_text(ty) => out.put_slice(without_nul(text)?.as_bytes()),
            (Self::Json(text), &Type::JSON) => out.put_slice(without_nul(text)?.as_bytes()),
            (Self::Json(text), &Type::JSONB) => {
                out.put_u8(JSONB_VERSION);
                out.put_slice(without_nul(text)?.as_bytes());
            }
            (Self::Bytes(bytes), &Type::BYTEA) => out.put_slice(bytes),
            (Self::Uuid(uuid), &Type::UUID) => out.put_slice(uuid.as_bytes()),
            (Self::Instant(micros), &Type::TIMESTAMPTZ | &Type::TIMESTAMP) => {
                out.put_i64(match *micros {
                    i64::MIN | i64::MAX => *micros,
                    finite => finite
                        .checked_sub(MICROS_TO_2000)
                        .filter(|micros| *micros >= FIRST_MICROS)
                        .ok_or_else(|| out_of_range(micros))?,
                });
            }
            (Self::Date(days), &Type::DATE) => {
                out.put_i32(match *days {
                    i32::MIN | i32::MAX => *days,
                    finite => finite
                        .checked_sub(DAYS_TO_2000)
                        .filter(|days| (FIRST_DAY..=LAST_DAY).contains(days))
                        .ok_or_else(|| out_of_range(days))?,
                });
            }
            (value, ty) => {
                return Err(ValueError::Mismatch { kind: value.kind(), wanted: name(ty), accepted: accepted(ty) });
            }
        }
        Ok(IsNull::No)
    }

    /// Reads what PostgreSQL sent as a value of this type; `None` is null.
    pub(crate) fn decode_postgres(ty: &Type, raw: Option<&[u8]>) -> Result<Self, ValueError> {
        let Some(raw) = raw else { return Ok(Self::Null) };
        let ty = base(ty);
        let unsupported = || ValueError::Unsupported { type_name: name(ty) };
        let text = |raw: &[u8]| String::from_utf8(raw.to_vec()).map_err(|_| unsupported());
        Ok(match ty {
            &Type::BOOL => Self::Bool(bool::from_sql(ty, raw).map_err(|_| unsupported())?),
            &Type::INT2 => Self::Integer(i16::from_sql(ty, raw).map_err(|_| unsupported())?.into()),
            &Type::INT4 => Self::Integer(i32::from_sql(ty, raw).map_err(|_| unsupported())?.into()),
            &Type::INT8 => Self::Integer(i64::from_sql(ty, raw).map_err(|_| unsupported())?),
            &Type::OID => Self::Integer(u32::from_sql(ty, raw).map_err(|_| unsupported())?.into()),
            &Type::FLOAT4 => Self::Float(f32::from_sql(ty, raw).map_err(|_| unsupported())?.into()),
            &Type::FLOAT8 => Self::Float(f64::from_sql(ty, raw).map_err(|_| unsupported())?),
            &Type::NUMERIC => Self::Numeric(Decimal::read(raw).ok_or_else(unsupported)?.to_string()),
            &Type::BYTEA => Self::Bytes(raw.to_vec()),
            &Type::UUID => Self::Uuid(Uuid::from_slice(raw).map_err(|_| unsupported())?),
            &Type::TIMESTAMPTZ | &Type::TIMESTAMP => {
                let micros = raw.try_into().map(i64::from_be_bytes).map_err(|_| unsupported())?;
                Self::Instant(match micros {
                    i64::MIN | i64::MAX => micros,
                    finite => {
                        finite.checked_add(MICROS_TO_2000).filter(|micros| *micros != i64::MAX).ok_or_else(|| {
                            ValueError::OutOfRange { given: name(ty), wanted: "microseconds since 1970".to_owned() }
                        })?
                    }
                })
            }
            &Type::DATE => {
                let days = raw.try_into().map(i32::from_be_bytes).map_err(|_| unsupported())?;
                Self::Date(match days {
                    i32::MIN | i32::MAX => days,
                    finite => finite.checked_add(DAYS_TO_2000).ok_or_else(unsupported)?,
                })
            }
            &Type::JSON => Self::Json(text(raw)?),
            &Type::JSONB => Self::Json(text(raw.strip_prefix(&[JSONB_VERSION]).ok_or_else(unsupported)?)?),
            &Type::VOID => Self::Null,
            ty if is_text(ty) => Self::Text(text(raw)?),
            _ => return Err(unsupported()),
        })
    }

    /// Bytes that are equal for two values if this type holds them to be the same key. Types with an equality of their own,
    /// such as `citext` or a text under a case-insensitive collation, see more keys as equal than this does.
    pub(crate) fn identity(&self) -> Vec<u8> {
        let mut out = BytesMut::new();
        match self {
            Self::Numeric(text) => match Decimal::parse(text) {
                Some(number) => number.without_scale().write(&mut out),
                None => out.put_slice(text.as_bytes()),
            },
            Self::Integer(number) => match Decimal::parse(&number.to_string()) {
                Some(number) => number.write(&mut out),
                None => out.put_i64(*number),
            },
            // -0 and 0 are one key, and so are all NaN
            Self::Float(number) if *number == 0.0 => out.put_f64(0.0),
            Self::Float(number) if number.is_nan() => out.put_f64(f64::NAN),
            Self::Float(number) => out.put_f64(*number),
            Self::Null => {}
            Self::Bool(flag) => out.put_u8(u8::from(*flag)),
            Self::Text(text) | Self::Json(text) => out.put_slice(text.as_bytes()),
            Self::Bytes(bytes) => out.put_slice(bytes),
            Self::Uuid(uuid) => out.put_slice(uuid.as_bytes()),
            Self::Instant(micros) => out.put_i64(*micros),
            Self::Date(days) => out.put_i32(*days),
        }
        out.to_vec()
    }

    /// What PostgreSQL calls the type that holds every value of this kind.
    pub(crate) fn type_name_postgres(&self) -> &'static str {
        match self.kind() {
            Kind::Null | Kind::Text => "text",
            Kind::Bool => "boolean",
            Kind::Integer => "bigint",
            Kind::Float => "double precision",
            Kind::Numeric => "numeric",
            Kind::Bytes => "bytea",
            Kind::Uuid => "uuid",
            Kind::Instant => "timestamptz",
            Kind::Date => "date",
            Kind::Json => "jsonb",
        }
    }
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        Ok(self.encode_postgres(ty, out)?)
    }

    fn accepts(_: &Type) -> bool {
        // what does not fit is refused with its kind by `to_sql`
        true
    }

    to_sql_checked!();
}

/// What a domain is made of.
fn base(ty: &Type) -> &Type {
    match ty.kind() {
        TypeKind::Domain(inner) => base(inner),
        _ => ty,
    }
}

fn is_text(ty: &Type) -> bool {
    matches!(*ty, Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN)
        || matches!(ty.kind(), TypeKind::Enum(_))
        || ty.name() == "citext"
}

fn name(ty: &Type) -> String {
    ty.name().to_owned()
}

fn without_nul(text: &str) -> Result<&str, ValueError> {
    match text.find('\0') {
        Some(at) => Err(ValueError::NulInText { at }),
        None => Ok(text),
    }
}

fn accepted(ty: &Type) -> &'static str {
    match *ty {
        Type::BOOL => "boolean",
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => "integer",
        Type::FLOAT4 => "float",
        Type::FLOAT8 => "float or integer",
        Type::NUMERIC => "numeric or integer",
        Type::BYTEA => "bytes",
        Type::UUID => "uuid",
        Type::TIMESTAMPTZ | Type::TIMESTAMP => "instant",
        Type::DATE => "date",
        Type::JSON | Type::JSONB => "json",
        _ if is_text(ty) => "text, or a cast of the parameter in the statement",
        _ => "a cast of the parameter in the statement, from a type that has a kind",
    }
}
