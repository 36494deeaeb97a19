//! What is in a file of the journal: frames, each one group of entries that became durable together.
//!
//! The file begins with `TKWB` and a version byte. A frame is the length of its payload (4 bytes, little-endian), the
//! low half of the xxh3 of those 4 bytes, the xxh3 of the payload (8), and the payload: a list of [`Entry`] in
//! postcard. A frame is written and synced before the next one is begun, so only the last one can be torn.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::Record;

pub(super) const MAGIC: [u8; 4] = *b"TKWB";
pub(super) const VERSION: u8 = 1;
/// The beginning of each file.
pub(super) const HEADER: usize = 5;
/// What precedes a payload.
const PREFIX: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Entry {
    /// Numbers below this may have been given.
    Reserved(u64),
    Write(Record),
    Settled(Vec<u64>),
}

/// A frame's bytes.
pub(super) fn seal(entries: &[Entry]) -> Result<Vec<u8>, String> {
    let payload = postcard::to_stdvec(entries).map_err(|error| error.to_string())?;
    let length = u32::try_from(payload.len()).map_err(|_| "a group of writes of more than 4 GiB".to_owned())?;
    let mut frame = Vec::with_capacity(PREFIX + payload.len());
    frame.extend(length.to_le_bytes());
    frame.extend((xxh3_64(&length.to_le_bytes()) as u32).to_le_bytes());
    frame.extend(xxh3_64(&payload).to_le_bytes());
    frame.extend(payload);
    Ok(frame)
}

/// The frame at the beginning of these bytes, and its length; `None` if there is no whole and intact one.
fn open(bytes: &[u8]) -> Option<(Vec<Entry>, usize)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (length_sum, rest) = rest.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<8>()?;
    if (xxh3_64(length) as u32).to_le_bytes() != *length_sum {
        return None;
    }
    let length = u32::from_le_bytes(*length) as usize;
    let payload = rest.get(..length)?;
    if xxh3_64(payload).to_le_bytes() != *sum {
        return None;
    }
    Some((postcard::from_bytes(payload).ok()?, PREFIX + length))
}

/// What a file holds after its header.
pub(super) struct Contents {
    pub(super) entries: Vec<Entry>,
    /// Where the intact part ends.
    pub(super) intact: usize,
    /// Whether an intact frame follows what is not intact.
    pub(super) damaged: bool,
}

/// Reads frames up to the end, or to the first that is not intact.
pub(super) fn read(bytes: &[u8]) -> Contents {
    let (mut entries, mut at) = (Vec::new(), HEADER.min(bytes.len()));
    while at < bytes.len() {
        let Some((frame, length)) = open(&bytes[at..]) else {
            let damaged = (at + 1..bytes.len()).any(|later| open(&bytes[later..]).is_some());
            return Contents { entries, intact: at, damaged };
        };
        entries.extend(frame);
        at += length;
    }
    Contents { entries, intact: at, damaged: false }
}
