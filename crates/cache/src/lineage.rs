//! Who loads for whom: so that a value cannot wait for itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::memory::EntryKey;

/// The chain of loads that led to this one, innermost first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lineage(Option<Arc<Link>>);

#[derive(Debug)]
struct Link {
    key: EntryKey,
    parent: Lineage,
}

impl Lineage {
    /// The chain with one more load at its end.
    pub(crate) fn of(&self, key: EntryKey) -> Self {
        Self(Some(Arc::new(Link { key, parent: self.clone() })))
    }

    /// The load that asks.
    pub(crate) fn current(&self) -> Option<&EntryKey> {
        self.0.as_ref().map(|link| &link.key)
    }

    pub(crate) fn contains(&self, key: &EntryKey) -> bool {
        let mut at = self;
        while let Some(link) = &at.0 {
            if link.key == *key {
                return true;
            }
            at = &link.parent;
        }
        false
    }
}

/// Which load waits for which: two loads of different callers could wait for each other, and neither chain would
/// show it.
#[derive(Debug, Default)]
pub(crate) struct WaitGraph {
    waits: Mutex<HashMap<EntryKey, Vec<EntryKey>>>,
}

impl WaitGraph {
    /// Registers that `waiter` waits for `awaited`, until the returned guard is dropped; `None` if that would
    /// close a circle.
    pub(crate) fn wait(&self, waiter: &EntryKey, awaited: &EntryKey) -> Option<Waiting<'_>> {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reached = vec![awaited];
        let mut next = 0;
        while let Some(&key) = reached.get(next) {
            if key == waiter {
                return None;
            }
            for further in waits.get(key).into_iter().flatten() {
                if !reached.contains(&further) {
                    reached.push(further);
                }
            }
            next += 1;
        }
        waits.entry(waiter.clone()).or_default().push(awaited.clone());
        Some(Waiting { graph: self, waiter: waiter.clone(), awaited: awaited.clone() })
    }
}

/// One load waits for another while this lives.
pub(crate) struct Waiting<'a> {
    graph: &'a WaitGraph,
    waiter: EntryKey,
    awaited: EntryKey,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waits = self.graph.waits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(awaited) = waits.get_mut(&self.waiter) {
            if let Some(at) = awaited.iter().position(|key| *key == self.awaited) {
                awaited.swap_remove(at);
            }
            if awaited.is_empty() {
                waits.remove(&self.waiter);
            }
        }
    }
}
