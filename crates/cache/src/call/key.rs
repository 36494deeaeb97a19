//! The key of a call, with the tags that follow from it.

use std::fmt;

use crate::key::{CacheKey, KeyWriter, Readable};
use crate::tag::{Tag, TagId};

/// Bytes of a tag's identity.
const TAG_BYTES: usize = 16;
/// Bytes that most keys and their tags need: one allocation.
const EXPECTED_BYTES: usize = 64;

/// The key of a `#[cached]` function's value: the encoding of the arguments that its template names, and the tags that
/// follow from them. Made by the function's companion, `product::key("eu", 7)`, for use with its view,
/// `product::view(&cache)`.
#[derive(Clone)]
pub struct CallKey {
    /// The key, and behind it the identities of the tags: one allocation for all, as every call makes a key.
    bytes: KeyWriter,
    key_length: usize,
}

impl CallKey {
    /// A key of one part: what a view with keys of that type makes of it.
    #[doc(hidden)]
    pub fn one(part: &(impl CacheKey + ?Sized)) -> Self {
        Self::of(|key| match part.whole() {
            Some(whole) => key.encoded(whole),
            None => part.write(key),
        })
    }

    /// A key of several parts: what a view with keys of their tuple makes of it.
    #[doc(hidden)]
    pub fn of(write: impl FnOnce(&mut KeyWriter)) -> Self {
        let mut bytes = KeyWriter::with_capacity(EXPECTED_BYTES);
        write(&mut bytes);
        let key_length = bytes.as_bytes().len();
        Self { bytes, key_length }
    }

    #[doc(hidden)]
    #[must_use]
    pub fn tag(mut self, kind: &str, value: impl CacheKey) -> Self {
        let end = self.bytes.as_bytes().len();
        kind.write(&mut self.bytes);
        value.write(&mut self.bytes);
        let id = TagId::of_encoded(&self.bytes.as_bytes()[end..]);
        self.bytes.truncate(end);
        self.bytes.fixed(id.to_bytes());
        self
    }

    /// The key's encoding.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes.as_bytes()[..self.key_length]
    }

    pub(crate) fn tag_ids(&self) -> impl Iterator<Item = TagId> {
        let (ids, _) = self.bytes.as_bytes()[self.key_length..].as_chunks::<TAG_BYTES>();
        ids.iter().map(|id| TagId::from_bytes(*id))
    }

    pub(crate) fn tags(&self) -> Vec<Tag> {
        self.tag_ids().map(Tag::with_id).collect()
    }
}

impl CacheKey for CallKey {
    fn write(&self, key: &mut KeyWriter) {
        key.encoded(self.as_bytes());
    }

    #[inline]
    fn whole(&self) -> Option<&[u8]> {
        Some(self.as_bytes())
    }
}

impl PartialEq for CallKey {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for CallKey {}

impl std::hash::Hash for CallKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallKey({})", Readable(self.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_encoded_as_the_tuple_of_its_parts_whatever_its_tags() {
        let key = CallKey::of(|key| {
            "eu".write(key);
            7u64.write(key);
        });
        let tagged = key.clone().tag("product", 7u64).tag("region", "eu");

        assert_eq!(KeyWriter::encode(&tagged), KeyWriter::encode(&("eu", 7u64)));
        assert_eq!(key, tagged);
    }

    #[test]
    fn a_key_of_one_part_is_encoded_as_that_part() {
        for (made, expected) in [
            (CallKey::one("eu"), KeyWriter::encode("eu")),
            (CallKey::one(&"eu"), KeyWriter::encode(&"eu")),
            (CallKey::one(&7u64), KeyWriter::encode(&7u64)),
        ] {
            assert_eq!(KeyWriter::encode(&made), expected);
        }
    }

    #[test]
    fn tags_are_those_of_the_tag_type() {
        let key = CallKey::of(|key| 7u64.write(key)).tag("product", 7u64).tag("day", ("eu", 3u8)).tag("all", ());

        let expected = [Tag::of("product", 7u64), Tag::of("day", ("eu", 3u8)), Tag::named("all")];
        assert_eq!(key.tag_ids().collect::<Vec<_>>(), expected.map(|tag| tag.id()));
    }
}
