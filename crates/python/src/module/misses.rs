//! Misses that a thread or task has just seen: what it stores next under such a key was computed from what was there
//! *then*, so it is a fill from then, not a decision of now.
//!
//! `value = cache.get(k)`, a slow query, `cache.set(k, value)`: without this, an invalidation during the query would be
//! overwritten by what the query saw before it, and stay. Each thread remembers a few, each for a few seconds, with the
//! task it was seen in; the thread's own writes to a key are no fills, and make it forget. What another thread does for
//! a task, an [`Asker`] has counted as the task's own.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyWeakrefReference};
use tierkeep_generations::Slot;

use super::place::Place;
use crate::store::{Key, Moment, Token};

/// Misses that a thread remembers of a task, or outside of any: more than a page misses between reading and storing.
const REMEMBERED: usize = 64;

/// Misses that a thread remembers of all tasks together.
const REMEMBERED_IN_ALL: usize = 512;

struct Miss {
    place: usize,
    task: Task,
    key: Key,
    seen: Moment,
    token: MissToken,
}

/// What a value stored after the miss has to be compared with.
#[derive(Clone)]
pub(super) enum MissToken {
    /// The tags were not known: of the key, and of the key with whatever tags.
    Open { plain: Token, tagged: Token },
    /// It was missing in a server, which gave this right to store what is computed, or none.
    Leased(Option<crate::remote::Lease>),
    /// They were.
    Exact { tags: Box<[Slot]>, token: Token },
}

/// Misses in the order in which they were seen. The lock is held for no Python code, and taken only while attached.
type Misses = Mutex<VecDeque<Miss>>;

thread_local! {
    static OWN: Arc<Misses> = Arc::default();
    /// For whom this thread works now, if not for itself.
    static ASKER: RefCell<Option<Asked>> = const { RefCell::new(None) };
}

/// Whose misses count.
struct Asked {
    misses: Arc<Misses>,
    task: Task,
}

impl Asked {
    /// Who asks in this thread.
    fn here(py: Python<'_>) -> PyResult<Self> {
        let asker = ASKER.with_borrow(|asker| asker.as_ref().map(|asker| asker.clone_ref(py)));
        match asker {
            Some(asker) => Ok(asker),
            None => Ok(Self { misses: OWN.with(Arc::clone), task: Task::running(py)? }),
        }
    }

    fn clone_ref(&self, py: Python<'_>) -> Self {
        let task = Task(self.task.0.as_ref().map(|task| task.clone_ref(py)));
        Self { misses: Arc::clone(&self.misses), task }
    }

    fn misses<R>(&self, work: impl FnOnce(&mut VecDeque<Miss>) -> R) -> R {
        work(&mut self.misses.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether one of the misses that count here is such a one.
fn any(is_wanted: impl Fn(&Miss) -> bool) -> bool {
    let any = |misses: &Misses| misses.lock().unwrap_or_else(PoisonError::into_inner).iter().any(&is_wanted);
    ASKER.with_borrow(|asker| match asker {
        Some(asker) => any(&asker.misses),
        None => OWN.with(|own| any(own)),
    })
}

/// The thread and task that it was made in. What another thread calls through it sees and leaves misses there.
#[pyclass(frozen, module = "tierkeep._core")]
pub(super) struct Asker(Asked);

#[pymethods]
impl Asker {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        Asked::here(py).map(Self)
    }

    /// Calls in this thread, for that one.
    fn call(
        &self,
        call: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        options: &Bound<'_, PyDict>,
    ) -> PyResult<Py<PyAny>> {
        let before = ASKER.replace(Some(self.0.clone_ref(call.py())));
        let _again = Again(before);
        call.call(args, Some(options)).map(Bound::unbind)
    }
}

/// Has the thread work for whom it did before.
struct Again(Option<Asked>);

impl Drop for Again {
    fn drop(&mut self) {
        drop(ASKER.replace(self.0.take()));
    }
}

fn id(place: &Arc<Place>) -> usize {
    Arc::as_ptr(place) as usize
}

/// The task of an event loop, none outside of one. Kept weakly: another may come to lie where one has been. CPython
/// has one weak reference without callback for each object, so two are compared without asking Python for the tasks.
struct Task(Option<Py<PyWeakrefReference>>);

impl Task {
    /// The one that runs in this thread.
    fn running(py: Python<'_>) -> PyResult<Self> {
        static RUNNING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        static CURRENT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let running = RUNNING.import(py, "asyncio", "_get_running_loop")?.call0()?;
        if running.is_none() {
            return Ok(Self(None));
        }
        let task = CURRENT.import(py, "asyncio", "current_task")?.call1((running,))?;
        if task.is_none() {
            return Ok(Self(None));
        }
        PyWeakrefReference::new(&task).map(|task| Self(Some(task.unbind())))
    }

    fn is(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => one.is(other),
            _ => false,
        }
    }
}

/// Remembers that the key was not there.
pub(super) fn remember(py: Python<'_>, place: &Arc<Place>, key: &[u8], token: MissToken, now: Moment) -> PyResult<()> {
    let asked = Asked::here(py)?;
    let place = id(place);
    let misses = Arc::clone(&asked.misses);
    let mut misses = misses.lock().unwrap_or_else(PoisonError::into_inner);
    let mut of_task = 0;
    misses.retain(|miss| {
        let is_of_task = miss.task.is(&asked.task);
        let is_kept = !(is_of_task && miss.place == place && *miss.key == *key);
        of_task += usize::from(is_of_task && is_kept);
        is_kept
    });
    let oldest = if of_task >= REMEMBERED { misses.iter().position(|miss| miss.task.is(&asked.task)) } else { None };
    if let Some(oldest) = oldest.or((misses.len() >= REMEMBERED_IN_ALL).then_some(0)) {
        misses.remove(oldest);
    }
    misses.push_back(Miss { place, task: asked.task, key: key.into(), seen: now, token });
    Ok(())
}

/// Takes the miss of that key out, if this thread and task saw one since `since`.
pub(super) fn take(py: Python<'_>, place: &Arc<Place>, key: &[u8], since: Moment) -> PyResult<Option<MissToken>> {
    let place = id(place);
    if !any(|miss| miss.place == place && *miss.key == *key) {
        return Ok(None);
    }
    let asked = Asked::here(py)?;
    Ok(asked.misses(|misses| {
        let at =
            misses.iter().position(|miss| miss.place == place && miss.task.is(&asked.task) && *miss.key == *key)?;
        let miss = misses.remove(at)?;
        (miss.seen >= since).then_some(miss.token)
    }))
}

/// Forgets all misses of this thread and task in the store: it has just changed more than a key.
pub(super) fn forget_all(py: Python<'_>, place: &Arc<Place>) -> PyResult<()> {
    if !any(|_| true) {
        return Ok(());
    }
    let (place, asked) = (id(place), Asked::here(py)?);
    asked.misses(|misses| misses.retain(|miss| miss.place != place || !miss.task.is(&asked.task)));
    Ok(())
}

impl MissToken {
    /// What to compare a value with those tags with; `tagged` says the token of the key is to be taken with all tags.
    pub(super) fn for_tags(&self, tags: &[Slot]) -> Wanted {
        match self {
            MissToken::Exact { tags: known, token } if **known == *tags => Wanted::Exact(*token),
            MissToken::Open { plain, .. } if tags.is_empty() => Wanted::Exact(*plain),
            MissToken::Open { tagged, .. } => Wanted::AnyTag(*tagged),
            MissToken::Leased(_) => Wanted::Nothing,
            // Other tags than it was begun with: nobody knows what they were then.
            MissToken::Exact { .. } => Wanted::Nothing,
        }
    }
}

/// How a fill is compared.
pub(super) enum Wanted {
    /// By the token of its key and tags.
    Exact(Token),
    /// By the token of its key and of all tags together.
    AnyTag(Token),
    /// Not at all: it is a decision of now.
    Nothing,
}
