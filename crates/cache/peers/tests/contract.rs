//! Every contestant is used in a way in which it caches, and forgets when told.
//!
//! Without this a wrong key in an invalidation would look like a stale fill.

use std::sync::Arc;
use std::time::Duration;

use tierkeep_cache_peers::{Kept, Lookup, Peer, Reads, Source, contestants};
use tierkeep_testkit::RedisServer;

#[tokio::test]
async fn stored_key_is_not_loaded_again() {
    for_each(|peer| async move {
        let source = Source::answering("v1", Duration::ZERO);

        let first = peer.get_or_load("key", Arc::clone(&source)).await.unwrap();
        let second = peer.get_or_load("key", Arc::clone(&source)).await.unwrap();

        assert_eq!((first.as_ref(), second.as_ref(), source.loads()), ("v1", "v1", 1), "{}", peer.name());
    })
    .await;
}

#[tokio::test]
async fn invalidated_key_is_loaded_again() {
    for_each(|peer| async move {
        let source = Source::answering("v1", Duration::ZERO);
        peer.get_or_load("key", Arc::clone(&source)).await.unwrap();
        source.change("v2");

        peer.invalidate("key").await.unwrap();

        assert!(matches!(peer.kept_below("key").await.unwrap(), None | Some(Kept::Nothing)), "{}", peer.name());
        let value = peer.get_or_load("key", Arc::clone(&source)).await.unwrap();
        assert_eq!((value.as_ref(), source.loads()), ("v2", 2), "{}", peer.name());
    })
    .await;
}

#[tokio::test]
async fn failed_load_is_an_error_and_is_tried_again() {
    let redis = RedisServer::launch().await.unwrap();
    for peer in contestants::of_single_flight(&redis).await.unwrap() {
        let source = Source::failing(Duration::ZERO);

        let first = peer.get_or_load("key", Arc::clone(&source)).await;
        let second = peer.get_or_load("key", Arc::clone(&source)).await;

        assert!(first.is_err() && second.is_err(), "{}", peer.name());
        assert_eq!(source.loads(), 2, "{}", peer.name());
    }
}

#[tokio::test]
async fn every_lookup_finds_what_is_stored() {
    let redis = RedisServer::launch().await.unwrap();
    let keys = ["one".to_owned(), "two".to_owned()];
    for peer in contestants::of_hits(100, &redis).await.unwrap() {
        let source = Source::answering("value", Duration::ZERO);
        for key in &keys {
            peer.get_or_load(key, Arc::clone(&source)).await.unwrap();
        }
        peer.settle().await;

        for &(name, lookup) in peer.lookups() {
            let reads = Reads { keys: &keys, order: &[0, 1, 1], source: &source };
            assert_eq!(peer.read_all(lookup, reads).await.unwrap(), 3 * "value".len(), "{name}");
        }

        assert_eq!(source.loads(), 2, "{}", peer.name());
    }
}

#[tokio::test]
async fn plain_lookup_does_not_load() {
    let redis = RedisServer::launch().await.unwrap();
    let keys = ["absent".to_owned()];
    for peer in contestants::of_hits(100, &redis).await.unwrap() {
        let source = Source::answering("value", Duration::ZERO);
        let is_plain = |(_, lookup): &&(&str, Lookup)| *lookup == Lookup::Get;

        for &(name, lookup) in peer.lookups().iter().filter(is_plain) {
            let reads = Reads { keys: &keys, order: &[0], source: &source };
            assert_eq!(peer.read_all(lookup, reads).await.unwrap(), 0, "{name}");
        }

        assert_eq!(source.loads(), 0, "{}", peer.name());
    }
}

/// Gives every contestant, with an empty cache, to `check`.
async fn for_each<F: Future<Output = ()>>(check: impl Fn(Arc<dyn Peer>) -> F) {
    let redis = RedisServer::launch().await.expect("a Redis server starts");
    for peer in contestants::of_stale_fill(&redis).await.expect("all caches can be made") {
        check(peer).await;
    }
}
