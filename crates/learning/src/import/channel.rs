//! The way of the rows: a reading thread fills chunks, a short channel carries them, the caller's task stores them.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::source::{Counter, Meter};
use super::{ImportError, Progress, Reject, Rejects};
use crate::key::UserId;
use crate::rows::{ProgressRow, SessionRow, UserRow};
use crate::store::{Store, StoreError, Written};

/// Chunks that may wait between the thread and the task. Reading is many times faster than storing, so one keeps the
/// store busy and more would only hold memory.
const WAITING: usize = 1;
/// Rejects that travel together, so that a file of nothing else does not gather them.
const REJECTS: usize = 256;
/// Bytes after which progress is reported even if there is nothing to store.
const BEAT_BYTES: u64 = 4 << 20;

/// Rows that are stored together.
#[derive(Debug)]
pub(super) enum Batch {
    Users(Vec<UserRow>),
    MissingUsers(Vec<UserRow>),
    Progress(Vec<ProgressRow>),
    Sessions(Vec<SessionRow>),
}

impl Batch {
    /// Whom the rows are about, each once.
    fn learners(&self) -> Vec<UserId> {
        let learners: BTreeSet<UserId> = match self {
            Self::Users(rows) | Self::MissingUsers(rows) => rows.iter().map(|row| row.id).collect(),
            Self::Progress(rows) => rows.iter().map(|row| row.user_id).collect(),
            Self::Sessions(rows) => rows.iter().map(|row| row.user_id).collect(),
        };
        learners.into_iter().collect()
    }

    /// Takes out the rows about some learners; the place and the learner of each.
    fn take_out(&mut self, learners: &[UserId]) -> Vec<(usize, UserId)> {
        fn split<R>(rows: &mut Vec<R>, learners: &[UserId], of: impl Fn(&R) -> UserId) -> Vec<(usize, UserId)> {
            let places: Vec<(usize, UserId)> =
                rows.iter().map(of).enumerate().filter(|(_, user)| learners.contains(user)).collect();
            let mut place = 0;
            rows.retain(|_| {
                place += 1;
                places_without(&places, place - 1)
            });
            places
        }
        fn places_without(places: &[(usize, UserId)], place: usize) -> bool {
            places.binary_search_by_key(&place, |(place, _)| *place).is_err()
        }
        match self {
            Self::Users(rows) | Self::MissingUsers(rows) => split(rows, learners, |row| row.id),
            Self::Progress(rows) => split(rows, learners, |row| row.user_id),
            Self::Sessions(rows) => split(rows, learners, |row| row.user_id),
        }
    }
}

/// Where batches go: a store, or what stands for one in a test.
pub(super) trait Sink {
    /// Stores a batch, as a whole or not at all.
    fn store(&self, batch: Batch) -> impl Future<Output = Result<Written, StoreError>> + Send;

    /// Those of some learners whose rows are not accepted any more, because they were erased.
    fn erased(&self, learners: &[UserId]) -> impl Future<Output = Result<Vec<UserId>, StoreError>> + Send;
}

impl Sink for &dyn Store {
    async fn store(&self, batch: Batch) -> Result<Written, StoreError> {
        match batch {
            Batch::Users(rows) => self.write_users(rows).await,
            Batch::MissingUsers(rows) => self.add_missing_users(rows).await,
            Batch::Progress(rows) => self.write_progress(rows).await,
            Batch::Sessions(rows) => self.write_sessions(rows).await,
        }
    }

    async fn erased(&self, learners: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        self.erased_among(learners).await
    }
}

/// What travels together.
#[derive(Debug)]
pub(super) struct Chunk {
    batch: Option<Batch>,
    /// Line of each row of the batch; empty where rows do not lie on one line.
    lines: Vec<u64>,
    rejects: Vec<Reject>,
    bytes_read: u64,
}

/// Why the reading thread ended early.
#[derive(Debug)]
pub(super) enum Ended {
    /// Nobody takes its rows any more; whoever should know why knows.
    Unwanted,
    /// The file is to blame.
    Failed(ImportError),
}

impl From<ImportError> for Ended {
    fn from(error: ImportError) -> Self {
        Self::Failed(error)
    }
}

/// The reading thread's end of the channel.
#[derive(Debug)]
pub(super) struct Feeder {
    sender: mpsc::Sender<Chunk>,
    bytes: Counter,
    bytes_sent: u64,
    rejects: Vec<Reject>,
}

impl Feeder {
    pub(super) fn new(sender: mpsc::Sender<Chunk>) -> Self {
        Self { sender, bytes: Counter::default(), bytes_sent: 0, rejects: Vec::new() }
    }

    /// What counts the bytes of the file, and ends its reading when nobody waits for its rows.
    pub(super) fn meter(&self) -> FeederMeter {
        FeederMeter { sender: self.sender.clone(), bytes: self.bytes.clone() }
    }

    /// Sends rows on; waits while the store is behind.
    pub(super) fn send(&mut self, batch: Batch) -> Result<(), Ended> {
        self.push(Some(batch), Vec::new())
    }

    /// The same with the line of each row.
    pub(super) fn send_lines(&mut self, batch: Batch, lines: Vec<u64>) -> Result<(), Ended> {
        self.push(Some(batch), lines)
    }

    /// Reports a reject, sooner or later.
    pub(super) fn reject(&mut self, reject: Reject) -> Result<(), Ended> {
        self.rejects.push(reject);
        if self.rejects.len() < REJECTS { Ok(()) } else { self.push(None, Vec::new()) }
    }

    /// Reports progress now and then while there is nothing to store.
    pub(super) fn beat(&mut self) -> Result<(), Ended> {
        if self.bytes.get() - self.bytes_sent < BEAT_BYTES { Ok(()) } else { self.push(None, Vec::new()) }
    }

    fn push(&mut self, batch: Option<Batch>, lines: Vec<u64>) -> Result<(), Ended> {
        self.bytes_sent = self.bytes.get();
        let rejects = std::mem::take(&mut self.rejects);
        let chunk = Chunk { batch, lines, rejects, bytes_read: self.bytes_sent };
        self.sender.blocking_send(chunk).map_err(|_| Ended::Unwanted)
    }
}

/// See [`Feeder::meter`].
#[derive(Debug)]
pub(super) struct FeederMeter {
    sender: mpsc::Sender<Chunk>,
    bytes: Counter,
}

impl Meter for FeederMeter {
    fn tick(&self, bytes: u64) -> io::Result<()> {
        if self.sender.is_closed() {
            return Err(io::Error::other("the import has ended"));
        }
        self.bytes.tick(bytes)
    }
}

/// What became of all chunks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) written: Written,
    pub(super) rejected: u64,
}

/// Runs `read` on a thread and stores what it feeds. An error on either side ends the other; the thread is waited for.
pub(super) async fn run<T: Send + 'static>(
    sink: impl Sink,
    file: &str,
    read: impl FnOnce(&mut Feeder) -> Result<T, Ended> + Send + 'static,
    progress: &mut (dyn FnMut(Progress) + Send),
    rejects: &mut Rejects,
) -> Result<(T, Totals), ImportError> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let mut feeder = Feeder::new(sender);
    let reading = tokio::task::spawn_blocking(move || {
        let result = read(&mut feeder)?;
        feeder.push(None, Vec::new())?;
        Ok(result)
    });

    let stored = take(&sink, file, receiver, progress, rejects).await;
    let read: Result<T, Ended> = reading.await.map_err(|_| ImportError::Broken(file.to_owned()))?;

    let totals = stored?;
    match read {
        Ok(result) => Ok((result, totals)),
        Err(Ended::Failed(error)) => Err(error),
        Err(Ended::Unwanted) => Err(ImportError::Broken(file.to_owned())),
    }
}

async fn take(
    sink: &impl Sink,
    file: &str,
    mut receiver: mpsc::Receiver<Chunk>,
    progress: &mut (dyn FnMut(Progress) + Send),
    rejects: &mut Rejects,
) -> Result<Totals, ImportError> {
    let mut totals = Totals::default();
    let shared: Arc<str> = Arc::from(file);
    while let Some(chunk) = receiver.recv().await {
        for reject in chunk.rejects {
            rejects.add(reject).map_err(ImportError::Rejects)?;
            totals.rejected += 1;
        }
        if let Some(mut batch) = chunk.batch {
            let failed = |source| ImportError::Store { file: file.to_owned(), source };
            let erased = sink.erased(&batch.learners()).await.map_err(failed)?;
            for (place, learner) in batch.take_out(&erased) {
                let line = chunk.lines.get(place).copied().unwrap_or(0);
                rejects.add(Reject::of_erased(&shared, line, learner)).map_err(ImportError::Rejects)?;
                totals.rejected += 1;
            }
            let written = sink.store(batch).await.map_err(failed)?;
            totals.written.inserted += written.inserted;
            totals.written.updated += written.updated;
        }
        progress(Progress {
            bytes_read: chunk.bytes_read,
            rows_stored: totals.written.inserted + totals.written.updated,
            rejected: totals.rejected,
        });
    }
    Ok(totals)
}
