//! The nodes of a history: each its own store and tiers over one database and one Redis.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tierkeep::clock::Clock;
use tierkeep::config::{Config, Freshness, Redis, Warmup};
use tierkeep::tiers::{KeepingOptions, Question, Standing, Tiers};
use tierkeep_learning::service::{ServiceError, Statistics};
use tierkeep_learning::store::{OpenMode, Store, open};

use crate::checker::{Read, Terms, Told};
use crate::place::{PATIENCE, Place, options};
use crate::rows::{NOW, Seen};
use crate::store::{Bug, Notices, Switches, Watched};

/// One clock for all that happens.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ticks(Arc<AtomicU64>);

impl Ticks {
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }
}

/// With what nodes are started.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) redis: Option<String>,
    pub(crate) bound: Duration,
    pub(crate) max_stale: Duration,
    pub(crate) bug: Option<Bug>,
    pub(crate) notices: Notices,
}

pub(crate) struct Node {
    pub(crate) index: usize,
    pub(crate) life: u64,
    pub(crate) tiers: Arc<Tiers>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) switches: Arc<Switches>,
}

impl Node {
    pub(crate) async fn start(
        index: usize,
        life: u64,
        place: &Place,
        setting: &Setting,
        ticks: &Ticks,
    ) -> (Self, Option<Told>) {
        let begun = ticks.next();
        let switches = Arc::new(Switches::default());
        let inner = open(&place.url().parse().unwrap(), &options(OpenMode::Existing)).await.unwrap();
        let reader = if setting.bug == Some(Bug::CursorOverIds) { place.client().await } else { None };
        let store: Arc<dyn Store> = Arc::new(Watched {
            inner,
            switches: Arc::clone(&switches),
            bug: setting.bug,
            notices: Arc::clone(&setting.notices),
            reader,
            aside: Mutex::new(HashMap::new()),
        });
        let config = Config::default();
        let kept = KeepingOptions {
            cache: config.cache,
            redis: Redis { url: setting.redis.as_ref().map(|url| url.parse().unwrap()), ..config.redis },
            freshness: Freshness { bound: setting.bound, max_stale: setting.max_stale, ..config.freshness },
            // whose turn it is depends on the time that passes, which a history does not repeat
            warmup: Warmup { concurrency: 0, learned: false, ..config.warmup },
            patience: config.http.request_timeout,
            clock: Clock::Wall,
        };
        let tiers = Tiers::open(Statistics::new(Arc::clone(&store), config.days), &kept).await.unwrap();
        let node = Self { index, life, tiers: Arc::new(tiers), store, switches };
        let told = node.is_told().then(|| Told { node: index, life, begun, done: ticks.next() });
        (node, told)
    }

    fn is_told(&self) -> bool {
        self.tiers.state().unwrap().position > 0
    }

    pub(crate) fn standing(&self) -> Standing {
        self.tiers.state().unwrap().standing
    }

    pub(crate) fn position(&self) -> u64 {
        self.tiers.state().unwrap().position
    }

    /// Makes sure that the node knows of all changes.
    pub(crate) async fn learn(&self, ticks: &Ticks) -> Option<Told> {
        let begun = ticks.next();
        self.tiers.learn_of_change().await?;
        Some(Told { node: self.index, life: self.life, begun, done: ticks.next() })
    }

    /// Asks as a client does, on a task of its own.
    pub(crate) fn ask(
        &self,
        question: Question,
        terms: Terms,
        after: Option<usize>,
        ticks: &Ticks,
    ) -> tokio::task::JoinHandle<Read> {
        let (node, life, tiers, ticks) = (self.index, self.life, Arc::clone(&self.tiers), ticks.clone());
        let begun = ticks.next();
        tokio::spawn(async move {
            let answer = tokio::time::timeout(PATIENCE, Box::pin(tiers.ask(question, NOW.parse().unwrap()))).await;
            let answer = answer.unwrap_or_else(|_| panic!("{question} on node {node} is not answered"));
            let (seen, tier) = match answer {
                Ok(found) => (Seen::read(question, &found.body.json()), Some(found.tier)),
                Err(error) if matches!(*error, ServiceError::UnknownLearner(_)) => (Seen::Unknown, None),
                Err(_) => (Seen::Failed, None),
            };
            Read { node, life, question, begun, returned: ticks.next(), terms, after, seen, tier }
        })
    }

    pub(crate) async fn stop(self) {
        self.tiers.close().await;
        self.store.close().await;
    }
}
