//! SQL of the caller with bound parameters.
//!
//! The text is read as the database will read it, so that `:name` is a parameter only where it stands alone: not in a
//! literal, a quoted name, a comment, a dollar-quoted text or a cast (`::`), and `?` is left to the JSON operators.

use std::collections::BTreeMap;

use crate::asking::{BoundSql, Param};
use crate::{Database, Dialect, Error, Queries, Row, Value};

mod reading;

use reading::{Piece, Placeholder, pieces};

/// The values of a statement's parameters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Params {
    named: BTreeMap<String, Param>,
    positional: Vec<Param>,
}

/// One statement with its values: what is missing, unused or too much was refused when it was made.
///
/// - Named parameters are `:name`, as often as wanted; positional ones are `$1`, `$2`, on both databases.
/// - A list is bound as one parameter, also if it is empty or has 100,000 values: `in (:ids)` and `not in (:ids)` are
///   rewritten for the database, and on PostgreSQL `= any(:ids)` takes a list as it is.
/// - There is exactly one statement; a semicolon at its end is dropped.
///
/// In an array slice of PostgreSQL a space keeps the bound apart from a parameter: `a[1 : n]`.
///
/// # Examples
///
/// ```
/// use tierkeep_db::Dialect;
/// use tierkeep_db::raw::{Params, Raw};
///
/// let params = Params::named([("from", 7_i64)]).list("ids", [1_i64, 2]);
/// let raw = Raw::new(Dialect::Postgres, "select a::text from t where b > :from and id in (:ids) -- :not", params)?;
/// assert_eq!(raw.statement().sql(), "select a::text from t where b > $1 and id = any($2) -- :not");
///
/// let missing = Raw::new(Dialect::Postgres, "select :a", Params::named([("b", 1_i64)])).unwrap_err();
/// assert_eq!(missing.to_string(), "parameter :a has no value, given are: b");
/// # Ok::<(), tierkeep_db::raw::RawError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    statement: BoundSql,
}

/// What a statement that may write has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The rows it returned.
    pub rows: Vec<Row>,
    /// How many rows it touched. With `returning` that is the number of rows returned.
    pub touched: u64,
}

/// Why a text and its values are no statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RawError {
    /// There is nothing but white space and comments.
    #[error("the text has no statement")]
    Empty,
    /// There is more than one statement.
    #[error("a second statement begins at byte {at}, accepted is exactly one")]
    SeveralStatements {
        /// Where, counted from 0.
        at: usize,
    },
    /// A literal, a quoted name or a comment does not end.
    #[error("what begins at byte {at} does not end: {what}")]
    Unfinished {
        /// Where, counted from 0.
        at: usize,
        /// What it is.
        what: &'static str,
    },
    /// The text has a parameter without a value.
    #[error("parameter {placeholder} has no value, given are: {given}")]
    Missing {
        /// As it stands in the text.
        placeholder: String,
        /// The names that were given, or how many values.
        given: String,
    },
    /// A value was given that the text does not use.
    #[error("a value was given for {placeholder}, which the statement does not use")]
    Unused {
        /// As it would stand in the text.
        placeholder: String,
    },
    /// A list stands where SQLite has no place for one.
    #[error("{placeholder} is a list, which sqlite accepts only as `in ({placeholder})`")]
    ListOutsideIn {
        /// As it stands in the text.
        placeholder: String,
    },
}

impl Params {
    /// Values by name; the names are without the colon.
    pub fn named<N: Into<String>, V: Into<Value>>(values: impl IntoIterator<Item = (N, V)>) -> Self {
        let named = values.into_iter().map(|(name, value)| (name.into(), Param::One(value.into()))).collect();
        Self { named, positional: Vec::new() }
    }

    /// Values by place, the first for `$1`.
    pub fn positional<V: Into<Value>>(values: impl IntoIterator<Item = V>) -> Self {
        let positional = values.into_iter().map(|value| Param::One(value.into())).collect();
        Self { named: BTreeMap::new(), positional }
    }

    /// No values.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// One more value by name.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.named.insert(name.to_owned(), Param::One(value.into()));
        self
    }

    /// One more parameter by name, a list.
    #[must_use]
    pub fn list<V: Into<Value>>(mut self, name: &str, values: impl IntoIterator<Item = V>) -> Self {
        self.named.insert(name.to_owned(), Param::List(values.into_iter().map(Into::into).collect()));
        self
    }

    /// One more parameter by place, a list.
    #[must_use]
    pub fn then_list<V: Into<Value>>(mut self, values: impl IntoIterator<Item = V>) -> Self {
        self.positional.push(Param::List(values.into_iter().map(Into::into).collect()));
        self
    }

    fn find(&self, placeholder: &Placeholder) -> Result<&Param, RawError> {
        let found = match placeholder {
            Placeholder::Name(name) => self.named.get(name),
            Placeholder::Place(place) => place.checked_sub(1).and_then(|place| self.positional.get(place)),
        };
        found.ok_or_else(|| RawError::Missing {
            placeholder: placeholder.to_string(),
            given: match placeholder {
                Placeholder::Name(_) if self.named.is_empty() => "none by name".to_owned(),
                Placeholder::Name(_) => self.named.keys().cloned().collect::<Vec<_>>().join(", "),
                Placeholder::Place(_) => format!("{} by place", self.positional.len()),
            },
        })
    }

    fn all(&self) -> impl Iterator<Item = Placeholder> {
        let names = self.named.keys().cloned().map(Placeholder::Name);
        names.chain((1..=self.positional.len()).map(Placeholder::Place))
    }
}

impl Raw {
    /// Reads a statement and puts its values in their places.
    ///
    /// # Errors
    ///
    /// Any [`RawError`].
    pub fn new(dialect: Dialect, sql: &str, params: Params) -> Result<Self, RawError> {
        let mut text = String::with_capacity(sql.len());
        let mut bound: Vec<Param> = Vec::new();
        let mut places: Vec<Placeholder> = Vec::new();
        for piece in pieces(dialect, sql)? {
            let (placeholder, before_list) = match piece {
                Piece::Text(piece) => {
                    text.push_str(piece);
                    continue;
                }
                Piece::Parameter(placeholder) => (placeholder, None),
                Piece::Membership { placeholder, is_negated } => (placeholder, Some(is_negated)),
            };
            let param = params.find(&placeholder)?;
            let place = match places.iter().position(|known| *known == placeholder) {
                Some(place) => place + 1,
                None => {
                    places.push(placeholder.clone());
                    bound.push(param.clone());
                    places.len()
                }
            };
            let sign = match dialect {
                Dialect::Postgres => format!("${place}"),
                Dialect::Sqlite => format!("?{place}"),
            };
            match (param, before_list, dialect) {
                (Param::List(_), Some(false), Dialect::Postgres) => text.push_str(&format!("= any({sign})")),
                (Param::List(_), Some(true), Dialect::Postgres) => text.push_str(&format!("<> all({sign})")),
                (Param::List(_), Some(is_negated), Dialect::Sqlite) => {
                    text.push_str(if is_negated { "not in " } else { "in " });
                    text.push_str(&format!("(select value from json_each({sign}))"));
                }
                (Param::List(_), None, Dialect::Sqlite) => {
                    return Err(RawError::ListOutsideIn { placeholder: placeholder.to_string() });
                }
                (Param::One(_), Some(is_negated), _) => {
                    text.push_str(if is_negated { "not in " } else { "in " });
                    text.push_str(&format!("({sign})"));
                }
                (Param::One(_) | Param::List(_), None, _) => text.push_str(&sign),
            }
        }
        match params.all().find(|placeholder| !places.contains(placeholder)) {
            Some(unused) => Err(RawError::Unused { placeholder: unused.to_string() }),
            None => Ok(Self { statement: BoundSql::new(dialect, text, bound) }),
        }
    }

    /// The statement as the database gets it.
    #[must_use]
    pub fn statement(&self) -> &BoundSql {
        &self.statement
    }

    /// Runs it so that it can only read: in a read-only transaction on PostgreSQL, which also refuses functions that
    /// write and `nextval`; on a reader's connection on SQLite. Three round trips more than [`Queries::query`] on PostgreSQL.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] and what the database says, such as `cannot execute DELETE in a read-only transaction`.
    pub async fn read(&self, db: &Database) -> Result<Vec<Row>, Error> {
        match db {
            Database::Postgres(pool) => {
                let mut connection = pool.get().await?;
                let tx = connection.build_transaction().read_only(true).start().await?;
                let rows = self.statement.query_postgres(&tx).await?;
                tx.rollback().await?;
                Ok(rows)
            }
            Database::Sqlite(_) => db.query(&self.statement).await,
        }
    }

    /// Runs it in a transaction of its own, which is committed if it succeeds. If the future is dropped, it is as with
    /// [`Pool`](crate::Pool) and [`SqliteDatabase`](crate::SqliteDatabase): on SQLite the write happens.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] and what the database says; nothing was written then.
    pub async fn write(&self, db: &Database) -> Result<Written, Error> {
        match db {
            Database::Postgres(pool) => {
                let mut connection = pool.get().await?;
                let tx = connection.transaction().await?;
                let statement = tx.prepare(self.statement.sql()).await?;
                let written = if statement.columns().is_empty() {
                    Written { rows: Vec::new(), touched: self.statement.execute_postgres(&tx).await? }
                } else {
                    let rows = self.statement.query_postgres(&tx).await?;
                    Written { touched: rows.len() as u64, rows }
                };
                tx.commit().await?;
                Ok(written)
            }
            Database::Sqlite(db) => {
                let statement = self.statement.clone();
                db.write(move |tx| {
                    let returns = tx.prepare_cached(statement.sql())?.column_count() > 0;
                    if returns {
                        let rows = statement.query_sqlite(tx)?;
                        return Ok(Written { touched: rows.len() as u64, rows });
                    }
                    Ok(Written { rows: Vec::new(), touched: statement.execute_sqlite(tx)? as u64 })
                })
                .await
            }
        }
    }
}

#[cfg(test)]
mod tests;
