//! Names of keys in the server.

use crate::remote::RemoteKey;
use crate::tag::TagId;

/// Everything that one prefix owns.
///
/// What belongs to one entry has one hash tag, so that a cluster keeps it in one slot: the part in braces.
/// The `k` keeps a hash tag from being empty, which would turn it off; a brace inside the key ends the hash tag
/// early, and for all three names at the same place. The key's bytes stand whole and last but one, so that two
/// keys never share a name.
#[derive(Clone, Debug)]
pub(super) struct Names {
    prefix: Box<str>,
    bus: Box<str>,
}

/// What is kept of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Value,
    Lease,
    Hold,
}

impl Names {
    /// The names under a prefix, which holds no brace. Channels are shared by all databases of a server, so theirs
    /// has the database's number.
    pub(super) fn new(prefix: &str, database: u32) -> Self {
        Self { prefix: prefix.into(), bus: format!("{prefix}:bus:{database}").into() }
    }

    /// `prefix:v:{k…}`, `prefix:l:{k…}`, `prefix:h:{k…}`
    pub(super) fn entry(&self, part: Part, key: &RemoteKey) -> Vec<u8> {
        let kind = match part {
            Part::Value => b":v:{k",
            Part::Lease => b":l:{k",
            Part::Hold => b":h:{k",
        };
        let mut name = Vec::with_capacity(self.prefix.len() + kind.len() + key.as_bytes().len() + 1);
        name.extend_from_slice(self.prefix.as_bytes());
        name.extend_from_slice(kind);
        name.extend_from_slice(key.as_bytes());
        name.push(b'}');
        name
    }

    /// What the names of all values match, for `SCAN`.
    pub(super) fn values_pattern(&self) -> Vec<u8> {
        let mut pattern = Vec::with_capacity(self.prefix.len() + 8);
        for byte in self.prefix.bytes() {
            if matches!(byte, b'*' | b'?' | b'[' | b']' | b'^' | b'\\') {
                pattern.push(b'\\');
            }
            pattern.push(byte);
        }
        pattern.extend_from_slice(b":v:{k*");
        pattern
    }

    /// The key's bytes in the name of a value.
    pub(super) fn key_of<'a>(&self, name: &'a [u8]) -> Option<&'a [u8]> {
        name.strip_prefix(self.prefix.as_bytes())?.strip_prefix(b":v:{k")?.strip_suffix(b"}")
    }

    /// `prefix:t:` and 32 hexadecimal digits
    pub(super) fn tag(&self, tag: TagId) -> Vec<u8> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut name = Vec::with_capacity(self.prefix.len() + 35);
        name.extend_from_slice(self.prefix.as_bytes());
        name.extend_from_slice(b":t:");
        for byte in tag.to_bytes() {
            name.push(DIGITS[usize::from(byte >> 4)]);
            name.push(DIGITS[usize::from(byte & 15)]);
        }
        name
    }

    /// `prefix:bumps`
    pub(super) fn bumps(&self) -> Vec<u8> {
        format!("{}:bumps", self.prefix).into_bytes()
    }

    /// `prefix:bus:0`
    pub(super) fn channel(&self) -> &str {
        &self.bus
    }

    /// `prefix:bus:0:state`
    pub(super) fn bus_state(&self) -> String {
        format!("{}:state", self.bus)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_pattern_of_values_takes_a_prefix_for_what_it_is() {
        let names = Names::new("a*b[c", 0);
        assert_eq!(names.values_pattern(), b"a\\*b\\[c:v:{k*");
        assert_eq!(names.key_of(b"a*b[c:v:{kxyz}"), Some(&b"xyz"[..]));
        assert_eq!(names.key_of(b"a*b[c:l:{kxyz}"), None);
    }

    /// What a cluster hashes of a name, by its specification.
    fn hashed(name: &[u8]) -> &[u8] {
        let Some(open) = name.iter().position(|byte| *byte == b'{') else { return name };
        let rest = &name[open + 1..];
        match rest.iter().position(|byte| *byte == b'}') {
            Some(close) if close > 0 => &rest[..close],
            _ => name,
        }
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop_oneof![Just(b'{'), Just(b'}'), Just(b':'), any::<u8>()], 0..12)
    }

    proptest! {
        #[test]
        fn parts_of_one_entry_share_a_slot_and_entries_share_no_name(left in bytes(), right in bytes()) {
            let names = Names::new("app:v", 0);
            let (one, other) = (RemoteKey::from_bytes(&left), RemoteKey::from_bytes(&right));
            let all = |key| [Part::Value, Part::Lease, Part::Hold].map(|part| names.entry(part, key));

            let [value, lease, hold] = all(&one);

            prop_assert_eq!(hashed(&value), hashed(&lease));
            prop_assert_eq!(hashed(&value), hashed(&hold));
            prop_assert!(hashed(&value) != value.as_slice());
            for name in all(&other) {
                prop_assert_eq!(left == right, [&value, &lease, &hold].contains(&&name));
            }
        }
    }

    #[test]
    fn tags_are_named_in_hexadecimal() {
        let name = Names::new("p", 0).tag(TagId::from_bytes([0xab; 16]));

        assert_eq!(name, format!("p:t:{}", "ab".repeat(16)).into_bytes());
    }
}
