//! Values that were written and that the source does not have yet: read before any tier, and never evicted.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::WriteBackError;
use crate::memory::AnyValue;

/// The overlay as its view sees it.
#[async_trait]
pub(crate) trait Dirty: Send + Sync {
    /// The value of a dirty key; the inner `None`: it was deleted.
    fn dirty(&self, key: &[u8]) -> Option<Option<AnyValue>>;

    /// Writes these keys to the source, and tells whether none is dirty any more.
    async fn flush_keys(&self, keys: &[Box<[u8]>]) -> bool;
}

/// Whoever waits for the source to have a write.
type Waiter = (u64, oneshot::Sender<Result<(), WriteBackError>>);

pub(super) struct Held<K, V> {
    pub(super) key: K,
    pub(super) value: Option<Arc<V>>,
    pub(super) number: u64,
    /// What the journal has of this key, this write included: settled together.
    pub(super) numbers: Vec<u64>,
    /// Writes of this key on their way into the journal: it is not settled before it is there.
    journaling: u32,
    attempts: u32,
    not_before: Option<Instant>,
    waiters: Vec<Waiter>,
}

type Keys<K, V> = HashMap<Box<[u8]>, Held<K, V>>;

/// One write about to be handed to the source.
pub(super) struct Taken<K, V> {
    pub(super) bytes: Box<[u8]>,
    pub(super) key: K,
    pub(super) value: Option<Arc<V>>,
    pub(super) number: u64,
}

pub(super) struct Overlay<K, V> {
    keys: Mutex<Keys<K, V>>,
    capacity: usize,
    /// A key became clean.
    pub(super) room: Notify,
}

pub(super) struct Write<K, V> {
    pub(super) key: K,
    pub(super) value: Option<Arc<V>>,
    pub(super) journaling: bool,
    /// Is told when the source has this write or a later one of its key.
    pub(super) waiter: Option<oneshot::Sender<Result<(), WriteBackError>>>,
}

impl<K: Clone, V> Overlay<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { keys: Mutex::default(), capacity, room: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Keys<K, V>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Option<Arc<V>>> {
        self.lock().get(key).map(|held| held.value.clone())
    }

    /// Takes a write under a number that `number` gives while no other write of the key can be taken; `Err` gives it
    /// back if there is no room for another key, or no number.
    pub(super) fn insert(
        &self,
        bytes: &[u8],
        write: Write<K, V>,
        number: impl FnOnce() -> Option<u64>,
    ) -> Result<u64, (Write<K, V>, Lack)> {
        let mut keys = self.lock();
        let full = keys.len() >= self.capacity;
        match keys.entry(bytes.into()) {
            Place::Vacant(_) if full => Err((write, Lack::Room)),
            place => {
                let Some(number) = number() else { return Err((write, Lack::Number)) };
                self.put(place, write, number);
                Ok(number)
            }
        }
    }

    /// Takes a write that the journal had, whether there is room or not; they come in the order of their numbers.
    pub(super) fn restore(&self, bytes: &[u8], write: Write<K, V>, number: u64) {
        let mut keys = self.lock();
        let place = keys.entry(bytes.into());
        self.put(place, write, number);
        drop(keys);
        self.update(bytes, |held| held.numbers.push(number));
    }

    fn put(&self, place: Place<'_, Box<[u8]>, Held<K, V>>, write: Write<K, V>, number: u64) {
        let journaling = u32::from(write.journaling);
        let waiter = write.waiter.map(|waiter| (number, waiter));
        match place {
            Place::Occupied(mut held) => {
                let held = held.get_mut();
                held.waiters.extend(waiter);
                held.value = write.value;
                held.number = number;
                held.journaling += journaling;
                held.attempts = 0;
                held.not_before = None;
            }
            Place::Vacant(place) => {
                place.insert(Held {
                    key: write.key,
                    value: write.value,
                    number,
                    numbers: Vec::new(),
                    journaling,
                    attempts: 0,
                    not_before: None,
                    waiters: waiter.into_iter().collect(),
                });
            }
        }
    }

    fn update<T>(&self, key: &[u8], update: impl FnOnce(&mut Held<K, V>) -> T) -> Option<T> {
        self.lock().get_mut(key).map(update)
    }

    /// The journal has this write, or does not and nobody knows.
    pub(super) fn journaled(&self, key: &[u8], number: u64) {
        self.update(key, |held| {
            held.journaling = held.journaling.saturating_sub(1);
            held.numbers.push(number);
        });
    }

    /// Up to so many writes that are due, and when the next one is. `only`: these keys, due or not.
    pub(super) fn take(
        &self,
        most: usize,
        now: Instant,
        only: Option<&[Box<[u8]>]>,
    ) -> (Vec<Taken<K, V>>, Option<Instant>) {
        let keys = self.lock();
        let (mut taken, mut next) = (Vec::new(), None::<Instant>);
        for (bytes, held) in keys.iter() {
            let wanted = only.is_none_or(|only| only.contains(bytes));
            if !wanted || held.journaling > 0 {
                continue;
            }
            match held.not_before.filter(|due| only.is_none() && *due > now) {
                Some(due) => next = Some(next.map_or(due, |next| next.min(due))),
                None => taken.push(Taken {
                    bytes: bytes.clone(),
                    key: held.key.clone(),
                    value: held.value.clone(),
                    number: held.number,
                }),
            }
        }
        drop(keys);
        // The oldest first; keys are independent of each other.
        taken.sort_unstable_by_key(|write| write.number);
        taken.truncate(most);
        (taken, next)
    }

    /// The source has this write: the key is clean unless another one came meanwhile. Returns what can be settled.
    pub(super) fn clean(&self, key: &[u8], number: u64) -> Vec<u64> {
        let mut keys = self.lock();
        let Some(held) = keys.get_mut(key) else { return Vec::new() };
        let (done, waiting) = std::mem::take(&mut held.waiters).into_iter().partition(|(at, _)| *at <= number);
        held.waiters = waiting;
        let (settled, left) = std::mem::take(&mut held.numbers).into_iter().partition(|at| *at <= number);
        held.numbers = left;
        held.attempts = 0;
        if held.number == number && held.journaling == 0 {
            keys.remove(key);
            self.room.notify_waiters();
        }
        drop(keys);
        answer(done, &Ok(()));
        settled
    }

    /// The source did not take this write; when it is to be tried again follows from how often it was tried.
    pub(super) fn postpone(&self, key: &[u8], number: u64, again: impl FnOnce(u32) -> Instant) {
        self.update(key, |held| {
            if held.number == number {
                held.attempts = held.attempts.saturating_add(1);
                held.not_before = Some(again(held.attempts));
            }
        });
    }

    /// The source will never take this write: it is dirty no longer, unless another one came meanwhile. Returns what
    /// the journal has of it.
    pub(super) fn give_up(&self, key: &[u8], number: u64, why: &str) -> Vec<u64> {
        let mut keys = self.lock();
        let Some(held) = keys.get_mut(key) else { return Vec::new() };
        let (dead, waiting) = std::mem::take(&mut held.waiters).into_iter().partition(|(at, _)| *at <= number);
        held.waiters = waiting;
        let (numbers, left) = std::mem::take(&mut held.numbers).into_iter().partition(|at| *at <= number);
        held.numbers = left;
        if held.number == number && held.journaling == 0 {
            keys.remove(key);
            self.room.notify_waiters();
        }
        drop(keys);
        answer(dead, &Err(WriteBackError::Poison(why.to_owned())));
        numbers
    }
}

/// What a write was missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    Room,
    Number,
}

fn answer(waiters: Vec<Waiter>, outcome: &Result<(), WriteBackError>) {
    for (_, waiter) in waiters {
        // One that went away needs no answer.
        drop(waiter.send(outcome.clone()));
    }
}
