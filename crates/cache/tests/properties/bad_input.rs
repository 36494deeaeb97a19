//! What others put into the remote tier, and what callers ask for that cannot be: a miss or an error, counted.

use std::time::Duration;

use tierkeep_cache::remote::RemoteValue;
use tierkeep_cache::{Codec, CodecError, LoadError, LoadLimit, Loaded, Policy, Postcard, Tag, View};
use tokio::time::Instant;

use crate::fixture::{
    Answer, Cluster, Loading, alone, alone_with, answering, endless, exactly, giving, numbers, numbers_with, pass,
    quiet, secs, soon,
};
use crate::wire::Wire;

/// A node that sees a value of another node through `forge`.
async fn seeing(forge: impl Fn(RemoteValue) -> RemoteValue + Send + Sync + 'static) -> View<u64, u64> {
    let cluster = Cluster::new();
    numbers(&cluster.deaf()).get_or_load(&1, giving(1)).await.unwrap();
    let wire = Wire::to(&cluster.remote);
    wire.forge(forge);
    numbers(&alone_with(|builder| builder.remote(wire)))
}

/// It is a miss, it is counted, and a load repairs it.
async fn is_a_counted_miss(view: &View<u64, u64>, case: &str) {
    assert_eq!(view.get(&1).await, None, "{case}");
    assert_eq!(view.counts().undecodable, 1, "{case}");
    assert_eq!(*view.get_or_load(&1, giving(2)).await.unwrap(), 2, "{case}");
}

#[tokio::test(start_paused = true)]
async fn s20_an_envelope_cut_anywhere_is_a_counted_miss() {
    for length in 0..200 {
        let view = seeing(move |mut value| {
            let length = length.min(value.envelope.len() - 1);
            value.envelope.truncate(length);
            value
        })
        .await;

        is_a_counted_miss(&view, &format!("{length} bytes")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn s20_an_envelope_with_a_changed_byte_is_a_counted_miss() {
    for at in 0..200 {
        let view = seeing(move |mut value| {
            let at = at % value.envelope.len();
            value.envelope[at] ^= 0x55;
            value
        })
        .await;

        is_a_counted_miss(&view, &format!("byte {at}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn s20_foreign_bytes_are_a_counted_miss() {
    let megabyte = vec![0xff; 1 << 20];
    for foreign in [vec![], b"hello".to_vec(), b"TKC\x01".to_vec(), b"TKC\x02".repeat(100), megabyte] {
        let bytes = foreign.clone();
        let view = seeing(move |value| RemoteValue { envelope: bytes.clone(), ..value }).await;

        is_a_counted_miss(&view, &format!("{} bytes", foreign.len())).await;
    }
}

#[tokio::test(start_paused = true)]
async fn s20_another_layout_is_a_counted_miss() {
    let view = seeing(|mut value| {
        value.envelope[3] += 1;
        value
    })
    .await;

    is_a_counted_miss(&view, "layout 2").await;
}

#[tokio::test(start_paused = true)]
async fn s20_another_shape_of_the_type_is_a_counted_miss() {
    let cluster = Cluster::new();
    numbers(&cluster.deaf()).get_or_load(&1, giving(1)).await.unwrap();

    let newer = numbers_with(&cluster.deaf(), |view| view.codec(Postcard::shape(2)));

    is_a_counted_miss(&newer, "shape 2").await;
}

/// Says that it is the same format, and is not.
struct Liar;

impl Codec<u64> for Liar {
    fn fingerprint(&self) -> u64 {
        Codec::<u64>::fingerprint(&Postcard::shape(1))
    }

    fn encode(&self, _: &u64) -> Result<Vec<u8>, CodecError> {
        Err(CodecError::new("cannot"))
    }

    fn decode(&self, bytes: &[u8]) -> Result<u64, CodecError> {
        panic!("{} bytes are too many for me", bytes.len())
    }
}

#[tokio::test(start_paused = true)]
async fn s20_a_decoder_that_panics_is_a_counted_miss() {
    let cluster = Cluster::new();
    numbers(&cluster.deaf()).get_or_load(&1, giving(1)).await.unwrap();

    is_a_counted_miss(&numbers_with(&cluster.deaf(), |view| view.codec(Liar)), "panics").await;
}

#[tokio::test(start_paused = true)]
async fn a_value_that_cannot_be_encoded_is_counted_and_lives_in_memory() {
    let view = numbers_with(&Cluster::new().deaf(), |view| view.codec(Liar));

    view.get_or_load(&1, giving(1)).await.unwrap();

    assert_eq!((view.get(&1).await.as_deref(), view.counts().unencodable), (Some(&1), 1));
}

#[tokio::test(start_paused = true)]
async fn an_elapsed_time_beyond_the_life_is_a_miss() {
    for elapsed in [secs(300), secs(1 << 40), Duration::MAX] {
        let view = seeing(move |value| RemoteValue { elapsed: Some(elapsed), ..value }).await;

        assert_eq!(view.get(&1).await, None, "{elapsed:?}");
        assert_eq!(*view.get_or_load(&1, giving(2)).await.unwrap(), 2, "{elapsed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_that_says_it_weighs_a_gigabyte_is_given_and_not_stored() {
    for weight in [1 << 30, usize::MAX] {
        for most in [16 << 20, usize::MAX] {
            let policy = exactly(secs(100)).max_value_bytes(most);
            let view = alone().view::<u64, u64>("numbers").policy(policy).build_weighed(move |_| weight).unwrap();

            assert_eq!(*soon(view.get_or_load(&1, giving(7))).await.unwrap(), 7);

            assert_eq!((view.get(&1).await, view.counts().too_large), (None, 1), "{weight} of {most}");
            assert!(view.cache().state().memory_bytes < 1 << 20);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_over_the_limit_is_given_and_stored_in_no_tier() {
    let cluster = Cluster::new();
    let view = numbers_with(&cluster.deaf(), |view| view.policy(exactly(secs(100)).max_value_bytes(7)));

    assert_eq!(*view.get_or_load(&1, giving(7)).await.unwrap(), 7);

    assert_eq!((view.get(&1).await, view.counts().too_large, cluster.sizes()[1]), (None, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_key_of_a_megabyte_is_an_error_everywhere() {
    let cache = alone();
    let view = cache.view::<String, u64>("long").build().unwrap();
    let key = "k".repeat(1 << 20);

    let answer: Answer = view.get_or_load(&key, giving(1)).await;
    assert!(matches!(answer, Err(LoadError::KeyTooLong(length)) if length >= 1 << 20));
    let answer: Answer = view.get_or_load_here(&key, giving(1)).await;
    assert!(matches!(answer, Err(LoadError::KeyTooLong(_))));
    assert_eq!(view.get(&key).await, None);
    assert!(view.invalidate(&key).await.is_complete());
    assert!(view.put(&key, 1).await.refused.is_some());
    assert_eq!(view.counts().keys_too_long, 5);
}

#[tokio::test(start_paused = true)]
async fn a_tag_of_a_megabyte_is_a_tag_like_any_other() {
    let tag = || Tag::of("long", "t".repeat(1 << 20));
    let view = numbers_with(&alone(), move |view| view.tags(move |_| vec![tag()]));
    view.get_or_load(&1, giving(1)).await.unwrap();
    assert!(view.get(&1).await.is_some());

    view.cache().invalidate_tag(&Tag::of("long", "t".repeat(1 << 20))).await.complete().unwrap();

    assert_eq!(view.get(&1).await, None);
}

#[tokio::test(start_paused = true)]
async fn more_tags_than_a_value_may_have_keep_it_out() {
    let view = numbers(&Cluster::new().deaf());
    let loaded = (0..2000u64).fold(Loaded::value(1), |loaded, tag| loaded.tag(Tag::of("t", tag)));

    assert_eq!(*view.get_or_load(&1, answering(loaded)).await.unwrap(), 1);

    assert_eq!((view.get(&1).await, view.counts().too_large), (None, 1));
}

#[tokio::test(start_paused = true)]
async fn a_life_of_nothing_stores_nothing() {
    for both_tiers in [false, true] {
        let cache = if both_tiers { Cluster::new().deaf() } else { alone() };
        let view = numbers_with(&cache, |view| view.policy(exactly(Duration::ZERO)));

        assert_eq!(*view.get_or_load(&1, giving(1)).await.unwrap(), 1);

        assert_eq!(view.get(&1).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_life_of_a_year_is_cut_to_thirty_days() {
    for ttl in [secs(365 * 24 * 3600), Duration::MAX] {
        let cache = alone_with(|builder| builder.sweep_every(Duration::MAX));
        let view = numbers_with(&cache, |view| view.policy(exactly(ttl)));
        view.get_or_load(&1, giving(1)).await.unwrap();
        view.get_or_load(&2, answering(Loaded::value(2).ttl(ttl))).await.unwrap();

        pass(tierkeep_cache::MAX_TTL - secs(1)).await;
        assert!(view.peek(&1).is_some() && view.peek(&2).is_some());
        pass(secs(1)).await;
        assert!(view.peek(&1).is_none() && view.peek(&2).is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_of_all_times_are_times_like_any_other() {
    let long = Duration::MAX;
    let policy = Policy::ttl(long)
        .memory_ttl(long)
        .stale_while_revalidate(long)
        .stale_if_error(long)
        .negative(long)
        .loader_timeout(Some(long), long);
    let cluster = Cluster::new();
    let cache = cluster.deaf_with(|builder| builder.load_limit(LoadLimit::concurrent(1).wait(long)));
    let view = numbers_with(&cache, |view| view.policy(policy));

    assert_eq!(*soon(view.get_or_load(&1, giving(1))).await.unwrap(), 1);
    view.invalidate_below(&1, 1, long).await.complete().unwrap();
    assert_eq!(*soon(view.get_or_load(&1, answering(Loaded::value(2).version(1)))).await.unwrap(), 2);

    assert_eq!(view.get(&1).await.as_deref(), Some(&2));
}

#[tokio::test(start_paused = true)]
async fn a_loader_that_panics_before_its_first_poll_is_an_error() {
    let view = numbers(&Cluster::new().deaf());

    let answer: Answer = soon(view.get_or_load(&1, |_| -> Loading { panic!("at once") })).await;

    assert!(matches!(answer, Err(LoadError::Panicked(why)) if &*why == "at once"));
    assert_eq!(view.counts().load_failures, 1);
}

#[tokio::test(start_paused = true)]
async fn a_loader_that_never_ends_is_an_error_after_its_time_and_holds_nothing() {
    let cluster = Cluster::new();
    let cache = cluster.deaf();
    let (view, start) = (numbers(&cache), Instant::now());

    let answer: Answer = view.get_or_load(&1, endless()).await;

    assert!(matches!(answer, Err(LoadError::TimedOut(_))));
    quiet().await;
    assert_eq!((start.elapsed().as_secs(), cache.state().loads_running, cluster.sizes()[1]), (30, 0, 0));
}

#[test]
fn a_runtime_that_ends_with_loads_in_flight_leaves_a_cache_that_works_on_another() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let cache = tierkeep_cache::Cache::builder("t").build().unwrap();
    let view = numbers(&cache);
    let first = runtime();
    first.block_on(async {
        let view = view.clone();
        drop(tokio::spawn(async move { drop(view.get_or_load(&1, endless()).await) }));
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    });

    drop(first);

    let value = runtime().block_on(async { view.get_or_load(&1, giving(7)).await.map(|value| *value) });
    assert_eq!((value.ok(), cache.state().loads_running), (Some(7), 0));
}

#[tokio::test(start_paused = true)]
async fn a_value_whose_weighing_panics_is_given_and_not_stored() {
    let weigh = |_: &u64| panic!("no scales");
    let view = alone().view::<u64, u64>("numbers").build_weighed(weigh).unwrap();

    let answer: Answer = soon(view.get_or_load(&1, giving(1))).await;

    assert_eq!(answer.ok().as_deref(), Some(&1));
    assert_eq!((view.peek(&1).is_some(), view.counts().too_large), (false, 1));
}

#[tokio::test(start_paused = true)]
async fn a_closed_cache_answers_with_errors() {
    let cache = alone();
    let view = numbers(&cache);
    cache.close().await;

    let answer: Answer = soon(view.get_or_load(&1, giving(1))).await;

    assert!(matches!(&answer, Err(LoadError::Closed) | Ok(_)), "{answer:?}");
}
