//! S10, S12: however many ask, the source is asked once, and never more than the limit allows.

use std::sync::Arc;

use tierkeep_cache::{Cache, LoadError, LoadLimit, Loaded, Tag, View};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::fixture::{
    Answer, Cluster, Down, Gate, LEASE, Loading, Tally, alone, alone_with, endless, exactly, failing, giving, held,
    millis, numbers, numbers_with, pass, quiet, secs, soon,
};
use crate::wire::{Call, Wire};

/// So many readers of one key; each brings a loader that would do.
fn readers(
    view: &View<u64, u64>,
    key: u64,
    count: usize,
    loader: impl FnOnce(tierkeep_cache::LoadContext<u64>) -> Loading + Clone + Send + 'static,
    tally: &Tally,
) -> JoinSet<Answer> {
    let read = |_| {
        let (view, load) = (view.clone(), tally.of(loader.clone()));
        async move { view.get_or_load(&key, load).await }
    };
    (0..count).map(read).collect()
}

async fn values(readers: JoinSet<Answer>) -> Vec<u64> {
    soon(readers.join_all()).await.into_iter().map(|answer| *answer.unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn five_hundred_readers_of_a_cold_key_cost_one_load() {
    let (view, gate, tally) = (numbers(&alone()), Gate::closed(), Tally::default());
    let readers = readers(&view, 1, 500, held(7, &gate), &tally);
    quiet().await;

    gate.open();

    assert_eq!((values(readers).await, tally.begun()), (vec![7; 500], 1));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_misses_of_one_key_cost_one_load_with_both_tiers() {
    let cluster = Cluster::new();
    let (view, gate, tally) = (numbers(&cluster.deaf()), Gate::closed(), Tally::default());
    let readers = readers(&view, 1, 10_000, held(7, &gate), &tally);
    quiet().await;

    gate.open();

    assert_eq!((values(readers).await, tally.begun()), (vec![7; 10_000], 1));
}

#[tokio::test(start_paused = true)]
async fn s10_ten_thousand_cold_keys_never_cost_more_loads_at_once_than_the_limit() {
    let cache = alone_with(|builder| builder.load_limit(LoadLimit::concurrent(64).wait(secs(3600))));
    let (view, tally) = (numbers(&cache), Tally::default());
    let readers = (0..10_000).map(|key| {
        let view = view.clone();
        let load = tally.of(move |_| {
            Box::pin(async move {
                pass(millis(10)).await;
                Ok(Loaded::value(key))
            })
        });
        async move { view.get_or_load(&key, load).await }
    });
    let readers: JoinSet<Answer> = readers.collect();

    let mut values = values(readers).await;

    values.sort_unstable();
    assert_eq!((values, tally.peak()), ((0..10_000).collect(), 64));
}

#[tokio::test(start_paused = true)]
async fn three_nodes_that_share_a_remote_tier_cost_one_load() {
    let cluster = Cluster::new();
    let (gate, tally) = (Gate::closed(), Tally::default());
    let nodes: Vec<_> = (0..3).map(|_| numbers(&cluster.deaf())).collect();
    let all: Vec<_> = nodes.iter().map(|view| readers(view, 1, 100, held(7, &gate), &tally)).collect();
    pass(millis(100)).await;

    gate.open();

    for readers in all {
        assert_eq!(values(readers).await, vec![7; 100]);
    }
    assert_eq!(tally.begun(), 1);
}

#[tokio::test(start_paused = true)]
async fn three_nodes_whose_remote_tier_is_down_cost_one_load_each() {
    let cluster = Cluster::new();
    let wire = Wire::to(&cluster.remote);
    wire.cut();
    let (gate, tally) = (Gate::closed(), Tally::default());
    let node = |_| numbers(&alone_with(|builder| builder.remote(wire.clone())));
    let nodes: Vec<_> = (0..3).map(node).collect();
    let all: Vec<_> = nodes.iter().map(|view| readers(view, 1, 100, held(7, &gate), &tally)).collect();
    quiet().await;

    gate.open();

    for readers in all {
        assert_eq!(values(readers).await, vec![7; 100]);
    }
    assert_eq!(tally.begun(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_caller_goes_away_goes_on_loading_for_the_others() {
    let (view, gate, tally) = (numbers(&alone()), Gate::closed(), Tally::default());
    let mut leader = readers(&view, 1, 1, held(7, &gate), &tally);
    gate.reached().await;
    let followers = readers(&view, 1, 10, giving(8), &tally);
    quiet().await;

    leader.shutdown().await;
    gate.open();

    assert_eq!((values(followers).await, tally.begun()), (vec![7; 10], 1));
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_loader_is_the_error_of_all_who_wait() {
    let (view, tally) = (numbers(&alone()), Tally::default());
    let readers = readers(&view, 1, 20, |_| Box::pin(async { panic!("bad row") }), &tally);

    let answers = soon(readers.join_all()).await;

    assert!(answers.iter().all(|answer| matches!(answer, Err(LoadError::Panicked(why)) if &**why == "bad row")));
}

#[tokio::test(start_paused = true)]
async fn after_a_panic_the_next_load_begins_at_once() {
    let view = numbers(&alone());
    view.get_or_load(&1, |_| -> Loading { panic!("before its first poll") }).await.unwrap_err();

    assert_eq!(*soon(view.get_or_load(&1, giving(7))).await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_loader_that_hangs_is_given_up_at_its_hard_timeout_by_all_who_wait() {
    let (view, tally) = (numbers(&alone()), Tally::default());
    let start = Instant::now();
    let readers = readers(&view, 1, 20, endless(), &tally);

    let answers = soon(readers.join_all()).await;

    assert!(answers.iter().all(|answer| matches!(answer, Err(LoadError::TimedOut(limit)) if *limit == secs(30))));
    assert_eq!((start.elapsed(), tally.begun()), (secs(30), 1));
}

#[tokio::test(start_paused = true)]
async fn a_failed_load_is_shared_with_two_hundred_callers_and_not_repeated() {
    let (view, gate, tally) = (numbers(&alone()), Gate::closed(), Tally::default());
    let stopped = gate.clone();
    let failing = move |_| {
        let gate = stopped.clone();
        Box::pin(async move {
            gate.pass().await;
            Err(Down)
        }) as Loading
    };
    let readers = readers(&view, 1, 200, failing, &tally);
    quiet().await;

    gate.open();

    let errors: Vec<Arc<Down>> = soon(readers.join_all())
        .await
        .into_iter()
        .map(|answer| match answer {
            Err(LoadError::Loader(error)) => error,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(errors.iter().all(|error| Arc::ptr_eq(error, &errors[0])));
    assert_eq!((errors.len(), tally.begun()), (200, 1));
}

#[tokio::test(start_paused = true)]
async fn loads_begin_no_faster_than_the_rate_allows() {
    let cache = alone_with(|builder| builder.load_limit(LoadLimit::concurrent(64).per_second(10).wait(secs(60))));
    let (view, start) = (numbers(&cache), Instant::now());
    let load = |key| {
        let view = view.clone();
        async move {
            let began = async move |_| Ok::<_, Down>(start.elapsed().as_millis() as u64);
            view.get_or_load(&key, began).await
        }
    };

    let mut began = values((0..20).map(load).collect()).await;

    began.sort_unstable();
    assert_eq!(began, (0..20).map(|place| place * 100).collect::<Vec<_>>());
}

/// A cache whose one load is under way.
async fn busy(limit: LoadLimit) -> (Cache, View<u64, u64>, Gate) {
    let cache = alone_with(|builder| builder.load_limit(limit));
    let view = numbers_with(&cache, |view| view.policy(exactly(secs(10)).stale_while_revalidate(secs(100))));
    view.get_or_load(&1, giving(1)).await.unwrap();
    let (gate, busy) = (Gate::closed(), view.clone());
    let load = held(2, &gate);
    drop(tokio::spawn(async move { busy.get_or_load(&2, load).await }));
    gate.reached().await;
    (cache, view, gate)
}

#[tokio::test(start_paused = true)]
async fn a_load_that_does_not_get_its_turn_is_overloaded_after_its_wait() {
    let (_cache, view, _gate) = busy(LoadLimit::concurrent(1).wait(secs(2))).await;
    let start = Instant::now();

    let answer: Answer = view.get_or_load(&3, giving(3)).await;

    assert!(matches!(answer, Err(LoadError::Overloaded)));
    assert_eq!((start.elapsed(), view.counts().overloads), (secs(2), 1));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_never_takes_a_load_beyond_the_limit() {
    let (_cache, view, _gate) = busy(LoadLimit::concurrent(1)).await;
    pass(secs(11)).await;
    let tally = Tally::default();

    let stale = view.get_or_load(&1, tally.of(giving(9))).await.unwrap();
    pass(secs(1)).await;

    assert_eq!((*stale, tally.begun()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_joins_a_refresh_has_its_own_turn_if_the_refresh_gets_none() {
    let cluster = Cluster::new();
    let wire = Wire::to(&cluster.remote);
    let limit = LoadLimit::concurrent(1).wait(secs(60));
    let cache = alone_with(|builder| builder.remote(wire.clone()).load_limit(limit));
    let view = numbers_with(&cache, |view| view.policy(exactly(secs(10)).stale_while_revalidate(secs(10))));
    view.get_or_load(&1, giving(1)).await.unwrap();
    let (load, read) = (Gate::closed(), Gate::closed());
    pass(secs(15)).await;
    let busy = (view.clone(), held(2, &load));
    drop(tokio::spawn(async move { busy.0.get_or_load(&2, busy.1).await }));
    load.reached().await;
    wire.hold_next(Call::Read, &read);
    view.get_or_load(&1, giving(3)).await.unwrap();
    read.reached().await;
    // The stale value is no longer good enough.
    pass(secs(10)).await;
    let reader = view.clone();
    let reader = tokio::spawn(async move { *reader.get_or_load(&1, giving(4)).await.unwrap() });
    quiet().await;

    read.open();
    quiet().await;
    load.open();

    assert_eq!(soon(reader).await.unwrap(), 4);
}

/// Hot keys of two nodes, all of one tag.
async fn hot(cluster: &Cluster, limit: LoadLimit) -> (Cache, Vec<View<u64, u64>>) {
    let mut nodes = Vec::new();
    for _ in 0..2 {
        nodes.push(cluster.node_with(tierkeep_cache::Promise::Bounded(LEASE), |b| b.load_limit(limit)).await);
    }
    let view = |cache: &Cache| numbers_with(cache, |view| view.tags(|_| vec![Tag::named("hot")]));
    let views: Vec<_> = nodes.iter().map(view).collect();
    for key in 0..200 {
        views[0].get_or_load(&key, giving(1)).await.unwrap();
        views[1].get_or_load(&key, giving(1)).await.unwrap();
    }
    (nodes.remove(0), views)
}

#[tokio::test(start_paused = true)]
async fn s10_after_a_hard_bump_of_a_hot_tag_each_key_is_loaded_once_in_the_cluster() {
    let (cluster, tally) = (Cluster::new(), Tally::default());
    let (cache, views) = hot(&cluster, LoadLimit::concurrent(8).wait(secs(3600))).await;
    cache.invalidate_tag(&Tag::named("hot")).await.complete().unwrap();
    quiet().await;

    let slow = |_| {
        Box::pin(async {
            pass(millis(5)).await;
            Ok(Loaded::value(2u64))
        }) as Loading
    };
    let all: Vec<_> = (0..200)
        .flat_map(|key| views.iter().map(move |view| (key, view)))
        .map(|(key, view)| readers(view, key, 5, slow, &tally))
        .collect();
    for readers in all {
        assert_eq!(values(readers).await, vec![2; 5]);
    }

    assert_eq!(tally.begun(), 200);
    assert!(tally.peak() <= 16, "{} loads at once on two nodes", tally.peak());
}

#[tokio::test(start_paused = true)]
async fn s10_after_a_soft_bump_of_a_hot_tag_nobody_waits_and_refreshes_keep_to_the_limit() {
    let (cluster, tally) = (Cluster::new(), Tally::default());
    let (cache, views) = hot(&cluster, LoadLimit::concurrent(8)).await;
    cache.invalidate_tags_softly(&[Tag::named("hot")]).await.complete().unwrap();
    quiet().await;
    let start = Instant::now();

    for key in 0..200 {
        assert_eq!(*views[0].get_or_load(&key, tally.of(endless())).await.unwrap(), 1);
    }

    assert_eq!(start.elapsed(), millis(0));
    quiet().await;
    assert!(tally.peak() <= 8, "{} refreshes at once", tally.peak());
}

#[tokio::test(start_paused = true)]
async fn s10_jitter_spreads_the_end_of_what_was_loaded_together() {
    let view = numbers_with(&alone(), |view| view.policy(tierkeep_cache::Policy::ttl(secs(100)).jitter(20)));
    for key in 0..1000 {
        view.get_or_load(&key, giving(key)).await.unwrap();
    }
    let fresh = || (0..1000).filter(|key| view.peek(key).is_some()).count();

    let mut left = Vec::new();
    for step in [79, 6, 5, 5, 6] {
        pass(secs(step)).await;
        left.push(fresh());
    }

    assert_eq!((left[0], left[4]), (1000, 0), "lives of 80 to 100 s");
    assert!(left.windows(2).all(|step| step[0] - step[1] < 400), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn s12_nodes_that_start_find_the_values_of_those_that_ended() {
    let cluster = Cluster::new();
    let first = numbers(&cluster.deaf());
    for key in 0..100 {
        first.get_or_load(&key, giving(key)).await.unwrap();
    }
    first.cache().close().await;
    let tally = Tally::default();

    let second = numbers(&cluster.deaf());
    for key in 0..100 {
        second.get_or_load(&key, tally.of(giving(key))).await.unwrap();
    }

    assert_eq!(tally.begun(), 0);
}

#[tokio::test(start_paused = true)]
async fn s12_a_warm_up_takes_at_most_half_of_the_load_limit() {
    let cache = alone_with(|builder| builder.load_limit(LoadLimit::concurrent(8).wait(secs(3600))));
    let (view, gate) = (numbers(&cache), Gate::closed());
    let warmed: JoinSet<_> = (0..20)
        .map(|key| {
            let (view, gate) = (view.clone(), gate.clone());
            async move {
                let load = move |keys: Vec<u64>| {
                    let gate = gate.clone();
                    async move {
                        gate.pass().await;
                        Ok::<_, Down>(keys.into_iter().map(|key| (key, key)).collect::<Vec<_>>())
                    }
                };
                view.warm(&[key], load).await
            }
        })
        .collect();

    quiet().await;

    assert_eq!(gate.came(), 4);
    gate.open();
    assert_eq!(soon(warmed.join_all()).await.into_iter().map(Result::unwrap).sum::<usize>(), 20);
}

#[tokio::test(start_paused = true)]
async fn s12_a_warm_up_leaves_no_value_that_was_invalidated_meanwhile() {
    let (view, gate) = (numbers(&alone()), Gate::closed());
    let (warming, stopped) = (view.clone(), gate.clone());
    let load = move |keys: Vec<u64>| {
        let gate = stopped.clone();
        async move {
            gate.pass().await;
            Ok::<_, Down>(keys.into_iter().map(|key| (key, 1)).collect::<Vec<_>>())
        }
    };
    let warm = tokio::spawn(async move { drop(warming.warm(&[1, 2], load).await) });
    gate.reached().await;

    view.invalidate(&1).await.complete().unwrap();
    gate.open();
    soon(warm).await.unwrap();

    assert_eq!((view.get(&1).await, view.get(&2).await.map(|value| *value)), (None, Some(1)));
}

#[tokio::test(start_paused = true)]
async fn attempts_on_a_source_that_is_down_are_one_per_call_after_another() {
    let (view, tally) = (numbers(&alone()), Tally::default());

    for _ in 0..3 {
        view.get_or_load(&1, tally.of(failing())).await.unwrap_err();
    }

    assert_eq!(tally.begun(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_a_thousand_with_three_hundred_cold_keys_calls_its_loader_once_for_these() {
    let view = numbers(&Cluster::new().deaf());
    for key in 0..700 {
        view.get_or_load(&key, giving(key)).await.unwrap();
    }
    let calls = Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = Arc::clone(&calls);
    let load = move |mut keys: Vec<u64>| {
        keys.sort_unstable();
        noted.lock().unwrap().push(keys.clone());
        async move { Ok::<_, Down>(keys.into_iter().map(|key| (key, key)).collect::<Vec<_>>()) }
    };

    let found = view.get_many_or_load(&(0..1000).collect::<Vec<_>>(), load).await.unwrap();

    assert_eq!(found.len(), 1000);
    assert_eq!(*calls.lock().unwrap(), [(700..1000).collect::<Vec<_>>()]);
}

#[tokio::test(start_paused = true)]
async fn overlapping_batches_share_the_loads_of_what_they_have_in_common() {
    let (view, gate) = (numbers(&alone()), Gate::closed());
    let loaded = Arc::new(std::sync::Mutex::new(Vec::new()));
    let batch = |keys: std::ops::Range<u64>| {
        let (view, gate, loaded) = (view.clone(), gate.clone(), Arc::clone(&loaded));
        tokio::spawn(async move {
            let load = move |keys: Vec<u64>| {
                let gate = gate.clone();
                loaded.lock().unwrap().extend(keys.iter().copied());
                async move {
                    gate.pass().await;
                    Ok::<_, Down>(keys.into_iter().map(|key| (key, key)).collect::<Vec<_>>())
                }
            };
            view.get_many_or_load(&keys.collect::<Vec<_>>(), load).await.unwrap().len()
        })
    };
    let (left, right) = (batch(0..10), batch(5..15));
    quiet().await;

    gate.open();

    assert_eq!((soon(left).await.unwrap(), soon(right).await.unwrap()), (10, 10));
    let mut loaded = std::mem::take(&mut *loaded.lock().unwrap());
    loaded.sort_unstable();
    assert_eq!(loaded, (0..15).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_value_says_what_its_load_waited_for() {
    let cache = alone_with(|builder| builder.load_limit(LoadLimit::concurrent(1)));
    let (view, tally) = (numbers(&cache), Tally::default());
    let slow = |value| {
        move |_: tierkeep_cache::LoadContext<u64>| -> Loading {
            Box::pin(async move {
                pass(millis(30)).await;
                Ok(Loaded::value(value))
            })
        }
    };

    let (first, second) = tokio::join!(view.fetch(&1, tally.of(slow(1))), view.fetch(&2, tally.of(slow(2))));
    let again = view.fetch(&2, tally.of(slow(3))).await;

    let waits = [first, second, again].map(|found| found.unwrap().waits);
    assert_eq!(waits.map(|waits| waits.turn()), [millis(0), millis(30), millis(0)]);
    assert!(waits.iter().all(|waits| waits.remote().is_zero() && waits.lease().is_zero() && !waits.remote_failed()));
}
