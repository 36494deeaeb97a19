//! `_core.CacheCore`: what is hot of Django's cache backend. One call from Python makes the key, checks it, looks up,
//! checks expiry, tags and generations, and gives the value back.
//!
//! Length: Python's methods of one class stand in one block. What a server behind it is asked is in `second`, what can be
//! assigned in `settings`, what a value that is stored is compared with in `fills`.

mod fills;
mod second;
mod settings;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyList, PyString};

use self::fills::store_or_fill;
use self::second::Second;
use self::settings::{Settings, Timeout};
use super::ending::{all_of, beneath, or_instead};
use super::key::{self, Made};
use super::misses::{self, MissToken};
use super::place::{self, Place, Table};
use super::shared::SharedStore;
use super::store;
use super::value::Kept;
use crate::glob::Glob;
use crate::store::Facts;

/// The part of `tierkeep.django.Cache` that is in Rust.
#[pyclass(subclass, frozen, module = "tierkeep._core")]
pub(super) struct CacheCore {
    place: OnceLock<Arc<Place>>,
    /// Redis or Valkey, of which the place then holds copies.
    second: OnceLock<Second>,
    /// The lock is held for no Python code.
    settings: Mutex<Settings>,
}

/// A key as it lies in the store, however it was made.
#[expect(clippy::large_enum_variant, reason = "it lives on the stack of one call, and the large one is the usual one")]
enum MadeKey {
    Quickly(Made),
    ByPython(Vec<u8>),
}

impl MadeKey {
    fn as_bytes(&self) -> &[u8] {
        match self {
            MadeKey::Quickly(made) => made.as_bytes(),
            MadeKey::ByPython(bytes) => bytes,
        }
    }
}

impl CacheCore {
    fn place(&self) -> PyResult<&Arc<Place>> {
        self.place.get().ok_or_else(|| PyRuntimeError::new_err("BaseCache.__init__ of this backend was not called"))
    }

    /// The key as it is kept; by Python's own methods whenever that could make a difference, a warning for example.
    fn key(slf: &Bound<'_, Self>, key: &Bound<'_, PyAny>, version: Option<&Bound<'_, PyAny>>) -> PyResult<MadeKey> {
        if let Some(made) = Self::quick_key(slf, key, version) {
            return Ok(MadeKey::Quickly(made));
        }
        let made = Self::text_of_key(slf, "make_and_validate_key", key, version)?;
        Ok(MadeKey::ByPython(key::bytes_of(&made)?.into_owned()))
    }

    fn quick_key(slf: &Bound<'_, Self>, key: &Bound<'_, PyAny>, version: Option<&Bound<'_, PyAny>>) -> Option<Made> {
        let number = match version {
            None => None,
            Some(version) => Some(version.cast_exact::<PyInt>().ok()?.extract::<i64>().ok()?),
        };
        let text = key.cast_exact::<PyString>().ok()?.to_str().ok()?;
        slf.get().settings().prefix.as_ref().and_then(|prefix| prefix.make(text.as_bytes(), number))
    }

    fn text_of_key<'py>(
        slf: &Bound<'py, Self>,
        method: &str,
        key: &Bound<'py, PyAny>,
        version: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyString>> {
        let options = PyDict::new(slf.py());
        options.set_item("version", version)?;
        let made = beneath(|| slf.call_method(method, (key,), Some(&options)))?;
        made.cast_into::<PyString>().map_err(|_| PyTypeError::new_err("the function of keys must give a str"))
    }

    /// The values of all keys, if copies of all are in this process and count. Asks no server. Warns of keys only if
    /// so: else whoever asks the server will.
    fn copies(
        slf: &Bound<'_, Self>,
        keys: &[Bound<'_, PyAny>],
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<Vec<Py<PyAny>>>> {
        let Some(second) = slf.get().second.get() else { return Ok(None) };
        let (mut made, mut unwarned) = (Vec::with_capacity(keys.len()), Vec::new());
        for key in keys {
            if let Some(quick) = Self::quick_key(slf, key, version) {
                made.push(quick.as_bytes().to_vec());
            } else if slf.get().settings().ordinary {
                let text = Self::text_of_key(slf, "make_key", key, version)?;
                made.push(key::bytes_of(&text)?.into_owned());
                unwarned.push(text);
            } else {
                made.push(Self::key(slf, key, version)?.as_bytes().to_vec());
            }
        }
        let found = or_instead(slf.py(), second.copies(slf.py(), &made), || None)?;
        if found.is_some() {
            for text in unwarned {
                beneath(|| slf.call_method1("validate_key", (text,)))?;
            }
        }
        Ok(found)
    }

    /// A live value; else the miss is remembered.
    fn read(&self, py: Python<'_>, key: &[u8]) -> PyResult<Option<Py<PyAny>>> {
        let place = self.place()?;
        if let Some(second) = self.second.get() {
            return second.read(py, key);
        }
        let found = store::read(py, place, key)?;
        if found.is_some() {
            // What is stored from here on was decided in knowledge of this value.
            misses::take(py, place, key, place::now())?;
        } else if self.settings().lease > 0 {
            let token = MissToken::Open { plain: place.token(key, &[]), tagged: place.token_of_any_tag(key) };
            misses::remember(py, place, key, token, place::now())?;
        }
        Ok(found)
    }

    fn made(
        slf: &Bound<'_, Self>,
        keys: &[Bound<'_, PyAny>],
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<Vec<u8>>> {
        keys.iter().map(|key| Ok(Self::key(slf, key, version)?.as_bytes().to_vec())).collect()
    }

    fn not_found(key: &MadeKey) -> PyErr {
        PyValueError::new_err(format!("Key '{}' not found", String::from_utf8_lossy(key.as_bytes())))
    }

    fn version_or_own<'py>(&self, py: Python<'py>, version: Option<Bound<'py, PyAny>>) -> Bound<'py, PyAny> {
        version.unwrap_or_else(|| self.settings().version.clone_ref(py).into_bound(py))
    }
}

/// How many keys a request looks at.
fn positive(step: Option<usize>) -> PyResult<Option<usize>> {
    match step {
        Some(0) => Err(PyValueError::new_err("itersize is 0: it has to be 1 or more")),
        step => Ok(step),
    }
}

/// The pairs of a mapping.
fn pairs_of<'py>(data: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    beneath(|| all_of(&data.call_method0("items")?))
}

/// Seconds of a time-out: None for ever.
fn seconds(timeout: &Bound<'_, PyAny>) -> PyResult<Option<f64>> {
    if timeout.is_none() { Ok(None) } else { timeout.extract::<f64>().map(Some) }
}

#[pymethods]
impl CacheCore {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(py: Python<'_>, _args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        CacheCore { place: OnceLock::new(), second: OnceLock::new(), settings: Mutex::new(Settings::new(py)) }
    }

    /// Called once by `__init__`: the store of that name, told of other processes' writes through that table.
    #[pyo3(signature = (name, max_bytes, generations, ordinary, lease))]
    fn _open(
        &self,
        py: Python<'_>,
        name: &str,
        max_bytes: usize,
        generations: Option<PathBuf>,
        ordinary: bool,
        lease: f64,
    ) -> PyResult<()> {
        let lease = std::time::Duration::try_from_secs_f64(lease)
            .map_err(|error| PyValueError::new_err(format!("how long a miss is remembered: {error}")))?;
        {
            let mut settings = self.settings();
            (settings.bytes, settings.ordinary) = (max_bytes, ordinary);
            settings.lease = u64::try_from(lease.as_nanos()).unwrap_or(u64::MAX);
        }
        let table = generations.map_or(Table::Private, Table::File);
        let place = place::open(&format!("django {name}"), self.bounds(), &table)?;
        if self.place.set(place).is_err() {
            return Err(PyRuntimeError::new_err("this backend is open already"));
        }
        self.prepare(py)
    }

    /// Called once by `__init__` in place of `_open`: a store whose values are shared through a server.
    #[pyo3(signature = (store, ordinary, lease, ignores, logs, step))]
    fn _open_shared(
        &self,
        store: &Bound<'_, SharedStore>,
        ordinary: bool,
        lease: f64,
        ignores: bool,
        logs: bool,
        step: Option<usize>,
    ) -> PyResult<()> {
        let lease = std::time::Duration::try_from_secs_f64(lease)
            .map_err(|error| PyValueError::new_err(format!("how long a miss is remembered: {error}")))?;
        {
            let mut settings = self.settings();
            settings.ordinary = ordinary;
            settings.lease = u64::try_from(lease.as_nanos()).unwrap_or(u64::MAX);
        }
        let shared = Arc::clone(&store.get().shared);
        let place = Arc::clone(shared.place());
        if self.place.set(place).is_err() || self.second.set(Second { shared, ignores, logs, step }).is_err() {
            return Err(PyRuntimeError::new_err("this backend is open already"));
        }
        self.apply_bounds();
        self.prepare(store.py())
    }

    #[getter]
    fn key_prefix(&self, py: Python<'_>) -> Py<PyAny> {
        self.settings().key_prefix.clone_ref(py)
    }

    #[setter]
    fn set_key_prefix(&self, py: Python<'_>, value: Py<PyAny>) -> PyResult<()> {
        self.assign(py, value, |settings| &mut settings.key_prefix)
    }

    #[getter]
    fn version(&self, py: Python<'_>) -> Py<PyAny> {
        self.settings().version.clone_ref(py)
    }

    #[setter]
    fn set_version(&self, py: Python<'_>, value: Py<PyAny>) -> PyResult<()> {
        self.assign(py, value, |settings| &mut settings.version)
    }

    #[getter]
    fn key_func(&self, py: Python<'_>) -> Py<PyAny> {
        self.settings().key_func.clone_ref(py)
    }

    #[setter]
    fn set_key_func(&self, py: Python<'_>, value: Py<PyAny>) -> PyResult<()> {
        self.assign(py, value, |settings| &mut settings.key_func)
    }

    #[getter]
    fn default_timeout(&self, py: Python<'_>) -> Py<PyAny> {
        self.settings().default_timeout.clone_ref(py)
    }

    #[setter]
    fn set_default_timeout(&self, py: Python<'_>, value: Py<PyAny>) -> PyResult<()> {
        let seconds = seconds(value.bind(py))?;
        self.settings().default_seconds = seconds;
        self.assign(py, value, |settings| &mut settings.default_timeout)
    }

    #[getter]
    fn _max_entries(&self) -> Option<i64> {
        self.settings().max_entries
    }

    #[setter(_max_entries)]
    fn set_max_entries(&self, value: Option<i64>) {
        self.settings().max_entries = value;
        self.apply_bounds();
    }

    #[getter]
    fn _cull_frequency(&self) -> i64 {
        self.settings().cull_frequency
    }

    #[setter(_cull_frequency)]
    fn set_cull_frequency(&self, value: i64) {
        self.settings().cull_frequency = value;
        self.apply_bounds();
    }

    /// The value of a key, or the default.
    #[pyo3(signature = (key, default=None, version=None))]
    fn get(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        default: Option<Py<PyAny>>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let key = Self::key(slf, key, version)?;
        let found = slf.get().read(slf.py(), key.as_bytes())?;
        Ok(found.or(default))
    }

    /// A dict of those that are there.
    #[pyo3(signature = (keys, version=None))]
    fn get_many<'py>(
        slf: &Bound<'py, Self>,
        keys: &Bound<'py, PyAny>,
        version: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let found = PyDict::new(slf.py());
        if let Some(second) = slf.get().second.get() {
            let keys = all_of(keys)?;
            let made = Self::made(slf, &keys, version)?;
            for (key, value) in keys.iter().zip(second.read_many(slf.py(), &made)?) {
                if let Some(value) = value {
                    found.set_item(key, value)?;
                }
            }
            return Ok(found);
        }
        for key in all_of(keys)? {
            let made = Self::key(slf, &key, version)?;
            if let Some(value) = slf.get().read(slf.py(), made.as_bytes())? {
                found.set_item(key, value)?;
            }
        }
        Ok(found)
    }

    /// The value of a key if a copy of what a server has is in this process and counts, else the default. Asks nobody.
    #[pyo3(signature = (key, default, version=None))]
    fn _copied(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        default: Py<PyAny>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let found = Self::copies(slf, std::slice::from_ref(key), version)?;
        Ok(found.and_then(|mut values| values.pop()).unwrap_or(default))
    }

    /// A dict of all, if each is as `_copied` has it, else None.
    #[pyo3(signature = (keys, version=None))]
    fn _copied_many<'py>(
        slf: &Bound<'py, Self>,
        keys: Vec<Bound<'py, PyAny>>,
        version: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(values) = Self::copies(slf, &keys, version)? else { return Ok(None) };
        let found = PyDict::new(slf.py());
        for (key, value) in keys.iter().zip(values) {
            found.set_item(key, value)?;
        }
        Ok(Some(found))
    }

    /// True if there is a live value.
    #[pyo3(signature = (key, version=None))]
    fn has_key(slf: &Bound<'_, Self>, key: &Bound<'_, PyAny>, version: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let key = Self::key(slf, key, version)?;
        if let Some(second) = slf.get().second.get() {
            return Ok(second.read_many(slf.py(), &[key.as_bytes().to_vec()])?[0].is_some());
        }
        Ok(slf.get().place()?.get(key.as_bytes(), place::now(), |_| ()).is_some())
    }

    /// Stores a value. True unless `nx` or `xx` forbade it: only if there is none, only if there is one.
    #[pyo3(signature = (key, value, timeout=Timeout::Absent, version=None, *, nx=false, xx=false, tags=None))]
    #[expect(clippy::too_many_arguments, reason = "the arguments that Django and django-redis have")]
    fn set(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        timeout: Timeout<'_>,
        version: Option<&Bound<'_, PyAny>>,
        nx: bool,
        xx: bool,
        tags: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let this = slf.get();
        let key = Self::key(slf, key, version)?;
        if nx && xx {
            return Err(PyValueError::new_err("nx and xx exclude each other"));
        }
        if let Some(second) = this.second.get() {
            let leased = || this.leased(slf.py(), key.as_bytes());
            return second.write(value, (key.as_bytes(), this.timeout(&timeout)?, tags), (nx, xx), leased);
        }
        let offer = this.offer(value, &timeout, tags)?;
        let (place, now) = (this.place()?, place::now());
        let since = this.since(slf.py(), key.as_bytes(), &offer.tags)?;
        if nx {
            return Ok(place.add(key.as_bytes(), offer, since, now));
        }
        if xx {
            return Ok(place.set_if_present(key.as_bytes(), offer, now));
        }
        Ok(store_or_fill(place, key.as_bytes(), offer, since, now))
    }

    /// Stores each pair of a mapping. The keys that could not be stored: none.
    #[pyo3(signature = (data, timeout=Timeout::Absent, version=None, *, tags=None))]
    fn set_many<'py>(
        slf: &Bound<'py, Self>,
        data: &Bound<'py, PyAny>,
        timeout: Timeout<'py>,
        version: Option<&Bound<'py, PyAny>>,
        tags: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyList>> {
        let this = slf.get();
        if let Some(second) = this.second.get() {
            let mut pairs = Vec::new();
            let mut given = Vec::new();
            for pair in pairs_of(data)? {
                let (key, value) = pair.extract::<(Bound<'py, PyAny>, Bound<'py, PyAny>)>()?;
                let made = Self::key(slf, &key, version)?.as_bytes().to_vec();
                misses::take(slf.py(), this.place()?, &made, place::now())?;
                pairs.push((made, value));
                given.push(key);
            }
            let stored = second.write_many(slf.py(), &pairs, this.timeout(&timeout)?, tags)?;
            return if stored { Ok(PyList::empty(slf.py())) } else { PyList::new(slf.py(), given) };
        }
        for pair in pairs_of(data)? {
            let (key, value) = pair.extract::<(Bound<'py, PyAny>, Bound<'py, PyAny>)>()?;
            let key = Self::key(slf, &key, version)?;
            let offer = this.offer(&value, &timeout, tags)?;
            let since = this.since(slf.py(), key.as_bytes(), &offer.tags)?;
            store_or_fill(this.place()?, key.as_bytes(), offer, since, place::now());
        }
        Ok(PyList::empty(slf.py()))
    }

    /// Stores a value if there is none; True if it did. Of any number of threads, one does.
    #[pyo3(signature = (key, value, timeout=Timeout::Absent, version=None, *, tags=None))]
    fn add(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        timeout: Timeout<'_>,
        version: Option<&Bound<'_, PyAny>>,
        tags: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let this = slf.get();
        let key = Self::key(slf, key, version)?;
        if let Some(second) = this.second.get() {
            let leased = || this.leased(slf.py(), key.as_bytes());
            return second.write(value, (key.as_bytes(), this.timeout(&timeout)?, tags), (true, false), leased);
        }
        let offer = this.offer(value, &timeout, tags)?;
        let since = this.since(slf.py(), key.as_bytes(), &offer.tags)?;
        Ok(this.place()?.add(key.as_bytes(), offer, since, place::now()))
    }

    /// Gives a live value another time-out. False if there is none.
    #[pyo3(signature = (key, timeout=Timeout::Absent, version=None))]
    fn touch(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        timeout: Timeout<'_>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let key = Self::key(slf, key, version)?;
        if let Some(second) = slf.get().second.get() {
            return second.touch(slf.py(), key.as_bytes(), slf.get().timeout(&timeout)?);
        }
        let expires = slf.get().expiry(&timeout)?;
        Ok(slf.get().place()?.touch(key.as_bytes(), expires, place::now()))
    }

    /// Removes a value; True if there was one.
    #[pyo3(signature = (key, version=None))]
    fn delete(slf: &Bound<'_, Self>, key: &Bound<'_, PyAny>, version: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let key = Self::key(slf, key, version)?;
        let place = slf.get().place()?;
        misses::take(slf.py(), place, key.as_bytes(), place::now())?;
        if let Some(second) = slf.get().second.get() {
            return Ok(second.remove(slf.py(), &[key.as_bytes().to_vec()])? > 0);
        }
        Ok(place.delete(key.as_bytes(), place::now()))
    }

    /// Removes values and tells how many there were. None is taken for no keys.
    #[pyo3(signature = (keys, version=None))]
    fn delete_many(
        slf: &Bound<'_, Self>,
        keys: Option<&Bound<'_, PyAny>>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        let Some(keys) = keys else { return Ok(0) };
        if let Some(second) = slf.get().second.get() {
            let keys = all_of(keys)?;
            let mut made = Self::made(slf, &keys, version)?;
            // The same key twice was there once.
            made.sort_unstable();
            made.dedup();
            return second.remove(slf.py(), &made);
        }
        let mut deleted = 0;
        for key in all_of(keys)? {
            deleted += usize::from(Self::delete(slf, &key, version)?);
        }
        Ok(deleted)
    }

    /// Adds to a number and keeps its time-out. ValueError if there is none, TypeError if it is no number.
    #[pyo3(signature = (key, delta=None, version=None))]
    fn incr(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        delta: Option<Bound<'_, PyAny>>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let made = Self::key(slf, key, version)?;
        let delta = delta.unwrap_or_else(|| PyInt::new(py, 1).into_any());
        if let Some(second) = slf.get().second.get() {
            return second.add_to(made.as_bytes(), &delta)?.ok_or_else(|| Self::not_found(&made));
        }
        store::add_to(slf.get().place()?, made.as_bytes(), &delta)?.ok_or_else(|| Self::not_found(&made))
    }

    /// Subtracts from a number and keeps its time-out. ValueError if there is none, TypeError if it is no number.
    #[pyo3(signature = (key, delta=None, version=None))]
    fn decr(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        delta: Option<Bound<'_, PyAny>>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let delta = delta.unwrap_or_else(|| PyInt::new(slf.py(), 1).into_any()).neg()?;
        let options = PyDict::new(slf.py());
        options.set_item("version", version)?;
        Ok(beneath(|| slf.call_method("incr", (key, delta), Some(&options)))?.unbind())
    }

    /// Moves a value to a later version with the time it has left, and gives the new version.
    #[pyo3(signature = (key, delta=None, version=None))]
    fn incr_version<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        delta: Option<Bound<'py, PyAny>>,
        version: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let version = this.version_or_own(py, version);
        let later = version.add(delta.unwrap_or_else(|| PyInt::new(py, 1).into_any()))?;
        let (from, to) = (Self::key(slf, key, Some(&version))?, Self::key(slf, key, Some(&later))?);
        if let Some(second) = this.second.get() {
            let was_there = second.rename(py, from.as_bytes(), to.as_bytes())?;
            return if was_there { Ok(later) } else { Err(Self::not_found(&from)) };
        }
        let place = this.place()?;
        if !place.rename(from.as_bytes(), to.as_bytes(), |kept| kept.handle(py), place::now()) {
            return Err(Self::not_found(&from));
        }
        Ok(later)
    }

    /// Moves a value to an earlier version with the time it has left, and gives the new version.
    #[pyo3(signature = (key, delta=None, version=None))]
    fn decr_version<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        delta: Option<Bound<'py, PyAny>>,
        version: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let delta = delta.unwrap_or_else(|| PyInt::new(slf.py(), 1).into_any()).neg()?;
        beneath(|| slf.call_method1("incr_version", (key, delta, version)))
    }

    /// Seconds a value has left, fractions counted: None for ever; ValueError if there is none.
    #[pyo3(signature = (key, version=None))]
    fn _remaining(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<f64>> {
        let made = Self::key(slf, key, version)?;
        if let Some(second) = slf.get().second.get() {
            return second.remaining(slf.py(), made.as_bytes())?.ok_or_else(|| Self::not_found(&made));
        }
        let now = place::now();
        let left = slf.get().place()?.look(made.as_bytes(), now, |_, Facts { expires, .. }| expires.seconds_left(now));
        left.ok_or_else(|| Self::not_found(&made))
    }

    /// Removes all that has one of the tags, in every process of the machine.
    fn invalidate_tags(&self, tags: &Bound<'_, PyAny>) -> PyResult<()> {
        let place = self.place()?;
        if let Some(second) = self.second.get() {
            second.invalidate(tags)?;
            return misses::forget_all(tags.py(), place);
        }
        place.invalidate_tags(&store::tags(place, Some(tags))?);
        misses::forget_all(tags.py(), place)
    }

    /// Made keys that match a made pattern, in order; `step` of a server's keys are looked at for each request.
    #[pyo3(signature = (pattern, step=None))]
    fn _keys<'py>(
        &self,
        py: Python<'py>,
        pattern: &Bound<'py, PyString>,
        step: Option<usize>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let pattern: Cow<'_, [u8]> = key::bytes_of(pattern)?;
        if let Some(second) = self.second.get() {
            return second.keys(py, &pattern, positive(step)?)?.iter().map(|key| key::text_of(py, key)).collect();
        }
        let glob = Glob::new(&pattern);
        let keys = self.place()?.keys(glob.prefix(), |key| glob.matches(key), place::now());
        keys.iter().map(|key| key::text_of(py, key)).collect()
    }

    /// Removes what matches a made pattern, and tells how many there were; `step` as for `_keys`.
    #[pyo3(signature = (pattern, step=None))]
    fn _delete_matching(&self, py: Python<'_>, pattern: &Bound<'_, PyString>, step: Option<usize>) -> PyResult<usize> {
        let pattern = key::bytes_of(pattern)?;
        let place = self.place()?;
        misses::forget_all(py, place)?;
        if let Some(second) = self.second.get() {
            return second.remove_matching(py, &pattern, positive(step)?);
        }
        let glob = Glob::new(&pattern);
        Ok(place.delete_matching(glob.prefix(), |key| glob.matches(key), place::now()))
    }

    /// Empties this LOCATION, in every process of the machine.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        let place = self.place()?;
        if let Some(second) = self.second.get() {
            second.clear(py)?;
            return misses::forget_all(py, place);
        }
        place.clear();
        misses::forget_all(py, place)
    }

    /// Begins to compute a value with these tags: the made key, and a number that is another one as soon as the key or
    /// a tag is written. What this thread or task adds or sets next under the key counts from now.
    #[pyo3(signature = (key, version=None, tags=None))]
    fn _begin<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        version: Option<&Bound<'py, PyAny>>,
        tags: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyAny>, u64)> {
        let py = slf.py();
        let key = Self::key(slf, key, version)?;
        let place = slf.get().place()?;
        let tags = store::tags(place, tags)?;
        let token = place.token(key.as_bytes(), &tags);
        if slf.get().second.get().is_some() {
            // The miss that led here is remembered, with what the server gave for it.
            return Ok((PyBytes::new(py, key.as_bytes()).into_any(), token.number()));
        }
        misses::remember(py, place, key.as_bytes(), MissToken::Exact { tags, token }, place::now())?;
        Ok((PyBytes::new(py, key.as_bytes()).into_any(), token.number()))
    }

    /// Another of the same value, as a reader gets it.
    #[staticmethod]
    fn _copy(value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let copied = beneath(|| Kept::of(value)?.into_value(value.py()));
        or_instead(value.py(), copied, || value.clone().unbind())
    }

    /// hits, misses, evictions, entries and bytes of this LOCATION in this process; with a server also stale.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        match self.second.get() {
            Some(second) => second.shared.stats(py),
            None => store::stats(py, self.place()?),
        }
    }
}
