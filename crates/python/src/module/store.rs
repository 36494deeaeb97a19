//! `_core.Store`: a store by plain text keys, for any Python code.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyString};
use tierkeep_generations::Slot;

use super::ending::{all_of, beneath};
use super::key;
use super::place::{self, Place, Table};
use super::stored::Complaints;
use super::value::Kept;
use crate::glob::Glob;
use crate::store::{Bounds, Culling, Expiry, Facts, Offer};

/// Bytes of a store unless told otherwise.
pub(super) const DEFAULT_BYTES: usize = 64 << 20;

/// A cache of this process: values by text key, with expiry, tags and a bound.
#[pyclass(frozen, module = "tierkeep._core")]
pub(super) struct Store {
    pub(super) place: Arc<Place>,
}

/// What a value depends on, as it was when the token was taken.
#[pyclass(frozen, module = "tierkeep._core")]
pub(super) struct Token {
    inside: crate::store::Token,
}

/// Seconds as Python says them: None for ever, zero and less over at once.
pub(super) fn expiry(seconds: Option<f64>) -> PyResult<Expiry> {
    let Some(seconds) = seconds else { return Ok(Expiry::NEVER) };
    Expiry::after(seconds, place::now()).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// The slots of an iterable of tags.
pub(super) fn tags(place: &Place, tags: Option<&Bound<'_, PyAny>>) -> PyResult<Box<[Slot]>> {
    let Some(tags) = tags else { return Ok(Box::default()) };
    if tags.is_instance_of::<PyString>() {
        return Err(pyo3::exceptions::PyTypeError::new_err("tags is a collection of str, not one str"));
    }
    let mut slots = Vec::new();
    for tag in all_of(tags)? {
        slots.push(place.tag(&key::bytes_of(tag.cast::<PyString>()?)?));
    }
    slots.sort_unstable();
    slots.dedup();
    Ok(slots.into())
}

/// Adds to a kept number, as often as another thread comes in between. `value + delta` is Python's, outside of any lock.
/// None: there is no such key.
pub(super) fn add_to(place: &Place, key: &[u8], delta: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
    let py = delta.py();
    loop {
        let Some((kept, facts)) = place.look(key, place::now(), |kept, facts| (kept.handle(py), facts)) else {
            return Ok(None);
        };
        let value = kept.into_value(py)?;
        let value = value.bind(py);
        let are_plain = is_plain(value) && is_plain(delta);
        let sum = if are_plain { value.add(delta)? } else { beneath(|| value.add(delta))? };
        if place.replace(key, facts.sequence, Kept::of(&sum)?, place::now()) {
            return Ok(Some(sum.unbind()));
        }
    }
}

/// Whether adding it runs no code but CPython's own.
fn is_plain(number: &Bound<'_, PyAny>) -> bool {
    number.is_exact_instance_of::<PyInt>() || number.is_exact_instance_of::<PyFloat>()
}

/// A kept value, if there is a live one.
pub(super) fn read(py: Python<'_>, place: &Place, key: &[u8]) -> PyResult<Option<Py<PyAny>>> {
    match place.get(key, place::now(), |kept| kept.handle(py)) {
        Some(kept) => value_of(py, place, key, kept),
        None => Ok(None),
    }
}

/// What a reader gets of what was kept: nothing if it cannot be unpickled any more, its class being gone. It is dropped
/// then, or it would be in the way of `add` for as long as it lives.
///
/// # Errors
/// As [`Complaints::log`].
pub(super) fn value_of(py: Python<'_>, place: &Place, key: &[u8], kept: Kept) -> PyResult<Option<Py<PyAny>>> {
    static COMPLAINTS: Complaints = Complaints::nothing();
    match kept.into_value(py) {
        Ok(value) => Ok(Some(value)),
        Err(error) => {
            COMPLAINTS.log(py, error.into())?;
            place.forget(key);
            Ok(None)
        }
    }
}

impl Store {
    fn offer(
        &self,
        value: &Bound<'_, PyAny>,
        timeout: Option<f64>,
        of: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Offer<Kept>> {
        Ok(Offer { value: Kept::of(value)?, tags: tags(&self.place, of)?, expires: expiry(timeout)? })
    }
}

#[pymethods]
impl Token {
    /// Equal for two tokens of one key and tags if and only if nothing was written in between.
    fn mark(&self) -> u64 {
        self.inside.number()
    }
}

#[pymethods]
impl Store {
    #[new]
    #[pyo3(signature = (name=None, *, max_bytes=DEFAULT_BYTES, max_entries=None, cull_frequency=3, shared=false, generations=None))]
    fn new(
        name: Option<&str>,
        max_bytes: usize,
        max_entries: Option<usize>,
        cull_frequency: usize,
        shared: bool,
        generations: Option<PathBuf>,
    ) -> PyResult<Self> {
        let culling = max_entries.map(|entries| Culling { entries, frequency: cull_frequency });
        let bounds = Bounds { bytes: max_bytes, culling };
        let table = match generations {
            Some(path) => Table::File(path),
            None if shared => Table::File(place::shared_table_path()),
            None => Table::Private,
        };
        let place = match name {
            Some(name) => place::open(&format!("store {name}"), bounds, &table)?,
            None => place::open_unnamed(bounds, &table)?,
        };
        Ok(Store { place })
    }

    #[pyo3(signature = (key, default=None))]
    fn get(&self, key: &Bound<'_, PyString>, default: Option<Py<PyAny>>) -> PyResult<Option<Py<PyAny>>> {
        Ok(read(key.py(), &self.place, &key::bytes_of(key)?)?.or(default))
    }

    fn get_many<'py>(&self, keys: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let found = PyDict::new(keys.py());
        for key in all_of(keys)? {
            if let Some(value) = read(key.py(), &self.place, &key::bytes_of(key.cast::<PyString>()?)?)? {
                found.set_item(key, value)?;
            }
        }
        Ok(found)
    }

    #[pyo3(signature = (key, value, timeout=None, tags=None))]
    fn set(
        &self,
        key: &Bound<'_, PyString>,
        value: &Bound<'_, PyAny>,
        timeout: Option<f64>,
        tags: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.place.set(&key::bytes_of(key)?, self.offer(value, timeout, tags)?, place::now());
        Ok(())
    }

    #[pyo3(signature = (key, value, timeout=None, tags=None))]
    fn add(
        &self,
        key: &Bound<'_, PyString>,
        value: &Bound<'_, PyAny>,
        timeout: Option<f64>,
        tags: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        Ok(self.place.add(&key::bytes_of(key)?, self.offer(value, timeout, tags)?, None, place::now()))
    }

    #[pyo3(signature = (key, tags=None))]
    fn token(&self, key: &Bound<'_, PyString>, tags: Option<&Bound<'_, PyAny>>) -> PyResult<Token> {
        let slots = self::tags(&self.place, tags)?;
        Ok(Token { inside: self.place.token(&key::bytes_of(key)?, &slots) })
    }

    #[pyo3(signature = (key, value, token, timeout=None, tags=None))]
    fn fill(
        &self,
        key: &Bound<'_, PyString>,
        value: &Bound<'_, PyAny>,
        token: &Bound<'_, Token>,
        timeout: Option<f64>,
        tags: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let offer = self.offer(value, timeout, tags)?;
        Ok(self.place.fill(&key::bytes_of(key)?, offer, token.get().inside, place::now()))
    }

    #[pyo3(signature = (key, timeout=None))]
    fn touch(&self, key: &Bound<'_, PyString>, timeout: Option<f64>) -> PyResult<bool> {
        Ok(self.place.touch(&key::bytes_of(key)?, expiry(timeout)?, place::now()))
    }

    fn incr(&self, key: &Bound<'_, PyString>, delta: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let added = add_to(&self.place, &key::bytes_of(key)?, delta)?;
        added.ok_or_else(|| PyKeyError::new_err(key.clone().unbind()))
    }

    fn remaining(&self, key: &Bound<'_, PyString>) -> PyResult<Option<f64>> {
        let now = place::now();
        let left = self.place.look(&key::bytes_of(key)?, now, |_, Facts { expires, .. }| expires.seconds_left(now));
        left.ok_or_else(|| PyKeyError::new_err(key.clone().unbind()))
    }

    fn delete(&self, key: &Bound<'_, PyString>) -> PyResult<bool> {
        Ok(self.place.delete(&key::bytes_of(key)?, place::now()))
    }

    fn delete_many(&self, keys: &Bound<'_, PyAny>) -> PyResult<usize> {
        let mut deleted = 0;
        for key in all_of(keys)? {
            deleted += usize::from(self.delete(key.cast::<PyString>()?)?);
        }
        Ok(deleted)
    }

    #[pyo3(signature = (pattern=None))]
    fn keys<'py>(&self, py: Python<'py>, pattern: Option<&Bound<'py, PyString>>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let pattern = pattern.map(|pattern| key::bytes_of(pattern)).transpose()?.unwrap_or(b"*".into());
        let glob = Glob::new(&pattern);
        let keys = self.place.keys(glob.prefix(), |key| glob.matches(key), place::now());
        keys.iter().map(|key| key::text_of(py, key)).collect()
    }

    fn delete_matching(&self, pattern: &Bound<'_, PyString>) -> PyResult<usize> {
        let glob = Glob::new(&key::bytes_of(pattern)?);
        Ok(self.place.delete_matching(glob.prefix(), |key| glob.matches(key), place::now()))
    }

    fn invalidate_tags(&self, tags: &Bound<'_, PyAny>) -> PyResult<()> {
        self.place.invalidate_tags(&self::tags(&self.place, Some(tags))?);
        Ok(())
    }

    fn clear(&self) {
        self.place.clear();
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        stats(py, &self.place)
    }

    fn __len__(&self) -> usize {
        self.place.len()
    }

    fn __contains__(&self, key: &Bound<'_, PyString>) -> PyResult<bool> {
        Ok(self.place.get(&key::bytes_of(key)?, place::now(), |_| ()).is_some())
    }
}

/// What happened in a store, as Python reads it.
pub(super) fn stats<'py>(py: Python<'py>, place: &Place) -> PyResult<Bound<'py, PyDict>> {
    let counts = place.counts();
    let stats = PyDict::new(py);
    stats.set_item("hits", counts.hits)?;
    stats.set_item("misses", counts.misses)?;
    stats.set_item("evictions", counts.evictions)?;
    stats.set_item("entries", place.len())?;
    stats.set_item("bytes", place.weight())?;
    Ok(stats)
}
