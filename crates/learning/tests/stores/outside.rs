//! What a platform's own code, a person at a prompt or another program does to the tables: statements as text.

use futures_util::SinkExt;
use jiff::Timestamp;
use tierkeep_db::Dialect;
use tierkeep_learning::key::{SessionId, UserId};
use tierkeep_learning::rows::{SessionRow, UserRow};
use tierkeep_testkit::DatabaseClient;

use super::rows::{SESSION_COLUMNS, instant_literal, key_literal, session_values, text_literal};

/// Everything that is stored of learners' days, in an order, as text.
pub(crate) const STORED_PAGES: &str =
    "select cast(user_id as text) || ' ' || cast(month as text) from tierkeep_month order by 1";

pub(crate) fn insert(dialect: Dialect, table: &str, row: &SessionRow) -> String {
    format!("insert into {table} ({SESSION_COLUMNS}) values {}", session_values(dialect, row))
}

pub(crate) fn upsert(dialect: Dialect, row: &SessionRow) -> String {
    format!("{} {}", insert(dialect, "study_sessions", row), on_conflict())
}

/// A row of the archive, whether its id is live or not.
pub(crate) fn archive_copy(dialect: Dialect, row: &SessionRow) -> String {
    format!("{} {}", insert(dialect, "study_sessions_archive", row), on_conflict())
}

fn on_conflict() -> String {
    let columns = SESSION_COLUMNS.split(", ").skip(1);
    let sets: Vec<String> = columns.map(|column| format!("{column} = excluded.{column}")).collect();
    format!("on conflict (id) do update set {}", sets.join(", "))
}

/// SQLite's REPLACE.
pub(crate) fn replace(row: &SessionRow) -> String {
    insert(Dialect::Sqlite, "study_sessions", row).replacen("insert into", "insert or replace into", 1)
}

/// PostgreSQL's COPY, in its text format.
pub(crate) async fn copy(client: &DatabaseClient, rows: &[&SessionRow]) {
    let text = format!("copy study_sessions ({SESSION_COLUMNS}) from stdin");
    let sink = client.copy_in::<_, bytes::Bytes>(&text).await.unwrap();
    let mut sink = std::pin::pin!(sink);
    for row in rows {
        sink.send(bytes::Bytes::from(copy_line(row))).await.unwrap();
    }
    sink.as_mut().finish().await.unwrap();
}

fn copy_line(row: &SessionRow) -> String {
    let null = || "\\N".to_owned();
    let text = |text: &str| text.replace('\\', "\\\\");
    let values = [
        row.id.to_string(),
        row.user_id.to_string(),
        null(),
        row.start_time.to_string(),
        row.end_time.map_or_else(null, |end| end.to_string()),
        row.duration_minutes.to_string(),
        row.effectiveness_rating.map_or_else(null, |rating| rating.to_string()),
        row.focus_hundredths.map_or_else(null, |focus| format!("{}", f64::from(focus) / 100.0)),
        row.break_count.to_string(),
        row.is_active.to_string(),
        text(&row.learning_environment),
        text(&row.device_type),
        text(&row.subject_category),
        text(&row.content_covered),
        text(&row.notes),
        row.created_at.to_string(),
        row.updated_at.to_string(),
    ];
    values.join("\t") + "\n"
}

pub(crate) fn delete(table: &str, id: SessionId) -> String {
    format!("delete from {table} where id = {}", key_literal(id.key()))
}

pub(crate) fn set_start(dialect: Dialect, table: &str, id: SessionId, start: Timestamp) -> String {
    let start = instant_literal(dialect, start);
    format!("update {table} set start_time = {start} where id = {}", key_literal(id.key()))
}

pub(crate) fn set_minutes(of: UserId, minutes: i32) -> String {
    format!("update study_sessions set duration_minutes = {minutes} where user_id = {}", key_literal(of.key()))
}

/// All sessions of one learner become another's.
pub(crate) fn give(from: UserId, to: UserId) -> String {
    format!("update study_sessions set user_id = {} where user_id = {}", key_literal(to.key()), key_literal(from.key()))
}

pub(crate) fn rename_session(from: SessionId, to: SessionId) -> String {
    format!("update study_sessions set id = {} where id = {}", key_literal(to.key()), key_literal(from.key()))
}

/// Moves sessions that start before an instant, in one statement where the database can.
pub(crate) fn archive_before(dialect: Dialect, before: Timestamp) -> String {
    let before = instant_literal(dialect, before);
    match dialect {
        Dialect::Postgres => format!(
            "with known as (delete from study_sessions_archive a using study_sessions s \
                 where a.id = s.id and s.start_time < {before}) select 1; \
             with moved as (delete from study_sessions where start_time < {before} returning *) \
             insert into study_sessions_archive ({SESSION_COLUMNS}) select {SESSION_COLUMNS} from moved"
        ),
        Dialect::Sqlite => format!(
            "begin immediate; \
             insert or replace into study_sessions_archive ({SESSION_COLUMNS}) \
                 select {SESSION_COLUMNS} from study_sessions where start_time < {before}; \
             delete from study_sessions where start_time < {before}; \
             commit"
        ),
    }
}

pub(crate) fn delete_user(of: UserId) -> String {
    format!("delete from users where id = {}", key_literal(of.key()))
}

pub(crate) fn rename_user(from: UserId, to: UserId) -> String {
    format!("update users set id = {} where id = {}", key_literal(to.key()), key_literal(from.key()))
}

pub(crate) fn set_zone(of: UserId, zone: Option<&str>) -> String {
    format!("update users set time_zone = {} where id = {}", zone_literal(zone), key_literal(of.key()))
}

/// A learner by REPLACE on SQLite, by an upsert on PostgreSQL.
pub(crate) fn replace_user(dialect: Dialect, row: &UserRow) -> String {
    let (id, zone) = (key_literal(row.id.key()), zone_literal(row.time_zone.as_deref()));
    match dialect {
        Dialect::Sqlite => format!("insert or replace into users (id, time_zone) values ({id}, {zone})"),
        Dialect::Postgres => format!(
            "insert into users (id, time_zone) values ({id}, {zone}) \
             on conflict (id) do update set time_zone = excluded.time_zone"
        ),
    }
}

fn zone_literal(zone: Option<&str>) -> String {
    zone.map_or_else(|| "null".to_owned(), text_literal)
}

/// A change of a learner that nobody has folded.
pub(crate) fn note(of: UserId) -> String {
    format!("insert into tierkeep_outbox (source, key) values ('users', {})", key_literal(of.key()))
}
