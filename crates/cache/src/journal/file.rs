//! A journal in files of a directory.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use super::frame::Entry;
use super::segment::{Probe, Segments};
use super::{Journal, JournalError, Record};

/// Calls that wait at most, and that one sync makes durable.
const GROUP: usize = 1024;

/// A journal in files of a directory of its own, which one process may have open at a time.
///
/// One thread writes them. Calls that come while it syncs are made durable together by the next sync, so that many
/// writers cost one sync. A file is synced before a call returns, and so is the directory when a file begins. An end
/// that a crash has torn is cut off when the journal is opened: nothing in it was acknowledged. Damage elsewhere is an
/// error ([`JournalError::Damaged`]) and changes nothing. Files whose writes the source has are deleted.
pub struct FileJournal {
    calls: Mutex<Option<mpsc::Sender<Call>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    replay: Mutex<Vec<Record>>,
    recovered: Recovered,
}

/// Sets a journal up; made by [`FileJournal::builder`].
#[must_use]
pub struct FileJournalBuilder {
    directory: PathBuf,
    most: u64,
    probe: Option<Probe>,
}

/// What was found when a journal was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// Writes that the source may not have.
    pub records: usize,
    /// Bytes of a torn end that were cut off.
    pub cut: u64,
}

/// What the journal's thread does; for tests that end the process there.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Created,
    HeaderSynced,
    DirectorySynced,
    Write,
    HalfWritten,
    Written,
    Synced,
    Deleted,
}

enum Call {
    Reserve(u64, oneshot::Sender<Result<u64, JournalError>>),
    Append(Vec<Record>, oneshot::Sender<Result<(), JournalError>>),
    Settle(Vec<u64>, oneshot::Sender<Result<(), JournalError>>),
}

impl FileJournal {
    /// A journal in this directory, which is made if it is not there.
    pub fn builder(directory: impl AsRef<Path>) -> FileJournalBuilder {
        FileJournalBuilder { directory: directory.as_ref().to_owned(), most: 16 << 20, probe: None }
    }

    /// What was found when it was opened.
    pub fn recovered(&self) -> Recovered {
        self.recovered
    }

    async fn call<T>(
        &self,
        call: impl FnOnce(oneshot::Sender<Result<T, JournalError>>) -> Call,
    ) -> Result<T, JournalError> {
        let gone = || JournalError::Failed("its thread has ended".to_owned());
        let (reply, answer) = oneshot::channel();
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone();
        calls.ok_or_else(gone)?.send(call(reply)).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl FileJournalBuilder {
    /// A file is followed by another once it has this many bytes; 16 MiB unless told.
    pub fn file_bytes(self, bytes: u64) -> Self {
        Self { most: bytes, ..self }
    }

    /// Calls `probe` at each step, in the journal's thread.
    #[doc(hidden)]
    pub fn probe(self, probe: impl Fn(Step) + Send + Sync + 'static) -> Self {
        Self { probe: Some(Arc::new(probe)), ..self }
    }

    /// Opens the journal, reading all of it, in a thread for blocking work.
    ///
    /// # Errors
    /// [`JournalError`]: open elsewhere, damaged, of another release, or refused by the operating system.
    pub async fn open(self) -> Result<FileJournal, JournalError> {
        let opened = tokio::task::spawn_blocking(move || self.open_blocking()).await;
        opened.unwrap_or_else(|_| Err(JournalError::Failed("the runtime is shutting down".to_owned())))
    }

    fn open_blocking(self) -> Result<FileJournal, JournalError> {
        let (segments, records, recovered) = Segments::open(&self.directory, self.most, self.probe)?;
        let (sender, calls) = mpsc::channel(GROUP);
        let thread = std::thread::Builder::new().name("tierkeep-journal".into());
        let thread = thread.spawn(move || serve(segments, calls)).map_err(JournalError::io(&self.directory))?;
        Ok(FileJournal {
            calls: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(thread)),
            replay: Mutex::new(records),
            recovered,
        })
    }
}

impl fmt::Debug for FileJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileJournal({:?})", self.recovered)
    }
}

impl Drop for FileJournal {
    /// Waits for what is being written: the files may be opened again after it.
    fn drop(&mut self) {
        drop(self.calls.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
            && thread.join().is_err()
        {
            tracing::error!("the journal's thread panicked");
        }
    }
}

/// The journal's thread.
fn serve(mut segments: Segments, mut calls: mpsc::Receiver<Call>) {
    let mut failed: Option<JournalError> = None;
    while let Some(first) = calls.blocking_recv() {
        let waiting = std::iter::from_fn(|| calls.try_recv().ok());
        let group: Vec<Call> = std::iter::once(first).chain(waiting.take(GROUP - 1)).collect();
        let (mut entries, mut first_numbers, mut added) = (Vec::new(), Vec::new(), HashSet::new());
        for call in &group {
            match call {
                Call::Reserve(count, _) => {
                    let (first, entry) = segments.reserve(*count);
                    first_numbers.push(first);
                    entries.push(entry);
                }
                Call::Append(records, _) => {
                    added.extend(records.iter().map(|record| record.number));
                    entries.extend(records.iter().cloned().map(Entry::Write));
                }
                Call::Settle(numbers, _) => {
                    let holds = |number: &u64| segments.holds(*number) || added.contains(number);
                    let held: Vec<u64> = numbers.iter().copied().filter(holds).collect();
                    if !held.is_empty() {
                        entries.push(Entry::Settled(held));
                    }
                }
            }
        }
        let committed = match &failed {
            Some(error) => Err(JournalError::Failed(error.to_string())),
            None if entries.is_empty() => Ok(()),
            None => segments.commit(&entries),
        };
        if let (None, Err(error)) = (&failed, &committed) {
            // What is on the disk after a failed write or sync is unknown, and a second sync may say nothing of it.
            tracing::error!(%error, "the journal takes nothing more");
            failed = Some(error.clone());
        }
        answer(group, first_numbers, &committed);
    }
}

fn answer(group: Vec<Call>, first_numbers: Vec<u64>, committed: &Result<(), JournalError>) {
    let mut first_numbers = first_numbers.into_iter();
    for call in group {
        // Whoever asked may be gone.
        match call {
            Call::Reserve(_, reply) => {
                let first = first_numbers.next().unwrap_or_default();
                drop(reply.send(committed.clone().map(|()| first)));
            }
            Call::Append(_, reply) | Call::Settle(_, reply) => drop(reply.send(committed.clone())),
        }
    }
}

#[async_trait]
impl Journal for FileJournal {
    async fn reserve(&self, count: u64) -> Result<u64, JournalError> {
        self.call(|reply| Call::Reserve(count, reply)).await
    }

    async fn append(&self, records: Vec<Record>) -> Result<(), JournalError> {
        self.call(|reply| Call::Append(records, reply)).await
    }

    async fn settle(&self, numbers: Vec<u64>) -> Result<(), JournalError> {
        self.call(|reply| Call::Settle(numbers, reply)).await
    }

    /// Those found when it was opened; once, because afterwards whoever took them knows more.
    async fn unsettled(&self) -> Result<Vec<Record>, JournalError> {
        Ok(std::mem::take(&mut *self.replay.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}
