//! Learners enough that most of them are rare, and nodes that learn who is not.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use tierkeep::clock::Clock;
use tierkeep::config::{Config, Redis, Warmup};
use tierkeep::tiers::{Found, KeepingOptions, Question, Tier, Tiers};
use tierkeep_db::Dialect;
use tierkeep_learning::key::{Key, SessionId, UserId};
use tierkeep_learning::rows::{SessionRow, UserRow};
use tierkeep_learning::service::Statistics;
use tierkeep_learning::store::{OpenMode, Store, open};

use crate::place::{PATIENCE, Place, options};
use crate::rng::Rng;
use crate::rows::NOW;
use crate::store::{Switches, Watched};

const LEARNERS: usize = 500;
const STATISTICS: usize = 6;
/// Questions that are asked.
pub(super) const KEYS: usize = LEARNERS * STATISTICS;

pub(super) fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// The statistics of one learner are far from each other, by how often they are asked.
pub(super) fn question(key: usize) -> Question {
    let (user, statistic) = (key % LEARNERS + 1, (key / LEARNERS + key % LEARNERS) % STATISTICS);
    let text = match statistic {
        0 => format!("daily/{user}/today"),
        1 => format!("weekly/{user}/today"),
        2 => format!("monthly/{user}/2026-01"),
        3 => format!("analytics/{user}/today/30/en"),
        4 => format!("streaks/{user}"),
        _ => format!("heatmap/{user}/today"),
    };
    text.parse().unwrap()
}

/// A database with these learners, each of whom has studied twice.
pub(super) async fn filled(dialect: Dialect) -> Place {
    let place = Place::new(dialect, false).await;
    let store = store(&place).await;
    let learners = 1..=i64::try_from(LEARNERS).unwrap();
    store.write_users(learners.clone().map(user).collect()).await.unwrap();
    store.write_sessions(learners.flat_map(|n| [session(n, 0), session(n, 1)]).collect()).await.unwrap();
    while store.settle().await.unwrap().more {}
    store.close().await;
    place
}

fn user(n: i64) -> UserRow {
    UserRow {
        id: UserId::new(Key::Int(n)),
        email: format!("{n}@secret.example"),
        username: format!("learner {n}"),
        is_active: true,
        last_login: None,
        created_at: "2025-01-01T00:00:00Z".parse().unwrap(),
        time_zone: None,
    }
}

fn session(n: i64, number: i64) -> SessionRow {
    let start_time: Timestamp = "2026-01-29T07:00:00Z".parse().unwrap();
    let start_time = start_time + SignedDuration::from_hours(24 * number);
    let minutes = 10 + i32::try_from(n % 50).unwrap();
    SessionRow {
        id: SessionId::new(Key::Int(2 * n + number)),
        user_id: UserId::new(Key::Int(n)),
        course_progress_id: None,
        start_time,
        end_time: Some(start_time + SignedDuration::from_mins(i64::from(minutes))),
        duration_minutes: minutes,
        effectiveness_rating: Some(4),
        focus_hundredths: Some(80),
        break_count: 1,
        is_active: false,
        learning_environment: "home".to_owned(),
        device_type: "laptop".to_owned(),
        subject_category: "mathematics".to_owned(),
        content_covered: String::new(),
        notes: String::new(),
        created_at: start_time,
        updated_at: start_time,
        goal_id: None,
        learning_plan_id: None,
        estimator: None,
    }
}

pub(super) async fn store(place: &Place) -> Arc<dyn Store> {
    open(&place.url().parse().unwrap(), &options(OpenMode::Existing)).await.unwrap()
}

/// A node.
pub(super) struct Member {
    pub(super) tiers: Arc<Tiers>,
    pub(super) store: Arc<dyn Store>,
    pub(super) switches: Arc<Switches>,
}

impl Member {
    /// A node as it opens, before it restores anything.
    pub(super) async fn open(place: &Place, redis: Option<&str>, learned: bool) -> Self {
        let switches = Arc::new(Switches::default());
        let store: Arc<dyn Store> = Arc::new(Watched {
            inner: store(place).await,
            switches: Arc::clone(&switches),
            bug: None,
            notices: Arc::default(),
            reader: None,
            aside: Mutex::new(HashMap::new()),
        });
        let config = Config::default();
        let kept = KeepingOptions {
            cache: config.cache,
            redis: Redis { url: redis.map(|url| url.parse().unwrap()), ..config.redis },
            freshness: config.freshness,
            // what is computed after a change is not of this, and how slow the machine is neither
            warmup: Warmup { concurrency: 0, learned, deadline: PATIENCE, ..config.warmup },
            patience: config.http.request_timeout,
            clock: Clock::Fixed(now()),
        };
        let tiers = Tiers::open(Statistics::new(Arc::clone(&store), config.days), &kept).await.unwrap();
        Self { tiers: Arc::new(tiers), store, switches }
    }

    /// A node whose restore has begun, if it has any.
    pub(super) async fn begin(place: &Place, redis: Option<&str>, learned: bool) -> Self {
        let node = Self::open(place, redis, learned).await;
        node.tiers.begin_restore();
        node
    }

    /// A node that is warm, as far as it will be.
    pub(super) async fn learning(place: &Place, redis: Option<&str>) -> Self {
        let node = Self::begin(place, redis, true).await;
        node.tiers.restored().await.unwrap();
        node
    }

    pub(super) async fn cold(place: &Place, redis: Option<&str>) -> Self {
        let node = Self::begin(place, redis, false).await;
        assert!(node.tiers.restored().await.is_none());
        node
    }

    pub(super) async fn found(&self, key: usize) -> Found {
        self.tiers.ask(question(key), now()).await.unwrap()
    }

    pub(super) async fn ask(&self, key: usize) -> Tier {
        self.found(key).await.tier
    }

    /// Asks so many questions; the share that memory answered.
    pub(super) async fn replay(&self, requests: usize, zipf: &Zipf, rng: &mut Rng) -> f64 {
        let mut hits = 0;
        for _ in 0..requests {
            hits += usize::from(self.ask(zipf.draw(rng)).await == Tier::L1);
        }
        hits as f64 / requests as f64
    }

    /// Readings of the database so far.
    pub(super) fn computed(&self) -> u64 {
        self.switches.computed.load(Ordering::SeqCst)
    }

    pub(super) async fn stop(self) {
        self.tiers.close().await;
        self.store.close().await;
    }

    /// Ends it as a kill does: nothing that it does from here on reaches the database.
    pub(super) async fn kill(self) {
        self.switches.is_down.store(true, Ordering::SeqCst);
        self.stop().await;
    }
}

/// Some keys are asked for more often than others, by Zipf's law with exponent 0.99.
pub(super) struct Zipf(Vec<f64>);

impl Zipf {
    pub(super) fn of(keys: usize) -> Self {
        let mut total = 0.0;
        let sums = (1..=keys).map(|rank| {
            total += (rank as f64).powf(-0.99);
            total
        });
        Self(sums.collect())
    }

    pub(super) fn draw(&self, rng: &mut Rng) -> usize {
        let total = self.0.last().unwrap();
        let point = (rng.next() >> 11) as f64 / (1_u64 << 53) as f64 * total;
        self.0.partition_point(|sum| *sum < point).min(self.0.len() - 1)
    }
}
