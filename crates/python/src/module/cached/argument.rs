//! One argument as bytes: different arguments, or equal ones of different types, have different bytes.
//!
//! Every value begins with a letter for its type and tells its length before its content, so that no two sequences of
//! values are written alike. What is in a set or a dict is sorted by its bytes, as equal ones may differ in order.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple};

use crate::module::ending::beneath;
use crate::module::key;

/// Deepest nesting of containers: far more than a reader would write, far less than the stack holds.
const DEEPEST: usize = 100;

/// Bytes of a [`Bytes`] that need no allocation: the name of a function and a few short arguments.
const SHORT: usize = 128;

/// Bytes on the stack while they are few, as those of most keys are: an allocation would be a sixth of a hit.
#[derive(Clone)]
pub(super) struct Bytes {
    short: [u8; SHORT],
    length: usize,
    /// All of them, once they are more than [`SHORT`].
    long: Vec<u8>,
}

impl Bytes {
    pub(super) const fn new() -> Self {
        Bytes { short: [0; SHORT], length: 0, long: Vec::new() }
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[u8] {
        if self.length <= SHORT { &self.short[..self.length] } else { &self.long }
    }

    #[inline]
    pub(super) fn push(&mut self, byte: u8) {
        self.extend(&[byte]);
    }

    #[inline]
    pub(super) fn extend(&mut self, more: &[u8]) {
        let end = self.length + more.len();
        match self.short.get_mut(self.length..end) {
            Some(place) => place.copy_from_slice(more),
            None => self.spill(more),
        }
        self.length = end;
    }

    #[cold]
    fn spill(&mut self, more: &[u8]) {
        if self.length <= SHORT {
            self.long.extend_from_slice(&self.short[..self.length]);
        }
        self.long.extend_from_slice(more);
    }
}

/// Appends the bytes of a value.
///
/// # Errors
/// TypeError for what has none; whatever a `__tierkeep_key__` raises.
#[inline]
pub(super) fn encode(out: &mut Bytes, value: &Bound<'_, PyAny>) -> PyResult<()> {
    nested(out, value, 0)
}

/// Appends a text that is known to be one.
#[inline]
pub(super) fn text(out: &mut Bytes, text: &[u8]) {
    counted(out, b's', text.len());
    out.extend(text);
}

#[inline]
fn nested(out: &mut Bytes, value: &Bound<'_, PyAny>, depth: usize) -> PyResult<()> {
    if depth > DEEPEST {
        return Err(PyTypeError::new_err(format!("it is nested more than {DEEPEST} deep, or contains itself")));
    }
    // What nearly all arguments are, where the caller has it at hand.
    if let Ok(value) = value.cast_exact::<PyString>() {
        text(out, &key::bytes_of(value)?);
        return Ok(());
    }
    if let Ok(value) = value.cast_exact::<PyInt>() {
        return whole(out, value);
    }
    other(out, value, depth)
}

fn whole(out: &mut Bytes, value: &Bound<'_, PyInt>) -> PyResult<()> {
    if let Ok(number) = value.extract::<i64>() {
        tagged(out, b'i', number.to_le_bytes());
        return Ok(());
    }
    // in base 16, which has no limit on digits
    let digits = value.call_method1("__format__", ("x",))?;
    let digits = digits.cast::<PyString>()?.to_str()?;
    counted(out, b'I', digits.len());
    out.extend(digits.as_bytes());
    Ok(())
}

fn other(out: &mut Bytes, value: &Bound<'_, PyAny>, depth: usize) -> PyResult<()> {
    if value.is_none() {
        out.push(b'n');
    } else if let Ok(value) = value.cast_exact::<PyBool>() {
        out.push(if value.is_true() { b't' } else { b'f' });
    } else if let Ok(value) = value.cast_exact::<PyFloat>() {
        tagged(out, b'd', value.value().to_bits().to_le_bytes());
    } else if let Ok(value) = value.cast_exact::<PyBytes>() {
        counted(out, b'b', value.as_bytes().len());
        out.extend(value.as_bytes());
    } else if let Ok(value) = value.cast_exact::<PyTuple>() {
        counted(out, b'T', value.len());
        for item in value {
            nested(out, &item, depth + 1)?;
        }
    } else if let Ok(value) = value.cast_exact::<PyList>() {
        counted(out, b'L', value.len());
        for item in value {
            nested(out, &item, depth + 1)?;
        }
    } else if let Ok(value) = value.cast_exact::<PyDict>() {
        let mut items = Vec::with_capacity(value.len());
        for (key, item) in value {
            let mut bytes = Bytes::new();
            nested(&mut bytes, &key, depth + 1)?;
            nested(&mut bytes, &item, depth + 1)?;
            items.push(bytes.as_slice().to_vec());
        }
        sorted(out, b'D', items);
    } else if let Ok(value) = value.cast_exact::<PySet>() {
        let items = value.iter().map(|item| one(&item, depth)).collect::<PyResult<_>>()?;
        sorted(out, b'S', items);
    } else if let Ok(value) = value.cast_exact::<PyFrozenSet>() {
        let items = value.iter().map(|item| one(&item, depth)).collect::<PyResult<_>>()?;
        sorted(out, b'F', items);
    } else {
        static DESCRIBE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = value.py();
        let described = beneath(|| DESCRIBE.import(py, "tierkeep.cache._keys", "describe")?.call1((value,)))?;
        out.push(b'o');
        nested(out, &described, depth + 1)?;
    }
    Ok(())
}

fn one(value: &Bound<'_, PyAny>, depth: usize) -> PyResult<Vec<u8>> {
    let mut bytes = Bytes::new();
    nested(&mut bytes, value, depth + 1)?;
    Ok(bytes.as_slice().to_vec())
}

/// Each item tells its own length, so they need no mark between them.
fn sorted(out: &mut Bytes, letter: u8, mut items: Vec<Vec<u8>>) {
    items.sort_unstable();
    counted(out, letter, items.len());
    for item in items {
        out.extend(&item);
    }
}

#[inline]
fn counted(out: &mut Bytes, letter: u8, count: usize) {
    tagged(out, letter, u64::try_from(count).unwrap_or(u64::MAX).to_le_bytes());
}

/// A letter and what has always eight bytes, as one piece.
#[inline]
fn tagged(out: &mut Bytes, letter: u8, bytes: [u8; 8]) {
    let [a, b, c, d, e, f, g, h] = bytes;
    out.extend(&[letter, a, b, c, d, e, f, g, h]);
}
