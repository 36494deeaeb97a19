//! Tags: names under which many entries are invalidated at once.

use std::fmt;

use crate::key::{CacheKey, KeyWriter, Readable};

/// Bytes of a tag's value that are kept to be shown.
const READABLE: usize = 256;

/// The identity of a tag: a 128-bit hash of its name.
///
/// Two tags that meet in one hash are invalidated together, which is never wrong, only wasteful.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagId(u128);

impl TagId {
    /// The identity of the tag whose kind and value have this encoding.
    pub(crate) fn of_encoded(name: &[u8]) -> Self {
        Self(xxhash_rust::xxh3::xxh3_128(name))
    }

    /// The 16 bytes under which a remote tier keeps the tag's record.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The identity with these bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

impl fmt::Debug for TagId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TagId({:032x})", self.0)
    }
}

impl fmt::Display for TagId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A name that entries carry, and under which they can be invalidated together.
///
/// A tag has a kind and a value, encoded injectively: `Tag::of("user", 7)` is not `Tag::of("user", "7")`.
/// The name may have any length; 1 MiB costs one hash.
#[derive(Clone)]
pub struct Tag {
    id: TagId,
    /// The encoded kind and the beginning of the encoded value: for people, nothing is compared by it.
    name: Box<[u8]>,
    value_at: usize,
}

impl PartialEq for Tag {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Tag {}

impl Tag {
    /// The tag of this kind for this value.
    ///
    /// ```
    /// use tierkeep_cache::Tag;
    ///
    /// assert_eq!(Tag::of("user", 7u64), Tag::of("user", 7u64));
    /// assert_ne!(Tag::of("user", ("a:b", "c")), Tag::of("user", ("a", "b:c")));
    /// ```
    pub fn of<K: CacheKey>(kind: &str, value: K) -> Self {
        let mut writer = KeyWriter::default();
        kind.write(&mut writer);
        let value_at = writer.as_bytes().len();
        value.write(&mut writer);
        let id = TagId::of_encoded(writer.as_bytes());
        let mut name = writer.into_bytes();
        name.truncate(value_at + READABLE);
        Self { id, name: name.into_boxed_slice(), value_at }
    }

    /// The tag with this identity, where its name is not known.
    pub(crate) fn with_id(id: TagId) -> Self {
        Self { id, name: Box::default(), value_at: 0 }
    }

    /// A tag without a value, such as `Tag::named("prices")`.
    pub fn named(name: &str) -> Self {
        Self::of(name, ())
    }

    /// The tag's identity.
    pub fn id(&self) -> TagId {
        self.id
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({self})")
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            return self.id.fmt(f);
        }
        let (kind, value) = self.name.split_at(self.value_at);
        // The kind's length comes first: one byte, for any kind that a person would write.
        write!(f, "{}:{}", Readable(kind.get(1..).unwrap_or_default()), Readable(value))
    }
}
