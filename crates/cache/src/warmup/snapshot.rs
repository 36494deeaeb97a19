//! Hot keys as bytes that outlive the process: keys only, never values, which go through the load path again.
//!
//! `TKHK`, a version byte, then the payload, then the xxh3 of all before it (8 bytes). Numbers are little-endian.
//! The payload: the fingerprint (8), the moment it was taken in milliseconds since 1970 (8), the milliseconds that were
//! watched (8), the number of views (4) and each as length (2) and name, the number of keys (4) and each as number of the
//! view (4), weight, error and changes (4 each, floating), microseconds of a load or 0 (4), length (2) and bytes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use xxhash_rust::xxh3::xxh3_64;

use super::HotKey;

const MAGIC: [u8; 4] = *b"TKHK";
const VERSION: u8 = 1;
/// Larger snapshots are not read: some ten times what the largest sensible one takes.
const MOST_BYTES: usize = 64 << 20;
/// Keys of a snapshot at most.
pub(super) const MOST_KEYS: usize = 1_000_000;
const OVERHEAD: usize = 5 + 8;

/// Why bytes are no snapshot to start from. The start is a cold one then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// There are too few or too many bytes.
    #[error("{0} bytes, accepted: 13 to 67108864")]
    Size(usize),
    /// They are something else.
    #[error("these bytes are no snapshot of hot keys")]
    NotASnapshot,
    /// Another release wrote it.
    #[error("version {0}, accepted: 1")]
    OtherVersion(u8),
    /// It was cut, or altered.
    #[error("the snapshot is damaged: its checksum does not fit")]
    Damaged,
    /// It is of another database, or of another shape of keys.
    #[error("the snapshot is of another source: fingerprint {found:016x}, accepted: {accepted:016x}")]
    OtherFingerprint {
        /// Its own.
        found: u64,
        /// What was asked for.
        accepted: u64,
    },
    /// The checksum fits, and yet it cannot be read.
    #[error("the snapshot is malformed at byte {0}")]
    Malformed(usize),
}

/// The keys most worth loading, as they were at one moment; made by [`HotKeys::snapshot`](super::HotKeys::snapshot).
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use tierkeep_cache::Tick;
/// use tierkeep_cache::warmup::{HotKeys, Snapshot, SnapshotError};
///
/// let hot = HotKeys::builder().build();
/// hot.record("prices", b"7", Tick::from_millis(0));
/// let snapshot = hot.snapshot(100, Tick::from_millis(5), SystemTime::UNIX_EPOCH, 42);
///
/// let mut bytes = snapshot.encode();
/// assert_eq!(Snapshot::decode(&bytes, 42).as_ref(), Ok(&snapshot));
/// assert!(matches!(Snapshot::decode(&bytes, 43), Err(SnapshotError::OtherFingerprint { .. })));
/// bytes[20] ^= 1;
/// assert_eq!(Snapshot::decode(&bytes, 42), Err(SnapshotError::Damaged));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub(super) fingerprint: u64,
    pub(super) taken_at: SystemTime,
    pub(super) watched: Duration,
    pub(super) keys: Vec<HotKey>,
}

impl Snapshot {
    /// The keys, best first.
    pub fn keys(&self) -> &[HotKey] {
        &self.keys
    }

    /// When it was taken, to the millisecond.
    pub fn taken_at(&self) -> SystemTime {
        self.taken_at
    }

    /// With numbers as the encoding keeps them.
    pub(super) fn rounded(mut self) -> Self {
        for key in &mut self.keys {
            for number in [&mut key.weight, &mut key.error, &mut key.changes] {
                *number = f64::from(*number as f32);
            }
        }
        self
    }

    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut views: Vec<&Arc<str>> = self.keys.iter().map(|key| &key.view).collect();
        views.sort_unstable();
        views.dedup();
        let mut bytes = Vec::with_capacity(64 + self.keys.len() * 48);
        bytes.extend(MAGIC);
        bytes.push(VERSION);
        bytes.extend(self.fingerprint.to_le_bytes());
        let taken_at = self.taken_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        bytes.extend(millis(taken_at).to_le_bytes());
        bytes.extend(millis(self.watched).to_le_bytes());
        bytes.extend((views.len() as u32).to_le_bytes());
        for view in &views {
            string(&mut bytes, view.as_bytes());
        }
        bytes.extend((self.keys.len() as u32).to_le_bytes());
        for key in &self.keys {
            let view = views.binary_search(&&key.view).unwrap_or_default();
            bytes.extend((view as u32).to_le_bytes());
            for number in [key.weight, key.error, key.changes] {
                bytes.extend((number as f32).to_le_bytes());
            }
            let micros = key.cost.map_or(0, |cost| u32::try_from(cost.as_micros()).unwrap_or(u32::MAX).max(1));
            bytes.extend(micros.to_le_bytes());
            string(&mut bytes, &key.key);
        }
        bytes.extend(xxh3_64(&bytes).to_le_bytes());
        bytes
    }

    /// What was encoded, if nothing happened to it and it is of this source. `fingerprint` names the source and the
    /// shape of the keys, such as a database's identifier together with a number for the release.
    ///
    /// # Errors
    /// [`SnapshotError`]; never a panic, whatever the bytes.
    pub fn decode(bytes: &[u8], fingerprint: u64) -> Result<Self, SnapshotError> {
        if !(OVERHEAD..=MOST_BYTES).contains(&bytes.len()) {
            return Err(SnapshotError::Size(bytes.len()));
        }
        if bytes[..4] != MAGIC {
            return Err(SnapshotError::NotASnapshot);
        }
        if bytes[4] != VERSION {
            return Err(SnapshotError::OtherVersion(bytes[4]));
        }
        let Some((body, sum)) = bytes.split_last_chunk::<8>() else { return Err(SnapshotError::Damaged) };
        if xxh3_64(body) != u64::from_le_bytes(*sum) {
            return Err(SnapshotError::Damaged);
        }
        let mut reader = Reader { bytes: body, at: 5 };
        let found = u64::from_le_bytes(reader.take()?);
        if found != fingerprint {
            return Err(SnapshotError::OtherFingerprint { found, accepted: fingerprint });
        }
        let taken_at = Duration::from_millis(u64::from_le_bytes(reader.take()?));
        let taken_at = SystemTime::UNIX_EPOCH.checked_add(taken_at).ok_or(SnapshotError::Malformed(13))?;
        let watched = Duration::from_millis(u64::from_le_bytes(reader.take()?));
        let mut views: Vec<Arc<str>> = Vec::new();
        for _ in 0..reader.number()? {
            let name = std::str::from_utf8(reader.string()?).map_err(|_| SnapshotError::Malformed(reader.at))?;
            views.push(name.into());
        }
        let count = reader.number()?;
        if count > MOST_KEYS {
            return Err(SnapshotError::Malformed(reader.at));
        }
        let mut keys = Vec::new();
        for _ in 0..count {
            keys.push(reader.key(&views)?);
        }
        match reader.at == body.len() {
            true => Ok(Self { fingerprint, taken_at, watched, keys }),
            false => Err(SnapshotError::Malformed(reader.at)),
        }
    }
}

fn millis(period: Duration) -> u64 {
    u64::try_from(period.as_millis()).unwrap_or(u64::MAX)
}

/// Names and keys are shorter than 64 KiB: views have at most 100 bytes, hot keys what [`HotKeys`](super::HotKeys) takes.
fn string(bytes: &mut Vec<u8>, text: &[u8]) {
    let text = &text[..text.len().min(usize::from(u16::MAX))];
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text);
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let found = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<N>);
        let found = *found.ok_or(SnapshotError::Malformed(self.at))?;
        self.at += N;
        Ok(found)
    }

    fn number(&mut self) -> Result<usize, SnapshotError> {
        Ok(u32::from_le_bytes(self.take()?) as usize)
    }

    fn share(&mut self) -> Result<f64, SnapshotError> {
        let number = f64::from(f32::from_le_bytes(self.take()?));
        if number.is_finite() && number >= 0.0 { Ok(number) } else { Err(SnapshotError::Malformed(self.at)) }
    }

    fn string(&mut self) -> Result<&'a [u8], SnapshotError> {
        let length = usize::from(u16::from_le_bytes(self.take()?));
        let text = self.bytes.get(self.at..self.at + length).ok_or(SnapshotError::Malformed(self.at))?;
        self.at += length;
        Ok(text)
    }

    fn key(&mut self, views: &[Arc<str>]) -> Result<HotKey, SnapshotError> {
        let view = Arc::clone(views.get(self.number()?).ok_or(SnapshotError::Malformed(self.at))?);
        let (weight, error, changes) = (self.share()?, self.share()?, self.share()?);
        let micros = u32::from_le_bytes(self.take()?);
        let cost = (micros > 0).then(|| Duration::from_micros(u64::from(micros)));
        Ok(HotKey { view, key: self.string()?.into(), weight, error, cost, changes })
    }
}
