//! The list of the files that a run exported, beside them.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::disk::{Partial, Replace};
use super::{ExportDirectory, ExportError, FileName, RowDigest, Sealed, Sha256Sum, verify};

/// The form of manifests that is written and read.
const FORMAT: u32 = 1;
/// Most bytes of a manifest; some 200,000 files.
const MANIFEST_BYTES: u64 = 64 << 20;

/// How the manifest of a run is called.
pub(super) fn name(run: i64) -> String {
    format!("run{run}.manifest.json")
}

/// The run whose manifest is called so.
pub(super) fn run_of(name: &str) -> Option<i64> {
    let run = name.strip_prefix("run")?.strip_suffix(".manifest.json")?.parse().ok()?;
    (name == self::name(run)).then_some(run)
}

/// The files of a run, as `runID.manifest.json` lists them.
///
/// The list is rewritten whole, in one step, whenever a file is added: it costs as much as it has files, so files should
/// hold many batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    path: PathBuf,
    content: Content,
    is_stored: bool,
}

/// A file in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Its name, beside the manifest.
    pub name: FileName,
    table: String,
    /// Rows, the header not counted.
    pub rows: u64,
    /// Digest of the rows.
    pub digest: RowDigest,
    /// Checksum of the compressed file.
    pub sha256: Sha256Sum,
    /// Its length.
    pub bytes: u64,
    /// The columns that its header names.
    pub columns: Vec<String>,
    /// What the rule goes by.
    #[serde(flatten)]
    pub ages: Ages,
}

/// What a rule goes by, of the first and the last row of a file, as it is written there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ages {
    /// Of the first row.
    #[serde(rename = "first_age")]
    pub first: Option<String>,
    /// Of the last row.
    #[serde(rename = "last_age")]
    pub last: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    format: u32,
    run: i64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    installation: Option<String>,
    files: Vec<ManifestFile>,
}

impl Manifest {
    /// An empty manifest of a run; its file is made when the first one is added.
    ///
    /// `installation` names the database that the rows were of.
    ///
    /// # Errors
    /// [`ExportError::Exists`] if there is a manifest of that run: of an earlier run, or of another database's that was
    /// exported to the same directory.
    pub fn create(directory: &ExportDirectory, run: i64, installation: Option<&str>) -> Result<Self, ExportError> {
        let path = directory.path().join(name(run));
        if path.symlink_metadata().is_ok() {
            return Err(ExportError::Exists { path });
        }
        let content = Content { format: FORMAT, run, installation: installation.map(str::to_owned), files: Vec::new() };
        Ok(Self { path, content, is_stored: false })
    }

    /// Adds a file and makes the list durable. When it fails the list on the disk is as it was before, or complete with
    /// the file.
    ///
    /// # Errors
    /// [`ExportError::Manifest`] if the file is of another run, lies elsewhere or is listed already; those of
    /// [`ExportWriter::finish`](super::ExportWriter::finish).
    pub fn add(&mut self, directory: &ExportDirectory, sealed: &Sealed, ages: Ages) -> Result<(), ExportError> {
        if sealed.path.parent() != self.path.parent() || self.path.parent() != Some(directory.path()) {
            return Err(self.fault(format!("does not list {}: it lies elsewhere", sealed.path.display())));
        }
        let Sealed { name, rows, digest, sha256, bytes, columns, .. } = sealed.clone();
        let table = name.table().to_owned();
        self.content.files.push(ManifestFile { name, table, rows, digest, sha256, bytes, columns, ages });
        let stored = self.guard().and_then(|()| self.store(directory));
        match stored {
            Ok(()) => self.is_stored = true,
            Err(_) => drop(self.content.files.pop()),
        }
        stored
    }

    /// Reads the manifest of a run.
    ///
    /// # Errors
    /// [`ExportError::Read`], [`ExportError::Manifest`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ExportError> {
        let path = path.as_ref().to_owned();
        let mut bytes = Vec::new();
        let unreadable = |source| ExportError::Read { path: path.clone(), source };
        File::open(&path).map_err(unreadable)?.take(MANIFEST_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
        let content = serde_json::from_slice(&bytes).map_err(|error| ExportError::Manifest {
            path: path.clone(),
            reason: format!("cannot be understood: {error}"),
        })?;
        let manifest = Self { path, content, is_stored: true };
        manifest.guard()?;
        Ok(manifest)
    }

    /// Which run it is of.
    #[must_use]
    pub fn run(&self) -> i64 {
        self.content.run
    }

    /// The database that the rows were of, if it was said.
    #[must_use]
    pub fn installation(&self) -> Option<&str> {
        self.content.installation.as_deref()
    }

    /// The files, in the order they were added.
    #[must_use]
    pub fn files(&self) -> &[ManifestFile] {
        &self.content.files
    }

    /// A file as it was sealed, beside the manifest wherever that lies now.
    #[must_use]
    pub fn sealed(&self, file: &ManifestFile) -> Sealed {
        let ManifestFile { name, rows, digest, sha256, bytes, columns, .. } = file.clone();
        let path = self.path.with_file_name(name.as_str());
        Sealed { path, name, rows, digest, sha256, bytes, columns }
    }

    /// Verifies every file.
    ///
    /// # Errors
    /// One for each file that is missing or is not what was exported; the others were verified all the same.
    pub fn verify_all(&self) -> Result<(), Vec<ExportError>> {
        let faults: Vec<_> = self.content.files.iter().filter_map(|file| verify(&self.sealed(file)).err()).collect();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn guard(&self) -> Result<(), ExportError> {
        let Content { format, run, files, .. } = &self.content;
        if *format != FORMAT {
            return Err(self.fault(format!("is of format {format}; accepted: {FORMAT}")));
        }
        if self.path.file_name() != Some(name(*run).as_ref()) {
            return Err(self.fault(format!("is of run {run}; accepted: the run that its name says")));
        }
        let mut names = std::collections::HashSet::new();
        for ManifestFile { name, table, .. } in files {
            if name.run() != *run || name.table() != table {
                return Err(self.fault(format!("lists {name}; accepted: files of run {run}, with their table")));
            }
            if !names.insert(name) {
                return Err(self.fault(format!("lists {name} twice; accepted: each file once")));
            }
        }
        Ok(())
    }

    fn store(&self, directory: &ExportDirectory) -> Result<(), ExportError> {
        let replace = if self.is_stored { Replace::Former } else { Replace::Never };
        let mut text = serde_json::to_vec_pretty(&self.content).map_err(|error| self.fault(error.to_string()))?;
        text.push(b'\n');
        let mut partial = Partial::create(directory, &name(self.content.run), replace)?;
        partial.write_all(&text).map_err(|error| ExportError::write(&self.path, "write", error))?;
        partial.keep().map(drop)
    }

    fn fault(&self, reason: String) -> ExportError {
        ExportError::Manifest { path: self.path.clone(), reason }
    }
}
