//! A view: one family of values of a cache, with its keys, rules and tags.

mod ask;
mod builder;
mod forget;
mod within;

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::budget::Urgency;
use crate::cache::Cache;
use crate::clock::Tick;
use crate::counters::{Count, Counts};
use crate::engine::{Engine, Look, Served, Source, ViewShared, itself};
use crate::error::{Failure, LoadError};
use crate::flight::Begun;
use crate::key::{CacheKey, KeyWriter, MAX_KEY_BYTES};
use crate::lineage::Lineage;
use crate::load::{Answer, Boarding, ErasedLoader, Job, Seed};
use crate::loaded::{LoadContext, Loaded};
use crate::memory::{AnyValue, Entry, KeyRef};
use crate::tag::{Tag, TagId};
use crate::waits::Waits;

pub(crate) use ask::{Asked, Demand};
pub use builder::ViewBuilder;
pub use within::Within;

pub(crate) type TagsOf<K> = Arc<dyn Fn(&K) -> Vec<Tag> + Send + Sync>;
pub(crate) type PositionOf<K> = Arc<dyn Fn(&K) -> Option<u64> + Send + Sync>;

/// One family of values: a name, a type of keys, a type of values, and how long they live.
///
/// A cheap handle; clones share everything. Made by [`Cache::view`].
pub struct View<K, V> {
    pub(crate) engine: Arc<Engine>,
    pub(crate) shared: Arc<ViewShared>,
    pub(crate) base: [TagId; 2],
    pub(crate) tags_of: Option<TagsOf<K>>,
    required: Option<PositionOf<K>>,
    /// The cache lives as long as any handle.
    cache: Cache,
    types: PhantomData<fn(&K) -> V>,
}

impl<K, V> Clone for View<K, V> {
    fn clone(&self) -> Self {
        Self {
            engine: Arc::clone(&self.engine),
            shared: Arc::clone(&self.shared),
            base: self.base,
            tags_of: self.tags_of.clone(),
            required: self.required.clone(),
            cache: self.cache.clone(),
            types: PhantomData,
        }
    }
}

impl<K, V> View<K, V> {
    /// A handle to a view that is built already.
    pub(crate) fn attach(cache: &Cache, shared: &Arc<ViewShared>, base: [TagId; 2], tags_of: &TagsOf<K>) -> Self {
        Self {
            engine: Arc::clone(&cache.engine),
            shared: Arc::clone(shared),
            base,
            tags_of: Some(Arc::clone(tags_of)),
            required: None,
            cache: cache.clone(),
            types: PhantomData,
        }
    }
}

impl<K, V> fmt::Debug for View<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "View({})", self.shared.name)
    }
}

/// A value, and where a read got it from.
#[derive(Debug)]
pub struct Found<V> {
    /// The value; `None`: the source has none.
    pub value: Option<Arc<V>>,
    /// The tier.
    pub source: Source,
    /// Whether it is past its life or was invalidated softly: a load replaces it.
    pub stale: bool,
    /// Time since its load began.
    pub age: Duration,
    /// What the load behind this read has waited for.
    pub waits: Waits,
}

impl<V> Clone for Found<V> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), ..*self }
    }
}

thread_local! {
    static KEY: std::cell::RefCell<KeyWriter> = std::cell::RefCell::default();
}

/// Encodes a key without allocating.
#[inline]
fn with_key<K: CacheKey, T>(key: &K, then: impl FnOnce(&[u8]) -> T) -> T {
    if let Some(whole) = key.whole() {
        return then(whole);
    }
    KEY.with_borrow_mut(|writer| {
        writer.clear();
        key.write(writer);
        then(writer.as_bytes())
    })
}

impl<K: CacheKey, V: Send + Sync + 'static> View<K, V> {
    /// The view's name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The cache that this view belongs to.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// What happened in this view so far.
    pub fn counts(&self) -> Counts {
        self.engine.count_wasted();
        self.shared.counters.read()
    }

    /// The value, if memory or the remote tier has a fresh one. Never loads. A few hundred nanoseconds where memory has it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache = tierkeep_cache::Cache::builder("shop").build()?;
    /// let prices = cache.view::<u64, String>("prices").build()?;
    /// assert_eq!(prices.get(&7).await, None);
    /// # Ok(()) }
    /// ```
    pub async fn get(&self, key: &K) -> Option<Arc<V>> {
        if let Some(entry) = self.fresh(key) {
            return owned_value(entry.value);
        }
        Box::pin(self.lookup(key)).await.and_then(|served| value_of(served.value.as_ref()))
    }

    /// Whether a tier has a fresh value, or [`get`](Self::get) would find none. Knowing that there is none counts as no.
    pub async fn exists(&self, key: &K) -> bool {
        self.get(key).await.is_some()
    }

    /// What memory holds of a key, fresh or stale, without counting it as a read and without asking anybody. Nothing while
    /// memory is not served, because the bus is silent.
    pub fn peek(&self, key: &K) -> Option<Found<V>> {
        let now = self.engine.clock.now();
        if !self.engine.lease.serves(now) {
            return None;
        }
        let entry = with_key(key, |bytes| self.engine.coherence.memory().peek(self.entry_key(bytes)))?;
        let standing = self.engine.coherence.standing(&self.shared.base, &entry);
        let look = match standing {
            crate::stamp::Standing::Void => Look::Miss,
            _ => self.engine.judge(&self.shared, entry, standing, now),
        };
        match look {
            Look::Fresh(entry) => Some(self.found(Engine::served(&self.shared, &entry, Source::Memory, false))),
            Look::Stale(entry) => Some(self.found(Engine::served(&self.shared, &entry, Source::Memory, true))),
            Look::Miss => None,
        }
    }

    /// A fresh value in memory, read as by [`fetch`](Self::fetch) but without waiting for anything: for a path that has no
    /// future to wait in. `None` where there is more to do than to look: memory has no fresh value, or has one that is due
    /// for a refresh or an audit; nothing is counted then, and `fetch` does the rest. A few hundred nanoseconds.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache = tierkeep_cache::Cache::builder("shop").build()?;
    /// let prices = cache.view::<u64, String>("prices").build()?;
    /// assert!(prices.at_once(&7).is_none());
    /// prices.get_or_load(&7, async |_| Ok::<_, std::io::Error>("9.90".to_owned())).await?;
    /// assert_eq!(prices.at_once(&7).and_then(|found| found.value).as_deref().map(String::as_str), Some("9.90"));
    /// # Ok(()) }
    /// ```
    pub fn at_once(&self, key: &K) -> Option<Found<V>> {
        let entry = self.fresh_where(key, |entry, now| !self.needs_tending(entry, now))?;
        Some(self.found(Engine::served(&self.shared, &entry, Source::Memory, false)))
    }

    /// What [`at_once`](Self::at_once) finds, without where it comes from and how old it is, in a quarter less time.
    /// `None` also where it is known that there is no value.
    #[inline]
    pub fn value_at_once(&self, key: &K) -> Option<Arc<V>> {
        let entry = self.fresh_where(key, |entry, now| !self.needs_tending(entry, now))?;
        value_of(entry.value.as_ref())
    }

    /// The value; loaded if no tier has it. However many ask at once, one load runs on this node, and with a remote
    /// tier one in the cluster.
    ///
    /// The loader runs in a task of its own: dropping this future does not end it, and its value is stored.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache = tierkeep_cache::Cache::builder("shop").build()?;
    /// let prices = cache.view::<u64, String>("prices").build()?;
    ///
    /// let price = prices.get_or_load(&7, async |_| Ok::<_, std::io::Error>("9.90".to_owned())).await?;
    /// assert_eq!(*price, "9.90");
    /// prices.invalidate(&7).await.complete()?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`LoadError`]: the loader failed, timed out or panicked, and there was no stale value that the policy allows;
    /// too many loads are waiting; the key is too long; or, [`LoadError::Absent`], there is no such value.
    pub async fn get_or_load<R, E, F, Fut>(&self, key: &K, loader: F) -> Result<Arc<V>, LoadError<E>>
    where
        F: FnOnce(LoadContext<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        R: Into<Loaded<V>>,
        E: fmt::Display + Send + Sync + 'static,
    {
        self.find_or_load(key, loader).await?.ok_or(LoadError::Absent)
    }

    /// As [`get_or_load`](Self::get_or_load); `None` where the loader says, or is known to have said, that there is no value.
    ///
    /// # Errors
    /// As [`get_or_load`](Self::get_or_load), [`LoadError::Absent`] apart.
    pub async fn find_or_load<R, E, F, Fut>(&self, key: &K, loader: F) -> Result<Option<Arc<V>>, LoadError<E>>
    where
        F: FnOnce(LoadContext<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        R: Into<Loaded<V>>,
        E: fmt::Display + Send + Sync + 'static,
    {
        if let Some(entry) = self.fresh_where(key, |entry, now| !self.needs_tending(entry, now)) {
            return Ok(owned_value(entry.value));
        }
        let asked = Asked { urgency: Urgency::Reader, lineage: Lineage::default(), demand: Demand::StaleWillDo };
        let served = Box::pin(self.ask(key, asked, erase(loader))).await?;
        Ok(value_of(served.value.as_ref()))
    }

    /// As [`find_or_load`](Self::find_or_load), and tells where the value came from and how old it is.
    ///
    /// # Errors
    /// As [`find_or_load`](Self::find_or_load).
    pub async fn fetch<R, E, F, Fut>(&self, key: &K, loader: F) -> Result<Found<V>, LoadError<E>>
    where
        F: FnOnce(LoadContext<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        R: Into<Loaded<V>>,
        E: fmt::Display + Send + Sync + 'static,
    {
        if let Some(found) = self.at_once(key) {
            return Ok(found);
        }
        let asked = Asked { urgency: Urgency::Reader, lineage: Lineage::default(), demand: Demand::StaleWillDo };
        let served = Box::pin(self.ask(key, asked, erase(loader))).await?;
        Ok(self.found(served))
    }

    /// This view for a loader of another value: what is read through it becomes a dependency of that value, and an
    /// invalidation of either reaches it. Stale values are not good enough to build on.
    ///
    /// The view must be [`tracked`](ViewBuilder::tracked); a value that reads from another view is not stored.
    pub fn within<'a, V2>(&'a self, context: &'a LoadContext<V2>) -> Within<'a, K, V, V2> {
        Within { view: self, context }
    }

    /// The tag that the value under a key carries if the view is [`tracked`](ViewBuilder::tracked).
    pub fn tag_of(&self, key: &K) -> Tag {
        itself(&self.shared.name, &KeyWriter::encode(key))
    }

    #[inline]
    pub(crate) fn entry_key<'a>(&self, bytes: &'a [u8]) -> KeyRef<'a> {
        KeyRef { view: self.shared.number, bytes }
    }

    #[inline]
    fn required(&self, key: &K) -> Option<u64> {
        self.required.as_ref().and_then(|required| required(key))
    }

    /// A fresh entry in memory, counted.
    #[inline]
    fn fresh(&self, key: &K) -> Option<Entry> {
        self.fresh_where(key, |_, _| true)
    }

    #[inline]
    pub(crate) fn fresh_where(&self, key: &K, take: impl FnOnce(&Entry, Tick) -> bool) -> Option<Entry> {
        let now = self.engine.clock.now();
        let required = self.required(key);
        let covers = |position: Option<u64>| required.is_none_or(|required| position >= Some(required));
        let entry = with_key(key, |bytes| {
            let key = self.entry_key(bytes);
            let Look::Fresh(entry) = self.engine.look(&self.shared, key, now, covers) else { return None };
            if !take(&entry, now) {
                return None;
            }
            self.engine.touch(&self.shared, key, &entry, now);
            Some(entry)
        })?;
        self.hit(&entry);
        Some(entry)
    }

    /// Counts a hit on a fresh entry.
    #[inline]
    fn hit(&self, entry: &Entry) {
        self.shared.count(Count::MemoryHit);
        if entry.value.is_none() {
            self.shared.count(Count::NegativeHit);
        }
        if let Some(pulse) = entry.pulse() {
            pulse.read();
        }
    }

    /// A fresh entry in memory for a warm-up, which is no reader.
    pub(crate) fn held(&self, key: &K) -> Option<Entry> {
        let now = self.engine.clock.now();
        let required = self.required(key);
        let covers = |position: Option<u64>| required.is_none_or(|required| position >= Some(required));
        match with_key(key, |bytes| self.engine.look(&self.shared, self.entry_key(bytes), now, covers)) {
            Look::Fresh(entry) => Some(entry),
            _ => None,
        }
    }

    /// Whether a hit is due for a refresh, or may be for an audit.
    #[inline]
    fn needs_tending(&self, entry: &Entry, now: Tick) -> bool {
        let due = now >= entry.refresh_at() && entry.pulse().is_none_or(|pulse| pulse.asks(now));
        due || self.shared.audit.is_some()
    }

    pub(crate) fn encoded<E>(&self, key: &K) -> Result<Box<[u8]>, LoadError<E>> {
        let bytes = KeyWriter::encode(key);
        if bytes.len() > MAX_KEY_BYTES {
            self.shared.count(Count::KeyTooLong);
            return Err(LoadError::KeyTooLong(bytes.len()));
        }
        Ok(bytes)
    }

    pub(crate) fn job(&self, key: &K, urgency: Urgency, lineage: Lineage) -> Job {
        let (tags, own_tags) = self.tags_for(key);
        Job {
            view: Arc::clone(&self.shared),
            tags,
            own_tags,
            required: self.required(key),
            lineage,
            urgency,
            younger_than_percent: None,
            beat: None,
        }
    }

    /// All tags of a key, sorted, and those that not everything in the view carries.
    fn tags_for(&self, key: &K) -> (Arc<[TagId]>, Arc<[TagId]>) {
        if !self.shared.tracked && self.tags_of.is_none() {
            return (Arc::clone(&self.shared.plain_tags), Arc::clone(&self.shared.no_tags));
        }
        let mut tags = Vec::with_capacity(8);
        if self.shared.tracked {
            tags.push(self.tag_of(key).id());
        }
        if let Some(tags_of) = &self.tags_of {
            tags.extend(tags_of(key).iter().map(Tag::id));
        }
        let own_tags: Arc<[TagId]> = tags.as_slice().into();
        tags.extend(self.base);
        tags.sort_unstable();
        tags.dedup();
        (tags.into(), own_tags)
    }

    pub(crate) fn found(&self, served: Served) -> Found<V> {
        let age = self.engine.clock.now().since(served.loaded_at);
        let Served { source, stale, waits, .. } = served;
        Found { value: value_of(served.value.as_ref()), source, stale, age, waits }
    }

    pub(crate) async fn lookup(&self, key: &K) -> Option<Served> {
        let bytes = self.encoded::<String>(key).ok()?;
        let job = self.job(key, Urgency::Reader, Lineage::default());
        let nothing = || {
            self.shared.count(Count::Miss);
            None
        };
        if self.engine.remote_for(&job, &bytes).is_none() {
            return nothing();
        }
        loop {
            let (flight, joined) = match self.engine.board(&job, self.entry_key(&bytes)) {
                Begun::Entry(entry) => return Some(Engine::served(&self.shared, &entry, Source::Memory, false)),
                Begun::Wait { flight, since } => (flight, self.engine.joined(since)),
                Begun::Lead(flight) => {
                    let boarding = Boarding::new(Arc::clone(&self.engine), Arc::clone(&flight));
                    boarding.fly(job.clone(), None, None).await;
                    (flight, self.engine.joined(0))
                }
            };
            let will_do = |served: &Served| self.engine.will_do(&job, &flight, served, joined);
            match flight.outcome.outcome(|served| served.stale || will_do(served)).await {
                crate::engine::Outcome::Served(served) => {
                    if served.stale {
                        return nothing();
                    }
                    if !will_do(&served) {
                        continue;
                    }
                    if served.source == Source::Remote {
                        self.shared.count(Count::RemoteHit);
                    }
                    return Some(served);
                }
                _ => return nothing(),
            }
        }
    }
}

/// The value itself, without another reference to it.
fn owned_value<V: Send + Sync + 'static>(value: Option<AnyValue>) -> Option<Arc<V>> {
    value.map(|value| value.downcast::<V>().expect("a view holds values of its own type only"))
}

pub(crate) fn value_of<V: Send + Sync + 'static>(value: Option<&AnyValue>) -> Option<Arc<V>> {
    value.map(|value| Arc::clone(value).downcast::<V>().expect("a view holds values of its own type only"))
}

/// Forgets a loader's types.
pub(crate) fn erase<'a, V, R, E, F, Fut>(loader: F) -> ErasedLoader<'a>
where
    V: Send + Sync + 'static,
    F: FnOnce(LoadContext<V>) -> Fut + Send + 'a,
    Fut: Future<Output = Result<R, E>> + Send + 'a,
    R: Into<Loaded<V>>,
    E: fmt::Display + Send + Sync + 'static,
{
    Box::new(move |seed: Seed| {
        let context = LoadContext::new(value_of(seed.stale.as_ref()), seed.minimum_version, seed.lineage);
        let future = loader(context.clone());
        Box::pin(async move {
            let loaded: Loaded<V> = future.await.map_err(Failure::of)?.into();
            Ok(Answer { content: loaded.content.erase(), notes: context.conclude(loaded.notes) })
        })
    })
}
