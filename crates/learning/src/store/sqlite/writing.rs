//! Writing many rows with cached statements, inside one transaction.

use std::collections::BTreeMap;

use rusqlite::{CachedStatement, Connection, Transaction, params};

use super::super::feed::SESSIONS;
use super::super::incoming::{Incoming, Known, accepted};
use super::super::{StoreError, Written};
use super::Shared;
use super::erasure::refuse_erased;
use super::wire::{SqlKey, key_at, micros};
use crate::key::{CourseProgressId, Key, UserId};
use crate::rows::{ProgressRow, SessionRow, UserRow};

/// Starts of the sessions that came, changed or went, by learner.
#[derive(Default)]
struct Touched(BTreeMap<UserId, (i64, i64)>);

impl Touched {
    fn add(&mut self, user: UserId, start: i64) {
        let span = self.0.entry(user).or_insert((start, start));
        *span = (span.0.min(start), span.1.max(start));
    }
}

pub(super) fn users(shared: &Shared, db: &Connection, rows: Vec<UserRow>, known: Known) -> Result<Written, StoreError> {
    let mut insert = db.prepare_cached(&shared.sql.import_users_insert)?;
    let mut update = db.prepare_cached(&shared.sql.import_users_update)?;
    let mut written = Written::default();
    let rows = accepted(rows, shared.keys)?;
    refuse_erased(shared, db, rows.iter().map(Incoming::learner))?;
    for row in &rows {
        let run = |statement: &mut CachedStatement<'_>| {
            statement.execute(params![
                SqlKey(row.id.key()),
                row.email,
                row.username,
                row.is_active,
                row.last_login.map(micros),
                micros(row.created_at),
                row.time_zone,
            ])
        };
        if run(&mut insert)? == 1 {
            written.inserted += 1;
        } else if known == Known::Replace {
            run(&mut update)?;
            written.updated += 1;
        }
    }
    Ok(written)
}

pub(super) fn progress(shared: &Shared, db: &Connection, rows: Vec<ProgressRow>) -> Result<Written, StoreError> {
    let mut insert = db.prepare_cached(&shared.sql.import_progress_insert)?;
    let mut update = db.prepare_cached(&shared.sql.import_progress_update)?;
    let mut written = Written::default();
    let rows = accepted(rows, shared.keys)?;
    refuse_erased(shared, db, rows.iter().map(Incoming::learner))?;
    for row in &rows {
        let run = |statement: &mut CachedStatement<'_>| {
            statement.execute(params![
                SqlKey(row.id.key()),
                SqlKey(row.user_id.key()),
                SqlKey(row.content_id.key()),
                row.subject_name,
                row.proficiency_level,
                row.learning_hour_week,
                row.learning_hour_total,
                row.est_finish_hour,
                row.difficulty,
                micros(row.created_at),
                micros(row.updated_at),
            ])
        };
        if run(&mut insert)? == 1 {
            written.inserted += 1;
        } else {
            run(&mut update)?;
            written.updated += 1;
        }
    }
    Ok(written)
}

/// Rows from which a write is worth taking the triggers off: that is a change of the schema, which makes every
/// connection read the schema again.
const BULK: usize = 500;

/// Writes sessions; the triggers note what few of them touch, many are noted here, once a learner.
pub(super) fn sessions(shared: &Shared, tx: &Transaction<'_>, rows: Vec<SessionRow>) -> Result<Written, StoreError> {
    let rows = accepted(rows, shared.keys)?;
    refuse_erased(shared, tx, rows.iter().map(Incoming::learner))?;
    if rows.len() < BULK {
        return save(shared, tx, &rows).map(|(written, _)| written);
    }
    let suspended = shared.feed.suspend_sqlite(tx, SESSIONS)?;
    let (written, touched) = save(shared, tx, &rows)?;
    let mut note =
        tx.prepare_cached("insert into tierkeep_outbox (source, key, first, last) values (?1, ?2, ?3, ?4)")?;
    for (user, (first, last)) in touched.0 {
        note.execute((SESSIONS, SqlKey(user.key()), first, last))?;
    }
    shared.feed.resume_sqlite(tx, suspended)?;
    Ok(written)
}

fn save(shared: &Shared, db: &Connection, rows: &[SessionRow]) -> Result<(Written, Touched), StoreError> {
    let has_archive: bool =
        db.query_row("select exists (select 1 from study_sessions_archive)", [], |row| row.get(0))?;
    let mut statements = SessionStatements {
        insert: db.prepare_cached(&shared.sql.import_sessions_insert)?,
        update: db.prepare_cached(&shared.sql.import_sessions_update)?,
        archive: db.prepare_cached(&shared.sql.import_archive_update)?,
        live_before: db.prepare_cached("select user_id, start_time from study_sessions where id = ?1")?,
        archived_before: db.prepare_cached("select user_id, start_time from study_sessions_archive where id = ?1")?,
    };
    let mut written = Written::default();
    let mut touched = Touched::default();
    for row in rows {
        touched.add(row.user_id, micros(row.start_time));
        let archived = if has_archive { before(shared, &mut statements.archived_before, row)? } else { None };
        if archived.is_none() && run(&mut statements.insert, row)? == 1 {
            written.inserted += 1;
            continue;
        }
        let live = before(shared, &mut statements.live_before, row)?;
        match (live, archived) {
            (Some((user, start)), _) => {
                touched.add(user, start);
                run(&mut statements.update, row)?;
            }
            (None, Some((user, start))) => {
                touched.add(user, start);
                run(&mut statements.archive, row)?;
            }
            (None, None) => {
                return Err(StoreError::State { reason: format!("session {} is neither new nor known", row.id) });
            }
        }
        written.updated += 1;
    }
    Ok((written, touched))
}

struct SessionStatements<'a> {
    insert: CachedStatement<'a>,
    update: CachedStatement<'a>,
    archive: CachedStatement<'a>,
    live_before: CachedStatement<'a>,
    archived_before: CachedStatement<'a>,
}

/// Learner and start of the stored row with this id.
fn before(
    shared: &Shared,
    statement: &mut CachedStatement<'_>,
    row: &SessionRow,
) -> Result<Option<(UserId, i64)>, StoreError> {
    let mut rows = statement.query([SqlKey(row.id.key())])?;
    match rows.next()? {
        None => Ok(None),
        Some(stored) => Ok(Some((UserId::new(key_at(shared.keys, stored, 0)?), stored.get(1)?))),
    }
}

fn run(statement: &mut CachedStatement<'_>, row: &SessionRow) -> rusqlite::Result<usize> {
    let key = |key: Key| SqlKey(key);
    statement.execute(params![
        key(row.id.key()),
        key(row.user_id.key()),
        row.course_progress_id.map(CourseProgressId::key).map(key),
        micros(row.start_time),
        row.end_time.map(micros),
        row.duration_minutes,
        row.effectiveness_rating,
        row.focus_hundredths.map(|hundredths| f64::from(hundredths) / 100.0),
        row.break_count,
        row.is_active,
        row.learning_environment,
        row.device_type,
        row.subject_category,
        row.content_covered,
        row.notes,
        micros(row.created_at),
        micros(row.updated_at),
        row.goal_id.map(key),
        row.learning_plan_id.map(key),
        row.estimator.map(|estimator| estimator.to_string()),
    ])
}
