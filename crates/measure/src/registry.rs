//! All measured functions of the program, by name, and the switch that holds for all of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::recorder::Recorder;
use crate::report::Report;

static ENABLED: AtomicBool = AtomicBool::new(true);
static RECORDERS: Mutex<BTreeMap<&'static str, Arc<Recorder>>> = Mutex::new(BTreeMap::new());

/// Switches measuring on or off, for all functions of the program; it begins switched on.
///
/// Calls that began before are counted as they began. While it is off a measured function costs one relaxed load of a
/// boolean, and opens no span.
pub fn set_enabled(enabled: bool) {
    ENABLED.store(enabled, Relaxed);
}

/// Whether calls are measured.
#[must_use]
#[inline]
pub fn is_enabled() -> bool {
    ENABLED.load(Relaxed)
}

/// What became of the calls of all measured functions so far, by name. Functions that were not called are not listed.
///
/// Threads go on counting meanwhile: a call that ends during this may be in the count and not yet in the total. Costs some
/// microseconds a name.
#[must_use]
pub fn report() -> Report {
    let recorders: Vec<Arc<Recorder>> = locked().values().map(Arc::clone).collect();
    Report { functions: recorders.iter().filter_map(|recorder| recorder.read()).collect() }
}

/// Forgets all calls so far. A call that ends during this may be forgotten in part.
pub fn reset() {
    for recorder in locked().values() {
        recorder.reset();
    }
}

/// The recorder of a name; equal names share it.
pub(crate) fn recorder(name: &'static str) -> Arc<Recorder> {
    Arc::clone(locked().entry(name).or_insert_with(|| Arc::new(Recorder::new(name))))
}

fn locked() -> std::sync::MutexGuard<'static, BTreeMap<&'static str, Arc<Recorder>>> {
    // nothing under the lock can leave the map half changed
    RECORDERS.lock().unwrap_or_else(PoisonError::into_inner)
}
