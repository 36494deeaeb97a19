//! Which keys to load after a restart: ours beside what others do, on traces with different costs and rates of change.
//!
//! What counts is the source's time that is saved per load: a key that was loaded saves its load if it is read within the
//! horizon and before it changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tierkeep_cache::Tick;
use tierkeep_cache::warmup::{HotKey, HotKeys};

use crate::trace::{Chance, Zipf};

const KEYS: usize = 2000;
/// Keys that a warm-up loads.
const LOADED: usize = 200;
/// Seconds that are watched, and that are looked ahead.
const WATCHED: u64 = 1800;
const HORIZON: u64 = 300;
const SEEDS: std::ops::Range<u64> = 1..9;

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    /// All cost the same and nothing changes.
    Plain,
    Costs,
    CostsAndChanges,
}

struct World {
    zipf: Zipf,
    /// Milliseconds of a load.
    costs: Vec<f64>,
    /// Changes a second.
    changes: Vec<f64>,
    chance: Chance,
}

/// Something that happens in a second.
enum Happens {
    Read(u64),
    Change(u64),
}

impl World {
    fn of(shape: Shape, seed: u64) -> Self {
        let mut chance = Chance(seed);
        // From 1 to 200 ms, and from once in three hours to once in ten seconds, each order of magnitude as likely.
        let mut costs = Vec::new();
        let mut changes = Vec::new();
        for _ in 0..KEYS {
            let (cost, rate) = (200f64.powf(chance.unit()), 0.1 * 0.001f64.powf(chance.unit()));
            costs.push(if shape == Shape::Plain { 20.0 } else { cost });
            changes.push(if shape == Shape::CostsAndChanges { rate } else { 0.0 });
        }
        Self { zipf: Zipf::of(KEYS), costs, changes, chance }
    }

    /// Twenty reads, and the changes by chance.
    fn second(&mut self) -> Vec<Happens> {
        let mut all: Vec<Happens> = (0..20).map(|_| Happens::Read(self.zipf.draw(&mut self.chance))).collect();
        for key in 0..KEYS {
            if self.changes[key] > 0.0 && self.chance.unit() < self.changes[key] {
                all.push(Happens::Change(key as u64));
            }
        }
        all
    }
}

fn key(hot: &HotKey) -> u64 {
    u64::from_be_bytes((*hot.key).try_into().unwrap())
}

/// Milliseconds that each way to choose saves per load: ours, the most frequent keys, those read last, none.
fn saved(shape: Shape, seed: u64) -> [f64; 4] {
    let mut world = World::of(shape, seed);
    let hot: Arc<HotKeys> = HotKeys::builder().horizon(Duration::from_secs(HORIZON)).build();
    let mut last_read: BTreeMap<u64, u64> = BTreeMap::new();
    let at = |second: u64| Tick::from_millis(second * 1000);
    for second in 0..WATCHED {
        for happens in world.second() {
            match happens {
                Happens::Read(key) => {
                    hot.record("view", &key.to_be_bytes(), at(second));
                    if last_read.insert(key, second).is_none() {
                        let cost = Duration::from_secs_f64(world.costs[key as usize] / 1000.0);
                        hot.record_load("view", &key.to_be_bytes(), cost, at(second));
                    }
                }
                Happens::Change(key) => hot.record_change("view", &key.to_be_bytes(), at(second)),
            }
        }
    }
    let mut latest: Vec<(u64, u64)> = last_read.into_iter().map(|(key, second)| (second, key)).collect();
    latest.sort_unstable_by(|a, b| b.cmp(a));
    let choices: [Vec<u64>; 4] = [
        hot.best(LOADED, at(WATCHED)).iter().map(key).collect(),
        hot.heaviest(LOADED, at(WATCHED)).iter().map(key).collect(),
        latest.into_iter().map(|(_, key)| key).take(LOADED).collect(),
        Vec::new(),
    ];
    // The first thing that happens to each key.
    let mut first: BTreeMap<u64, bool> = BTreeMap::new();
    for _ in 0..HORIZON {
        for happens in world.second() {
            match happens {
                Happens::Read(key) => drop(first.entry(key).or_insert(true)),
                Happens::Change(key) => drop(first.entry(key).or_insert(false)),
            }
        }
    }
    choices.map(|chosen| {
        let saves = |key: &&u64| first.get(key) == Some(&true);
        chosen.iter().filter(saves).map(|key| world.costs[*key as usize]).sum::<f64>() / LOADED as f64
    })
}

fn means(shape: Shape) -> [f64; 4] {
    let mut sums = [0.0; 4];
    for seed in SEEDS {
        let saved = saved(shape, seed);
        assert!(saved[0] >= 0.97 * saved[1].max(saved[2]), "seed {seed}: ours, frequent, last, none: {saved:?}");
        sums.iter_mut().zip(saved).for_each(|(sum, saved)| *sum += saved / SEEDS.count() as f64);
    }
    sums
}

#[test]
fn where_all_keys_are_alike_ours_is_as_good_as_the_most_frequent_ones() {
    let [ours, frequent, last, none] = means(Shape::Plain);

    assert!(ours >= 0.999 * frequent && ours >= last && last > none, "{ours} {frequent} {last} {none}");
}

#[test]
fn where_costs_differ_ours_saves_more() {
    let [ours, frequent, last, none] = means(Shape::Costs);

    assert!(ours >= 1.3 * frequent && ours >= 1.3 * last && last > none, "{ours} {frequent} {last} {none}");
}

#[test]
fn where_costs_and_rates_of_change_differ_ours_saves_more() {
    let [ours, frequent, last, none] = means(Shape::CostsAndChanges);

    assert!(ours >= 1.3 * frequent && ours >= 1.3 * last && last > none, "{ours} {frequent} {last} {none}");
}

#[test]
fn the_traces_are_as_uneven_as_they_say() {
    let zipf = Zipf::of(KEYS);

    assert!(zipf.share(0) > 0.1 && zipf.share(KEYS as u64 - 1) < 0.001);
}
