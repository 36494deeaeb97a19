//! Files that are complete and durable once they have their name.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::crash_points::reach;

use super::{ExportDirectory, ExportError, Sha256Sum};

/// What an unfinished file's name ends with.
pub(super) const PARTIAL: &str = ".partial";

/// The four calls that decide what a power cut leaves.
pub(super) trait Disk: fmt::Debug + Send + Sync {
    /// Writes some of the bytes; how many.
    fn write(&self, file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<usize>;
    /// Makes a file's content durable.
    fn sync(&self, file: &File, path: &Path) -> io::Result<()>;
    /// Gives a file its name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// The file system.
#[derive(Debug, Clone, Copy)]
pub(super) struct RealDisk;

impl Disk for RealDisk {
    fn write(&self, file: &mut File, _: &Path, bytes: &[u8]) -> io::Result<usize> {
        file.write(bytes)
    }

    fn sync(&self, file: &File, _: &Path) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

/// What becomes of a file that has the name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replace {
    /// It stays, and the new one is given up.
    Never,
    /// The new one takes its place in one step.
    Former,
}

/// A file without its name yet; dropped, it is removed.
pub(super) struct Partial {
    disk: Arc<dyn Disk>,
    file: File,
    path: PathBuf,
    target: PathBuf,
    replace: Replace,
    sum: Sha256,
    bytes: u64,
    is_named: bool,
}

impl Partial {
    /// Begins a file that only its owner may read. Whoever makes the partial file alone may give it its name, so of two
    /// that write one name the second ends here.
    pub(super) fn create(directory: &ExportDirectory, name: &str, replace: Replace) -> Result<Self, ExportError> {
        let target = directory.path().join(name);
        let mut path = OsString::from(&target);
        path.push(PARTIAL);
        let path = PathBuf::from(path);
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = made.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => ExportError::Exists { path: path.clone() },
            _ => ExportError::write(&target, "make", source),
        })?;
        let disk = Arc::clone(directory.disk());
        let partial = Self { disk, file, path, target, replace, sum: Sha256::new(), bytes: 0, is_named: false };
        partial.guard_target()?;
        Ok(partial)
    }

    /// Makes the file durable, names it and makes the name durable; its checksum and length.
    pub(super) fn keep(mut self) -> Result<(Sha256Sum, u64), ExportError> {
        let failed = |doing| move |path: &Path, error| ExportError::write(path, doing, error);
        self.disk.sync(&self.file, &self.path).map_err(|error| failed("fsync")(&self.target, error))?;
        reach("file-synced");
        // a rename replaces silently, and whoever does not know of partial files may have come meanwhile
        self.guard_target()?;
        self.disk.rename(&self.path, &self.target).map_err(|error| failed("rename to")(&self.target, error))?;
        reach("file-named");
        self.is_named = true;
        let directory = self.target.parent().expect("a name was joined to a directory");
        if let Err(error) = self.disk.sync_directory(directory) {
            if self.replace == Replace::Never {
                let _ = fs::remove_file(&self.target);
            }
            return Err(failed("fsync the directory of")(&self.target, error));
        }
        Ok((Sha256Sum::new(std::mem::take(&mut self.sum).finalize().into()), self.bytes))
    }

    fn guard_target(&self) -> Result<(), ExportError> {
        // a link that leads nowhere is somebody's, too
        if self.replace == Replace::Never && fs::symlink_metadata(&self.target).is_ok() {
            return Err(ExportError::Exists { path: self.target.clone() });
        }
        Ok(())
    }
}

impl Write for Partial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.disk.write(&mut self.file, &self.path, bytes)?;
        self.sum.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_named {
            // what cannot be removed now is removed as a leftover
            let _ = fs::remove_file(&self.path);
        }
    }
}
