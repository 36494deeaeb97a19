//! What can go wrong with export files.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{RowDigest, Sha256Sum};

/// Failure of an export, or of reading one back. Whatever it is, rows must not be deleted on the ground of that file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Files cannot be put where they should.
    #[error("{path} is no directory; name another one for exports, or move away what lies there")]
    NotDirectory {
        /// Where.
        path: PathBuf,
    },
    /// The directory cannot be made, listed or written.
    #[error(
        "cannot {doing} the directory {path}; give the user that this runs as the right to, or name another one for exports"
    )]
    Directory {
        /// Which.
        path: PathBuf,
        /// What failed: `make`, `write` …
        doing: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is a file of that name. Another installation may write to the same directory.
    #[error("{path} exists already and is never overwritten; move it away, or name another directory for exports")]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// The columns cannot be a header.
    #[error("the columns of {path} cannot be written: {reason}; accepted: one or more names, each once")]
    Columns {
        /// The file that was to be.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A row does not fit the header.
    #[error("a row of {found} fields was given for {path}; accepted: {expected}, as many as its columns")]
    Fields {
        /// Which file.
        path: PathBuf,
        /// Fields of the row.
        found: usize,
        /// Columns of the file.
        expected: usize,
    },
    /// The disk, or a quota, is exhausted. What was written of the file is removed.
    #[error("no room for {path}, which was given up; make room on its disk, or name another directory for exports")]
    Full {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file could not be written or made durable. It was thrown away; write it anew.
    #[error("cannot {doing} {path}, which was given up; look at its disk, or name another directory for exports")]
    Write {
        /// Which file.
        path: PathBuf,
        /// What failed: `write`, `fsync` …
        doing: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The writer failed before, and its file is gone.
    #[error("{0} was given up after an earlier failure; write it anew")]
    Abandoned(PathBuf),
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not the one that was sealed.
    #[error("{path} is not what was exported: {damage}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// In what it differs.
        damage: Damage,
    },
    /// The manifest cannot be understood, or does not take a file.
    #[error("the manifest {path} {reason}")]
    Manifest {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and what is accepted.
        reason: String,
    },
}

/// In what a file differs from the one that was sealed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Damage {
    /// It is shorter or longer.
    #[error("it has {found} bytes, not {expected}")]
    Length {
        /// Bytes that are there.
        found: u64,
        /// Bytes that were written.
        expected: u64,
    },
    /// Its bytes are others.
    #[error("its SHA-256 is {found}, not {expected}")]
    Bytes {
        /// Of the file that is there.
        found: Sha256Sum,
        /// Of the file that was written.
        expected: Sha256Sum,
    },
    /// It cannot be unpacked.
    #[error("it cannot be unpacked: {0}")]
    Packing(String),
    /// A record cannot be read or does not fit the header.
    #[error("its record {record} {reason}")]
    Record {
        /// Which, from 1; the header is the first.
        record: u64,
        /// What is wrong.
        reason: String,
    },
    /// Its header names other columns.
    #[error("its columns are {found:?}, not {expected:?}")]
    Columns {
        /// Columns that are there.
        found: Vec<String>,
        /// Columns that were written.
        expected: Vec<String>,
    },
    /// It has fewer or more rows.
    #[error("it has {found} rows, not {expected}")]
    Rows {
        /// Rows that are there.
        found: u64,
        /// Rows that were written.
        expected: u64,
    },
    /// Its rows are others.
    #[error("the digest of its rows is {found}, not {expected}")]
    Digest {
        /// Of the rows that are there.
        found: RowDigest,
        /// Of the rows that were written.
        expected: RowDigest,
    },
}

impl ExportError {
    /// A failed write, told apart by whether the disk is full.
    pub(super) fn write(path: &Path, doing: &'static str, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path, source },
            _ => Self::Write { path, doing, source },
        }
    }
}
