//! What keys are called in the server, and which slot of a cluster they lie in.

/// Names of one namespace `N`: `N:key` for values, `N#tag` for stamps of tags, `N!key` for locks, and for leases
/// `N?` with the value's name.
#[derive(Clone, Debug)]
pub(super) struct Names {
    namespace: String,
    is_cluster: bool,
}

impl Names {
    pub(super) fn new(namespace: &str, is_cluster: bool) -> Self {
        Self { namespace: namespace.to_owned(), is_cluster }
    }

    pub(super) fn value(&self, key: &[u8]) -> Vec<u8> {
        self.join(b':', key)
    }

    pub(super) fn stamp(&self, tag: &[u8]) -> Vec<u8> {
        self.join(b'#', tag)
    }

    pub(super) fn lock(&self, key: &[u8]) -> Vec<u8> {
        self.join(b'!', key)
    }

    /// The name of a key's lease, on a cluster in the slot of the key's value; `None` for a key whose braces leave no
    /// such name there.
    pub(super) fn lease(&self, key: &[u8]) -> Option<Vec<u8>> {
        let value = self.value(key);
        let mut name = self.join(b'?', b"");
        if !self.is_cluster || hashed(&value).len() < value.len() {
            // On a cluster the value's braces are the first that it meets here, too.
            name.extend(&value);
        } else if value.contains(&b'}') || value.contains(&b'{') {
            return None;
        } else {
            name.push(b'{');
            name.extend(&value);
            name.push(b'}');
        }
        Some(name)
    }

    /// The stamp of all tags together: gone with each invalidation, and then another.
    pub(super) fn any_tag(&self) -> Vec<u8> {
        self.join(b'?', b"tags")
    }

    /// What a tag's name is put behind to have its stamp's.
    pub(super) fn stamps(&self) -> Vec<u8> {
        self.stamp(b"")
    }

    /// Patterns of the server that meet the leases and then the values of all keys that `pattern` meets.
    pub(super) fn patterns(&self, pattern: &[u8]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let values = self.value(pattern);
        let mut plain = self.namespace.as_bytes().to_vec();
        plain.extend(b"\\?");
        let mut leases = vec![[plain.as_slice(), values.as_slice()].concat()];
        if self.is_cluster {
            leases.push([plain.as_slice(), b"{", values.as_slice(), b"}"].concat());
        }
        (leases, values)
    }

    /// What the names of values and of stamps begin with.
    pub(super) fn watched(&self) -> [Vec<u8>; 2] {
        [self.value(b""), self.stamps()]
    }

    /// The key of a value's name.
    pub(super) fn key_of<'a>(&self, name: &'a [u8]) -> Option<&'a [u8]> {
        self.split(b':', name)
    }

    /// The tag of a stamp's name.
    pub(super) fn tag_of<'a>(&self, name: &'a [u8]) -> Option<&'a [u8]> {
        self.split(b'#', name)
    }

    fn join(&self, mark: u8, rest: &[u8]) -> Vec<u8> {
        let mut name = Vec::with_capacity(self.namespace.len() + 1 + rest.len());
        name.extend(self.namespace.as_bytes());
        name.push(mark);
        name.extend(rest);
        name
    }

    fn split<'a>(&self, mark: u8, name: &'a [u8]) -> Option<&'a [u8]> {
        name.strip_prefix(self.namespace.as_bytes())?.strip_prefix(&[mark])
    }
}

/// The part of a name that a cluster hashes: what stands in the first braces, if that is anything.
fn hashed(name: &[u8]) -> &[u8] {
    let Some(open) = name.iter().position(|byte| *byte == b'{') else { return name };
    let rest = &name[open + 1..];
    match rest.iter().position(|byte| *byte == b'}') {
        None | Some(0) => name,
        Some(close) => &rest[..close],
    }
}

/// The slot of a cluster that a name lies in, 0 to 16383: CRC-16 (XMODEM) of what is hashed.
pub(super) fn slot(name: &[u8]) -> u16 {
    let crc = hashed(name).iter().fold(0u16, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            },
        )
    });
    crc % 16384
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot(b"123456789"), 0x31c3);
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{}{bar}"), slot(b"foo{}{bar}"));
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
    }

    proptest! {
        #[test]
        fn a_lease_lies_where_its_value_lies(key in "[a-c{}:]{0,12}") {
            let names = Names::new("tk", true);
            let value = names.value(key.as_bytes());

            if let Some(lease) = names.lease(key.as_bytes()) {
                prop_assert_eq!(slot(&lease), slot(&value));
                prop_assert!(names.key_of(&lease).is_none());
            }
            prop_assert_eq!(names.key_of(&value), Some(key.as_bytes()));
        }
    }
}
