//! How it is before a clean-up, and after one that nobody disturbs.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use tierkeep_db::Dialect;
use tierkeep_learning::key::UserId;
use tierkeep_learning::local_day::LocalDay;
use tierkeep_learning::statistic::{Days, GlobalTotals, course_summary};
use tierkeep_learning::store::Store;
use tokio::sync::OnceCell;

use crate::fixture::{Rows, Size};
use crate::places::{Places, places};
use crate::site::Site;
use crate::worker::{Case, Worker};

#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) rows: Rows,
    pub(crate) before: Places,
    pub(crate) after: Places,
    pub(crate) numbers: Vec<Numbers>,
    pub(crate) totals: GlobalTotals,
    /// How often the run was at each place.
    pub(crate) visits: BTreeMap<String, u32>,
    /// At how many in all.
    pub(crate) points: usize,
}

/// What the statistics say of a learner.
#[derive(Debug, PartialEq)]
pub(crate) struct Numbers {
    user: UserId,
    days: Option<Days>,
    courses: u64,
}

impl Reference {
    /// That of a size on a database, made once.
    pub(crate) async fn of(dialect: Dialect, size: Size) -> Arc<Self> {
        type Cells = Mutex<HashMap<String, Arc<OnceCell<Arc<Reference>>>>>;
        static MADE: std::sync::LazyLock<Cells> = std::sync::LazyLock::new(Cells::default);
        let cell = Arc::clone(MADE.lock().unwrap().entry(format!("{dialect:?} {}", size.name)).or_default());
        Arc::clone(cell.get_or_init(async || Arc::new(Box::pin(Self::make(dialect, size)).await)).await)
    }

    async fn make(dialect: Dialect, size: Size) -> Self {
        let site = Site::copy(dialect, size).await;
        let rows = Rows::new(size);
        let (connection, store) = (site.connection().await, site.store().await);
        let before = places(&connection).await;
        let numbers = numbers(&*store, &rows.staying).await;
        let trace = Worker::start(&Case::of(&site)).until_end().await;
        assert_eq!(trace.ended.as_deref(), Some("done "), "{trace:?}");
        let mut visits = BTreeMap::new();
        for point in &trace.points {
            *visits.entry(point.clone()).or_default() += 1;
        }
        Self {
            before,
            after: places(&connection).await,
            numbers,
            totals: totals(&*store).await,
            visits,
            points: trace.points.len(),
            rows,
        }
    }
}

pub(crate) async fn numbers(store: &dyn Store, users: &[UserId]) -> Vec<Numbers> {
    let days = store.learner_days(users, LocalDay::MIN..=LocalDay::MAX).await.unwrap();
    let courses = store.learner_courses(users).await.unwrap();
    let both = users.iter().zip(days.into_iter().zip(courses));
    both.map(|(user, (days, courses))| Numbers {
        user: *user,
        days: days.map(|answer| answer.days),
        courses: courses.map_or(0, |answer| course_summary(&answer.rows).total_courses),
    })
    .collect()
}

pub(crate) async fn totals(store: &dyn Store) -> GlobalTotals {
    while store.settle().await.unwrap().more {}
    store.global_totals("2026-06-01".parse().unwrap()).await.unwrap().totals
}
