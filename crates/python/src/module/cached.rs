//! `_core.CachedCall`: a function whose results are kept. A hit is answered here; what a miss does is said in Python, by
//! the subclass in `tierkeep.cache`.

mod answered;
mod argument;
mod parameters;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit};
use tierkeep_generations::Slot;

pub(super) use self::answered::Answered;
use self::parameters::Parameters;
use super::place::{self, Place};
use super::store::{self, Store};
use super::value::Kept;
use crate::store::{Offer, Token};

/// Numbers that a call counts beside its hits; Python names them.
const COUNTERS: usize = 6;

/// A function by whose arguments results are kept.
#[pyclass(frozen, subclass, module = "tierkeep._core")]
pub(super) struct CachedCall {
    place: Arc<Place>,
    /// What every key begins with: the function.
    head: Box<[u8]>,
    parameters: Parameters,
    /// The caller's own way from arguments to a key.
    key: Option<Py<PyAny>>,
    /// Seconds at the end of an entry's time in which it is old but still good enough.
    stale: f64,
    /// Whether a call is answered with something to await.
    awaited: bool,
    hits: AtomicU64,
    counters: [AtomicU64; COUNTERS],
}

/// The beginning of a computation: its result is kept only if nothing it depends on was written since.
#[pyclass(frozen, module = "tierkeep._core")]
pub(super) struct Begun {
    token: Token,
    tags: Box<[Slot]>,
}

/// A value for any number of readers, none of whom can change what the others get.
#[pyclass(frozen, module = "tierkeep._core")]
pub(super) struct Copies {
    kept: Kept,
}

/// A call that no fresh result answers.
#[pyclass(frozen, module = "tierkeep._core")]
pub(super) struct Missed {
    /// None: the arguments are not those of the function.
    key: Option<Py<PyBytes>>,
    /// The stale result.
    old: Option<Py<PyAny>>,
}

#[pymethods]
impl Missed {
    /// The key; None if the arguments are not those of the function.
    #[getter]
    fn key(&self, py: Python<'_>) -> Option<Py<PyBytes>> {
        self.key.as_ref().map(|key| key.clone_ref(py))
    }

    /// The stale result in a tuple; empty if there is none.
    #[getter]
    fn old<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.old.iter())
    }
}

/// What was found: the value, and whether its time is not yet in the stale part.
struct Found {
    value: Py<PyAny>,
    fresh: bool,
}

impl CachedCall {
    fn find(&self, py: Python<'_>, key: &[u8]) -> PyResult<Option<Found>> {
        let now = place::now();
        let Some((kept, expires)) = self.place.look(key, now, |kept, facts| (kept.handle(py), facts.expires)) else {
            return Ok(None);
        };
        let fresh = self.stale <= 0.0 || expires.seconds_left(now).is_none_or(|left| left > self.stale);
        Ok(Some(Found { value: kept.into_value(py)?, fresh }))
    }

    /// The key of a call; None if the arguments are not the function's.
    fn encode(&self, args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Option<Vec<u8>>> {
        let mut out = Vec::with_capacity(self.head.len() + 48);
        out.extend_from_slice(&self.head);
        if let Some(key) = &self.key {
            let made = key.bind(args.py()).call(args, kwargs)?;
            out.push(b'k');
            argument::encode(&mut out, &made).map_err(|error| self.parameters.refusal(args.py(), "key=", &error))?;
            return Ok(Some(out));
        }
        Ok(self.parameters.encode(&mut out, args, kwargs)?.then_some(out))
    }
}

#[pymethods]
impl CachedCall {
    /// `parameters`: name, kind as `inspect` numbers it, and the default in a tuple, empty if there is none.
    #[new]
    #[pyo3(signature = (store, name, parameters, *, key=None, stale=0.0, awaited=false))]
    fn new(
        store: &Bound<'_, Store>,
        name: &str,
        parameters: Vec<(Bound<'_, PyString>, u8, Bound<'_, PyTuple>)>,
        key: Option<Py<PyAny>>,
        stale: f64,
        awaited: bool,
    ) -> PyResult<Self> {
        let mut head = Vec::with_capacity(name.len() + 8);
        argument::text(&mut head, name.as_bytes());
        Ok(CachedCall {
            place: Arc::clone(&store.get().place),
            head: head.into(),
            parameters: Parameters::new(name, parameters)?,
            key,
            stale,
            awaited,
            hits: AtomicU64::new(0),
            counters: std::array::from_fn(|_| AtomicU64::new(0)),
        })
    }

    /// What answers a call: the fresh result, or a `Missed`.
    ///
    /// The function itself is not called from here. CPython before 3.14 ends a thread that computes while the process
    /// ends by unwinding its stack, and Rust's frames cannot be unwound so: the process would crash at its end.
    fn ask<'py>(&self, args: &Bound<'py, PyTuple>, kwargs: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        let Some(key) = self.encode(args, Some(kwargs))? else {
            return Ok(Bound::new(py, Missed { key: None, old: None })?.into_any());
        };
        match self.find(py, &key)? {
            Some(Found { value, fresh: true }) => {
                self.hits.fetch_add(1, Ordering::Relaxed);
                if self.awaited {
                    return Ok(Bound::new(py, Answered::new(value))?.into_any());
                }
                Ok(value.into_bound(py))
            }
            found => {
                let key = Some(PyBytes::new(py, &key).unbind());
                Ok(Bound::new(py, Missed { key, old: found.map(|found| found.value) })?.into_any())
            }
        }
    }

    /// Methods are bound to their object as plain functions are.
    fn __get__<'py>(
        slf: Bound<'py, Self>,
        object: Option<Bound<'py, PyAny>>,
        _class: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        static METHOD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        match object {
            None => Ok(slf.into_any()),
            Some(object) => METHOD.import(object.py(), "types", "MethodType")?.call1((slf, object)),
        }
    }

    /// The key under which the result of a call is kept.
    #[pyo3(signature = (args, kwargs=None))]
    fn key_of<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let key = self.encode(args, kwargs)?;
        let key = key.ok_or_else(|| PyTypeError::new_err("the arguments are not those of the function"))?;
        Ok(PyBytes::new(py, &key))
    }

    /// A tuple of the value and whether it is fresh; None if there is none. Counts nothing of this call.
    fn peek(&self, py: Python<'_>, key: &[u8]) -> PyResult<Option<(Py<PyAny>, bool)>> {
        Ok(self.find(py, key)?.map(|found| (found.value, found.fresh)))
    }

    /// To be taken before a result is computed.
    #[pyo3(signature = (key, tags=None))]
    fn begin(&self, key: &[u8], tags: Option<&Bound<'_, PyAny>>) -> PyResult<Begun> {
        let tags = store::tags(&self.place, tags)?;
        Ok(Begun { token: self.place.token(key, &tags), tags })
    }

    /// Keeps a result for `timeout` seconds (None: for ever) unless what it depends on was written since. True if kept.
    #[pyo3(signature = (key, copies, begun, timeout=None))]
    fn keep(&self, py: Python<'_>, key: &[u8], copies: &Copies, begun: &Begun, timeout: Option<f64>) -> PyResult<bool> {
        let offer = Offer { value: copies.kept.handle(py), tags: begun.tags.clone(), expires: store::expiry(timeout)? };
        Ok(self.place.fill(key, offer, begun.token, place::now()))
    }

    /// Removes a result, in every process; computations under way are not kept. True if a live one was here.
    fn drop_key(&self, key: &[u8]) -> bool {
        self.place.delete(key, place::now())
    }

    /// Calls that a kept result answered at once.
    fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Adds one to a counter. IndexError for one that there is not.
    fn count(&self, counter: usize) -> PyResult<()> {
        let counter = self.counters.get(counter).ok_or_else(|| PyIndexError::new_err(counter))?;
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The counters in their order.
    fn counted(&self) -> Vec<u64> {
        self.counters.iter().map(|counter| counter.load(Ordering::Relaxed)).collect()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.key)
    }
}

#[pymethods]
impl Begun {
    /// Equal for two beginnings if and only if nothing they depend on was written in between.
    fn mark(&self) -> u64 {
        self.token.number()
    }
}

#[pymethods]
impl Copies {
    #[new]
    fn new(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Copies { kept: Kept::of(value)? })
    }

    /// The value, for one reader.
    fn take(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.kept.handle(py).into_value(py)
    }
}
