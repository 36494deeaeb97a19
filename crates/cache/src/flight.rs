//! Loads in flight, and the one rule that makes this cache what it is: **no load that began before an
//! invalidation is stored after it**.
//!
//! A load registers here before it reads anything, the remote tier included. An invalidation of its key
//! poisons it, under the lock that also guards the store; it never waits for the load. What reaches memory
//! goes through [`Coherence::fill`] and nothing else, whether it was loaded for a reader, in the
//! background, for a batch, for a warm-up, or copied from the remote tier.

use std::collections::HashMap;
use std::sync::Arc;

use crate::cells::{self, Base, Cells, Mark, Since};
use crate::clock::Tick;
use crate::memory::{Details, Entry, EntryKey, KeyRef, Memory, Parts};
use crate::stamp::{Severity, Standing};
use crate::sync::{AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering, lock};
use crate::tag::TagId;

/// Locks for the keys of a cache; two keys meet in one rarely enough.
const SHARDS: usize = 64;

/// A load that runs. `S` is where its waiters look for the outcome.
#[derive(Debug)]
pub(crate) struct Flight<S> {
    pub(crate) key: EntryKey,
    /// Set under the shard's lock; read under it to decide about storing.
    poisoned: AtomicBool,
    /// The last invalidation of a tag before this load.
    pub(crate) start: u64,
    gap: u64,
    /// The view's era.
    era: u64,
    /// The tags known from the key, captured before the load.
    pub(crate) marks: Vec<Mark>,
    /// Whether readers may wait for it.
    shared: bool,
    pub(crate) outcome: S,
}

impl<S> Flight<S> {
    /// Whether an invalidation of its key came while it ran.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    /// Whether it is a write: nobody waits for it, and a conflict deletes the value.
    pub(crate) fn is_write(&self) -> bool {
        !self.shared
    }
}

/// What a reader that did not hit should do.
#[derive(Debug)]
pub(crate) enum Begun<S> {
    /// Look again: an entry is there now.
    Entry(Entry),
    /// Wait for this load; `since` is the last invalidation of a tag before the reader came.
    Wait { flight: Arc<Flight<S>>, since: u64 },
    /// Load, and bring the value to [`Coherence::fill`].
    Lead(Arc<Flight<S>>),
}

/// Why a value was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FillRefusal {
    /// Its key was invalidated while it was loaded.
    Invalidated,
    /// A tag that it turned out to carry was invalidated while it was loaded.
    TagInvalidated,
    /// Messages of the bus were missed while it was loaded.
    Gap,
    /// The remote tier refused it: its lease was lost, or a newer version is known.
    LeaseLost,
    /// The remote tier was away; a load is stored all the same, for a short time, a write is not.
    RemoteAway,
    /// The source's version is older than one that an invalidation asked for.
    TooOld,
    /// It is larger than the cache takes.
    TooLarge,
    /// The loader asked for it, or depends on a value that was stale.
    NotWanted,
}

impl std::fmt::Display for FillRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Invalidated => "its key was invalidated while it was loaded",
            Self::TagInvalidated => "a tag of it was invalidated while it was loaded",
            Self::Gap => "messages of the bus were missed while it was loaded",
            Self::LeaseLost => "its lease in the remote tier was lost, or a newer version is there",
            Self::TooOld => "its version is older than an invalidation asked for",
            Self::RemoteAway => "the remote tier was away",
            Self::TooLarge => "it is larger than the cache takes",
            Self::NotWanted => "the loader asked for it, or it depends on a stale value",
        })
    }
}

/// What became of a value that was brought to [`Coherence::fill`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    Yes,
    No(FillRefusal),
    /// Not stored, and readers that came after this invalidation must not be given the value either.
    NotAfter(u64),
}

/// The lowest version of a key that may be stored, for a time: for sources with lagging replicas.
#[derive(Clone, Copy, Debug)]
struct Floor {
    minimum: u64,
    until: Tick,
}

struct Shard<S> {
    /// Invalidations of keys of this shard, and writes to them.
    touched: u64,
    flights: HashMap<EntryKey, Arc<Flight<S>>, foldhash::fast::FixedState>,
    floors: HashMap<EntryKey, Floor, foldhash::fast::FixedState>,
}

/// Memory, loads and tags of one node, kept coherent.
pub(crate) struct Coherence<S> {
    memory: Memory,
    cells: Cells,
    shards: Box<[Mutex<Shard<S>>]>,
    hasher: foldhash::fast::FixedState,
    gap: AtomicU64,
    fence: Fence,
}

/// Whether fills are checked. Off only in tests that show that the checks are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fence {
    On,
    /// A poisoned load is stored all the same.
    WithoutToken,
    /// Tags are captured when the value is stored, not before it is loaded.
    StampsAfterLoad,
}

impl<S> Coherence<S> {
    pub(crate) fn new(memory: Memory, seed: u64, fence: Fence) -> Self {
        let hasher = foldhash::fast::FixedState::with_seed(seed);
        let shard = || {
            Mutex::new(Shard {
                touched: 0,
                flights: HashMap::with_hasher(hasher.clone()),
                floors: HashMap::with_hasher(hasher.clone()),
            })
        };
        let shards = (0..SHARDS).map(|_| shard()).collect();
        Self { memory, cells: Cells::new(), shards, hasher, gap: AtomicU64::new(0), fence }
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(crate) fn cells(&self) -> &Cells {
        &self.cells
    }

    /// The number of gaps noticed.
    #[inline]
    pub(crate) fn gap(&self) -> u64 {
        self.gap.load(Ordering::Acquire)
    }

    fn shard(&self, key: KeyRef<'_>) -> MutexGuard<'_, Shard<S>> {
        use std::hash::BuildHasher as _;
        let index = self.hasher.hash_one(key) as usize % SHARDS;
        lock(&self.shards[index])
    }

    /// A number that is another one after everything, or the view, was invalidated, and after a gap: a sum of
    /// numbers that only grow. An entry of another era is void, and a hit compares one number.
    #[inline]
    fn era(&self, base: &Base) -> u64 {
        base.era() + self.gap()
    }

    /// What invalidations say of an entry.
    #[inline]
    pub(crate) fn standing(&self, base: &Base, entry: &Entry) -> Standing {
        if entry.era != self.era(base) {
            return Standing::Void;
        }
        let by_key = if entry.soft { Standing::Stale } else { Standing::Current };
        match &entry.details {
            None => by_key,
            Some(details) => by_key.max(self.standing_of_tags(details)),
        }
    }

    fn standing_of_tags(&self, details: &Details) -> Standing {
        let rule = self.cells.last_rule();
        if details.ruled.load(Ordering::Acquire) != rule {
            if self.cells.ruled_out(details.born, |tag| details.marks.iter().any(|mark| mark.tag == *tag)) {
                return Standing::Void;
            }
            details.ruled.store(rule, Ordering::Release);
        }
        cells::standing(&details.marks)
    }

    /// Begins a load, or finds the one to wait for.
    ///
    /// `usable` decides whether an entry that has come meanwhile will do; `joinable` whether a load in
    /// flight may still be waited for, besides the rules that always hold.
    pub(crate) fn begin(
        &self,
        key: KeyRef<'_>,
        base: &Base,
        tags: &[TagId],
        usable: impl FnOnce(&Entry, Standing) -> bool,
        joinable: impl FnOnce(&S) -> bool,
        outcome: impl FnOnce() -> S,
    ) -> Begun<S> {
        let mut shard = self.shard(key);
        if let Some(entry) = self.memory.get(key)
            && usable(&entry, self.standing(base, &entry))
        {
            return Begun::Entry(entry);
        }
        let since = self.cells.last();
        if let Some(flight) = shard.flights.get(&key.to_owned()) {
            let current = flight.era == self.era(base)
                && cells::standing(&flight.marks) != Standing::Void
                && self.standing_for(since, flight, tags) != Standing::Void;
            if flight.shared && current && joinable(&flight.outcome) {
                return Begun::Wait { flight: Arc::clone(flight), since };
            }
        }
        let flight = self.board(&mut shard, key, base, tags, true, outcome());
        Begun::Lead(flight)
    }

    /// Begins a write: loads of the key in flight are poisoned, what memory holds is dropped, and no reader
    /// waits for it. It stores only if nothing else touched the key until it ends.
    pub(crate) fn begin_write(&self, key: KeyRef<'_>, base: &Base, tags: &[TagId], outcome: S) -> Arc<Flight<S>> {
        let mut shard = self.shard(key);
        shard.touched += 1;
        self.memory.remove(key);
        self.board(&mut shard, key, base, tags, false, outcome)
    }

    fn board(
        &self,
        shard: &mut MutexGuard<'_, Shard<S>>,
        key: KeyRef<'_>,
        base: &Base,
        tags: &[TagId],
        shared: bool,
        outcome: S,
    ) -> Arc<Flight<S>> {
        let (start, gap, era) = (self.cells.last(), self.gap(), self.era(base));
        let marks = self.cells.capture(tags);
        let poisoned = AtomicBool::new(false);
        let flight = Arc::new(Flight { key: key.to_owned(), poisoned, start, gap, era, marks, shared, outcome });
        if let Some(before) = shard.flights.insert(flight.key.clone(), Arc::clone(&flight)) {
            before.poisoned.store(true, Ordering::Release);
        }
        flight
    }

    /// The only way into memory. `parts` gets the marks of the flight's tags and of `late` ones, which
    /// became known after the load; `now` and `version` are compared with what invalidations asked for.
    pub(crate) fn fill(
        &self,
        flight: &Flight<S>,
        late: &[TagId],
        now: Tick,
        version: Option<u64>,
        parts: impl FnOnce(Marked) -> Parts,
    ) -> Stored {
        let mut shard = self.shard(flight.key.borrow());
        // A copy that a glance brings later must not replace what a load brought meanwhile.
        shard.touched += 1;
        Self::detach(&mut shard, flight);
        if self.is_void(flight) {
            return Stored::No(FillRefusal::Invalidated);
        }
        let token = Token { start: flight.start, gap: flight.gap, era: flight.era, marks: &flight.marks };
        self.admit(&mut shard, &flight.key, &token, late, now, version, parts)
    }

    /// Stores what no invalidation has anything against; the caller has seen to those of the key itself.
    #[expect(clippy::too_many_arguments, reason = "what is stored, and all that can stand against it")]
    fn admit(
        &self,
        shard: &mut MutexGuard<'_, Shard<S>>,
        key: &EntryKey,
        token: &Token<'_>,
        late: &[TagId],
        now: Tick,
        version: Option<u64>,
        parts: impl FnOnce(Marked) -> Parts,
    ) -> Stored {
        if token.gap != self.gap() {
            return Stored::No(FillRefusal::Gap);
        }
        if let Some(floor) = shard.floors.get(key) {
            if now >= floor.until {
                shard.floors.remove(key);
            } else if version.is_none_or(|version| version < floor.minimum) {
                return Stored::No(FillRefusal::TooOld);
            }
        }
        if version.is_some()
            && let Some(held) = self.memory.peek(key.borrow())
            && held.version() > version
            && now < held.kept_until()
            && held.era == token.era
            && held.details.as_ref().is_none_or(|details| self.standing_of_tags(details) != Standing::Void)
        {
            return Stored::No(FillRefusal::TooOld);
        }
        // First the generations, then the log: see `Cells::bump`.
        let late_marks = self.cells.capture(late);
        let mut soft = false;
        if self.fence != Fence::StampsAfterLoad {
            match self.cells.since(token.start, late) {
                Since::Nothing => {}
                Since::Hit { last, severity: Severity::Hard } => return Stored::NotAfter(last),
                Since::Hit { severity: Severity::Soft, .. } => soft = true,
                Since::Unknown => return Stored::No(FillRefusal::TagInvalidated),
            }
        }
        let mut marks = match self.fence {
            Fence::StampsAfterLoad => self.cells.capture(&token.marks.iter().map(|mark| mark.tag).collect::<Vec<_>>()),
            _ => token.marks.to_vec(),
        };
        marks.extend(late_marks);
        let parts = parts(Marked { marks: marks.into_boxed_slice(), born: token.start });
        let entry = Entry::new(parts, token.era, token.gap, soft);
        match self.memory.insert(key.clone(), entry) {
            true => Stored::Yes,
            false => Stored::No(FillRefusal::TooLarge),
        }
    }

    /// A token for copying a value from the remote tier without a flight: nobody waits for it, and many are cheap.
    /// It is taken before the remote tier is asked, and is lost to any invalidation in the key's shard.
    pub(crate) fn glance(&self, key: KeyRef<'_>, base: &Base, tags: &[TagId]) -> Glance {
        let touched = self.shard(key).touched;
        let (start, gap, era) = (self.cells.last(), self.gap(), self.era(base));
        Glance { touched, start, gap, era, marks: self.cells.capture(tags) }
    }

    /// As [`Coherence::fill`], for a glance.
    pub(crate) fn fill_glanced(
        &self,
        key: &EntryKey,
        glance: &Glance,
        late: &[TagId],
        now: Tick,
        version: Option<u64>,
        parts: impl FnOnce(Marked) -> Parts,
    ) -> Stored {
        let mut shard = self.shard(key.borrow());
        if shard.touched != glance.touched && self.fence != Fence::WithoutToken {
            return Stored::No(FillRefusal::Invalidated);
        }
        let token = Token { start: glance.start, gap: glance.gap, era: glance.era, marks: &glance.marks };
        self.admit(&mut shard, key, &token, late, now, version, parts)
    }

    /// What this load brings is worth to a reader that came when `since` was the last invalidation: those between the
    /// load's beginning and the reader's count. Tags that only the value knows are asked about when it is there,
    /// whether it was stored or not.
    pub(crate) fn standing_for(&self, since: u64, flight: &Flight<S>, tags: &[TagId]) -> Standing {
        self.cells.standing_between(flight.start, since, tags)
    }

    /// Whether an invalidation of its key has ended a load's right to store.
    pub(crate) fn is_void(&self, flight: &Flight<S>) -> bool {
        flight.is_poisoned() && self.fence != Fence::WithoutToken
    }

    /// Ends a load that stores nothing.
    pub(crate) fn end(&self, flight: &Flight<S>) {
        Self::detach(&mut self.shard(flight.key.borrow()), flight);
    }

    fn detach(shard: &mut MutexGuard<'_, Shard<S>>, flight: &Flight<S>) {
        if shard.flights.get(&flight.key).is_some_and(|attached| std::ptr::eq(Arc::as_ptr(attached), flight)) {
            shard.flights.remove(&flight.key);
        }
    }

    /// Forgets a key (hard) or ages it (soft). A load in flight is poisoned and detached, never waited for.
    pub(crate) fn invalidate(&self, key: KeyRef<'_>, severity: Severity) -> Option<Entry> {
        let mut shard = self.shard(key);
        shard.touched += 1;
        if let Some(flight) = shard.flights.remove(&key.to_owned()) {
            flight.poisoned.store(true, Ordering::Release);
        }
        match severity {
            Severity::Hard => self.memory.remove(key),
            Severity::Soft => self.memory.soften(key),
        }
    }

    /// Refuses values of a key below a version until a moment.
    pub(crate) fn raise_floor(&self, key: KeyRef<'_>, minimum: u64, until: Tick) {
        let mut shard = self.shard(key);
        shard.touched += 1;
        let floor = shard.floors.entry(key.to_owned()).or_insert(Floor { minimum, until });
        *floor = Floor { minimum: minimum.max(floor.minimum), until: until.max(floor.until) };
    }

    /// Whether a load of this key is in flight.
    pub(crate) fn is_loading(&self, key: KeyRef<'_>) -> bool {
        self.shard(key).flights.contains_key(&key.to_owned())
    }

    /// The version a load of this key must reach.
    pub(crate) fn floor(&self, key: KeyRef<'_>, now: Tick) -> Option<u64> {
        let shard = self.shard(key);
        shard.floors.get(&key.to_owned()).filter(|floor| now < floor.until).map(|floor| floor.minimum)
    }

    /// Something may have been missed: what memory holds is suspect, and no load in flight may be stored.
    pub(crate) fn suspect(&self) {
        self.gap.fetch_add(1, Ordering::AcqRel);
    }

    /// Drops floors that are over, and returns how many loads are in flight.
    pub(crate) fn sweep(&self, now: Tick) -> usize {
        let count = |shard: &Mutex<Shard<S>>| {
            let mut shard = lock(shard);
            shard.floors.retain(|_, floor| now < floor.until);
            shard.flights.len()
        };
        self.shards.iter().map(count).sum()
    }
}

/// See [`Coherence::glance`].
#[derive(Debug)]
pub(crate) struct Glance {
    touched: u64,
    start: u64,
    gap: u64,
    era: u64,
    marks: Vec<Mark>,
}

/// What was captured before a load, and must still hold when its value is stored.
struct Token<'a> {
    start: u64,
    gap: u64,
    era: u64,
    marks: &'a [Mark],
}

/// What [`Coherence::fill`] knows of an entry about to be made.
pub(crate) struct Marked {
    pub(crate) marks: Box<[Mark]>,
    pub(crate) born: u64,
}
