//! Which stores and tables this process has: stores of equal names are one, tables of equal files are one.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Instant;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use tierkeep_generations::{Error, Generations, SlotCount};

use super::value::Kept;
use crate::store::{Bounds, Moment, Store};

/// The namespace of the file that all processes of a user share unless told otherwise.
const EVERYBODY: &str = "tierkeep";

/// Counters of a table that only this process has: only tags and clearing need it.
const PRIVATE_SLOTS: u32 = 16;

/// Values of one name in this process.
pub(super) type Place = Store<Kept>;

/// Which table of generations a store uses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Table {
    /// This process alone.
    Private,
    /// The file at that path.
    File(PathBuf),
}

/// Stores by name and table.
type Places = HashMap<(String, Table), Arc<Place>>;

/// The stores of this process. The lock is held for no Python code.
static PLACES: LazyLock<Mutex<Places>> = LazyLock::new(Mutex::default);

/// Mapped tables by path.
static TABLES: LazyLock<Mutex<HashMap<PathBuf, Arc<Generations>>>> = LazyLock::new(Mutex::default);

/// The moment that stores count from.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Now, on a clock that nobody sets back.
pub(super) fn now() -> Moment {
    Moment(u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX).saturating_add(1))
}

/// The store of that name, made at the first call; later calls change its bounds.
///
/// # Errors
/// OSError: the file of the table cannot be used; ValueError: it is not a table of this user.
pub(super) fn open(name: &str, bounds: Bounds, table: &Table) -> PyResult<Arc<Place>> {
    let generations = generations(table)?;
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    let place = places
        .entry((name.to_owned(), table.clone()))
        .or_insert_with(|| Arc::new(Store::new(bounds, generations, name)));
    place.bound(bounds);
    Ok(Arc::clone(place))
}

/// A store that nobody else has.
pub(super) fn open_unnamed(bounds: Bounds, table: &Table) -> PyResult<Arc<Place>> {
    Ok(Arc::new(Store::new(bounds, generations(table)?, "")))
}

/// A store of its own that is told of what others of that name write.
pub(super) fn open_alone(name: &str, bounds: Bounds, table: &Table) -> PyResult<Arc<Place>> {
    Ok(Arc::new(Store::new(bounds, generations(table)?, name)))
}

fn generations(table: &Table) -> PyResult<Arc<Generations>> {
    let Table::File(path) = table else {
        let slots = SlotCount::new(PRIVATE_SLOTS).map_err(|_| PyValueError::new_err("number of counters"))?;
        return Ok(Arc::new(Generations::private(slots)));
    };
    let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = tables.get(path) {
        return Ok(Arc::clone(known));
    }
    let opened = Generations::open(path, SlotCount::DEFAULT).map_err(refusal)?;
    let opened = Arc::new(opened);
    tables.insert(path.clone(), Arc::clone(&opened));
    Ok(opened)
}

fn refusal(error: Error) -> PyErr {
    match error {
        Error::Foreign { .. } => PyValueError::new_err(error.to_string()),
        error => {
            let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
            PyOSError::new_err(format!("{error}{cause}"))
        }
    }
}

/// The file in which processes of this user tell each other what changed, unless another is named.
#[pyfunction]
pub(super) fn shared_table_path() -> PathBuf {
    tierkeep_generations::place(EVERYBODY)
}
