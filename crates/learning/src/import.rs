//! Reading CSV files and xAPI statements into rows, and writing the rows to a [`Store`].
//!
//! A file is read on a thread of its own, in bounded memory; chunks of rows go through a short channel to the caller's
//! task, which writes them. A row is rejected only if it cannot be stored (unreadable, outside its column's range); it is
//! reported to [`Rejects`] and the rest goes on. Rows that can be stored but are invalid are stored: statistics leave
//! them out and clean-up finds them. Importing a file twice changes nothing, since every row is written by its id.
//!
//! The caller creates the tables before ([`detect_csv_key_type`], [`detect_xapi_key_type`]) and calls [`Store::settle`]
//! until nothing is left after.

use std::io::{self, Read};

use thiserror::Error;

use crate::estimator::Estimator;
use crate::key::KeyType;
use crate::rows::{ProgressRow, SessionRow, UserRow};
use crate::store::{Store, StoreError, Written};

mod channel;
mod field;
mod header;
mod record;
mod reject;
mod source;
mod table;
mod xapi;

pub use reject::{Reject, Rejects};
pub use xapi::XapiImported;

use channel::{Ended, Feeder, Sink, run};
use source::Source;
use table::{Counted, TableRow};

/// A table that CSV files are imported into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// `users`.
    Users,
    /// `course_progress`.
    CourseProgress,
    /// `study_sessions`.
    StudySessions,
}

/// How far an import has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the file that were read, as they lie on the disk (compressed, if the file is).
    pub bytes_read: u64,
    /// Rows stored.
    pub rows_stored: u64,
    /// Rows, or statements, that were rejected.
    pub rejected: u64,
}

/// What an import of a CSV file did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Rows of the file, the header not counted.
    pub rows: u64,
    /// Rows stored, by whether their id was new.
    pub written: Written,
    /// Rows rejected.
    pub rejected: u64,
    /// Columns that the table does not have and that were passed over, as the header names them (long names clipped).
    pub unknown_columns: Vec<String>,
}

/// Why a file could not be imported. What was stored before the failure stays stored; importing again is harmless.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file has no first line.
    #[error("{file} is empty; accepted: CSV whose first line names the columns: {accepted}")]
    Empty {
        /// Which file.
        file: String,
        /// The columns, the optional ones in brackets.
        accepted: String,
    },
    /// The header does not name the columns of the table, or those of another.
    #[error("the header of {file} {reason}; accepted, in any order: {accepted}")]
    Header {
        /// Which file.
        file: String,
        /// What is missing or doubled, with what is unknown beside it; or which other table the file is of.
        reason: String,
        /// The columns, the optional ones in brackets.
        accepted: String,
    },
    /// The file cannot be read.
    #[error("cannot read {file}")]
    Read {
        /// Which file.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file of rejects cannot be written.
    #[error("cannot write the file of rejected rows")]
    Rejects(#[source] io::Error),
    /// The rows cannot be stored.
    #[error("cannot store rows of {file}")]
    Store {
        /// Which file.
        file: String,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The reading thread ended without a result; a bug.
    #[error("reading {0} broke off inside the program")]
    Broken(String),
}

/// Imports a CSV file, plain or gzip.
///
/// The first record names the columns, in any order; columns that the table does not have are passed over and told in
/// [`Imported::unknown_columns`]. An empty field is null, or empty text, 0 or false where the column has no null.
/// Instants are RFC 3339 with an offset.
///
/// `name` is what messages call the file. `progress` is called after every chunk. When the future is dropped the reading
/// thread ends at its next read, and the chunk being written is stored or not as a whole.
///
/// # Errors
/// [`ImportError`]; a bad row is none.
pub async fn import_csv(
    store: &dyn Store,
    table: Table,
    name: &str,
    reader: impl Read + Send + 'static,
    progress: &mut (dyn FnMut(Progress) + Send),
    rejects: &mut Rejects,
) -> Result<Imported, ImportError> {
    import_csv_into(store, store.key_type(), table, name, reader, progress, rejects).await
}

/// [`import_csv`] into whatever takes rows with keys of a type.
async fn import_csv_into(
    sink: impl Sink,
    key_type: KeyType,
    table: Table,
    name: &str,
    reader: impl Read + Send + 'static,
    progress: &mut (dyn FnMut(Progress) + Send),
    rejects: &mut Rejects,
) -> Result<Imported, ImportError> {
    let file = name.to_owned();
    let read = move |feeder: &mut Feeder| match table {
        Table::Users => read_table::<UserRow>(&file, reader, key_type, feeder),
        Table::CourseProgress => read_table::<ProgressRow>(&file, reader, key_type, feeder),
        Table::StudySessions => read_table::<SessionRow>(&file, reader, key_type, feeder),
    };
    let (Counted { rows, unknown_columns }, totals) = run(sink, name, read, progress, rejects).await?;
    Ok(Imported { rows, written: totals.written, rejected: totals.rejected, unknown_columns })
}

fn read_table<R: TableRow>(
    file: &str,
    reader: impl Read,
    key_type: KeyType,
    feeder: &mut Feeder,
) -> Result<Counted, Ended> {
    let source = Source::open(reader, feeder.meter()).map_err(|source| unreadable(file, source))?;
    table::read::<R>(file, source, key_type, feeder)
}

/// Imports xAPI statements: a JSON array or one statement a line, plain or gzip.
///
/// Statements that carry a duration become recorded sessions, all other activity becomes sittings by the gap rule of
/// `estimator`. Learners that are not known yet are added; known ones are left as they are. The whole file is read before
/// the first row is written, since statements come in any order and a later one may void an earlier one; some 64 bytes a
/// statement are kept meanwhile.
///
/// # Errors
/// [`ImportError`]; a bad statement is none.
pub async fn import_xapi(
    store: &dyn Store,
    name: &str,
    reader: impl Read + Send + 'static,
    estimator: Estimator,
    progress: &mut (dyn FnMut(Progress) + Send),
    rejects: &mut Rejects,
) -> Result<XapiImported, ImportError> {
    import_xapi_into(store, store.key_type(), name, reader, estimator, progress, rejects).await
}

/// [`import_xapi`] into whatever takes rows with keys of a type.
async fn import_xapi_into(
    sink: impl Sink,
    key_type: KeyType,
    name: &str,
    reader: impl Read + Send + 'static,
    estimator: Estimator,
    progress: &mut (dyn FnMut(Progress) + Send),
    rejects: &mut Rejects,
) -> Result<XapiImported, ImportError> {
    let file = name.to_owned();
    let read = move |feeder: &mut Feeder| {
        let source = Source::open(reader, feeder.meter()).map_err(|source| unreadable(&file, source))?;
        xapi::read(&file, source, key_type, estimator, feeder)
    };
    let (report, totals) = run(sink, name, read, progress, rejects).await?;
    Ok(XapiImported { rejected: totals.rejected, written: totals.written, ..report })
}

/// The type of the ids in a CSV file: that of its first readable id; `None` if it has no row with one.
///
/// Reads the beginning of the file and blocks meanwhile.
///
/// # Errors
/// [`ImportError::Empty`], [`ImportError::Header`] or [`ImportError::Read`], as the import would.
pub fn detect_csv_key_type(table: Table, name: &str, reader: impl Read) -> Result<Option<KeyType>, ImportError> {
    let source = Source::unmetered(reader).map_err(|source| unreadable(name, source))?;
    match table {
        Table::Users => table::first_key_type::<UserRow>(name, source),
        Table::CourseProgress => table::first_key_type::<ProgressRow>(name, source),
        Table::StudySessions => table::first_key_type::<SessionRow>(name, source),
    }
}

/// The type of learner ids that fits a file of statements: integers if the first account name is one, UUIDs otherwise;
/// `None` if there is no statement that can be read.
///
/// Reads the beginning of the file and blocks meanwhile.
///
/// # Errors
/// [`ImportError::Read`].
pub fn detect_xapi_key_type(name: &str, reader: impl Read) -> Result<Option<KeyType>, ImportError> {
    let source = Source::unmetered(reader).map_err(|source| unreadable(name, source))?;
    xapi::first_key_type(source).map_err(|source| unreadable(name, source))
}

fn unreadable(file: &str, source: io::Error) -> ImportError {
    ImportError::Read { file: file.to_owned(), source }
}

#[cfg(test)]
mod tests;
