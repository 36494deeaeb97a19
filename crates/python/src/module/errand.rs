//! Calls that have to wait for a server, handed over by whoever may not wait: an event loop.
//!
//! The end of the interpreter waits for no server: threads that come back from one later stay outside for good.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::ending::{self, Guest};
use crate::node::workers::Workers;

/// The threads of this process. The lock is held for no Python code, and taken only while attached.
static WORKERS: Mutex<Option<Workers>> = Mutex::new(None);

/// Has it called, without arguments, by a thread of this library's. The end of the interpreter waits for no server.
///
/// Once the interpreter is about to end there are no such threads: whoever ends it calls for itself, and what others ask
/// for is not done any more. They wait for it without a word, as all threads do whose interpreter ends.
///
/// # Errors
/// RuntimeError if no thread could be made.
#[pyfunction]
pub(super) fn hand_over(py: Python<'_>, errand: Py<PyAny>) -> PyResult<()> {
    let gate = ending::gate();
    if gate.is_closed() {
        if ending::is_last() {
            return errand.call0(py).map(drop);
        }
        // Dropped, it would take the task that waits for it along, and Python says so on stderr.
        std::mem::forget(errand);
        return Ok(());
    }
    let mut workers = WORKERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(inherited) = workers.take_if(|workers| !workers.is_of_this_process()) {
        // A thread that is not in this process may hold its lock.
        std::mem::forget(inherited);
    }
    let job = move || {
        gate.enter();
        let _guest = Guest::new(gate);
        let _called = Python::try_attach(move |py| {
            let errand = errand.into_bound(py);
            if let Err(error) = errand.call0() {
                error.write_unraisable(py, Some(&errand));
            }
        });
    };
    let is_taken = workers.get_or_insert_default().submit(job);
    if is_taken { Ok(()) } else { Err(PyRuntimeError::new_err("no thread could be made")) }
}
