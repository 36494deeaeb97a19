//! Whose turn it is among warm-ups that run at once: the most urgent one's, and among equals the first one's.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::job::Priority;

type Place = (Reverse<Priority>, u64);

#[derive(Debug, Default)]
pub(super) struct Turns {
    queue: Mutex<(u64, BTreeSet<Place>)>,
    changed: Notify,
}

impl Turns {
    /// A place in the queue, until dropped.
    pub(super) fn queue(self: &Arc<Self>, priority: Priority) -> Turn {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.0 += 1;
        let place = (Reverse(priority), queue.0);
        queue.1.insert(place);
        Turn { turns: Arc::clone(self), place }
    }
}

#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    place: Place,
}

impl Turn {
    /// Waits until nobody is before this one. Somebody more urgent may come later.
    pub(super) async fn come(&self) {
        loop {
            // Whoever asks first and looks then cannot miss the moment in between.
            let changed = self.turns.changed.notified();
            if self.turns.queue.lock().unwrap_or_else(PoisonError::into_inner).1.first() == Some(&self.place) {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.queue.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&self.place);
        self.turns.changed.notify_waiters();
    }
}
