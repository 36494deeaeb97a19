//! Our values in SQLite's columns: keys as integers or lower-case text, instants as integer microseconds.

use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use uuid::Uuid;

use super::super::writes::Value;
use super::super::{ListedSession, StoreError};
use crate::estimator::Estimator;
use crate::instant::{self, END_MICROS, MIN_MICROS};
use crate::key::{ContentId, CourseProgressId, Key, KeyType, SessionId, UserId};
use crate::rows::{ProgressRow, SessionRow, UserRow};
use crate::session::SessionFacts;

/// A key as a parameter.
#[derive(Debug, Clone, Copy)]
pub(super) struct SqlKey(pub(super) Key);

impl SqlKey {
    fn output(key: Key) -> ToSqlOutput<'static> {
        match key {
            Key::Int(number) => ToSqlOutput::from(number),
            Key::Uuid(uuid) => {
                let mut buffer = Uuid::encode_buffer();
                ToSqlOutput::from(uuid.hyphenated().encode_lower(&mut buffer).to_owned())
            }
        }
    }
}

impl ToSql for SqlKey {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(Self::output(self.0))
    }
}

/// An instant as a parameter.
pub(super) fn micros(instant: Timestamp) -> i64 {
    instant.as_microsecond()
}

/// A key that must be there.
pub(super) fn key_at(keys: KeyType, row: &Row<'_>, column: usize) -> Result<Key, StoreError> {
    optional_key_at(keys, row, column)?.ok_or_else(|| unreadable(column, "null where a key must be"))
}

fn optional_key_at(keys: KeyType, row: &Row<'_>, column: usize) -> Result<Option<Key>, StoreError> {
    match (row.get_ref(column)?, keys) {
        (ValueRef::Null, _) => Ok(None),
        (ValueRef::Integer(number), KeyType::Int) => Ok(Some(Key::Int(number))),
        (ValueRef::Text(text), KeyType::Uuid) => {
            Uuid::try_parse_ascii(text).map(|uuid| Some(Key::Uuid(uuid))).map_err(|_| unreadable(column, "no UUID"))
        }
        (other, _) => Err(unreadable(column, &format!("{} where a key must be", other.data_type()))),
    }
}

/// An instant that must be there; one outside the range we accept is read as the nearest inside.
pub(super) fn instant_at(row: &Row<'_>, column: usize) -> Result<Timestamp, StoreError> {
    let stored: i64 = row.get(column)?;
    instant::from_micros(stored.clamp(MIN_MICROS, END_MICROS - 1)).ok_or_else(|| unreadable(column, "no instant"))
}

pub(super) fn optional_instant_at(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>, StoreError> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => instant_at(row, column).map(Some),
    }
}

/// A score in hundredths, rounded half up from the decimal it stands for. Rounding makes no score valid: what lies below
/// 0 is at most -1, what lies above 1 at least 101.
fn hundredths_at(row: &Row<'_>, column: usize) -> Result<Option<i16>, StoreError> {
    let Some(score) = row.get::<_, Option<f64>>(column)? else { return Ok(None) };
    let rounded = (score * 100.0).round().clamp(f64::from(i16::MIN), f64::from(i16::MAX));
    let hundredths = match score {
        _ if score < 0.0 => rounded.min(-1.0),
        _ if score > 1.0 => rounded.max(101.0),
        _ => rounded,
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "clamped to the range above; a NaN becomes 0, and SQLite stores none"
    )]
    Ok(Some(hundredths as i16))
}

fn text_at<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a str, StoreError> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(""),
        ValueRef::Text(text) => std::str::from_utf8(text).map_err(|_| unreadable(column, "text that is not UTF-8")),
        other => Err(unreadable(column, &format!("{} where text must be", other.data_type()))),
    }
}

fn small_at(row: &Row<'_>, column: usize) -> Result<Option<i16>, StoreError> {
    let wide: Option<i64> = row.get(column)?;
    Ok(wide.map(|wide| i16::try_from(wide).unwrap_or(if wide < 0 { i16::MIN } else { i16::MAX })))
}

fn integer_at(row: &Row<'_>, column: usize) -> Result<i32, StoreError> {
    let wide = row.get::<_, Option<i64>>(column)?.unwrap_or_default();
    Ok(i32::try_from(wide).unwrap_or(if wide < 0 { i32::MIN } else { i32::MAX }))
}

fn estimator_at(row: &Row<'_>, column: usize) -> Result<Option<Estimator>, StoreError> {
    // a rule that this binary does not know cannot be named; the session counts all the same
    Ok(row.get_ref(column)?.as_str_or_null().ok().flatten().and_then(|text| text.parse().ok()))
}

fn unreadable(column: usize, reason: &str) -> StoreError {
    StoreError::Sqlite(rusqlite::Error::FromSqlConversionFailure(
        column,
        rusqlite::types::Type::Null,
        reason.to_owned().into(),
    ))
}

pub(super) fn user_row(keys: KeyType, row: &Row<'_>) -> Result<UserRow, StoreError> {
    Ok(UserRow {
        id: UserId::new(key_at(keys, row, 0)?),
        email: text_at(row, 1)?.to_owned(),
        username: text_at(row, 2)?.to_owned(),
        is_active: row.get::<_, Option<bool>>(3)?.unwrap_or(false),
        last_login: optional_instant_at(row, 4)?,
        created_at: optional_instant_at(row, 5)?.unwrap_or(Timestamp::UNIX_EPOCH),
        time_zone: row.get(6)?,
    })
}

pub(super) fn listed_session(keys: KeyType, row: &Row<'_>) -> Result<ListedSession, StoreError> {
    let start_time = instant_at(row, 3)?;
    Ok(ListedSession {
        row: SessionRow {
            id: SessionId::new(key_at(keys, row, 0)?),
            user_id: UserId::new(key_at(keys, row, 1)?),
            course_progress_id: optional_key_at(keys, row, 2)?.map(CourseProgressId::new),
            start_time,
            end_time: optional_instant_at(row, 4)?,
            duration_minutes: integer_at(row, 5)?,
            effectiveness_rating: small_at(row, 6)?,
            focus_hundredths: hundredths_at(row, 7)?,
            break_count: small_at(row, 8)?.unwrap_or_default(),
            is_active: row.get::<_, Option<bool>>(9)?.unwrap_or(false),
            learning_environment: text_at(row, 10)?.to_owned(),
            device_type: text_at(row, 11)?.to_owned(),
            subject_category: text_at(row, 12)?.to_owned(),
            content_covered: text_at(row, 13)?.to_owned(),
            notes: text_at(row, 14)?.to_owned(),
            created_at: optional_instant_at(row, 15)?.unwrap_or(start_time),
            updated_at: optional_instant_at(row, 16)?.unwrap_or(start_time),
            goal_id: optional_key_at(keys, row, 17)?,
            learning_plan_id: optional_key_at(keys, row, 18)?,
            estimator: estimator_at(row, 19)?,
        },
        archived: row.get(20)?,
    })
}

/// The columns of `export_progress` and of `write_course`.
pub(super) fn progress_row(keys: KeyType, row: &Row<'_>) -> Result<ProgressRow, StoreError> {
    let created_at = optional_instant_at(row, 9)?.unwrap_or(Timestamp::UNIX_EPOCH);
    let est_finish_hour: Option<i64> = row.get(7)?;
    Ok(ProgressRow {
        id: CourseProgressId::new(key_at(keys, row, 0)?),
        user_id: UserId::new(key_at(keys, row, 1)?),
        content_id: ContentId::new(key_at(keys, row, 2)?),
        subject_name: text_at(row, 3)?.to_owned(),
        proficiency_level: integer_at(row, 4)?,
        learning_hour_week: integer_at(row, 5)?,
        learning_hour_total: integer_at(row, 6)?,
        est_finish_hour: est_finish_hour.map(|_| integer_at(row, 7)).transpose()?,
        difficulty: integer_at(row, 8)?,
        created_at,
        updated_at: optional_instant_at(row, 10)?.unwrap_or(created_at),
    })
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::from(rusqlite::types::Null),
            Self::Key(key) => SqlKey::output(*key),
            Self::Text(text) => ToSqlOutput::from(*text),
            Self::Integer(number) => ToSqlOutput::from(*number),
            Self::Boolean(value) => ToSqlOutput::from(*value),
            Self::Instant(instant) => ToSqlOutput::from(micros(*instant)),
            Self::Hundredths(focus) => ToSqlOutput::from(f64::from(*focus) / 100.0),
        })
    }
}

/// The columns of `session_rows`.
pub(super) fn session_facts(row: &Row<'_>) -> Result<SessionFacts, StoreError> {
    Ok(SessionFacts {
        start: instant_at(row, 0)?,
        end: optional_instant_at(row, 1)?,
        duration_minutes: integer_at(row, 2)?,
        rating: small_at(row, 3)?,
        focus_hundredths: hundredths_at(row, 4)?,
        break_count: integer_at(row, 5)?,
        is_active: row.get::<_, Option<bool>>(6)?.unwrap_or(false),
        environment: text_at(row, 7)?.into(),
        device: text_at(row, 8)?.into(),
        subject: text_at(row, 9)?.into(),
        estimator: estimator_at(row, 10)?,
    })
}

/// The columns of `course_rows`.
pub(super) fn course_row(keys: KeyType, row: &Row<'_>) -> Result<crate::statistic::CourseRow, StoreError> {
    let est_finish_hour: Option<i64> = row.get(6)?;
    Ok(crate::statistic::CourseRow {
        id: CourseProgressId::new(key_at(keys, row, 0)?),
        content_id: crate::key::ContentId::new(key_at(keys, row, 1)?),
        subject_name: text_at(row, 2)?.to_owned(),
        proficiency_level: integer_at(row, 3)?,
        learning_hour_week: integer_at(row, 4)?,
        learning_hour_total: integer_at(row, 5)?,
        est_finish_hour: est_finish_hour.map(|_| integer_at(row, 6)).transpose()?,
        updated_at: optional_instant_at(row, 7)?.unwrap_or(Timestamp::UNIX_EPOCH),
    })
}
