//! Journals: where writes wait, safe from a crash, until the source has them.
//!
//! [`FileJournal`] keeps them in files; implement [`Journal`] to keep them in a table of your database instead.
//! See [`View::write_back`](crate::View::write_back).

mod file;
mod frame;
mod segment;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

pub use file::{FileJournal, FileJournalBuilder, Recovered, Step};

/// A durable list of writes that the source may not have yet.
///
/// Numbers order the writes, and are the versions by which a source refuses what it has already. Calls may come from
/// several tasks at once. An error of [`append`](Self::append) means that nobody knows whether the records are safe.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// The first of `count` numbers that were never given before, not even before a crash. Numbers that are not used
    /// are lost; the first one is at least 1.
    async fn reserve(&self, count: u64) -> Result<u64, JournalError>;

    /// Keeps these records; returns when a crash, of the machine even, can no longer lose them.
    async fn append(&self, records: Vec<Record>) -> Result<(), JournalError>;

    /// The source has the writes of these numbers, or needs them no longer. A crash may lose this: then they are
    /// handed to the source once more. Numbers that were never appended are ignored.
    async fn settle(&self, numbers: Vec<u64>) -> Result<(), JournalError>;

    /// All records that are not settled, in the order of their numbers.
    async fn unsettled(&self) -> Result<Vec<Record>, JournalError>;
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Record {
    /// Its number, greater than those of all earlier writes of its key.
    pub number: u64,
    /// Names the format of the value; one of another format cannot be read.
    pub shape: u64,
    /// The key in postcard.
    pub key: Vec<u8>,
    /// The value by the view's codec; `None`: delete.
    pub value: Option<Vec<u8>>,
}

/// A journal cannot be opened, or did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The operating system refused. The journal takes nothing more until it is opened anew: after a failed write
    /// nobody knows what is on the disk.
    #[error("{path} of the journal")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What it said.
        #[source]
        source: Arc<io::Error>,
    },
    /// Bytes in the middle are not what was written: what follows cannot be trusted, and nothing was changed.
    #[error("{path} is damaged at byte {offset}, and intact records follow")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damage begins, in bytes.
        offset: u64,
    },
    /// Another process has it open.
    #[error("{0} is open in another process")]
    Locked(PathBuf),
    /// It was written by another release.
    #[error("{path} has version {version}, this is version {current}", current = frame::VERSION)]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u8,
    },
    /// An earlier call failed.
    #[error("the journal failed before: {0}")]
    Failed(String),
    /// Another implementation's reason.
    #[error("the journal: {0}")]
    Other(String),
}

impl JournalError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source: Arc::new(source) }
    }
}
