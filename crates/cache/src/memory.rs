//! The first tier: bounded memory of this process. The one module that knows the engine.

use std::any::Any;
use std::hash::{Hash, Hasher};
// What the engine calls under its own lock takes the standard ones: there no scheduler may go on with another thread.
use std::sync::atomic::{AtomicBool, AtomicU64 as Counter, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use quick_cache::Equivalent;

use crate::cells::Mark;
use crate::clock::Tick;
use crate::pulse::Pulse;
use crate::sync::AtomicU64;

/// A value of any view, shared and never cloned.
pub(crate) type AnyValue = Arc<dyn Any + Send + Sync>;

/// The number of a view within one cache.
pub(crate) type ViewNumber = u32;

/// Bytes that the engine and the allocator spend on an entry besides what is counted field by field:
/// the slot, its share of the hash table and of the history of evicted keys, and the headers of four
/// allocations. Measured by `benches/overhead.rs`.
const ENGINE_BYTES: usize = 128;

/// The name of an entry within this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryKey {
    pub(crate) view: ViewNumber,
    pub(crate) bytes: Box<[u8]>,
}

/// The same, borrowed: a hit allocates nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyRef<'a> {
    pub(crate) view: ViewNumber,
    pub(crate) bytes: &'a [u8],
}

impl EntryKey {
    pub(crate) fn borrow(&self) -> KeyRef<'_> {
        KeyRef { view: self.view, bytes: &self.bytes }
    }
}

impl KeyRef<'_> {
    pub(crate) fn to_owned(self) -> EntryKey {
        EntryKey { view: self.view, bytes: self.bytes.into() }
    }
}

impl Hash for KeyRef<'_> {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.bytes);
        state.write_u32(self.view);
    }
}

impl Hash for EntryKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.borrow().hash(state);
    }
}

impl Equivalent<EntryKey> for KeyRef<'_> {
    #[inline]
    fn equivalent(&self, key: &EntryKey) -> bool {
        self.view == key.view && *self.bytes == *key.bytes
    }
}

/// What memory holds of one key. It lies in the engine's own table and is copied out whole: a hit touches the
/// table and the value's count of references, as a bare engine's would. Kept to 64 bytes for the same reason.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// `None`: the source has no such value.
    pub(crate) value: Option<AnyValue>,
    /// What few entries have.
    pub(crate) details: Option<Arc<Details>>,
    /// The view's era when its load began.
    pub(crate) era: u64,
    /// When its load began, by this node's clock; earlier for a value that came aged from the remote tier.
    pub(crate) loaded_at: Tick,
    life: Life,
    /// Bytes of the value, as its view weighs them.
    bytes: u32,
    /// The number of gaps noticed when its load began; the era tells them, too, but not from other things.
    pub(crate) gap: u32,
    /// Whether its key was invalidated softly.
    pub(crate) soft: bool,
    unread: Unread,
}

/// Whether a warm-up brought an entry that nobody has read yet.
#[derive(Debug)]
struct Unread(AtomicBool);

impl Clone for Unread {
    #[inline]
    fn clone(&self) -> Self {
        Self(AtomicBool::new(self.0.load(Ordering::Relaxed)))
    }
}

/// The moments of a life, in milliseconds from its beginning: a life of over 49 days ends then.
#[derive(Clone, Copy, Debug)]
struct Life {
    refresh: u32,
    fresh: u32,
    kept: u32,
}

/// What an entry is made of.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) value: Option<AnyValue>,
    pub(crate) bytes: usize,
    pub(crate) details: Option<Arc<Details>>,
    pub(crate) times: Times,
    /// Whether a warm-up brings it.
    pub(crate) warmed: bool,
}

/// The moments of an entry's life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) loaded_at: Tick,
    /// From here on it is worth a refresh.
    pub(crate) refresh_at: Tick,
    /// Until here it is fresh.
    pub(crate) fresh_until: Tick,
    /// Until here it may be served stale, and is kept.
    pub(crate) kept_until: Tick,
}

/// The tags of an entry, and what the source said of it.
#[derive(Debug)]
pub(crate) struct Details {
    /// What it depends on, as that stood when its load began.
    pub(crate) marks: Box<[Mark]>,
    /// The last invalidation of a tag when its load began.
    pub(crate) born: u64,
    /// The last rule it was compared with.
    pub(crate) ruled: AtomicU64,
    /// The source's version.
    pub(crate) version: Option<u64>,
    /// The source's position.
    pub(crate) position: Option<u64>,
    /// In views with adaptive refresh.
    pub(crate) pulse: Option<Box<Pulse>>,
}

impl Entry {
    pub(crate) fn new(parts: Parts, era: u64, gap: u64, soft: bool) -> Self {
        let Times { loaded_at, refresh_at, fresh_until, kept_until } = parts.times;
        let millis = |until: Tick| u32::try_from(until.since(loaded_at).as_millis()).unwrap_or(u32::MAX);
        Self {
            value: parts.value,
            details: parts.details,
            era,
            loaded_at,
            life: Life { refresh: millis(refresh_at), fresh: millis(fresh_until), kept: millis(kept_until) },
            bytes: u32::try_from(parts.bytes).unwrap_or(u32::MAX),
            gap: gap as u32,
            soft,
            unread: Unread(AtomicBool::new(parts.warmed)),
        }
    }

    /// A value that lives for as long as whoever holds it says.
    #[cfg(feature = "write-back")]
    pub(crate) fn pinned(value: Option<AnyValue>, now: Tick) -> Self {
        let times =
            Times { loaded_at: now, refresh_at: Tick::NEVER, fresh_until: Tick::NEVER, kept_until: Tick::NEVER };
        Self::new(Parts { value, bytes: 0, details: None, times, warmed: false }, 0, 0, false)
    }

    /// Whether a warm-up brought it, and nobody has read it since.
    #[inline]
    pub(crate) fn is_unread(&self) -> bool {
        self.unread.0.load(Ordering::Relaxed)
    }

    /// From here on it is worth a refresh.
    #[inline]
    pub(crate) fn refresh_at(&self) -> Tick {
        self.at(self.life.refresh)
    }

    /// Until here it is fresh.
    #[inline]
    pub(crate) fn fresh_until(&self) -> Tick {
        self.at(self.life.fresh)
    }

    /// Until here it may be served stale, and is kept.
    pub(crate) fn kept_until(&self) -> Tick {
        self.at(self.life.kept)
    }

    #[inline]
    fn at(&self, millis: u32) -> Tick {
        Tick::from_millis(self.loaded_at.as_millis() + u64::from(millis))
    }

    pub(crate) fn marks(&self) -> &[Mark] {
        self.details.as_ref().map_or(&[], |details| &details.marks)
    }

    pub(crate) fn position(&self) -> Option<u64> {
        self.details.as_ref()?.position
    }

    pub(crate) fn version(&self) -> Option<u64> {
        self.details.as_ref()?.version
    }

    #[inline]
    pub(crate) fn pulse(&self) -> Option<&Pulse> {
        self.details.as_ref()?.pulse.as_deref()
    }

    fn weight(&self, key: &EntryKey) -> u64 {
        let pulse = self.pulse().map_or(0, |_| size_of::<Pulse>() + 16);
        let details =
            self.details.as_ref().map_or(0, |details| size_of::<Details>() + 32 + size_of_val(&*details.marks)) + pulse;
        let fixed = ENGINE_BYTES + size_of::<Entry>() + size_of::<EntryKey>();
        (fixed + key.bytes.len() + details + self.bytes as usize) as u64
    }
}

#[derive(Clone, Debug)]
struct Weigher;

impl quick_cache::Weighter<EntryKey, Entry> for Weigher {
    fn weight(&self, key: &EntryKey, entry: &Entry) -> u64 {
        entry.weight(key)
    }
}

/// Counts what leaves; the engine calls it under its own lock, so it does nothing else.
#[derive(Clone, Debug, Default)]
struct Gone(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    evictions: Counter,
    /// By the number of the view: what warm-ups brought in vain, until somebody asks.
    wasted: Mutex<Vec<u64>>,
}

impl Gone {
    /// An entry leaves: in vain, if a warm-up brought it and nobody has read it.
    fn see_off(&self, view: ViewNumber, entry: &Entry) {
        if entry.is_unread() {
            let mut wasted = self.0.wasted.lock().unwrap_or_else(PoisonError::into_inner);
            let place = view as usize;
            if wasted.len() <= place {
                wasted.resize(place + 1, 0);
            }
            wasted[place] += 1;
        }
    }
}

impl quick_cache::Lifecycle<EntryKey, Entry> for Gone {
    // Dropped by the engine after its lock is released, so a value's own destructor cannot deadlock.
    type RequestState = Vec<Entry>;

    fn on_evict(&self, state: &mut Self::RequestState, key: EntryKey, entry: Entry) {
        self.0.evictions.fetch_add(1, Ordering::Relaxed);
        self.see_off(key.view, &entry);
        state.push(entry);
    }
}

type Engine = quick_cache::sync::Cache<EntryKey, Entry, Weigher, foldhash::fast::FixedState, Gone>;

/// Entries by key, at most so many bytes of them.
#[derive(Debug)]
pub(crate) struct Memory {
    engine: Engine,
    gone: Gone,
}

impl Memory {
    /// Room for `capacity` bytes; `seed` makes the placement of keys unpredictable, or repeatable.
    pub(crate) fn new(capacity: u64, seed: u64) -> Self {
        let gone = Gone::default();
        let items = (capacity / 512).clamp(64, 16 << 20) as usize;
        let hasher = foldhash::fast::FixedState::with_seed(seed);
        let engine = Engine::with(items, capacity, Weigher, hasher, gone.clone());
        Self { engine, gone }
    }

    #[inline]
    pub(crate) fn get(&self, key: KeyRef<'_>) -> Option<Entry> {
        self.engine.get(&key)
    }

    /// As `get`, without the engine learning of it.
    pub(crate) fn peek(&self, key: KeyRef<'_>) -> Option<Entry> {
        self.engine.peek(&key)
    }

    /// Stores an entry in place of any other of this key. One that is too large for a shard is not kept,
    /// and the older one is gone all the same.
    pub(crate) fn insert(&self, key: EntryKey, entry: Entry) -> bool {
        if entry.weight(&key) > self.engine.shard_capacity() {
            self.remove(key.borrow());
            return false;
        }
        self.engine.insert(key, entry);
        true
    }

    pub(crate) fn remove(&self, key: KeyRef<'_>) -> Option<Entry> {
        let (_, entry) = self.engine.remove(&key)?;
        self.gone.see_off(key.view, &entry);
        Some(entry)
    }

    /// Notes that an entry which a warm-up brought is read, and tells whether nobody had noted that before.
    #[cold]
    pub(crate) fn first_read(&self, key: KeyRef<'_>) -> bool {
        let mut first = false;
        // Removes nothing: it is how the engine shows an entry that it holds.
        self.engine.remove_if(&key, |entry| {
            first = entry.unread.0.swap(false, Ordering::Relaxed);
            false
        });
        first
    }

    /// Ages an entry in place.
    pub(crate) fn soften(&self, key: KeyRef<'_>) -> Option<Entry> {
        let mut entry = self.peek(key)?;
        entry.soft = true;
        if entry.is_unread() {
            // The copy stays unread, and the one that leaves is not a loss.
            *entry.unread.0.get_mut() = self.first_read(key);
        }
        self.insert(key.to_owned(), entry.clone());
        Some(entry)
    }

    /// How many entries warm-ups brought in vain, by the number of their view, since this was last asked.
    pub(crate) fn take_wasted(&self) -> Vec<u64> {
        std::mem::take(&mut *self.gone.0.wasted.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps the entries for which `keep` says so. One shard at a time is locked meanwhile.
    pub(crate) fn retain(&self, keep: impl Fn(&EntryKey, &Entry) -> bool) {
        self.engine.retain(|key, entry| {
            let keep = keep(key, entry);
            if !keep {
                self.gone.see_off(key.view, entry);
            }
            keep
        });
    }

    /// Drops everything.
    pub(crate) fn clear(&self) {
        self.engine.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.engine.len()
    }

    /// Bytes of all entries, overhead included.
    pub(crate) fn weight(&self) -> u64 {
        self.engine.weight()
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.engine.capacity()
    }

    pub(crate) fn evictions(&self) -> u64 {
        self.gone.0.evictions.load(Ordering::Relaxed)
    }
}
