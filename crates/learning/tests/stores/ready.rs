//! Several statistics at once: to the byte what each call by itself gives.

use std::fmt::Debug;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tierkeep_db::Dialect;
use tierkeep_learning::calendar::{DayStart, Zone};
use tierkeep_learning::key::{KeyType, UserId};
use tierkeep_learning::language::Language;
use tierkeep_learning::rows::ProgressRow;
use tierkeep_learning::service::{Answer, Ready, ServiceError, Settings, Statistics};
use tierkeep_learning::statistic::{StatisticKind, WindowDays};
use tierkeep_learning::store::{OpenMode, OpenOptions, migrate, open};

use super::fresh::{Fresh, options};
use super::rows::{at, learner, progress, user};
use super::seeded::Chance;

on_both_with_both_keys!(ready_answers_are_those_of_single_calls);
on_both!(who_is_unknown_has_no_answer_and_what_is_not_asked_for_is_not_given);

const LEARNERS: u32 = 6;
const ZONES: [Option<&str>; 4] = [None, Some("America/New_York"), Some("Pacific/Apia"), Some("Australia/Lord_Howe")];
/// Near the sessions that chance makes, and near the ends of weeks, months and years.
const NOWS: [&str; 7] = [
    "2025-03-09T06:30:00Z",
    "2025-11-02T05:30:00Z",
    "2025-04-05T15:00:00Z",
    "2011-12-31T10:00:00Z",
    "2025-01-01T03:00:00Z",
    "2025-06-30T12:00:00Z",
    "2090-02-28T12:00:00Z",
];

async fn ready_answers_are_those_of_single_calls(dialect: Dialect, keys: KeyType) {
    let fresh = Fresh::empty(dialect).await;
    let mut options = OpenOptions {
        default_zone: Zone::new("Asia/Tokyo").unwrap(),
        day_start: DayStart::new(4).unwrap(),
        ..options(OpenMode::Create { ids: Some(keys) })
    };
    migrate(&fresh.url, &options).await.unwrap();
    let store = open(&fresh.url, &options).await.unwrap();
    options.mode = OpenMode::ReadOnly;
    let reader = open(&fresh.url, &options).await.unwrap();
    let settings =
        Settings { default_zone: options.default_zone, day_start: options.day_start, language: Language::Zh };
    let mut chance = Chance::new(11);
    for n in 1..=LEARNERS {
        let zone = *chance.one_of(&ZONES);
        store.write_users(vec![learner(keys, n, zone)]).await.unwrap();
        let rows: Vec<ProgressRow> = (0..n).map(|content| progress(keys, 10 * n + content, n, content)).collect();
        store.write_progress(rows).await.unwrap();
    }
    // the last one is unknown, and one is asked for twice
    let users: Vec<UserId> = (1..=LEARNERS + 1).chain([2]).map(|n| user(keys, n)).collect();
    for round in 0..12 {
        store.write_sessions((0..10).map(|_| chance.row(keys)).collect()).await.unwrap();
        let now = at(chance.one_of::<&str>(&NOWS)) + SignedDuration::from_hours(i64::from(chance.below(96)) - 48);
        let kinds: Vec<StatisticKind> = StatisticKind::ALL.into_iter().filter(|_| chance.below(3) > 0).collect();
        let asked = if chance.below(4) == 0 { &users[..1] } else { &users[..] };
        for store in [&reader, &store] {
            let statistics = Statistics::new(store.clone(), settings.clone());
            let context = format!("round {round}, {now}, {kinds:?}, read-only {}", store.is_read_only());
            Box::pin(compare(&statistics, asked, &kinds, now, &context)).await;
        }
    }
    store.close().await;
    reader.close().await;
}

async fn compare(statistics: &Statistics, users: &[UserId], kinds: &[StatisticKind], now: Timestamp, context: &str) {
    let ready = statistics.ready(users, kinds, now).await.unwrap();
    assert_eq!(ready.len(), users.len());
    let of = |kind| kinds.contains(&kind);
    if of(StatisticKind::Daily) {
        same(&ready, |ready| &ready.daily, &statistics.daily(users, None, now).await.unwrap(), context);
    }
    if of(StatisticKind::Weekly) {
        same(&ready, |ready| &ready.weekly, &statistics.weekly(users, None, now).await.unwrap(), context);
    }
    if of(StatisticKind::Monthly) {
        same(&ready, |ready| &ready.monthly, &statistics.monthly(users, None, now).await.unwrap(), context);
    }
    if of(StatisticKind::Analytics) {
        let single = statistics.analytics(users, None, WindowDays::default(), None, now).await.unwrap();
        same(&ready, |ready| &ready.analytics, &single, context);
    }
    if of(StatisticKind::Heatmap) {
        same(&ready, |ready| &ready.heatmap, &statistics.heatmap(users, None, now).await.unwrap(), context);
    }
    if of(StatisticKind::Streaks) {
        same(&ready, |ready| &ready.streaks, &statistics.streaks(users, now).await.unwrap(), context);
    }
    if of(StatisticKind::Courses) {
        same(&ready, |ready| &ready.courses, &statistics.courses(users, now).await.unwrap(), context);
    }
}

/// The same answers to the byte, apart from the clock that was read at another time.
fn same<T: Clone + PartialEq + Debug + Serialize>(
    ready: &[Result<Ready, ServiceError>],
    of: impl Fn(&Ready) -> &Option<Answer<T>>,
    single: &[Result<Answer<T>, ServiceError>],
    context: &str,
) {
    for (ready, single) in ready.iter().zip(single) {
        match (ready, single) {
            (Ok(ready), Ok(single)) => {
                let ready = of(ready).as_ref().expect("it was asked for");
                let single = Answer { as_of: ready.as_of, ..single.clone() };
                assert_eq!(*ready, single, "{context}");
                assert_eq!(serde_json::to_string(ready).unwrap(), serde_json::to_string(&single).unwrap(), "{context}");
            }
            (Err(ServiceError::UnknownLearner(a)), Err(ServiceError::UnknownLearner(b))) => assert_eq!(a, b),
            (ready, single) => panic!("{ready:?} and {single:?}: {context}"),
        }
    }
}

async fn who_is_unknown_has_no_answer_and_what_is_not_asked_for_is_not_given(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KeyType::Int).await;
    let store = fresh.store().await;
    store.write_users(vec![learner(KeyType::Int, 1, None)]).await.unwrap();
    let settings = Settings { default_zone: Zone::utc(), day_start: DayStart::default(), language: Language::En };
    let statistics = Statistics::new(store.clone(), settings);
    let users = [user(KeyType::Int, 2), user(KeyType::Int, 1), user(KeyType::Uuid, 1)];

    for kind in StatisticKind::ALL.into_iter().filter(|kind| *kind != StatisticKind::Global) {
        let ready = statistics.ready(&users, &[kind], at("2025-06-27T12:00:00Z")).await.unwrap();

        assert!(matches!(ready[0], Err(ServiceError::UnknownLearner(user)) if user == users[0]), "{kind}");
        assert!(matches!(ready[2], Err(ServiceError::UnknownLearner(user)) if user == users[2]), "{kind}");
        let Ok(Ready { daily, weekly, monthly, analytics, heatmap, streaks, courses }) = &ready[1] else {
            panic!("{kind}: {:?}", ready[1]);
        };
        let given = [
            (StatisticKind::Daily, daily.is_some()),
            (StatisticKind::Weekly, weekly.is_some()),
            (StatisticKind::Monthly, monthly.is_some()),
            (StatisticKind::Analytics, analytics.is_some()),
            (StatisticKind::Heatmap, heatmap.is_some()),
            (StatisticKind::Streaks, streaks.is_some()),
            (StatisticKind::Courses, courses.is_some()),
        ];
        assert!(given.iter().all(|(of, is_given)| *is_given == (*of == kind)), "{kind}: {given:?}");
    }
}
