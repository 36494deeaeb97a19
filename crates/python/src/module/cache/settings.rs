//! The settings of a backend, as Django's projects and tests assign them while the program runs.

use std::sync::{MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

use super::{CacheCore, seconds};
use crate::module::key::Prefix;
use crate::module::store::{self, DEFAULT_BYTES};
use crate::store::{Bounds, Culling, Expiry};

/// What Django's projects and tests assign while the program runs.
pub(super) struct Settings {
    pub(super) key_prefix: Py<PyAny>,
    pub(super) version: Py<PyAny>,
    pub(super) key_func: Py<PyAny>,
    pub(super) default_timeout: Py<PyAny>,
    /// Seconds of it, None for ever.
    pub(super) default_seconds: Option<f64>,
    pub(super) max_entries: Option<i64>,
    pub(super) cull_frequency: i64,
    pub(super) bytes: usize,
    /// Nanoseconds for which a miss is remembered.
    pub(super) lease: u64,
    /// Keys are made as Django's own class makes them: nothing that takes part is overridden.
    pub(super) ordinary: bool,
    /// What to put before keys, as long as keys are ordinary.
    pub(super) prefix: Option<Prefix>,
}

impl Settings {
    /// Before `__init__` has assigned any.
    pub(super) fn new(py: Python<'_>) -> Self {
        Settings {
            key_prefix: PyString::new(py, "").into_any().unbind(),
            version: py.None(),
            key_func: py.None(),
            default_timeout: py.None(),
            default_seconds: None,
            max_entries: None,
            cull_frequency: 3,
            bytes: DEFAULT_BYTES,
            lease: 0,
            ordinary: false,
            prefix: None,
        }
    }
}

/// A time-out as a caller gives it.
pub(super) enum Timeout<'py> {
    Absent,
    Given(Bound<'py, PyAny>),
}

impl<'a, 'py> FromPyObject<'a, 'py> for Timeout<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        static ABSENT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let absent = ABSENT.import(object.py(), "django.core.cache.backends.base", "DEFAULT_TIMEOUT")?;
        if object.is(absent) { Ok(Timeout::Absent) } else { Ok(Timeout::Given(object.to_owned())) }
    }
}

impl CacheCore {
    pub(super) fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the prefix of keys ready again after something it depends on was assigned.
    pub(super) fn prepare(&self, py: Python<'_>) -> PyResult<()> {
        static DEFAULT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let default = DEFAULT.import(py, "django.core.cache.backends.base", "default_key_func")?;
        let (prefix, version, function, ordinary) = {
            let settings = self.settings();
            let parts = (&settings.key_prefix, &settings.version, &settings.key_func);
            (parts.0.clone_ref(py), parts.1.clone_ref(py), parts.2.clone_ref(py), settings.ordinary)
        };
        let prepared =
            (ordinary && function.is(default)).then(|| Prefix::of(prefix.bind(py), version.bind(py))).flatten();
        self.settings().prefix = prepared;
        Ok(())
    }

    /// Assigns a part of the settings; what was there is dropped after the lock is given back.
    pub(super) fn assign(
        &self,
        py: Python<'_>,
        value: Py<PyAny>,
        part: impl FnOnce(&mut Settings) -> &mut Py<PyAny>,
    ) -> PyResult<()> {
        let before = std::mem::replace(part(&mut self.settings()), value);
        drop(before);
        self.prepare(py)
    }

    pub(super) fn expiry(&self, timeout: &Timeout<'_>) -> PyResult<Expiry> {
        match timeout {
            Timeout::Absent => store::expiry(self.settings().default_seconds),
            Timeout::Given(given) => store::expiry(seconds(given)?),
        }
    }

    /// Seconds of a time-out as a caller gives it.
    pub(super) fn timeout(&self, timeout: &Timeout<'_>) -> PyResult<Option<f64>> {
        match timeout {
            Timeout::Absent => Ok(self.settings().default_seconds),
            Timeout::Given(given) => seconds(given),
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        let settings = self.settings();
        let natural = |number: i64| usize::try_from(number).unwrap_or(0);
        let culling = settings
            .max_entries
            .map(|entries| Culling { entries: natural(entries), frequency: natural(settings.cull_frequency) });
        Bounds { bytes: settings.bytes, culling }
    }

    pub(super) fn apply_bounds(&self) {
        if let Some(place) = self.place.get() {
            place.bound(self.bounds());
        }
    }
}
