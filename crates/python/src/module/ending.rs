//! The end of the interpreter, and threads that are in this library then.
//!
//! CPython before 3.14 ends such a thread from within as soon as it wants to run Python code again. Rust's part of its
//! stack does not survive that. What waits in Rust (for a server, say) stays there for good and harms nobody. What is
//! *below* Rust is the matter: pickling, functions of keys, iterators and numbers of the caller, all of which run Python
//! code that gives the interpreter to others in between. So whoever runs such code goes through a gate, which the end
//! of the interpreter closes: it waits for those that are inside (they take as long as pickling does), and lets nobody
//! else in but the thread that ends the interpreter.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::gate::Gate;

/// The end of the interpreter waits no longer than that for calls that are in Python's code.
const LONGEST_END: Duration = Duration::from_secs(5);

/// The gate of this process, with the process that it belongs to. The lock is held for no Python code, and taken only
/// while attached.
static DOOR: Mutex<Option<(u32, Arc<Gate>)>> = Mutex::new(None);

thread_local! {
    /// The gate that this thread is inside of.
    static INSIDE: RefCell<Option<Arc<Gate>>> = const { RefCell::new(None) };
    /// This thread ends the interpreter, and runs what others have registered for that.
    static IS_LAST: Cell<bool> = const { Cell::new(false) };
}

/// The gate of this process: a forked child has none of the threads that are inside of its parent's.
pub(super) fn gate() -> Arc<Gate> {
    let mut door = DOOR.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    match door.as_ref() {
        Some((owner, gate)) if *owner == process => Arc::clone(gate),
        _ => Arc::clone(&door.insert((process, Arc::default())).1),
    }
}

/// Has the end of the interpreter wait for whoever is inside; called once, when the library is imported.
pub(super) fn register(py: Python<'_>) -> PyResult<()> {
    let end = wrap_pyfunction!(end_of_interpreter, py)?;
    py.import("atexit")?.call_method1("register", (end,)).map(drop)
}

#[pyfunction]
fn end_of_interpreter(py: Python<'_>) -> bool {
    IS_LAST.set(true);
    let gate = gate();
    py.detach(|| gate.close(LONGEST_END))
}

/// Whether this thread is the one that ends the interpreter.
pub(super) fn is_last() -> bool {
    IS_LAST.get()
}

/// The outcome of what was [`beneath`], or `instead` if it was refused: for event loops, whose tasks would say on stderr
/// what ended them.
pub(super) fn or_instead<R>(py: Python<'_>, outcome: PyResult<R>, instead: impl FnOnce() -> R) -> PyResult<R> {
    match outcome {
        Err(error) if gate().is_closed() && error.is_instance_of::<PySystemExit>(py) => Ok(instead()),
        outcome => outcome,
    }
}

/// Runs what may run Python code of others.
///
/// # Errors
/// As the work; SystemExit, which ends a thread without a word, once the interpreter is about to end.
pub(super) fn beneath<R>(work: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    if is_last() || INSIDE.with_borrow(Option::is_some) {
        return work();
    }
    let gate = gate();
    if !gate.try_enter() {
        return Err(refusal());
    }
    let _guest = Guest::new(gate);
    work()
}

/// A SystemExit that is an object already. Of one that pyo3 has yet to make, looking at its type would detach from the
/// interpreter and attach again, which at its end no thread survives.
fn refusal() -> PyErr {
    Python::attach(|py| py.get_type::<PySystemExit>().call0().map_or_else(|error| error, PyErr::from_value))
}

/// All that an iterable of the caller's gives.
///
/// # Errors
/// As [`beneath`], and what iterating raises.
pub(super) fn all_of<'py>(iterable: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    // These are iterated by CPython itself.
    if iterable.is_exact_instance_of::<PyList>() || iterable.is_exact_instance_of::<PyTuple>() {
        return iterable.try_iter()?.collect();
    }
    beneath(|| iterable.try_iter()?.collect())
}

/// A thread that has come in; it goes out when this is dropped.
pub(super) struct Guest(Arc<Gate>);

impl Guest {
    /// The caller has entered the gate.
    pub(super) fn new(gate: Arc<Gate>) -> Self {
        INSIDE.set(Some(Arc::clone(&gate)));
        Self(gate)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        INSIDE.set(None);
        self.0.leave();
    }
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
