//! One argument as bytes: different arguments, or equal ones of different types, have different bytes.
//!
//! Every value begins with a letter for its type and tells its length before its content, so that no two sequences of
//! values are written alike. What is in a set or a dict is sorted by its bytes, as equal ones may differ in order.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple};

use crate::module::key;

/// Deepest nesting of containers: far more than a reader would write, far less than the stack holds.
const DEEPEST: usize = 100;

/// Appends the bytes of a value.
///
/// # Errors
/// TypeError for what has none; whatever a `__tierkeep_key__` raises.
pub(super) fn encode(out: &mut Vec<u8>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    nested(out, value, 0)
}

/// Appends a text that is known to be one.
pub(super) fn text(out: &mut Vec<u8>, text: &[u8]) {
    counted(out, b's', text.len());
    out.extend_from_slice(text);
}

fn nested(out: &mut Vec<u8>, value: &Bound<'_, PyAny>, depth: usize) -> PyResult<()> {
    if depth > DEEPEST {
        return Err(PyTypeError::new_err(format!("it is nested more than {DEEPEST} deep, or contains itself")));
    }
    if let Ok(value) = value.cast_exact::<PyString>() {
        text(out, &key::bytes_of(value)?);
    } else if let Ok(value) = value.cast_exact::<PyInt>() {
        match value.extract::<i64>() {
            Ok(number) => {
                out.push(b'i');
                out.extend_from_slice(&number.to_le_bytes());
            }
            // in base 16, which has no limit on digits
            Err(_) => {
                let digits = value.call_method1("__format__", ("x",))?;
                let digits = digits.cast::<PyString>()?.to_str()?;
                counted(out, b'I', digits.len());
                out.extend_from_slice(digits.as_bytes());
            }
        }
    } else if value.is_none() {
        out.push(b'n');
    } else if let Ok(value) = value.cast_exact::<PyBool>() {
        out.push(if value.is_true() { b't' } else { b'f' });
    } else if let Ok(value) = value.cast_exact::<PyFloat>() {
        out.push(b'd');
        out.extend_from_slice(&value.value().to_bits().to_le_bytes());
    } else if let Ok(value) = value.cast_exact::<PyBytes>() {
        counted(out, b'b', value.as_bytes().len());
        out.extend_from_slice(value.as_bytes());
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
            let mut bytes = Vec::new();
            nested(&mut bytes, &key, depth + 1)?;
            nested(&mut bytes, &item, depth + 1)?;
            items.push(bytes);
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
        let described = DESCRIBE.import(value.py(), "tierkeep.cache._keys", "describe")?.call1((value,))?;
        out.push(b'o');
        nested(out, &described, depth + 1)?;
    }
    Ok(())
}

fn one(value: &Bound<'_, PyAny>, depth: usize) -> PyResult<Vec<u8>> {
    let mut bytes = Vec::new();
    nested(&mut bytes, value, depth + 1)?;
    Ok(bytes)
}

/// Each item tells its own length, so they need no mark between them.
fn sorted(out: &mut Vec<u8>, letter: u8, mut items: Vec<Vec<u8>>) {
    items.sort_unstable();
    counted(out, letter, items.len());
    for item in items {
        out.extend_from_slice(&item);
    }
}

fn counted(out: &mut Vec<u8>, letter: u8, count: usize) {
    out.push(letter);
    out.extend_from_slice(&u64::try_from(count).unwrap_or(u64::MAX).to_le_bytes());
}
