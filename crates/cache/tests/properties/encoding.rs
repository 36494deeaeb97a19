//! Keys, tags and sizes: no two keys meet, and no size is smaller than the value.

use proptest::prelude::*;
use tierkeep_cache::{ByteSize, CacheKey, KeyWriter, Tag};

type Parts = (String, Vec<u8>, Option<i64>, Option<String>, u16, bool);

/// A key with parts of every kind, bytes among them.
#[derive(Clone, Debug, PartialEq)]
struct Key(Parts);

impl CacheKey for Key {
    fn write(&self, key: &mut KeyWriter) {
        let (text, bytes, number, other, short, flag) = &self.0;
        text.write(key);
        bytes.as_slice().write(key);
        (number, other, short, flag).write(key);
    }
}

/// Short texts of few characters, so that neighbours are mistaken for each other if they can be.
fn parts() -> impl Strategy<Value = Parts> {
    let text = "[a:\u{0}\u{80}]{0,3}";
    let bytes = prop::collection::vec(prop::sample::select(vec![0u8, 1, 2, b'a', 0x80, 0xff]), 0..4);
    (text, bytes, prop::option::of(-2i64..3), prop::option::of(text), 0u16..3, any::<bool>())
}

proptest! {
    #[test]
    fn different_keys_have_different_bytes(left in parts(), right in parts()) {
        let (left, right) = (Key(left), Key(right));

        prop_assert_eq!(KeyWriter::encode(&left) == KeyWriter::encode(&right), left == right);
    }

    #[test]
    fn text_moved_across_a_border_is_another_key(text in "[a:]{1,6}", left in 0usize..7, right in 0usize..7) {
        let (left, right) = (left.min(text.len()), right.min(text.len()));
        let split = |at: usize| KeyWriter::encode(&(&text[..at], &text[at..]));

        prop_assert_eq!(split(left) == split(right), left == right);
    }

    #[test]
    fn different_tags_have_different_identities(kinds in ("[a:]{0,2}", "[a:]{0,2}"), left in parts(), right in parts()) {
        let same = kinds.0 == kinds.1 && left == right;
        let (left, right) = (Tag::of(&kinds.0, Key(left)), Tag::of(&kinds.1, Key(right)));

        prop_assert_eq!(left.id() == right.id(), same);
    }

    #[test]
    fn long_texts_are_told_apart_by_their_length(short in 0usize..300, long in 0usize..300) {
        let key = |length: usize| KeyWriter::encode(&("x".repeat(length), "x".repeat(300 - length)));

        prop_assert_eq!(key(short) == key(long), short == long);
    }

    #[test]
    fn a_size_is_at_least_what_the_value_holds(texts in prop::collection::vec(".{0,40}", 0..20), bytes: Vec<u8>) {
        let held = texts.iter().map(String::len).sum::<usize>() + bytes.len();

        prop_assert!((texts.clone(), bytes.clone()).byte_size() >= held);
        let (some, shared) = (Some(texts), std::sync::Arc::new(bytes));
        prop_assert!(some.byte_size() >= some.as_ref().map_or(0, ByteSize::byte_size));
        prop_assert!(shared.byte_size() > shared.as_ref().byte_size());
    }
}

#[test]
fn a_number_is_not_its_text() {
    assert_ne!(Tag::of("user", 7u64).id(), Tag::of("user", "7").id());
}

#[test]
fn a_key_that_is_none_is_not_one_that_is_empty() {
    assert_ne!(KeyWriter::encode(&None::<&str>), KeyWriter::encode(&Some("")));
}
