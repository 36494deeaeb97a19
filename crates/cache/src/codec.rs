//! How values become bytes for the remote tier.

use std::fmt;
use std::marker::PhantomData;

use crate::memory::AnyValue;

/// Turns values of a view into bytes and back. A view without a codec lives in memory only.
pub trait Codec<V>: Send + Sync + 'static {
    /// Names the format and the shape of the value: a change of either must change this number, so that
    /// values of another release are misses and not garbage.
    fn fingerprint(&self) -> u64;

    /// The bytes of a value.
    ///
    /// # Errors
    /// The value cannot be encoded; it stays in memory.
    fn encode(&self, value: &V) -> Result<Vec<u8>, CodecError>;

    /// The value of these bytes, which may be anybody's.
    ///
    /// # Errors
    /// They are not a value of this type; the read is a miss, and counted.
    fn decode(&self, bytes: &[u8]) -> Result<V, CodecError>;
}

/// A value that cannot be encoded, or bytes that are no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CodecError(String);

impl CodecError {
    /// An error that says this.
    pub fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string())
    }
}

/// Bytes as they are, for values that are bytes already: `Vec<u8>`, and what converts from and into it.
#[derive(Clone, Copy, Debug, Default)]
pub struct RawBytes;

impl Codec<Vec<u8>> for RawBytes {
    fn fingerprint(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(b"raw")
    }

    fn encode(&self, value: &Vec<u8>) -> Result<Vec<u8>, CodecError> {
        Ok(value.clone())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
        Ok(bytes.to_vec())
    }
}

/// [postcard](https://docs.rs/postcard) of any serde type.
///
/// Postcard does not describe itself, so `shape` must change whenever a field does: use a constant beside the type.
#[cfg(feature = "postcard")]
#[derive(Clone, Copy, Debug)]
pub struct Postcard {
    shape: u64,
}

#[cfg(feature = "postcard")]
impl Postcard {
    /// Values of the shape with this number.
    pub fn shape(shape: u64) -> Self {
        Self { shape }
    }
}

#[cfg(feature = "postcard")]
impl<V: serde::Serialize + serde::de::DeserializeOwned> Codec<V> for Postcard {
    fn fingerprint(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64_with_seed(std::any::type_name::<V>().as_bytes(), self.shape)
    }

    fn encode(&self, value: &V) -> Result<Vec<u8>, CodecError> {
        postcard::to_stdvec(value).map_err(CodecError::new)
    }

    fn decode(&self, bytes: &[u8]) -> Result<V, CodecError> {
        match postcard::take_from_bytes(bytes) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => Err(CodecError::new(format_args!("{} bytes too many", rest.len()))),
            Err(error) => Err(CodecError::new(error)),
        }
    }
}

/// A codec for values whose type is forgotten.
pub(crate) trait ErasedCodec: Send + Sync {
    fn fingerprint(&self) -> u64;
    fn encode(&self, value: &AnyValue) -> Result<Vec<u8>, CodecError>;
    fn decode(&self, bytes: &[u8]) -> Result<AnyValue, CodecError>;
}

pub(crate) struct Erased<V, C> {
    codec: C,
    value: PhantomData<fn() -> V>,
}

impl<V, C> Erased<V, C> {
    pub(crate) fn new(codec: C) -> Self {
        Self { codec, value: PhantomData }
    }
}

impl<V: Send + Sync + 'static, C: Codec<V>> ErasedCodec for Erased<V, C> {
    fn fingerprint(&self) -> u64 {
        self.codec.fingerprint()
    }

    fn encode(&self, value: &AnyValue) -> Result<Vec<u8>, CodecError> {
        let value = value.downcast_ref::<V>().ok_or_else(|| CodecError::new("a value of another type"))?;
        // An encoder that panics fails like any other: the value stays in memory.
        let encode = std::panic::AssertUnwindSafe(|| self.codec.encode(value));
        std::panic::catch_unwind(encode).unwrap_or_else(|_| Err(CodecError::new("the encoder panicked")))
    }

    fn decode(&self, bytes: &[u8]) -> Result<AnyValue, CodecError> {
        // A decoder that panics on foreign bytes is a miss like any other.
        let decode = std::panic::AssertUnwindSafe(|| self.codec.decode(bytes));
        match std::panic::catch_unwind(decode) {
            Ok(value) => value.map(|value| std::sync::Arc::new(value) as AnyValue),
            Err(_) => Err(CodecError::new("the decoder panicked")),
        }
    }
}
