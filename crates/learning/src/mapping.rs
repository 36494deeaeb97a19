//! A platform's own tables under the names Tierkeep's statements use.
//!
//! Every fixed statement speaks of `users`, `course_progress`, `study_sessions` and `study_sessions_archive` with the
//! columns of [`crate::rows`]. On a platform's tables each statement gets a prefix that shows the platform's tables under
//! these names: `with study_sessions as not materialized (select … from "study_studysession")`. The planner sees through
//! it, and no view is made that a migration of the platform could trip over.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use tierkeep_db::{CatalogColumn, ColumnExpr, Dialect, Ident, SqlType, TableName, projection};

use crate::key::KeyType;
use crate::store::StoreError;

mod written;

pub(crate) use written::WrittenTable;

/// The `[mapping]` table of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    /// Which names to start from.
    pub preset: Preset,
    /// Where learners are.
    pub users: TableMapping,
    /// Where course progress is.
    pub course_progress: TableMapping,
    /// Where sessions are.
    pub study_sessions: TableMapping,
    /// The table that `attach` makes for archived sessions; `None` = `study_sessions_archive`.
    pub archive: Option<TableName>,
}

/// The names a mapping starts from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Tierkeep's own tables.
    #[default]
    Tierkeep,
    /// The tables of the platform whose guide this project follows: `users.uuid`, `course_progress.course_uuid`.
    Platform,
    /// A platform's tables that have the canonical names where none is given.
    None,
}

/// Names of one table: `table = "…"`, and for each canonical column the platform's own.
///
/// A column is `"name"`, `"not name"` for the negation of a boolean, or `""` for one that the platform does not have.
/// A canonical column that is not named stands for itself if the table has it, else it is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct TableMapping {
    /// The table, with a schema or without; `None` = the canonical name.
    pub table: Option<TableName>,
    /// Canonical column → the platform's.
    #[serde(flatten)]
    pub columns: BTreeMap<String, String>,
}

/// The three tables a mapping speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Learners.
    Users,
    /// Course progress.
    CourseProgress,
    /// Sessions.
    StudySessions,
}

/// A canonical column: what its values are, and what stands for it when a platform has none.
struct Canonical {
    name: &'static str,
    kind: Kind,
    missing: Missing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Key,
    Text,
    Integer,
    Smallint,
    Boolean,
    Instant,
    Decimal,
}

enum Missing {
    Refused,
    Null,
    Empty,
    Zero,
    False,
}

const fn column(name: &'static str, kind: Kind, missing: Missing) -> Canonical {
    Canonical { name, kind, missing }
}

const USERS: &[Canonical] = &[
    column("id", Kind::Key, Missing::Refused),
    column("email", Kind::Text, Missing::Empty),
    column("username", Kind::Text, Missing::Empty),
    column("is_active", Kind::Boolean, Missing::False),
    column("last_login", Kind::Instant, Missing::Null),
    column("created_at", Kind::Instant, Missing::Null),
    column("time_zone", Kind::Text, Missing::Null),
];

const COURSE_PROGRESS: &[Canonical] = &[
    column("id", Kind::Key, Missing::Refused),
    column("user_id", Kind::Key, Missing::Refused),
    column("content_id", Kind::Key, Missing::Refused),
    column("subject_name", Kind::Text, Missing::Empty),
    column("proficiency_level", Kind::Integer, Missing::Zero),
    column("learning_hour_week", Kind::Integer, Missing::Zero),
    column("learning_hour_total", Kind::Integer, Missing::Zero),
    column("est_finish_hour", Kind::Integer, Missing::Null),
    column("difficulty", Kind::Integer, Missing::Zero),
    column("created_at", Kind::Instant, Missing::Null),
    column("updated_at", Kind::Instant, Missing::Null),
];

const STUDY_SESSIONS: &[Canonical] = &[
    column("id", Kind::Key, Missing::Refused),
    column("user_id", Kind::Key, Missing::Refused),
    column("course_progress_id", Kind::Key, Missing::Null),
    column("start_time", Kind::Instant, Missing::Refused),
    column("end_time", Kind::Instant, Missing::Null),
    column("duration_minutes", Kind::Integer, Missing::Refused),
    column("effectiveness_rating", Kind::Smallint, Missing::Null),
    column("focus_score", Kind::Decimal, Missing::Null),
    column("break_count", Kind::Smallint, Missing::Zero),
    column("is_active", Kind::Boolean, Missing::False),
    column("learning_environment", Kind::Text, Missing::Empty),
    column("device_type", Kind::Text, Missing::Empty),
    column("subject_category", Kind::Text, Missing::Empty),
    column("content_covered", Kind::Text, Missing::Empty),
    column("notes", Kind::Text, Missing::Empty),
    column("created_at", Kind::Instant, Missing::Null),
    column("updated_at", Kind::Instant, Missing::Null),
    column("goal_id", Kind::Key, Missing::Null),
    column("learning_plan_id", Kind::Key, Missing::Null),
    column("estimator", Kind::Text, Missing::Null),
];

impl Source {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Users, Self::CourseProgress, Self::StudySessions];

    /// The canonical name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::CourseProgress => "course_progress",
            Self::StudySessions => "study_sessions",
        }
    }

    fn columns(self) -> &'static [Canonical] {
        match self {
            Self::Users => USERS,
            Self::CourseProgress => COURSE_PROGRESS,
            Self::StudySessions => STUDY_SESSIONS,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The mapping as JSON: equal texts are equal mappings.
impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).expect("a mapping is made of names"))
    }
}

impl Mapping {
    /// Whether this speaks of Tierkeep's own tables.
    #[must_use]
    pub fn is_own(&self) -> bool {
        *self == Self::default()
    }

    /// Checks what can be checked without a database.
    ///
    /// # Errors
    /// A sentence that names the table, what it does not know and what is accepted.
    pub fn check(&self) -> Result<(), StoreError> {
        for source in Source::ALL {
            for name in self.names(source).columns.keys() {
                if !source.columns().iter().any(|column| column.name == name) {
                    return Err(StoreError::Mapping(format!(
                        "[mapping.{source}] names the column {name:?}, which tierkeep does not use; accepted: table, {}",
                        list(source.columns().iter().map(|column| column.name))
                    )));
                }
            }
        }
        Ok(())
    }

    /// The platform's table.
    #[must_use]
    pub fn table(&self, source: Source) -> TableName {
        self.names(source).table.clone().unwrap_or_else(|| TableName::new(None, ident(source.name())))
    }

    /// The table of archived sessions.
    #[must_use]
    pub fn archive(&self) -> TableName {
        self.archive.clone().unwrap_or_else(|| TableName::new(None, ident("study_sessions_archive")))
    }

    /// The platform's name of a column that it has.
    ///
    /// # Errors
    /// [`StoreError::Mapping`] for a name that no column can have, or a column that the platform does not have.
    pub(crate) fn column(&self, source: Source, canonical: &str) -> Result<Ident, StoreError> {
        let name = self.platform_name(source, canonical).map_or_else(|| canonical.to_owned(), |(name, _)| name);
        Ident::new(&name).map_err(|error| StoreError::Mapping(format!("[mapping.{source}] {canonical}: {error}")))
    }

    /// The platform's names of all columns of a table that it may have, by canonical name.
    pub(crate) fn column_names(&self, source: Source) -> BTreeMap<&'static str, Ident> {
        let canonical = source.columns().iter();
        canonical.filter_map(|column| Some((column.name, self.column(source, column.name).ok()?))).collect()
    }

    /// Whether a table whose columns are `found` has a column for this one.
    pub(crate) fn has(&self, source: Source, canonical: &str, found: &[CatalogColumn]) -> bool {
        self.column(source, canonical).is_ok_and(|name| found.iter().any(|column| column.name == name.as_str()))
    }

    /// The part of the prefix that shows the archive of sessions, which has the columns of the sessions.
    pub(crate) fn archive_projection(
        &self,
        dialect: Dialect,
        keys: KeyType,
        found: &[CatalogColumn],
    ) -> Result<String, StoreError> {
        let columns = self.columns(Source::StudySessions, dialect, keys, found)?;
        Ok(projection(dialect, &ident("study_sessions_archive"), &self.archive(), &columns))
    }

    /// The part of the prefix that shows one table, made from the columns it has.
    ///
    /// # Errors
    /// [`StoreError::Mapping`] for a named column that the table does not have, a needed column that nothing stands for,
    /// or a column of a type that cannot be read.
    pub(crate) fn projection(
        &self,
        source: Source,
        dialect: Dialect,
        keys: KeyType,
        found: &[CatalogColumn],
    ) -> Result<String, StoreError> {
        let columns = self.columns(source, dialect, keys, found)?;
        Ok(projection(dialect, &ident(source.name()), &self.table(source), &columns))
    }

    /// The canonical columns of a table and what stands for each.
    pub(crate) fn columns(
        &self,
        source: Source,
        dialect: Dialect,
        keys: KeyType,
        found: &[CatalogColumn],
    ) -> Result<Vec<(Ident, ColumnExpr)>, StoreError> {
        let canonical = source.columns().iter();
        canonical
            .map(|column| Ok((ident(column.name), self.expression(source, column, dialect, keys, found)?)))
            .collect()
    }

    /// The canonical columns that a table really has, and what they hold, in their order.
    pub(crate) fn held(&self, source: Source, found: &[CatalogColumn]) -> Vec<(&'static str, SqlType)> {
        let has = |column: &&Canonical| self.has(source, column.name, found);
        source.columns().iter().filter(has).map(|column| (column.name, column.sql_type())).collect()
    }

    /// The type of the keys of a table whose columns are `found`.
    ///
    /// # Errors
    /// [`StoreError::Mapping`] when its `id` is neither a UUID nor an integer.
    pub(crate) fn key_type(&self, dialect: Dialect, found: &[CatalogColumn]) -> Result<KeyType, StoreError> {
        let name = self.platform_name(Source::Users, "id").map_or_else(|| "id".to_owned(), |(name, _)| name);
        let table = self.table(Source::Users);
        let column = found.iter().find(|column| column.name == name).ok_or_else(|| no_column(&table, &name, found))?;
        key_type(dialect, &column.type_name).ok_or_else(|| bad_key(&table, column, "uuid, bigint, integer, smallint"))
    }

    fn names(&self, source: Source) -> &TableMapping {
        match source {
            Source::Users => &self.users,
            Source::CourseProgress => &self.course_progress,
            Source::StudySessions => &self.study_sessions,
        }
    }

    /// What the configuration says of a column: the platform's name and whether it is negated. `None` = nothing.
    fn platform_name(&self, source: Source, canonical: &str) -> Option<(String, bool)> {
        if let Some(text) = self.names(source).columns.get(canonical) {
            return Some(match text.strip_prefix("not ") {
                Some(name) => (name.trim().to_owned(), true),
                None => (text.clone(), false),
            });
        }
        let name = match (self.preset, source, canonical) {
            (Preset::Platform, Source::Users, "id") => "uuid",
            (Preset::Platform, Source::CourseProgress, "id") => "course_uuid",
            (Preset::Platform, Source::CourseProgress, "user_id") => "user_uuid_id",
            _ => return None,
        };
        Some((name.to_owned(), false))
    }

    fn expression(
        &self,
        source: Source,
        canonical: &Canonical,
        dialect: Dialect,
        keys: KeyType,
        found: &[CatalogColumn],
    ) -> Result<ColumnExpr, StoreError> {
        let table = self.table(source);
        let (name, negated) = match self.platform_name(source, canonical.name) {
            Some((name, _)) if name.is_empty() => return canonical.when_missing(&table, keys),
            Some(named) => named,
            None if !found.iter().any(|column| column.name == canonical.name) => {
                return canonical.when_missing(&table, keys);
            }
            None => (canonical.name.to_owned(), false),
        };
        let column = found.iter().find(|column| column.name == name).ok_or_else(|| no_column(&table, &name, found))?;
        let name = Ident::new(&name).map_err(|error| StoreError::Mapping(error.to_string()))?;
        if negated {
            return match canonical.kind {
                Kind::Boolean => Ok(ColumnExpr::Not(name)),
                _ => Err(StoreError::Mapping(format!(
                    "[mapping.{source}] negates {:?}, which is not a boolean; only is_active can be \"not {name}\"",
                    canonical.name
                ))),
            };
        }
        if canonical.kind == Kind::Key {
            self.check_key(source, canonical, dialect, keys, column)?;
        }
        Ok(canonical.read(name, &column.type_name, dialect))
    }

    /// What is looked up by must be of the type of the learners' keys, or a listing could not go on; what is only shown
    /// may be a key of either type. SQLite's declared types promise nothing, so only PostgreSQL's are checked.
    fn check_key(
        &self,
        source: Source,
        canonical: &Canonical,
        dialect: Dialect,
        keys: KeyType,
        column: &CatalogColumn,
    ) -> Result<(), StoreError> {
        if dialect == Dialect::Sqlite {
            return Ok(());
        }
        let is_looked_up = canonical.name == "user_id" || (canonical.name == "id" && source != Source::CourseProgress);
        let accepted = match (is_looked_up, keys) {
            (true, KeyType::Uuid) => "uuid, as the learners' ids are",
            (true, KeyType::Int) => "bigint, integer, smallint, as the learners' ids are",
            (false, _) => "uuid, bigint, integer, smallint",
        };
        match key_type(dialect, &column.type_name) {
            Some(found) if !is_looked_up || found == keys => Ok(()),
            _ => Err(bad_key(&self.table(source), column, accepted)),
        }
    }
}

/// The type of the keys in a column of this type.
fn key_type(dialect: Dialect, type_name: &str) -> Option<KeyType> {
    let base = type_name.split('(').next().unwrap_or(type_name).trim().to_ascii_lowercase();
    match (dialect, base.as_str()) {
        (_, "uuid") | (Dialect::Sqlite, "text" | "varchar" | "char") => Some(KeyType::Uuid),
        (_, "bigint" | "integer" | "smallint") | (Dialect::Sqlite, "int") => Some(KeyType::Int),
        _ => None,
    }
}

fn bad_key(table: &TableName, column: &CatalogColumn, accepted: &str) -> StoreError {
    StoreError::Mapping(format!(
        "column {:?} of {} is of type {}; accepted as a key: {accepted}",
        column.name,
        table.quoted(),
        column.type_name
    ))
}

impl Canonical {
    fn sql_type(&self) -> SqlType {
        match self.kind {
            Kind::Key | Kind::Text => SqlType::Text,
            Kind::Integer => SqlType::Integer,
            Kind::Smallint => SqlType::Smallint,
            Kind::Boolean => SqlType::Boolean,
            Kind::Instant => SqlType::Timestamptz,
            Kind::Decimal => SqlType::Numeric,
        }
    }

    fn when_missing(&self, table: &TableName, keys: KeyType) -> Result<ColumnExpr, StoreError> {
        let null_of = |kind: Kind| match kind {
            Kind::Key if keys == KeyType::Uuid => SqlType::Uuid,
            Kind::Key => SqlType::Bigint,
            Kind::Text => SqlType::Text,
            Kind::Integer => SqlType::Integer,
            Kind::Smallint => SqlType::Smallint,
            Kind::Boolean => SqlType::Boolean,
            Kind::Instant => SqlType::Timestamptz,
            Kind::Decimal => SqlType::Numeric,
        };
        match self.missing {
            Missing::Refused => Err(StoreError::Mapping(format!(
                "table {} has no column for {:?}, which is needed; name it in [mapping]",
                table.quoted(),
                self.name
            ))),
            Missing::Null => Ok(ColumnExpr::Null(null_of(self.kind))),
            Missing::Empty => Ok(ColumnExpr::EmptyText),
            Missing::Zero => Ok(ColumnExpr::Zero),
            Missing::False => Ok(ColumnExpr::False),
        }
    }

    /// Reads a column as it is where its type fits, so that its indexes serve; else converted.
    fn read(&self, name: Ident, type_name: &str, dialect: Dialect) -> ColumnExpr {
        if dialect == Dialect::Sqlite {
            return ColumnExpr::Column(name);
        }
        let base = type_name.split('(').next().unwrap_or(type_name).trim();
        // of any width: a cast would make one number beyond ours fail every answer
        let integers = ["smallint", "integer", "bigint"];
        let (fits, cast) = match self.kind {
            Kind::Key => return ColumnExpr::Column(name),
            Kind::Text => (["text", "character varying", "character"].contains(&base), SqlType::Text),
            Kind::Integer => (integers.contains(&base), SqlType::Integer),
            Kind::Smallint => (integers.contains(&base), SqlType::Smallint),
            Kind::Boolean => (base == "boolean", SqlType::Boolean),
            Kind::Instant => {
                (type_name.starts_with("timestamp") && type_name.ends_with("with time zone"), SqlType::Timestamptz)
            }
            Kind::Decimal => (base == "numeric", SqlType::Numeric),
        };
        match cast {
            _ if fits => ColumnExpr::Column(name),
            // instants are UTC, whatever the session's zone is
            SqlType::Timestamptz if base.starts_with("timestamp") || base == "date" => ColumnExpr::Utc(name),
            SqlType::Numeric if ["real", "double precision"].contains(&base) => ColumnExpr::Decimal(name),
            cast => ColumnExpr::Cast(name, cast),
        }
    }
}

fn no_column(table: &TableName, name: &str, found: &[CatalogColumn]) -> StoreError {
    StoreError::Mapping(format!(
        "table {} has no column {name:?}; it has {}",
        table.quoted(),
        list(found.iter().map(|column| column.name.as_str()))
    ))
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn ident(name: &str) -> Ident {
    Ident::new(name).expect("a canonical name is short and has no NUL")
}

#[cfg(test)]
mod tests;
