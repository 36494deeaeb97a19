//! How much is remembered, for how long, and what a key is worth.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use super::sketch::Sketch;
use super::{HotKey, HotKeys};
use crate::clock::Tick;

/// Parts with a lock of their own, so that those who record seldom meet.
const SHARDS: usize = 16;
/// Fewer keys than this in a part make its bound too loose.
const FEWEST: usize = 64;
/// Microseconds of a load where none was seen of any key.
const UNKNOWN_COST: f64 = 1000.0;

/// They were built with other numbers of keys, another half-life or another seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("hot keys can be merged only with those of the same numbers of keys, half-life and seed")]
pub struct ShapeDiffers;

/// Sets [`HotKeys`] up.
#[derive(Clone, Debug)]
#[must_use]
pub struct HotKeysBuilder(Shape);

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) shards: usize,
    room: usize,
    pub(super) longest_key: usize,
    pub(super) half_life: Duration,
    horizon: Duration,
    pub(super) one_in: u32,
    pub(super) seed: u64,
}

impl Default for HotKeysBuilder {
    fn default() -> Self {
        let hour = Duration::from_secs(3600);
        let shape = Shape {
            shards: 1,
            room: 0,
            longest_key: 128,
            half_life: hour,
            horizon: Duration::from_secs(300),
            one_in: 8,
            seed: 0,
        };
        Self(shape).keys(16_384)
    }
}

impl HotKeysBuilder {
    /// Keys that are remembered, 16 to 1,048,576, rounded up to a multiple of 16; 16,384 unless told. A key whose share
    /// of all accesses is above one in so many is among them, if keys fall into the table's parts evenly.
    pub fn keys(mut self, keys: usize) -> Self {
        let keys = keys.clamp(16, 1 << 20);
        self.0.shards = if keys < SHARDS * FEWEST { 1 } else { SHARDS };
        self.0.room = keys.div_ceil(self.0.shards);
        self
    }

    /// Longer keys, in bytes, are not remembered; 128 unless told, at most 4096.
    pub fn longest_key(mut self, bytes: usize) -> Self {
        self.0.longest_key = bytes.min(crate::key::MAX_KEY_BYTES);
        self
    }

    /// The time in which the weight of an access halves; at least a second, an hour unless told.
    pub fn half_life(mut self, period: Duration) -> Self {
        self.0.half_life = period.max(Duration::from_secs(1));
        self
    }

    /// How far ahead a key's value looks: about as long as a value lives. At least a second, five minutes unless told.
    pub fn horizon(mut self, period: Duration) -> Self {
        self.0.horizon = period.max(Duration::from_secs(1));
        self
    }

    /// Records one hit in so many, for as many; 8 unless told, 1 records each.
    pub fn sample_one_in(mut self, hits: u32) -> Self {
        self.0.one_in = hits.max(1);
        self
    }

    /// Decides where keys lie, so that nobody can choose keys that push others out; the same for those that are merged.
    pub fn seed(mut self, seed: u64) -> Self {
        self.0.seed = seed;
        self
    }

    /// Bytes that the keys can take at most.
    ///
    /// ```
    /// use tierkeep_cache::warmup::HotKeys;
    ///
    /// assert!(HotKeys::builder().most_bytes() < 5 << 20);
    /// ```
    pub fn most_bytes(&self) -> usize {
        self.0.shards * Sketch::most_bytes(self.0.room, self.0.longest_key)
    }

    /// Keys, of which none is hot yet.
    pub fn build(self) -> Arc<HotKeys> {
        Arc::new(HotKeys::of(self.0))
    }
}

impl Shape {
    pub(super) fn keys(&self) -> usize {
        self.room * self.shards
    }

    pub(super) fn fits(&self, other: &Self) -> bool {
        (self.shards, self.room, self.half_life, self.seed) == (other.shards, other.room, other.half_life, other.seed)
    }

    pub(super) fn sketch(&self, now: Tick) -> Sketch {
        Sketch::new(self.room, self.half_life, now)
    }

    /// Where keys of this hash lie.
    pub(super) fn shard(&self, hash: u64) -> usize {
        // The remainder is less than the number of shards; the table within one takes other bits.
        (hash >> 32) as usize % self.shards
    }

    /// Chance, of each thread its own: every eighth hit would miss the others of a page that always asks for eight keys.
    #[inline]
    pub(super) fn is_sampled(&self) -> bool {
        thread_local! {
            static STATE: Cell<u64> = const { Cell::new(0x9e37_79b9_7f4a_7c15) };
        }
        let chance = STATE.with(|state| {
            let mut next = state.get();
            next ^= next << 13;
            next ^= next >> 7;
            next ^= next << 17;
            state.set(next);
            next
        });
        ((chance >> 32) * u64::from(self.one_in)) >> 32 == 0
    }

    pub(super) fn value(&self, watched: Duration) -> Value {
        let half_life = self.half_life.as_secs_f64();
        // What has a constant rate weighs rate × half-life / ln 2 after a long time, and less before.
        let seen = 1.0 - (-(watched.as_secs_f64().max(1.0) / half_life)).exp2();
        Value {
            rate: std::f64::consts::LN_2 / half_life / seen,
            horizon: self.horizon.as_secs_f64(),
            usual_cost: UNKNOWN_COST,
        }
    }
}

/// What keys are worth: see [`HotKeys`].
#[derive(Clone, Copy, Debug)]
pub(in crate::warmup) struct Value {
    /// Accesses a second of a key that weighs 1.
    rate: f64,
    horizon: f64,
    /// Microseconds of a load where none was seen.
    usual_cost: f64,
}

impl Value {
    pub(super) fn learn_usual_cost(&mut self, keys: &[HotKey]) {
        let costs = keys.iter().filter_map(|key| Some(key.cost?.as_secs_f64() * 1e6));
        let (sum, count) = costs.fold((0.0, 0.0), |(sum, count), cost| (sum + cost, count + 1.0));
        if count > 0.0 {
            self.usual_cost = sum / count;
        }
    }

    /// What decides the order: the value, to some 2 percent, then the accesses.
    pub(super) fn rank(&self, key: &HotKey) -> (i64, f64) {
        let value = self.of(key);
        let steps = if value > 0.0 { (value.log2() * 32.0).round() as i64 } else { i64::MIN };
        (steps, self.expected(key))
    }

    /// Microseconds of the source's time.
    fn of(&self, key: &HotKey) -> f64 {
        let accessed = 1.0 - (-self.expected(key)).exp();
        let cost = key.cost.map_or(self.usual_cost, |cost| cost.as_secs_f64() * 1e6);
        let unchanged = (-key.changes * self.rate * self.horizon).exp();
        accessed * cost * unchanged
    }

    /// Accesses within the horizon: those that are certain, not those that a key may have taken over from another one.
    pub(in crate::warmup) fn expected(&self, key: &HotKey) -> f64 {
        (key.weight - key.error).max(0.0) * self.rate * self.horizon
    }
}
