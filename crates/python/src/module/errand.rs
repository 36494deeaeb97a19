//! Calls that have to wait for a server, handed over by whoever may not wait: an event loop.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::node::workers::Workers;

/// The threads of this process. The lock is held for no Python code, and taken only while attached.
static WORKERS: Mutex<Option<Workers>> = Mutex::new(None);

/// Has it called, without arguments, by a thread of this library's. None is waited for when the interpreter ends.
///
/// # Errors
/// RuntimeError if no thread could be made.
#[pyfunction]
pub(super) fn hand_over(errand: Py<PyAny>) -> PyResult<()> {
    let job = move || {
        // Nobody is there to be told once the interpreter ends.
        let _called = Python::try_attach(move |py| {
            let errand = errand.into_bound(py);
            if let Err(error) = errand.call0() {
                error.write_unraisable(py, Some(&errand));
            }
        });
    };
    let mut workers = WORKERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(inherited) = workers.take_if(|workers| !workers.is_of_this_process()) {
        // A thread that is not in this process may hold its lock.
        std::mem::forget(inherited);
    }
    if workers.get_or_insert_default().submit(job) {
        Ok(())
    } else {
        Err(PyRuntimeError::new_err("no thread could be made"))
    }
}
