//! The locks and atomics of the hand-made synchronisation, in one place.
//!
//! `flight`, `cells` and `memory` take them from here only, so that `tests/interleavings.rs` can
//! compile the same files with a scheduler's own primitives in place of the standard ones.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub(crate) use std::sync::{Mutex, MutexGuard};

/// Locks, whatever happened to an earlier holder: each critical section leaves its data whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
