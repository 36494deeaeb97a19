//! What a cache tells those who listen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tierkeep_cache::{Cache, Event, EventStream, FillRefusal, Promise, Severity, Tag};

use crate::fixture::{
    Cluster, Gate, LEASE, alone, alone_with, answering, exactly, giving, held, millis, numbers, numbers_with, pass,
    quiet, secs, soon,
};
use crate::line::Line;
use crate::wire::Wire;

/// What has been told so far and not been listened to.
async fn told(events: &mut EventStream) -> Vec<Event> {
    let mut told = Vec::new();
    while let Ok(Some(event)) = tokio::time::timeout(millis(1), events.next()).await {
        told.push(event.unwrap());
    }
    told
}

fn key(number: u64) -> Arc<[u8]> {
    number.to_be_bytes().into()
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_of_a_key_is_told_with_its_severity() {
    let cache = alone();
    let (view, mut events) = (numbers(&cache), cache.events());

    view.invalidate(&1).await.complete().unwrap();
    view.invalidate_softly(&2).await.complete().unwrap();

    let event =
        |number, severity| Event::Invalidated { view: "numbers".into(), key: key(number), severity, heard: false };
    assert_eq!(told(&mut events).await, [event(1, Severity::Hard), event(2, Severity::Soft)]);
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_of_a_tag_is_told() {
    let cache = alone();
    let mut events = cache.events();

    cache.invalidate_tag(&Tag::named("t")).await.complete().unwrap();

    let tag = Tag::named("t").id();
    assert_eq!(told(&mut events).await, [Event::TagInvalidated { tag, severity: Severity::Hard, heard: false }]);
}

#[tokio::test(start_paused = true)]
async fn what_another_node_invalidated_is_told_as_heard() {
    let cluster = Cluster::new();
    let (near, far) = (cluster.node(Promise::Bounded(LEASE)).await, cluster.node(Promise::Bounded(LEASE)).await);
    let (near, _view, mut events) = (numbers(&near), numbers(&far), far.events());

    near.invalidate(&1).await.complete().unwrap();

    assert!(matches!(told(&mut events).await[..], [Event::Invalidated { heard: true, .. }]));
}

#[tokio::test(start_paused = true)]
async fn the_sweep_tells_what_has_expired_every_minute() {
    let cache = alone();
    let view = numbers_with(&cache, |view| view.policy(exactly(secs(10))));
    view.get_or_load(&1, giving(1)).await.unwrap();
    let mut events = cache.events();

    pass(secs(59)).await;
    assert_eq!(told(&mut events).await, []);
    pass(secs(2)).await;

    assert_eq!(told(&mut events).await, [Event::Expired { view: "numbers".into(), key: key(1) }]);
    assert_eq!((cache.state().entries, view.counts().expired), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn the_sweep_runs_as_often_as_it_is_told() {
    let cache = alone_with(|builder| builder.sweep_every(secs(5)));
    numbers_with(&cache, |view| view.policy(exactly(secs(1)))).get_or_load(&1, giving(1)).await.unwrap();

    pass(millis(5_001)).await;

    assert_eq!(cache.state().entries, 0);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_was_not_stored_is_told_with_the_reason() {
    let cache = alone();
    let (view, gate) = (numbers(&cache), Gate::closed());
    let (reading, load) = (view.clone(), held(1, &gate));
    let reader = tokio::spawn(async move { drop(reading.get_or_load(&1, load).await) });
    gate.reached().await;
    view.invalidate(&1).await.complete().unwrap();
    let mut events = cache.events();

    gate.open();
    soon(reader).await.unwrap();

    let why = FillRefusal::Invalidated;
    assert_eq!(told(&mut events).await, [Event::FillRefused { view: "numbers".into(), key: key(1), why }]);
}

#[tokio::test(start_paused = true)]
async fn a_fill_without_the_remote_tier_and_the_invalidation_that_reaches_it_later_are_told() {
    let cluster = Cluster::new();
    let wire = Wire::to(&cluster.remote);
    let cache = alone_with(|builder| builder.remote(wire.clone()));
    let (view, mut events) = (numbers(&cache), cache.events());
    wire.cut();
    view.get_or_load(&1, giving(1)).await.unwrap();
    assert!(view.invalidate(&1).await.complete().is_err());
    wire.mend();
    pass(secs(10)).await;

    let told = told(&mut events).await;

    assert!(matches!(told[..], [Event::DegradedFill { .. }, Event::Invalidated { .. }, Event::Settled]), "{told:?}");
    assert_eq!(cache.state().unsettled, 0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_lost_and_gained_is_told() {
    let cluster = Cluster::new();
    let line = Line::to(&cluster.bus);
    let node = cluster.node_with(Promise::Bounded(LEASE), |builder| builder.bus(line.clone())).await;
    let mut events = node.events();
    line.cut();
    pass(LEASE * 2).await;
    assert_eq!(told(&mut events).await, [Event::LeaseLost]);

    line.mend();
    pass(secs(5)).await;

    assert_eq!(told(&mut events).await, [Event::LeaseGained]);
}

#[tokio::test(start_paused = true)]
async fn a_hit_that_the_source_contradicts_for_long_is_told() {
    let cache = alone();
    let view = numbers_with(&cache, |view| view.audit_one_in(1));
    view.get_or_load(&1, giving(1)).await.unwrap();
    let mut events = cache.events();

    view.get_or_load(&1, giving(2)).await.unwrap();
    pass(secs(3)).await;

    assert_eq!(told(&mut events).await, [Event::AuditStuck { view: "numbers".into(), key: key(1) }]);
    assert_eq!((view.counts().audited, view.counts().audit_stuck), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_hit_that_the_source_contradicts_for_a_moment_is_counted_and_not_told() {
    let cache = alone();
    let view = numbers_with(&cache, |view| view.audit_one_in(1));
    view.get_or_load(&1, giving(1)).await.unwrap();
    let mut events = cache.events();

    view.get_or_load(&1, giving(2)).await.unwrap();
    quiet().await;
    view.invalidate(&1).await.complete().unwrap();
    pass(secs(3)).await;

    assert!(!told(&mut events).await.iter().any(|event| matches!(event, Event::AuditStuck { .. })));
    assert_eq!(view.counts().audit_transient, 1);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_never_listens_holds_up_nothing_and_learns_what_it_missed() {
    let cache = alone();
    let (view, mut events) = (numbers(&cache), cache.events());

    for number in 0..5_000 {
        view.invalidate(&number).await.complete().unwrap();
    }

    assert!(matches!(soon(events.next()).await, Some(Err(lost)) if lost > 3_000));
}

#[tokio::test(start_paused = true)]
async fn a_listener_is_called_for_each_event() {
    let (cache, heard) = (alone(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&heard);
    cache.on(move |_| _ = counted.fetch_add(1, Ordering::SeqCst));

    let view = numbers(&cache);
    for number in 0..10 {
        view.invalidate(&number).await.complete().unwrap();
    }
    quiet().await;

    assert_eq!(heard.load(Ordering::SeqCst), 10);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_panics_harms_only_itself() {
    let (cache, called) = (alone(), Arc::new(AtomicBool::new(false)));
    let noted = Arc::clone(&called);
    cache.on(move |_| {
        noted.store(true, Ordering::SeqCst);
        panic!("a listener's own fault");
    });
    let view = numbers(&cache);

    view.invalidate(&1).await.complete().unwrap();
    quiet().await;

    assert!(called.load(Ordering::SeqCst));
    assert_eq!(*view.get_or_load(&1, answering(1.into())).await.unwrap(), 1);
    soon(Cache::close(&cache)).await;
}
