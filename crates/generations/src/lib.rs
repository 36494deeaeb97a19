//! Generations: counters that say "what had this name has changed", shared by the processes of one machine.
//!
//! A reader that keeps a value keeps the generation of its name beside it, read *before* the value was computed. A
//! writer bumps the generation. A reader that finds another generation than the kept one throws its value away. No
//! lock, no message and no list of keys is needed, and any number of kept values is refused by one addition.
//!
//! The counters lie in a file of fixed size that every process maps ([`Generations::open`]); a table of one process
//! alone ([`Generations::private`]) has the same face. Names are hashed to counters, so two names may share one: a bump
//! of either then refuses both. That costs a reader a computation it need not have made, never a stale value.
//!
//! kill -9 in the middle of anything leaves whole counters, because there is nothing else: each is one machine word.

mod file;
mod mapping;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_64_with_seed;

pub use file::{Error, place};
use mapping::Mapping;

/// Words before the first counter: mark, version, number of counters, epoch, and four that are kept free.
const HEADER_WORDS: usize = 8;

/// The word of the epoch.
const EPOCH: usize = 3;

/// How many counters a table has: a power of two from 2^4 to 2^24.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotCount(u32);

impl SlotCount {
    /// 2^20 counters, 8 MiB of address space of which only touched pages are real: of 10,000 names that another process
    /// bumps, one in a hundred kept values is refused for nothing.
    pub const DEFAULT: SlotCount = SlotCount(1 << 20);

    /// 2 to the power of `bits`.
    ///
    /// # Errors
    /// `bits` is not from 4 to 24: returns it.
    pub const fn new(bits: u32) -> Result<Self, u32> {
        if bits < 4 || bits > 24 { Err(bits) } else { Ok(SlotCount(1 << bits)) }
    }

    /// The number itself.
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

/// Which counter of a table a name has. Valid for tables with the same number of counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u32);

impl Slot {
    /// Place in the table, from 0.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a name belongs to. The same name in two namespaces has two counters, as far as hashing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Namespace(u64);

impl Namespace {
    /// The namespace of that text.
    pub fn new(text: &str) -> Self {
        Namespace(xxh3_64_with_seed(text.as_bytes(), 0))
    }

    /// A namespace inside this one: names of another kind, such as tags beside keys.
    pub fn inner(self, kind: &str) -> Self {
        Namespace(xxh3_64_with_seed(kind.as_bytes(), self.0))
    }
}

/// A table of counters.
#[derive(Debug)]
pub struct Generations {
    words: Words,
    mask: u64,
}

#[derive(Debug)]
enum Words {
    Mapped(Mapping),
    /// Of the system, as far as they were bumped: most tables are large and hardly used.
    Private(Mapping),
    /// Where the system gave none.
    Held(Box<[AtomicU64]>),
}

impl Generations {
    /// The table in the file at `path`, which is made if it is not there, whole or not at all, readable and writable by
    /// its owner only.
    ///
    /// # Errors
    /// [`Error::Foreign`]: the file is not such a table, has another size or version, belongs to somebody else, can be
    /// opened by others, or is a symbolic link. [`Error::Io`]: the system refuses to open, make or map it.
    pub fn open(path: &Path, slots: SlotCount) -> Result<Self, Error> {
        let words = HEADER_WORDS + slots.get();
        let file = file::open_or_create(path, slots)?;
        let mapping = Mapping::new(&file, words).map_err(|source| Error::Io { path: path.into(), source })?;
        file::check_header(path, mapping.words(), slots)?;
        Ok(Generations { words: Words::Mapped(mapping), mask: slots.get() as u64 - 1 })
    }

    /// A table that only this process sees. After a fork, parent and child each have their own. Takes memory for the
    /// counters that were bumped, 4 KiB at a time.
    pub fn private(slots: SlotCount) -> Self {
        let words = HEADER_WORDS + slots.get();
        let words = match Mapping::private(words) {
            Ok(mapping) => Words::Private(mapping),
            Err(_) => Words::Held(std::iter::repeat_with(AtomicU64::default).take(words).collect()),
        };
        Generations { words, mask: slots.get() as u64 - 1 }
    }

    /// True if other processes can see this table.
    pub fn is_shared(&self) -> bool {
        matches!(self.words, Words::Mapped(_))
    }

    /// Number of counters.
    pub fn slots(&self) -> usize {
        self.words().len() - HEADER_WORDS
    }

    /// The counter of `name`.
    #[inline]
    pub fn slot(&self, namespace: Namespace, name: &[u8]) -> Slot {
        #[expect(clippy::cast_possible_truncation, reason = "masked to 24 bits at most")]
        let index = (xxh3_64_with_seed(name, namespace.0) & self.mask) as u32;
        Slot(index)
    }

    /// How often the slot was bumped, by all processes, since the table was made.
    #[inline]
    pub fn read(&self, slot: Slot) -> u64 {
        self.word(slot).load(Ordering::SeqCst)
    }

    /// Advances the slot by one and gives its new value. Whoever reads after this call has returned sees it.
    #[inline]
    pub fn bump(&self, slot: Slot) -> u64 {
        self.word(slot).fetch_add(1, Ordering::SeqCst).wrapping_add(1)
    }

    /// How often everything was refused at once.
    #[inline]
    pub fn epoch(&self) -> u64 {
        self.words()[EPOCH].load(Ordering::SeqCst)
    }

    /// Refuses everything kept so far, of every name, and gives the new epoch. For when it is not known what changed.
    pub fn advance_epoch(&self) -> u64 {
        self.words()[EPOCH].fetch_add(1, Ordering::SeqCst).wrapping_add(1)
    }

    #[inline]
    fn word(&self, slot: Slot) -> &AtomicU64 {
        // The mask keeps a slot of a larger table inside this one.
        &self.words()[HEADER_WORDS + (u64::from(slot.0) & self.mask) as usize]
    }

    #[inline]
    fn words(&self) -> &[AtomicU64] {
        match &self.words {
            Words::Mapped(mapping) | Words::Private(mapping) => mapping.words(),
            Words::Held(words) => words,
        }
    }
}
