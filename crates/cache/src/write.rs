//! Writes: to the source first, and then no tier has the older value.
//!
//! **Why no write leaves an older value behind.** A write begins before it touches the source: it poisons the loads of
//! its key on this node and voids the leases of the others. It may store only if from then on until its end nothing
//! else touched the key. Of two writes that overlap, the one that begins second touches the key of the first:
//!
//! - the first ends second: it finds that it was touched, stores nothing, and ends as an invalidation, which drops what
//!   the second stored;
//! - the first ends first: it finds the same and ends as an invalidation, which touches the second.
//!
//! So a value is stored only by a write that overlaps none that ends later, and what it wrote is what the source has.
//! A load that overlaps a write is poisoned by its beginning or touches it, and then its end drops what the load
//! stored. On other nodes the announcement at the end, after the source was written, does what the end does on this
//! one.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::budget::Urgency;
use crate::bus::Target;
use crate::clock::Tick;
use crate::counters::Count;
use crate::engine::{Engine, Outcome, itself};
use crate::error::Failure;
use crate::flight::{FillRefusal, Stored};
use crate::invalidation::{Acknowledgement, Order, Receipt};
use crate::key::{CacheKey, KeyWriter, MAX_KEY_BYTES};
use crate::lineage::Lineage;
use crate::load::{Boarding, Cargo, Job, caught};
use crate::loaded::{Content, Loaded, Notes};
use crate::memory::{AnyValue, KeyRef};
use crate::remote::{Claim, Filled, LeaseAnswer, Refused, RemoteKey, StampRecord};
use crate::shared_read::{Fenced, Permission, Plan, stamps_before};
use crate::stamp::Severity;
use crate::view::{View, value_of};

/// How often a [`View::put`] that met another write begins again before it gives up.
const PUT_ATTEMPTS: usize = 8;

/// A value that was written, and what the tiers did.
#[derive(Debug)]
#[must_use = "a write that the remote tier or the bus did not acknowledge may not be seen by other nodes yet"]
pub struct Written<V> {
    /// The value; `None`: there is none any more.
    pub value: Option<Arc<V>>,
    /// Who has acknowledged that the older value is gone.
    pub receipt: Receipt,
    /// Why no tier holds the new value, if none does; the older one is gone all the same.
    pub refused: Option<FillRefusal>,
}

/// Why a write did not say that it succeeded. The key was invalidated in each case but `Dirty`: the source may have
/// changed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum WriteError<E> {
    /// The source failed.
    Source {
        /// What it said.
        error: E,
        /// Who has acknowledged the invalidation.
        receipt: Receipt,
    },
    /// The write panicked.
    Panicked {
        /// What it said.
        message: Arc<str>,
        /// Who has acknowledged the invalidation.
        receipt: Receipt,
    },
    /// A value of this key that was [written back](crate::View::write_back) has not reached the source, which did not
    /// take it just now. Nothing was written.
    #[cfg(feature = "write-back")]
    Dirty,
    /// The runtime is shutting down; whether the write took effect is unknown.
    Closed,
}

impl<E: fmt::Display> fmt::Display for WriteError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source { error, .. } => write!(f, "the source was not written: {error}"),
            Self::Panicked { message, .. } => write!(f, "the write panicked: {message}"),
            #[cfg(feature = "write-back")]
            Self::Dirty => f.write_str("a value written back has not reached the source yet"),
            Self::Closed => f.write_str("the runtime is shutting down"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for WriteError<E> {}

impl<K: CacheKey, V: Send + Sync + 'static> View<K, V> {
    /// Writes to the source by `write`, then forgets the key in all tiers and on all nodes.
    ///
    /// The next read loads what was written. The simplest way to write, and the right one unless the value is read at
    /// once: it costs what [`invalidate`](Self::invalidate) costs. The key is forgotten also where `write` fails,
    /// panics, or is dropped half-way, because then the source may have changed; after a drop that happens in the
    /// background.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache = tierkeep_cache::Cache::builder("shop").build()?;
    /// let prices = cache.view::<u64, u64>("prices").build()?;
    /// let mut table = std::collections::HashMap::from([(7, 100)]);
    ///
    /// let (rows, receipt) = prices.write_around(&7, async { table.insert(7, 120); Ok::<_, String>(1) }).await?;
    /// receipt.complete()?;
    /// assert_eq!(rows, 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`WriteError::Source`], with the error of `write` and the receipt of the invalidation.
    pub async fn write_around<T, E>(
        &self,
        key: &K,
        write: impl Future<Output = Result<T, E>> + Send,
    ) -> Result<(T, Receipt), WriteError<E>> {
        #[cfg(feature = "write-back")]
        if !self.is_clean(key).await {
            return Err(WriteError::Dirty);
        }
        let mut owed = Owed { engine: Arc::clone(&self.engine), order: self.order_of(&KeyWriter::encode(key)) };
        let written = write.await;
        let receipt = match owed.order.take() {
            Some(order) => self.engine.invalidate(order).await,
            None => Receipt::LOCAL,
        };
        match written {
            Ok(value) => Ok((value, receipt)),
            Err(error) => Err(WriteError::Source { error, receipt }),
        }
    }

    /// Writes to the source by `write`, which gives the value as the source has it now, and stores that in all tiers.
    ///
    /// While `write` runs no tier serves the older value to a new reader of this node. Where writes of one key, or a
    /// write and a load, overlap, the value is not stored but forgotten, and the next read loads: whatever their order,
    /// no tier is left with a value that another write has replaced ([`Written::refused`] tells). So it is for keys
    /// that are written and read in turns; under steady concurrent reads [`write_around`](Self::write_around) is as
    /// good. On other nodes the older value is forgotten, as by [`invalidate`](Self::invalidate). A
    /// [`tracked`](crate::ViewBuilder::tracked) view stores no written value: what depends on it is forgotten together
    /// with it. [`Loaded::absent`] writes that there is no value.
    ///
    /// Once polled, it runs to its end in a task of its own, whatever becomes of the caller;
    /// [`Cache::close`](crate::Cache::close) waits for it. Two round trips to the remote tier and one to the bus.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use tierkeep_cache::{Cache, Loaded};
    ///
    /// let cache = Cache::builder("shop").build()?;
    /// let prices = cache.view::<u64, u64>("prices").build()?;
    ///
    /// let update = async { Ok::<_, String>(Loaded::value(120).version(3)) };
    /// let written = prices.write_through(&7, update).await?;
    /// assert_eq!(written.refused, None);
    /// assert_eq!(prices.get(&7).await.as_deref(), Some(&120));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`WriteError`]: the source failed, or the write panicked. The key is forgotten then.
    pub async fn write_through<R, E>(
        &self,
        key: &K,
        write: impl Future<Output = Result<R, E>> + Send + 'static,
    ) -> Result<Written<V>, WriteError<E>>
    where
        R: Into<Loaded<V>>,
        E: Send + 'static,
    {
        #[cfg(feature = "write-back")]
        if !self.is_clean(key).await {
            return Err(WriteError::Dirty);
        }
        let writing = self.writing(key);
        let engine = Arc::clone(&self.engine);
        let write: Writing<E> = Box::pin(async move { write.await.map(|loaded| erased(loaded.into())) });
        let task = self.engine.tasks.spawn(async move { engine.write_through(writing, write).await });
        let done = task.await.unwrap_or(Err(WriteError::Closed))?;
        Ok(Written { value: value_of(done.value.as_ref()), receipt: done.receipt, refused: done.refused })
    }

    /// Stores a value that no source has: for caches that are themselves what is read.
    ///
    /// Of several that are put at once one is left, the same on all nodes. A value that a tier does not take (too
    /// large, tier away) is not kept in any, and the older one is gone all the same: see [`Written::refused`].
    /// Not for views with a write-back, whose dirty values count before anything that is put.
    /// Where there is a source, use [`write_through`](Self::write_through): a value that is put after the source was
    /// written may be older than what another writer put. Runs to its end like that.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache = tierkeep_cache::Cache::builder("shop").build()?;
    /// let sessions = cache.view::<u64, String>("sessions").build()?;
    ///
    /// sessions.put(&7, "basket".to_owned()).await.receipt.complete()?;
    /// assert_eq!(sessions.get(&7).await.as_deref().map(String::as_str), Some("basket"));
    /// # Ok(()) }
    /// ```
    pub async fn put(&self, key: &K, value: impl Into<Loaded<V>>) -> Written<V> {
        let writing = self.writing(key);
        let engine = Arc::clone(&self.engine);
        let answer = erased(value.into());
        let value = answer.0.clone();
        let task = self.engine.tasks.spawn(async move { engine.put(writing, answer).await });
        let done = task.await.unwrap_or_else(|_| Done {
            value,
            receipt: Receipt::interrupted(),
            refused: Some(FillRefusal::NotWanted),
        });
        Written { value: value_of(done.value.as_ref()), receipt: done.receipt, refused: done.refused }
    }

    /// Hands over what was written back, so that it does not come after what is written now.
    #[cfg(feature = "write-back")]
    async fn is_clean(&self, key: &K) -> bool {
        !self.shared.writes_back() || Box::pin(self.shared.flush_dirty(&[KeyWriter::encode(key)])).await
    }

    fn writing(&self, key: &K) -> ToWrite {
        let bytes = KeyWriter::encode(key);
        let order = self.order_of(&bytes);
        ToWrite { job: self.job(key, Urgency::Reader, Lineage::default()), bytes, order }
    }

    /// The invalidation that a write of this key amounts to; `None` for a key that no tier can hold.
    fn order_of(&self, bytes: &[u8]) -> Option<Order> {
        if bytes.len() > MAX_KEY_BYTES {
            self.shared.count(Count::KeyTooLong);
            return None;
        }
        let mut targets = vec![Target::Key(RemoteKey::new(&self.shared.name, bytes))];
        if self.shared.tracked {
            targets.push(Target::Tag(itself(&self.shared.name, bytes).id()));
        }
        Some(Order { targets, severity: Severity::Hard, hold: None })
    }
}

/// An invalidation that a write owes, however it ends.
struct Owed {
    engine: Arc<Engine>,
    order: Option<Order>,
}

impl Drop for Owed {
    fn drop(&mut self) {
        let Some(order) = self.order.take() else { return };
        self.engine.apply(&order, false);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let engine = Arc::clone(&self.engine);
            drop(self.engine.tasks.spawn_on(async move { drop(engine.invalidate(order).await) }, &runtime));
        }
    }
}

type Writing<E> = Pin<Box<dyn Future<Output = Result<Erased, E>> + Send>>;

/// A value and what its writer said of it; stored unless it said "not modified".
pub(crate) struct Erased(pub(crate) Option<AnyValue>, Notes, bool);

fn erased<V: Send + Sync + 'static>(loaded: Loaded<V>) -> Erased {
    match loaded.content {
        Content::Value(value) => Erased(Some(Arc::new(value)), loaded.notes, true),
        Content::Absent => Erased(None, loaded.notes, true),
        Content::NotModified => Erased(None, loaded.notes, false),
    }
}

/// A key that is to be written.
struct ToWrite {
    job: Job,
    bytes: Box<[u8]>,
    order: Option<Order>,
}

/// A write that has begun.
struct Open {
    boarding: Boarding,
    permission: Permission,
    began: Tick,
}

struct Done {
    value: Option<AnyValue>,
    receipt: Receipt,
    refused: Option<FillRefusal>,
}

impl Engine {
    async fn write_through<E>(self: Arc<Self>, key: ToWrite, write: Writing<E>) -> Result<Done, WriteError<E>> {
        let open = match &key.order {
            Some(_) => Some(self.open_write(&key).await),
            None => None,
        };
        let written = caught(|| Box::pin(async move { Ok(write.await) })).await;
        let failed = match written {
            Ok(Ok(answer)) => return Ok(self.end_write(&key, open, answer).await),
            Ok(Err(error)) => Ok(error),
            Err(Failure::Panicked(message)) => Err(message),
            Err(_) => Err("".into()),
        };
        let receipt = self.give_up_write(&key, open).await;
        Err(match failed {
            Ok(error) => WriteError::Source { error, receipt },
            Err(message) => WriteError::Panicked { message, receipt },
        })
    }

    async fn put(self: Arc<Self>, key: ToWrite, answer: Erased) -> Done {
        // One that was touched begins again, as if it came only now: there is no source whose order it could miss.
        for _ in 0..PUT_ATTEMPTS {
            let Some(_) = &key.order else { break };
            let mut open = self.open_write(&key).await;
            let cargo = Cargo { value: answer.0.clone(), notes: answer.1.clone(), began: open.began, rhythm: None };
            match self.store_written(&key.job, &mut open, cargo, Refused::LeaveAlone).await {
                Ok(()) => return self.announce_written(&key, open, answer.0).await,
                Err(FillRefusal::Invalidated | FillRefusal::LeaseLost | FillRefusal::Gap) => {
                    open.boarding.finish(Outcome::Cancelled).await;
                }
                Err(_) => break,
            }
        }
        let open = match &key.order {
            Some(_) => Some(self.open_write(&key).await),
            None => None,
        };
        self.end_write(&key, open, answer).await
    }

    /// Drops what this node and the remote tier hold, and voids what is on its way into them.
    async fn open_write(self: &Arc<Self>, key: &ToWrite) -> Open {
        let began = self.clock.now();
        let at = KeyRef { view: key.job.view.number, bytes: &key.bytes };
        let flight = self.coherence.begin_write(at, &key.job.view.base, &key.job.own_tags, self.slot());
        let mut boarding = Boarding::new(Arc::clone(self), flight);
        let permission = self.claim(&key.job, &mut boarding).await;
        Open { boarding, permission, began }
    }

    async fn claim(&self, job: &Job, boarding: &mut Boarding) -> Permission {
        let flight = Arc::clone(boarding.flight());
        let bytes = &flight.key.bytes;
        if self.remote.is_none() || job.view.codec.is_none() {
            return Permission::Alone;
        }
        let Some(remote) = self.remote_for(job, bytes) else { return Permission::Degraded };
        let request = self.lease_request(job, &job.view.remote_key(bytes), Claim::Write);
        boarding.leased(&job.view, request.token);
        let unread: Vec<Option<&StampRecord>> = vec![None; job.tags.len()];
        let captures = self.capture(job, &unread);
        match remote.acquire(std::slice::from_ref(&request), &captures).await {
            Ok(acquired) if acquired.leases.first() == Some(&LeaseAnswer::Granted) => {
                let stamps = stamps_before(&job.tags, &unread, &acquired.stamps);
                Permission::Leased(Fenced { token: request.token, born: acquired.bumps, stamps })
            }
            _ => self.degraded(job),
        }
    }

    /// Ends a write whose source took it: stored in every tier, or forgotten in every tier.
    async fn end_write(self: &Arc<Self>, key: &ToWrite, open: Option<Open>, answer: Erased) -> Done {
        let Erased(value, notes, modified) = answer;
        let Some(mut open) = open else {
            return Done { value, receipt: Receipt::LOCAL, refused: Some(FillRefusal::TooLarge) };
        };
        let cargo = Cargo { value: value.clone(), notes, began: open.began, rhythm: None };
        let stored = match modified {
            true => self.store_written(&key.job, &mut open, cargo, Refused::Delete).await,
            false => Err(FillRefusal::NotWanted),
        };
        match stored {
            Ok(()) => self.announce_written(key, open, value).await,
            Err(why) => {
                let receipt = self.give_up_write(key, Some(open)).await;
                Done { value, receipt, refused: Some(why) }
            }
        }
    }

    /// The remote tier first, then memory; `Err`: the value is not in all tiers, and may be in one.
    async fn store_written(
        &self,
        job: &Job,
        open: &mut Open,
        cargo: Cargo,
        refused: Refused,
    ) -> Result<(), FillRefusal> {
        let flight = Arc::clone(open.boarding.flight());
        if job.view.tracked {
            // What depends on the old value carries a tag that must be bumped after the source was written, and the
            // new value would carry it from before.
            return Err(FillRefusal::TagInvalidated);
        }
        let permission = std::mem::replace(&mut open.permission, Permission::Unstored);
        let alone = matches!(permission, Permission::Alone);
        let packed = self.pack(&flight, job, permission, cargo).await;
        let Some(times) = packed.times else { return Err(FillRefusal::NotWanted) };
        match (packed.plan, &self.remote) {
            (Plan::Keep, _) if alone => {}
            (Plan::Ship(mut fill), Some(remote)) => {
                fill.refused = refused;
                match remote.fill(std::slice::from_ref(fill.as_ref())).await {
                    Ok(filled) if filled.first() == Some(&Filled::Stored) => open.boarding.spent(),
                    Ok(_) => return Err(self.refuse(job, &flight.key.bytes, FillRefusal::LeaseLost)),
                    Err(_) => {
                        job.view.count(Count::RemoteError);
                        return Err(self.refuse(job, &flight.key.bytes, FillRefusal::RemoteAway));
                    }
                }
            }
            (Plan::Refuse(why), _) => return Err(self.refuse(job, &flight.key.bytes, why)),
            _ => return Err(self.refuse(job, &flight.key.bytes, FillRefusal::RemoteAway)),
        }
        match self.keep(&flight, job, &packed.late, &packed.cargo, times) {
            Stored::Yes => Ok(()),
            // Memory holds nothing then, and the remote tier may be larger.
            Stored::No(FillRefusal::TooLarge) if !alone => Ok(()),
            Stored::No(why) => Err(why),
            Stored::NotAfter(_) => Err(FillRefusal::TagInvalidated),
        }
    }

    fn refuse(&self, job: &Job, key: &[u8], why: FillRefusal) -> FillRefusal {
        self.refused(&job.view, key, why);
        why
    }

    /// Tells the other nodes of a value that is stored.
    async fn announce_written(self: &Arc<Self>, key: &ToWrite, open: Open, value: Option<AnyValue>) -> Done {
        open.boarding.finish(Outcome::Cancelled).await;
        let remote = match &self.remote {
            Some(_) => Acknowledgement::Given,
            None => Acknowledgement::NotNeeded,
        };
        let bus = match &key.order {
            Some(order) => self.spread(order).await,
            None => Acknowledgement::NotNeeded,
        };
        Done { value, receipt: Receipt { remote, bus }, refused: None }
    }

    /// Forgets the key everywhere: whatever other writes and loads do, none that began before now is stored.
    async fn give_up_write(self: &Arc<Self>, key: &ToWrite, open: Option<Open>) -> Receipt {
        let receipt = match &key.order {
            Some(order) => self.invalidate(order.clone()).await,
            None => Receipt::LOCAL,
        };
        if let Some(mut open) = open {
            // The invalidation has voided the lease, or will.
            open.boarding.spent();
            open.boarding.finish(Outcome::Cancelled).await;
        }
        receipt
    }
}
