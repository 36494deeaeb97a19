//! The file of a table: where it lies, how it is made, and what makes it one of ours.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::OFlags;
use xxhash_rust::xxh3::xxh3_64;

use crate::{HEADER_WORDS, SlotCount};

/// First word of a table, little endian on every machine that has one: "tk-gener" as bytes.
const MARK: u64 = u64::from_ne_bytes(*b"tk-gener");

/// Layout of the file. Another version has another file name, so old and new processes run side by side unshared.
const VERSION: u64 = 1;

/// Memory that files can lie in, on Linux.
const SHARED_MEMORY: &str = "/dev/shm";

/// Why a file cannot be used as a table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused.
    #[error("cannot use {path} as the shared table of generations")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is there, but is not ours to use.
    #[error("{path} is not a table of generations of this user: {reason}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// Where the table of `namespace` lies for this user: in shared memory if the machine has a folder of it, else in the
/// folder for temporary files. Containers with folders of their own are separate machines.
pub fn place(namespace: &str) -> PathBuf {
    let folder = Path::new(SHARED_MEMORY);
    let folder = if folder.is_dir() { folder.to_path_buf() } else { std::env::temp_dir() };
    let user = rustix::process::geteuid().as_raw();
    folder.join(format!("tierkeep-{user}-v{VERSION}-{:016x}", xxh3_64(namespace.as_bytes())))
}

/// Opens the file, or makes it when there is none.
pub(crate) fn open_or_create(path: &Path, slots: SlotCount) -> Result<File, Error> {
    let io = |source| Error::Io { path: path.into(), source };
    match open(path) {
        Ok(file) => check_file(path, &file, slots).map(|()| file),
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => {
            create(path, slots).map_err(io)?;
            let file = open(path).map_err(io)?;
            check_file(path, &file, slots).map(|()| file)
        }
        Err(problem) if problem.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            Err(Error::Foreign { path: path.into(), reason: "it is a symbolic link" })
        }
        Err(problem) => Err(io(problem)),
    }
}

/// Opens without following a link: in a folder that everybody may write to, a link is somebody's trap.
fn open(path: &Path) -> io::Result<File> {
    #[expect(clippy::cast_possible_wrap, reason = "the system's flags are an int")]
    let flags = OFlags::NOFOLLOW.bits() as i32;
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)
}

/// Writes a whole table under another name, then gives it its name unless somebody else was faster.
fn create(path: &Path, slots: SlotCount) -> io::Result<()> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let turn = MADE.fetch_add(1, Ordering::Relaxed);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}-{turn}.new", std::process::id()));
    let new = PathBuf::from(name);
    // Left by a process of the same id that was killed in between.
    let _ = std::fs::remove_file(&new);
    let done = write(&new, slots).and_then(|()| match std::fs::hard_link(&new, path) {
        Err(problem) if problem.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    let removed = std::fs::remove_file(&new);
    done.and(removed)
}

fn write(path: &Path, slots: SlotCount) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    file.set_len(length(slots))?;
    let header: Vec<u8> = [MARK, VERSION, slots.get() as u64].into_iter().flat_map(u64::to_ne_bytes).collect();
    file.write_all_at(&header, 0)
}

fn length(slots: SlotCount) -> u64 {
    ((HEADER_WORDS + slots.get()) * size_of::<u64>()) as u64
}

fn check_file(path: &Path, file: &File, slots: SlotCount) -> Result<(), Error> {
    let metadata = file.metadata().map_err(|source| Error::Io { path: path.into(), source })?;
    let reason = if !metadata.is_file() {
        "it is not a regular file"
    } else if metadata.uid() != rustix::process::geteuid().as_raw() {
        "it belongs to another user"
    } else if metadata.mode() & 0o077 != 0 {
        "other users may open it"
    } else if metadata.len() != length(slots) {
        "its size is another"
    } else {
        return Ok(());
    };
    Err(Error::Foreign { path: path.into(), reason })
}

/// Checks the words before the counters.
pub(crate) fn check_header(path: &Path, words: &[AtomicU64], slots: SlotCount) -> Result<(), Error> {
    let is = |at: usize, wanted: u64| words[at].load(Ordering::SeqCst) == wanted;
    let reason = if !is(0, MARK) {
        "its first bytes are not those of a table"
    } else if !is(1, VERSION) {
        "it has another version"
    } else if !is(2, slots.get() as u64) {
        "it has another number of counters"
    } else {
        return Ok(());
    };
    Err(Error::Foreign { path: path.into(), reason })
}
