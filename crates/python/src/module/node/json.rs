//! JSON straight into Python objects, as `json.loads` makes them.

use std::fmt;

use crate::node::Decoded;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyList, PyString};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Why there is no object.
pub(super) enum DecodeError {
    /// The text is no JSON, or goes beyond what can be read.
    Text(String),
    /// Python could not make it.
    Python(PyErr),
}

/// The document as Python objects: dict, list, str, int, float, bool, None.
pub(super) fn decode<'py>(py: Python<'py>, text: &str) -> Result<Bound<'py, PyAny>, DecodeError> {
    let mut failed = None;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let decoded = Node { py, failed: &mut failed }.deserialize(&mut deserializer).and_then(|value| {
        deserializer.end()?;
        Ok(value)
    });
    match (decoded, failed) {
        (_, Some(error)) => Err(DecodeError::Python(error)),
        (Ok(value), None) => Ok(value),
        (Err(error), None) => Err(DecodeError::Text(error.to_string())),
    }
}

/// The document for one more reader: a copy of what was made at the first time, so that none changes another's.
///
/// What is kept is made of exact dicts, lists, texts and numbers. Nothing of Python's runs when the last reference to it
/// goes, which may be under the lock of the client.
pub(super) fn again<'py>(py: Python<'py>, text: &str, kept: &Decoded) -> Result<Bound<'py, PyAny>, DecodeError> {
    if let Some(made) = kept.get().and_then(|made| made.downcast_ref::<Py<PyAny>>()) {
        return copy(made.bind(py)).map_err(DecodeError::Python);
    }
    let made = decode(py, text)?;
    let copied = copy(&made).map_err(DecodeError::Python)?;
    // another thread may have been first; its object is as good
    let _first = kept.set(Box::new(made.unbind()));
    Ok(copied)
}

/// Dicts and lists anew, all else shared.
fn copy<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if let Ok(dict) = value.cast_exact::<PyDict>() {
        let copied = dict.copy()?;
        for (key, inner) in dict {
            if inner.is_exact_instance_of::<PyDict>() || inner.is_exact_instance_of::<PyList>() {
                copied.set_item(key, copy(&inner)?)?;
            }
        }
        return Ok(copied.into_any());
    }
    if let Ok(list) = value.cast_exact::<PyList>() {
        let copied = PyList::empty(value.py());
        for inner in list {
            copied.append(copy(&inner)?)?;
        }
        return Ok(copied.into_any());
    }
    Ok(value.clone())
}

/// One place in the document.
struct Node<'a, 'py> {
    py: Python<'py>,
    /// What Python raised, which serde's error has no room for.
    failed: &'a mut Option<PyErr>,
}

impl<'py> Node<'_, 'py> {
    fn made<T, E: Error>(&mut self, made: PyResult<T>) -> Result<T, E> {
        made.map_err(|error| {
            *self.failed = Some(error);
            E::custom("Python could not make the object")
        })
    }

    fn inner(&mut self) -> Node<'_, 'py> {
        Node { py: self.py, failed: self.failed }
    }
}

impl<'de, 'py> DeserializeSeed<'de> for Node<'_, 'py> {
    type Value = Bound<'py, PyAny>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, 'py> Visitor<'de> for Node<'_, 'py> {
    type Value = Bound<'py, PyAny>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(value.into_pyobject(self.py).map(|bound| bound.to_owned().into_any()).unwrap_or_else(|never| match never {}))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(value.into_pyobject(self.py).map(Bound::into_any).unwrap_or_else(|never| match never {}))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(value.into_pyobject(self.py).map(Bound::into_any).unwrap_or_else(|never| match never {}))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(PyFloat::new(self.py, value).into_any())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(PyString::new(self.py, value).into_any())
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(self.py.None().into_bound(self.py))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Self::Value, A::Error> {
        let list = PyList::empty(self.py);
        while let Some(item) = items.next_element_seed(self.inner())? {
            let appended = list.append(item);
            self.made(appended)?;
        }
        Ok(list.into_any())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Self::Value, A::Error> {
        let dict = PyDict::new(self.py);
        while let Some(key) = entries.next_key_seed(self.inner())? {
            let value = entries.next_value_seed(self.inner())?;
            let set = dict.set_item(key, value);
            self.made(set)?;
        }
        Ok(dict.into_any())
    }
}
