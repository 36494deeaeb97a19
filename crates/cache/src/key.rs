//! Keys as bytes, so that no two different keys share an encoding.

use std::fmt;

/// The longest encoded key, in bytes. A longer one is refused: hashing it instead would let two keys meet.
pub const MAX_KEY_BYTES: usize = 4096;

/// A value that can name an entry of a view.
///
/// The encoding is injective over all values of one type: different keys give different bytes.
/// Implemented for integers, `bool`, `char`, strings, byte arrays, references, `Option` and tuples of up
/// to six parts; implement it for your own types by writing their parts one after the other.
///
/// ```
/// use tierkeep_cache::{CacheKey, KeyWriter};
///
/// struct Page { site: String, number: u32 }
///
/// impl CacheKey for Page {
///     fn write(&self, key: &mut KeyWriter) {
///         self.site.write(key);
///         self.number.write(key);
///     }
/// }
///
/// let left = KeyWriter::encode(&("a:b", "c"));
/// let right = KeyWriter::encode(&("a", "b:c"));
/// assert_ne!(left, right);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of a key or a tag",
    label = "does not implement `CacheKey`",
    note = "implement `tierkeep_cache::CacheKey` for it by writing its parts one after the other; \
            a parameter that does not change the result of a `#[cached]` function goes into `skip(…)` instead"
)]
pub trait CacheKey {
    /// Writes this value's parts, always in the same order.
    fn write(&self, key: &mut KeyWriter);

    /// The whole key, where it is a string of bytes already: it is then used as it is, and [`write`](Self::write) is
    /// asked only for keys of several parts.
    fn whole(&self) -> Option<&[u8]> {
        None
    }
}

/// Collects the bytes of a key.
#[derive(Clone, Default)]
pub struct KeyWriter {
    bytes: Vec<u8>,
}

impl KeyWriter {
    /// The bytes of one key.
    pub fn encode<K: CacheKey + ?Sized>(key: &K) -> Box<[u8]> {
        if let Some(whole) = key.whole() {
            return whole.into();
        }
        let mut writer = Self::default();
        key.write(&mut writer);
        writer.bytes.into_boxed_slice()
    }

    /// Bytes of any length, preceded by that length, so that a neighbour cannot be mistaken for a part of them.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let mut length = bytes.len();
        while length >= 0x80 {
            self.bytes.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        self.bytes.push(length as u8);
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes whose number the type fixes, written as they are.
    pub fn fixed<const N: usize>(&mut self, bytes: [u8; N]) {
        self.bytes.extend_from_slice(&bytes);
    }

    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Takes back what was written past this length.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    /// Bytes that are a key's whole encoding already.
    pub(crate) fn encoded(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

macro_rules! integer_keys {
    ($($integer:ty),*) => {$(
        impl CacheKey for $integer {
            fn write(&self, key: &mut KeyWriter) {
                key.fixed(self.to_be_bytes());
            }
        }
    )*};
}
integer_keys!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128);

impl CacheKey for usize {
    fn write(&self, key: &mut KeyWriter) {
        (*self as u64).write(key);
    }
}

impl CacheKey for bool {
    fn write(&self, key: &mut KeyWriter) {
        u8::from(*self).write(key);
    }
}

impl CacheKey for char {
    fn write(&self, key: &mut KeyWriter) {
        u32::from(*self).write(key);
    }
}

impl CacheKey for str {
    fn write(&self, key: &mut KeyWriter) {
        key.bytes(self.as_bytes());
    }

    #[inline]
    fn whole(&self) -> Option<&[u8]> {
        Some(self.as_bytes())
    }
}

impl CacheKey for String {
    fn write(&self, key: &mut KeyWriter) {
        self.as_str().write(key);
    }

    #[inline]
    fn whole(&self) -> Option<&[u8]> {
        Some(self.as_bytes())
    }
}

impl CacheKey for [u8] {
    fn write(&self, key: &mut KeyWriter) {
        key.bytes(self);
    }

    fn whole(&self) -> Option<&[u8]> {
        Some(self)
    }
}

impl<const N: usize> CacheKey for [u8; N] {
    fn write(&self, key: &mut KeyWriter) {
        key.fixed(*self);
    }
}

impl CacheKey for () {
    fn write(&self, _key: &mut KeyWriter) {}
}

impl<K: CacheKey + ?Sized> CacheKey for &K {
    fn write(&self, key: &mut KeyWriter) {
        (**self).write(key);
    }

    #[inline]
    fn whole(&self) -> Option<&[u8]> {
        (**self).whole()
    }
}

impl<K: CacheKey> CacheKey for Option<K> {
    fn write(&self, key: &mut KeyWriter) {
        self.is_some().write(key);
        if let Some(inner) = self {
            inner.write(key);
        }
    }
}

macro_rules! tuple_keys {
    ($($part:ident.$index:tt)+) => {
        impl<$($part: CacheKey),+> CacheKey for ($($part,)+) {
            fn write(&self, key: &mut KeyWriter) {
                $(self.$index.write(key);)+
            }
        }
    };
}
tuple_keys!(A.0);
tuple_keys!(A.0 B.1);
tuple_keys!(A.0 B.1 C.2);
tuple_keys!(A.0 B.1 C.2 D.3);
tuple_keys!(A.0 B.1 C.2 D.3 E.4);
tuple_keys!(A.0 B.1 C.2 D.3 E.4 F.5);

/// A key's bytes for people: text where it is text, the rest in hexadecimal.
pub(crate) struct Readable<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Readable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.iter().take(256) {
            match byte {
                b' '..=b'~' if *byte != b'\\' => write!(f, "{}", char::from(*byte))?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        if self.0.len() > 256 { write!(f, "… ({} bytes)", self.0.len()) } else { Ok(()) }
    }
}
