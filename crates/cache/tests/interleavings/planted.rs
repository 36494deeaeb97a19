//! Faults of the synchronisation that the schedules must find.

use std::cell::Cell;

/// A mistake in the order of two steps. Without one, everything is as in production.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// An invalidation of a tag raises the tag's generation before it is in the log.
    LogAfterGeneration,
    /// A load is poisoned only after the lock of its key is released.
    PoisonAfterUnlock,
}

std::thread_local! {
    static PLANTED: Cell<Fault> = const { Cell::new(Fault::None) };
}

/// The fault of this test; the tasks of a scheduler run on the thread of its test.
pub(crate) fn planted() -> Fault {
    PLANTED.get()
}

pub(crate) fn plant(fault: Fault) {
    PLANTED.set(fault);
}
