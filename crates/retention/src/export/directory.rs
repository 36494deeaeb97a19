//! Where export files lie.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::disk::{Disk, PARTIAL, RealDisk};
use super::{ExportError, FileName, manifest};

/// What the name of a file begins with that is made to see whether files can be.
const PROBE: &str = ".tierkeep-";

/// A directory that files can be exported to.
#[derive(Debug, Clone)]
pub struct ExportDirectory {
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

impl ExportDirectory {
    /// Opens a directory, makes it (for its owner only, parents included) if it is absent, and tries whether it can be
    /// written. A relative path is one of the present working directory, for as long as this value lives.
    ///
    /// # Errors
    /// [`ExportError::NotDirectory`], [`ExportError::Directory`], [`ExportError::Full`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ExportError> {
        Self::open_on(Arc::new(RealDisk), path.as_ref())
    }

    pub(super) fn open_on(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, ExportError> {
        let failed = |doing| move |source| ExportError::Directory { path: path.to_owned(), doing, source };
        let absolute = std::path::absolute(path).map_err(failed("find"))?;
        make(&*disk, &absolute)?;
        let directory = Self { path: absolute, disk };
        directory.try_writing()?;
        Ok(directory)
    }

    /// Its absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the unfinished files that a run left when it was killed; how many. Only for a run that does not work any
    /// more: one that does would lose the file it writes, and say so.
    ///
    /// # Errors
    /// [`ExportError::Directory`].
    pub fn remove_leftovers(&self, run: i64) -> Result<usize, ExportError> {
        self.remove_partial(|name| run_of(name) == Some(run))
    }

    /// Removes the unfinished files of all runs before one, for the run that has the lease: none of them works any more. Only
    /// where a directory is one database's own, since the runs of each database are numbered from 1.
    ///
    /// # Errors
    /// As [`remove_leftovers`](Self::remove_leftovers).
    pub(crate) fn remove_leftovers_before(&self, run: i64) -> Result<usize, ExportError> {
        self.remove_partial(|name| name.starts_with(PROBE) || run_of(name).is_some_and(|of| of < run))
    }

    fn remove_partial(&self, is_meant: impl Fn(&str) -> bool) -> Result<usize, ExportError> {
        let failed = |doing| move |source| ExportError::Directory { path: self.path.clone(), doing, source };
        let mut count = 0;
        for entry in fs::read_dir(&self.path).map_err(failed("list"))? {
            let name = entry.map_err(failed("list"))?.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.strip_suffix(PARTIAL).is_some_and(&is_meant) {
                fs::remove_file(self.path.join(name)).map_err(failed("remove leftovers from"))?;
                count += 1;
            }
        }
        Ok(count)
    }

    pub(super) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Rights do not tell: the file system may be mounted for reading only, and root may do anything.
    fn try_writing(&self) -> Result<(), ExportError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let probe = self.path.join(format!("{PROBE}{}-{number}{PARTIAL}", std::process::id()));
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&probe);
        match made {
            Ok(_) => {
                let _ = fs::remove_file(&probe);
                Ok(())
            }
            // left by a process of the same number that was killed: whoever may have made it may make others
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(source) if source.kind() == io::ErrorKind::StorageFull => {
                Err(ExportError::Full { path: probe, source })
            }
            Err(source) => Err(ExportError::Directory { path: self.path.clone(), doing: "write", source }),
        }
    }
}

/// The run that a file is of, by its name.
fn run_of(name: &str) -> Option<i64> {
    manifest::run_of(name).or_else(|| name.parse::<FileName>().ok().map(|name| name.run()))
}

/// Makes a directory and what is missing above it, each name durable in its parent.
fn make(disk: &dyn Disk, path: &Path) -> Result<(), ExportError> {
    let failed = |source| ExportError::Directory { path: path.to_owned(), doing: "make", source };
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => return Err(ExportError::NotDirectory { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(ExportError::NotDirectory { path: path.to_owned() });
        }
        Err(error) => return Err(failed(error)),
    }
    let Some(parent) = path.parent() else { return Err(failed(io::ErrorKind::NotFound.into())) };
    make(disk, parent)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        // made by somebody else meanwhile
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(error) => return Err(failed(error)),
    }
    disk.sync_directory(parent).map_err(failed)
}
