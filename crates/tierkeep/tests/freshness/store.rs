//! The store of one node, with what a test does to it: readers that are held, faults, and planted bugs.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tierkeep_learning::key::{Key, KeyType, UserId};
use tierkeep_learning::local_day::LocalDay;
use tierkeep_learning::rows::{ProgressRow, SessionRow, UserRow};
use tierkeep_learning::store::{
    ChangeFeed, Changes, GlobalSnapshot, LearnerActivity, LearnerCourses, LearnerDays, ListedSession, PoolUse,
    SessionPlace, Settled, Store, StoreError, Written,
};
use tierkeep_testkit::DatabaseClient;
use tokio::sync::{Semaphore, watch};

mod passed;
mod upkeep;

/// A bug that the suite must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A cursor over ids, which are taken before the commit.
    CursorOverIds,
    /// Notices that are lost while nobody listens.
    LostNotices,
    /// Notices that are sent when a statement runs, not when it commits.
    NoticeBeforeCommit,
    /// Answers that claim the position which was known after their rows were read.
    NoFence,
    /// Statements that name a partition are not noted.
    ParentOnly,
    /// Positions that are required of the wrong learner.
    WrongLearner,
}

/// A load that waits between its rows and whoever keeps them.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) about: Option<UserId>,
    /// One permit for each load that has its rows.
    pub(crate) reached: Semaphore,
    pub(crate) open: watch::Sender<bool>,
}

impl Gate {
    pub(crate) fn new(about: Option<UserId>) -> Arc<Self> {
        Arc::new(Self { about, reached: Semaphore::new(0), open: watch::Sender::new(false) })
    }
}

/// Notices in the order in which statements ran.
pub(crate) type Notices = Arc<Mutex<Vec<i64>>>;

/// What a test does to a node's store.
#[derive(Debug, Default)]
pub(crate) struct Switches {
    /// It is not told what changed.
    pub(crate) is_silent: AtomicBool,
    /// The database does not answer.
    pub(crate) is_down: AtomicBool,
    /// Loads that are held.
    pub(crate) gate: Mutex<Option<Arc<Gate>>>,
    /// Computations that have read rows.
    pub(crate) computed: AtomicU64,
    /// Computations that run.
    pub(crate) running: Running,
    /// Rows are put aside for the next who asks for the same: see [`Bug::NoFence`].
    pub(crate) puts_aside: AtomicBool,
}

/// How many there are, and were at most.
#[derive(Debug, Default)]
pub(crate) struct Running {
    now: AtomicU64,
    most: AtomicU64,
}

impl Running {
    fn enter(&self) -> Entered<'_> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        Entered(self)
    }

    pub(crate) fn most(&self) -> u64 {
        self.most.load(Ordering::SeqCst)
    }
}

struct Entered<'a>(&'a Running);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) switches: Arc<Switches>,
    pub(crate) bug: Option<Bug>,
    pub(crate) notices: Notices,
    /// Reads the ids of [`Bug::CursorOverIds`].
    pub(crate) reader: Option<DatabaseClient>,
    pub(crate) aside: Mutex<HashMap<String, Vec<Option<LearnerDays>>>>,
}

fn down() -> StoreError {
    tierkeep_db::Error::Closed.into()
}

fn user(id: i64) -> UserId {
    UserId::new(Key::Int(id))
}

impl Watched {
    fn check(&self) -> Result<(), StoreError> {
        if self.switches.is_down.load(Ordering::SeqCst) { Err(down()) } else { Ok(()) }
    }

    /// Waits where a test holds loads, once the rows are there.
    async fn pass(&self, about: Option<UserId>) {
        self.switches.computed.fetch_add(1, Ordering::SeqCst);
        let gate = self.switches.gate.lock().unwrap().clone();
        if let Some(gate) = gate.filter(|gate| gate.about == about) {
            gate.reached.add_permits(1);
            // whoever drops the gate lets everybody pass
            let _ = gate.open.subscribe().wait_for(|open| *open).await;
        }
    }

    async fn ids_after(&self, after: u64) -> Changes {
        let reader = self.reader.as_ref().expect("a client for the cursor");
        let rows = reader
            .query(
                "select id, key::text from tierkeep_outbox where id > $1 and source <> '' order by id",
                &[&i64::try_from(after).unwrap()],
            )
            .await
            .unwrap();
        let learners: Vec<(UserId, u64)> = rows
            .iter()
            .filter_map(|row| {
                Some((row.get::<_, Option<String>>(1)?.parse().ok()?, row.get::<_, i64>(0).unsigned_abs()))
            })
            .collect();
        let last = rows.last().map_or(after, |row| row.get::<_, i64>(0).unsigned_abs());
        changes(last.max(1), learners)
    }
}

fn changes(position: u64, learners: Vec<(UserId, u64)>) -> Changes {
    Changes { position, more: false, floor: 0, learners, everybody: None, unfolded: true, epoch: 1, broken: Vec::new() }
}

#[async_trait]
impl ChangeFeed for Watched {
    async fn changes(&self, after: u64) -> Result<Option<Changes>, StoreError> {
        self.check()?;
        if self.switches.is_silent.load(Ordering::SeqCst) {
            return Err(down());
        }
        match self.bug {
            Some(Bug::CursorOverIds) => return Ok(Some(self.ids_after(after).await)),
            Some(Bug::NoticeBeforeCommit) => {
                let notices = self.notices.lock().unwrap();
                let all = notices.iter().zip(2..).map(|(id, position)| (user(*id), position));
                return Ok(Some(changes(
                    notices.len() as u64 + 1,
                    all.filter(|(_, position)| *position > after).collect(),
                )));
            }
            _ => {}
        }
        let Some(mut changes) = self.inner.changes(after).await? else { return Ok(None) };
        match self.bug {
            Some(Bug::LostNotices) if after > 0 && changes.position % 3 == 0 => {
                changes.learners.clear();
                changes.everybody = None;
            }
            Some(Bug::ParentOnly) => changes.broken.clear(),
            Some(Bug::WrongLearner) => changes.learners.iter_mut().for_each(|(learner, _)| *learner = user(0)),
            _ => {}
        }
        Ok(Some(changes))
    }

    async fn prune_changes(&self, keep: Duration, most: u64, most_bytes: u64) -> Result<u64, StoreError> {
        self.inner.prune_changes(keep, most, most_bytes).await
    }
}

impl PoolUse for Watched {}

#[async_trait]
impl Store for Watched {
    fn key_type(&self) -> KeyType {
        self.inner.key_type()
    }

    fn database(&self) -> Option<tierkeep_db::Database> {
        self.inner.database()
    }

    fn looked_at(&self) -> tierkeep_db::Database {
        self.inner.looked_at()
    }

    fn is_read_only(&self) -> bool {
        self.inner.is_read_only()
    }

    async fn learner_days(
        &self,
        users: &[UserId],
        days: RangeInclusive<LocalDay>,
    ) -> Result<Vec<Option<LearnerDays>>, StoreError> {
        self.check()?;
        let _entered = self.switches.running.enter();
        let name = format!("{users:?} {days:?}");
        let puts_aside = self.switches.puts_aside.load(Ordering::SeqCst);
        let put_aside = if puts_aside { None } else { self.aside.lock().unwrap().remove(&name) };
        let answer = match put_aside {
            Some(answer) => answer,
            None => self.inner.learner_days(users, days).await?,
        };
        if puts_aside {
            self.aside.lock().unwrap().insert(name, answer.clone());
            return Ok(answer);
        }
        self.pass(users.first().copied()).await;
        Ok(answer)
    }

    async fn learner_activity(&self, users: &[UserId]) -> Result<Vec<Option<LearnerActivity>>, StoreError> {
        self.check()?;
        let _entered = self.switches.running.enter();
        let answer = self.inner.learner_activity(users).await?;
        self.pass(users.first().copied()).await;
        Ok(answer)
    }

    async fn learner_courses(&self, users: &[UserId]) -> Result<Vec<Option<LearnerCourses>>, StoreError> {
        self.check()?;
        let _entered = self.switches.running.enter();
        let answer = self.inner.learner_courses(users).await?;
        self.pass(users.first().copied()).await;
        Ok(answer)
    }

    async fn global_totals(&self, today: LocalDay) -> Result<GlobalSnapshot, StoreError> {
        self.check()?;
        let _entered = self.switches.running.enter();
        let answer = self.inner.global_totals(today).await?;
        self.pass(None).await;
        Ok(answer)
    }

    async fn users(&self, after: Option<UserId>, limit: u32) -> Result<Vec<UserRow>, StoreError> {
        self.inner.users(after, limit).await
    }

    async fn sessions(
        &self,
        user: UserId,
        after: Option<SessionPlace>,
        limit: u32,
    ) -> Result<Option<Vec<ListedSession>>, StoreError> {
        self.inner.sessions(user, after, limit).await
    }

    async fn write_users(&self, rows: Vec<UserRow>) -> Result<Written, StoreError> {
        self.inner.write_users(rows).await
    }

    async fn add_missing_users(&self, rows: Vec<UserRow>) -> Result<Written, StoreError> {
        self.inner.add_missing_users(rows).await
    }

    async fn write_progress(&self, rows: Vec<ProgressRow>) -> Result<Written, StoreError> {
        self.inner.write_progress(rows).await
    }

    async fn write_sessions(&self, rows: Vec<SessionRow>) -> Result<Written, StoreError> {
        self.inner.write_sessions(rows).await
    }

    async fn settle(&self) -> Result<Settled, StoreError> {
        self.inner.settle().await
    }

    async fn installation(&self) -> Result<Option<String>, StoreError> {
        self.inner.installation().await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.inner.check().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
