//! Keys: the text a caller gives as the bytes a store keeps.

use std::borrow::Cow;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString};

/// Characters that memcached takes; more are warned of, by Django.
const LONGEST: usize = 250;

/// The bytes of a text. Lone surrogates, which have no UTF-8 form, are written as if they had.
///
/// # Errors
/// None but MemoryError.
pub(super) fn bytes_of<'a>(text: &'a Bound<'_, PyString>) -> PyResult<Cow<'a, [u8]>> {
    if let Ok(utf8) = text.to_str() {
        return Ok(Cow::Borrowed(utf8.as_bytes()));
    }
    let encoded = text.call_method1("encode", ("utf-8", "surrogatepass"))?;
    Ok(Cow::Owned(encoded.cast::<PyBytes>()?.as_bytes().to_vec()))
}

/// The text of bytes that [`bytes_of`] made.
///
/// # Errors
/// UnicodeDecodeError for other bytes.
pub(super) fn text_of<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(PyString::new(py, text).into_any()),
        Err(_) => PyBytes::new(py, bytes).call_method1("decode", ("utf-8", "surrogatepass")),
    }
}

/// What goes before each key, made ready as long as it is made in Django's way.
#[derive(Debug, Default)]
pub(super) struct Prefix {
    /// Prefix and colon.
    head: Vec<u8>,
    /// Prefix, version, colons.
    whole: Vec<u8>,
}

/// A made key of at most 250 bytes, without an allocation.
pub(super) struct Made {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Made {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.length + bytes.len();
        self.bytes.get_mut(self.length..end)?.copy_from_slice(bytes);
        self.length = end;
        Some(())
    }
}

impl Prefix {
    /// None if prefix or version are such that only Python can tell what they look like in a key, or would be warned of.
    pub(super) fn of(key_prefix: &Bound<'_, PyAny>, version: &Bound<'_, PyAny>) -> Option<Self> {
        let prefix = key_prefix.cast_exact::<PyString>().ok()?.to_str().ok()?;
        let version = version.cast_exact::<PyInt>().ok()?.extract::<i64>().ok()?;
        let head = format!("{prefix}:");
        let whole = format!("{head}{version}:");
        is_clean(whole.as_bytes()).then(|| Prefix { head: head.into_bytes(), whole: whole.into_bytes() })
    }

    /// The key of Django's default function, if nobody has to be warned of it.
    pub(super) fn make(&self, key: &[u8], version: Option<i64>) -> Option<Made> {
        let mut made = Made { bytes: [0; LONGEST], length: 0 };
        match version {
            None => made.push(&self.whole)?,
            Some(version) => {
                made.push(&self.head)?;
                made.push(version.to_string().as_bytes())?;
                made.push(b":")?;
            }
        }
        if !is_clean(key) {
            return None;
        }
        made.push(key)?;
        Some(made)
    }
}

/// No blank, no control character: byte by byte, which is right for UTF-8, whose longer forms have only higher bytes.
fn is_clean(bytes: &[u8]) -> bool {
    // All of them in any case, without a branch: many at once.
    !bytes.iter().fold(false, |found, byte| found | (*byte <= 0x20) | (*byte == 0x7f))
}
