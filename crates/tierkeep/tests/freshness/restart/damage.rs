//! Whatever has become of what the database keeps: a cold start, which is counted, and never a crash.

use std::time::Duration;

use tierkeep::tiers::Tier;
use tierkeep_cache::warmup::Ready;
use tierkeep_db::Dialect;

use super::crowd::{Member, filled, store};
use super::{kept, on_both};
use crate::place::Place;

on_both!(
    what_is_damaged_is_a_cold_start,
    what_another_installation_kept_is_a_cold_start,
    a_save_that_is_cut_short_leaves_a_whole_one
);

const RENAME: &str = "update tierkeep_state set installation = '7f2c1f4e-0000-4000-8000-000000000000'";

/// A database that keeps what was hot: one question.
async fn known(dialect: Dialect) -> (Place, Vec<u8>) {
    let place = filled(dialect).await;
    let node = Member::learning(&place, None).await;
    node.ask(0).await;
    node.stop().await;
    let bytes = kept(&place).await.unwrap();
    (place, bytes)
}

/// Starts a node; whether it refused what was kept, and whether the question of before is in its memory.
async fn start(place: &Place) -> (u64, bool) {
    let node = Member::learning(place, None).await;
    let state = node.tiers.state().unwrap().learned.unwrap();
    assert!(state.ready.is_some());
    let tier = node.ask(0).await;
    // what is learnt from here on replaces what is damaged
    node.stop().await;
    (state.counts.refused, tier == Tier::L1)
}

async fn what_is_damaged_is_a_cold_start(dialect: Dialect) {
    let (place, whole) = known(dialect).await;
    let flipped = |place: usize| {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        bytes
    };
    let damaged = [
        vec![],
        whole[..whole.len() / 2].to_vec(),
        whole[..whole.len() - 1].to_vec(),
        flipped(4),
        flipped(20),
        flipped(whole.len() - 1),
    ];
    for bytes in damaged {
        let store = store(&place).await;
        store.save_snapshot("hot-keys", &bytes).await.unwrap();
        store.close().await;

        assert_eq!(start(&place).await, (1, false), "{} bytes", bytes.len());
        assert_eq!(start(&place).await, (0, true), "after a save");
    }
}

async fn what_another_installation_kept_is_a_cold_start(dialect: Dialect) {
    let (place, _) = known(dialect).await;

    place.run(RENAME).await;

    assert_eq!(start(&place).await, (1, false));
}

async fn a_save_that_is_cut_short_leaves_a_whole_one(dialect: Dialect) {
    let (place, whole) = known(dialect).await;
    let saving = store(&place).await;
    let other = vec![7; 300_000];
    let mut cut = 0;
    for round in 0..60_u64 {
        let (limit, bytes) = (Duration::from_micros(round * 50), if round % 2 == 0 { &other } else { &whole });
        cut += u32::from(tokio::time::timeout(limit, saving.save_snapshot("hot-keys", bytes)).await.is_err());

        let kept = saving.snapshot("hot-keys").await.unwrap().unwrap();
        assert!(kept == whole || kept == other, "{} bytes, neither of the two", kept.len());
    }
    // one whose end was not waited for may still be under way
    saving.close().await;

    assert!(cut > 0, "none was cut short");
    assert!([0, 1].contains(&start(&place).await.0));
    assert_eq!(start(&place).await, (0, true));
}

#[tokio::test]
async fn a_node_is_ready_at_once_where_nothing_was_kept() {
    let place = filled(Dialect::Sqlite).await;
    let node = Member::learning(&place, None).await;

    let state = node.tiers.state().unwrap().learned.unwrap();

    assert_eq!((state.ready, state.counts.refused, state.snapshot_age), (Some(Ready::Done), 0, None));
    node.stop().await;
}
