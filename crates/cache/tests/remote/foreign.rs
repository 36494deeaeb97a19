//! What others wrote at our keys: it counts as absent, and never spoils a batch.

use tierkeep_cache::bus::{Announcement, Bus as _, NodeId, Notice};
use tierkeep_cache::remote::{
    Claim, Fill, Filled, Hold, KeyInvalidation, LeaseAnswer, LeaseRequest, LeaseToken, Refused, RemoteKey,
    RemoteTier as _, StampRequest,
};
use tierkeep_cache::{Severity, Stamps, TagId};
use tokio::time::timeout;

use super::{MARGIN, World, entry_name, tag_name};

const LONG: std::time::Duration = std::time::Duration::from_secs(1000);

/// Plants something at a key by other means than ours.
async fn plant(world: &World, name: &[u8], what: usize) {
    world.run(&[b"DEL", name]).await;
    let noise = vec![0xa7; 1 << 20];
    match what {
        0 => world.run(&[b"SET", name, b""]).await,
        1 => world.run(&[b"SET", name, b"short"]).await,
        2 => world.run(&[b"SET", name, &noise]).await,
        3 => world.run(&[b"RPUSH", name, b"a list"]).await,
        4 => world.run(&[b"HSET", name, b"a", b"hash"]).await,
        // The right length for each of ours, and nothing right in it.
        5 => world.run(&[b"SET", name, &noise[..18]]).await,
        6 => world.run(&[b"SET", name, &noise[..25]]).await,
        _ => world.run(&[b"SET", name, &[0; 40]]).await,
    }
}

const PLANTS: usize = 8;

#[tokio::test]
async fn foreign_values_are_absent_and_are_loaded_over() {
    let world = World::new().await;
    let tier = world.redis.tier();
    let keys: Vec<RemoteKey> = (0..PLANTS).map(|n| RemoteKey::from_bytes(&[n as u8])).collect();
    for (what, key) in keys.iter().enumerate() {
        for part in ["v", "l", "h"] {
            plant(&world, &entry_name(part, key), what).await;
        }
    }

    let read = tier.read(&keys, &[]).await.unwrap();
    let leases: Vec<_> = keys
        .iter()
        .map(|key| LeaseRequest { key: key.clone(), token: LeaseToken(1), lease: LONG, claim: Claim::IfAbsent })
        .collect();
    let acquired = tier.acquire(&leases, &[]).await.unwrap();
    let fills: Vec<_> = keys
        .iter()
        .map(|key| Fill {
            key: key.clone(),
            token: LeaseToken(1),
            envelope: vec![1],
            ttl: LONG,
            version: Some(1),
            tags: Vec::new(),
            keep: LONG,
            refused: Refused::LeaveAlone,
        })
        .collect();
    let filled = tier.fill(&fills).await.unwrap();

    assert_eq!(read.values, vec![None; PLANTS]);
    assert_eq!(acquired.leases, vec![LeaseAnswer::Granted; PLANTS]);
    assert_eq!(filled, vec![Filled::Stored; PLANTS]);
}

#[tokio::test]
async fn foreign_values_are_invalidated_like_any() {
    let world = World::new().await;
    let tier = world.redis.tier();
    let keys: Vec<RemoteKey> = (0..PLANTS).map(|n| RemoteKey::from_bytes(&[n as u8])).collect();
    for severity in [Severity::Soft, Severity::Hard] {
        for (what, key) in keys.iter().enumerate() {
            for part in ["v", "l", "h"] {
                plant(&world, &entry_name(part, key), what).await;
            }
        }
        let hold = Some(Hold { minimum: 1, period: LONG });
        let all: Vec<_> = keys.iter().map(|key| KeyInvalidation { key: key.clone(), severity, hold }).collect();

        tier.invalidate(&all).await.unwrap();

        assert_eq!(tier.read(&keys, &[]).await.unwrap().values, vec![None; PLANTS]);
    }
}

#[tokio::test]
async fn foreign_records_are_replaced() {
    let world = World::new().await;
    let tier = world.redis.tier();
    let tags: Vec<TagId> = (0..PLANTS - 1).map(|n| TagId::from_bytes([n as u8; 16])).collect();
    for (what, tag) in tags.iter().enumerate() {
        plant(&world, &tag_name(*tag), what).await;
    }
    let stamps = Stamps { hard: 5, soft: 6 };

    let read = tier.read(&[], &tags).await.unwrap();
    let requests: Vec<_> = tags.iter().map(|tag| StampRequest { tag: *tag, proposed: stamps, keep: LONG }).collect();
    let acquired = tier.acquire(&[], &requests).await.unwrap();

    assert_eq!(read.stamps, vec![None; PLANTS - 1]);
    assert!(acquired.stamps.iter().all(|record| record.stamps == stamps), "{:?}", acquired.stamps);
}

#[tokio::test]
async fn foreign_counter_and_foreign_state_of_the_bus_are_begun_anew() {
    let world = World::new().await;
    let bus = world.redis.bus();
    let notice = Notice { sender: NodeId(1), severity: Severity::Hard, targets: Vec::new() };
    world.run(&[b"RPUSH", b"p:bumps", b"a list"]).await;
    world.run(&[b"SET", b"p:bus:0:state", b"a string"]).await;

    let acquired = world.redis.tier().acquire(&[], &[]).await.unwrap();
    let announced = bus.announce(&Announcement { notice, strict: true }).await.unwrap();

    assert!(acquired.bumps.is_some_and(|bumps| bumps > 0));
    assert_eq!(announced.number, 1);
}

#[tokio::test]
async fn foreign_message_ends_the_subscription() {
    let world = World::new().await;
    for payload in [&b""[..], b"hello", b"N", b"E0000", b"C1234567890123456X"] {
        let mut messages = world.redis.bus().subscribe().await.unwrap();

        world.run(&[b"PUBLISH", b"p:bus:0", payload]).await;

        assert_eq!(timeout(MARGIN, messages.recv()).await.unwrap(), None);
    }
}
