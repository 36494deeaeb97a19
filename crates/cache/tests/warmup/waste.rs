//! What warm-ups brought, and whether anybody wanted it.

use std::sync::Arc;

use tierkeep_cache::warmup::{KeyLoader, Keys, WarmupJob, Warmups};
use tierkeep_cache::{Cache, Policy, Tag, View};

use crate::sources::{Source, millis, node, numbers, pass, secs, shared_tier};

async fn warm(cache: &Cache, view: &View<u64, u64>, keys: std::ops::Range<u64>) {
    let job = WarmupJob::new("all", view, Keys::list(keys), Source::default().each());
    let warmups = Warmups::builder(cache).job(job).start().unwrap();
    warmups.run("all").await.unwrap();
}

/// Loads, used and wasted.
fn counted(view: &View<u64, u64>) -> (u64, u64, u64) {
    let counts = view.counts();
    (counts.warmup_loads, counts.warmup_used, counts.warmup_wasted)
}

#[tokio::test(start_paused = true)]
async fn the_first_read_counts_as_use() {
    let cache = node(|cache| cache);
    let view = numbers(&cache, secs(60));
    warm(&cache, &view, 0..3).await;

    assert_eq!(view.peek(&2).unwrap().value.as_deref(), Some(&20));
    view.get(&1).await;
    view.get(&1).await;
    Source::default().get(&view, 9).await;
    pass(secs(61)).await;
    cache.sweep();

    assert_eq!(counted(&view), (3, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn what_leaves_unread_is_wasted_whatever_the_reason() {
    let cache = node(|cache| cache);
    let view = cache.view("numbers").tags(|_| vec![Tag::named("all")]).policy(Policy::ttl(secs(60))).build().unwrap();
    for (round, leave) in ["key", "tag", "clear", "replaced"].into_iter().enumerate() {
        warm(&cache, &view, 0..1).await;
        match leave {
            "key" => drop(view.invalidate(&0).await),
            "tag" => drop(cache.invalidate_tag(&Tag::named("all")).await),
            "clear" => drop(cache.clear().await),
            _ => drop(view.put(&0, 7).await),
        }
        cache.sweep();

        assert_eq!(counted(&view), (round as u64 + 1, 0, round as u64 + 1), "{leave}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_soft_invalidation_is_no_waste_and_a_stale_read_is_a_use() {
    let (cache, source) = (node(|cache| cache), Source::default());
    let policy = Policy::ttl(secs(60)).stale_while_revalidate(secs(60));
    let view = cache.view("numbers").policy(policy).build().unwrap();
    warm(&cache, &view, 0..2).await;

    view.invalidate_softly(&0).await.complete().unwrap();
    view.invalidate_softly(&1).await.complete().unwrap();
    let before = counted(&view);
    source.get(&view, 0).await;
    pass(millis(1)).await;

    assert_eq!((before, counted(&view)), ((2, 0, 0), (2, 1, 0)));
}

#[tokio::test(start_paused = true)]
async fn evicted_entries_that_nobody_read_are_wasted() {
    let cache = node(|cache| cache.memory(64 << 10));
    let view = numbers(&cache, secs(60));

    warm(&cache, &view, 0..2000).await;

    let (loads, used, wasted) = counted(&view);
    let there = cache.state().entries as u64;
    assert!(wasted > 0, "memory is too small for all of them");
    assert_eq!((loads, used, wasted + there), (2000, 0, 2000));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_waited_for_a_warm_up_has_used_it() {
    let (cache, source) = (node(|cache| cache), Source::taking(millis(10)));
    let view = numbers(&cache, secs(60));
    let job = WarmupJob::new("all", &view, Keys::list([1]), source.each());
    let warmups = Warmups::builder(&cache).job(job).start().unwrap();

    let (report, _) = tokio::join!(warmups.run("all"), async {
        pass(millis(1)).await;
        source.get(&view, 1).await
    });

    assert_eq!((report.unwrap().loaded, source.calls(), counted(&view)), (1, 1, (1, 1, 0)));
}

#[tokio::test(start_paused = true)]
async fn copies_from_the_remote_tier_are_counted_too_and_no_loads() {
    let (remote, source) = (shared_tier(), Source::default());
    let other = node(|cache| cache.remote(Arc::clone(&remote)).seed(8));
    warm(&other, &numbers(&other, secs(60)), 0..4).await;
    let cache = node(|cache| cache.remote(remote));
    let view = numbers(&cache, secs(60));
    let each = WarmupJob::new("each", &view, Keys::list(0..2), source.each());
    let together = WarmupJob::new("together", &view, Keys::list(0..4), source.together());
    let warmups = Warmups::builder(&cache).job(each).job(together).start().unwrap();

    let reports = [warmups.run("each").await.unwrap(), warmups.run("together").await.unwrap()];

    assert_eq!(reports.map(|report| (report.loaded, report.already_there)), [(0, 2), (0, 4)]);
    assert_eq!((source.calls(), counted(&view)), (0, (4, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn readers_waste_nothing() {
    let (cache, source) = (node(|cache| cache), Source::default());
    let view = numbers(&cache, secs(60));

    source.get(&view, 1).await;
    view.invalidate(&1).await.complete().unwrap();

    assert_eq!(counted(&view), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_loader_that_panics_is_a_failed_key() {
    let cache = node(|cache| cache);
    let view = numbers(&cache, secs(60));
    let load = KeyLoader::each(|key: u64, _| async move {
        assert_ne!(key, 1, "this key breaks it");
        Ok::<_, String>(key)
    });
    let warmups = Warmups::builder(&cache).job(WarmupJob::new("all", &view, Keys::list(0..3), load)).start().unwrap();

    let report = warmups.run("all").await.unwrap();

    assert_eq!((report.loaded, report.failed), (2, 1));
}
