//! Database transactions: S14.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use tierkeep_cache::{Cache, Event, Loaded, Tag};

use crate::orders::{Points, every_order, some_orders};
use crate::stage::{Cluster, KEY, Numbers, Truth, cache, loading, numbers};

/// What becomes of the transaction, and what is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Commit,
    Rollback,
    /// The invalidation comes before the commit.
    TooEarly,
    /// The transaction reads through the cache, and rolls back.
    Unprotected,
}

/// A transaction that changes the truth to 2 and reads its own change; `true`: it saw it.
async fn transaction(cache: Cache, view: Numbers, truth: Truth, points: Points, course: Course) -> bool {
    points.stop("begin").await;
    let pending = cache.pending();
    let own = 2;
    pending.touch(&view, &KEY);
    points.stop("written").await;
    let read = match course {
        Course::Unprotected => *view.get_or_load(&KEY, async move |_| Ok::<_, String>(own)).await.unwrap(),
        _ => *pending.get_or_load(&view, &KEY, || async { Ok::<_, String>(own) }).await.unwrap(),
    };
    points.stop("read").await;
    match course {
        Course::Commit => {
            truth.set(own);
            points.stop("committed").await;
            pending.committed().await.complete().unwrap();
        }
        Course::TooEarly => {
            pending.committed().await.complete().unwrap();
            points.stop("not committed").await;
            truth.set(own);
        }
        Course::Rollback | Course::Unprotected => drop(pending),
    }
    read == own
}

#[derive(Clone, Default)]
struct Seen {
    /// What readers were given.
    values: Arc<Mutex<Vec<u64>>>,
    own: Arc<Mutex<Option<bool>>>,
}

fn begin(view: &Numbers, other: &Numbers, cache: &Cache, truth: &Truth, points: &Points, course: Course) -> Seen {
    let seen = Seen::default();
    let (running, own) =
        (transaction(cache.clone(), view.clone(), truth.clone(), points.clone(), course), seen.clone());
    tokio::spawn(async move { *own.own.lock().unwrap() = Some(running.await) });
    for view in [view, other] {
        let (view, load, points, seen) = (view.clone(), loading(truth, points), points.clone(), seen.clone());
        tokio::spawn(async move {
            points.stop("reader").await;
            let value = view.get_or_load(&KEY, load).await.unwrap();
            seen.values.lock().unwrap().push(*value);
        });
    }
    seen
}

async fn judge(views: &[&Numbers], truth: &Truth, seen: &Seen, course: Course) -> Result<bool, String> {
    if *seen.own.lock().unwrap() != Some(true) && course != Course::Unprotected {
        return Err("the transaction did not see its own change".to_owned());
    }
    if truth.read() != 2 && seen.values.lock().unwrap().contains(&2) {
        return Err("a reader saw what was never committed".to_owned());
    }
    let mut hit = false;
    for view in views {
        match view.get(&KEY).await.map(|value| *value) {
            Some(value) if value != truth.read() => {
                return Err(format!("the cache has {value}, the database {}", truth.read()));
            }
            found => hit |= found.is_some(),
        }
    }
    Ok(hit)
}

fn on_memory(course: Course) -> Result<(usize, usize), String> {
    let hits = Rc::new(Cell::new(0));
    let runs = every_order(20_000, async |points: Points| {
        let cache = cache(|builder| builder);
        let (view, truth) = (numbers(&cache), Truth::default());
        truth.set(1);
        let seen = begin(&view, &view, &cache, &truth, &points, course);
        let hits = Rc::clone(&hits);
        move || async move {
            let hit = judge(&[&view], &truth, &seen, course).await?;
            hits.set(hits.get() + usize::from(hit));
            Ok(())
        }
    })?;
    Ok((runs, hits.get()))
}

fn on_two_nodes(course: Course) -> Result<usize, String> {
    let hits = Rc::new(Cell::new(0));
    some_orders(300, 3, async |points: Points| {
        let cluster = Cluster::new();
        let (first, second) = (cluster.node(&points, 1).await, cluster.node(&points, 2).await);
        let (view, other, truth) = (numbers(&first), numbers(&second), Truth::default());
        truth.set(1);
        let seen = begin(&view, &other, &first, &truth, &points, course);
        let hits = Rc::clone(&hits);
        move || async move {
            let hit = judge(&[&view, &other], &truth, &seen, course).await?;
            hits.set(hits.get() + usize::from(hit));
            Ok(())
        }
    })?;
    Ok(hits.get())
}

#[test]
fn s14_in_every_order_of_a_commit_and_two_readers_the_cache_has_what_is_committed() {
    let (runs, hits) = on_memory(Course::Commit).unwrap();

    assert!(runs > 100, "{runs}");
    assert!(hits > 10, "{hits}");
}

#[test]
fn s14_in_every_order_of_a_rollback_and_two_readers_nothing_uncommitted_is_seen() {
    let (runs, hits) = on_memory(Course::Rollback).unwrap();

    assert!(runs > 100, "{runs}");
    assert_eq!(hits, runs, "a rollback invalidates nothing");
}

#[test]
fn s14_on_two_nodes_the_cache_has_what_is_committed() {
    assert!(on_two_nodes(Course::Commit).unwrap() > 10);
    assert!(on_two_nodes(Course::Rollback).unwrap() > 10);
}

#[test]
fn s14_the_check_finds_an_invalidation_before_the_commit_and_a_fill_from_within() {
    assert!(on_memory(Course::TooEarly).is_err());
    assert!(on_memory(Course::Unprotected).is_err());
}

#[tokio::test(start_paused = true)]
async fn s14_a_rollback_emits_nothing_and_a_commit_everything_once() {
    let cache = cache(|builder| builder);
    let view = numbers(&cache);
    view.put(&KEY, 1).await.receipt.complete().unwrap();
    view.put(&2, 2).await.receipt.complete().unwrap();
    let mut events = cache.events();

    let pending = cache.pending();
    pending.touch(&view, &KEY);
    drop(pending);
    assert_eq!(view.get(&KEY).await.as_deref(), Some(&1));

    let pending = cache.pending();
    pending.touch(&view, &KEY);
    pending.touch(&view, &KEY);
    let savepoint = pending.savepoint();
    pending.touch(&view, &2);
    pending.touch_tag(&Tag::named("all"));
    pending.touch_view(&view);
    pending.rollback_to(savepoint);
    pending.committed().await.complete().unwrap();

    assert_eq!((view.get(&KEY).await, view.get(&2).await.as_deref()), (None, Some(&2)));
    let event = events.next().await.unwrap().unwrap();
    assert!(matches!(event, Event::Invalidated { .. }), "{event:?}");
    let more = tokio::time::timeout(std::time::Duration::from_secs(1), events.next()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test(start_paused = true)]
async fn s14_only_what_is_touched_goes_past_the_cache_and_nothing_is_stored() {
    let cache = cache(|builder| builder);
    let view: Numbers = cache.view("tagged").tags(|key| vec![Tag::of("parity", key % 2)]).build().unwrap();
    for key in 1..=4 {
        view.put(&key, Loaded::value(key).tag(Tag::of("late", key))).await.receipt.complete().unwrap();
    }
    let pending = cache.pending();
    let read =
        async |key: u64| *pending.get_or_load(&view, &key, || async { Ok::<_, String>(100 + key) }).await.unwrap();
    assert_eq!(read(1).await, 1);

    pending.touch(&view, &1);
    assert_eq!(read(1).await, 101);
    let savepoint = pending.savepoint();
    pending.touch_tag(&Tag::of("parity", 0u64));
    pending.touch_tag(&Tag::of("late", 3u64));
    assert_eq!((read(2).await, read(3).await, read(4).await), (102, 103, 104));
    pending.rollback_to(savepoint);
    assert_eq!((read(1).await, read(2).await, read(3).await), (101, 2, 3));
    pending.touch_view(&view);
    assert_eq!((read(2).await, read(7).await), (102, 107));

    assert_eq!(view.get(&1).await.as_deref(), Some(&1), "others see what is committed");
    assert_eq!(view.get(&7).await, None, "what is not in the cache is not brought there from within");
    pending.committed().await.complete().unwrap();
    assert_eq!(view.get(&2).await, None);
}
