//! The one place where SQL is put together from parts.
//!
//! A part is an [`Ident`], a [`TableName`] or a [`ColumnExpr`]; none of them can carry anything but what it says. Values
//! never stand in the text: they are bound.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

mod after;
mod children;
mod condition;
#[cfg(feature = "advice")]
pub(crate) mod explain;
#[cfg(feature = "advice")]
mod index;
mod many;
#[cfg(feature = "cache")]
mod opcodes;
mod paged;
mod rows;
#[cfg(feature = "advice")]
pub(crate) mod sample;
mod selection;

pub(crate) use after::{KeyColumn, KeysetShape};
pub(crate) use children::{ChildrenShape, Through};
pub use condition::{Comparison, Condition, Operand, Relation, UnknownColumn};
#[cfg(feature = "advice")]
pub(crate) use index::Creation;
#[cfg(feature = "advice")]
pub use index::{IndexDefinition, IndexKey, IndexMethod, IndexPredicate, KeyFunction, KeyOrder, Keyed, drop_index};
pub(crate) use many::{Given, ManyShape, one_row_sqlite, typed_parameters};
#[cfg(feature = "cache")]
pub(crate) use opcodes::opcodes_of;
pub(crate) use paged::OffsetShape;
pub use rows::{Conversion, WrittenColumn, delete_rows, insert_row, lock_row, update_row};
pub use selection::{Direction, Filter, Nulls, Selection, SelectionError, SortColumn};

/// Longest name PostgreSQL keeps; longer ones it would cut without an error.
const MAX_IDENT_BYTES: usize = 63;

/// A name of a table, a column or a schema.
///
/// Any name of 1 to 63 bytes without a NUL byte, however odd, kept exactly: `Ident` is always quoted in SQL, so case
/// matters on PostgreSQL as it does in a quoted name.
///
/// # Examples
///
/// ```
/// use tierkeep_db::Ident;
///
/// assert_eq!(Ident::new("user \"id\"")?.quoted(), r#""user ""id""""#);
/// assert!(Ident::new("").is_err());
/// # Ok::<(), tierkeep_db::StatementError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ident(String);

/// A table or view, with a schema or found by the connection's search path.
///
/// Reads `table`, `schema.table`, and either part in double quotes where the name itself has a dot: `"odd.schema".t`.
///
/// # Examples
///
/// ```
/// use tierkeep_db::TableName;
///
/// let table: TableName = "public.study_session".parse()?;
/// assert_eq!(table.quoted(), r#""public"."study_session""#);
/// # Ok::<(), tierkeep_db::StatementError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TableName {
    schema: Option<Ident>,
    name: Ident,
}

/// The two kinds of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// PostgreSQL 13 or later.
    Postgres,
    /// SQLite 3.35 or later.
    Sqlite,
}

/// A type a mapped column can be cast to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SqlType {
    /// A UUID; text on SQLite.
    Uuid,
    /// A 64-bit integer.
    Bigint,
    /// A 32-bit integer; 64 bits on SQLite.
    Integer,
    /// A 16-bit integer; 64 bits on SQLite.
    Smallint,
    /// Text of any length.
    Text,
    /// True or false; the integers 1 and 0 on SQLite.
    Boolean,
    /// An instant; an integer, microseconds since 1970, on SQLite.
    Timestamptz,
    /// A decimal number.
    Numeric,
}

/// What stands for a canonical column in a mapped table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ColumnExpr {
    /// The column of that name.
    Column(Ident),
    /// The negation of a boolean column: `not "finished"`.
    Not(Ident),
    /// The column of that name, converted.
    Cast(Ident, SqlType),
    /// A column of binary fractions as decimals. What is infinite is NaN, as before version 14 PostgreSQL has no infinite decimals
    /// and fails instead.
    Decimal(Ident),
    /// A column of wall times, taken as UTC whatever the session's zone is. On SQLite, which has no such type, the column.
    Utc(Ident),
    /// No value, of that type.
    Null(SqlType),
    /// The empty text.
    EmptyText,
    /// The integer 0.
    Zero,
    /// The boolean false.
    False,
}

/// Why a name or a statement cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// A name is empty.
    #[error("a name is empty, accepted are 1 to {MAX_IDENT_BYTES} bytes")]
    EmptyName,
    /// A name is longer than PostgreSQL keeps.
    #[error("the name `{name}` has {} bytes, accepted are 1 to {MAX_IDENT_BYTES}", name.len())]
    LongName {
        /// The name.
        name: String,
    },
    /// A name has a NUL byte.
    #[error("the name {name:?} has a NUL byte, any other character is accepted")]
    NulInName {
        /// The name.
        name: String,
    },
    /// A table name is neither `table` nor `schema.table`.
    #[error("`{given}` is not a table name, accepted are table, schema.table, and either in double quotes")]
    TableName {
        /// The text that was given.
        given: String,
    },
    /// A statement that should get a prefix does not start with `select`.
    #[error("only a statement that starts with select can be given a mapping, this one starts with `{start}`")]
    NotASelect {
        /// Its first word.
        start: String,
    },
}

impl Ident {
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`StatementError::EmptyName`], [`LongName`](StatementError::LongName) or
    /// [`NulInName`](StatementError::NulInName).
    pub fn new(name: &str) -> Result<Self, StatementError> {
        Self::try_from(name.to_owned())
    }

    /// Returns the name as it is, without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name in double quotes, quotes inside doubled: ready for SQL of either dialect.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0.replace('"', "\"\""))
    }
}

impl TableName {
    /// Joins checked parts.
    pub fn new(schema: Option<Ident>, name: Ident) -> Self {
        Self { schema, name }
    }

    /// Returns the schema, if one is named.
    pub fn schema(&self) -> Option<&Ident> {
        self.schema.as_ref()
    }

    /// Returns the name without the schema.
    pub fn name(&self) -> &Ident {
        &self.name
    }

    /// Returns the name ready for SQL: `"schema"."table"` or `"table"`.
    pub fn quoted(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", schema.quoted(), self.name.quoted()),
            None => self.name.quoted(),
        }
    }
}

impl Dialect {
    /// What the dialect calls a type.
    #[must_use]
    pub fn type_name(self, sql_type: SqlType) -> &'static str {
        match (self, sql_type) {
            (Self::Postgres, SqlType::Uuid) => "uuid",
            (Self::Postgres, SqlType::Bigint) => "bigint",
            (Self::Postgres, SqlType::Integer) => "integer",
            (Self::Postgres, SqlType::Smallint) => "smallint",
            (Self::Postgres, SqlType::Boolean) => "boolean",
            (Self::Postgres, SqlType::Timestamptz) => "timestamptz",
            (Self::Postgres | Self::Sqlite, SqlType::Numeric) => "numeric",
            (Self::Postgres, SqlType::Text) | (Self::Sqlite, SqlType::Uuid | SqlType::Text) => "text",
            (
                Self::Sqlite,
                SqlType::Bigint | SqlType::Integer | SqlType::Smallint | SqlType::Boolean | SqlType::Timestamptz,
            ) => "integer",
        }
    }
}

impl ColumnExpr {
    fn render(&self, dialect: Dialect) -> String {
        self.qualified(dialect, None)
    }

    /// The column of the table that it reads, if it reads one.
    #[must_use]
    pub fn reads(&self) -> Option<&Ident> {
        match self {
            Self::Column(column)
            | Self::Not(column)
            | Self::Cast(column, _)
            | Self::Decimal(column)
            | Self::Utc(column) => Some(column),
            Self::Null(_) | Self::EmptyText | Self::Zero | Self::False => None,
        }
    }

    /// The expression in a statement in which the table has this alias.
    fn qualified(&self, dialect: Dialect, alias: Option<&str>) -> String {
        let name = |column: &Ident| match alias {
            Some(alias) => format!("{alias}.{}", column.quoted()),
            None => column.quoted(),
        };
        match self {
            Self::Column(column) => name(column),
            Self::Not(column) if alias.is_some() => format!("(not {})", name(column)),
            Self::Not(column) => format!("not {}", name(column)),
            Self::Cast(column, to) => format!("cast({} as {})", name(column), dialect.type_name(*to)),
            Self::Decimal(column) => match dialect {
                Dialect::Postgres => {
                    let name = name(column);
                    format!("cast(case when abs({name}) = 'infinity' then 'NaN' else {name} end as numeric)")
                }
                Dialect::Sqlite => format!("cast({} as numeric)", name(column)),
            },
            Self::Utc(column) => match dialect {
                Dialect::Postgres => format!("cast({} as timestamp) at time zone 'UTC'", name(column)),
                Dialect::Sqlite => name(column),
            },
            Self::Null(of) => format!("cast(null as {})", dialect.type_name(*of)),
            Self::EmptyText => "cast('' as text)".to_owned(),
            Self::Zero => "0".to_owned(),
            Self::False => "false".to_owned(),
        }
    }
}

/// Renders one common table expression that shows `table` under canonical names.
///
/// It is `not materialized`, so the planner of either database sees through it to the table's own indexes. A column
/// without an expression of its own does not exist for the statement that follows.
///
/// The table may bear the canonical name itself. On SQLite, where that would be a circular reference, a table without a
/// schema is therefore taken from `main`. On PostgreSQL a table that bears the canonical name of *another* table needs its
/// schema in `table`, as expressions see the ones before them.
///
/// # Examples
///
/// ```
/// use tierkeep_db::{ColumnExpr, Dialect, Ident, projection};
///
/// let prefix = projection(
///     Dialect::Postgres,
///     &Ident::new("study_sessions")?,
///     &"public.t".parse()?,
///     &[(Ident::new("id")?, ColumnExpr::Column(Ident::new("uuid")?))],
/// );
/// assert_eq!(prefix, r#""study_sessions" as not materialized (select "uuid" as "id" from "public"."t")"#);
/// # Ok::<(), tierkeep_db::StatementError>(())
/// ```
pub fn projection(dialect: Dialect, cte: &Ident, table: &TableName, columns: &[(Ident, ColumnExpr)]) -> String {
    let columns: Vec<String> = columns
        .iter()
        .map(|(canonical, expression)| format!("{} as {}", expression.render(dialect), canonical.quoted()))
        .collect();
    let source = match (dialect, table.schema()) {
        (Dialect::Sqlite, None) => format!("\"main\".{}", table.quoted()),
        (Dialect::Sqlite, Some(_)) | (Dialect::Postgres, _) => table.quoted(),
    };
    format!("{} as not materialized (select {} from {source})", cte.quoted(), columns.join(", "))
}

/// Puts common table expressions before a statement: `with a, b select …`; without any the statement stays as it is.
///
/// Comments before the first word of the statement are fine.
///
/// # Errors
///
/// [`StatementError::NotASelect`] if the statement does not start with `select`, which is also the answer to one with a
/// `with` of its own.
pub fn with_prefix(ctes: &[String], statement: &str) -> Result<String, StatementError> {
    let start = first_word(statement);
    if !start.eq_ignore_ascii_case("select") {
        return Err(StatementError::NotASelect { start: start.to_owned() });
    }
    if ctes.is_empty() {
        return Ok(statement.to_owned());
    }
    Ok(format!("with {} {statement}", ctes.join(", ")))
}

/// Returns the first word after white space and comments.
fn first_word(statement: &str) -> &str {
    let mut rest = statement.trim_start();
    loop {
        let after = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n').map(|(_, after)| after)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map(|(_, after)| after)
        } else {
            break;
        };
        rest = after.unwrap_or_default().trim_start();
    }
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    &rest[..end]
}

impl TryFrom<String> for Ident {
    type Error = StatementError;

    fn try_from(name: String) -> Result<Self, StatementError> {
        if name.is_empty() {
            Err(StatementError::EmptyName)
        } else if name.contains('\0') {
            Err(StatementError::NulInName { name })
        } else if name.len() > MAX_IDENT_BYTES {
            Err(StatementError::LongName { name })
        } else {
            Ok(Self(name))
        }
    }
}

impl From<Ident> for String {
    fn from(ident: Ident) -> Self {
        ident.0
    }
}

impl FromStr for Ident {
    type Err = StatementError;

    fn from_str(name: &str) -> Result<Self, StatementError> {
        Self::new(name)
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TableName {
    type Err = StatementError;

    fn from_str(given: &str) -> Result<Self, StatementError> {
        let not_a_name = || StatementError::TableName { given: given.to_owned() };
        let (first, rest) = read_part(given).ok_or_else(not_a_name)?;
        if rest.is_empty() {
            return Ok(Self::new(None, Ident::try_from(first)?));
        }
        let rest = rest.strip_prefix('.').ok_or_else(not_a_name)?;
        let (second, rest) = read_part(rest).ok_or_else(not_a_name)?;
        if !rest.is_empty() {
            return Err(not_a_name());
        }
        Ok(Self::new(Some(Ident::try_from(first)?), Ident::try_from(second)?))
    }
}

/// Reads one part of a table name, quoted or up to the next dot, and returns what follows it.
fn read_part(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find('.').unwrap_or(text.len());
        let (part, rest) = text.split_at(end);
        return (!part.contains('"')).then(|| (part.to_owned(), rest));
    };
    let mut part = String::new();
    let mut rest = quoted;
    loop {
        let (before, after) = rest.split_once('"')?;
        part.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                part.push('"');
                rest = after;
            }
            None => return Some((part, after)),
        }
    }
}

impl fmt::Display for TableName {
    /// Writes what [`FromStr`] reads: parts are quoted only where they must be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (part, separator) in [(self.schema.as_ref(), "."), (Some(&self.name), "")] {
            match part {
                Some(part) if part.as_str().contains(['.', '"']) => write!(f, "{}{separator}", part.quoted())?,
                Some(part) => write!(f, "{part}{separator}")?,
                None => {}
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for TableName {
    type Error = StatementError;

    fn try_from(given: String) -> Result<Self, StatementError> {
        given.parse()
    }
}

impl From<TableName> for String {
    fn from(table: TableName) -> Self {
        table.to_string()
    }
}

#[cfg(test)]
mod tests;
