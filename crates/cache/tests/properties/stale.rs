//! S8, S13, S17: how old a value may be that is served, and what is never served again.

use std::time::Duration;

use tierkeep_cache::{Cache, LoadContext, LoadError, Loaded, Policy, Source, Tag, View};
use tokio::time::Instant;

use crate::fixture::{
    Answer, Cluster, Down, Gate, LEASE, Tally, alone, alone_with, answering, endless, exactly, failing, giving, held,
    millis, numbers, numbers_with, pass, quiet, secs, soon, unwanted,
};
use crate::wire::Wire;

fn with_policy(policy: Policy) -> View<u64, u64> {
    numbers_with(&alone(), |view| view.policy(policy))
}

#[tokio::test(start_paused = true)]
async fn a_value_is_fresh_for_its_life_and_not_a_millisecond_longer() {
    let view = with_policy(exactly(secs(10)));
    view.get_or_load(&1, giving(1)).await.unwrap();

    pass(millis(9_999)).await;
    assert!(view.get(&1).await.is_some());
    pass(millis(1)).await;
    assert!(view.get(&1).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn lives_count_from_the_beginning_of_the_load() {
    let view = with_policy(exactly(secs(10)));
    let slow = async |_: LoadContext<u64>| {
        pass(secs(9)).await;
        Ok::<_, Down>(1)
    };
    view.get_or_load(&1, slow).await.unwrap();

    pass(secs(1)).await;

    assert!(view.get(&1).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_is_served_while_one_load_replaces_it() {
    let view = with_policy(exactly(secs(10)).stale_while_revalidate(secs(10)));
    view.get_or_load(&1, giving(1)).await.unwrap();
    pass(secs(15)).await;
    let (gate, tally) = (Gate::closed(), Tally::default());

    for _ in 0..10 {
        let found = view.fetch(&1, tally.of(held(2, &gate))).await.unwrap();
        assert!((found.stale, found.value.as_deref()) == (true, Some(&1)));
    }
    gate.reached().await;
    gate.open();
    quiet().await;

    assert_eq!((view.get(&1).await.as_deref(), tally.begun()), (Some(&2), 1));
}

#[tokio::test(start_paused = true)]
async fn after_the_window_a_reader_waits_for_the_load() {
    let view = with_policy(exactly(secs(10)).stale_while_revalidate(secs(10)));
    view.get_or_load(&1, giving(1)).await.unwrap();
    pass(secs(20)).await;

    assert_eq!(*view.get_or_load(&1, giving(2)).await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_stands_in_for_a_load_that_fails() {
    let view = with_policy(exactly(secs(10)).stale_if_error(secs(60)));
    view.get_or_load(&1, giving(1)).await.unwrap();
    pass(secs(69)).await;

    let found = view.fetch(&1, failing()).await.unwrap();

    assert!((found.stale, found.value.as_deref()) == (true, Some(&1)));
}

#[tokio::test(start_paused = true)]
async fn beyond_its_window_a_stale_value_stands_in_for_nothing() {
    let view = with_policy(exactly(secs(10)).stale_if_error(secs(60)));
    view.get_or_load(&1, giving(1)).await.unwrap();
    pass(secs(70)).await;

    let answer: Answer = view.get_or_load(&1, failing()).await;

    assert!(matches!(answer, Err(LoadError::Loader(_))));
}

#[tokio::test(start_paused = true)]
async fn the_window_of_errors_counts_from_the_end_of_the_life_that_the_loader_gave() {
    let view = with_policy(exactly(secs(10)).stale_if_error(secs(60)));
    view.get_or_load(&1, answering(Loaded::value(1).ttl(secs(1000)))).await.unwrap();
    pass(secs(1030)).await;

    let answer: Answer = view.get_or_load(&1, failing()).await;

    assert_eq!(*answer.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_the_soft_timeout_a_reader_is_given_the_stale_value_and_the_load_goes_on() {
    let policy = exactly(secs(10)).stale_if_error(secs(60)).loader_timeout(Some(millis(150)), secs(5));
    let view = with_policy(policy);
    view.get_or_load(&1, giving(1)).await.unwrap();
    pass(secs(11)).await;
    let (gate, start) = (Gate::closed(), Instant::now());

    let stale = view.get_or_load(&1, held(2, &gate)).await.unwrap();
    assert_eq!((*stale, start.elapsed()), (1, millis(150)));
    gate.open();
    quiet().await;

    assert_eq!(view.get(&1).await.as_deref(), Some(&2));
}

/// A load that goes on after its soft timeout, of a value with a tag that only the old value's loader knew.
async fn past_the_soft_timeout(cache: &Cache, gate: &Gate) -> View<u64, u64> {
    let policy = exactly(secs(10)).stale_if_error(secs(60)).loader_timeout(Some(millis(150)), secs(5));
    let view = numbers_with(cache, |view| view.policy(policy).tracked());
    view.get_or_load(&1, answering(Loaded::value(1).tag(Tag::named("late")))).await.unwrap();
    pass(secs(11)).await;
    view.get_or_load(&1, held(2, gate)).await.unwrap();
    view
}

#[tokio::test(start_paused = true)]
async fn s13_a_value_given_after_the_soft_timeout_is_not_given_once_a_tag_of_it_is_invalidated() {
    let (cache, gate) = (alone(), Gate::closed());
    let view = past_the_soft_timeout(&cache, &gate).await;
    cache.invalidate_tag(&Tag::named("late")).await.complete().unwrap();

    let reader = view.clone();
    let reader = tokio::spawn(async move { *reader.get_or_load(&1, giving(3)).await.unwrap() });
    quiet().await;
    gate.open();

    assert_ne!(soon(reader).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_depends_on_one_past_its_soft_timeout_waits_for_the_load() {
    let (cache, gate) = (alone(), Gate::closed());
    let view = past_the_soft_timeout(&cache, &gate).await;
    let outer = cache.view::<u64, u64>("outer").build().unwrap();
    let reader = tokio::spawn(async move {
        let through = async move |context: LoadContext<u64>| {
            view.within(&context).get_or_load(&1, giving(3)).await.map(|value| *value)
        };
        *outer.get_or_load(&1, through).await.unwrap()
    });
    quiet().await;

    gate.open();

    assert_eq!(soon(reader).await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn s13_a_hard_invalidation_is_final_for_a_failing_loader_too() {
    for both_tiers in [false, true] {
        let cluster = Cluster::new();
        let cache = if both_tiers { cluster.deaf() } else { alone() };
        let view = numbers_with(&cache, |view| view.policy(exactly(secs(10)).stale_if_error(secs(1000))));
        for step in 0..4 {
            view.get_or_load(&1, answering(Loaded::value(1).tag(Tag::named("t")))).await.unwrap();
            pass(secs(11)).await;
            let receipt = match step {
                0 => view.invalidate(&1).await,
                1 => cache.invalidate_tag(&Tag::named("t")).await,
                2 => view.clear().await,
                _ => cache.clear().await,
            };
            receipt.complete().unwrap();

            let answer: Answer = view.get_or_load(&1, failing()).await;

            assert!(answer.is_err(), "step {step}, both tiers: {both_tiers}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s13_a_tag_invalidated_while_the_load_fails_keeps_the_old_value_from_those_who_came_after() {
    let cache = alone();
    let view = numbers_with(&cache, |view| view.policy(exactly(secs(10)).stale_if_error(secs(1000))));
    view.get_or_load(&1, answering(Loaded::value(1).tag(Tag::named("late")))).await.unwrap();
    pass(secs(11)).await;
    let gate = Gate::closed();
    let (first, stopped) = (view.clone(), gate.clone());
    let fails = async move |_: LoadContext<u64>| {
        stopped.pass().await;
        Err::<u64, _>(Down)
    };
    drop(tokio::spawn(async move { drop(first.get_or_load(&1, fails).await) }));
    gate.reached().await;
    cache.invalidate_tag(&Tag::named("late")).await.complete().unwrap();
    let second = view.clone();
    let second = tokio::spawn(async move { second.get_or_load(&1, failing()).await.is_err() });
    quiet().await;

    gate.open();

    assert!(soon(second).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_softly_invalidated_value_is_served_marked_stale_until_it_is_replaced() {
    for by_tag in [false, true] {
        let cache = alone();
        let view = numbers_with(&cache, |view| view.tags(|_| vec![Tag::named("t")]));
        view.get_or_load(&1, giving(1)).await.unwrap();
        match by_tag {
            false => view.invalidate_softly(&1).await.complete().unwrap(),
            true => cache.invalidate_tags_softly(&[Tag::named("t")]).await.complete().unwrap(),
        }

        let found = view.fetch(&1, giving(2)).await.unwrap();
        quiet().await;

        assert!((found.stale, found.value.as_deref()) == (true, Some(&1)), "by tag: {by_tag}");
        assert_eq!(view.get(&1).await.as_deref(), Some(&2), "by tag: {by_tag}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_softly_invalidated_value_is_stale_on_other_nodes_too() {
    for by_tag in [false, true] {
        let cluster = Cluster::new();
        let view = numbers_with(&cluster.deaf(), |view| view.tags(|_| vec![Tag::named("t")]));
        view.get_or_load(&1, giving(1)).await.unwrap();
        match by_tag {
            false => view.invalidate_softly(&1).await.complete().unwrap(),
            true => view.cache().invalidate_tags_softly(&[Tag::named("t")]).await.complete().unwrap(),
        }
        let other = numbers_with(&cluster.deaf(), |view| view.tags(|_| vec![Tag::named("t")]));

        assert_eq!(other.get(&1).await, None, "by tag: {by_tag}");
        assert_eq!(*other.get_or_load(&1, giving(2)).await.unwrap(), 2, "by tag: {by_tag}");
    }
}

#[tokio::test(start_paused = true)]
async fn jitter_shortens_lives_within_its_bounds_only() {
    let view = with_policy(Policy::ttl(secs(100)).jitter(10));
    for key in 0..500 {
        view.get_or_load(&key, giving(key)).await.unwrap();
    }

    pass(millis(89_999)).await;
    assert!((0..500).all(|key| view.peek(&key).is_some()));
    pass(millis(10_001)).await;
    assert!((0..500).all(|key| view.peek(&key).is_none()));
}

#[tokio::test(start_paused = true)]
async fn s17_the_knowledge_that_there_is_no_value_ends_with_its_own_shorter_life() {
    let view = with_policy(exactly(secs(100)).negative(secs(5)));
    assert!(view.find_or_load(&1, answering(Loaded::absent())).await.unwrap().is_none());

    pass(millis(4_999)).await;
    assert!(view.find_or_load(&1, unwanted()).await.unwrap().is_none());
    pass(millis(1)).await;
    assert_eq!(view.find_or_load(&1, giving(1)).await.unwrap().as_deref(), Some(&1));
}

#[tokio::test(start_paused = true)]
async fn s17_after_its_creation_is_told_a_value_is_never_none_from_the_cache() {
    for step in 0..3 {
        let cluster = Cluster::new();
        let shape = |cache: &Cache| {
            numbers_with(cache, |view| {
                view.policy(exactly(secs(100)).negative(secs(50))).tags(|_| vec![Tag::named("t")])
            })
        };
        let view = shape(&cluster.deaf());
        view.find_or_load(&1, answering(Loaded::absent())).await.unwrap();
        let receipt = match step {
            0 => view.invalidate(&1).await,
            1 => view.cache().invalidate_tag(&Tag::named("t")).await,
            _ => view.clear().await,
        };
        receipt.complete().unwrap();

        for view in [view, shape(&cluster.deaf())] {
            assert_eq!(view.find_or_load(&1, giving(1)).await.unwrap().as_deref(), Some(&1), "step {step}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_negative_life_absence_is_not_remembered() {
    let view = with_policy(exactly(secs(100)));
    view.find_or_load(&1, answering(Loaded::absent())).await.unwrap();

    assert_eq!(view.find_or_load(&1, giving(1)).await.unwrap().as_deref(), Some(&1));
}

#[tokio::test(start_paused = true)]
async fn a_loader_gives_its_value_another_life() {
    let view = with_policy(exactly(secs(100)));
    view.get_or_load(&1, answering(Loaded::value(1).ttl(secs(5)))).await.unwrap();

    pass(secs(5)).await;

    assert_eq!(view.get(&1).await, None);
}

#[tokio::test(start_paused = true)]
async fn not_modified_begins_the_life_of_the_old_value_anew() {
    let view = with_policy(exactly(secs(10)).stale_while_revalidate(secs(10)));
    view.get_or_load(&1, giving(1)).await.unwrap();
    pass(secs(15)).await;
    view.get_or_load(&1, answering(Loaded::not_modified())).await.unwrap();
    quiet().await;

    pass(secs(9)).await;

    assert_eq!(view.get(&1).await.as_deref(), Some(&1));
}

#[tokio::test(start_paused = true)]
async fn not_modified_keeps_the_tags_that_the_loader_gave_the_old_value() {
    for both_tiers in [false, true] {
        let cache = if both_tiers { Cluster::new().deaf() } else { alone() };
        let view = numbers_with(&cache, |view| view.policy(exactly(secs(10)).stale_while_revalidate(secs(10))));
        view.get_or_load(&1, answering(Loaded::value(1).tag(Tag::named("late")))).await.unwrap();
        pass(secs(15)).await;
        view.get_or_load(&1, answering(Loaded::not_modified())).await.unwrap();
        quiet().await;

        cache.invalidate_tag(&Tag::named("late")).await.complete().unwrap();

        assert_eq!(view.get(&1).await, None, "both tiers: {both_tiers}");
    }
}

#[tokio::test(start_paused = true)]
async fn not_modified_without_a_value_is_an_error() {
    let view = with_policy(exactly(secs(10)));

    let answer: Answer = view.get_or_load(&1, answering(Loaded::not_modified())).await;

    assert!(matches!(answer, Err(LoadError::NotModifiedWithoutValue)));
}

#[tokio::test(start_paused = true)]
async fn memory_keeps_a_value_no_longer_than_its_cap_and_then_asks_the_remote_tier() {
    let cluster = Cluster::new();
    let policy = exactly(secs(100)).memory_ttl(secs(10)).stale_while_revalidate(secs(50));
    let view = numbers_with(&cluster.deaf(), |view| view.policy(policy));
    view.get_or_load(&1, giving(1)).await.unwrap();

    pass(secs(11)).await;
    let found = view.fetch(&1, unwanted()).await.unwrap();

    assert_eq!((found.source, found.stale), (Source::Remote, false));
}

#[tokio::test(start_paused = true)]
async fn s10_an_early_refresh_takes_what_another_node_has_refreshed() {
    let cluster = Cluster::new();
    let policy = exactly(secs(100)).early_refresh(50);
    let shape = |cache: &Cache| numbers_with(cache, |view| view.policy(policy));
    let (left, right) = (shape(&cluster.deaf()), shape(&cluster.deaf()));
    left.get_or_load(&1, giving(1)).await.unwrap();
    right.get_or_load(&1, unwanted()).await.unwrap();
    pass(secs(60)).await;
    left.get_or_load(&1, giving(2)).await.unwrap();
    quiet().await;

    right.get_or_load(&1, unwanted()).await.unwrap();
    quiet().await;

    assert_eq!((right.get(&1).await.as_deref(), right.counts().loads), (Some(&2), 0));
}

#[tokio::test(start_paused = true)]
async fn s8_along_a_chain_of_nodes_age_grows_and_the_end_of_life_stays() {
    let cluster = Cluster::new();
    let policy = exactly(secs(100)).stale_while_revalidate(secs(20));
    numbers_with(&cluster.deaf(), |view| view.policy(policy)).get_or_load(&1, giving(1)).await.unwrap();
    let mut nodes = Vec::new();

    for step in 1..=9u64 {
        pass(secs(10)).await;
        let view = numbers_with(&cluster.deaf(), |view| view.policy(policy));
        let found = view.fetch(&1, unwanted()).await.unwrap();
        assert_eq!((found.source, found.age), (Source::Remote, secs(10 * step)));
        let found = view.fetch(&1, unwanted()).await.unwrap();
        assert_eq!((found.source, found.age), (Source::Memory, secs(10 * step)), "an aged value is kept, too");
        nodes.push(view);
    }
    pass(millis(9_999)).await;
    assert!(nodes.iter().all(|view| view.peek(&1).is_some_and(|found| !found.stale)));
    pass(millis(1)).await;
    assert!(nodes.iter().all(|view| view.peek(&1).is_some_and(|found| found.stale)));
    pass(secs(20)).await;
    assert!(nodes.iter().all(|view| view.peek(&1).is_none()));
}

#[tokio::test(start_paused = true)]
async fn s8_a_value_that_is_refreshed_is_never_older_than_before() {
    let cluster = Cluster::new();
    let policy = exactly(secs(100)).stale_while_revalidate(secs(1000));
    let view = numbers_with(&cluster.deaf(), |view| view.policy(policy));
    let mut newest = Duration::ZERO;
    let start = Instant::now();
    for step in 0..20 {
        let found = view.fetch(&1, giving(step)).await.unwrap();
        quiet().await;
        let loaded_at = start.elapsed().saturating_sub(found.age);
        assert!(loaded_at + millis(2) >= newest, "step {step}");
        newest = newest.max(loaded_at);
        pass(secs(37)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_degraded_fill_lives_ten_seconds_at_most() {
    let cluster = Cluster::new();
    let wire = Wire::to(&cluster.remote);
    wire.cut();
    let view = numbers(&alone_with(|builder| builder.remote(wire)));
    view.get_or_load(&1, giving(1)).await.unwrap();

    assert!(view.peek(&1).is_some());
    pass(secs(10)).await;
    assert!(view.peek(&1).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_stands_in_while_another_node_loads() {
    let cluster = Cluster::new();
    let policy = exactly(secs(10)).stale_while_revalidate(LEASE + secs(60));
    let (left, right) = (
        numbers_with(&cluster.deaf(), |view| view.policy(policy)),
        numbers_with(&cluster.deaf(), |view| view.policy(policy)),
    );
    left.get_or_load(&1, giving(1)).await.unwrap();
    pass(secs(15)).await;
    left.get_or_load(&1, endless()).await.unwrap();
    quiet().await;
    let start = Instant::now();

    let value = right.get_or_load(&1, unwanted()).await.unwrap();

    assert_eq!((*value, start.elapsed()), (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn what_is_had_at_once_is_fresh_and_counted_and_nothing_else_is() {
    let policy = exactly(secs(100)).negative(secs(50)).stale_if_error(secs(100));
    let view = with_policy(policy);
    let at_once = |key: u64| {
        let (value, found) = (view.value_at_once(&key), view.at_once(&key));
        assert_eq!(value, found.and_then(|found| found.value), "{key}");
        value.as_deref().copied()
    };
    assert_eq!((at_once(1), view.counts().memory_hits), (None, 0));

    view.get_or_load(&1, giving(7)).await.unwrap();
    view.find_or_load(&2, answering(Loaded::absent())).await.unwrap();
    let before = view.counts().memory_hits;
    assert_eq!((at_once(1), at_once(2)), (Some(7), None));
    assert_eq!(view.counts().memory_hits, before + 4);

    pass(millis(100_000)).await;
    assert_eq!((at_once(1), view.counts().memory_hits), (None, before + 4));
}
