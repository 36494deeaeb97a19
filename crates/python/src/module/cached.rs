//! `_core.CachedCall`: the results of a function by its arguments. A hit is answered here; what a miss does is said in
//! Python, by the subclass in `tierkeep.cache`.
//!
//! The function itself is not called from here, nor is anything else of the user's that may take long. CPython before
//! 3.14 ends a thread that computes while the process ends by unwinding its stack, and Rust's frames cannot be unwound
//! so: the process would crash at its end. So a hit costs one frame of Python, and what is called from that frame takes
//! arguments that Python has bound already.

mod argument;
mod parameters;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit};
use tierkeep_generations::Slot;

use self::argument::Bytes;
use self::parameters::Parameters;
use super::place::{self, Place};
use super::store::{self, Store};
use super::value::Kept;
use crate::store::{Expiry, Moment, Offer, Token};

/// Numbers that a call counts beside its hits; Python names them.
const COUNTERS: usize = 6;

/// The results of a function by its arguments.
#[pyclass(frozen, subclass, module = "tierkeep._core")]
pub(super) struct CachedCall {
    place: Arc<Place>,
    /// What every key begins with: the function.
    head: Bytes,
    parameters: Parameters,
    /// In place of a result: there is no fresh one. In place of an argument: the call does not give it.
    nothing: Py<PyAny>,
    /// Seconds at the end of an entry's time in which it is old but still good enough.
    stale: f64,
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
        let value = store::value_of(py, &self.place, key, kept)?;
        Ok(value.map(|value| Found { value, fresh: self.is_fresh(expires, now) }))
    }

    /// What answers a call with that key: the fresh result, or `nothing`.
    fn answer(&self, py: Python<'_>, key: &[u8]) -> PyResult<Py<PyAny>> {
        let now = place::now();
        let found = self.place.look(key, now, |kept, facts| {
            let fresh = self.is_fresh(facts.expires, now);
            if fresh {
                // Under the store's lock, so that no count is lost; adding atomically would cost 5 ns more.
                self.hits.store(self.hits.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
            }
            fresh.then(|| kept.handle(py))
        });
        let value = match found.flatten() {
            Some(kept) => store::value_of(py, &self.place, key, kept)?,
            None => None,
        };
        Ok(value.unwrap_or_else(|| self.nothing.clone_ref(py)))
    }

    fn is_fresh(&self, expires: Expiry, now: Moment) -> bool {
        self.stale <= 0.0 || expires.seconds_left(now).is_none_or(|left| left > self.stale)
    }

    #[inline]
    fn answer_bound<const COUNT: usize>(&self, values: [&Bound<'_, PyAny>; COUNT]) -> PyResult<Py<PyAny>> {
        let mut key = self.head.clone();
        self.parameters.encode_bound(&mut key, values.iter().map(|value| value.as_borrowed()), &self.nothing)?;
        self.answer(values[0].py(), key.as_slice())
    }

    /// The key of a call; None if the arguments are not the function's.
    fn key(&self, args: &Bound<'_, PyTuple>, kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Option<Bytes>> {
        let mut key = self.head.clone();
        Ok(self.parameters.encode(&mut key, args, kwargs)?.then_some(key))
    }

    /// The key of a call that the caller's own function told from others.
    fn key_by(&self, made: &Bound<'_, PyAny>) -> PyResult<Bytes> {
        let mut key = self.head.clone();
        key.push(b'k');
        argument::encode(&mut key, made).map_err(|error| self.parameters.refusal(made.py(), "key=", &error))?;
        Ok(key)
    }
}

#[pymethods]
impl CachedCall {
    /// `parameters`: name, kind as `inspect` numbers it, and the default in a tuple, empty if there is none. `nothing`
    /// is given in place of a result that there is not, and taken in place of an argument that a call does not give.
    #[new]
    #[pyo3(signature = (store, name, parameters, nothing, *, stale=0.0))]
    fn new(
        store: &Bound<'_, Store>,
        name: &str,
        parameters: Vec<(Bound<'_, PyString>, u8, Bound<'_, PyTuple>)>,
        nothing: Py<PyAny>,
        stale: f64,
    ) -> PyResult<Self> {
        let mut head = Bytes::new();
        argument::text(&mut head, name.as_bytes());
        Ok(CachedCall {
            place: Arc::clone(&store.get().place),
            head,
            parameters: Parameters::new(name, parameters)?,
            nothing,
            stale,
            hits: AtomicU64::new(0),
            counters: std::array::from_fn(|_| AtomicU64::new(0)),
        })
    }

    /// The fresh result of a call, or `nothing`. Counts a hit.
    fn ask(&self, args: &Bound<'_, PyTuple>, kwargs: &Bound<'_, PyDict>) -> PyResult<Py<PyAny>> {
        match self.key(args, Some(kwargs))? {
            Some(key) => self.answer(args.py(), key.as_slice()),
            None => Ok(self.nothing.clone_ref(args.py())),
        }
    }

    /// As `ask`, of arguments that are bound to the parameters: one for each, in their order.
    fn ask_bound(&self, values: &Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
        let mut key = self.head.clone();
        self.parameters.encode_bound(&mut key, values.iter_borrowed(), &self.nothing)?;
        self.answer(values.py(), key.as_slice())
    }

    /// As `ask_bound`, of one parameter: Python gets here faster than to any method.
    fn __getitem__(&self, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.answer_bound([value])
    }

    /// As `ask_bound`, of two parameters: no tuple has to be made of them.
    fn ask_two(&self, first: &Bound<'_, PyAny>, second: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.answer_bound([first, second])
    }

    /// As `ask_two`, of three.
    fn ask_three(
        &self,
        first: &Bound<'_, PyAny>,
        second: &Bound<'_, PyAny>,
        third: &Bound<'_, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        self.answer_bound([first, second, third])
    }

    /// As `ask`, of a call that the caller's own function told from others.
    fn ask_made(&self, made: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.answer(made.py(), self.key_by(made)?.as_slice())
    }

    /// The key under which the result of a call is kept; None if the arguments are not the function's.
    fn key_of<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        Ok(self.key(args, Some(kwargs))?.map(|key| PyBytes::new(args.py(), key.as_slice())))
    }

    /// As `key_of`, of a call that the caller's own function told from others.
    fn key_of_made<'py>(&self, made: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(made.py(), self.key_by(made)?.as_slice()))
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
        visit.call(&self.nothing)
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
