//! The connections that are open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::watch::Watch;

/// The connections that are open.
pub(super) struct Open {
    shared: Arc<Shared>,
    most: usize,
    began: Instant,
}

#[derive(Default)]
struct Shared {
    places: Mutex<Places>,
    /// A place was given back.
    left: Notify,
}

#[derive(Default)]
struct Places {
    next: u64,
    taken: HashMap<u64, Arc<Watch>>,
}

/// A place among the connections, given back when it is dropped.
pub(super) struct Place {
    shared: Arc<Shared>,
    number: u64,
    watch: Arc<Watch>,
}

impl Open {
    /// None yet, and `most` at once.
    pub(super) fn new(most: usize) -> Self {
        Self { shared: Arc::default(), most, began: Instant::now() }
    }

    /// A place for a connection, if there is one.
    pub(super) fn enter(&self) -> Option<Place> {
        let mut places = self.shared.places();
        if places.taken.len() >= self.most {
            return None;
        }
        let number = places.next;
        places.next += 1;
        let watch = Arc::new(Watch::new(self.began));
        places.taken.insert(number, Arc::clone(&watch));
        Some(Place { shared: Arc::clone(&self.shared), number, watch })
    }

    /// Returns when a place was given back, also if that was before.
    pub(super) async fn left(&self) {
        self.shared.left.notified().await;
    }

    /// Asks the connection to close that has waited longest for a request. Those that are answering are left alone.
    ///
    /// Looks at every connection: microseconds, where a flood has filled all places.
    pub(super) fn make_room(&self) {
        let places = self.shared.places();
        let waiting = places.taken.values().filter_map(|watch| Some((watch.waiting_since()?, watch)));
        if let Some((_, longest)) = waiting.min_by_key(|(since, _)| *since) {
            longest.ask_to_leave();
        }
    }
}

impl Shared {
    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// What is known of the connection.
    pub(super) fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.places().taken.remove(&self.number);
        self.shared.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_one_that_waits_longest_makes_room() {
        let open = Open::new(3);
        let mut places: Vec<Place> = std::iter::from_fn(|| open.enter()).take(2).collect();
        places[0].watch.asked();
        places[1].watch.heard();
        tokio::time::advance(Duration::from_millis(5)).await;
        places.extend(open.enter());
        places[2].watch.heard();
        assert!(open.enter().is_none());

        open.make_room();

        let asked = |place: &Place| place.watch.was_asked_to_leave();
        assert_eq!(places.iter().map(asked).collect::<Vec<_>>(), [false, true, false]);
        drop(places);
        open.left().await;
        assert!(open.enter().is_some());
    }
}
