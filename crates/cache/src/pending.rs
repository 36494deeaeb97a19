//! Invalidations that wait for a database transaction to commit.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::budget::Urgency;
use crate::bus::Target;
use crate::cache::Cache;
use crate::counters::Count;
use crate::engine::{Engine, Served, Source, itself};
use crate::error::LoadError;
use crate::invalidation::{Order, Receipt};
use crate::key::{CacheKey, KeyWriter, MAX_KEY_BYTES};
use crate::lineage::Lineage;
use crate::loaded::{Content, Loaded};
use crate::remote::RemoteKey;
use crate::stamp::Severity;
use crate::tag::{Tag, TagId};
use crate::view::{View, value_of};

/// What a database transaction changes, as far as the cache is concerned; made by [`Cache::pending`].
///
/// Nothing reaches the cache while the transaction is open: an invalidation before the commit lets the next reader
/// store the old value again, and one for a transaction that is rolled back is for nothing. So keys and tags are
/// collected here, [`committed`](Self::committed) invalidates them, and dropping this, as an early return does, forgets
/// them. What the transaction reads through it sees its own changes and leaves nothing of them in the cache.
///
/// The cache knows no SQL: begin, commit and savepoints of the database are the caller's, beside those here. A process
/// that dies between the commit and the invalidation invalidates nothing; where that matters, write what changed into
/// the database in the same transaction (an outbox), and let a relay invalidate it, too.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # struct Transaction; impl Transaction {
/// #     async fn execute(&self, _: &str) -> Result<(), String> { Ok(()) }
/// #     async fn price(&self) -> Result<u64, String> { Ok(120) }
/// #     async fn commit(self) -> Result<(), String> { Ok(()) }
/// # }
/// let cache = tierkeep_cache::Cache::builder("shop").build()?;
/// let prices = cache.view::<u64, u64>("prices").build()?;
/// # let transaction = Transaction;
/// let pending = cache.pending();
///
/// transaction.execute("UPDATE prices SET price = 120 WHERE id = 7").await?;
/// pending.touch(&prices, &7);
/// assert_eq!(*pending.get_or_load(&prices, &7, || transaction.price()).await?, 120);
///
/// transaction.commit().await?;
/// pending.committed().await.complete()?;
/// # Ok(()) }
/// ```
#[must_use = "dropped without `committed` it forgets what was touched"]
pub struct Pending {
    cache: Cache,
    touched: Mutex<Touched>,
}

#[derive(Default)]
struct Touched {
    order: Vec<Target>,
    all: HashSet<Target>,
}

/// A point to which [`Pending::rollback_to`] goes back; made by [`Pending::savepoint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Savepoint(usize);

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pending({} touched)", self.lock().order.len())
    }
}

impl Cache {
    /// Begins to collect what a database transaction changes.
    pub fn pending(&self) -> Pending {
        Pending { cache: self.clone(), touched: Mutex::default() }
    }
}

impl Pending {
    /// The transaction changes, or is about to change, what this key is loaded from.
    ///
    /// # Panics
    /// The view belongs to another cache.
    pub fn touch<K: CacheKey, V: Send + Sync + 'static>(&self, view: &View<K, V>, key: &K) {
        self.must_be_ours(view);
        let bytes = KeyWriter::encode(key);
        if bytes.len() > MAX_KEY_BYTES {
            // No tier can hold it.
            return view.shared.count(Count::KeyTooLong);
        }
        let tracked = view.shared.tracked.then(|| Target::Tag(itself(&view.shared.name, &bytes).id()));
        self.lock().add(std::iter::once(Target::Key(view.shared.remote_key(&bytes))).chain(tracked));
    }

    /// The transaction changes what all values of the view are loaded from.
    ///
    /// # Panics
    /// The view belongs to another cache.
    pub fn touch_view<K, V>(&self, view: &View<K, V>) {
        self.must_be_ours(view);
        self.lock().add([Target::Tag(view.base[1])]);
    }

    /// The transaction changes what all values with this tag are loaded from.
    pub fn touch_tag(&self, tag: &Tag) {
        self.lock().add([Target::Tag(tag.id())]);
    }

    /// Remembers what was touched so far, as the database does with `SAVEPOINT`.
    pub fn savepoint(&self) -> Savepoint {
        Savepoint(self.lock().order.len())
    }

    /// Forgets what was touched since, as the database does with `ROLLBACK TO`. The savepoint remains; those made
    /// after it are of no use any more.
    pub fn rollback_to(&self, savepoint: Savepoint) {
        let mut touched = self.lock();
        let at = savepoint.0.min(touched.order.len());
        for target in touched.order.split_off(at) {
            touched.all.remove(&target);
        }
    }

    /// Invalidates what was touched, in all tiers and on all nodes. Call it once the commit has succeeded, and also
    /// where its outcome is unknown: to forget too much is safe.
    ///
    /// Once polled, it runs to its end whatever becomes of the caller. Costs what
    /// [`View::invalidate_many`](crate::View::invalidate_many) costs.
    pub async fn committed(self) -> Receipt {
        let targets = std::mem::take(&mut *self.lock()).order;
        if targets.is_empty() {
            return Receipt::LOCAL;
        }
        self.cache.engine.invalidate(Order { targets, severity: Severity::Hard, hold: None }).await
    }

    /// A value as the transaction sees it: from the cache where it has touched neither the key nor a tag of it, else by
    /// the loader, which reads in the transaction. What the loader gives is never stored, because nobody else may see
    /// it yet; so it runs here, and may borrow the transaction.
    ///
    /// # Errors
    /// [`LoadError::Loader`] and [`LoadError::Absent`].
    ///
    /// # Panics
    /// The view belongs to another cache.
    pub async fn get_or_load<K, V, R, E, F>(
        &self,
        view: &View<K, V>,
        key: &K,
        loader: impl FnOnce() -> F,
    ) -> Result<Arc<V>, LoadError<E>>
    where
        K: CacheKey,
        V: Send + Sync + 'static,
        F: Future<Output = Result<R, E>>,
        R: Into<Loaded<V>>,
    {
        self.find_or_load(view, key, loader).await?.ok_or(LoadError::Absent)
    }

    /// As [`get_or_load`](Self::get_or_load); `None` where there is no value.
    ///
    /// # Errors
    /// [`LoadError::Loader`].
    ///
    /// # Panics
    /// The view belongs to another cache.
    pub async fn find_or_load<K, V, R, E, F>(
        &self,
        view: &View<K, V>,
        key: &K,
        loader: impl FnOnce() -> F,
    ) -> Result<Option<Arc<V>>, LoadError<E>>
    where
        K: CacheKey,
        V: Send + Sync + 'static,
        F: Future<Output = Result<R, E>>,
        R: Into<Loaded<V>>,
    {
        self.must_be_ours(view);
        if let Some(served) = self.cached(view, key).await {
            return Ok(value_of(served.value.as_ref()));
        }
        view.shared.count(Count::Load);
        let loaded: Loaded<V> = loader().await.map_err(|error| LoadError::Loader(Arc::new(error)))?.into();
        match loaded.content {
            Content::Value(value) => Ok(Some(Arc::new(value))),
            Content::Absent => Ok(None),
            Content::NotModified => Err(LoadError::NotModifiedWithoutValue),
        }
    }

    /// What the cache has, unless the transaction has changed it.
    async fn cached<K: CacheKey, V: Send + Sync + 'static>(&self, view: &View<K, V>, key: &K) -> Option<Served> {
        let bytes = KeyWriter::encode(key);
        let job = view.job(key, Urgency::Reader, Lineage::default());
        let name = Target::Key(RemoteKey::new(&view.shared.name, &bytes));
        if self.lock().all.contains(&name) || self.touches(&job.tags) {
            return None;
        }
        let served = match view.fresh_where(key, |_, _| true) {
            Some(entry) => Engine::served(&view.shared, &entry, Source::Memory, false),
            None => Box::pin(view.lookup(key)).await?,
        };
        // Tags that only the value knows; and a key or tag that was touched meanwhile.
        let touched = self.lock().all.contains(&name) || self.touches(&served.tags);
        (!touched).then_some(served)
    }

    fn touches(&self, tags: &[TagId]) -> bool {
        let touched = self.lock();
        !touched.all.is_empty() && tags.iter().any(|tag| touched.all.contains(&Target::Tag(*tag)))
    }

    fn must_be_ours<K, V>(&self, view: &View<K, V>) {
        assert!(Arc::ptr_eq(&self.cache.engine, &view.engine), "a view of another cache");
    }

    fn lock(&self) -> MutexGuard<'_, Touched> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Touched {
    fn add(&mut self, targets: impl IntoIterator<Item = Target>) {
        for target in targets {
            if self.all.insert(target.clone()) {
                self.order.push(target);
            }
        }
    }
}
