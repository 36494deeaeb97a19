//! Pages by key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// First byte of every cursor; raised when the layout changes, so that old cursors are refused and not misread.
const VERSION: u8 = 1;
/// Version, hash of the sort specification.
const HEADER_BYTES: usize = 1 + 8;
/// Hash of everything before it.
const CHECKSUM_BYTES: usize = 8;

/// The text that says where the next page starts.
///
/// Layout before base64url: version byte, hash of the name of the sort order, the key as `postcard`, checksum. The
/// checksum refuses accidents (cut or mistyped cursors) and the hash refuses cursors of another order; neither is a
/// signature, so whatever a cursor selects must be checked for access like any other parameter.
///
/// # Examples
///
/// ```
/// use tierkeep_db::Cursor;
///
/// let cursor = Cursor::encode("sessions by start", &(1_700_000_000_000_000_i64, "id-7"));
/// let (start, id): (i64, String) = Cursor::decode("sessions by start", &cursor)?;
/// assert_eq!((start, id.as_str()), (1_700_000_000_000_000, "id-7"));
/// assert!(Cursor::decode::<(i64, String)>("sessions by length", &cursor).is_err());
/// # Ok::<(), tierkeep_db::CursorError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Cursor;

/// Why a text is not a cursor for this page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CursorError {
    /// The text was cut, mistyped, or never was a cursor.
    #[error("the cursor is damaged, accepted is the `next` of a page, unchanged")]
    Damaged,
    /// The cursor was made by another version of this program.
    #[error("the cursor was made by another version, start again from the first page")]
    Version,
    /// The cursor belongs to a page with another order.
    #[error("the cursor belongs to another sort order, start again from the first page")]
    Foreign,
}

/// How many rows a page has: 1 to 1000, 100 by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct PageSize(u32);

/// A number that is not a page size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a page of {given} rows was asked for, accepted are {} to {}", PageSize::MIN, PageSize::MAX)]
pub struct PageSizeError {
    given: u32,
}

/// Rows of one page, and where the next one starts.
///
/// # The rule
///
/// A page starts after the key of the last row of the page before it, never at an offset: a page costs the same wherever
/// it is, and rows inserted or deleted meanwhile are neither repeated nor skipped. For that to hold
///
/// - the order must be total, so **the key ends in a unique column**: `order by start_time desc, id desc`;
/// - the condition is a **row value** over the same columns in the same direction:
///   `where (start_time, id) < ($1, $2)`. Both databases turn that into an index condition; the textbook
///   `a < x or (a = x and id < y)` becomes a filter that reads everything before the page;
/// - the values in the cursor have full precision: instants as integer microseconds, never floating point;
/// - one row more than the page is read, which tells whether there is a next page without counting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The rows, in order.
    pub items: Vec<T>,
    /// Cursor of the next page; `None` if this is the last one.
    pub next: Option<String>,
}

impl Cursor {
    /// Encodes the key of the last row of a page.
    ///
    /// `spec` names the sort order and everything else the key depends on, such as filters.
    ///
    /// # Panics
    ///
    /// If `values` cannot be encoded, which numbers, texts, options and tuples of them always can.
    pub fn encode<T: Serialize + ?Sized>(spec: &str, values: &T) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(xxh3_64(spec.as_bytes()).to_le_bytes());
        let mut bytes = postcard::to_extend(values, bytes).expect("a key is made of plain values");
        bytes.extend(xxh3_64(&bytes).to_le_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Decodes a cursor that was made for the same `spec`.
    ///
    /// # Errors
    ///
    /// Any [`CursorError`]; never a panic, whatever the text is.
    pub fn decode<T: DeserializeOwned>(spec: &str, cursor: &str) -> Result<T, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| CursorError::Damaged)?;
        let (body, checksum) = bytes
            .split_last_chunk::<CHECKSUM_BYTES>()
            .filter(|(body, _)| body.len() >= HEADER_BYTES)
            .ok_or(CursorError::Damaged)?;
        if xxh3_64(body) != u64::from_le_bytes(*checksum) {
            return Err(CursorError::Damaged);
        }
        let (header, values) = body.split_at(HEADER_BYTES);
        if header[0] != VERSION {
            return Err(CursorError::Version);
        }
        if header[1..] != xxh3_64(spec.as_bytes()).to_le_bytes() {
            return Err(CursorError::Foreign);
        }
        match postcard::take_from_bytes(values) {
            Ok((values, [])) => Ok(values),
            Ok(_) | Err(_) => Err(CursorError::Damaged),
        }
    }
}

impl PageSize {
    /// Fewest rows of a page.
    pub const MIN: u32 = 1;
    /// Most rows of a page. A page is held in memory whole.
    pub const MAX: u32 = 1000;

    /// Checks a number of rows.
    ///
    /// # Errors
    ///
    /// [`PageSizeError`] outside of 1 to 1000.
    pub fn new(rows: u32) -> Result<Self, PageSizeError> {
        if (Self::MIN..=Self::MAX).contains(&rows) { Ok(Self(rows)) } else { Err(PageSizeError { given: rows }) }
    }

    /// Returns the number of rows.
    pub fn get(self) -> u32 {
        self.0
    }

    /// Returns the `limit` to read with: one row more, which tells whether there is a next page.
    pub fn limit(self) -> u32 {
        self.0 + 1
    }
}

impl<T> Page<T> {
    /// Makes a page of rows that were read with [`PageSize::limit`], in order.
    ///
    /// `key` returns the sort key of a row; it is called at most once.
    pub fn new<K: Serialize>(mut rows: Vec<T>, size: PageSize, spec: &str, key: impl FnOnce(&T) -> K) -> Self {
        let kept = size.0 as usize;
        let has_next = rows.len() > kept;
        rows.truncate(kept);
        let next = rows.last().filter(|_| has_next).map(|last| Cursor::encode(spec, &key(last)));
        Self { items: rows, next }
    }
}

impl Default for PageSize {
    fn default() -> Self {
        Self(100)
    }
}

impl std::fmt::Display for PageSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<u32> for PageSize {
    type Error = PageSizeError;

    fn try_from(rows: u32) -> Result<Self, PageSizeError> {
        Self::new(rows)
    }
}

impl From<PageSize> for u32 {
    fn from(size: PageSize) -> Self {
        size.0
    }
}

#[cfg(test)]
mod tests;
