//! The shared store as Python has it.

use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use super::{Read, Shared, names, open, raised, ttl};
use crate::module::ending::all_of;
use crate::module::key::{bytes_of, text_of};
use crate::remote::{RemoteError, When};

/// The right to store what is computed because it was missing.
#[pyclass(frozen, module = "tierkeep._core")]
pub(in crate::module) struct Lease {
    inside: Option<crate::remote::Lease>,
}

/// A store whose values are shared through Redis or Valkey.
#[pyclass(frozen, module = "tierkeep._core")]
pub(in crate::module) struct SharedStore {
    pub(in crate::module) shared: Arc<Shared>,
}

#[pymethods]
impl SharedStore {
    #[new]
    #[pyo3(signature = (location, **options))]
    fn new(location: &Bound<'_, PyAny>, options: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        Ok(Self { shared: open(location, options)? })
    }

    #[pyo3(signature = (key, default=None))]
    fn get(&self, key: &Bound<'_, PyString>, default: Option<Py<PyAny>>) -> PyResult<Option<Py<PyAny>>> {
        Ok(match self.shared.read(key.py(), &bytes_of(key)?)? {
            Read::Value(value) => Some(value),
            Read::Missing(_) => default,
        })
    }

    /// True and the value, or False and a lease.
    fn look<'py>(&self, py: Python<'py>, key: &Bound<'py, PyString>) -> PyResult<(bool, Bound<'py, PyAny>)> {
        Ok(match self.shared.read(py, &bytes_of(key)?)? {
            Read::Value(value) => (true, value.into_bound(py)),
            Read::Missing(inside) => (false, Bound::new(py, Lease { inside })?.into_any()),
        })
    }

    fn get_many<'py>(&self, py: Python<'py>, keys: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let keys = all_of(keys)?;
        let names =
            keys.iter().map(|key| Ok(bytes_of(key.cast::<PyString>()?)?.into_owned())).collect::<PyResult<Vec<_>>>()?;
        let found = PyDict::new(py);
        let (values, error) = self.shared.read_many(py, &names)?;
        if let Some(error) = error {
            return Err(error);
        }
        for (key, value) in keys.iter().zip(values) {
            if let Some(value) = value {
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
        let (name, tags) = (bytes_of(key)?, names(tags)?);
        let value = self.shared.seal(&name, value)?;
        self.shared.write(key.py(), &name, value, timeout, When::Always, None, &tags).map(drop)
    }

    #[pyo3(signature = (key, value, timeout=None, tags=None))]
    fn add(
        &self,
        key: &Bound<'_, PyString>,
        value: &Bound<'_, PyAny>,
        timeout: Option<f64>,
        tags: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let (name, tags) = (bytes_of(key)?, names(tags)?);
        let value = self.shared.seal(&name, value)?;
        self.shared.write(key.py(), &name, value, timeout, When::IfAbsent, None, &tags)
    }

    /// Stores what was computed after `look` gave the lease; False if the key was changed since.
    #[pyo3(signature = (key, value, lease, timeout=None, tags=None))]
    fn fill(
        &self,
        key: &Bound<'_, PyString>,
        value: &Bound<'_, PyAny>,
        lease: &Bound<'_, Lease>,
        timeout: Option<f64>,
        tags: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let (name, tags) = (bytes_of(key)?, names(tags)?);
        match lease.get().inside {
            Some(lease) => {
                let value = self.shared.seal(&name, value)?;
                self.shared.write(key.py(), &name, value, timeout, When::Always, Some(lease), &tags)
            }
            None => Ok(false),
        }
    }

    fn delete(&self, key: &Bound<'_, PyString>) -> PyResult<bool> {
        Ok(self.shared.remove(key.py(), &[bytes_of(key)?.into_owned()])?[0])
    }

    #[pyo3(signature = (key, timeout=None))]
    fn touch(&self, key: &Bound<'_, PyString>, timeout: Option<f64>) -> PyResult<bool> {
        let (name, ttl) = (bytes_of(key)?, ttl(timeout)?);
        let touched = self.shared.ask(key.py(), |remote| remote.touch(&name, ttl));
        self.shared.forget(&name);
        touched
    }

    fn incr(&self, key: &Bound<'_, PyString>, delta: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.shared.add_to(key.py(), &bytes_of(key)?, delta)
    }

    /// Seconds left, None for ever.
    fn remaining(&self, key: &Bound<'_, PyString>) -> PyResult<Option<f64>> {
        let name = bytes_of(key)?;
        let left = self.shared.ask(key.py(), |remote| remote.ttl(&name))?;
        Ok(left.ok_or_else(|| raised(RemoteError::Absent))?.map(|left| left.as_secs_f64()))
    }

    fn invalidate_tags(&self, tags: &Bound<'_, PyAny>) -> PyResult<()> {
        self.shared.invalidate(tags.py(), &names(Some(tags))?)
    }

    fn keys<'py>(&self, py: Python<'py>, pattern: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyList>> {
        let pattern = bytes_of(pattern)?;
        let mut keys: Vec<Vec<u8>> = self.shared.ask(py, |remote| remote.scan(&pattern, None).collect())?;
        keys.sort_unstable();
        keys.dedup();
        PyList::new(py, keys.iter().map(|key| text_of(py, key)).collect::<PyResult<Vec<_>>>()?)
    }

    fn delete_matching(&self, py: Python<'_>, pattern: &Bound<'_, PyString>) -> PyResult<u64> {
        self.shared.remove_matching(py, &bytes_of(pattern)?, None)
    }

    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.clear(py)
    }

    /// Takes a lock and gives its token, or None if somebody holds it.
    #[pyo3(signature = (key, seconds=None))]
    fn lock<'py>(&self, key: &Bound<'py, PyString>, seconds: Option<f64>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let (name, term) = (bytes_of(key)?, term(seconds)?);
        let token = self.shared.ask(key.py(), |remote| remote.lock(&name, term))?;
        Ok(token.map(|token| PyBytes::new(key.py(), &token.to_bytes())))
    }

    /// False if the lock was not held any more.
    fn unlock(&self, key: &Bound<'_, PyString>, token: [u8; 16]) -> PyResult<bool> {
        let name = bytes_of(key)?;
        self.shared.ask(key.py(), |remote| remote.unlock(&name, token.into()))
    }

    /// False if the lock was not held any more.
    #[pyo3(signature = (key, token, seconds=None))]
    fn extend_lock(&self, key: &Bound<'_, PyString>, token: [u8; 16], seconds: Option<f64>) -> PyResult<bool> {
        let (name, term) = (bytes_of(key)?, term(seconds)?);
        self.shared.ask(key.py(), |remote| remote.extend_lock(&name, token.into(), term))
    }

    /// True while copies of this process count.
    #[getter]
    fn is_trusted(&self) -> bool {
        self.shared.is_trusted()
    }

    /// Closes connections that are not in use.
    fn close_idle(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.close_idle(py)
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.shared.stats(py)
    }
}

fn term(seconds: Option<f64>) -> PyResult<Option<Duration>> {
    let checked = seconds.map(Duration::try_from_secs_f64).transpose();
    checked.map_err(|error| PyValueError::new_err(format!("how long a lock is held: {error}")))
}
