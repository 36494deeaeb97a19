//! Rows for tests, and the same rows as SQL literals for the connection beside the store.

use jiff::Timestamp;
use tierkeep_db::Dialect;
use tierkeep_learning::key::{ContentId, CourseProgressId, Key, KeyType, SessionId, UserId};
use tierkeep_learning::local_day::LocalDay;
use tierkeep_learning::rows::{ProgressRow, SessionRow, UserRow};
use tierkeep_learning::session::SessionFacts;
use uuid::Uuid;

/// Every day there is.
pub(crate) const ALL_DAYS: std::ops::RangeInclusive<LocalDay> = LocalDay::MIN..=LocalDay::MAX;

/// The columns of `study_sessions`, in the order of [`session_values`].
pub(crate) const SESSION_COLUMNS: &str = "id, user_id, course_progress_id, start_time, end_time, duration_minutes, \
     effectiveness_rating, focus_score, break_count, is_active, learning_environment, device_type, subject_category, \
     content_covered, notes, created_at, updated_at";

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn day(text: &str) -> LocalDay {
    text.parse().unwrap()
}

/// Key number `n`; rising with `n` in both types.
pub(crate) fn key(keys: KeyType, n: u32) -> Key {
    match keys {
        KeyType::Int => Key::Int(n.into()),
        KeyType::Uuid => Key::Uuid(Uuid::from_u128(0x0191_f9a0_0000_7000_8000_0000_0000_0000 + u128::from(n))),
    }
}

pub(crate) fn user(keys: KeyType, n: u32) -> UserId {
    UserId::new(key(keys, n))
}

/// Learner `n` in a zone.
pub(crate) fn learner(keys: KeyType, n: u32, zone: Option<&str>) -> UserRow {
    UserRow {
        id: user(keys, n),
        email: format!("learner{n}@example.org"),
        username: format!("learner{n}"),
        is_active: true,
        last_login: None,
        created_at: at("2025-01-01T00:00:00Z"),
        time_zone: zone.map(str::to_owned),
    }
}

/// Session `n` of learner `of`.
pub(crate) fn session(keys: KeyType, n: u32, of: u32, start: &str, minutes: i32) -> SessionRow {
    SessionRow {
        id: SessionId::new(key(keys, n)),
        user_id: user(keys, of),
        course_progress_id: None,
        start_time: at(start),
        end_time: None,
        duration_minutes: minutes,
        effectiveness_rating: None,
        focus_hundredths: None,
        break_count: 0,
        is_active: false,
        learning_environment: String::new(),
        device_type: String::new(),
        subject_category: String::new(),
        content_covered: String::new(),
        notes: String::new(),
        created_at: at("2025-01-01T00:00:00Z"),
        updated_at: at("2025-01-01T00:00:00Z"),
        goal_id: None,
        learning_plan_id: None,
        estimator: None,
    }
}

/// Course progress `n` of learner `of` in content `content`.
pub(crate) fn progress(keys: KeyType, n: u32, of: u32, content: u32) -> ProgressRow {
    ProgressRow {
        id: CourseProgressId::new(key(keys, n)),
        user_id: user(keys, of),
        content_id: ContentId::new(key(keys, content)),
        subject_name: "algebra".to_owned(),
        proficiency_level: 40,
        learning_hour_week: 2,
        learning_hour_total: 20,
        est_finish_hour: Some(30),
        difficulty: 3,
        created_at: at("2025-01-01T00:00:00Z"),
        updated_at: at("2025-01-02T00:00:00Z"),
    }
}

/// What the statistics see of a row.
pub(crate) fn facts(row: &SessionRow) -> SessionFacts {
    SessionFacts {
        start: row.start_time,
        end: row.end_time,
        duration_minutes: row.duration_minutes,
        rating: row.effectiveness_rating,
        focus_hundredths: row.focus_hundredths,
        break_count: row.break_count.into(),
        is_active: row.is_active,
        environment: row.learning_environment.as_str().into(),
        device: row.device_type.as_str().into(),
        subject: row.subject_category.as_str().into(),
        estimator: row.estimator,
    }
}

pub(crate) fn key_literal(key: Key) -> String {
    match key {
        Key::Int(number) => number.to_string(),
        Key::Uuid(uuid) => format!("'{}'", uuid.as_hyphenated()),
    }
}

pub(crate) fn text_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub(crate) fn instant_literal(dialect: Dialect, instant: Timestamp) -> String {
    match dialect {
        Dialect::Sqlite => instant.as_microsecond().to_string(),
        Dialect::Postgres => format!("'{instant}'"),
    }
}

fn or_null<T>(value: Option<T>, literal: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "null".to_owned(), literal)
}

/// A row in parentheses, in the order of [`SESSION_COLUMNS`].
pub(crate) fn session_values(dialect: Dialect, row: &SessionRow) -> String {
    let instant = |instant| instant_literal(dialect, instant);
    let values = [
        key_literal(row.id.key()),
        key_literal(row.user_id.key()),
        or_null(row.course_progress_id, |id| key_literal(id.key())),
        instant(row.start_time),
        or_null(row.end_time, instant),
        row.duration_minutes.to_string(),
        or_null(row.effectiveness_rating, |rating| rating.to_string()),
        or_null(row.focus_hundredths, |focus| format!("{}", f64::from(focus) / 100.0)),
        row.break_count.to_string(),
        row.is_active.to_string(),
        text_literal(&row.learning_environment),
        text_literal(&row.device_type),
        text_literal(&row.subject_category),
        text_literal(&row.content_covered),
        text_literal(&row.notes),
        instant(row.created_at),
        instant(row.updated_at),
    ];
    format!("({})", values.join(", "))
}
