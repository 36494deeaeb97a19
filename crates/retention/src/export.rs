//! Files of rows that are about to be deleted: compressed CSV, sealed, read back and listed in a manifest.
//!
//! The order is: [`ExportWriter`] writes `NAME.csv.gz.partial`; [`ExportWriter::finish`] makes it durable under its name;
//! [`verify`] reads it again from the disk; [`Manifest::add`] lists it; only then may rows be deleted, and of them only
//! those whose [`row_digest`] is still the exported one. A file that is not complete never has a name without `.partial`.
//!
//! All of this blocks on the disk. Asynchronous callers run it in `spawn_blocking`, file by file.

use std::fmt;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;

mod digest;
mod directory;
mod disk;
mod failure;
mod manifest;
mod name;
mod verification;

pub use digest::{DigestError, RowDigest, Sha256Sum, row_digest};
pub use directory::ExportDirectory;
pub use failure::{Damage, ExportError};
pub use manifest::{Ages, Manifest, ManifestFile};
pub use name::{FileName, FileNameError};
pub use verification::verify;

use disk::{Partial, Replace};

/// Bytes of text that are gathered before they are compressed.
const TEXT_BYTES: usize = 64 * 1024;

/// An export file that is complete and durable: what it must hold when it is read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Where it lies.
    pub path: PathBuf,
    /// Its name in the directory.
    pub name: FileName,
    /// Rows, the header not counted.
    pub rows: u64,
    /// Digest of the rows.
    pub digest: RowDigest,
    /// Checksum of the file as it lies on the disk, compressed.
    pub sha256: Sha256Sum,
    /// Its length on the disk.
    pub bytes: u64,
    /// The columns that its header names.
    pub columns: Vec<String>,
}

/// Writes one export file; dropped before [`finish`](Self::finish), or after a failure, it leaves no file.
pub struct ExportWriter {
    name: FileName,
    target: PathBuf,
    columns: Vec<String>,
    rows: u64,
    digest: RowDigest,
    /// `None` after a failure: what a failed write left in the buffers is not known.
    text: Option<csv::Writer<GzEncoder<Partial>>>,
}

impl fmt::Debug for ExportWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExportWriter").field("target", &self.target).field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl ExportWriter {
    /// Begins a file, readable for its owner only, with its header.
    ///
    /// # Errors
    /// [`ExportError::Columns`] if there is no column, or one is unnamed or named twice; [`ExportError::Exists`] if there
    /// is a file of that name, complete or not; [`ExportError::Full`] or [`ExportError::Write`].
    pub fn create(directory: &ExportDirectory, name: &FileName, columns: &[String]) -> Result<Self, ExportError> {
        let target = directory.path().join(name.as_str());
        if let Some(reason) = columns_fault(columns) {
            return Err(ExportError::Columns { path: target, reason });
        }
        let partial = Partial::create(directory, name.as_str(), Replace::Never)?;
        let packed = GzEncoder::new(partial, Compression::default());
        let mut text = csv::WriterBuilder::new().buffer_capacity(TEXT_BYTES).from_writer(packed);
        text.write_record(columns).map_err(|error| unwritten(&target, error))?;
        let columns = columns.to_vec();
        Ok(Self { name: name.clone(), target, columns, rows: 0, digest: RowDigest::default(), text: Some(text) })
    }

    /// Writes a row; `None` and `Some("")` are the same empty field. What comes back is the row's digest.
    ///
    /// # Errors
    /// [`ExportError::Fields`] if there are not as many fields as columns, and nothing is written then. After
    /// [`ExportError::Full`] or [`ExportError::Write`] the file is gone, and the writer answers
    /// [`ExportError::Abandoned`].
    pub fn write(&mut self, fields: &[Option<&str>]) -> Result<u64, ExportError> {
        if fields.len() != self.columns.len() {
            let (found, expected) = (fields.len(), self.columns.len());
            return Err(ExportError::Fields { path: self.target.clone(), found, expected });
        }
        let text = self.text.as_mut().ok_or_else(|| ExportError::Abandoned(self.target.clone()))?;
        if let Err(error) = text.write_record(fields.iter().map(|field| field.unwrap_or_default())) {
            self.text = None;
            return Err(unwritten(&self.target, error));
        }
        let digest = row_digest(fields);
        self.digest.add(digest);
        self.rows += 1;
        Ok(digest)
    }

    /// Rows written so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Makes the file durable and gives it its name: rest of the text, fsync, rename, fsync of the directory.
    ///
    /// # Errors
    /// [`ExportError::Exists`] if a file of that name has appeared meanwhile; [`ExportError::Full`] or
    /// [`ExportError::Write`]. The file is then thrown away: after a failed fsync nobody knows what reached the disk, and
    /// another one may succeed without having written it.
    pub fn finish(mut self) -> Result<Sealed, ExportError> {
        let text = self.text.take().ok_or_else(|| ExportError::Abandoned(self.target.clone()))?;
        let failed = |error| ExportError::write(&self.target, "write", error);
        let packed = text.into_inner().map_err(|error| failed(std::io::Error::from(error.error().kind())))?;
        let (sha256, bytes) = packed.finish().map_err(failed)?.keep()?;
        let Self { name, target: path, columns, rows, digest, .. } = self;
        Ok(Sealed { path, name, rows, digest, sha256, bytes, columns })
    }
}

/// Why columns cannot be a header that is read back as it was written.
fn columns_fault(columns: &[String]) -> Option<String> {
    if columns.is_empty() {
        return Some("there is none".to_owned());
    }
    // readers take a byte order mark for one of the file
    if let Some(place) = columns.iter().position(|name| name.is_empty() || name.starts_with('\u{feff}')) {
        return Some(format!("the name of number {} is empty or begins with a byte order mark", place + 1));
    }
    let doubled = columns.iter().enumerate().find(|(place, name)| columns[..*place].contains(name));
    doubled.map(|(_, name)| format!("{name:?} is there twice"))
}

fn unwritten(path: &std::path::Path, error: csv::Error) -> ExportError {
    let error = match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => std::io::Error::other(format!("{other:?}")),
    };
    ExportError::write(path, "write", error)
}

#[cfg(test)]
mod tests;
