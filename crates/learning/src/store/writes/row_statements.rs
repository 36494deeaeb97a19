//! The statements that write one row of `study_sessions` and `course_progress`, made from a mapping: the one place where
//! canonical columns become a platform's. A column that the platform lacks is left out.

use tierkeep_db::{CatalogColumn, Dialect, SqlType, WrittenColumn, delete_rows, insert_row, lock_row, update_row};

use super::values::{PROGRESS_CHANGES, PROGRESS_KEPT, SESSION_CHANGES, SESSION_KEPT};
use super::{CourseWrite, StoreError};
use crate::key::{Key, KeyType};
use crate::mapping::{Mapping, Source, WrittenTable};
use crate::rows::SessionRow;
use crate::session_change::{FieldFault, SessionChange};

/// A statement, and the canonical columns whose values it binds, in order.
#[derive(Debug, Clone)]
pub(in crate::store) struct RowStatement {
    pub(in crate::store) text: String,
    pub(in crate::store) columns: Vec<&'static str>,
}

/// The statements on the two tables.
#[derive(Debug)]
pub(in crate::store) struct RowStatements {
    dialect: Dialect,
    sessions: WrittenTable,
    progress: WrittenTable,
    /// Locks the session whose id is bound.
    pub(in crate::store) lock_session: String,
    /// Deletes the session whose id is bound.
    pub(in crate::store) delete_session: String,
    /// Inserts a session with its id.
    pub(in crate::store) insert_session: RowStatement,
    /// Inserts a session and leaves its id to the database.
    pub(in crate::store) insert_session_unnamed: RowStatement,
    /// Inserts course progress with its id.
    pub(in crate::store) insert_progress: RowStatement,
    /// Inserts course progress and leaves its id to the database.
    pub(in crate::store) insert_progress_unnamed: RowStatement,
    /// Replaces what changes of course progress; the id is bound first.
    pub(in crate::store) update_progress: RowStatement,
    /// Deletes a learner's progress in a content.
    pub(in crate::store) delete_progress: String,
}

impl RowStatements {
    /// Makes the statements.
    ///
    /// # Errors
    /// [`StoreError::Mapping`] for a column that is named and not there, or a needed one that is missing.
    pub(in crate::store) fn new(
        mapping: &Mapping,
        dialect: Dialect,
        keys: KeyType,
        found: &[(Source, Vec<CatalogColumn>)],
    ) -> Result<Self, StoreError> {
        let table = |wanted: Source| {
            let columns = found.iter().find(|(source, _)| *source == wanted).map_or(&[][..], |(_, columns)| columns);
            mapping.written(wanted, dialect, keys, columns)
        };
        let (sessions, progress) = (table(Source::StudySessions)?, table(Source::CourseProgress)?);
        let session_id = needed(&sessions, "id")?;
        let insert = |table: &WrittenTable, names: &[&[&'static str]], with_id: bool| {
            let names = names.concat();
            let all = names.into_iter().filter(|name| with_id || *name != "id");
            let (columns, written): (Vec<_>, Vec<_>) = present(table, all).unzip();
            let text = insert_row(dialect, &table.table, &written, &needed(table, "id")?.column);
            Ok::<_, StoreError>(RowStatement { text, columns })
        };
        let session = |with_id| insert(&sessions, &[&SESSION_KEPT, &SESSION_CHANGES], with_id);
        let course = |with_id| insert(&progress, &[&PROGRESS_KEPT, &PROGRESS_CHANGES], with_id);
        let owner = [needed(&progress, "user_id")?, needed(&progress, "content_id")?];
        Ok(Self {
            dialect,
            lock_session: lock_row(dialect, &sessions.table, session_id),
            delete_session: delete_rows(dialect, &sessions.table, &[session_id]),
            insert_session: session(true)?,
            insert_session_unnamed: session(false)?,
            insert_progress: course(true)?,
            insert_progress_unnamed: course(false)?,
            update_progress: update(dialect, &progress, PROGRESS_CHANGES)?,
            delete_progress: delete_rows(dialect, &progress.table, &owner),
            sessions,
            progress,
        })
    }

    /// Sets what differs between two versions of a session, the id bound first; `None` = nothing that is stored differs.
    ///
    /// # Errors
    /// Never, for statements that could be made.
    pub(in crate::store) fn update_session(
        &self,
        before: &SessionRow,
        after: &SessionRow,
    ) -> Result<Option<RowStatement>, StoreError> {
        let differs = |column: &&'static str| {
            super::session_value(before, column) != super::session_value(after, column)
                && self.sessions.column(column).is_some()
        };
        let changed: Vec<&'static str> = SESSION_CHANGES.into_iter().filter(differs).collect();
        if changed.is_empty() { Ok(None) } else { update(self.dialect, &self.sessions, changed).map(Some) }
    }

    /// What is said of a session and cannot be stored: the platform has no column for it, or a key of another type.
    pub(in crate::store) fn unstorable(&self, said: &SessionChange) -> Vec<FieldFault> {
        let keys = [
            ("course_progress_id", said.course_progress_id.flatten().map(crate::key::CourseProgressId::key)),
            ("goal_id", said.goal_id.flatten()),
            ("learning_plan_id", said.learning_plan_id.flatten()),
        ];
        let mut faults: Vec<FieldFault> =
            keys.iter().filter_map(|(name, key)| key_fault(&self.sessions, name, (*key)?)).collect();
        let text = |said: &Option<String>| said.clone().filter(|text| !text.is_empty());
        let others = [
            ("end_time", said.end_time.flatten().map(|end| end.to_string())),
            ("effectiveness_rating", said.effectiveness_rating.flatten().map(|rating| rating.get().to_string())),
            (
                "focus_score",
                said.focus_score.flatten().map(|focus| (f64::from(focus.hundredths()) / 100.0).to_string()),
            ),
            ("break_count", said.break_count.filter(|breaks| *breaks != 0).map(|breaks| breaks.to_string())),
            ("is_active", said.is_active.filter(|is_active| *is_active).map(|_| "true".to_owned())),
            ("learning_environment", text(&said.learning_environment)),
            ("device_type", text(&said.device_type)),
            ("subject_category", text(&said.subject_category)),
            ("content_covered", text(&said.content_covered)),
            ("notes", text(&said.notes)),
        ];
        faults.extend(others.iter().filter_map(|(name, given)| absent_fault(&self.sessions, name, given.as_deref()?)));
        faults
    }

    /// The same for course progress.
    pub(in crate::store) fn unstorable_course(&self, said: &CourseWrite) -> Vec<FieldFault> {
        let number = |number: i32, default: i32| Some(number).filter(|n| *n != default).map(|n| n.to_string());
        let others = [
            ("subject_name", Some(said.subject_name.clone()).filter(|text| !text.is_empty())),
            ("proficiency_level", number(said.proficiency_level, 0)),
            ("learning_hour_week", number(said.learning_hour_week, 0)),
            ("learning_hour_total", number(said.learning_hour_total, 0)),
            ("est_finish_hour", said.est_finish_hour.map(|hours| hours.to_string())),
            ("difficulty", number(said.difficulty, 1)),
        ];
        let mut faults: Vec<FieldFault> =
            key_fault(&self.progress, "content_id", said.content_id.key()).into_iter().collect();
        faults.extend(others.iter().filter_map(|(name, given)| absent_fault(&self.progress, name, given.as_deref()?)));
        faults
    }

    /// Whether a content can have this id.
    pub(in crate::store) fn is_content(&self, key: Key) -> bool {
        key_fault(&self.progress, "content_id", key).is_none()
    }
}

fn present(
    table: &WrittenTable,
    names: impl Iterator<Item = &'static str>,
) -> impl Iterator<Item = (&'static str, &WrittenColumn)> {
    names.filter_map(|name| table.column(name).map(|column| (name, column)))
}

fn update(
    dialect: Dialect,
    table: &WrittenTable,
    names: impl IntoIterator<Item = &'static str>,
) -> Result<RowStatement, StoreError> {
    let (columns, written): (Vec<_>, Vec<_>) = present(table, names.into_iter()).unzip();
    Ok(RowStatement { text: update_row(dialect, &table.table, needed(table, "id")?, &written), columns })
}

fn needed<'a>(table: &'a WrittenTable, name: &str) -> Result<&'a WrittenColumn, StoreError> {
    let missing = || {
        let table = table.table.quoted();
        StoreError::Mapping(format!("table {table} has no column for {name:?}, which is needed; name it in [mapping]"))
    };
    table.column(name).ok_or_else(missing)
}

fn key_fault(table: &WrittenTable, name: &str, key: Key) -> Option<FieldFault> {
    let accepted = match (table.column(name).map(|column| column.bound), key) {
        (None, _) => return absent_fault(table, name, &key.to_string()),
        (Some(SqlType::Uuid), Key::Uuid(_)) | (Some(SqlType::Bigint), Key::Int(_)) => return None,
        (Some(SqlType::Uuid), Key::Int(_)) => "a UUID, as this database has them",
        (Some(_), _) => "an integer, as this database has them",
    };
    Some(FieldFault::new(name, &key.to_string(), accepted))
}

fn absent_fault(table: &WrittenTable, name: &str, given: &str) -> Option<FieldFault> {
    let accepted = "nothing: the platform's table has no column for it";
    table.column(name).is_none().then(|| FieldFault::new(name, given, accepted))
}
