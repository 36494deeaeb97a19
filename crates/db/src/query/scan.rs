//! What a statement wants of each table that it scans.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::statement::Keyed;
use crate::{Ident, TableName};

/// What a statement reads and writes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// Each use of a table, in the order in which they are met. A table that is joined to itself is scanned twice.
    pub scans: Vec<Scan>,
    /// What is written, if anything is.
    pub written: Option<Written>,
    /// Columns that exist in none of the tables in sight, as they were written.
    pub unresolved: Vec<String>,
}

/// One use of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    /// The table, with its schema.
    pub table: TableName,
    /// What must hold of every row: all of it.
    pub filters: Vec<Filter>,
    /// Where one of several things must hold of a row: the arms of each `or` that speaks of different columns.
    pub alternatives: Vec<Vec<Filter>>,
    /// The order in which rows are wanted, if one that this table alone can give.
    pub order: Vec<Ordering>,
    /// The columns by which rows are grouped, if they are all of this table.
    pub group: Vec<Ident>,
    /// Every column that is used anywhere in the statement.
    pub columns: BTreeSet<Ident>,
    /// Whether all columns are wanted: `select *`.
    pub is_whole: bool,
    /// Whether only the first rows of the order are wanted.
    pub is_limited: bool,
}

/// One condition on a column, or on a function of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// What is compared.
    pub on: Keyed,
    /// How.
    pub test: Test,
    /// With which value, if the statement says so.
    pub value: Option<Literal>,
    /// With which parameters, if it says so by them.
    pub parameters: Vec<Parameter>,
}

/// A parameter that a column is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Parameter {
    /// Its number, from 1.
    pub number: u16,
    /// What it stands for.
    pub role: Role,
}

/// What a parameter stands for in a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The value itself, or one of several.
    Value,
    /// Several values in an array.
    Values,
    /// A bound, where smaller values are left out.
    Lower,
    /// A bound, where larger values are left out.
    Upper,
    /// A pattern.
    Pattern,
}

/// How a column is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Test {
    /// With one value.
    Equal,
    /// With one of so many values; an array that is a parameter counts as 10.
    AnyOf(usize),
    /// With a column of another table.
    Join,
    /// With a bound, or two.
    Range,
    /// Text that begins with a known text.
    Prefix,
    /// Text that a pattern fits anywhere in it, in any case of its letters or in one: `like '%x%'`, `ilike`. The pattern has three
    /// letters in a row, or is a parameter.
    Contains,
    /// It is null.
    IsNull,
    /// It is not null.
    IsNotNull,
}

/// A value in a statement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Literal {
    /// A number, as it was written.
    Number(String),
    /// A text.
    Text(String),
    /// True or false.
    Boolean(bool),
}

/// One part of an order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ordering {
    /// By what.
    pub by: Keyed,
    /// Whether the highest comes first.
    pub is_descending: bool,
    /// Whether nulls come first, where the statement says so.
    pub nulls_first: Option<bool>,
}

/// What a statement writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// New rows.
    Insert(TableName),
    /// Other values in these columns.
    Update(TableName, BTreeSet<Ident>),
    /// Rows that go.
    Delete(TableName),
}

/// Why it cannot be said what a statement reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadingError {
    /// A table is not in the schema, or not visible to this role.
    #[error("there is no table or view `{name}` besides those of the system")]
    UnknownRelation {
        /// Its name, as it was written.
        name: String,
    },
    /// The query of a view is not understood here.
    #[error("the view {name} cannot be read through: {reason}")]
    View {
        /// The view.
        name: TableName,
        /// What was not understood.
        reason: String,
    },
    /// The statement neither reads nor writes rows.
    #[error("a statement that neither reads nor writes rows, accepted are select, insert, update and delete")]
    Utility,
    /// A form that is not followed.
    #[error("{what} is not followed")]
    Unsupported {
        /// What it is.
        what: &'static str,
    },
}

impl Scan {
    pub(super) fn new(table: TableName) -> Self {
        Self {
            table,
            filters: Vec::new(),
            alternatives: Vec::new(),
            order: Vec::new(),
            group: Vec::new(),
            columns: BTreeSet::new(),
            is_whole: false,
            is_limited: false,
        }
    }
}

impl Test {
    /// Whether rows that pass are together in an index that has the column first, and in any order behind it.
    pub fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::AnyOf(_) | Self::Join | Self::IsNull)
    }
}

impl Written {
    /// The table that is written.
    pub fn table(&self) -> &TableName {
        match self {
            Self::Insert(table) | Self::Update(table, _) | Self::Delete(table) => table,
        }
    }
}
