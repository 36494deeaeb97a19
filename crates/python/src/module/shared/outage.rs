//! What is read while the server cannot be asked: with `stale_if_error`, what this process has of it.
//!
//! Nothing that was changed, as far as anybody on this machine knows. What others may have changed since is as old as
//! the watch is lost; a value whose time is over, as old as that. Neither is read once it is older than was allowed.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyConnectionError;
use pyo3::prelude::*;

use super::Shared;
use crate::module::ending::beneath;
use crate::module::place;

/// Whether this outage was told of.
#[derive(Default)]
pub(super) struct Outage {
    is_told: AtomicBool,
}

impl Shared {
    /// The copy of a key that does not count any more, if the server cannot be asked and that is allowed.
    pub(super) fn late(&self, py: Python<'_>, key: &[u8], error: &PyErr) -> PyResult<Option<Py<PyAny>>> {
        let Some(longest) = self.settings.stale_if_error else { return Ok(None) };
        if !error.is_instance_of::<PyConnectionError>(py) {
            return Ok(None);
        }
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let age = live.as_ref().and_then(|live| live.watch.silent_for());
        drop(live);
        if age.is_none_or(|age| age > longest) {
            return Ok(None);
        }
        let Some(kept) = self.place().look_late(key, place::now(), |kept| kept.handle(py)) else { return Ok(None) };
        if !self.outage.is_told.swap(true, Ordering::Relaxed) {
            let text = "the server cannot be asked (%s): values up to %s s old are served";
            beneath(|| {
                let logger = py.import("logging")?.call_method1("getLogger", ("tierkeep.cache",))?;
                logger.call_method1("warning", (text, error.value(py).str()?, longest.as_secs_f64())).map(drop)
            })?;
        }
        kept.into_value(py).map(Some)
    }

    /// The server has answered: the next outage is another.
    pub(super) fn answered(&self) {
        if self.settings.stale_if_error.is_some() {
            self.outage.is_told.store(false, Ordering::Relaxed);
        }
    }
}
