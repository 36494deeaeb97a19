//! Trees of plain containers, copied without pickling: one pass when a value comes in decides whether it is such a
//! tree, and keeps what a copy needs.
//!
//! Plain means: exactly `dict`, `list`, `tuple`, `set`, with leaves that are exactly `str`, `bytes`, `int`, `float`,
//! `bool` or `None`. Leaves cannot change, so copies share them. Anything else is left to pickle: subclasses, cycles,
//! and a container that is in the tree twice, because a copy would have it once for each place.
//!
//! Nothing here runs Python code: types are exact, and hashing and comparing exact leaves is the interpreter's own.

use std::collections::HashSet;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PySet, PyString, PyTuple};

/// Containers inside containers, beyond which pickle has to see how far it comes.
const DEEPEST: usize = 64;

/// Bytes of a container and of one place in it, on a 64-bit interpreter.
const CONTAINER_BYTES: usize = 88;
const PLACE_BYTES: usize = 8;
const DICT_PLACE_BYTES: usize = 40;

/// One container of a tree. `master` is ours alone and never handed out; where it has containers, it has None.
#[derive(Debug)]
pub(super) enum Tree {
    Dict { master: Py<PyDict>, inner: Vec<(Py<PyAny>, Tree)> },
    List { master: Py<PyList>, inner: Vec<(usize, Tree)> },
    Tuple { master: Py<PyTuple>, inner: Vec<(usize, Tree)> },
    Set { master: Py<PySet> },
}

/// True for what can be shared by everybody, because it cannot change.
pub(super) fn is_leaf(value: &Bound<'_, PyAny>) -> bool {
    value.is_none()
        || value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyBytes>()
}

/// Bytes that a leaf needs, about.
pub(super) fn leaf_bytes(value: &Bound<'_, PyAny>) -> usize {
    if let Ok(text) = value.cast_exact::<PyString>() {
        // Between one and four bytes a character; short ones are not worth asking.
        let short = text.len().unwrap_or(0);
        if short <= 256 { 56 + short } else { bytes_of_itself(value) }
    } else if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        40 + bytes.as_bytes().len()
    } else if value.is_exact_instance_of::<PyInt>() && value.extract::<i64>().is_err() {
        bytes_of_itself(value)
    } else {
        32
    }
}

fn bytes_of_itself(value: &Bound<'_, PyAny>) -> usize {
    value.call_method0("__sizeof__").and_then(|bytes| bytes.extract()).unwrap_or(0)
}

/// A value on its way into the tree.
struct Walk {
    seen: HashSet<usize>,
    bytes: usize,
}

/// The tree of a value and the bytes it needs; none if it is no tree of plain containers.
pub(super) fn tree(value: &Bound<'_, PyAny>) -> PyResult<Option<(Tree, usize)>> {
    let mut walk = Walk { seen: HashSet::new(), bytes: 0 };
    Ok(walk.container(value, 0)?.map(|tree| (tree, walk.bytes)))
}

impl Walk {
    fn container(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> PyResult<Option<Tree>> {
        if depth > DEEPEST || !self.seen.insert(value.as_ptr() as usize) {
            return Ok(None);
        }
        self.bytes += CONTAINER_BYTES;
        if let Ok(dict) = value.cast_exact::<PyDict>() {
            self.dict(dict, depth)
        } else if let Ok(list) = value.cast_exact::<PyList>() {
            self.list(list, depth)
        } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            self.tuple(tuple, depth)
        } else if let Ok(set) = value.cast_exact::<PySet>() {
            self.set(set)
        } else {
            Ok(None)
        }
    }

    fn dict(&mut self, dict: &Bound<'_, PyDict>, depth: usize) -> PyResult<Option<Tree>> {
        let py = dict.py();
        let master = dict.copy()?;
        let mut inner = Vec::new();
        // The copy is walked: nobody else can change it meanwhile.
        for (key, value) in master.iter() {
            if !self.frozen(&key, depth) {
                return Ok(None);
            }
            self.bytes += DICT_PLACE_BYTES;
            if !self.frozen(&value, depth) {
                let Some(tree) = self.container(&value, depth + 1)? else { return Ok(None) };
                inner.push((key.unbind(), tree));
            }
        }
        for (key, _) in &inner {
            master.set_item(key, py.None())?;
        }
        Ok(Some(Tree::Dict { master: master.unbind(), inner }))
    }

    fn list(&mut self, list: &Bound<'_, PyList>, depth: usize) -> PyResult<Option<Tree>> {
        let py = list.py();
        let master = list.get_slice(0, list.len());
        let mut inner = Vec::new();
        for (at, value) in master.iter().enumerate() {
            self.bytes += PLACE_BYTES;
            if !self.frozen(&value, depth) {
                let Some(tree) = self.container(&value, depth + 1)? else { return Ok(None) };
                inner.push((at, tree));
            }
        }
        for (at, _) in &inner {
            master.set_item(*at, py.None())?;
        }
        Ok(Some(Tree::List { master: master.unbind(), inner }))
    }

    fn tuple(&mut self, tuple: &Bound<'_, PyTuple>, depth: usize) -> PyResult<Option<Tree>> {
        let py = tuple.py();
        let mut inner = Vec::new();
        let mut places = Vec::with_capacity(tuple.len());
        for (at, value) in tuple.iter().enumerate() {
            self.bytes += PLACE_BYTES;
            if self.frozen(&value, depth) {
                places.push(value.unbind());
            } else {
                let Some(tree) = self.container(&value, depth + 1)? else { return Ok(None) };
                inner.push((at, tree));
                places.push(py.None());
            }
        }
        let master = if inner.is_empty() { tuple.clone() } else { PyTuple::new(py, places)? };
        Ok(Some(Tree::Tuple { master: master.unbind(), inner }))
    }

    fn set(&mut self, set: &Bound<'_, PySet>) -> PyResult<Option<Tree>> {
        let py = set.py();
        let mut members = Vec::with_capacity(set.len());
        for member in set.iter() {
            self.bytes += DICT_PLACE_BYTES;
            if !self.frozen(&member, 0) {
                return Ok(None);
            }
            members.push(member);
        }
        Ok(Some(Tree::Set { master: PySet::new(py, members)?.unbind() }))
    }

    /// True for a leaf, and for a tuple that has only such in it: it cannot change, so it is shared.
    fn frozen(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> bool {
        if is_leaf(value) {
            self.bytes += leaf_bytes(value);
            return true;
        }
        let Ok(tuple) = value.cast_exact::<PyTuple>() else { return false };
        let before = self.bytes;
        self.bytes += CONTAINER_BYTES;
        let frozen = depth <= DEEPEST && tuple.iter().all(|value| self.frozen(&value, depth + 1));
        if !frozen {
            self.bytes = before;
        }
        frozen
    }
}

impl Tree {
    /// A copy that shares nothing that can change.
    pub(super) fn copy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Tree::Dict { master, inner } => {
                let copy = master.bind(py).copy()?;
                for (key, tree) in inner {
                    copy.set_item(key, tree.copy(py)?)?;
                }
                Ok(copy.into_any())
            }
            Tree::List { master, inner } => {
                let master = master.bind(py);
                let copy = master.get_slice(0, master.len());
                for (at, tree) in inner {
                    copy.set_item(*at, tree.copy(py)?)?;
                }
                Ok(copy.into_any())
            }
            Tree::Tuple { master, inner } if inner.is_empty() => Ok(master.bind(py).clone().into_any()),
            Tree::Tuple { master, inner } => {
                let mut places: Vec<_> = master.bind(py).iter().collect();
                for (at, tree) in inner {
                    places[*at] = tree.copy(py)?;
                }
                Ok(PyTuple::new(py, places)?.into_any())
            }
            Tree::Set { master } => Ok(PySet::new(py, master.bind(py).iter())?.into_any()),
        }
    }
}
