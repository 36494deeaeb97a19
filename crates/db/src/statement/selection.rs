//! Which rows are meant, and in which order: what pages are made of.

use super::{Comparison, Condition, Dialect, Ident, Relation};
use crate::asking::{BoundSql, Param};
use crate::{TableName, Value};

/// The rows of a relation, or of a statement of the caller, of which a filter is true.
///
/// # Examples
///
/// ```
/// use tierkeep_db::{Comparison, Filter, Ident, Relation, Selection};
///
/// let sessions = Relation::plain("study_sessions".parse()?, &[Ident::new("id")?, Ident::new("minutes")?]);
/// let long = Filter::compare("minutes", Comparison::AtLeast, 45_i64);
/// let selection = Selection::of(sessions.clone()).filter(long)?;
///
/// let unknown = Selection::of(sessions).filter(Filter::compare("minuts", Comparison::AtLeast, 45_i64)).unwrap_err();
/// assert_eq!(unknown.to_string(), "\"study_sessions\" has no column `minuts`, did you mean `minutes`?");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    relation: Relation,
    /// The statement that stands for the relation.
    query: Option<BoundSql>,
    filter: Filter,
}

/// What must hold of a row, with values that are bound. A comparison with a null of the row does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Each of these; holds if there is none.
    All(Vec<Filter>),
    /// One of these at least; does not hold if there is none.
    Any(Vec<Filter>),
    /// This does not hold.
    Not(Box<Filter>),
    /// A column compares so with a value that is not null.
    Compare(String, Comparison, Value),
    /// A column has one of these values.
    In(String, Vec<Value>),
    /// A column is null.
    Null(String),
    /// A condition of the program's own holds.
    Holds(Condition),
}

/// A column by which rows are sorted. Unless it is said otherwise it may be null, and nulls come last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortColumn {
    pub(crate) column: String,
    pub(crate) direction: Direction,
    pub(crate) nulls: Nulls,
}

/// Which way values go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the least to the greatest.
    Ascending,
    /// From the greatest to the least.
    Descending,
}

/// Where rows without a value stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Nulls {
    /// Before all others, whichever the direction.
    First,
    /// After all others, whichever the direction.
    Last,
    /// There are none.
    Never,
}

/// Why a selection cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectionError {
    /// A filter or an order names a column that the rows do not have.
    #[error("{table} has no column `{column}`, {}", hint(nearest.as_deref(), known))]
    UnknownColumn {
        /// What the rows are of.
        table: Box<str>,
        /// The name.
        column: Box<str>,
        /// The name that is most like it, if one is.
        nearest: Option<Box<str>>,
        /// All names.
        known: Box<str>,
    },
    /// A comparison with null would hold of no row.
    #[error("column `{column}` is compared with null, which holds of no row: use `Filter::Null`")]
    ComparedWithNull {
        /// The column.
        column: String,
    },
    /// The statement that was given is for the other database.
    #[error("the statement is written for {written:?}, the database is {asked:?}")]
    OtherDialect {
        /// What it is written in.
        written: Dialect,
        /// What the database speaks.
        asked: Dialect,
    },
}

fn hint(nearest: Option<&str>, known: &str) -> String {
    match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("accepted are: {known}"),
    }
}

impl Filter {
    /// A column compares so with a value.
    pub fn compare(column: &str, comparison: Comparison, value: impl Into<Value>) -> Self {
        Self::Compare(column.to_owned(), comparison, value.into())
    }

    /// A column has the value.
    pub fn equal(column: &str, value: impl Into<Value>) -> Self {
        Self::compare(column, Comparison::Equal, value)
    }

    /// A column has one of the values; any number of them.
    pub fn within<V: Into<Value>>(column: &str, values: impl IntoIterator<Item = V>) -> Self {
        Self::In(column.to_owned(), values.into_iter().map(Into::into).collect())
    }

    /// This does not hold: it is false or unknown.
    #[must_use]
    pub fn negated(self) -> Self {
        Self::Not(Box::new(self))
    }
}

impl SortColumn {
    /// From the least value to the greatest, nulls last.
    #[must_use]
    pub fn ascending(column: &str) -> Self {
        Self { column: column.to_owned(), direction: Direction::Ascending, nulls: Nulls::Last }
    }

    /// From the greatest value to the least, nulls last.
    #[must_use]
    pub fn descending(column: &str) -> Self {
        Self { column: column.to_owned(), direction: Direction::Descending, nulls: Nulls::Last }
    }

    /// Where rows without a value stand. [`Nulls::Never`] is a promise: rows that break it may be missing from pages by
    /// key.
    #[must_use]
    pub fn nulls(mut self, nulls: Nulls) -> Self {
        self.nulls = nulls;
        self
    }
}

impl Selection {
    /// All rows of a relation.
    #[must_use]
    pub fn of(relation: Relation) -> Self {
        Self { relation, query: None, filter: Filter::All(Vec::new()) }
    }

    /// All rows of a statement, which returns these columns among others.
    #[must_use]
    pub fn of_query(statement: &BoundSql, columns: &[Ident]) -> Self {
        let name = Ident("the statement".to_owned());
        let relation = Relation::plain(TableName::new(None, name), columns);
        Self { relation, query: Some(statement.clone()), filter: Filter::All(Vec::new()) }
    }

    /// Those of its rows of which the filter is true, too.
    ///
    /// # Errors
    ///
    /// [`SelectionError::UnknownColumn`] and [`SelectionError::ComparedWithNull`].
    pub fn filter(mut self, filter: Filter) -> Result<Self, SelectionError> {
        self.check(&filter)?;
        self.filter = match self.filter {
            Filter::All(mut filters) => {
                filters.push(filter);
                Filter::All(filters)
            }
            other => Filter::All(vec![other, filter]),
        };
        Ok(self)
    }

    /// The relation, unless the rows are those of a statement.
    #[must_use]
    pub fn relation(&self) -> Option<&Relation> {
        self.query.is_none().then_some(&self.relation)
    }

    /// The same rows without the filter.
    pub(crate) fn unfiltered(&self) -> Self {
        Self { filter: Filter::All(Vec::new()), ..self.clone() }
    }

    /// Whether nothing is filtered.
    pub(crate) fn is_everything(&self) -> bool {
        self.query.is_none() && self.filter == Filter::All(Vec::new())
    }

    /// Refuses a column that the rows do not have.
    pub(crate) fn check_column(&self, column: &str) -> Result<(), SelectionError> {
        if self.relation.columns().any(|(name, _)| name == column) {
            return Ok(());
        }
        let nearest = self
            .relation
            .columns()
            .map(|(name, _)| (strsim::damerau_levenshtein(&name.to_lowercase(), &column.to_lowercase()), name))
            .min()
            // more than a third of other letters is another word
            .filter(|(distance, name)| distance * 3 <= name.chars().count().max(3))
            .map(|(_, name)| name.to_owned());
        Err(SelectionError::UnknownColumn {
            table: self.relation.table().quoted().into(),
            column: column.into(),
            nearest: nearest.map(Into::into),
            known: self.relation.columns().map(|(name, _)| name).collect::<Vec<_>>().join(", ").into(),
        })
    }

    fn check(&self, filter: &Filter) -> Result<(), SelectionError> {
        match filter {
            Filter::All(filters) | Filter::Any(filters) => filters.iter().try_for_each(|filter| self.check(filter)),
            Filter::Not(filter) => self.check(filter),
            Filter::Compare(column, _, value) => {
                self.check_column(column)?;
                if value.is_null() {
                    return Err(SelectionError::ComparedWithNull { column: column.clone() });
                }
                Ok(())
            }
            Filter::In(column, _) | Filter::Null(column) => self.check_column(column),
            Filter::Holds(condition) => match condition.render(Dialect::Sqlite, &self.relation) {
                Ok(_) => Ok(()),
                Err(unknown) => Err(SelectionError::UnknownColumn {
                    table: unknown.table.into(),
                    column: unknown.column.into(),
                    nearest: None,
                    known: unknown.known.into(),
                }),
            },
        }
    }
}

/// A selection on its way into a statement: its texts, and the values bound so far.
pub(super) struct Composer<'a> {
    pub(super) dialect: Dialect,
    selection: &'a Selection,
    params: Vec<Param>,
}

impl<'a> Composer<'a> {
    pub(super) fn new(dialect: Dialect, selection: &'a Selection) -> Result<Self, SelectionError> {
        let params = match &selection.query {
            Some(query) if query.dialect() != dialect => {
                return Err(SelectionError::OtherDialect { written: query.dialect(), asked: dialect });
            }
            // its placeholders count from 1, so its values are the first
            Some(query) => query.params().to_vec(),
            None => Vec::new(),
        };
        Ok(Self { dialect, selection, params })
    }

    pub(super) fn finish(self, sql: String) -> BoundSql {
        BoundSql::new(self.dialect, sql, self.params)
    }

    /// Binds a value and returns what stands for it.
    pub(super) fn bind(&mut self, param: Param) -> String {
        self.params.push(param);
        match self.dialect {
            Dialect::Postgres => format!("${}", self.params.len()),
            Dialect::Sqlite => format!("?{}", self.params.len()),
        }
    }

    /// `"t" as t`, or the caller's statement in parentheses.
    pub(super) fn source(&self) -> String {
        match &self.selection.query {
            // a line of its own, as the statement may end with a comment
            Some(query) => format!("({}\n) as t", query.sql()),
            None => format!("{} as t", self.selection.relation.table().quoted()),
        }
    }

    /// Every column under its name.
    pub(super) fn columns(&self) -> Result<String, SelectionError> {
        let names: Vec<&str> = self.selection.relation.columns().map(|(name, _)| name).collect();
        let columns = names.into_iter().map(|name| Ok(format!("{} as {}", self.column(name)?, quoted(name))));
        Ok(columns.collect::<Result<Vec<_>, SelectionError>>()?.join(", "))
    }

    pub(super) fn column(&self, name: &str) -> Result<String, SelectionError> {
        self.selection.check_column(name)?;
        self.selection.relation.column(self.dialect, "t", name).map_err(|unknown| SelectionError::UnknownColumn {
            table: unknown.table.into(),
            column: unknown.column.into(),
            nearest: None,
            known: unknown.known.into(),
        })
    }

    /// The selection's filter.
    pub(super) fn filter(&mut self) -> Result<String, SelectionError> {
        let filter = &self.selection.filter;
        self.render(filter)
    }

    fn render(&mut self, filter: &Filter) -> Result<String, SelectionError> {
        let mut list = |filters: &[Filter], word: &str, empty: &str| {
            if filters.is_empty() {
                return Ok(empty.to_owned());
            }
            let parts = filters.iter().map(|filter| self.render(filter)).collect::<Result<Vec<_>, _>>()?;
            Ok::<_, SelectionError>(format!("({})", parts.join(word)))
        };
        Ok(match filter {
            Filter::All(filters) => list(filters, " and ", "true")?,
            Filter::Any(filters) => list(filters, " or ", "false")?,
            Filter::Not(filter) => format!("({}) is not true", self.render(filter)?),
            Filter::Compare(column, comparison, value) => {
                let column = self.column(column)?;
                format!("{column} {} {}", comparison.sign(), self.bind(Param::One(value.clone())))
            }
            Filter::In(column, values) => {
                let column = self.column(column)?;
                let list = self.bind(Param::List(values.clone()));
                match self.dialect {
                    Dialect::Postgres => format!("{column} = any({list})"),
                    Dialect::Sqlite => format!("{column} in (select value from json_each({list}))"),
                }
            }
            Filter::Null(column) => format!("{} is null", self.column(column)?),
            Filter::Holds(condition) => {
                condition.render(self.dialect, &self.selection.relation).map_err(|unknown| {
                    SelectionError::UnknownColumn {
                        table: unknown.table.into(),
                        column: unknown.column.into(),
                        nearest: None,
                        known: unknown.known.into(),
                    }
                })?
            }
        })
    }
}

/// A checked name in double quotes.
pub(super) fn quoted(name: &str) -> String {
    Ident(name.to_owned()).quoted()
}

impl Direction {
    /// The other way.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::Ascending => Self::Descending,
            Self::Descending => Self::Ascending,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ascending => "asc",
            Self::Descending => "desc",
        }
    }
}

impl Nulls {
    pub(super) fn reversed(self) -> Self {
        match self {
            Self::First => Self::Last,
            Self::Last => Self::First,
            Self::Never => Self::Never,
        }
    }

    /// Said only where there may be nulls: it must not keep an index on a column without them from giving the order.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::First => " nulls first",
            Self::Last => " nulls last",
            Self::Never => "",
        }
    }
}
