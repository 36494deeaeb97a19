//! All that is stored about a learner, as one JSON document that is written piece by piece.
//!
//! Pages are read one after the other, not in one snapshot: a row that is written meanwhile is in the document or not, and
//! no row is in it twice. A page of rows is all that is in memory.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use tierkeep_learning::key::{CourseProgressId, SessionId, UserId};
use tierkeep_learning::local_day::LocalDay;
use tierkeep_learning::rows::{ProgressRow, SessionRow, UserRow};
use tierkeep_learning::store::export::{QuarantineId, SessionTable};
use tierkeep_learning::store::{Store, StoreError};

/// Rows of a page; texts of a row are some kilobytes at most.
const PAGE: u32 = 500;

/// A document that is being written.
#[derive(Debug)]
pub struct Document {
    store: Arc<dyn Store>,
    user: UserId,
    next: Part,
    /// Whether the list that is being written is empty so far.
    is_first: bool,
}

/// What is written next.
#[derive(Debug)]
enum Part {
    Head(Box<Option<UserRow>>, Timestamp),
    Progress(Option<CourseProgressId>),
    Sessions(SessionTable, Option<SessionId>),
    Quarantine(Option<QuarantineId>),
    Base,
    Nights(Option<LocalDay>),
    End,
}

/// A session and where it lies.
#[derive(Serialize)]
struct Session<'a> {
    #[serde(flatten)]
    row: &'a SessionRow,
    archived: bool,
}

impl Document {
    /// Begins the document about a learner; `None` if no row is about them. `now` is when it is made.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin(store: Arc<dyn Store>, user: UserId, now: Timestamp) -> Result<Option<Self>, StoreError> {
        let row = store.export_user(user).await?;
        let is_known = row.is_some()
            || !store.export_progress(user, None, 1).await?.is_empty()
            || !store.export_sessions(user, SessionTable::Live, None, 1).await?.is_empty()
            || !store.export_sessions(user, SessionTable::Archive, None, 1).await?.is_empty()
            || !store.export_quarantine(user, None, 1).await?.is_empty()
            || !store.export_base(user).await?.is_empty()
            || !store.nightly_rows(user, None, 1).await?.is_empty();
        let next = Part::Head(Box::new(row), now);
        Ok(is_known.then_some(Self { store, user, next, is_first: true }))
    }

    /// The next piece; `None` after the last.
    ///
    /// # Errors
    /// [`StoreError`]; the document is then incomplete and no JSON.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        let mut piece = Vec::new();
        let next = std::mem::replace(&mut self.next, Part::End);
        self.next = match next {
            Part::Head(row, now) => {
                let learner = json!(row.as_ref().as_ref().map(learner));
                piece.extend_from_slice(b"{\"user_id\":");
                piece.extend_from_slice(json!(self.user).to_string().as_bytes());
                piece.extend_from_slice(b",\"exported_at\":");
                piece.extend_from_slice(json!(now).to_string().as_bytes());
                piece.extend_from_slice(b",\"learner\":");
                piece.extend_from_slice(learner.to_string().as_bytes());
                piece.extend_from_slice(b",\"course_progress\":[");
                Part::Progress(None)
            }
            Part::Progress(after) => {
                let rows = self.store.export_progress(self.user, after, PAGE).await?;
                for row in &rows {
                    self.push(&mut piece, &progress(row));
                }
                if let Some(last) = rows.last() {
                    Part::Progress(Some(last.id))
                } else {
                    self.is_first = true;
                    piece.extend_from_slice(b"],\"sessions\":[");
                    Part::Sessions(SessionTable::Live, None)
                }
            }
            Part::Sessions(table, after) => {
                let rows = self.store.export_sessions(self.user, table, after, PAGE).await?;
                for listed in &rows {
                    self.push(&mut piece, &Session { row: &listed.row, archived: listed.archived });
                }
                match (rows.last(), table) {
                    (Some(last), _) => Part::Sessions(table, Some(last.row.id)),
                    (None, SessionTable::Live) => Part::Sessions(SessionTable::Archive, None),
                    (None, SessionTable::Archive) => {
                        self.is_first = true;
                        piece.extend_from_slice(b"],\"quarantine\":[");
                        Part::Quarantine(None)
                    }
                }
            }
            Part::Quarantine(after) => {
                let rows = self.store.export_quarantine(self.user, after, PAGE).await?;
                for row in &rows {
                    self.push(&mut piece, row);
                }
                if let Some(last) = rows.last() {
                    Part::Quarantine(Some(last.id))
                } else {
                    self.is_first = true;
                    piece.extend_from_slice(b"],\"base\":[");
                    Part::Base
                }
            }
            Part::Base => {
                for day in self.store.export_base(self.user).await? {
                    self.push(&mut piece, &day);
                }
                self.is_first = true;
                piece.extend_from_slice(b"],\"learning_analytics\":[");
                Part::Nights(None)
            }
            Part::Nights(after) => {
                let rows = self.store.nightly_rows(self.user, after, PAGE).await?;
                for row in &rows {
                    self.push(&mut piece, row);
                }
                if let Some(last) = rows.last() {
                    Part::Nights(Some(last.date))
                } else {
                    piece.extend_from_slice(b"]}\n");
                    Part::End
                }
            }
            Part::End => return Ok(None),
        };
        Ok(Some(piece))
    }

    fn push(&mut self, piece: &mut Vec<u8>, row: &impl Serialize) {
        if !std::mem::replace(&mut self.is_first, false) {
            piece.push(b',');
        }
        serde_json::to_writer(piece, row)
            .expect("a row holds texts, numbers and instants, which are written into memory");
    }
}

fn learner(row: &UserRow) -> Value {
    json!({
        "id": row.id,
        "email": row.email,
        "username": row.username,
        "is_active": row.is_active,
        "last_login": row.last_login,
        "created_at": row.created_at,
        "time_zone": row.time_zone,
    })
}

fn progress(row: &ProgressRow) -> Value {
    json!({
        "id": row.id,
        "user_id": row.user_id,
        "content_id": row.content_id,
        "subject_name": row.subject_name,
        "proficiency_level": row.proficiency_level,
        "learning_hour_week": row.learning_hour_week,
        "learning_hour_total": row.learning_hour_total,
        "est_finish_hour": row.est_finish_hour,
        "difficulty": row.difficulty,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    })
}
