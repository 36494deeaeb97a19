//! What a loader gives, and what it is told.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::memory::AnyValue;
use crate::tag::{Tag, TagId};

/// A loader's answer: a value, "there is none", or "the one you have is still right", with what the cache
/// should know about it. A plain value converts into it.
///
/// ```
/// use std::time::Duration;
/// use tierkeep_cache::{Loaded, Tag};
///
/// let loaded = Loaded::value("text".to_owned()).tag(Tag::of("author", 7u64)).ttl(Duration::from_secs(60));
/// let missing: Loaded<String> = Loaded::absent();
/// ```
#[derive(Clone, Debug)]
pub struct Loaded<V> {
    pub(crate) content: Content<V>,
    pub(crate) notes: Notes,
}

#[derive(Clone, Debug)]
pub(crate) enum Content<V> {
    Value(V),
    Absent,
    NotModified,
}

impl<V: Send + Sync + 'static> Content<V> {
    /// Forgets the value's type.
    pub(crate) fn erase(self) -> Content<AnyValue> {
        match self {
            Self::Value(value) => Content::Value(Arc::new(value)),
            Self::Absent => Content::Absent,
            Self::NotModified => Content::NotModified,
        }
    }
}

/// What is known of a value besides itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    pub(crate) tags: Vec<TagId>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) version: Option<u64>,
    pub(crate) position: Option<u64>,
    pub(crate) unwanted: bool,
}

impl Notes {
    fn merge(&mut self, other: Self) {
        self.tags.extend(other.tags);
        self.ttl = other.ttl.or(self.ttl);
        self.version = other.version.or(self.version);
        self.position = other.position.or(self.position);
        self.unwanted |= other.unwanted;
    }
}

impl<V> Loaded<V> {
    /// A value.
    pub fn value(value: V) -> Self {
        Self { content: Content::Value(value), notes: Notes::default() }
    }

    /// The source has no such value.
    pub fn absent() -> Self {
        Self { content: Content::Absent, notes: Notes::default() }
    }

    /// The value in [`LoadContext::stale`] is still right: its life begins anew. Without such a value this is an
    /// error of the loader, [`LoadError::NotModifiedWithoutValue`](crate::LoadError::NotModifiedWithoutValue).
    pub fn not_modified() -> Self {
        Self { content: Content::NotModified, notes: Notes::default() }
    }

    /// The value carries this tag, too, besides those the view derives from the key.
    pub fn tag(mut self, tag: Tag) -> Self {
        self.notes.tags.push(tag.id());
        self
    }

    /// The value lives this long instead of what the view says.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.notes.ttl = Some(ttl);
        self
    }

    /// The source's version of the value, which every update raises: an older one never replaces a newer.
    pub fn version(mut self, version: u64) -> Self {
        self.notes.version = Some(version);
        self
    }

    /// The source's position before the value was read; see [`ViewBuilder::required_position`](crate::ViewBuilder::required_position).
    pub fn position(mut self, position: u64) -> Self {
        self.notes.position = Some(position);
        self
    }

    /// Readers that wait get the value; it is not stored.
    pub fn not_stored(mut self) -> Self {
        self.notes.unwanted = true;
        self
    }
}

impl<V> From<V> for Loaded<V> {
    fn from(value: V) -> Self {
        Self::value(value)
    }
}

impl<V> From<Option<V>> for Loaded<V> {
    fn from(value: Option<V>) -> Self {
        value.map_or_else(Self::absent, Self::value)
    }
}

/// What a loader is told, and where it leaves notes on the way.
pub struct LoadContext<V> {
    stale: Option<Arc<V>>,
    minimum_version: Option<u64>,
    notes: Arc<Mutex<Notes>>,
    pub(crate) lineage: crate::lineage::Lineage,
}

impl<V> LoadContext<V> {
    pub(crate) fn new(stale: Option<Arc<V>>, minimum_version: Option<u64>, lineage: crate::lineage::Lineage) -> Self {
        Self { stale, minimum_version, notes: Arc::default(), lineage }
    }

    /// The value that is being replaced, if it is at hand: for conditional requests to the source.
    pub fn stale(&self) -> Option<&Arc<V>> {
        self.stale.as_ref()
    }

    /// The version that an invalidation asked for: a lagging replica that is older should not be read.
    pub fn minimum_version(&self) -> Option<u64> {
        self.minimum_version
    }

    /// The value will carry this tag; as [`Loaded::tag`].
    pub fn tag(&self, tag: &Tag) -> &Self {
        self.note(|notes| notes.tags.push(tag.id()))
    }

    /// As [`Loaded::ttl`].
    pub fn ttl(&self, ttl: Duration) -> &Self {
        self.note(|notes| notes.ttl = Some(ttl))
    }

    /// As [`Loaded::version`].
    pub fn version(&self, version: u64) -> &Self {
        self.note(|notes| notes.version = Some(version))
    }

    /// As [`Loaded::position`].
    pub fn position(&self, position: u64) -> &Self {
        self.note(|notes| notes.position = Some(position))
    }

    /// As [`Loaded::not_stored`].
    pub fn do_not_store(&self) -> &Self {
        self.note(|notes| notes.unwanted = true)
    }

    pub(crate) fn depends_on(&self, tags: impl IntoIterator<Item = TagId>) {
        self.note(|notes| notes.tags.extend(tags));
    }

    fn note(&self, write: impl FnOnce(&mut Notes)) -> &Self {
        write(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner));
        self
    }

    /// The notes so far, with those of the answer added.
    pub(crate) fn conclude(&self, answer: Notes) -> Notes {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        notes.merge(answer);
        notes.tags.sort_unstable();
        notes.tags.dedup();
        notes
    }
}

impl<V> Clone for LoadContext<V> {
    fn clone(&self) -> Self {
        Self {
            stale: self.stale.clone(),
            minimum_version: self.minimum_version,
            notes: Arc::clone(&self.notes),
            lineage: self.lineage.clone(),
        }
    }
}
