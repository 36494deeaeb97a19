//! S7, S9, S20: what tags forget, and what they cost.

use tierkeep_cache::{Cache, Loaded, RawBytes, Tag, View};

use crate::fixture::{Cluster, alone, answering, exactly, giving, numbers, numbers_with, pass, quiet, secs};

fn carrying(tags: &[Tag]) -> Loaded<u64> {
    tags.iter().fold(Loaded::value(1), |loaded, tag| loaded.tag(tag.clone()))
}

async fn fill(view: &View<u64, u64>, key: u64, tags: &[Tag]) {
    // Twice: a tag that is new to the remote tier cannot prove that it is current at once.
    for _ in 0..2 {
        view.get_or_load(&key, answering(carrying(tags))).await.unwrap();
    }
}

fn left() -> Tag {
    Tag::named("left")
}

fn right() -> Tag {
    Tag::named("right")
}

/// Keys 0 to 3: no tag, left, right, both.
async fn four(cache: &Cache) -> View<u64, u64> {
    let view = numbers(cache);
    for (key, tags) in [(0, vec![]), (1, vec![left()]), (2, vec![right()]), (3, vec![left(), right()])] {
        fill(&view, key, &tags).await;
    }
    view
}

/// Which of the four are left, for this node and for one that starts now.
async fn kept(cluster: Option<&Cluster>, view: &View<u64, u64>) -> Vec<Vec<u64>> {
    let mut views = vec![view.clone()];
    views.extend(cluster.map(|cluster| numbers(&cluster.deaf())));
    let mut kept = Vec::new();
    for view in views {
        let mut keys = Vec::new();
        for key in 0..4 {
            if view.get(&key).await.is_some() {
                keys.push(key);
            }
        }
        kept.push(keys);
    }
    kept
}

#[tokio::test(start_paused = true)]
async fn any_of_several_tags_forgets_what_carries_one_of_them() {
    let cluster = Cluster::new();
    let view = four(&cluster.deaf()).await;

    view.cache().invalidate_tags(&[left(), right()]).await.complete().unwrap();

    assert_eq!(kept(Some(&cluster), &view).await, [[0], [0]]);
}

#[tokio::test(start_paused = true)]
async fn all_of_several_tags_forgets_only_what_carries_every_one() {
    let cluster = Cluster::new();
    let view = four(&cluster.deaf()).await;

    view.cache().invalidate_tags_all(&[left(), right()]).await.complete().unwrap();

    assert_eq!(kept(Some(&cluster), &view).await, [[0, 1, 2], [0, 1, 2]]);
}

#[tokio::test(start_paused = true)]
async fn all_of_no_tags_forgets_nothing() {
    let view = four(&alone()).await;

    view.cache().invalidate_tags_all(&[]).await.complete().unwrap();

    assert_eq!(kept(None, &view).await, [[0, 1, 2, 3]]);
}

#[tokio::test(start_paused = true)]
async fn what_was_loaded_after_a_rule_is_kept() {
    let cluster = Cluster::new();
    let view = four(&cluster.deaf()).await;
    view.cache().invalidate_tags_all(&[left(), right()]).await.complete().unwrap();

    fill(&view, 3, &[left(), right()]).await;

    assert_eq!(kept(Some(&cluster), &view).await, [[0, 1, 2, 3], [0, 1, 2, 3]]);
}

#[tokio::test(start_paused = true)]
async fn more_rules_than_there_is_room_for_forget_more_and_never_less() {
    for cluster in [None, Some(Cluster::new())] {
        let cache = cluster.as_ref().map_or_else(alone, Cluster::deaf);
        let view = numbers(&cache);
        for key in 0..40u64 {
            fill(&view, key, &[left(), Tag::of("each", key)]).await;
        }

        for key in 0..40u64 {
            cache.invalidate_tags_all(&[left(), Tag::of("each", key)]).await.complete().unwrap();
            assert_eq!(view.get(&key).await, None, "rule {key}");
        }

        let other = cluster.as_ref().map(|cluster| numbers(&cluster.deaf()));
        for key in 0..40 {
            assert_eq!(view.get(&key).await, None);
            if let Some(other) = &other {
                assert_eq!(other.get(&key).await, None);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn clearing_a_view_leaves_the_others() {
    let cluster = Cluster::new();
    let cache = cluster.deaf();
    let view = numbers(&cache);
    let other = cache.view::<u64, Vec<u8>>("other").codec(RawBytes).build().unwrap();
    view.get_or_load(&1, giving(1)).await.unwrap();
    other.put(&1, vec![1]).await.receipt.complete().unwrap();

    view.clear().await.complete().unwrap();

    assert_eq!((view.get(&1).await, other.get(&1).await.as_deref()), (None, Some(&vec![1])));
}

#[tokio::test(start_paused = true)]
async fn clearing_the_cache_forgets_every_view() {
    let cluster = Cluster::new();
    let view = four(&cluster.deaf()).await;

    view.cache().clear().await.complete().unwrap();

    assert_eq!(kept(Some(&cluster), &view).await, [[0u64; 0], []]);
}

#[tokio::test(start_paused = true)]
async fn a_hard_invalidation_after_a_soft_one_is_hard() {
    let cache = alone();
    let view = four(&cache).await;
    cache.invalidate_tags_softly(&[left()]).await.complete().unwrap();

    cache.invalidate_tag(&left()).await.complete().unwrap();

    assert!(view.peek(&1).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_soft_invalidation_after_a_hard_one_revives_nothing() {
    let cluster = Cluster::new();
    let view = four(&cluster.deaf()).await;
    view.cache().invalidate_tag(&left()).await.complete().unwrap();

    view.cache().invalidate_tags_softly(&[left()]).await.complete().unwrap();

    assert_eq!(kept(Some(&cluster), &view).await, [[0, 2], [0, 2]]);
}

#[tokio::test(start_paused = true)]
async fn s7_a_tag_record_that_is_evicted_makes_its_values_misses() {
    let cluster = Cluster::new();
    four(&cluster.deaf()).await;

    cluster.remote.with(|_, slots| slots.evict_record(left().id()));

    assert_eq!(kept(None, &numbers(&cluster.deaf())).await, [[0, 2]]);
}

#[tokio::test(start_paused = true)]
async fn s7_a_tag_record_that_is_made_anew_revives_nothing() {
    let cluster = Cluster::new();
    let view = four(&cluster.deaf()).await;
    view.cache().invalidate_tag(&left()).await.complete().unwrap();
    cluster.remote.with(|_, slots| slots.evict_record(left().id()));

    fill(&view, 9, &[left()]).await;

    let other = numbers(&cluster.deaf());
    assert_eq!((kept(None, &other).await, other.get(&9).await.is_some()), (vec![vec![0, 2]], true));
}

#[tokio::test(start_paused = true)]
async fn s7_every_record_lost_at_once_is_a_cold_cache_and_no_more() {
    let cluster = Cluster::new();
    let view = four(&cluster.deaf()).await;
    let everything = [Tag::named("tierkeep/everything"), Tag::of("tierkeep/view", "numbers"), left(), right()];
    cluster.remote.with(|_, slots| everything.iter().for_each(|tag| slots.evict_record(tag.id())));

    let other = numbers(&cluster.deaf());
    assert_eq!(kept(None, &other).await, [[0u64; 0]]);
    fill(&other, 1, &[left()]).await;

    assert_eq!(kept(None, &other).await, [[1]]);
    drop(view);
}

#[tokio::test(start_paused = true)]
async fn s9_after_everything_expired_nothing_is_left_in_the_remote_tier() {
    let cluster = Cluster::new();
    let view = numbers_with(&cluster.deaf(), |view| view.policy(exactly(secs(100))));
    for key in 0..500u64 {
        fill(&view, key, &[left(), Tag::of("each", key)]).await;
    }

    pass(secs(101)).await;
    assert_eq!(cluster.sizes()[0], 0);
    // Twice the life, and the margin.
    pass(secs(2 * 100 + 3600)).await;

    assert_eq!(cluster.sizes(), [0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn s9_what_a_tag_costs_does_not_grow_with_what_carries_it() {
    let cluster = Cluster::new();
    let view = numbers(&cluster.deaf());
    fill(&view, 0, &[left()]).await;
    let before = cluster.sizes()[3];

    for key in 1..500 {
        fill(&view, key, &[left()]).await;
    }

    assert_eq!(cluster.sizes()[3], before);
}

#[tokio::test(start_paused = true)]
async fn s20_a_value_stored_by_code_that_knew_fewer_tags_is_a_miss() {
    let cluster = Cluster::new();
    numbers(&cluster.deaf()).get_or_load(&1, giving(1)).await.unwrap();

    let newer = numbers_with(&cluster.deaf(), |view| view.tags(|_| vec![left()]));

    assert_eq!(newer.get(&1).await, None);
}

#[tokio::test(start_paused = true)]
async fn s20_a_value_stored_by_code_that_knew_more_tags_is_still_bound_to_them() {
    let cluster = Cluster::new();
    let newer = numbers_with(&cluster.deaf(), |view| view.tags(|_| vec![left()]));
    newer.get_or_load(&1, giving(1)).await.unwrap();
    let older = numbers(&cluster.deaf());
    older.get(&1).await.unwrap();

    older.cache().invalidate_tag(&left()).await.complete().unwrap();
    quiet().await;

    assert_eq!(older.get(&1).await, None);
}
