//! Somebody who writes meanwhile, and keeps a journal of what was acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tierkeep_db::Dialect;

use crate::chance::Chance;
use crate::connection::Connection;
use crate::fixture::{ARCHIVE, WRITERS, WRITTEN, at};
use crate::places::{Kind, Place, Places};

/// Between two writes, so that two processors have time for the rest.
const PAUSE: Duration = Duration::from_millis(2);
/// Recent starts, and starts that are to be archived; none is old enough to be deleted.
const STARTS: [&str; 4] =
    ["2026-05-01T01:00:00Z", "2025-05-31T23:00:00Z", "2024-07-01T01:00:00Z", "2025-06-02T00:00:00Z"];

pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Journal>,
}

/// What each row was when it was last acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// `None`: deleted.
    sessions: BTreeMap<i64, Option<Session>>,
    courses: Vec<i64>,
    pub(crate) acknowledged: u64,
    /// Writes that met no row any more: it had been moved.
    pub(crate) too_late: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Session {
    start: &'static str,
    is_active: bool,
    minutes: i32,
    notes: String,
}

impl Writer {
    pub(crate) fn start(url: String, mut chance: Chance) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let connection = Connection::open(&url).await.unwrap();
                let (mut journal, mut ticks) = (Journal::default(), tokio::time::interval(PAUSE));
                while !is_over.load(Ordering::Acquire) {
                    ticks.tick().await;
                    journal.write(&connection, &mut chance, &mut ticks).await;
                }
                journal
            })
        });
        Self { stop, thread }
    }

    pub(crate) async fn end(self) -> Journal {
        self.stop.store(true, Ordering::Release);
        tokio::task::spawn_blocking(|| self.thread.join().unwrap()).await.unwrap()
    }
}

impl Journal {
    async fn write(&mut self, connection: &Connection, chance: &mut Chance, ticks: &mut tokio::time::Interval) {
        let dialect = connection.dialect();
        let number = u32::try_from(self.sessions.len()).unwrap();
        let session = Session {
            start: STARTS[chance.below(4) as usize],
            is_active: chance.one_in(3),
            minutes: if chance.one_in(12) { -3 } else { 25 },
            notes: format!("write {}", self.acknowledged),
        };
        let id = WRITERS + i64::from(chance.below(number));
        match chance.below(8) {
            _ if number < 5 => self.insert(connection, dialect, session, chance).await,
            0..=2 => self.insert(connection, dialect, session, chance).await,
            3 | 4 => {
                let rows = connection.change(&session.update(dialect, id)).await.unwrap();
                self.note(id, rows, Some(session));
            }
            5 => {
                let rows = connection.change(&format!("delete from study_sessions where id = {id}")).await.unwrap();
                self.note(id, rows, None);
            }
            6 => {
                // holds locks for a while, and thinks better of it
                connection.run("begin").await;
                connection.change(&session.update(dialect, id)).await.unwrap();
                ticks.tick().await;
                connection.run("rollback").await;
            }
            _ => {
                let id = WRITERS + i64::try_from(self.courses.len()).unwrap();
                let user = *WRITTEN.start() + i64::from(chance.below(4));
                let updated = instant(dialect, STARTS[chance.below(4) as usize]);
                let insert = format!(
                    "insert into course_progress (id, user_id, content_id, updated_at) values ({id}, {user}, 1, {updated})"
                );
                connection.change(&insert).await.unwrap();
                self.courses.push(id);
                self.acknowledged += 1;
            }
        }
    }

    async fn insert(&mut self, connection: &Connection, dialect: Dialect, session: Session, chance: &mut Chance) {
        let id = WRITERS + i64::try_from(self.sessions.len()).unwrap();
        let user = *WRITTEN.start() + i64::from(chance.below(4));
        let Session { is_active, minutes, notes, .. } = &session;
        let start = instant(dialect, session.start);
        let insert = format!(
            "insert into study_sessions (id, user_id, start_time, is_active, duration_minutes, notes) \
             values ({id}, {user}, {start}, {is_active}, {minutes}, '{notes}')"
        );
        connection.change(&insert).await.unwrap();
        self.sessions.insert(id, Some(session));
        self.acknowledged += 1;
    }

    fn note(&mut self, id: i64, rows: u64, state: Option<Session>) {
        if rows == 1 {
            self.sessions.insert(id, state);
            self.acknowledged += 1;
        } else {
            self.too_late += u64::from(self.sessions[&id].is_some());
        }
    }

    /// What was acknowledged and is not so.
    pub(crate) fn findings(&self, found: &Places) -> Vec<String> {
        let mut findings = Vec::new();
        for (id, state) in &self.sessions {
            let rows = found.get(&(Kind::Session, *id)).map_or(&[][..], Vec::as_slice);
            match (state, rows) {
                (None, []) => {}
                (Some(expected), [(place, content)]) => {
                    let column = |name: &str| content[name].clone().unwrap_or_default();
                    let is_same = column("start_time") == at(expected.start).as_microsecond().to_string()
                        && column("is_active") == expected.is_active.to_string()
                        && column("duration_minutes") == expected.minutes.to_string()
                        && column("notes") == expected.notes;
                    let belongs = match place {
                        // it may have become invalid after the invalid ones were looked for
                        Place::Archive => !expected.is_active && at(expected.start) < at(ARCHIVE),
                        Place::Live => {
                            (expected.is_active || at(expected.start) >= at(ARCHIVE)) && expected.minutes >= 0
                        }
                        Place::Quarantine(_) => expected.minutes < 0,
                    };
                    if !is_same || !belongs {
                        findings.push(format!(
                            "session {id} is in {place:?} as {content:?}, acknowledged was {expected:?}"
                        ));
                    }
                }
                (state, rows) => {
                    findings.push(format!("session {id} was acknowledged as {state:?}, there is {rows:?}"));
                }
            }
        }
        for id in &self.courses {
            let rows = found.get(&(Kind::Progress, *id)).map_or(0, Vec::len);
            if rows != 1 {
                findings.push(format!("course {id} is in {rows} places"));
            }
        }
        findings.truncate(5);
        findings
    }
}

impl Session {
    fn update(&self, dialect: Dialect, id: i64) -> String {
        let Self { is_active, minutes, notes, start } = self;
        let start = instant(dialect, start);
        format!(
            "update study_sessions set start_time = {start}, is_active = {is_active}, duration_minutes = {minutes}, \
             notes = '{notes}' where id = {id}"
        )
    }
}

fn instant(dialect: Dialect, text: &str) -> String {
    match dialect {
        Dialect::Sqlite => at(text).as_microsecond().to_string(),
        Dialect::Postgres => format!("'{text}'"),
    }
}
