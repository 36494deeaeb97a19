//! What a value is wrapped in before it leaves the process: how it is to be read, compressed or not, and who wrote it.
//!
//! Other programs can write to the server, and reading a pickle runs code. So an envelope is signed (HMAC-SHA256, cut to
//! 128 bits) together with the key that it lies at, and nothing of it is looked at before the signature holds: not even
//! decompressed. A whole number lies there as decimal text, without an envelope, so that the server can add to it; it is
//! not signed.
//!
//! Bytes: magic (4), mode (1), compression (1), 1 if signed (1), length before compression (4, big-endian), signature
//! (16, if signed), payload. The signature is over all but itself, and the key.

mod compression;
pub mod tree;

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::remote::is_whole_number;

pub use self::compression::{Compression, Compressor};

/// In no encoding of text, and not what a pickle begins with.
const MAGIC: &[u8] = b"\xf5TK1";
/// Bytes before the signature.
const HEADER: usize = 11;
/// Bytes of a signature.
const SIGNATURE: usize = 16;
/// What keys of signatures are made for; another use of a secret gives another key.
const PURPOSE: &[u8] = b"tierkeep: values of the cache, 1";
/// The largest value before compression, in bytes: what the server takes as one string.
pub const LARGEST: usize = 512 << 20;

/// How a payload is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Python's None; no payload.
    None,
    /// True or False: one byte, 1 or 0.
    Bool,
    /// A float: 8 bytes, big-endian.
    Float,
    /// Text in UTF-8, in which lone surrogates are allowed.
    Text,
    /// Bytes.
    Bytes,
    /// Nested plain values: [`tree`].
    Tree,
    /// A pickle.
    Pickle,
    /// What JSON gives back of a value: [`tree`].
    Json,
    /// What MessagePack gives back of a value: [`tree`].
    MessagePack,
}

/// Modes in the order of their numbers, which are stored: only ever add at the end.
const MODES: [Mode; 9] = [
    Mode::None,
    Mode::Bool,
    Mode::Float,
    Mode::Text,
    Mode::Bytes,
    Mode::Tree,
    Mode::Pickle,
    Mode::Json,
    Mode::MessagePack,
];

/// What was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// A whole number as decimal text.
    Whole(String),
    /// Anything else.
    Value(Mode, Vec<u8>),
}

/// Why stored bytes are not a value. All but the last two are what bytes from elsewhere look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Neither an envelope of this version nor a whole number.
    #[error("this is no value of ours")]
    Foreign,
    /// There is no signature, and one is required.
    #[error("the value is not signed")]
    Unsigned,
    /// The signature is of another secret, another key or other bytes.
    #[error("the signature of the value does not hold")]
    Forged,
    /// It was written by a version that knows more than this one.
    #[error("the value is of a kind that is not known")]
    UnknownKind,
    /// It was stored by somebody who keeps values in another way: it may hold what this way never gives.
    #[error("the value was stored under another SERIALIZER")]
    OtherDialect,
    /// It is signed, or no signature is required, and it cannot be decompressed.
    #[error("the value cannot be decompressed")]
    Damaged,
    /// It is larger than 512 MiB before compression.
    #[error("the value is larger than 512 MiB")]
    TooLarge,
}

/// The secrets that sign values. Prints none of them.
#[derive(Clone)]
pub struct Keyring(Vec<Hmac<Sha256>>);

impl Keyring {
    /// Signs with the first secret and accepts the signature of any. Without a secret nothing is signed, and no
    /// signature is required.
    pub fn new<S: AsRef<[u8]>>(secrets: &[S]) -> Self {
        let keyed = |key: &[u8]| Hmac::<Sha256>::new_from_slice(key).expect("a key may have any length");
        let derived =
            secrets.iter().map(|secret| keyed(&keyed(secret.as_ref()).chain_update(PURPOSE).finalize().into_bytes()));
        Self(derived.collect())
    }

    /// Wraps a payload for a key.
    ///
    /// # Errors
    /// [`EnvelopeError::TooLarge`].
    pub fn seal(
        &self,
        key: &[u8],
        mode: Mode,
        payload: &[u8],
        compressor: Compressor,
    ) -> Result<Vec<u8>, EnvelopeError> {
        let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= LARGEST);
        let length = length.ok_or(EnvelopeError::TooLarge)?;
        let number = MODES.iter().position(|other| *other == mode).expect("each mode is listed");
        let (compression, packed) = compressor.compress(payload);
        let packed = packed.as_deref().unwrap_or(payload);
        let mut sealed = Vec::with_capacity(HEADER + SIGNATURE + packed.len());
        sealed.extend(MAGIC);
        sealed.extend([number as u8, compression.number(), u8::from(!self.0.is_empty())]);
        sealed.extend(length.to_be_bytes());
        if let Some(first) = self.0.first() {
            let signature = signed(first, key, &sealed, packed).finalize().into_bytes();
            sealed.extend(&signature[..SIGNATURE]);
        }
        sealed.extend(packed);
        Ok(sealed)
    }

    /// Unwraps what is stored at a key.
    ///
    /// # Errors
    /// [`EnvelopeError`]; never a panic, whatever the bytes.
    pub fn open(&self, key: &[u8], stored: &[u8]) -> Result<Opened, EnvelopeError> {
        if is_whole_number(stored) {
            return Ok(Opened::Whole(stored.iter().copied().map(char::from).collect()));
        }
        let Some((header, rest)) = stored.split_at_checked(HEADER) else { return Err(EnvelopeError::Foreign) };
        let (Some([mode, compression, is_signed]), Some(length)) =
            (header.strip_prefix(MAGIC).and_then(|rest| rest.first_chunk()), header.last_chunk())
        else {
            return Err(EnvelopeError::Foreign);
        };
        let packed = match is_signed {
            0 if self.0.is_empty() => rest,
            0 => return Err(EnvelopeError::Unsigned),
            1 => {
                let (signature, packed) = rest.split_at_checked(SIGNATURE).ok_or(EnvelopeError::Foreign)?;
                let holds = |secret| signed(secret, key, header, packed).verify_truncated_left(signature).is_ok();
                if !self.0.is_empty() && !self.0.iter().any(holds) {
                    return Err(EnvelopeError::Forged);
                }
                packed
            }
            _ => return Err(EnvelopeError::Foreign),
        };
        let mode = MODES.get(usize::from(*mode)).ok_or(EnvelopeError::UnknownKind)?;
        let compression = Compression::from_number(*compression).ok_or(EnvelopeError::UnknownKind)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > LARGEST {
            return Err(EnvelopeError::TooLarge);
        }
        let payload = compression.decompress(packed, length).ok_or(EnvelopeError::Damaged)?;
        Ok(Opened::Value(*mode, payload))
    }

    /// The bytes stored at one key as they are stored at another: signed anew. What is not ours stays as it is, and is
    /// no value there, either.
    pub fn reseal(&self, from: &[u8], to: &[u8], stored: &[u8], compressor: Compressor) -> Vec<u8> {
        match self.open(from, stored) {
            Ok(Opened::Value(mode, payload)) => {
                self.seal(to, mode, &payload, compressor).unwrap_or_else(|_| stored.to_vec())
            }
            _ => stored.to_vec(),
        }
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} secrets)", self.0.len())
    }
}

fn signed(secret: &Hmac<Sha256>, key: &[u8], header: &[u8], packed: &[u8]) -> Hmac<Sha256> {
    let mut mac = secret.clone();
    mac.update(header);
    mac.update(&(key.len() as u64).to_be_bytes());
    mac.update(key);
    mac.update(packed);
    mac
}

#[cfg(test)]
mod tests;
