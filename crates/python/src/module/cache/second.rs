//! The backend with a server behind it: what it asks of the shared store, and what it makes of an outage.

use std::sync::Arc;

use pyo3::exceptions::{PyConnectionError, PyKeyError};
use pyo3::prelude::*;

use crate::module::ending::beneath;
use crate::module::misses::{self, MissToken};
use crate::module::place;
use crate::module::shared::{Read, Shared, names, ttl};
use crate::remote::{Lease, When};

/// A server behind the copies of this process.
pub(super) struct Second {
    pub(super) shared: Arc<Shared>,
    /// An outage is a miss, and a write that did not happen.
    pub(super) ignores: bool,
    /// Says so in the log.
    pub(super) logs: bool,
    /// Keys that a walk looks at for each request.
    pub(super) step: Option<usize>,
}

/// What a value that is about to be stored is.
pub(super) enum Leased {
    /// Decided on now.
    Decision,
    /// Computed after a miss.
    Fill(Lease),
    /// Computed after a miss that gave no right to store it.
    Refused,
}

/// A key, the seconds that its value lives, and its tags.
type Where<'a, 'py> = (&'a [u8], Option<f64>, Option<&'a Bound<'py, PyAny>>);

impl Second {
    /// The outcome, or `instead` of an outage if those are to be ignored.
    fn forgiven<T>(&self, py: Python<'_>, outcome: PyResult<T>, instead: T) -> PyResult<T> {
        match outcome {
            Err(error) if self.ignores && error.is_instance_of::<PyConnectionError>(py) => {
                if self.logs {
                    beneath(|| {
                        let logger = py.import("logging")?.call_method1("getLogger", ("tierkeep.django",))?;
                        logger.call_method1("error", ("ignored: %s", error.to_string()))
                    })?;
                }
                Ok(instead)
            }
            outcome => outcome,
        }
    }

    /// The value of a key; else the miss is remembered.
    pub(super) fn read(&self, py: Python<'_>, key: &[u8]) -> PyResult<Option<Py<PyAny>>> {
        match self.forgiven(py, self.shared.read(py, key), Read::Missing(None))? {
            Read::Value(value) => {
                // What is stored from here on was decided in knowledge of this value.
                misses::take(py, self.shared.place(), key, place::now())?;
                Ok(Some(value))
            }
            Read::Missing(lease) => {
                misses::remember(py, self.shared.place(), key, MissToken::Leased(lease), place::now())?;
                Ok(None)
            }
        }
    }

    /// The values of all keys, if copies of all are in this process and count. Asks nobody.
    pub(super) fn copies(&self, py: Python<'_>, keys: &[Vec<u8>]) -> PyResult<Option<Vec<Py<PyAny>>>> {
        let found = self.shared.copies(py, keys)?;
        if found.is_some() {
            for key in keys {
                misses::take(py, self.shared.place(), key, place::now())?;
            }
        }
        Ok(found)
    }

    pub(super) fn read_many(&self, py: Python<'_>, keys: &[Vec<u8>]) -> PyResult<Vec<Option<Py<PyAny>>>> {
        let (values, error) = self.shared.read_many(py, keys)?;
        self.forgiven(py, error.map_or(Ok(()), Err), ())?;
        Ok(values)
    }

    /// Stores a value; `conditions` are: only if there is none, only if there is one. `leased` is asked once the value is
    /// pickled: if that fails, the miss that the value was computed after is remembered still.
    pub(super) fn write(
        &self,
        value: &Bound<'_, PyAny>,
        (key, timeout, tags): Where<'_, '_>,
        conditions: (bool, bool),
        leased: impl FnOnce() -> PyResult<Leased>,
    ) -> PyResult<bool> {
        let when = match conditions {
            (true, _) => When::IfAbsent,
            (_, true) => When::IfPresent,
            _ => When::Always,
        };
        let sealed = self.shared.seal(key, value)?;
        let lease = match leased()? {
            Leased::Decision => None,
            Leased::Fill(lease) => Some(lease),
            Leased::Refused => return Ok(false),
        };
        let py = value.py();
        let written = self.shared.write(py, key, sealed, timeout, when, lease, &names(tags)?);
        self.forgiven(py, written, false)
    }

    /// Stores values; false if the server could not be asked.
    pub(super) fn write_many(
        &self,
        py: Python<'_>,
        values: &[(Vec<u8>, Bound<'_, PyAny>)],
        timeout: Option<f64>,
        tags: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let written = self.shared.write_many(py, values, timeout, &names(tags)?);
        self.forgiven(py, written.map(|()| true), false)
    }

    pub(super) fn touch(&self, py: Python<'_>, key: &[u8], timeout: Option<f64>) -> PyResult<bool> {
        let ttl = ttl(timeout)?;
        let touched = self.shared.ask(py, |remote| remote.touch(key, ttl));
        self.shared.forget(key);
        self.forgiven(py, touched, false)
    }

    /// How many were there.
    pub(super) fn remove(&self, py: Python<'_>, keys: &[Vec<u8>]) -> PyResult<usize> {
        let removed = self.shared.remove(py, keys);
        let removed = removed.map(|removed| removed.into_iter().filter(|was_there| *was_there).count());
        self.forgiven(py, removed, 0)
    }

    /// The sum; `None` if there is no value.
    pub(super) fn add_to(&self, key: &[u8], delta: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
        let py = delta.py();
        match self.shared.add_to(py, key, delta) {
            Err(error) if error.is_instance_of::<PyKeyError>(py) => Ok(None),
            sum => self.forgiven(py, sum.map(Some), None),
        }
    }

    pub(super) fn rename(&self, py: Python<'_>, from: &[u8], to: &[u8]) -> PyResult<bool> {
        self.forgiven(py, self.shared.rename(py, from, to), false)
    }

    /// Seconds left: `Some(None)` for ever, `None` if there is no value.
    pub(super) fn remaining(&self, py: Python<'_>, key: &[u8]) -> PyResult<Option<Option<f64>>> {
        let left = self.shared.ask(py, |remote| remote.ttl(key));
        Ok(self.forgiven(py, left, None)?.map(|left| left.map(|left| left.as_secs_f64())))
    }

    pub(super) fn invalidate(&self, tags: &Bound<'_, PyAny>) -> PyResult<()> {
        let told = self.shared.invalidate(tags.py(), &names(Some(tags))?);
        self.forgiven(tags.py(), told, ())
    }

    /// Keys that match, in order.
    /// Made keys; `step` of the server's are looked at for each request.
    pub(super) fn keys(&self, py: Python<'_>, pattern: &[u8], step: Option<usize>) -> PyResult<Vec<Vec<u8>>> {
        let step = step.or(self.step);
        let found = self.shared.ask(py, |remote| remote.scan(pattern, step).collect::<Result<Vec<_>, _>>());
        let mut keys = self.forgiven(py, found, Vec::new())?;
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    pub(super) fn remove_matching(&self, py: Python<'_>, pattern: &[u8], step: Option<usize>) -> PyResult<usize> {
        let removed = self.shared.remove_matching(py, pattern, step.or(self.step));
        Ok(usize::try_from(self.forgiven(py, removed, 0)?).unwrap_or(usize::MAX))
    }

    pub(super) fn clear(&self, py: Python<'_>) -> PyResult<()> {
        self.forgiven(py, self.shared.clear(py), ())
    }
}
