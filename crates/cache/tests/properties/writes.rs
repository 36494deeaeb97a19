//! S11, S15, S16, S19: writes leave nothing older behind, in whatever order they end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tierkeep_cache::{Cache, FillRefusal, LoadContext, Loaded, View};

use crate::fixture::{
    Cluster, Down, Gate, alone, answering, exactly, giving, numbers, numbers_with, pass, quiet, secs, soon,
};

const KEY: u64 = 1;

fn both_and_memory() -> [(Option<Cluster>, Cache); 2] {
    let cluster = Cluster::new();
    let cache = cluster.deaf();
    [(None, alone()), (Some(cluster), cache)]
}

#[tokio::test(start_paused = true)]
async fn s11_a_write_whose_caller_goes_away_is_in_the_source_once_and_in_the_cache() {
    for (_, cache) in both_and_memory() {
        let (view, source, gate) = (numbers(&cache), Arc::new(AtomicU64::new(0)), Gate::closed());
        let (written, stopped) = (Arc::clone(&source), gate.clone());
        let write = async move {
            stopped.pass().await;
            written.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Down>(7)
        };
        let writing = view.clone();
        let caller = tokio::spawn(async move { drop(writing.write_through(&KEY, write).await) });
        gate.reached().await;

        caller.abort();
        gate.open();
        quiet().await;

        assert_eq!((source.load(Ordering::SeqCst), view.get(&KEY).await.as_deref()), (1, Some(&7)));
    }
}

#[tokio::test(start_paused = true)]
async fn s11_a_node_reads_its_own_write() {
    for (_, cache) in both_and_memory() {
        let view = numbers(&cache);
        view.get_or_load(&KEY, giving(1)).await.unwrap();

        let written = view.write_through(&KEY, async { Ok::<_, Down>(2) }).await.unwrap();

        assert_eq!((written.refused, view.get(&KEY).await.as_deref()), (None, Some(&2)));
    }
}

#[tokio::test(start_paused = true)]
async fn s15_of_two_writes_that_overlap_the_cache_has_the_one_that_the_source_has_or_none() {
    // Who writes to the source first, and who ends first.
    for (first, ends_first) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        for (cluster, cache) in both_and_memory() {
            let (view, source) = (numbers(&cache), Arc::new(AtomicU64::new(0)));
            let gates = [[Gate::closed(), Gate::closed()], [Gate::closed(), Gate::closed()]];
            let writers: Vec<_> = (0..2)
                .map(|writer| {
                    let (view, source, [before, after]) = (view.clone(), Arc::clone(&source), gates[writer].clone());
                    tokio::spawn(async move {
                        let value = 10 + writer as u64;
                        let write = async move {
                            before.pass().await;
                            source.store(value, Ordering::SeqCst);
                            after.pass().await;
                            Ok::<_, Down>(value)
                        };
                        drop(view.write_through(&KEY, write).await);
                    })
                })
                .collect();
            for [before, _] in &gates {
                before.reached().await;
            }
            for writer in [first, 1 - first] {
                gates[writer][0].open();
                gates[writer][1].reached().await;
            }
            for writer in [ends_first, 1 - ends_first] {
                gates[writer][1].open();
                quiet().await;
            }
            for writer in writers {
                soon(writer).await.unwrap();
            }

            let now = source.load(Ordering::SeqCst);
            let mut seen = vec![view.get(&KEY).await.map(|value| *value)];
            if let Some(cluster) = &cluster {
                seen.push(cluster.remote_value(KEY).await);
            }
            assert!(seen.iter().all(|value| value.is_none_or(|value| value == now)), "{seen:?}, the source has {now}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s15_a_write_leaves_no_value_of_a_load_that_overlaps_it() {
    for (cluster, cache) in both_and_memory() {
        let (view, load, write) = (numbers(&cache), Gate::closed(), Gate::closed());
        let (reading, read) = (view.clone(), crate::fixture::held(1, &load));
        let reader = tokio::spawn(async move { drop(reading.get_or_load(&KEY, read).await) });
        load.reached().await;
        let (writing, stopped) = (view.clone(), write.clone());
        let writer = tokio::spawn(async move {
            let write = async move {
                stopped.pass().await;
                Ok::<_, Down>(2)
            };
            drop(writing.write_through(&KEY, write).await);
        });
        write.reached().await;

        write.open();
        soon(writer).await.unwrap();
        load.open();
        soon(reader).await.unwrap();

        let seen = [
            view.get(&KEY).await.map(|value| *value),
            match &cluster {
                Some(cluster) => cluster.remote_value(KEY).await,
                None => None,
            },
        ];
        assert!(!seen.contains(&Some(1)), "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn s15_an_older_version_does_not_replace_a_newer_one() {
    for (cluster, cache) in both_and_memory() {
        let view = numbers_with(&cache, |view| view.policy(exactly(secs(100)).stale_while_revalidate(secs(100))));
        view.get_or_load(&KEY, answering(Loaded::value(2).version(2))).await.unwrap();
        view.invalidate_softly(&KEY).await.complete().unwrap();

        view.get_or_load(&KEY, answering(Loaded::value(1).version(1))).await.unwrap();
        quiet().await;

        let held = view.peek(&KEY).and_then(|found| found.value).map(|value| *value);
        assert_ne!(held, Some(1), "both tiers: {}", cluster.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn s16_a_value_from_a_lagging_replica_is_not_stored_after_an_invalidation_with_a_version() {
    for (cluster, cache) in both_and_memory() {
        let view = numbers(&cache);
        view.invalidate_below(&KEY, 5, secs(10)).await.complete().unwrap();

        for lagging in [Loaded::value(4).version(4), Loaded::value(0)] {
            view.get_or_load(&KEY, answering(lagging)).await.unwrap();
            assert_eq!(view.get(&KEY).await, None);
            if let Some(cluster) = &cluster {
                assert_eq!(cluster.remote_value(KEY).await, None);
            }
        }
        view.get_or_load(&KEY, answering(Loaded::value(5).version(5))).await.unwrap();

        assert_eq!(view.get(&KEY).await.as_deref(), Some(&5));
    }
}

#[tokio::test(start_paused = true)]
async fn s16_a_loader_is_told_the_version_that_is_asked_for_until_the_hold_ends() {
    let view = numbers(&alone());
    view.invalidate_below(&KEY, 5, secs(10)).await.complete().unwrap();
    let asked = async |context: LoadContext<u64>| Ok::<_, Down>(context.minimum_version().unwrap_or(0));

    assert_eq!(*view.get_or_load(&KEY, asked).await.unwrap(), 5);
    pass(secs(10)).await;
    assert_eq!(*view.get_or_load(&KEY, asked).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn s16_other_nodes_keep_to_the_version_too() {
    let cluster = Cluster::new();
    let (near, far) = (numbers(&cluster.deaf()), numbers(&cluster.deaf()));
    near.invalidate_below(&KEY, 5, secs(10)).await.complete().unwrap();

    far.get_or_load(&KEY, answering(Loaded::value(4).version(4))).await.unwrap();

    assert_eq!((far.get(&KEY).await, near.get(&KEY).await), (None, None));
}

/// What any tier has of the key.
async fn anywhere(cluster: Option<&Cluster>, view: &View<u64, u64>) -> [Option<u64>; 2] {
    let remote = match cluster {
        Some(cluster) => cluster.remote_value(KEY).await,
        None => None,
    };
    [view.peek(&KEY).and_then(|found| found.value).map(|value| *value), remote]
}

#[tokio::test(start_paused = true)]
async fn s19_a_write_that_no_tier_takes_leaves_no_older_value() {
    for (cluster, cache) in both_and_memory() {
        let view = numbers_with(&cache, |view| view.policy(exactly(secs(100)).max_value_bytes(8)));
        let refused = Loaded::value(2).ttl(secs(0));
        for step in 0..2 {
            view.get_or_load(&KEY, giving(1)).await.unwrap();
            let refused = refused.clone();
            let written = match step {
                0 => view.put(&KEY, refused).await,
                _ => view.write_through(&KEY, async move { Ok::<_, Down>(refused) }).await.unwrap(),
            };

            assert_eq!(written.refused, Some(FillRefusal::NotWanted), "step {step}");
            assert_eq!(anywhere(cluster.as_ref(), &view).await, [None, None], "step {step}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s19_a_write_whose_source_fails_leaves_no_older_value() {
    for (cluster, cache) in both_and_memory() {
        let view = numbers(&cache);
        for step in 0..3 {
            view.get_or_load(&KEY, giving(1)).await.unwrap();
            match step {
                0 => assert!(view.write_through(&KEY, async { Err::<u64, _>(Down) }).await.is_err()),
                1 => assert!(view.write_around(&KEY, async { Err::<u64, _>(Down) }).await.is_err()),
                _ => {
                    let panics = async { panic!("half-way") };
                    assert!(view.write_through::<u64, Down>(&KEY, panics).await.is_err());
                }
            }

            assert_eq!(anywhere(cluster.as_ref(), &view).await, [None, None], "step {step}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s19_after_a_put_every_tier_has_the_new_value() {
    for (cluster, cache) in both_and_memory() {
        let view = numbers(&cache);
        view.get_or_load(&KEY, giving(1)).await.unwrap();

        view.put(&KEY, 2).await.receipt.complete().unwrap();

        let remote = cluster.is_some().then_some(2);
        assert_eq!(anywhere(cluster.as_ref(), &view).await, [Some(2), remote]);
    }
}
