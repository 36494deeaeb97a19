//! `_core.SharedStore`: a store whose values other processes and machines share through Redis or Valkey.
//!
//! The server is the authority. This process keeps copies of what it has read; a copy counts while the watch is trusted
//! and neither its key nor a tag of it has changed: in the table of generations, for the processes of this machine, and
//! by what the watch hears, for the others. Only reading makes copies: a writer could put its value beside a newer one.
//!
//! Locks are held for no Python code and for no request, and are taken only while attached to the interpreter, so that a
//! fork finds nobody inside. A forked child leaves its parent's connections alone and makes its own.

mod class;
mod opening;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::{PyConnectionError, PyException, PyKeyError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::ending::{all_of, beneath, inside, outside};
use super::key::bytes_of;
use super::place::{self, Place};
use super::store;
use super::stored::{Unreadable, Wrapping, whole_number};
use super::value::Kept;
use crate::remote::{Entry, Event, Looked, Remote, RemoteError, Sabotage, Stamped, Ttl, Watch, When, Write};
use crate::store::{Expiry, Herald, Offer};

pub(super) use self::class::{Lease, SharedStore};
use self::opening::open;

/// Copies of this process in front of a server.
pub(super) struct Shared {
    place: Arc<Place>,
    herald: Herald,
    wrapping: Wrapping,
    template: Remote,
    live: Mutex<Option<Arc<Live>>>,
    /// Kinds of unreadable values that were told of.
    logged: Mutex<HashSet<String>>,
    settings: Settings,
}

/// What is not in the address.
#[derive(Clone, Copy)]
pub(super) struct Settings {
    /// What is told by nobody is at most this old.
    bound: Duration,
    /// How long a value that is missing may take to be computed.
    lease: Duration,
    sabotage: Sabotage,
    /// Compares no generations: what other processes changed is not seen.
    ignores_generations: bool,
}

/// Connections, of the process that made them.
struct Live {
    process: u32,
    remote: Remote,
    watch: Watch,
}

/// What a read gave.
pub(super) enum Read {
    Value(Py<PyAny>),
    /// Nothing, and the right to store what is computed now.
    Missing(Option<crate::remote::Lease>),
}

/// What a failure is in Python.
pub(super) fn raised(error: RemoteError) -> PyErr {
    match error {
        RemoteError::Absent => PyKeyError::new_err("there is no value"),
        RemoteError::NotANumber => PyTypeError::new_err(error.to_string()),
        RemoteError::Tags => PyValueError::new_err(error.to_string()),
        // A server without memory, without a master or with another password is as good as none: django-redis has one
        // exception for all of these, and ignores them together.
        error if error.is_outage() || matches!(error, RemoteError::Refused(_)) => {
            PyConnectionError::new_err(error.to_string())
        }
        error => PyRuntimeError::new_err(error.to_string()),
    }
}

pub(super) fn ttl(seconds: Option<f64>) -> PyResult<Ttl> {
    match seconds {
        None => Ok(Ttl::Forever),
        Some(seconds) if seconds.is_nan() => Err(PyValueError::new_err("a time-out is a number")),
        // Rounded up: a very short time is not none.
        Some(seconds) if seconds > 0.0 => Ok(Ttl::Millis((seconds * 1000.0).ceil() as u64)),
        Some(_) => Ok(Ttl::Millis(0)),
    }
}

pub(super) fn names(tags: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<Vec<u8>>> {
    let Some(tags) = tags else { return Ok(Vec::new()) };
    if tags.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err("tags is a collection of str, not one str"));
    }
    let mut names = Vec::new();
    for tag in all_of(tags)? {
        names.push(bytes_of(tag.cast::<PyString>()?)?.into_owned());
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

impl Shared {
    /// Connections of this process; those of the one that it was forked from are left alone.
    fn live(&self) -> PyResult<Arc<Live>> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let process = std::process::id();
        if let Some(live) = live.as_ref().filter(|live| live.process == process) {
            return Ok(Arc::clone(live));
        }
        let remote = self.template.successor().map_err(raised)?;
        let herald = self.herald.clone();
        let tell = move |event| match event {
            Event::Key(key) => herald.key_changed(&key),
            Event::Tag(tag) => herald.tags_changed(&[tag]),
            Event::Everything => herald.everything_changed(),
            Event::Back | Event::Lost(_) | Event::Unable(_) => {}
        };
        let watch = remote.sabotaged_watch(self.settings.bound, self.settings.sabotage, tell).map_err(raised)?;
        let made = Arc::new(Live { process, remote, watch });
        if let Some(parents) = live.replace(Arc::clone(&made)) {
            // Closing would say goodbye in the parent's name, and its threads do not exist here.
            std::mem::forget(parents);
        }
        Ok(made)
    }

    /// Whether copies of this process count now.
    fn is_trusted(&self) -> bool {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.as_ref().is_some_and(|live| live.watch.is_trusted())
    }

    pub(super) fn ask<T: Send>(
        &self,
        py: Python<'_>,
        request: impl FnOnce(&Remote) -> Result<T, RemoteError> + Send,
    ) -> PyResult<T> {
        let live = self.live()?;
        py.detach(|| outside(|| request(&live.remote))).map_err(raised)
    }

    pub(super) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// The value of a key: a copy that counts, else what the server has, which is copied.
    pub(super) fn read(&self, py: Python<'_>, key: &[u8]) -> PyResult<Read> {
        if self.is_trusted()
            && let Some(value) = store::read(py, &self.place, key)?
        {
            return Ok(Read::Value(value));
        }
        let before = self.before(&[key]);
        let term = self.settings.lease;
        let looked = self.ask(py, |remote| remote.look(&[key], term))?.pop();
        match looked {
            Some(Looked::Found(entry)) => match self.take(py, key, &entry, &before, 0)? {
                Some(value) => Ok(Read::Value(value)),
                None => Ok(Read::Missing(None)),
            },
            Some(Looked::Missing(lease)) => Ok(Read::Missing(lease)),
            None => Ok(Read::Missing(None)),
        }
    }

    /// The values of all keys, if copies of all are here and count. Asks nobody.
    pub(super) fn copies(&self, py: Python<'_>, keys: &[Vec<u8>]) -> PyResult<Option<Vec<Py<PyAny>>>> {
        if !self.is_trusted() || !keys.iter().all(|key| self.place.holds(key, place::now())) {
            return Ok(None);
        }
        // One of them may have ended since.
        keys.iter().map(|key| store::read(py, &self.place, key)).collect()
    }

    /// Those that are there, by one round trip for all that are not copied.
    pub(super) fn read_many(&self, py: Python<'_>, keys: &[Vec<u8>]) -> PyResult<Vec<Option<Py<PyAny>>>> {
        let is_trusted = self.is_trusted();
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            values.push(if is_trusted { store::read(py, &self.place, key)? } else { None });
        }
        let wanted: Vec<usize> = (0..keys.len()).filter(|index| values[*index].is_none()).collect();
        if wanted.is_empty() {
            return Ok(values);
        }
        let asked: Vec<&[u8]> = wanted.iter().map(|index| keys[*index].as_slice()).collect();
        let before = self.before(&asked);
        let found = self.ask(py, |remote| remote.get_many(&asked))?;
        for (number, (index, entry)) in wanted.into_iter().zip(found).enumerate() {
            if let Some(entry) = entry {
                values[index] = self.take(py, &keys[index], &entry, &before, number)?;
            }
        }
        Ok(values)
    }

    fn before(&self, keys: &[&[u8]]) -> Before {
        // Any tag first: a value may have any.
        let any_tag = self.herald.any_tag();
        Before { any_tag, keys: keys.iter().map(|key| self.place.token(key, &[])).collect() }
    }

    /// Reads what was fetched and keeps a copy, if nothing has changed since before it was.
    fn take(
        &self,
        py: Python<'_>,
        key: &[u8],
        entry: &Entry,
        before: &Before,
        number: usize,
    ) -> PyResult<Option<Py<PyAny>>> {
        let value = match self.wrapping.open(py, key, &entry.bytes) {
            Ok(value) => value,
            // The end of the interpreter, say.
            Err(Unreadable::Content(error)) if !error.is_instance_of::<PyException>(py) => return Err(error),
            Err(unreadable) => {
                self.log_once(py, &unreadable)?;
                return Ok(None);
            }
        };
        if !entry.is_current || !self.is_trusted() {
            return Ok(Some(value));
        }
        let expires = match entry.left {
            None => Expiry::NEVER,
            Some(left) => Expiry::after(left.as_secs_f64(), place::now()).unwrap_or(Expiry::PAST),
        };
        let tags = entry.tags.iter().map(|tag| self.place.tag(tag)).collect();
        let offer = Offer { value: Kept::of(value.bind(py))?, tags, expires };
        let token = self.place.token(key, &offer.tags);
        // After the token: what changed before it was taken shows here, what changes later shows in the token.
        if self.place.token(key, &[]) == before.keys[number] && self.herald.any_tag() == before.any_tag {
            self.place.fill(key, offer, token, place::now());
        }
        Ok(Some(value))
    }

    /// Says why something is a miss that should have been a hit; of each kind once.
    fn log_once(&self, py: Python<'_>, unreadable: &Unreadable) -> PyResult<()> {
        let kind = unreadable.kind(py);
        if !self.logged.lock().unwrap_or_else(PoisonError::into_inner).insert(kind) {
            return Ok(());
        }
        beneath(|| {
            let logger = py.import("logging")?.call_method1("getLogger", ("tierkeep.cache",))?;
            let place = self.template.identity();
            let said = ("a stored value was not used: %s (said once of each kind, %s)", unreadable.reason(), place);
            logger.call_method1("warning", said).map(drop)
        })
    }

    /// Drops the copies of a key in all processes of this machine; after the server was told.
    pub(super) fn forget(&self, key: &[u8]) {
        if self.settings.ignores_generations {
            self.place.forget(key);
        } else {
            self.place.delete(key, place::now());
        }
    }

    /// The bytes of a value, for `write`. May run Python code: pickling does.
    pub(super) fn seal(&self, key: &[u8], value: &Bound<'_, PyAny>) -> PyResult<Sealed> {
        self.wrapping.seal(key, value).map(Sealed)
    }

    /// Stores a value; false if its condition did not hold, or if it was computed before a change.
    #[expect(clippy::too_many_arguments, reason = "what there is to say of a value")]
    pub(super) fn write(
        &self,
        py: Python<'_>,
        key: &[u8],
        Sealed(bytes): Sealed,
        timeout: Option<f64>,
        when: When,
        lease: Option<crate::remote::Lease>,
        tags: &[Vec<u8>],
    ) -> PyResult<bool> {
        let ttl = ttl(timeout)?;
        let written = self.ask(py, |remote| {
            let tags: Vec<Stamped<'_>> = tags.iter().map(|tag| Stamped { tag, stamp: None }).collect();
            remote.set(&Write { key, bytes: &bytes, ttl, when, lease, tags: &tags })
        });
        // Also after an error: it may have been stored.
        if !matches!(written, Ok(false)) {
            self.forget(key);
        }
        written
    }

    /// Stores values by one round trip.
    pub(super) fn write_many(
        &self,
        py: Python<'_>,
        values: &[(Vec<u8>, Bound<'_, PyAny>)],
        timeout: Option<f64>,
        tags: &[Vec<u8>],
    ) -> PyResult<()> {
        let ttl = ttl(timeout)?;
        let sealed: Vec<(&[u8], Vec<u8>)> = values
            .iter()
            .map(|(key, value)| Ok((key.as_slice(), self.wrapping.seal(key, value)?)))
            .collect::<PyResult<_>>()?;
        let written = self.ask(py, |remote| {
            let tags: Vec<Stamped<'_>> = tags.iter().map(|tag| Stamped { tag, stamp: None }).collect();
            let writes: Vec<Write<'_>> = sealed
                .iter()
                .map(|(key, bytes)| Write { key, bytes, ttl, when: When::Always, lease: None, tags: &tags })
                .collect();
            remote.set_many(&writes)
        });
        values.iter().for_each(|(key, _)| self.forget(key));
        written.map(drop)
    }

    /// Moves a value to another key, signed anew; false if there is none.
    pub(super) fn rename(&self, py: Python<'_>, from: &[u8], to: &[u8]) -> PyResult<bool> {
        let Wrapping { keyring, compressor } = &self.wrapping;
        let moved =
            self.ask(py, |remote| remote.move_entry(from, to, |bytes| keyring.reseal(from, to, bytes, *compressor)));
        self.forget(from);
        self.forget(to);
        moved
    }

    /// Removes values; for each whether it was there.
    pub(super) fn remove(&self, py: Python<'_>, keys: &[Vec<u8>]) -> PyResult<Vec<bool>> {
        let removed = self.ask(py, |remote| remote.delete_many(keys));
        keys.iter().for_each(|key| self.forget(key));
        removed
    }

    /// Adds and keeps the time: whole numbers in the server, others by comparing.
    pub(super) fn add_to(&self, py: Python<'_>, key: &[u8], delta: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let whole = whole_number(delta);
        let sum = match whole {
            Some(text) => self.ask(py, |remote| match remote.incr(key, &text) {
                Err(RemoteError::NotANumber) => Ok(None),
                sum => sum.map(Some),
            }),
            None => Ok(None),
        };
        let sum = match sum {
            Ok(Some(sum)) => {
                Ok(self.wrapping.open(py, key, &sum).map_err(|error| PyTypeError::new_err(error.reason()))?)
            }
            Ok(None) => self.add_by_comparing(py, key, delta),
            Err(error) => Err(error),
        };
        self.forget(key);
        sum
    }

    fn add_by_comparing(&self, py: Python<'_>, key: &[u8], delta: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        beneath(|| self.add_beneath(py, key, delta))
    }

    fn add_beneath(&self, py: Python<'_>, key: &[u8], delta: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let delta = delta.clone().unbind();
        let mut outcome = None;
        self.ask(py, |remote| {
            remote
                .modify(key, |stored| {
                    inside(|| {
                        Python::attach(|py| {
                            let added = self
                                .wrapping
                                .open(py, key, stored)
                                .map_err(|error| PyTypeError::new_err(error.reason()))
                                .and_then(|value| value.bind(py).add(delta.bind(py)))
                                .and_then(|sum| Ok((self.wrapping.seal(key, &sum)?, sum.unbind())));
                            match added {
                                Ok((bytes, sum)) => {
                                    outcome = Some(Ok(sum));
                                    Some(bytes)
                                }
                                Err(error) => {
                                    outcome = Some(Err(error));
                                    None
                                }
                            }
                        })
                    })
                })
                .map(drop)
        })?;
        outcome.unwrap_or_else(|| Err(raised(RemoteError::Absent)))
    }

    /// Invalidates tags, everywhere.
    pub(super) fn invalidate(&self, py: Python<'_>, tags: &[Vec<u8>]) -> PyResult<()> {
        let told = self.ask(py, |remote| {
            let tags: Vec<&[u8]> = tags.iter().map(Vec::as_slice).collect();
            remote.bump(&tags)
        });
        if !self.settings.ignores_generations {
            self.herald.tags_changed(tags);
        }
        told
    }

    /// Empties this namespace of the server, and all copies.
    pub(super) fn clear(&self, py: Python<'_>) -> PyResult<()> {
        let cleared = self.ask(py, Remote::clear);
        self.place.clear();
        cleared.map(drop)
    }

    /// Removes what matches, and tells how many there were.
    pub(super) fn remove_matching(&self, py: Python<'_>, pattern: &[u8], step: Option<usize>) -> PyResult<u64> {
        let removed = self.ask(py, |remote| remote.delete_matching(pattern, step));
        self.place.delete_matching(b"", |_| true, place::now());
        removed
    }
}

/// A value as it will lie in the server, under its key only.
pub(super) struct Sealed(Vec<u8>);

/// What a copy depends on, as it was before it was fetched.
struct Before {
    any_tag: u64,
    keys: Vec<crate::store::Token>,
}
