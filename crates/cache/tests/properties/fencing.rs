//! S1, S2, S3, S14: no value that was read before an invalidation is found after it, whatever path brought it.

use tierkeep_cache::{CacheBuilder, Sabotage, Severity, Tag};
use tokio::task::JoinHandle;

use crate::fixture::{Gate, alone, giving, held, numbers, pass, quiet, secs, soon};
use crate::paths::{Finished, KEY, NEW, OLD, Path, Stage, Tiers, early, late};

/// What can be invalidated so that the key is meant.
#[derive(Clone, Copy, Debug)]
enum Invalidation {
    Key,
    Many,
    Below,
    EarlyTag,
    LateTag,
    AllTags,
    View,
    Everything,
}

impl Invalidation {
    const OF_KEYS: [Self; 3] = [Self::Key, Self::Many, Self::Below];
    const OF_TAGS: [Self; 5] = [Self::EarlyTag, Self::LateTag, Self::AllTags, Self::View, Self::Everything];

    async fn run(self, stage: &Stage) {
        let receipt = match self {
            Self::Key => stage.view.invalidate(&KEY).await,
            Self::Many => stage.view.invalidate_many(&[7, KEY]).await,
            Self::Below => stage.view.invalidate_below(&KEY, 0, secs(1)).await,
            Self::EarlyTag => stage.node.invalidate_tag(&early()).await,
            Self::LateTag => stage.node.invalidate_tag(&late()).await,
            Self::AllTags => stage.node.invalidate_tags_all(&[early(), late()]).await,
            Self::View => stage.view.clear().await,
            Self::Everything => stage.node.clear().await,
        };
        receipt.complete().unwrap();
    }
}

/// Whether this was read before the invalidation. What a path has loaded since is no business of these tests.
fn outdated(value: Option<u64>) -> bool {
    value.is_some_and(|value| value != NEW)
}

/// Each path with each set of tiers, the invalidation in the middle.
async fn interrupted(invalidations: &[Invalidation], mut check: impl AsyncFnMut(&str, Finished)) {
    let mut ran = 0;
    for tiers in Tiers::ALL {
        for path in Path::ALL {
            for invalidation in invalidations {
                let Some(stage) = Stage::begin(path, tiers).await else { continue };
                invalidation.run(&stage).await;
                check(&format!("{path:?}, {tiers:?}, {invalidation:?}"), stage.finish().await).await;
                ran += 1;
            }
        }
    }
    assert_eq!(ran, (2 * Path::ALL.len() - 3) * invalidations.len(), "only promotions need the remote tier");
}

#[tokio::test(start_paused = true)]
async fn s1_no_path_leaves_a_value_behind_that_was_read_before_its_key_was_invalidated() {
    interrupted(&Invalidation::OF_KEYS, async |case, finished| {
        assert!(!outdated(finished.value().await), "{case}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn s1_no_path_leaves_such_a_value_in_the_remote_tier() {
    interrupted(&Invalidation::OF_KEYS, async |case, finished| {
        assert!(!outdated(finished.remote_value().await), "{case}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn s1_the_read_after_loads_anew() {
    interrupted(&[Invalidation::Key, Invalidation::Many], async |case, finished| {
        assert_eq!(finished.read(NEW).await, NEW, "{case}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn s2_no_path_leaves_a_value_behind_that_was_read_before_one_of_its_tags_was_invalidated() {
    interrupted(&Invalidation::OF_TAGS, async |case, finished| {
        assert!(!outdated(finished.value().await), "{case}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn s2_no_path_leaves_such_a_value_in_the_remote_tier() {
    interrupted(&Invalidation::OF_TAGS, async |case, finished| {
        assert!(!outdated(finished.remote_value().await), "{case}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn s2_the_read_after_loads_anew() {
    interrupted(&Invalidation::OF_TAGS, async |case, finished| {
        assert_eq!(finished.read(NEW).await, NEW, "{case}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn s3_memory_holds_no_copy_of_what_was_read_from_the_remote_tier_before_an_invalidation() {
    for path in Path::ALL.into_iter().filter(|path| path.is_promotion()) {
        for invalidation in Invalidation::OF_KEYS.iter().chain(&Invalidation::OF_TAGS) {
            let stage = Stage::begin(path, Tiers::Both).await.unwrap();

            invalidation.run(&stage).await;

            assert!(!outdated(stage.finish().await.in_memory()), "{path:?}, {invalidation:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_path_stores_its_value_if_nothing_is_invalidated() {
    for tiers in Tiers::ALL {
        for path in Path::ALL {
            let Some(stage) = Stage::begin(path, tiers).await else { continue };

            let finished = stage.finish().await;

            assert_eq!(finished.in_memory(), Some(OLD), "{path:?}, {tiers:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_read_before_a_soft_invalidation_is_not_fresh_after_it() {
    for tiers in Tiers::ALL {
        for path in Path::ALL {
            for by_tag in [false, true] {
                let Some(stage) = Stage::begin(path, tiers).await else { continue };
                let receipt = match by_tag {
                    false => stage.view.invalidate_softly(&KEY).await,
                    true => stage.node.invalidate_tags_softly(&[late()]).await,
                };
                receipt.complete().unwrap();

                let finished = stage.finish().await;

                assert!(!outdated(finished.value().await), "{path:?}, {tiers:?}, by tag: {by_tag}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn control_a_cache_that_fills_without_token_is_caught_on_every_path_that_loads() {
    // A write that was overtaken invalidates, and a tracked view's entries have a tag of their own: both are caught twice.
    for path in Path::ALL.into_iter().filter(|path| ![Path::WriteThrough, Path::Within].contains(path)) {
        let planted = |builder: CacheBuilder| builder.sabotage(Sabotage::FillWithoutToken);
        let Some(stage) = Stage::begin_with(path, Tiers::Memory, planted).await else { continue };
        Invalidation::Key.run(&stage).await;

        let finished = stage.finish().await;

        assert_eq!(finished.value().await, Some(OLD), "{path:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn control_a_cache_that_takes_its_stamps_after_the_load_is_caught() {
    let planted = |builder: CacheBuilder| builder.sabotage(Sabotage::StampsAfterLoad);
    let stage = Stage::begin_with(Path::GetOrLoad, Tiers::Memory, planted).await.unwrap();
    Invalidation::EarlyTag.run(&stage).await;

    let finished = stage.finish().await;

    assert_eq!(finished.value().await, Some(OLD));
}

fn reading(view: &tierkeep_cache::View<u64, u64>, value: u64, gate: &Gate) -> JoinHandle<u64> {
    let (view, load) = (view.clone(), held(value, gate));
    tokio::spawn(async move { *view.get_or_load(&KEY, load).await.unwrap() })
}

#[tokio::test(start_paused = true)]
async fn s1_who_came_before_the_invalidation_gets_the_value() {
    let view = numbers(&alone());
    let gate = Gate::closed();
    let before = reading(&view, OLD, &gate);
    gate.reached().await;

    view.invalidate(&KEY).await.complete().unwrap();
    gate.open();

    assert_eq!(soon(before).await.unwrap(), OLD);
}

#[tokio::test(start_paused = true)]
async fn s1_who_comes_after_the_invalidation_does_not_join_the_load_before_it() {
    for by_tag in [false, true] {
        let cache = alone();
        let view = crate::fixture::numbers_with(&cache, |view| view.tags(|key| vec![Tag::of("early", *key)]));
        let (first, second) = (Gate::closed(), Gate::closed());
        let before = reading(&view, OLD, &first);
        first.reached().await;
        match by_tag {
            true => cache.invalidate_tag(&early()).await.complete().unwrap(),
            false => view.invalidate(&KEY).await.complete().unwrap(),
        }

        let after = reading(&view, NEW, &second);
        second.reached().await;
        first.open();
        quiet().await;
        second.open();

        assert_eq!((soon(before).await.unwrap(), soon(after).await.unwrap()), (OLD, NEW), "by tag: {by_tag}");
    }
}

/// A read that begins after the invalidation, while the load before it still runs.
async fn joined_after(stage: Stage, source: u64) -> u64 {
    let view = stage.view.clone();
    let joined = tokio::spawn(async move { *view.get_or_load(&KEY, giving(source)).await.unwrap() });
    quiet().await;
    stage.finish().await;
    soon(joined).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn s1_s2_who_comes_after_any_invalidation_is_not_given_what_was_read_before_it() {
    for tiers in Tiers::ALL {
        for path in Path::ALL {
            for invalidation in Invalidation::OF_KEYS.iter().chain(&Invalidation::OF_TAGS) {
                let Some(stage) = Stage::begin(path, tiers).await else { continue };
                invalidation.run(&stage).await;

                let read = joined_after(stage, NEW).await;

                assert_eq!(read, NEW, "{path:?}, {tiers:?}, {invalidation:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s2_who_comes_after_a_rule_about_tags_of_the_key_is_not_given_what_was_read_before_it() {
    let cache = alone();
    let both = || vec![Tag::named("left"), Tag::named("right")];
    let view = crate::fixture::numbers_with(&cache, |view| view.tags(move |_| both()));
    let gate = Gate::closed();
    let before = reading(&view, OLD, &gate);
    gate.reached().await;
    cache.invalidate_tags_all(&both()).await.complete().unwrap();

    let after = soon(view.get_or_load(&KEY, giving(NEW))).await.unwrap();

    assert_eq!(*after, NEW);
    drop(before);
}

#[tokio::test(start_paused = true)]
async fn s2_a_value_that_is_not_to_be_stored_is_kept_from_those_who_came_after_its_late_tag_was_invalidated() {
    let cache = alone();
    let view = numbers(&cache);
    let gate = Gate::closed();
    let (reading, stopped) = (view.clone(), gate.clone());
    let before = tokio::spawn(async move {
        let load = async move |_| {
            stopped.pass().await;
            Ok::<_, crate::fixture::Down>(tierkeep_cache::Loaded::value(OLD).tag(late()).not_stored())
        };
        *reading.get_or_load(&KEY, load).await.unwrap()
    });
    gate.reached().await;
    cache.invalidate_tag(&late()).await.complete().unwrap();
    let reading = view.clone();
    let after = tokio::spawn(async move { *reading.get_or_load(&KEY, giving(NEW)).await.unwrap() });
    quiet().await;

    gate.open();

    assert_eq!((soon(before).await.unwrap(), soon(after).await.unwrap()), (OLD, NEW));
}

#[tokio::test(start_paused = true)]
async fn s2_a_load_that_outlives_the_log_of_invalidations_is_given_to_nobody_who_came_after_one() {
    let cache = alone();
    let view = numbers(&cache);
    let gate = Gate::closed();
    let (reading, load) = (view.clone(), crate::fixture::held_tagged(OLD, &gate, late()));
    let before = tokio::spawn(async move { *reading.get_or_load(&KEY, load).await.unwrap() });
    gate.reached().await;
    cache.invalidate_tag(&late()).await.complete().unwrap();
    for other in 0..10_000u64 {
        cache.invalidate_tag(&Tag::of("other", other)).await.complete().unwrap();
    }
    let reading = view.clone();
    let after = tokio::spawn(async move { *reading.get_or_load(&KEY, giving(NEW)).await.unwrap() });
    quiet().await;

    gate.open();

    assert_eq!((soon(before).await.unwrap(), soon(after).await.unwrap()), (OLD, NEW));
}

#[tokio::test(start_paused = true)]
async fn s1_an_invalidation_does_not_wait_for_the_loader() {
    let view = numbers(&alone());
    let gate = Gate::closed();
    let _before = reading(&view, OLD, &gate);
    gate.reached().await;
    let start = tokio::time::Instant::now();

    view.invalidate(&KEY).await.complete().unwrap();

    assert_eq!(start.elapsed(), std::time::Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn s1_a_refresh_that_was_overtaken_leaves_nothing_older_either() {
    let stage = Stage::begin(Path::StaleRefresh, Tiers::Both).await.unwrap();
    stage.view.invalidate(&KEY).await.complete().unwrap();

    let finished = stage.finish().await;

    assert_eq!(finished.in_memory(), None);
}

#[tokio::test(start_paused = true)]
async fn s14_what_was_loaded_between_a_write_and_its_commit_is_gone_once_the_commit_is_announced() {
    let view = numbers(&alone());
    view.get_or_load(&KEY, giving(OLD)).await.unwrap();
    // The source has written, not committed; readers still load the old value.
    view.invalidate(&KEY).await.complete().unwrap();
    view.get_or_load(&KEY, giving(OLD)).await.unwrap();

    // It commits, then announces.
    view.invalidate(&KEY).await.complete().unwrap();

    assert_eq!(view.get(&KEY).await, None);
}

#[tokio::test(start_paused = true)]
async fn s14_a_rollback_costs_nothing() {
    let view = numbers(&alone());
    view.get_or_load(&KEY, giving(OLD)).await.unwrap();

    // Rolled back: nothing is announced.
    pass(secs(1)).await;

    assert_eq!(view.counts().invalidations, 0);
}

#[tokio::test(start_paused = true)]
async fn invalidations_of_other_keys_and_tags_do_not_touch_a_load() {
    for severity in [Severity::Hard, Severity::Soft] {
        let stage = Stage::begin(Path::EarlyRefresh, Tiers::Both).await.unwrap();
        let others = [Tag::of("early", 2u64), Tag::of("late", "1"), Tag::named("early")];
        let receipt = match severity {
            Severity::Hard => stage.node.invalidate_tags(&others).await,
            Severity::Soft => stage.node.invalidate_tags_softly(&others).await,
        };
        receipt.complete().unwrap();
        stage.view.invalidate(&2).await.complete().unwrap();

        let finished = stage.finish().await;

        assert_eq!(finished.value().await, Some(OLD), "{severity:?}");
    }
}
