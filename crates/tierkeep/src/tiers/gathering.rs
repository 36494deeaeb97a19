//! Several statistics of the same learners, which are looked up one by one and computed together.
//!
//! Each statistic has a view of its own, and each view finds out for itself which of its answers are missing. What rests on
//! the same days is to be read once, though. So the loaders of all views meet here: when the last of them knows what it
//! lacks, or that it lacks nothing, one of them reads for all. By then every one has its token, so what is invalidated
//! meanwhile is not stored.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tierkeep_cache::Loaded;
use tierkeep_learning::key::UserId;
use tierkeep_learning::service::{Ready, ServiceError, Statistics};
use tierkeep_learning::statistic::StatisticKind;
use tokio::sync::{Barrier, OnceCell};

use super::body::Body;
use super::computing::loaded;
use super::feed::Feed;
use super::question::Question;
use crate::config::Ttls;

/// What is asked, and as of when.
pub(super) struct Gathering {
    statistics: Statistics,
    feed: Arc<Feed>,
    ttls: Ttls,
    now: Timestamp,
    meeting: Barrier,
    wanted: Mutex<Wanted>,
    read: OnceCell<Read>,
}

#[derive(Debug, Default)]
struct Wanted {
    users: BTreeSet<UserId>,
    kinds: Vec<StatisticKind>,
}

/// What one of them has read for all.
struct Read {
    position: u64,
    learners: HashMap<UserId, Result<Ready, Arc<ServiceError>>>,
}

/// One statistic's part.
pub(super) struct Part {
    gathering: Arc<Gathering>,
    kind: StatisticKind,
    has_met: AtomicBool,
    computed: AtomicU64,
    failed: Mutex<Vec<(Question, Arc<ServiceError>)>>,
}

impl Gathering {
    /// A meeting of so many statistics.
    pub(super) fn new(
        statistics: &Statistics,
        feed: &Arc<Feed>,
        ttls: Ttls,
        now: Timestamp,
        parts: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            statistics: statistics.clone(),
            feed: Arc::clone(feed),
            ttls,
            now,
            meeting: Barrier::new(parts),
            wanted: Mutex::default(),
            read: OnceCell::new(),
        })
    }

    /// The part of one of them.
    pub(super) fn part(self: &Arc<Self>, kind: StatisticKind) -> Arc<Part> {
        Arc::new(Part {
            gathering: Arc::clone(self),
            kind,
            has_met: AtomicBool::new(false),
            computed: AtomicU64::new(0),
            failed: Mutex::default(),
        })
    }

    async fn read(&self, users: &[UserId], kinds: &[StatisticKind]) -> Result<Read, ServiceError> {
        // before anything is read: what changes from here on makes the answers too old
        let position = self.feed.position();
        let ready = self.statistics.ready(users, kinds, self.now).await?;
        let learners = users.iter().copied().zip(ready.into_iter().map(|ready| ready.map_err(Arc::new))).collect();
        Ok(Read { position, learners })
    }

    async fn read_together(&self) -> Result<&Read, ServiceError> {
        self.meeting.wait().await;
        let reading = || async {
            let (users, kinds): (Vec<UserId>, Vec<StatisticKind>) = {
                let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
                (wanted.users.iter().copied().collect(), wanted.kinds.clone())
            };
            self.read(&users, &kinds).await
        };
        self.read.get_or_try_init(reading).await
    }
}

impl Part {
    /// The loader of this statistic's view.
    pub(super) async fn load(&self, questions: Vec<Question>) -> Result<Vec<(Question, Loaded<Body>)>, ServiceError> {
        if self.has_met.swap(true, Ordering::Relaxed) {
            // another node was about to compute these, and did not: they come by themselves, after the others
            let users: Vec<UserId> = questions.iter().filter_map(Question::user).collect();
            let read = self.gathering.read(&users, &[self.kind]).await?;
            return Ok(self.encode(questions, &read));
        }
        {
            let mut wanted = self.gathering.wanted.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.users.extend(questions.iter().filter_map(Question::user));
            wanted.kinds.push(self.kind);
        }
        let read = self.gathering.read_together().await?;
        Ok(self.encode(questions, read))
    }

    /// Says that this statistic will ask for nothing more, so that nobody waits for it.
    pub(super) async fn leave(&self) {
        if !self.has_met.swap(true, Ordering::Relaxed) {
            self.gathering.meeting.wait().await;
        }
    }

    /// How many were computed, and why others were not.
    pub(super) fn outcome(&self) -> (u64, Vec<(Question, Arc<ServiceError>)>) {
        let failed = std::mem::take(&mut *self.failed.lock().unwrap_or_else(PoisonError::into_inner));
        (self.computed.load(Ordering::Relaxed), failed)
    }

    fn encode(&self, questions: Vec<Question>, read: &Read) -> Vec<(Question, Loaded<Body>)> {
        let (ttl, now) = (self.gathering.ttls.of(self.kind), self.gathering.now);
        let mut encoded = Vec::with_capacity(questions.len());
        for question in questions {
            match question.user().and_then(|user| read.learners.get(&user)) {
                Some(Ok(ready)) => {
                    let body = body(ready, self.kind).map(|body| (question, loaded(body, read.position, ttl, now)));
                    encoded.extend(body);
                }
                Some(Err(error)) => {
                    let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                    failed.push((question, Arc::clone(error)));
                }
                None => {}
            }
        }
        self.computed.fetch_add(encoded.len() as u64, Ordering::Relaxed);
        encoded
    }
}

/// The encoded answer of one kind; `None` for what is about nobody.
fn body(ready: &Ready, kind: StatisticKind) -> Option<Body> {
    macro_rules! encoded {
        ($answer:expr) => {
            $answer.as_ref().map(|answer| Body::encode(answer, &answer.footing))
        };
    }
    match kind {
        StatisticKind::Daily => encoded!(ready.daily),
        StatisticKind::Weekly => encoded!(ready.weekly),
        StatisticKind::Monthly => encoded!(ready.monthly),
        StatisticKind::Analytics => encoded!(ready.analytics),
        StatisticKind::Heatmap => encoded!(ready.heatmap),
        StatisticKind::Streaks => encoded!(ready.streaks),
        StatisticKind::Courses => encoded!(ready.courses),
        StatisticKind::Global => None,
    }
}
