//! Space-Saving (Metwally, Agrawal, El Abbadi 2005) over weights that fade: the heaviest keys of a stream, in bounded memory.
//!
//! Nothing is multiplied as time goes by. What is added grows instead, by 2 in every half-life, so that all weights fade
//! alike (forward decay); now and then everything is scaled back.
//!
//! A key weighs at most what its counter says, and at least that less its error. A key without a counter weighs at most
//! [`Sketch::bound`], which is at most the sum of all weights, divided by the number of counters.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::clock::Tick;

/// Half-lives after which everything is scaled back.
const RESCALED: f64 = 64.0;

/// A key that is counted.
#[derive(Clone, Debug)]
pub(super) struct Counter {
    pub(super) view: u32,
    pub(super) key: Vec<u8>,
    hash: u64,
    pub(super) weight: f64,
    /// What it may weigh too much: what it took over from the key before it.
    pub(super) error: f64,
    /// Times it changed, fading as the weight does.
    pub(super) changes: f64,
    /// Microseconds of a load, averaged; 0 where none was seen.
    pub(super) cost: f32,
    /// Its place in the heap.
    at: u32,
}

/// Counters of one shard.
#[derive(Clone, Debug)]
pub(super) struct Sketch {
    room: usize,
    half_life: f64,
    /// When an access weighs 1.
    origin: Tick,
    pub(super) began: Tick,
    counters: Vec<Counter>,
    places: HashMap<u64, u32, foldhash::fast::FixedState>,
    /// Counters, the lightest first.
    heap: Vec<u32>,
    /// The most that a key may weigh that was left out when sketches were merged.
    floor: f64,
}

impl Sketch {
    pub(super) fn new(room: usize, half_life: Duration, now: Tick) -> Self {
        Self {
            room: room.max(1),
            half_life: (half_life.as_millis() as f64).max(1.0),
            origin: now,
            began: now,
            counters: Vec::new(),
            places: HashMap::with_hasher(foldhash::fast::FixedState::with_seed(0)),
            heap: Vec::new(),
            floor: 0.0,
        }
    }

    /// What an access of this moment adds.
    fn unit(&mut self, now: Tick) -> f64 {
        if now.since(self.origin).as_millis() as f64 > RESCALED * self.half_life {
            self.rescale(now);
        }
        (now.since(self.origin).as_millis() as f64 / self.half_life).exp2()
    }

    /// Lets everything fade up to now; nothing is older than it was.
    pub(super) fn rescale(&mut self, now: Tick) {
        let scale = (-(now.since(self.origin).as_millis() as f64) / self.half_life).exp2();
        for counter in &mut self.counters {
            counter.weight *= scale;
            counter.error *= scale;
            counter.changes *= scale;
        }
        self.floor *= scale;
        self.origin = self.origin.max(now);
    }

    /// A key was accessed so many times.
    pub(super) fn add(&mut self, hash: u64, view: u32, key: &[u8], times: f64, now: Tick) {
        let weight = times * self.unit(now);
        let place = match self.find(hash, view, key) {
            Found::Counter(place) => place,
            // Another key has this hash: one in 2^64 is not worth more than being left out.
            Found::Other => return,
            Found::None if self.counters.len() < self.room => self.push(hash, view, key),
            Found::None => self.take_over(hash, view, key),
        };
        let counter = &mut self.counters[place as usize];
        counter.weight += weight;
        let at = counter.at as usize;
        self.sink(at);
    }

    /// A key's counter, if it has one.
    pub(super) fn counter(&mut self, hash: u64, view: u32, key: &[u8]) -> Option<&mut Counter> {
        match self.find(hash, view, key) {
            Found::Counter(place) => self.counters.get_mut(place as usize),
            _ => None,
        }
    }

    /// A key that has a counter has changed.
    pub(super) fn changed(&mut self, hash: u64, view: u32, key: &[u8], now: Tick) {
        let unit = self.unit(now);
        if let Some(counter) = self.counter(hash, view, key) {
            counter.changes += unit;
        }
    }

    fn find(&self, hash: u64, view: u32, key: &[u8]) -> Found {
        match self.places.get(&hash) {
            None => Found::None,
            Some(place) => {
                let counter = &self.counters[*place as usize];
                let same = counter.view == view && counter.key == key;
                if same { Found::Counter(*place) } else { Found::Other }
            }
        }
    }

    fn push(&mut self, hash: u64, view: u32, key: &[u8]) -> u32 {
        let (place, floor) = (self.counters.len() as u32, self.floor);
        if self.counters.len() == self.counters.capacity() {
            // As a vector grows by itself, but never beyond its room.
            let more = self.counters.len().max(16).min(self.room - self.counters.len());
            self.counters.reserve_exact(more);
            self.heap.reserve_exact(more);
        }
        let (at, key) = (place, key.to_vec());
        self.counters.push(Counter { view, key, hash, weight: floor, error: floor, changes: 0.0, cost: 0.0, at });
        self.heap.push(place);
        self.places.insert(hash, place);
        self.rise(at as usize);
        place
    }

    /// The lightest key gives way; the new one takes its weight over, which it may have had.
    fn take_over(&mut self, hash: u64, view: u32, key: &[u8]) -> u32 {
        let place = self.heap[0];
        let counter = &mut self.counters[place as usize];
        self.places.remove(&counter.hash);
        self.places.insert(hash, place);
        counter.key.clear();
        counter.key.reserve_exact(key.len());
        counter.key.extend_from_slice(key);
        counter.weight = counter.weight.max(self.floor);
        (counter.view, counter.hash, counter.error) = (view, hash, counter.weight);
        (counter.changes, counter.cost) = (0.0, 0.0);
        place
    }

    fn weight_at(&self, at: usize) -> f64 {
        self.counters[self.heap[at] as usize].weight
    }

    fn swap(&mut self, left: usize, right: usize) {
        self.heap.swap(left, right);
        self.counters[self.heap[left] as usize].at = left as u32;
        self.counters[self.heap[right] as usize].at = right as u32;
    }

    fn rise(&mut self, mut at: usize) {
        while at > 0 && self.weight_at(at) < self.weight_at((at - 1) / 2) {
            self.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    fn sink(&mut self, mut at: usize) {
        loop {
            let children = (2 * at + 1..2 * at + 3).filter(|child| *child < self.heap.len());
            let Some(lightest) = children.min_by(|a, b| self.weight_at(*a).total_cmp(&self.weight_at(*b))) else {
                return;
            };
            if self.weight_at(at) <= self.weight_at(lightest) {
                return;
            }
            self.swap(at, lightest);
            at = lightest;
        }
    }

    /// What one unit of weight is worth now.
    pub(super) fn scale(&self, now: Tick) -> f64 {
        (-(now.since(self.origin).as_millis() as f64) / self.half_life).exp2()
    }

    /// The most that a key without a counter can weigh, as weights stand at the origin.
    pub(super) fn bound(&self) -> f64 {
        let lightest = if self.counters.len() < self.room { 0.0 } else { self.weight_at(0) };
        lightest.max(self.floor)
    }

    pub(super) fn counters(&self) -> &[Counter] {
        &self.counters
    }

    /// Bytes of the counters.
    pub(super) fn bytes(&self) -> usize {
        let keys: usize = self.counters.iter().map(|counter| counter.key.capacity()).sum();
        // A table of hashes has at least one free place in eight.
        self.counters.capacity() * size_of::<Counter>() + self.heap.capacity() * 4 + self.places.capacity() * 20 + keys
    }

    /// The most that [`bytes`](Self::bytes) can be with so many counters: the table of hashes doubles as it grows.
    pub(super) fn most_bytes(room: usize, longest_key: usize) -> usize {
        (room + 16) * (size_of::<Counter>() + 4 + 2 * 20 + longest_key)
    }

    /// What both have seen, whichever is asked; `view_of` names the other's views as this one does. Weights are those of
    /// the later origin.
    pub(super) fn merged(&self, other: &Self, view_of: impl Fn(u32) -> u32) -> Self {
        let origin = self.origin.max(other.origin);
        let (mut left, mut right) = (self.clone(), other.clone());
        left.rescale(origin);
        right.rescale(origin);
        let (left_bound, right_bound) = (left.bound(), right.bound());
        let mut all: HashMap<u64, Counter> = left.counters.into_iter().map(|counter| (counter.hash, counter)).collect();
        let mut counted: HashSet<u64> = HashSet::new();
        for mut counter in right.counters {
            counted.insert(counter.hash);
            counter.view = view_of(counter.view);
            match all.get_mut(&counter.hash) {
                Some(own) => {
                    own.weight += counter.weight;
                    own.error += counter.error;
                    own.changes += counter.changes;
                    own.cost = match (own.cost, counter.cost) {
                        (0.0, cost) | (cost, 0.0) => cost,
                        (own, other) => (own + other) / 2.0,
                    };
                }
                None => {
                    // The other may have seen as much of it as of any key that it does not count.
                    counter.weight += left_bound;
                    counter.error += left_bound;
                    all.insert(counter.hash, counter);
                }
            }
        }
        for (hash, counter) in &mut all {
            if !counted.contains(hash) {
                counter.weight += right_bound;
                counter.error += right_bound;
            }
        }
        let mut counters: Vec<Counter> = all.into_values().collect();
        counters
            .sort_by(|a, b| b.weight.total_cmp(&a.weight).then_with(|| a.key.cmp(&b.key)).then(a.hash.cmp(&b.hash)));
        let left_out = counters.get(self.room).map_or(0.0, |counter| counter.weight);
        counters.truncate(self.room);
        let mut merged = Self::new(self.room, Duration::from_millis(self.half_life as u64), origin);
        merged.began = self.began.min(other.began);
        merged.floor = (left_bound + right_bound).max(left_out);
        // Lightest first is a heap already.
        for (at, mut counter) in counters.into_iter().rev().enumerate() {
            counter.at = at as u32;
            merged.places.insert(counter.hash, at as u32);
            merged.heap.push(at as u32);
            merged.counters.push(counter);
        }
        merged
    }

    /// A key that was counted before this process began.
    pub(super) fn remember(&mut self, hash: u64, view: u32, key: &[u8], past: &Past, now: Tick) {
        let unit = self.unit(now);
        self.add(hash, view, key, past.weight, now);
        if let Some(counter) = self.counter(hash, view, key) {
            counter.error += past.error * unit;
            counter.changes += past.changes * unit;
            if counter.cost == 0.0 {
                counter.cost = past.cost;
            }
        }
    }
}

/// What is remembered of a key, as it weighs now.
pub(super) struct Past {
    pub(super) weight: f64,
    pub(super) error: f64,
    pub(super) changes: f64,
    pub(super) cost: f32,
}

enum Found {
    Counter(u32),
    Other,
    None,
}
