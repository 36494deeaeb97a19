//! What is learnt of accesses, beside an exact count that fades.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tierkeep_cache::Tick;
use tierkeep_cache::warmup::{HotKeys, ShapeDiffers};

use crate::sources::{Source, millis, node, numbers, secs};

const HALF_LIFE: Duration = Duration::from_secs(60);
const KEYS: usize = 16;

/// Milliseconds since the one before, and the key.
type Access = (u64, u8);

fn small() -> Arc<HotKeys> {
    HotKeys::builder().keys(KEYS).half_life(HALF_LIFE).sample_one_in(1).seed(3).build()
}

fn played(accesses: &[Access]) -> (Arc<HotKeys>, Exact) {
    let (hot, mut exact) = (small(), Exact::default());
    for (pause, key) in accesses {
        exact.now += pause;
        hot.record("view", &[*key], Tick::from_millis(exact.now));
        exact.seen.push((exact.now, *key));
    }
    (hot, exact)
}

/// The obvious way: every access is kept, and halved in every half-life when it is asked for.
#[derive(Clone, Default)]
struct Exact {
    now: u64,
    seen: Vec<(u64, u8)>,
}

impl Exact {
    fn weights(&self, now: u64) -> BTreeMap<u8, f64> {
        let mut weights = BTreeMap::new();
        for (at, key) in &self.seen {
            let age = (now - at) as f64 / HALF_LIFE.as_millis() as f64;
            *weights.entry(*key).or_default() += (-age).exp2();
        }
        weights
    }
}

fn close(left: f64, right: f64) -> bool {
    (left - right).abs() <= 1e-9 + 1e-9 * left.abs().max(right.abs())
}

/// Estimates are within their bounds, and no key that weighs more than the bound is missing.
fn check(hot: &HotKeys, truth: &BTreeMap<u8, f64>, now: u64) -> Result<(), TestCaseError> {
    let at = Tick::from_millis(now);
    let known = hot.heaviest(usize::MAX, at);
    let bound = hot.bound(at);
    prop_assert!(known.len() <= KEYS);
    prop_assert!(known.is_sorted_by(|a, b| a.weight >= b.weight));
    for hot in &known {
        let truth = truth.get(&hot.key[0]).copied().unwrap_or_default();
        prop_assert!(hot.weight >= truth || close(hot.weight, truth), "{hot:?} weighs {truth}");
        let least = hot.weight - hot.error;
        prop_assert!(least <= truth || close(least, truth), "{hot:?} weighs {truth}");
    }
    for (key, truth) in truth {
        let is_known = known.iter().any(|hot| *hot.key == [*key]);
        prop_assert!(is_known || *truth <= bound || close(*truth, bound), "{key} weighs {truth}, bound {bound}");
    }
    Ok(())
}

fn accesses() -> impl Strategy<Value = Vec<Access>> {
    // Few keys most of the time, many now and then; pauses from none to hours.
    let key = prop_oneof![3 => 0u8..8, 1 => 0u8..200];
    let pause = prop_oneof![20 => 0u64..2000, 1 => 0u64..20_000_000];
    prop::collection::vec((pause, key), 0..400)
}

proptest! {
    #[test]
    fn what_it_says_of_a_key_is_within_its_bounds(accesses in accesses(), later in 0u64..600_000) {
        let (hot, exact) = played(&accesses);
        let now = exact.now + later;

        let truth = exact.weights(now);

        check(&hot, &truth, now)?;
        let total: f64 = truth.values().sum();
        let bound = hot.bound(Tick::from_millis(now));
        prop_assert!(bound <= total / KEYS as f64 + 1e-6, "{bound} of {total}");
    }

    #[test]
    fn a_merge_is_as_if_one_had_seen_both_and_its_order_does_not_matter(left in accesses(), right in accesses()) {
        let ((left, seen_left), (right, seen_right)) = (played(&left), played(&right));
        let now = seen_left.now.max(seen_right.now);
        let (one, other) = (small(), small());

        one.merge(&left).unwrap();
        one.merge(&right).unwrap();
        other.merge(&right).unwrap();
        other.merge(&left).unwrap();

        let at = Tick::from_millis(now);
        prop_assert_eq!(one.heaviest(usize::MAX, at), other.heaviest(usize::MAX, at));
        let mut truth = seen_left.weights(now);
        for (key, weight) in seen_right.weights(now) {
            *truth.entry(key).or_default() += weight;
        }
        check(&one, &truth, now)?;
    }

    #[test]
    fn what_is_recorded_after_a_merge_is_within_its_bounds(left in accesses(), right in accesses(), after in accesses()) {
        let ((hot, exact), (right, seen_right)) = (played(&left), played(&right));
        hot.merge(&right).unwrap();
        let mut all = exact.clone();
        all.seen.extend(seen_right.seen);
        all.now = exact.now.max(seen_right.now);

        for (pause, key) in after {
            all.now += pause;
            hot.record("view", &[key], Tick::from_millis(all.now));
            all.seen.push((all.now, key));
        }

        check(&hot, &all.weights(all.now), all.now)?;
    }

    #[test]
    fn decay_changes_nothing_that_is_asked(accesses in accesses(), later in 0u64..600_000) {
        let ((hot, exact), (same, _)) = (played(&accesses), played(&accesses));
        let at = Tick::from_millis(exact.now + later);

        hot.decay(at);

        let both = hot.heaviest(usize::MAX, at).into_iter().zip(same.heaviest(usize::MAX, at));
        for (faded, same) in both {
            prop_assert!(close(faded.weight, same.weight) && close(faded.error, same.error), "{faded:?} {same:?}");
        }
    }

    #[test]
    fn memory_is_bounded(keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..500)) {
        let builder = HotKeys::builder().keys(KEYS).longest_key(200);
        let most = builder.most_bytes();
        let hot = builder.build();

        for (at, key) in keys.iter().enumerate() {
            hot.record("view", key, Tick::from_millis(at as u64));
        }

        prop_assert!(hot.bytes() <= most, "{} of {most}", hot.bytes());
        prop_assert!(hot.heaviest(usize::MAX, Tick::default()).iter().all(|hot| hot.key.len() <= 200));
    }
}

#[test]
fn the_same_accesses_leave_the_same_keys() {
    let accesses: Vec<Access> = (0..2000u64).map(|n| (n % 7, (n * n % 97) as u8)).collect();

    let (one, exact) = played(&accesses);
    let (other, _) = played(&accesses);

    let at = Tick::from_millis(exact.now);
    assert_eq!(one.heaviest(100, at), other.heaviest(100, at));
    assert_eq!(one.best(100, at), other.best(100, at));
}

#[test]
fn keys_of_two_views_are_two_keys_also_after_a_merge() {
    let (hot, other) = (small(), small());
    let now = Tick::from_millis(5);
    hot.record("a", b"7", now);
    other.record("b", b"7", now);
    other.record("b", b"7", now);
    other.record("a", b"7", now);

    hot.merge(&other).unwrap();

    let known: Vec<_> = hot.heaviest(9, now).iter().map(|hot| (hot.view.to_string(), hot.weight)).collect();
    assert_eq!(known.len(), 2);
    assert!(known.iter().all(|(_, weight)| close(*weight, 2.0)), "{known:?}");
}

#[test]
fn only_those_of_one_shape_are_merged() {
    let other = HotKeys::builder().keys(KEYS).half_life(HALF_LIFE).seed(4).build();

    assert_eq!(small().merge(&other), Err(ShapeDiffers));
}

#[test]
fn a_key_is_worth_more_if_it_costs_more_and_less_if_it_changes_often() {
    let hot = HotKeys::builder().half_life(HALF_LIFE).horizon(secs(60)).build();
    let at = |second: u64| Tick::from_millis(second * 1000);
    for second in 0..300 {
        for key in [b"cheap", b"dear ", b"fresh"] {
            hot.record("view", key, at(second));
        }
        hot.record_change("view", b"fresh", at(second));
    }
    hot.record_load("view", b"cheap", millis(1), at(300));
    hot.record_load("view", b"dear ", millis(100), at(300));
    hot.record_load("view", b"fresh", millis(100), at(300));

    let best: Vec<Box<[u8]>> = hot.best(9, at(300)).into_iter().map(|hot| hot.key).collect();

    assert_eq!(best, [b"dear ".as_slice().into(), b"cheap".as_slice().into(), b"fresh".as_slice().into()]);
}

#[tokio::test(start_paused = true)]
async fn hits_are_sampled_and_loads_and_changes_are_seen() {
    let hot = HotKeys::builder().build();
    let cache = node(|cache| cache.hot(hot.clone()));
    let (view, source) = (numbers(&cache, secs(300)), Source::taking(millis(20)));

    for _ in 0..8000 {
        source.get(&view, 1).await;
    }
    view.invalidate(&1).await.complete().unwrap();
    source.get(&view, 1).await;
    view.invalidate_softly(&1).await.complete().unwrap();
    drop(view.invalidate(&2).await);
    source.get(&view, 1).await;
    tokio::time::sleep(secs(1)).await;

    let known = hot.heaviest(9, tierkeep_cache::Clock::simulated(Duration::ZERO).now());
    assert_eq!(known.len(), 1, "a key that nobody reads is not hot: {known:?}");
    let key = &known[0];
    assert_eq!((&*key.view, &*key.key), ("numbers", &1u64.to_be_bytes()[..]));
    assert!((7000.0..9000.0).contains(&key.weight), "{key:?}");
    assert!((1.9..=2.1).contains(&key.changes), "{key:?}");
    assert_eq!(key.cost, Some(millis(20)));
}

#[tokio::test(start_paused = true)]
async fn a_view_that_is_not_told_to_learns_nothing() {
    let (hot, source) = (HotKeys::builder().sample_one_in(1).build(), Source::default());
    let cache = node(|cache| cache);
    let (view, other) = (numbers(&cache, secs(300)), cache.view("other").hot(hot.clone()).build().unwrap());

    source.get(&view, 1).await;
    source.get(&other, 2).await;

    let known = hot.heaviest(9, Tick::default());
    assert_eq!(known.iter().map(|key| &*key.view).collect::<Vec<_>>(), ["other"]);
}

/// What a hit pays for being sampled, in an unoptimised build on a busy machine: optimised it is some 10 ns on average.
#[tokio::test]
async fn learning_costs_a_hit_next_to_nothing() {
    const ROUNDS: u32 = 20_000;
    let hot = HotKeys::builder().build();
    let cache = node(|cache| cache);
    let plain = cache.view::<u64, u64>("plain").build().unwrap();
    let learning = cache.view::<u64, u64>("learning").hot(hot).build().unwrap();
    for view in [&plain, &learning] {
        for key in 0..100 {
            Source::default().get(view, key).await;
        }
    }
    let mut least = [Duration::MAX; 2];
    for _ in 0..5 {
        for (view, least) in [&plain, &learning].into_iter().zip(&mut least) {
            let began = std::time::Instant::now();
            for n in 0..ROUNDS {
                view.get(&u64::from(n % 100)).await;
            }
            *least = began.elapsed().min(*least);
        }
    }

    let cost = least[1].saturating_sub(least[0]) / ROUNDS;

    assert!(cost < Duration::from_micros(20), "{cost:?}");
}
