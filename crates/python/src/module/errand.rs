//! Calls that have to wait for a server, handed over by whoever may not wait: an event loop.
//!
//! The end of the interpreter waits for no server. But a thread that is in Python's code then is ended by Python from
//! within, which Rust's part of its stack does not survive. So it waits for those (they take as long as pickling does),
//! and threads that come back from a server later stay outside for good.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::gate::Gate;
use crate::node::workers::Workers;

/// The end of the interpreter waits no longer than that for calls that are in Python's code.
const LONGEST_END: Duration = Duration::from_secs(5);

/// The threads of this process. The lock is held for no Python code, and taken only while attached.
static OFFICE: Mutex<Option<Office>> = Mutex::new(None);

thread_local! {
    /// The gate that this thread is inside of, if it is one of ours.
    static INSIDE: RefCell<Option<Arc<Gate>>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct Office {
    workers: Workers,
    gate: Arc<Gate>,
}

/// What a thread does outside of Python's code; the caller is detached.
pub(super) fn outside<R>(work: impl FnOnce() -> R) -> R {
    let gate = INSIDE.with_borrow(Clone::clone);
    let Some(gate) = gate else { return work() };
    gate.leave();
    let _back = Back(&gate);
    work()
}

/// What is done inside again for a while, in the middle of what is done outside.
pub(super) fn inside<R>(work: impl FnOnce() -> R) -> R {
    let gate = INSIDE.with_borrow(Clone::clone);
    let Some(gate) = gate else { return work() };
    gate.enter();
    let _out = Out(&gate);
    work()
}

/// Goes back in, also after a panic.
struct Back<'a>(&'a Gate);

impl Drop for Back<'_> {
    fn drop(&mut self) {
        self.0.enter();
    }
}

/// Goes out again, also after a panic.
struct Out<'a>(&'a Gate);

impl Drop for Out<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// Has it called, without arguments, by a thread of this library's. The end of the interpreter waits for no server.
///
/// # Errors
/// RuntimeError if no thread could be made, or the interpreter is about to end.
#[pyfunction]
pub(super) fn hand_over(py: Python<'_>, errand: Py<PyAny>) -> PyResult<()> {
    static TOLD: PyOnceLock<()> = PyOnceLock::new();
    TOLD.get_or_try_init(py, || {
        let end = wrap_pyfunction!(end_of_interpreter, py)?;
        py.import("atexit")?.call_method1("register", (end,)).map(drop)
    })?;
    let mut office = OFFICE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(inherited) = office.take_if(|office| !office.workers.is_of_this_process()) {
        // A thread that is not in this process may hold its lock.
        std::mem::forget(inherited);
    }
    let Office { workers, gate } = office.get_or_insert_default();
    if gate.is_closed() {
        return Err(PyRuntimeError::new_err("the interpreter is about to end"));
    }
    let gate = Arc::clone(gate);
    let job = move || {
        gate.enter();
        let _out = Out(&gate);
        INSIDE.set(Some(Arc::clone(&gate)));
        let _called = Python::try_attach(move |py| {
            let errand = errand.into_bound(py);
            if let Err(error) = errand.call0() {
                error.write_unraisable(py, Some(&errand));
            }
        });
        INSIDE.set(None);
    };
    if workers.submit(job) { Ok(()) } else { Err(PyRuntimeError::new_err("no thread could be made")) }
}

#[pyfunction]
fn end_of_interpreter(py: Python<'_>) -> bool {
    let gate = {
        let office = OFFICE.lock().unwrap_or_else(PoisonError::into_inner);
        let own = office.as_ref().filter(|office| office.workers.is_of_this_process());
        own.map(|office| Arc::clone(&office.gate))
    };
    gate.is_none_or(|gate| py.detach(|| gate.close(LONGEST_END)))
}
