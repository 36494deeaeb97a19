//! The doors through which rows change, and what a change is called at each.

use std::fmt::Write as _;
use std::process::Command;
use std::sync::Arc;

use axum::body::Bytes;
use futures_util::SinkExt;
use jiff::{SignedDuration, Timestamp};
use tierkeep_db::Dialect;
use tierkeep_learning::key::{ContentId, CourseProgressId, Key, SessionId, UserId};
use tierkeep_learning::rows::{ProgressRow, SessionRow, UserRow};
use tierkeep_learning::store::Store;

use crate::place::Place;
use crate::rows::{Change, DAYS, Rows, Session};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Door {
    /// A node's own writes.
    Api,
    /// Statements of another program, in one transaction.
    Sql,
    /// COPY, on PostgreSQL.
    Copy,
    /// A foreign key.
    Cascade,
    /// Another process, on SQLite.
    Process,
}

/// How a row is put by a statement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    pub(crate) dialect: Dialect,
    /// `on conflict do update`, whether there is a row or not.
    pub(crate) upserts: bool,
    /// Statements name a partition where they can.
    pub(crate) names_partitions: bool,
}

const COLUMNS: &str = "id, user_id, course_progress_id, start_time, duration_minutes";

/// When a session began: all in UTC, so that its day is that of the model.
fn start(id: i64, session: &Session) -> Timestamp {
    let morning: Timestamp = format!("{}T08:00:00Z", DAYS[session.day]).parse().unwrap();
    morning + SignedDuration::from_mins(id % 480)
}

impl Style {
    fn instant(self, instant: Timestamp) -> String {
        match self.dialect {
            Dialect::Sqlite => instant.as_microsecond().to_string(),
            Dialect::Postgres => format!("'{instant}'"),
        }
    }

    fn table(self, day: usize) -> &'static str {
        match (self.names_partitions, day) {
            (false, _) => "study_sessions",
            (true, 0 | 1) => "study_sessions_early",
            (true, _) => "study_sessions_late",
        }
    }

    /// The statements of a change.
    pub(crate) fn sql(self, change: Change, before: &Rows) -> String {
        match change {
            Change::PutSession(id, session) => self.put(id, &session, before.sessions.get(&id)),
            Change::DropSession(id) => match before.sessions.get(&id) {
                Some(session) if session.is_archived => format!("delete from study_sessions_archive where id = {id};"),
                Some(session) => format!("delete from {} where id = {id};", self.table(session.day)),
                None => String::new(),
            },
            Change::Archive(id) => format!(
                "insert into study_sessions_archive ({COLUMNS}) select {COLUMNS} from study_sessions where id = {id}; \
                 delete from study_sessions where id = {id};"
            ),
            Change::Lengthen => "update study_sessions set duration_minutes = duration_minutes + 1;".to_owned(),
            Change::PutCourse(id, user, hours) => format!(
                "insert into course_progress (id, user_id, content_id, learning_hour_total) \
                 values ({id}, {user}, {id}, {hours}) on conflict (id) do update \
                 set user_id = excluded.user_id, learning_hour_total = excluded.learning_hour_total;"
            ),
            Change::DropCourse(id) => format!("delete from course_progress where id = {id};"),
            Change::PutUser(id) => format!("insert into users (id) values ({id}) on conflict (id) do nothing;"),
            Change::DropUser(id) => format!("delete from users where id = {id};"),
        }
    }

    fn put(self, id: i64, session: &Session, before: Option<&Session>) -> String {
        let (user, minutes, start) = (session.user, session.minutes, self.instant(start(id, session)));
        let course = session.course.map_or_else(|| "null".to_owned(), |course| course.to_string());
        let insert =
            |table| format!("insert into {table} ({COLUMNS}) values ({id}, {user}, {course}, {start}, {minutes})");
        match before {
            _ if self.upserts => {
                let sets: Vec<String> =
                    COLUMNS.split(", ").skip(1).map(|name| format!("{name} = excluded.{name}")).collect();
                format!("{} on conflict (id) do update set {};", insert("study_sessions"), sets.join(", "))
            }
            None => format!("{};", insert(self.table(session.day))),
            Some(before) => {
                // a row that moves to another partition is moved by its parent
                let table = if before.day == session.day { self.table(session.day) } else { "study_sessions" };
                format!(
                    "update {table} set user_id = {user}, course_progress_id = {course}, start_time = {start}, \
                     duration_minutes = {minutes} where id = {id};"
                )
            }
        }
    }
}

/// Rows as a file has them.
fn lines(changes: &[Change], separator: &str, null: &str) -> String {
    let mut text = String::new();
    for change in changes {
        if let Change::PutSession(id, session) = change {
            let course = session.course.map_or_else(|| null.to_owned(), |course| course.to_string());
            let fields = [
                id.to_string(),
                session.user.to_string(),
                course,
                start(*id, session).to_string(),
                session.minutes.to_string(),
            ];
            writeln!(text, "{}", fields.join(separator)).unwrap();
        }
    }
    text
}

/// COPY of sessions that are new.
pub(crate) async fn copy(place: &Place, changes: &[Change]) {
    let Place::Postgres(_, client) = place else { panic!("COPY is PostgreSQL's") };
    let sink = client.copy_in(&format!("copy study_sessions ({COLUMNS}) from stdin")).await.unwrap();
    let mut sink = std::pin::pin!(sink);
    sink.send(Bytes::from(lines(changes, "\t", "\\N"))).await.unwrap();
    sink.finish().await.unwrap();
}

/// The binary imports sessions, as a process of its own.
pub(crate) async fn import(place: &Place, changes: &[Change]) {
    let Place::Sqlite(file) = place else { panic!("on PostgreSQL every writer is another process") };
    let csv = file.path().with_extension("csv");
    std::fs::write(&csv, format!("{}\n{}", COLUMNS.replace(", ", ","), lines(changes, ",", ""))).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tierkeep"));
    command.args(["import", "--json", "--database", &place.url(), "--sessions"]).arg(&csv);
    command.current_dir(file.path().parent().unwrap());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A node's own write, which needs no more than rows that are put.
pub(crate) async fn write(store: &Arc<dyn Store>, changes: &[Change]) {
    let epoch: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let user_id = |id: i64| UserId::new(Key::Int(id));
    for change in changes {
        match *change {
            Change::PutSession(id, session) => {
                let row = SessionRow {
                    id: SessionId::new(Key::Int(id)),
                    user_id: user_id(session.user),
                    course_progress_id: session.course.map(|course| CourseProgressId::new(Key::Int(course))),
                    start_time: start(id, &session),
                    end_time: None,
                    duration_minutes: i32::try_from(session.minutes).unwrap(),
                    effectiveness_rating: None,
                    focus_hundredths: None,
                    break_count: 0,
                    is_active: false,
                    learning_environment: String::new(),
                    device_type: String::new(),
                    subject_category: String::new(),
                    content_covered: String::new(),
                    notes: String::new(),
                    created_at: epoch,
                    updated_at: epoch,
                    goal_id: None,
                    learning_plan_id: None,
                    estimator: None,
                };
                store.write_sessions(vec![row]).await.unwrap();
            }
            Change::PutCourse(id, user, hours) => {
                let row = ProgressRow {
                    id: CourseProgressId::new(Key::Int(id)),
                    user_id: user_id(user),
                    content_id: ContentId::new(Key::Int(id)),
                    subject_name: String::new(),
                    proficiency_level: 0,
                    learning_hour_week: 0,
                    learning_hour_total: i32::try_from(hours).unwrap(),
                    est_finish_hour: None,
                    difficulty: 1,
                    created_at: epoch,
                    updated_at: epoch,
                };
                store.write_progress(vec![row]).await.unwrap();
            }
            Change::PutUser(id) => {
                let row = UserRow {
                    id: user_id(id),
                    email: String::new(),
                    username: String::new(),
                    is_active: true,
                    last_login: None,
                    created_at: epoch,
                    time_zone: None,
                };
                store.write_users(vec![row]).await.unwrap();
            }
            other => panic!("the store has no write for {other:?}"),
        }
    }
}
