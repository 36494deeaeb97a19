//! How many bytes a value takes, for the bound of the memory tier.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The bytes a value occupies, what it owns on the heap included. Should be cheap: it is asked once for each value
/// stored. An estimate is enough, but what it leaves out, the memory bound does not see.
#[diagnostic::on_unimplemented(
    message = "the cache cannot tell how many bytes `{Self}` takes",
    label = "does not implement `ByteSize`",
    note = "implement `tierkeep_cache::ByteSize` for it, or give a function: `ViewBuilder::build_weighed(|value| …)`, \
            `#[cached(…, weigh = |value| …)]`"
)]
pub trait ByteSize {
    /// Bytes of this value in memory.
    fn byte_size(&self) -> usize;
}

macro_rules! plain {
    ($($plain:ty),*) => {$(
        impl ByteSize for $plain {
            fn byte_size(&self) -> usize {
                size_of::<Self>()
            }
        }
    )*};
}
plain!((), bool, char, u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64);

impl ByteSize for String {
    fn byte_size(&self) -> usize {
        size_of::<Self>() + self.capacity()
    }
}

impl ByteSize for &'static str {
    fn byte_size(&self) -> usize {
        size_of::<Self>()
    }
}

impl ByteSize for str {
    fn byte_size(&self) -> usize {
        self.len()
    }
}

impl<T: ByteSize> ByteSize for [T] {
    fn byte_size(&self) -> usize {
        self.iter().map(ByteSize::byte_size).sum()
    }
}

impl<T: ByteSize> ByteSize for Vec<T> {
    fn byte_size(&self) -> usize {
        let spare = (self.capacity() - self.len()) * size_of::<T>();
        size_of::<Self>() + self.as_slice().byte_size() + spare
    }
}

impl<T: ByteSize + ?Sized> ByteSize for Box<T> {
    fn byte_size(&self) -> usize {
        size_of::<Self>() + (**self).byte_size()
    }
}

impl<T: ByteSize + ?Sized> ByteSize for Arc<T> {
    fn byte_size(&self) -> usize {
        size_of::<Self>() + 16 + (**self).byte_size()
    }
}

impl<T: ByteSize> ByteSize for Option<T> {
    fn byte_size(&self) -> usize {
        let inside = self.as_ref().map_or(0, |value| value.byte_size().saturating_sub(size_of::<T>()));
        size_of::<Self>() + inside
    }
}

impl<A: ByteSize, B: ByteSize> ByteSize for (A, B) {
    fn byte_size(&self) -> usize {
        self.0.byte_size() + self.1.byte_size()
    }
}

impl<K: ByteSize, V: ByteSize, S> ByteSize for HashMap<K, V, S> {
    fn byte_size(&self) -> usize {
        let entries = self.iter().map(|(key, value)| key.byte_size() + value.byte_size() + 1).sum::<usize>();
        size_of::<Self>() + entries
    }
}

impl<K: ByteSize, V: ByteSize> ByteSize for BTreeMap<K, V> {
    fn byte_size(&self) -> usize {
        let entries = self.iter().map(|(key, value)| key.byte_size() + value.byte_size() + 16).sum::<usize>();
        size_of::<Self>() + entries
    }
}
