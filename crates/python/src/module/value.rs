//! Python values as a store keeps them: shared if nobody can change them, copied if they are plain containers, else
//! pickled. Which of the three is decided once, before any lock is taken.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBytes;

use super::copy::{self, Tree};
use super::ending::beneath;
use crate::store::Weigh;

/// A value as it is kept.
#[derive(Debug)]
pub(super) struct Kept {
    form: Form,
    bytes: usize,
}

#[derive(Debug)]
enum Form {
    Shared(Py<PyAny>),
    Copied(Arc<Tree>),
    Pickled(Py<PyBytes>),
}

impl Kept {
    /// Makes the form that is kept. May run Python code: pickling does.
    ///
    /// # Errors
    /// What pickle raises for what it cannot pickle.
    pub(super) fn of(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        if copy::is_leaf(value) {
            return Ok(Kept { bytes: copy::leaf_bytes(value), form: Form::Shared(value.clone().unbind()) });
        }
        if let Some((tree, bytes)) = copy::tree(value)? {
            return Ok(Kept { form: Form::Copied(Arc::new(tree)), bytes });
        }
        let pickled = dumps(value)?;
        let bytes = 40 + pickled.as_bytes().len();
        Ok(Kept { form: Form::Pickled(pickled.unbind()), bytes })
    }

    /// As [`Kept::of`]; none of what would have to be pickled.
    pub(super) fn of_plain(value: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        if copy::is_leaf(value) {
            return Self::of(value).map(Some);
        }
        Ok(copy::tree(value)?.map(|(tree, bytes)| Kept { form: Form::Copied(Arc::new(tree)), bytes }))
    }

    /// Another handle to the same; runs no Python code, so it may be called under a lock.
    pub(super) fn handle(&self, py: Python<'_>) -> Self {
        let form = match &self.form {
            Form::Shared(value) => Form::Shared(value.clone_ref(py)),
            Form::Copied(tree) => Form::Copied(Arc::clone(tree)),
            Form::Pickled(bytes) => Form::Pickled(bytes.clone_ref(py)),
        };
        Kept { form, bytes: self.bytes }
    }

    /// The value, for one reader: changing it changes nothing that is kept.
    ///
    /// # Errors
    /// What unpickling raises.
    pub(super) fn into_value(self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.form {
            Form::Shared(value) => Ok(value),
            Form::Copied(tree) => Ok(tree.copy(py)?.unbind()),
            Form::Pickled(bytes) => loads(bytes.bind(py)),
        }
    }
}

impl Weigh for Kept {
    fn weigh(&self) -> usize {
        self.bytes
    }
}

pub(super) fn dumps<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    /// The highest protocol of CPython 3.10 and later.
    const PROTOCOL: u8 = 5;
    let py = value.py();
    let pickled = beneath(|| DUMPS.import(py, "pickle", "dumps")?.call1((value, PROTOCOL)))?;
    Ok(pickled.cast_into::<PyBytes>()?)
}

pub(super) fn loads(bytes: &Bound<'_, PyBytes>) -> PyResult<Py<PyAny>> {
    static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = bytes.py();
    Ok(beneath(|| LOADS.import(py, "pickle", "loads")?.call1((bytes,)))?.unbind())
}
