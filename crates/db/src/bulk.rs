//! Many rows at once: inserted, upserted, updated and deleted by the path that suits their number.
//!
//! | rows | PostgreSQL | SQLite |
//! |---|---|---|
//! | up to 500 | one statement, each value a parameter | a prepared statement for each row, |
//! | up to 10,000 | one statement, one array per column | in one transaction |
//! | more | `COPY`, into the table itself if nothing can conflict, else into a temporary table | |
//!
//! Whatever the path, the outcome is that of writing the rows one after the other. A call is one transaction: by default a
//! row that fails undoes all. With [`Failures::PerRow`] the rows that fail are named and the others are kept; they are found
//! by halving, so that one bad row in 100,000 costs some 17 more attempts and not 100,000 statements.

use std::collections::HashMap;

use crate::{Database, Dialect, Error, Ident, TableName, Value};

mod copy;
mod postgres;
mod sqlite;

/// A write of many rows.
///
/// # Examples
///
/// ```
/// use tierkeep_db::bulk::{Bulk, Failures};
/// use tierkeep_db::{Database, Error, Ident, SqliteConfig, SqliteDatabase, SqlitePath};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// # let directory = tempfile::tempdir()?;
/// # let file = SqlitePath::new(directory.path().join("a.db"));
/// let sqlite = SqliteDatabase::open(&file, SqliteConfig::default()).await?;
/// sqlite.write(|tx| Ok::<_, Error>(tx.execute_batch("create table t (id integer primary key, a text not null)")?)).await?;
/// let db = Database::Sqlite(sqlite);
/// let (id, a) = (Ident::new("id")?, Ident::new("a")?);
///
/// let upsert = Bulk::upsert("t".parse()?, vec![id.clone(), a.clone()], vec![id], vec![a])?.failures(Failures::PerRow);
/// let rows = vec![vec![1.into(), "one".into()], vec![2.into(), None::<String>.into()]];
/// let report = upsert.run(&db, rows).await?;
///
/// assert_eq!(report.inserted, 1);
/// assert_eq!(report.failures[0].index, 1);
/// # Ok(()) })
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bulk {
    table: TableName,
    columns: Vec<Ident>,
    operation: Operation,
    duplicates: Duplicates,
    failures: Failures,
    path: Path,
}

/// What is done with the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    Insert,
    InsertMissing { conflict: Vec<Ident> },
    Upsert { conflict: Vec<Ident>, update: Vec<Ident> },
    Update { keys: Vec<Ident> },
    Delete { keys: Vec<Ident> },
}

/// What several rows of one input with the same key mean, where rows are found by a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Duplicates {
    /// They are an error, or with [`Failures::PerRow`] all but the first one fail. The default.
    Refused,
    /// Only the last one counts; it is as if the others had not been given.
    LastWins,
}

/// What a row that fails means for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failures {
    /// Nothing is written. The default.
    AllOrNothing,
    /// It is named in the report, and the others are written. Only what is wrong with a row's values is such a failure: a
    /// missing table or right, or a lost connection, ends the call and undoes it. On PostgreSQL constraints that are
    /// deferred are checked at once.
    PerRow,
}

/// How rows reach PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Path {
    /// By their number, as the table of this module says. The default.
    BySize,
    /// Each value a parameter, in statements of at most 65,535 parameters.
    Values,
    /// One array per column, in statements of at most 10,000 rows.
    Arrays,
    /// `COPY`.
    Copy,
}

/// What a call has done.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct BulkReport {
    /// Rows that were not there.
    pub inserted: u64,
    /// Rows that were there and are different now. In partitioned tables and views of PostgreSQL, a row that somebody else
    /// inserts during an upsert may count as inserted.
    pub updated: u64,
    /// Rows that are gone.
    pub deleted: u64,
    /// Given rows that were left out because the table has them so already, or has their key and nothing was to be updated,
    /// or a trigger has dropped them.
    pub unchanged: u64,
    /// Given rows whose key the table does not have; of updates and deletions.
    pub missing: u64,
    /// Given rows that another row of the same key has replaced, under [`Duplicates::LastWins`].
    pub replaced: u64,
    /// Rows that failed, in their order. Empty unless [`Failures::PerRow`] was asked for.
    pub failures: Vec<RowFailure>,
}

/// A row that was not written.
#[derive(Debug)]
pub struct RowFailure {
    /// Its place in the input, from 0.
    pub index: usize,
    /// Why.
    pub error: Error,
}

/// Why many rows cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BulkError {
    /// There is no column to write, to find rows by, or to update.
    #[error("no columns are given {purpose}, at least one is needed")]
    NoColumns {
        /// What for.
        purpose: &'static str,
    },
    /// A column is given twice.
    #[error("column `{column}` is given twice")]
    ColumnTwice {
        /// The column.
        column: String,
    },
    /// A key or a column to update is none of the columns that rows have.
    #[error("column `{column}` is to be used {purpose}, and is none of the columns that the rows have")]
    NotGiven {
        /// The column.
        column: String,
        /// What for.
        purpose: &'static str,
    },
    /// There is no such table.
    #[error("there is no table {table}")]
    NoTable {
        /// Its name.
        table: String,
    },
    /// The table has no such column.
    #[error("{table} has no column `{column}`, there are: {known}")]
    UnknownColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The columns it has.
        known: String,
    },
    /// The database gives the column its values.
    #[error("the values of column `{column}` are generated by the database: leave it out")]
    Generated {
        /// The column.
        column: String,
    },
    /// A row has too many or too few values.
    #[error("row {index} has {given} values, accepted are {wanted}, one per column")]
    Width {
        /// Its place, from 0.
        index: usize,
        /// How many it has.
        given: usize,
        /// How many columns there are.
        wanted: usize,
    },
    /// Two rows have the same key.
    #[error("rows {first} and {second} have the same key: give one of them, or choose that the last one wins")]
    DuplicateKey {
        /// The place of the first one, from 0.
        first: usize,
        /// The place of the other one.
        second: usize,
    },
    /// Two rows have keys that differ and are equal to the database, by a collation or a type such as `citext`.
    #[error("two rows have keys that are equal to the database: give one of them, or choose that the last one wins")]
    EqualKeys,
    /// The values of a row cannot be written.
    #[error("row {index} cannot be written")]
    Row {
        /// Its place, from 0.
        index: usize,
        /// Why.
        #[source]
        source: Box<Error>,
    },
}

impl Bulk {
    /// Inserts rows with these columns. A row whose key is there already fails.
    ///
    /// # Errors
    ///
    /// [`BulkError::NoColumns`] and [`BulkError::ColumnTwice`].
    pub fn insert(table: TableName, columns: Vec<Ident>) -> Result<Self, BulkError> {
        Self::new(table, columns, Operation::Insert)
    }

    /// Inserts the rows whose values in the `conflict` columns, on which there is a unique index, are not there yet.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert); [`BulkError::NotGiven`].
    pub fn insert_missing(table: TableName, columns: Vec<Ident>, conflict: Vec<Ident>) -> Result<Self, BulkError> {
        Self::new(table, columns, Operation::InsertMissing { conflict })
    }

    /// Inserts rows, and updates the `update` columns of those whose values in the `conflict` columns, on which there is a
    /// unique index, are there already. Rows that would stay as they are are not written.
    ///
    /// # Errors
    ///
    /// As [`insert_missing`](Self::insert_missing).
    pub fn upsert(
        table: TableName,
        columns: Vec<Ident>,
        conflict: Vec<Ident>,
        update: Vec<Ident>,
    ) -> Result<Self, BulkError> {
        Self::new(table, columns, Operation::Upsert { conflict, update })
    }

    /// Updates the rows that have the values of the `keys` columns; all other columns are written. A key with a null finds
    /// nothing, and a row that finds nothing is missing, whatever its other values. Rows that would stay as they are are not
    /// written.
    ///
    /// # Errors
    ///
    /// As [`insert_missing`](Self::insert_missing).
    pub fn update(table: TableName, columns: Vec<Ident>, keys: Vec<Ident>) -> Result<Self, BulkError> {
        if !columns.is_empty() && columns.iter().all(|column| keys.contains(column)) {
            return Err(BulkError::NoColumns { purpose: "to update" });
        }
        Self::new(table, columns, Operation::Update { keys })
    }

    /// Deletes the rows that have the values of these columns; the given rows have no others.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn delete(table: TableName, keys: Vec<Ident>) -> Result<Self, BulkError> {
        Self::new(table, keys.clone(), Operation::Delete { keys })
    }

    fn new(table: TableName, columns: Vec<Ident>, operation: Operation) -> Result<Self, BulkError> {
        let given = |used: &[Ident], purpose: &'static str| match used.iter().find(|column| !columns.contains(column)) {
            Some(column) => Err(BulkError::NotGiven { column: column.to_string(), purpose }),
            None if used.is_empty() => Err(BulkError::NoColumns { purpose }),
            None => Ok(()),
        };
        given(&columns, "to write")?;
        for (place, column) in columns.iter().enumerate() {
            if columns[..place].contains(column) {
                return Err(BulkError::ColumnTwice { column: column.to_string() });
            }
        }
        match &operation {
            Operation::Insert => {}
            Operation::InsertMissing { conflict } => given(conflict, "to find rows by")?,
            Operation::Upsert { conflict, update } => {
                given(conflict, "to find rows by")?;
                given(update, "to update")?;
            }
            Operation::Update { keys } | Operation::Delete { keys } => given(keys, "to find rows by")?,
        }
        let (duplicates, failures, path) = (Duplicates::Refused, Failures::AllOrNothing, Path::BySize);
        Ok(Self { table, columns, operation, duplicates, failures, path })
    }

    /// What several rows with the same key mean; for upserts, updates and deletions.
    #[must_use]
    pub fn duplicates(mut self, duplicates: Duplicates) -> Self {
        self.duplicates = duplicates;
        self
    }

    /// What a row that fails means for the others.
    #[must_use]
    pub fn failures(mut self, failures: Failures) -> Self {
        self.failures = failures;
        self
    }

    /// How rows reach PostgreSQL. SQLite has one path.
    #[must_use]
    pub fn path(mut self, path: Path) -> Self {
        self.path = path;
        self
    }

    /// Writes the rows, whose values are in the order of the columns, in a transaction of its own. If the future is dropped,
    /// nothing is written on PostgreSQL unless the commit was under way; on SQLite all is written.
    ///
    /// # Errors
    ///
    /// [`Error::Bulk`], or what the database says; nothing was written then.
    pub async fn run(&self, db: &Database, rows: Vec<Vec<Value>>) -> Result<BulkReport, Error> {
        match db {
            Database::Postgres(pool) => {
                let mut connection = pool.get().await?;
                let mut tx = connection.transaction().await?;
                let report = self.run_postgres(&mut tx, &rows).await?;
                tx.commit().await?;
                Ok(report)
            }
            Database::Sqlite(db) => {
                let bulk = self.clone();
                db.write(move |tx| bulk.run_sqlite(tx, &rows)).await
            }
        }
    }

    /// The columns by which rows are found, where two rows of one input must not have the same.
    fn keys(&self) -> &[Ident] {
        match &self.operation {
            Operation::Insert | Operation::InsertMissing { .. } => &[],
            Operation::Upsert { conflict: keys, .. } | Operation::Update { keys } | Operation::Delete { keys } => keys,
        }
    }

    /// Which rows are written, by their places; refuses or leaves out the others.
    fn admitted(&self, rows: &[Vec<Value>], report: &mut BulkReport) -> Result<Vec<usize>, BulkError> {
        if let Some((index, row)) = rows.iter().enumerate().find(|(_, row)| row.len() != self.columns.len()) {
            return Err(BulkError::Width { index, given: row.len(), wanted: self.columns.len() });
        }
        let places: Vec<usize> =
            self.keys().iter().filter_map(|key| self.columns.iter().position(|column| column == key)).collect();
        if places.is_empty() {
            return Ok((0..rows.len()).collect());
        }
        let mut seen: HashMap<Vec<Vec<u8>>, usize> = HashMap::with_capacity(rows.len());
        let mut admitted: Vec<Option<usize>> = Vec::with_capacity(rows.len());
        for (index, row) in rows.iter().enumerate() {
            admitted.push(Some(index));
            // keys with a null are equal to none
            if places.iter().any(|place| row[*place].is_null()) {
                continue;
            }
            let key = places.iter().map(|place| row[*place].identity()).collect();
            let Some(before) = seen.insert(key, index) else { continue };
            let duplicate = BulkError::DuplicateKey { first: before, second: index };
            match (self.duplicates, self.failures) {
                (Duplicates::LastWins, _) => {
                    admitted[before] = None;
                    report.replaced += 1;
                }
                (Duplicates::Refused, Failures::AllOrNothing) => return Err(duplicate),
                (Duplicates::Refused, Failures::PerRow) => {
                    admitted[index] = None;
                    report.failures.push(RowFailure { index, error: duplicate.into() });
                }
            }
        }
        Ok(admitted.into_iter().flatten().collect())
    }

    /// Finds a column among those of the table.
    fn located<'a, T>(&self, known: &'a [(String, T)], column: &Ident, dialect: Dialect) -> Result<&'a T, BulkError> {
        let is_same = |name: &str| match dialect {
            Dialect::Postgres => name == column.as_str(),
            Dialect::Sqlite => name.eq_ignore_ascii_case(column.as_str()),
        };
        if known.is_empty() {
            return Err(BulkError::NoTable { table: self.table.quoted() });
        }
        known.iter().find(|(name, _)| is_same(name)).map(|(_, facts)| facts).ok_or_else(|| BulkError::UnknownColumn {
            table: self.table.quoted(),
            column: column.to_string(),
            known: known.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }
}

impl BulkReport {
    /// In the order of the rows.
    fn sorted(mut self) -> Self {
        self.failures.sort_by_key(|failure| failure.index);
        self
    }
}
