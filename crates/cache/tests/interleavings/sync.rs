//! The scheduler's primitives in place of `src/sync.rs`, under the same names.
//!
//! Atomics and locks are `shuttle`'s. A thin layer over two of them can plant one fault: a flag that is set while a
//! lock is held takes effect only after the lock is released, as if the two lines stood in the other order.

use std::cell::RefCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, PoisonError};

use shuttle::current::{TaskId, me};

pub(crate) use shuttle::sync::atomic::{AtomicU64, Ordering};

use crate::planted::{Fault, planted};

std::thread_local! {
    // Tasks of a scheduler share one thread of the system, and no scheduling point lies within these few lines.
    static HELD: RefCell<Vec<(TaskId, usize)>> = const { RefCell::new(Vec::new()) };
    static LATE: RefCell<Vec<(TaskId, Arc<shuttle::sync::atomic::AtomicBool>)>> = const { RefCell::new(Vec::new()) };
}

/// Nothing is held and nothing is late: what a failed schedule left is not the next one's.
pub(crate) fn reset() {
    HELD.with_borrow_mut(Vec::clear);
    LATE.with_borrow_mut(Vec::clear);
}

/// A flag.
#[derive(Debug)]
pub(crate) struct AtomicBool(Arc<shuttle::sync::atomic::AtomicBool>);

impl AtomicBool {
    pub(crate) fn new(value: bool) -> Self {
        Self(Arc::new(shuttle::sync::atomic::AtomicBool::new(value)))
    }

    pub(crate) fn load(&self, order: Ordering) -> bool {
        self.0.load(order)
    }

    pub(crate) fn store(&self, value: bool, order: Ordering) {
        let holds = HELD.with_borrow(|held| held.iter().any(|(task, _)| *task == me()));
        if value && holds && planted() == Fault::PoisonAfterUnlock {
            LATE.with_borrow_mut(|late| late.push((me(), Arc::clone(&self.0))));
        } else {
            self.0.store(value, order);
        }
    }
}

/// A lock.
#[derive(Debug)]
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }
}

/// A lock that is held.
pub(crate) struct MutexGuard<'a, T> {
    guard: Option<shuttle::sync::MutexGuard<'a, T>>,
    place: usize,
}

/// As in `src/sync.rs`.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    let guard = mutex.0.lock().unwrap_or_else(PoisonError::into_inner);
    let place = std::ptr::from_ref(mutex).addr();
    HELD.with_borrow_mut(|held| held.push((me(), place)));
    MutexGuard { guard: Some(guard), place }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.guard.as_deref().expect("held until it is dropped")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.guard.as_deref_mut().expect("held until it is dropped")
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        let released = (me(), self.place);
        HELD.with_borrow_mut(|held| {
            if let Some(at) = held.iter().rposition(|one| *one == released) {
                held.swap_remove(at);
            }
        });
        self.guard = None;
        let late =
            LATE.with_borrow_mut(|late| late.extract_if(.., |(task, _)| *task == released.0).collect::<Vec<_>>());
        late.iter().for_each(|(_, flag)| flag.store(true, Ordering::Release));
    }
}

impl<T: fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
