//! Misses that a thread or task has just seen: what it stores next under such a key was computed from what was there
//! *then*, so it is a fill from then, not a decision of now.
//!
//! `value = cache.get(k)`, a slow query, `cache.set(k, value)`: without this, an invalidation during the query would be
//! overwritten by what the query saw before it, and stay. Each thread remembers a few, each for a few seconds, with the
//! task it was seen in; the thread's own writes to a key are no fills, and make it forget.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyWeakrefReference;
use tierkeep_generations::Slot;

use super::place::Place;
use crate::store::{Key, Moment, Token};

/// Misses that a thread remembers: more than a page misses between reading and storing.
const REMEMBERED: usize = 64;

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

thread_local! {
    static MISSES: RefCell<VecDeque<Miss>> = const { RefCell::new(VecDeque::new()) };
}

fn id(place: &Arc<Place>) -> usize {
    Arc::as_ptr(place) as usize
}

/// The task of an event loop, none outside of one. Kept weakly: another task may come to lie where one has been.
struct Task(Option<Py<PyWeakrefReference>>);

impl Task {
    /// The one that runs in this thread.
    fn running(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
        static RUNNING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        static CURRENT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let running = RUNNING.import(py, "asyncio", "_get_running_loop")?.call0()?;
        if running.is_none() {
            return Ok(None);
        }
        let task = CURRENT.import(py, "asyncio", "current_task")?.call1((running,))?;
        Ok(Some(task).filter(|task| !task.is_none()))
    }

    fn is(&self, py: Python<'_>, other: Option<&Bound<'_, PyAny>>) -> bool {
        match (&self.0, other) {
            (None, None) => true,
            (Some(one), Some(other)) => one.bind(py).upgrade().is_some_and(|one| one.is(other)),
            _ => false,
        }
    }
}

/// Remembers that the key was not there.
pub(super) fn remember(py: Python<'_>, place: &Arc<Place>, key: &[u8], token: MissToken, now: Moment) -> PyResult<()> {
    let running = Task::running(py)?;
    let running = running.as_ref();
    let task = Task(running.map(|task| PyWeakrefReference::new(task).map(Bound::unbind)).transpose()?);
    let place = id(place);
    MISSES.with_borrow_mut(|misses| {
        misses.retain(|miss| !(miss.place == place && miss.task.is(py, running) && *miss.key == *key));
        if misses.len() == REMEMBERED {
            misses.pop_front();
        }
        misses.push_back(Miss { place, task, key: key.into(), seen: now, token });
    });
    Ok(())
}

/// Takes the miss of that key out, if this thread and task saw one since `since`.
pub(super) fn take(py: Python<'_>, place: &Arc<Place>, key: &[u8], since: Moment) -> PyResult<Option<MissToken>> {
    let place = id(place);
    if MISSES.with_borrow(|misses| !misses.iter().any(|miss| miss.place == place && *miss.key == *key)) {
        return Ok(None);
    }
    let running = Task::running(py)?;
    Ok(MISSES.with_borrow_mut(|misses| {
        let at = misses
            .iter()
            .position(|miss| miss.place == place && miss.task.is(py, running.as_ref()) && *miss.key == *key)?;
        let miss = misses.remove(at)?;
        (miss.seen >= since).then_some(miss.token)
    }))
}

/// Forgets all misses of this thread and task in the store: it has just changed more than a key.
pub(super) fn forget_all(py: Python<'_>, place: &Arc<Place>) -> PyResult<()> {
    if MISSES.with_borrow(VecDeque::is_empty) {
        return Ok(());
    }
    let (place, running) = (id(place), Task::running(py)?);
    MISSES.with_borrow_mut(|misses| {
        misses.retain(|miss| miss.place != place || !miss.task.is(py, running.as_ref()));
    });
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
