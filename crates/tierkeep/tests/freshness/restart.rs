//! Restarts: what was hot is there again in the first minute, nothing of it is old, and the database does not notice.

mod crowd;
mod damage;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use serde_json::Value;
use tierkeep::access::{Access, Reach};
use tierkeep::clock::Clock;
use tierkeep::config::{ByteSize, Config};
use tierkeep::http::{App, Limits, api};
use tierkeep::tiers::{Found, Tier};
use tierkeep_cache::warmup::{Ended, Ready};
use tierkeep_db::Dialect;
use tierkeep_learning::key::{Key, UserId};
use tierkeep_testkit::RedisServer;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use self::crowd::{KEYS, Member, Zipf, filled, question};
use crate::place::Place;
use crate::rng::Rng;
use crate::store::Gate;

/// Loads that the cache of one node allows at once.
const BUDGET: u64 = 256;
/// Requests that stand for a minute.
const MINUTE: usize = 1500;
/// Requests after which a node knows what it is asked.
const LONG: usize = 4 * MINUTE;

macro_rules! on_both {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $case() {
                Box::pin(super::$case(tierkeep_db::Dialect::Sqlite)).await;
            })+
        }

        mod postgres {
            $(#[tokio::test]
            async fn $case() {
                Box::pin(super::$case(tierkeep_db::Dialect::Postgres)).await;
            })+
        }
    };
}
use on_both;

on_both!(
    the_first_minute_after_a_restart_is_nearly_as_good_as_the_last_one_before,
    the_same_behind_a_redis,
    what_a_node_learns_is_lost_if_it_is_killed_and_what_was_saved_is_not,
    nothing_that_changed_while_no_node_ran_is_served_old,
    a_restart_of_all_nodes_under_load_keeps_to_the_budget,
    a_node_is_not_ready_before_it_is_warm,
    days_that_are_over_are_not_computed,
);

async fn the_first_minute_after_a_restart_is_nearly_as_good_as_the_last_one_before(dialect: Dialect) {
    Box::pin(first_minute(dialect, None)).await;
}

/// Redis keeps what was computed; what is learnt brings it into memory, and if Redis is emptied, from the database.
async fn the_same_behind_a_redis(dialect: Dialect) {
    let redis = RedisServer::launch().await.unwrap();
    Box::pin(first_minute(dialect, Some(&redis))).await;
}

async fn first_minute(dialect: Dialect, redis: Option<&RedisServer>) {
    let (place, zipf, mut rng) = (filled(dialect).await, Zipf::of(KEYS), Rng::new(6, 1));
    let url = redis.map(RedisServer::url);
    let node = Member::learning(&place, url.as_deref()).await;
    node.replay(LONG, &zipf, &mut rng).await;
    let before = node.replay(MINUTE, &zipf, &mut rng).await;
    node.stop().await;
    let mut replay = rng.clone();

    let warm = Member::learning(&place, url.as_deref()).await;
    let computed = warm.computed();
    let with = warm.replay(MINUTE, &zipf, &mut rng).await;
    let restored: u64 = warm.tiers.state().unwrap().views.iter().map(|view| view.restored).sum();
    let report = warm.tiers.restored().await.unwrap();
    warm.stop().await;
    let cold = Member::cold(&place, url.as_deref()).await;
    let without = cold.replay(MINUTE, &zipf, &mut replay).await;
    cold.stop().await;

    assert!(with >= 0.9 * before, "before {before}, with {with}, without {without}");
    assert!(without < 0.8 * before, "before {before}, with {with}, without {without}");
    assert_eq!((restored, &report.ended), (report.keys(), &Ended::Whole), "after {:?}", report.took);
    assert!(restored > 1000, "{restored}");
    assert!(computed < 64, "{computed} readings of the database for {restored} answers");
}

async fn what_a_node_learns_is_lost_if_it_is_killed_and_what_was_saved_is_not(dialect: Dialect) {
    let place = filled(dialect).await;
    let node = Member::learning(&place, None).await;
    node.ask(0).await;
    node.stop().await;
    let node = Member::learning(&place, None).await;
    node.ask(1).await;
    node.kill().await;

    let next = Member::learning(&place, None).await;

    assert_eq!((next.ask(0).await, next.ask(1).await == Tier::L1), (Tier::L1, false));
    next.stop().await;
}

async fn nothing_that_changed_while_no_node_ran_is_served_old(dialect: Dialect) {
    let (place, redis) = (filled(dialect).await, RedisServer::launch().await.unwrap());
    for redis in [None, Some(redis.url())] {
        let node = Member::learning(&place, redis.as_deref()).await;
        for key in (0..KEYS).step_by(7) {
            node.ask(key).await;
        }
        node.stop().await;

        place.run("update study_sessions set duration_minutes = duration_minutes + 1 where user_id % 2 = 0").await;
        let next = Member::learning(&place, redis.as_deref()).await;

        for key in (0..KEYS).step_by(7) {
            let found = next.found(key).await;
            let exact = next.tiers.ask_database(question(key), crowd::now()).await.unwrap();
            assert_eq!((found.tier, said(&found)), (Tier::L1, said(&exact)), "{}", question(key));
        }
        next.stop().await;
    }
}

async fn a_restart_of_all_nodes_under_load_keeps_to_the_budget(dialect: Dialect) {
    let (place, zipf, mut rng) = (filled(dialect).await, Zipf::of(KEYS), Rng::new(6, 2));
    let node = Member::learning(&place, None).await;
    node.replay(LONG, &zipf, &mut rng).await;
    node.stop().await;

    let nodes = [Member::begin(&place, None, true).await, Member::begin(&place, None, true).await];
    let mut readers = JoinSet::new();
    for node in &nodes {
        for key in (0..600).map(|_| zipf.draw(&mut rng)) {
            let tiers = Arc::clone(&node.tiers);
            readers.spawn(async move { tiers.ask(question(key), crowd::now()).await.unwrap() });
        }
    }
    readers.join_all().await;

    for node in nodes {
        // both readers and the restore
        let most = node.switches.running.most();
        let overloads: u64 = node.tiers.state().unwrap().views.iter().map(|view| view.counts.overloads).sum();
        assert!((2..=BUDGET).contains(&most), "{most} computations at once, {overloads} gave up waiting");
        node.tiers.restored().await.unwrap();
        node.stop().await;
    }
}

async fn a_node_is_not_ready_before_it_is_warm(dialect: Dialect) {
    let place = filled(dialect).await;
    let node = Member::learning(&place, None).await;
    node.ask(0).await;
    node.stop().await;

    let held = question(0).user();
    let next = Member::open(&place, None, true).await;
    let gate = Gate::new(held);
    *next.switches.gate.lock().unwrap() = Some(Arc::clone(&gate));
    let app = app(&next);
    next.tiers.begin_restore();
    drop(gate.reached.acquire().await.unwrap());
    let warming = ready(&app).await;
    gate.open.send_replace(true);
    next.tiers.restored().await.unwrap();
    let why = next.tiers.state().unwrap().learned.unwrap().ready;
    let warm = ready(&app).await;

    assert_eq!((warming.0, &warming.1["status"]), (StatusCode::SERVICE_UNAVAILABLE, &"warming".into()));
    assert_eq!(
        (&warming.1["checks"]["warmup"]["status"], &warming.1["checks"]["feed"]["status"]),
        (&"warming".into(), &"ok".into())
    );
    assert!(matches!(why, Some(Ready::Done | Ready::Covered)), "{why:?}");
    assert_eq!((warm.0, &warm.1["checks"]["warmup"]["status"]), (StatusCode::OK, &"ok".into()));
    *next.switches.gate.lock().unwrap() = None;
    next.stop().await;
}

async fn days_that_are_over_are_not_computed(dialect: Dialect) {
    let place = filled(dialect).await;
    let node = Member::learning(&place, None).await;
    let user = UserId::new(Key::Int(1));
    let asked = ["today", "2026-01-31", "2026-01-30"].map(|day| format!("daily/{user}/{day}").parse().unwrap());
    for question in asked {
        node.tiers.ask(question, crowd::now()).await.unwrap();
    }
    node.stop().await;

    let next = Member::learning(&place, None).await;

    let mut tiers = Vec::new();
    for question in asked {
        tiers.push(next.tiers.ask(question, crowd::now()).await.unwrap().tier == Tier::L1);
    }
    assert_eq!(tiers, [true, true, false]);
    next.stop().await;
}

/// What an answer says, without when it was computed.
fn said(found: &Found) -> Value {
    let mut said: Value = serde_json::from_slice(&found.body.json()).unwrap();
    said.as_object_mut().unwrap().remove("as_of").unwrap();
    said
}

fn app(node: &Member) -> Arc<App> {
    let limits = Limits { body: ByteSize::bytes(64 * 1024), timeout: Duration::from_secs(30) };
    let access = Access::without_tokens(Arc::clone(&node.store), Reach::Loopback);
    // what handlers need besides the tiers is that of a node that keeps nothing
    let statistics = tierkeep_learning::service::Statistics::new(Arc::clone(&node.store), Config::default().days);
    let unkept = tierkeep::tiers::Tiers::unkept(statistics);
    Arc::new(App { tiers: Arc::clone(&node.tiers), ..App::new(unkept, access, Clock::Fixed(crowd::now()), limits) })
}

async fn ready(app: &Arc<App>) -> (StatusCode, Value) {
    let request = Request::get("/readyz").body(Body::empty()).unwrap();
    let response = api(Arc::clone(app)).oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

/// What the database keeps of what is hot.
async fn kept(place: &Place) -> Option<Vec<u8>> {
    let store = crowd::store(place).await;
    let kept = store.snapshot("hot-keys").await.unwrap();
    store.close().await;
    kept
}
