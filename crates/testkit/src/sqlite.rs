//! A fresh SQLite file per test.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A path for a SQLite database in a directory of its own, removed with everything in it on drop.
///
/// The file does not exist yet: whoever opens the database creates it, with its journal beside it.
#[derive(Debug)]
pub struct SqliteFile {
    // Held for its destructor.
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl SqliteFile {
    /// Makes the directory.
    ///
    /// # Errors
    /// The temporary directory cannot be written, or its path is not UTF-8 and so has no address.
    pub fn new() -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("tierkeep-sqlite-")
            .tempdir()
            .context("making a directory for a SQLite file")?;
        let path = directory.path().join("test.db");
        path.to_str().context("the temporary directory is not UTF-8")?;
        Ok(Self { _directory: directory, path })
    }

    /// Absolute path of the database.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Address of the database: `sqlite:///absolute/path`.
    pub fn url(&self) -> String {
        format!("sqlite://{}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn address_has_the_absolute_path_after_two_slashes() {
        let file = SqliteFile::new().unwrap();

        assert!(file.url().starts_with("sqlite:///"), "{}", file.url());
        assert_eq!(Path::new(file.url().strip_prefix("sqlite://").unwrap()), file.path());
    }

    #[test]
    fn two_tests_have_different_files() {
        assert_ne!(SqliteFile::new().unwrap().path(), SqliteFile::new().unwrap().path());
    }

    #[test]
    fn everything_beside_the_file_is_removed_on_drop() {
        let file = SqliteFile::new().unwrap();
        let directory = file.path().parent().unwrap().to_owned();
        fs::write(file.path(), "").unwrap();
        fs::write(directory.join("test.db-wal"), "").unwrap();

        drop(file);

        assert!(!directory.exists());
    }
}
