//! Jobs: sources, order, bounds, schedules, reports.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::stream;
use tierkeep_cache::LoadLimit;
use tierkeep_cache::warmup::{Ended, HotKeys, Keys, Priority, WarmupError, WarmupJob, Warmups};
use tokio_util::sync::CancellationToken;

use crate::sources::{Source, decode, millis, node, numbers, pass, secs};

#[tokio::test(start_paused = true)]
async fn keys_that_are_there_are_skipped_and_a_failure_does_not_stop_the_rest() {
    let (cache, source) = (node(|cache| cache), Source::default());
    let view = numbers(&cache, secs(300));
    source.get(&view, 1).await;
    let job = WarmupJob::new("all", &view, Keys::list([1, 2, 1_000_001, 3, 2]), source.each());
    let warmups = Warmups::builder(&cache).concurrent(1).job(job).start().unwrap();

    let report = warmups.run("all").await.unwrap();

    assert_eq!((report.loaded, report.already_there, report.failed, report.skipped), (2, 2, 1, 0));
    assert_eq!(report.last_failure.as_deref(), Some("the loader failed: no key 1000001"));
    assert_eq!((report.ended.clone(), report.keys()), (Ended::Whole, 5));
    assert_eq!(warmups.last("all").unwrap(), Some(report));
    assert_eq!(source.order(), [1, 2, 1_000_001, 3]);
    let counts = view.counts();
    assert_eq!((counts.misses, counts.memory_hits), (1, 0), "a warm-up is no reader");
}

#[tokio::test(start_paused = true)]
async fn one_call_of_a_batch_loader_brings_many_keys() {
    let (cache, source) = (node(|cache| cache), Source::default());
    let view = numbers(&cache, secs(300));
    source.get(&view, 7).await;
    let job = WarmupJob::new("all", &view, Keys::list(0..100), source.together());
    let warmups = Warmups::builder(&cache).concurrent(25).job(job).start().unwrap();

    let report = warmups.run("all").await.unwrap();

    assert_eq!((report.loaded, report.already_there, source.calls()), (99, 1, 1 + 4));
    assert_eq!(view.get(&99).await.as_deref(), Some(&990));
}

#[tokio::test(start_paused = true)]
async fn never_more_keys_at_once_than_told_and_never_more_than_half_of_the_load_limit() {
    for (concurrent, limit, peak) in [(4, 100, 4), (50, 10, 5), (50, 1, 1)] {
        let (cache, source) =
            (node(|cache| cache.load_limit(LoadLimit::concurrent(limit).wait(secs(60)))), Source::taking(millis(5)));
        let view = numbers(&cache, secs(300));
        let job = |name, from: u64| WarmupJob::new(name, &view, Keys::list(from..from + 50), source.each());
        let warmups =
            Warmups::builder(&cache).concurrent(concurrent).job(job("a", 0)).job(job("b", 100)).start().unwrap();

        let (a, b) = tokio::join!(warmups.run("a"), warmups.run("b"));

        assert_eq!((a.unwrap().loaded, b.unwrap().loaded, source.peak()), (50, 50, peak), "{concurrent} of {limit}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_more_urgent_job_goes_first() {
    let (cache, source) = (node(|cache| cache), Source::taking(millis(10)));
    let view = numbers(&cache, secs(300));
    let idle = WarmupJob::new("idle", &view, Keys::list(0..50), source.each()).priority(Priority::Idle);
    let urgent = WarmupJob::new("urgent", &view, Keys::list(100..110), source.each()).priority(Priority::Urgent);
    let warmups = Warmups::builder(&cache).concurrent(1).job(idle).job(urgent).start().unwrap();

    let later = async {
        pass(millis(25)).await;
        warmups.run("urgent").await.unwrap()
    };
    let (all, few) = tokio::join!(warmups.run("idle"), later);

    assert_eq!((all.unwrap().loaded, few.loaded), (50, 10));
    let order = source.order();
    let first = order.iter().position(|key| *key >= 100).unwrap();
    assert!(first < 10, "it begins although the other one has not ended: {order:?}");
    assert_eq!(order[first..first + 10], (100..110).collect::<Vec<u64>>());
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_read_as_fast_as_keys_are_warmed_and_a_cancelled_run_ends_at_a_key() {
    let (cache, source) = (node(|cache| cache), Source::taking(millis(10)));
    let view = numbers(&cache, secs(300));
    let drawn = Arc::new(AtomicUsize::new(0));
    let drawing = drawn.clone();
    let rows = move || {
        let drawing = drawing.clone();
        stream::iter(
            (0..1_000_000)
                .inspect(move |_| {
                    drawing.fetch_add(1, Ordering::SeqCst);
                })
                .map(Ok::<u64, String>),
        )
    };
    let job = WarmupJob::new("rows", &view, Keys::stream(rows), source.each());
    let warmups = Warmups::builder(&cache).concurrent(8).job(job).start().unwrap();
    let stop = CancellationToken::new();

    let (report, ()) = tokio::join!(warmups.run_until("rows", &stop), async {
        pass(millis(101)).await;
        stop.cancel();
    });

    let report = report.unwrap();
    assert_eq!((report.ended.clone(), report.loaded as usize), (Ended::Cancelled, source.calls()));
    assert!(report.loaded >= 80 && drawn.load(Ordering::SeqCst) <= report.loaded as usize + 1, "{report:?}, {drawn:?}");
}

#[tokio::test(start_paused = true)]
async fn a_job_keeps_to_its_schedule() {
    let (cache, source) = (node(|cache| cache), Source::default());
    let view = numbers(&cache, secs(30));
    let job = WarmupJob::new("often", &view, Keys::list([1]), source.each());
    let job = job.at_startup().every(secs(60)).jitter(secs(10));
    let warmups = Warmups::builder(&cache).job(job).start().unwrap();

    let mut calls = Vec::new();
    for period in [millis(1), secs(59), secs(12), secs(50), secs(30)] {
        pass(period).await;
        calls.push(source.calls());
    }
    drop(warmups);
    pass(secs(1000)).await;

    assert_eq!((calls, source.calls()), (vec![1, 1, 2, 2, 3], 3));
}

#[tokio::test(start_paused = true)]
async fn errors_of_a_source_are_counted_and_nothing_but_errors_end_the_run() {
    let (cache, source) = (node(|cache| cache), Source::default());
    let view = numbers(&cache, secs(300));
    let some = || stream::iter([Ok(1), Err("row 2 is odd"), Ok(3)]);
    let all = || stream::repeat_with(|| Err::<u64, _>("the connection is gone"));
    let some = WarmupJob::new("some", &view, Keys::stream(some), source.each());
    let all = WarmupJob::new("all", &view, Keys::stream(all), source.together());
    let warmups = Warmups::builder(&cache).job(some).job(all).start().unwrap();

    let (some, all) = (warmups.run("some").await.unwrap(), warmups.run("all").await.unwrap());

    assert_eq!((some.loaded, some.failed, some.last_failure.as_deref()), (2, 1, Some("row 2 is odd")));
    assert_eq!(all.ended, Ended::SourceFailed("the connection is gone".into()));
}

#[tokio::test(start_paused = true)]
async fn an_observer_sees_each_key() {
    let (cache, source) = (node(|cache| cache), Source::default());
    let view = numbers(&cache, secs(300));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let seeing = seen.clone();
    let job = WarmupJob::new("all", &view, Keys::list(0..3), source.each());
    let job = job.observer(move |at| seeing.lock().unwrap().push((at.job.to_owned(), at.so_far.keys())));
    let warmups = Warmups::builder(&cache).job(job).start().unwrap();

    warmups.run("all").await.unwrap();

    assert_eq!(*seen.lock().unwrap(), [("all".into(), 1), ("all".into(), 2), ("all".into(), 3)]);
}

#[tokio::test(start_paused = true)]
async fn what_finds_no_turn_is_left_out() {
    let cache = node(|cache| cache.load_limit(LoadLimit::concurrent(1).wait(millis(10))));
    let (view, slow, source) = (numbers(&cache, secs(300)), Source::taking(secs(1)), Source::default());
    let job = WarmupJob::new("all", &view, Keys::list(0..5), source.each());
    let warmups = Warmups::builder(&cache).job(job).start().unwrap();

    let (report, _) = tokio::join!(
        async {
            pass(millis(1)).await;
            warmups.run("all").await.unwrap()
        },
        slow.get(&view, 100)
    );

    assert_eq!((report.skipped, report.loaded, source.calls()), (5, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_closed_ends_its_warm_ups() {
    let (cache, source) = (node(|cache| cache), Source::taking(secs(1)));
    let view = numbers(&cache, secs(300));
    let warmups =
        Warmups::builder(&cache).job(WarmupJob::new("all", &view, Keys::list(0..1000), source.each())).start().unwrap();

    let (report, ()) = tokio::join!(warmups.run("all"), async {
        pass(millis(1)).await;
        cache.close().await;
    });

    assert_eq!(report.unwrap().ended, Ended::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn names_are_checked() {
    let (cache, source) = (node(|cache| cache), Source::default());
    let view = numbers(&cache, secs(300));
    let job = |name| WarmupJob::new(name, &view, Keys::list([1]), source.each());

    let twice = Warmups::builder(&cache).job(job("a")).job(job("a")).start().unwrap_err();
    let warmups = Warmups::builder(&cache).job(job("a")).job(job("b")).start().unwrap();
    let unknown = warmups.run("c").await.unwrap_err();

    assert_eq!(twice, WarmupError::JobExists("a".into()));
    assert_eq!(unknown.to_string(), r#"there is no warm-up job called "c", there are: a, b"#);
}

#[tokio::test(start_paused = true)]
async fn the_hottest_keys_are_a_source() {
    let hot = HotKeys::builder().sample_one_in(1).build();
    let (cache, source) = (node(|cache| cache.hot(hot.clone())), Source::taking(millis(3)));
    let view = numbers(&cache, secs(30));
    for key in [1, 2, 2, 3, 3, 3] {
        source.get(&view, key).await;
    }
    pass(secs(31)).await;
    let again = Source::default();
    let job = WarmupJob::new("hot", &view, Keys::hottest(&hot, "numbers", 2, decode), again.each());
    let warmups = Warmups::builder(&cache).concurrent(1).job(job).start().unwrap();

    let report = warmups.run("hot").await.unwrap();

    assert_eq!((report.loaded, again.order()), (2, vec![3, 2]));
}
