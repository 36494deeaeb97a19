//! Ways to make a payload smaller. Zstandard is not among them: it would bring a C library into the wheel.

use std::io::Read as _;

use flate2::bufread::{GzDecoder, GzEncoder, ZlibDecoder, ZlibEncoder};

/// How a payload is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Identity,
    /// DEFLATE in zlib's wrapping.
    Zlib,
    /// DEFLATE in gzip's wrapping.
    Gzip,
    /// An LZ4 block.
    Lz4,
}

/// In the order of their numbers, which are stored: only ever add at the end.
const ALL: [Compression; 4] = [Compression::Identity, Compression::Zlib, Compression::Gzip, Compression::Lz4];

impl Compression {
    pub(super) fn number(self) -> u8 {
        ALL.iter().position(|other| *other == self).expect("each is listed") as u8
    }

    pub(super) fn from_number(number: u8) -> Option<Self> {
        ALL.get(usize::from(number)).copied()
    }

    /// The payload, which has `length` bytes; `None` if it has not. Uses little more memory than that.
    pub(super) fn decompress(self, packed: &[u8], length: usize) -> Option<Vec<u8>> {
        // Foreign bytes may claim any length: the room is made as they prove it.
        let mut payload = Vec::with_capacity(length.min(packed.len().saturating_mul(8)));
        let limit = length as u64 + 1;
        match self {
            Self::Identity => payload.extend(packed),
            Self::Zlib => _ = ZlibDecoder::new(packed).take(limit).read_to_end(&mut payload).ok()?,
            Self::Gzip => _ = GzDecoder::new(packed).take(limit).read_to_end(&mut payload).ok()?,
            // A block grows at most to the 255-fold.
            Self::Lz4 if length / 255 > packed.len() => return None,
            Self::Lz4 => payload = lz4_flex::block::decompress(packed, length).ok()?,
        }
        (payload.len() == length).then_some(payload)
    }
}

/// How payloads are compressed, and from which length on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compressor {
    /// The way.
    pub compression: Compression,
    /// The least length in bytes; what is shorter stays as it is.
    pub at_least: usize,
}

impl Compressor {
    /// Leaves everything as it is.
    pub const NONE: Self = Self { compression: Compression::Identity, at_least: usize::MAX };

    /// The payload compressed, if that made it shorter.
    pub(super) fn compress(self, payload: &[u8]) -> (Compression, Option<Vec<u8>>) {
        if payload.len() < self.at_least {
            return (Compression::Identity, None);
        }
        let level = flate2::Compression::default();
        let mut packed = Vec::new();
        let outcome = match self.compression {
            Compression::Identity => return (Compression::Identity, None),
            Compression::Zlib => ZlibEncoder::new(payload, level).read_to_end(&mut packed).map(drop),
            Compression::Gzip => GzEncoder::new(payload, level).read_to_end(&mut packed).map(drop),
            Compression::Lz4 => {
                packed = lz4_flex::block::compress(payload);
                Ok(())
            }
        };
        if outcome.is_ok() && packed.len() < payload.len() {
            (self.compression, Some(packed))
        } else {
            (Compression::Identity, None)
        }
    }
}
