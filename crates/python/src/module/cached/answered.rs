//! A coroutine that has its result already.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// What a call of an `async` function gives when the result is kept: awaiting it yields to nobody and makes no frame.
#[pyclass(frozen, module = "tierkeep._core")]
pub(in crate::module) struct Answered {
    value: Py<PyAny>,
    over: AtomicBool,
}

impl Answered {
    pub(super) fn new(value: Py<PyAny>) -> Self {
        Answered { value, over: AtomicBool::new(false) }
    }
}

#[pymethods]
impl Answered {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if self.over.swap(true, Ordering::Relaxed) {
            return Err(PyRuntimeError::new_err("cannot reuse already awaited coroutine"));
        }
        // in a tuple, or a value that is a tuple would be taken for the arguments of the exception
        Err(PyStopIteration::new_err((self.value.clone_ref(py),)))
    }

    fn send(&self, py: Python<'_>, _value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.__next__(py)
    }

    /// Raises what is thrown, as a coroutine does that waits for nothing.
    #[pyo3(signature = (*thrown))]
    fn throw(&self, thrown: &Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
        self.over.store(true, Ordering::Relaxed);
        let exception = match thrown.len() {
            1 => thrown.get_item(0)?,
            _ => thrown.get_item(1)?,
        };
        let exception = if exception.is_none() || exception.is_instance_of::<pyo3::types::PyType>() {
            thrown.get_item(0)?.call0()?
        } else {
            exception
        };
        Err(PyErr::from_value(exception))
    }

    fn close(&self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
