//! Ways to make a payload smaller. All are pure Rust: no C library comes into the wheel. How a payload was compressed
//! stands beside it, so whoever reads needs no setting for it.

use std::io::{Read as _, Write as _};

use flate2::bufread::{GzDecoder, GzEncoder, ZlibDecoder, ZlibEncoder};
use lzma_rust2::{Lzma2Options, Lzma2Reader, Lzma2Writer, LzmaOptions};
use ruzstd::decoding::StreamingDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

/// The preset of LZMA, 0 to 9: django-redis takes this one.
const LZMA_PRESET: u32 = 4;
/// Bytes that an LZMA stream may refer back to at most: the least is the format's, the most is the preset's.
const LZMA_WINDOW: (u32, u32) = (4 << 10, 4 << 20);

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
    /// A Zstandard frame.
    Zstd,
    /// An LZMA2 stream without a container.
    Lzma,
}

/// In the order of their numbers, which are stored: only ever add at the end.
const ALL: [Compression; 6] = [
    Compression::Identity,
    Compression::Zlib,
    Compression::Gzip,
    Compression::Lz4,
    Compression::Zstd,
    Compression::Lzma,
];

/// What each is called in settings, in the same order.
const NAMES: [&str; 6] = ["identity", "zlib", "gzip", "lz4", "zstd", "lzma"];

impl Compression {
    /// The one of that name.
    ///
    /// # Errors
    /// A sentence that says which there are.
    pub fn from_name(name: &str) -> Result<Self, String> {
        let at = NAMES.iter().position(|other| *other == name);
        at.map(|at| ALL[at]).ok_or_else(|| format!("`{name}` is no compressor; accepted: {}", NAMES.join(", ")))
    }

    /// The length in bytes from which on it is worth its time: that of django-redis.
    pub fn worthwhile_from(self) -> usize {
        match self {
            Self::Lzma => 101,
            _ => 16,
        }
    }

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
            Self::Zstd => {
                _ = StreamingDecoder::new(packed).ok()?.take(limit).read_to_end(&mut payload).ok()?;
            }
            Self::Lzma => {
                _ = Lzma2Reader::new(packed, lzma_window(length), None).take(limit).read_to_end(&mut payload).ok()?;
            }
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
            Compression::Zstd => {
                packed = compress_to_vec(payload, CompressionLevel::Fastest);
                Ok(())
            }
            Compression::Lzma => lzma(payload).map(|bytes| packed = bytes),
        };
        if outcome.is_ok() && packed.len() < payload.len() {
            (self.compression, Some(packed))
        } else {
            (Compression::Identity, None)
        }
    }
}

fn lzma(payload: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut lzma_options = LzmaOptions::with_preset(LZMA_PRESET);
    // Tables are made as large as the window: no larger than the payload has use for.
    lzma_options.dict_size = lzma_window(payload.len());
    let mut writer = Lzma2Writer::new(Vec::new(), Lzma2Options { lzma_options, chunk_size: None });
    writer.write_all(payload)?;
    writer.finish()
}

/// The window of a payload of that length: both sides know the length.
fn lzma_window(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX).clamp(LZMA_WINDOW.0, LZMA_WINDOW.1)
}
