//! Setting a write-back up, and handing over what a crash left in the journal.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::overlay::{Dirty, Overlay, Write};
use super::{Inner, JournalKey, Owner, Settings, Sink, WriteBack};
use crate::journal::{Journal, JournalError, Record};
use crate::key::KeyWriter;
use crate::view::View;

/// Sets a write-back up; made by [`View::write_back`], ended by [`open`](Self::open).
#[must_use]
pub struct WriteBackBuilder<K, V> {
    view: View<K, V>,
    sink: Box<dyn Sink<K, V>>,
    journal: Arc<dyn Journal>,
    settings: Settings,
    capacity: usize,
}

/// Why a write-back cannot be opened.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The view has a write-back already.
    #[error("the view {0:?} has a write-back already")]
    Twice(String),
    /// The view has no [codec](crate::ViewBuilder::codec).
    #[error("the view {0:?} has no codec, which the journal needs")]
    NoCodec(String),
    /// The view is [`tracked`](crate::ViewBuilder::tracked): what depends on a value could not be told of a dirty one.
    #[error("the view {0:?} is tracked, and values that others depend on cannot be written back")]
    Tracked(String),
    /// The journal has a write of another release, or of another view. Nothing was changed: let the release that wrote
    /// it drain first.
    #[error("write {number} in the journal is not of this view: {why}")]
    Foreign {
        /// Its number.
        number: u64,
        /// What is wrong with it.
        why: String,
    },
}

impl<K: JournalKey, V: Send + Sync + 'static> View<K, V> {
    /// Begins a write-back of this view: writes that are acknowledged before the source has them. See [`WriteBack`].
    ///
    /// The journal is this view's alone; its keys are stored in postcard, its values by the view's codec.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::{Arc, Mutex};
    /// use std::time::Duration;
    /// use tierkeep_cache::journal::FileJournal;
    /// use tierkeep_cache::{Ack, Cache, Operation, Postcard, Sink, SinkError};
    ///
    /// type Rows = std::collections::HashMap<u64, (u64, Option<u32>)>;
    ///
    /// struct Table(Arc<Mutex<Rows>>);
    ///
    /// #[async_trait::async_trait]
    /// impl Sink<u64, u32> for Table {
    ///     async fn write(&self, batch: &[Operation<u64, u32>]) -> Result<(), SinkError> {
    ///         let mut rows = self.0.lock().map_err(SinkError::retry)?;
    ///         for operation in batch {
    ///             let (version, row) = rows.entry(operation.key).or_default();
    ///             if *version < operation.version {
    ///                 (*version, *row) = (operation.version, operation.value.as_deref().copied());
    ///             }
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let cache = Cache::builder("shop").build()?;
    /// let stock = cache.view::<u64, u32>("stock").codec(Postcard::shape(1)).build()?;
    /// let directory = std::env::temp_dir().join(format!("tierkeep-write-back-{}", std::process::id()));
    /// let journal = Arc::new(FileJournal::builder(&directory).open().await?);
    /// let rows = Arc::new(Mutex::new(Rows::new()));
    /// let writes = stock.write_back(Table(rows.clone()), journal).open().await?;
    ///
    /// writes.put(&7, 12, Ack::Journal).await?;
    /// assert_eq!(stock.get(&7).await.as_deref(), Some(&12));
    ///
    /// writes.drain(Duration::from_secs(10)).await?;
    /// assert_eq!(rows.lock().unwrap()[&7].1, Some(12));
    /// # std::fs::remove_dir_all(directory)?;
    /// # Ok(()) }
    /// ```
    pub fn write_back(&self, sink: impl Sink<K, V>, journal: Arc<dyn Journal>) -> WriteBackBuilder<K, V> {
        WriteBackBuilder {
            view: self.clone(),
            sink: Box::new(sink),
            journal,
            settings: Settings {
                flush_every: Duration::from_secs(1),
                batch: 256,
                room_within: Duration::from_secs(5),
                sink_limit: Duration::from_secs(30),
                retry: Range { start: Duration::from_millis(100), end: Duration::from_secs(30) },
                dead_letters: 0,
            },
            capacity: 10_000,
        }
    }
}

/// An encoded key, and what was written.
type Restored<K, V> = (Box<[u8]>, Write<K, V>);

impl<K: JournalKey, V: Send + Sync + 'static> WriteBackBuilder<K, V> {
    /// Dirty values are handed over this often: the window within which a crash loses what was acknowledged as
    /// [`Ack::Memory`](super::Ack::Memory). One second unless told.
    pub fn flush_every(mut self, period: Duration) -> Self {
        self.settings.flush_every = period;
        self
    }

    /// Operations in one batch at most; as many dirty keys are handed over at once. 256 unless told.
    pub fn batch(mut self, operations: usize) -> Self {
        self.settings.batch = operations.max(1);
        self
    }

    /// Keys that may be dirty at once. Further ones wait for `room_within` and are refused as
    /// [`Overloaded`](super::WriteBackError::Overloaded) then. 10 000 and 5 s unless told.
    pub fn capacity(mut self, keys: usize, room_within: Duration) -> Self {
        self.capacity = keys.max(1);
        self.settings.room_within = room_within;
        self
    }

    /// Pauses before an operation that failed is handed over again: the first one, doubled each time up to the
    /// longest. 100 ms to 30 s unless told.
    pub fn retry(mut self, first: Duration, longest: Duration) -> Self {
        self.settings.retry = Range { start: first, end: longest.max(first) };
        self
    }

    /// A batch that the sink has not written within this time is handed over again. 30 s unless told.
    pub fn sink_timeout(mut self, limit: Duration) -> Self {
        self.settings.sink_limit = limit;
        self
    }

    /// Opens it: what the journal has is dirty from now on, and handed over first.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(mut self) -> Result<WriteBack<K, V>, OpenError> {
        let name = self.view.shared.name.to_string();
        if self.view.shared.codec.is_none() {
            return Err(OpenError::NoCodec(name));
        }
        if self.view.shared.tracked {
            return Err(OpenError::Tracked(name));
        }
        let overlay = Overlay::new(self.capacity);
        for record in self.journal.unsettled().await? {
            let number = record.number;
            let (bytes, write) = self.restored(record).map_err(|why| OpenError::Foreign { number, why })?;
            overlay.restore(&bytes, write, number);
        }
        self.settings.dead_letters = self.capacity;
        let inner = Arc::new(Inner {
            view: self.view,
            sink: self.sink,
            journal: self.journal,
            settings: self.settings,
            overlay,
            numbers: Mutex::new(0..0),
            refilling: tokio::sync::Mutex::default(),
            flushing: tokio::sync::Mutex::default(),
            dead: Mutex::new(VecDeque::new()),
            wake: Notify::new(),
            closed: false.into(),
            tasks: TaskTracker::new(),
            ending: CancellationToken::new(),
        });
        let overlay: std::sync::Weak<dyn Dirty> = Arc::downgrade(&(Arc::clone(&inner) as Arc<dyn Dirty>));
        if inner.view.shared.overlay.set(overlay).is_err() {
            return Err(OpenError::Twice(name));
        }
        drop(inner.tasks.spawn(Arc::clone(&inner).run()));
        let owner = Arc::new(Owner(inner.ending.clone()));
        Ok(WriteBack { inner, _owner: owner })
    }

    fn restored(&self, record: Record) -> Result<Restored<K, V>, String> {
        let codec = self.view.shared.codec.as_ref().ok_or("the view has no codec")?;
        if codec.fingerprint() != record.shape {
            return Err("its value has another shape".to_owned());
        }
        let key: K = match postcard::take_from_bytes(&record.key) {
            Ok((key, [])) => key,
            Ok(_) => return Err("its key has bytes too many".to_owned()),
            Err(error) => return Err(format!("its key: {error}")),
        };
        let decode = |bytes: Vec<u8>| {
            let value = codec.decode(&bytes).map_err(|error| format!("its value: {error}"))?;
            value.downcast::<V>().map_err(|_| "its value has another type".to_owned())
        };
        let value = record.value.map(decode).transpose()?;
        Ok((KeyWriter::encode(&key), Write { key, value, journaling: false, waiter: None }))
    }
}
