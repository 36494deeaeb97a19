//! Write-back: a write is acknowledged before the source has it, and how safe it is by then has a name.

mod builder;
mod overlay;
mod sink;

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::Target;
use crate::event::Event;
use crate::invalidation::Order;
use crate::journal::{Journal, JournalError, Record};
use crate::key::{CacheKey, KeyWriter, MAX_KEY_BYTES};
use crate::memory::AnyValue;
use crate::remote::RemoteKey;
use crate::stamp::Severity;
use crate::view::View;

pub use builder::{OpenError, WriteBackBuilder};
pub(crate) use overlay::Dirty;
use overlay::{Lack, Overlay, Taken, Write};
pub use sink::{Fault, Operation, Sink, SinkError};

/// Numbers that are asked of the journal at a time: one sync for so many writes, and so many lost in a crash.
const NUMBERS: u64 = 1024;

/// How safe a write is when it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ack {
    /// It is in this process: a crash loses it unless the source has it by then, which takes at most the period of
    /// [`WriteBackBuilder::flush_every`] while the source takes writes. Costs well below a millisecond.
    Memory,
    /// It is in the journal: a crash delays it. Costs one sync of the journal, shared by all who write meanwhile.
    Journal,
    /// The source has it. Costs a write of the source, shared likewise.
    Db,
}

/// A write that was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The version under which the source gets it, or a later write of the key instead.
    pub version: u64,
}

/// Why a write was not acknowledged.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteBackError {
    /// So many keys wait for the source that there was no room for another in time. Nothing was written.
    #[error("too many writes wait for the source")]
    Overloaded,
    /// The key's encoding is longer than [`MAX_KEY_BYTES`](crate::MAX_KEY_BYTES). Nothing was written.
    #[error("the key has {0} bytes, {MAX_KEY_BYTES} are accepted")]
    KeyTooLong(usize),
    /// Key or value cannot be encoded for the journal. Nothing was written.
    #[error("the write cannot be encoded: {0}")]
    Unencodable(String),
    /// The journal failed. Before [`Ack::Journal`] was asked for the write was taken: it is read, and the source will
    /// get it, unless a crash comes first.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The source will never take it; the value before counts again.
    #[error("the source does not take it: {0}")]
    Poison(String),
    /// [`WriteBack::drain`] was called.
    #[error("no more writes are taken")]
    Closed,
}

/// Writes that the source did not get in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{left} keys wait for the source still")]
pub struct Undrained {
    /// How many keys are dirty. Those acknowledged as [`Ack::Journal`] are handed over at the next start.
    pub left: usize,
}

/// A write that the source will never take.
#[derive(Debug)]
pub struct DeadLetter<K, V> {
    /// The write.
    pub operation: Operation<K, V>,
    /// What the sink said.
    pub why: String,
    /// What the journal has of it.
    numbers: Vec<u64>,
}

impl<K: Clone, V> Clone for DeadLetter<K, V> {
    fn clone(&self) -> Self {
        Self { operation: self.operation.clone(), why: self.why.clone(), numbers: self.numbers.clone() }
    }
}

/// Writes of one view that are acknowledged before the source has them; made by [`View::write_back`].
///
/// A written value is *dirty* until the source has it. It is what every read of the view on this node is given at
/// once, whatever is invalidated, and it is never evicted. **Other nodes see the older value until the source has the
/// new one**, and are told then, as by an invalidation. Several writes of a key are handed over as one, the last.
/// Writes of one key reach the source in their order; those of different keys in any.
///
/// A cheap handle; clones share everything. When the last is gone the dirty values are handed over in the background;
/// [`drain`](Self::drain) waits for that, and belongs at the end of a program.
pub struct WriteBack<K, V> {
    inner: Arc<Inner<K, V>>,
    _owner: Arc<Owner>,
}

struct Owner(CancellationToken);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl<K, V> Clone for WriteBack<K, V> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), _owner: Arc::clone(&self._owner) }
    }
}

impl<K, V> fmt::Debug for WriteBack<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WriteBack({})", self.inner.view.shared.name)
    }
}

struct Settings {
    flush_every: Duration,
    batch: usize,
    room_within: Duration,
    sink_limit: Duration,
    retry: Range<Duration>,
    dead_letters: usize,
}

struct Inner<K, V> {
    view: View<K, V>,
    sink: Box<dyn Sink<K, V>>,
    journal: Arc<dyn Journal>,
    settings: Settings,
    overlay: Overlay<K, V>,
    numbers: Mutex<Range<u64>>,
    /// Held while the journal is asked for more numbers.
    refilling: tokio::sync::Mutex<()>,
    /// Held while a batch is handed over: one at a time keeps the order of each key.
    flushing: tokio::sync::Mutex<()>,
    dead: Mutex<VecDeque<DeadLetter<K, V>>>,
    wake: Notify,
    closed: AtomicBool,
    tasks: TaskTracker,
    /// The last handle is gone, or `drain` was called.
    ending: CancellationToken,
}

/// What keys of a write-back must do besides: come back from the journal.
pub trait JournalKey:
    CacheKey + serde::Serialize + serde::de::DeserializeOwned + Clone + Send + Sync + 'static
{
}

impl<K> JournalKey for K where
    K: CacheKey + serde::Serialize + serde::de::DeserializeOwned + Clone + Send + Sync + 'static
{
}

impl<K: JournalKey, V: Send + Sync + 'static> WriteBack<K, V> {
    /// Writes a value; returns when it is as safe as `ack` says.
    ///
    /// Dropped before its end, it may or may not have written.
    ///
    /// # Errors
    /// [`WriteBackError`]; what holds then is said there.
    pub async fn put(&self, key: &K, value: impl Into<Arc<V>>, ack: Ack) -> Result<Accepted, WriteBackError> {
        self.inner.write(key, Some(value.into()), ack).await
    }

    /// Deletes the value; as [`put`](Self::put).
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn delete(&self, key: &K, ack: Ack) -> Result<Accepted, WriteBackError> {
        self.inner.write(key, None, ack).await
    }

    /// As [`View::get`]: the dirty value first.
    pub async fn get(&self, key: &K) -> Option<Arc<V>> {
        self.inner.view.get(key).await
    }

    /// How many keys are dirty.
    pub fn dirty(&self) -> usize {
        self.inner.overlay.len()
    }

    /// Hands over what is dirty now and due, and returns how many keys are dirty afterwards: those that failed, and
    /// those written meanwhile.
    pub async fn flush(&self) -> usize {
        self.inner.flush_due().await;
        self.dirty()
    }

    /// Takes no more writes, and hands over what is dirty until all is done or `limit` is over; waits out the pauses
    /// after failures.
    ///
    /// # Errors
    /// [`Undrained`], with the number of keys that are dirty still; they remain readable, and a later call tries again.
    pub async fn drain(&self, limit: Duration) -> Result<(), Undrained> {
        let inner = &self.inner;
        inner.closed.store(true, Ordering::Release);
        inner.ending.cancel();
        inner.tasks.close();
        let drained = async {
            inner.run_dry().await;
            inner.tasks.wait().await;
        };
        match tokio::time::timeout(limit, drained).await {
            Ok(()) => Ok(()),
            Err(_) => Err(Undrained { left: self.dirty() }),
        }
    }

    /// Writes that the source will never take, the oldest first; at most as many as keys may be dirty. They remain in
    /// the journal, and are handed over again at the next start, until they are discarded.
    pub fn dead_letters(&self) -> Vec<DeadLetter<K, V>> {
        self.inner.dead().iter().cloned().collect()
    }

    /// Forgets a dead letter, in the journal, too; tells whether there was one of this version.
    ///
    /// # Errors
    /// The journal failed; the dead letter stays in it.
    pub async fn discard(&self, version: u64) -> Result<bool, JournalError> {
        let found = {
            let mut dead = self.inner.dead();
            let place = dead.iter().position(|letter| letter.operation.version == version);
            place.and_then(|place| dead.remove(place))
        };
        let Some(letter) = found else { return Ok(false) };
        self.inner.journal.settle(letter.numbers).await?;
        Ok(true)
    }
}

/// Lets the source have a write whose caller went away while the journal took it.
struct Journaling<'a, K: JournalKey, V: Send + Sync + 'static> {
    inner: &'a Inner<K, V>,
    key: &'a [u8],
    number: u64,
}

impl<K: JournalKey, V: Send + Sync + 'static> Drop for Journaling<'_, K, V> {
    fn drop(&mut self) {
        self.inner.overlay.journaled(self.key, self.number);
    }
}

impl<K: JournalKey, V: Send + Sync + 'static> Inner<K, V> {
    async fn write(&self, key: &K, value: Option<Arc<V>>, ack: Ack) -> Result<Accepted, WriteBackError> {
        let bytes = KeyWriter::encode(key);
        if bytes.len() > MAX_KEY_BYTES {
            return Err(WriteBackError::KeyTooLong(bytes.len()));
        }
        let mut record = match ack {
            Ack::Journal => Some(self.record(key, value.as_ref())?),
            _ => None,
        };
        let (waiter, written) = match ack {
            Ack::Db => Some(oneshot::channel()).unzip(),
            _ => (None, None),
        };
        let mut write = Write { key: key.clone(), value, journaling: record.is_some(), waiter };
        let number = loop {
            if self.closed.load(Ordering::Acquire) {
                return Err(WriteBackError::Closed);
            }
            let mut room = std::pin::pin!(self.overlay.room.notified());
            room.as_mut().enable();
            match self.overlay.insert(&bytes, write, || self.next_number()) {
                Ok(number) => break number,
                Err((refused, Lack::Number)) => {
                    write = refused;
                    self.refill().await?;
                }
                Err((refused, Lack::Room)) => {
                    write = refused;
                    self.wake.notify_one();
                    let limit = self.settings.room_within;
                    tokio::time::timeout(limit, room).await.map_err(|_| WriteBackError::Overloaded)?;
                }
            }
        };
        if let Some(mut record) = record.take() {
            record.number = number;
            let journaling = Journaling { inner: self, key: &bytes, number };
            let appended = self.journal.append(vec![record]).await;
            drop(journaling);
            appended?;
        }
        if written.is_some() || self.overlay.len() >= self.settings.batch {
            self.wake.notify_one();
        }
        if let Some(written) = written {
            written.await.unwrap_or(Err(WriteBackError::Closed))?;
        }
        Ok(Accepted { version: number })
    }

    fn record(&self, key: &K, value: Option<&Arc<V>>) -> Result<Record, WriteBackError> {
        let unencodable = |error: &dyn fmt::Display| WriteBackError::Unencodable(error.to_string());
        let key = postcard::to_stdvec(key).map_err(|error| unencodable(&error))?;
        let codec = self.view.shared.codec.as_ref().ok_or_else(|| unencodable(&"the view has no codec"))?;
        let value = match value {
            Some(value) => {
                let value: AnyValue = Arc::clone(value) as AnyValue;
                Some(codec.encode(&value).map_err(|error| unencodable(&error))?)
            }
            None => None,
        };
        Ok(Record { number: 0, shape: codec.fingerprint(), key, value })
    }

    fn next_number(&self) -> Option<u64> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner).next()
    }

    async fn refill(&self) -> Result<(), JournalError> {
        let _refilling = self.refilling.lock().await;
        let empty = self.numbers.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        if empty {
            let first = self.journal.reserve(NUMBERS).await?;
            *self.numbers.lock().unwrap_or_else(PoisonError::into_inner) = first..first + NUMBERS;
        }
        Ok(())
    }

    fn dead(&self) -> std::sync::MutexGuard<'_, VecDeque<DeadLetter<K, V>>> {
        self.dead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over every so often, until the end begins; then until nothing is dirty.
    async fn run(self: Arc<Self>) {
        loop {
            let next = self.flush_due().await;
            let period = Instant::now() + self.settings.flush_every;
            let until = next.map_or(period, |next| next.min(period));
            tokio::select! {
                biased;
                () = self.ending.cancelled() => break,
                () = self.wake.notified() => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
        self.run_dry().await;
    }

    async fn run_dry(&self) {
        loop {
            let next = self.flush_due().await;
            if self.overlay.len() == 0 {
                return;
            }
            // Without a time to wait for, something is on its way into the journal.
            let soon = Instant::now() + Duration::from_millis(1);
            tokio::time::sleep_until(next.unwrap_or(soon).max(soon)).await;
        }
    }

    /// Hands over what is due, and tells when the next write is.
    async fn flush_due(&self) -> Option<Instant> {
        let _flushing = self.flushing.lock().await;
        loop {
            let (taken, next) = self.overlay.take(self.settings.batch, Instant::now(), None);
            if taken.is_empty() {
                return next;
            }
            self.hand_over(taken).await;
        }
    }

    async fn hand_over(&self, taken: Vec<Taken<K, V>>) {
        let batch: Vec<Operation<K, V>> = taken
            .iter()
            .map(|write| Operation { key: write.key.clone(), value: write.value.clone(), version: write.number })
            .collect();
        let limit = self.settings.sink_limit;
        let outcome = match tokio::time::timeout(limit, self.sink.write(&batch)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(SinkError::retry(format_args!("no answer within {limit:?}"))),
        };
        if let Err(error) = &outcome {
            tracing::warn!(view = %self.view.shared.name, %error, "the source did not take all writes");
        }
        let fault = |place| outcome.as_ref().err().and_then(|error: &SinkError| error.fault(place));
        let (mut done, mut dead) = (Vec::new(), Vec::new());
        for (place, (write, operation)) in taken.into_iter().zip(batch).enumerate() {
            match fault(place) {
                None => done.push(write),
                Some(Fault::Retry(_)) => self.postpone(&write),
                Some(Fault::Poison(why)) => dead.push((write, operation, why)),
            }
        }
        // The tiers before the overlay: what is read in between must not be older than what was read before.
        let touched = done.iter().chain(dead.iter().map(|(write, _, _)| write));
        let name = &self.view.shared.name;
        let targets: Vec<Target> = touched.map(|write| Target::Key(RemoteKey::new(name, &write.bytes))).collect();
        if targets.is_empty() {
            return;
        }
        let receipt = self.view.engine.invalidate(Order { targets, severity: Severity::Hard, hold: None }).await;
        if !receipt.is_complete() {
            tracing::debug!(view = %name, %receipt, "other nodes may not know yet of what was written back");
        }
        let settled: Vec<u64> = done.iter().flat_map(|write| self.overlay.clean(&write.bytes, write.number)).collect();
        for (write, operation, why) in dead {
            self.bury(&write, operation, why);
        }
        if !settled.is_empty()
            && let Err(error) = self.journal.settle(settled).await
        {
            tracing::warn!(view = %name, %error, "the next start will hand writes over that the source has");
        }
    }

    fn postpone(&self, write: &Taken<K, V>) {
        let Range { start, end } = self.settings.retry;
        self.overlay.postpone(&write.bytes, write.number, |attempts| {
            let pause = start.saturating_mul(1 << attempts.saturating_sub(1).min(20)).min(end);
            // So that many keys do not come back together.
            let jitter = self.view.engine.entropy.below(pause.as_millis() as u64 / 4 + 1);
            Instant::now() + pause - Duration::from_millis(jitter).min(pause)
        });
    }

    fn bury(&self, write: &Taken<K, V>, operation: Operation<K, V>, why: String) {
        let numbers = self.overlay.give_up(&write.bytes, write.number, &why);
        let view = Arc::clone(&self.view.shared.name);
        self.view.engine.events.send(|| Event::DeadLetter {
            view,
            key: (*write.bytes).into(),
            version: write.number,
            why: why.as_str().into(),
        });
        let mut dead = self.dead();
        if dead.len() >= self.settings.dead_letters {
            dead.pop_front();
        }
        dead.push_back(DeadLetter { operation, why, numbers });
    }
}

#[async_trait]
impl<K: JournalKey, V: Send + Sync + 'static> Dirty for Inner<K, V> {
    fn dirty(&self, key: &[u8]) -> Option<Option<AnyValue>> {
        self.overlay.get(key).map(|value| value.map(|value| value as AnyValue))
    }

    async fn flush_keys(&self, keys: &[Box<[u8]>]) -> bool {
        if keys.iter().all(|key| self.overlay.get(key).is_none()) {
            return true;
        }
        let _flushing = self.flushing.lock().await;
        let (taken, _) = self.overlay.take(keys.len(), Instant::now(), Some(keys));
        if !taken.is_empty() {
            self.hand_over(taken).await;
        }
        keys.iter().all(|key| self.overlay.get(key).is_none())
    }
}
