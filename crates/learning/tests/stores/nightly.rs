//! The rows that a platform reads about its learners' days: after any history they are what the sessions say.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tierkeep_db::{Dialect, Fence};
use tierkeep_learning::calendar::{Calendar, DayStart, Zone};
use tierkeep_learning::key::{KeyType, UserId};
use tierkeep_learning::local_day::LocalDay;
use tierkeep_learning::statistic::{Nightly, Trend, nightly};
use tierkeep_learning::store::nightly::{LOOK_BACK_DAYS, Updated};
use tierkeep_learning::store::{Keep, OpenMode, Store, StoreError, rederive};

use super::fresh::{Fresh, Outside, options};
use super::model::Model;
use super::outside;
use super::rows::{at, day, key_literal, learner, session, user};
use super::seeded::Chance;

on_both_with_both_keys!(rows_are_what_the_sessions_say_after_any_history);
on_both!(
    late_session_changes_the_rows_of_its_day_and_later_ones,
    without_its_mark_a_late_session_is_missed,
    nights_on_which_nobody_ran_are_made_up_for,
    deleted_session_takes_its_rows_along,
    raised_fence_lets_nothing_be_written,
    batches_go_on_where_the_last_one_ended,
    fold_of_a_learner_on_the_list_writes_nothing_to_it,
    move_to_another_zone_reaches_rows_of_days_without_sessions,
    erased_learner_has_no_rows,
    reader_writes_none,
);

const KEYS: KeyType = KeyType::Int;
const ACTIVE_DAYS: u32 = 7;
const SEEDS: u64 = 3;
const DEEDS: u32 = 45;
const LEARNERS: u32 = 5;
const ZONES: [Option<&str>; 5] =
    [None, Some("America/New_York"), Some("Asia/Shanghai"), Some("Pacific/Kiritimati"), Some("Australia/Lord_Howe")];

async fn settle(store: &dyn Store) {
    while store.settle().await.unwrap().more {}
}

/// Brings all rows up to date, in batches of two learners.
async fn update(store: &dyn Store, now: Timestamp) -> Updated {
    settle(store).await;
    let mut all = Updated::default();
    loop {
        let done = store.update_analytics(now, ACTIVE_DAYS, all.last, 2, None).await.unwrap();
        all = Updated {
            learners: all.learners + done.learners,
            rows_written: all.rows_written + done.rows_written,
            rows_unchanged: all.rows_unchanged + done.rows_unchanged,
            rows_removed: all.rows_removed + done.rows_removed,
            last: done.last,
        };
        if all.last.is_none() {
            return all;
        }
    }
}

async fn rows(store: &dyn Store, of: UserId) -> Vec<Nightly> {
    store.nightly_rows(of, None, 1000).await.unwrap()
}

async fn dates(store: &dyn Store, of: u32) -> Vec<String> {
    rows(store, user(KEYS, of)).await.iter().map(|row| row.date.to_string()).collect()
}

fn yesterday(calendar: &Calendar, now: Timestamp) -> LocalDay {
    let mut day = calendar.day_of(now).plus(-1);
    while !calendar.exists(day) {
        day = day.plus(-1);
    }
    day
}

/// The rows there should be, looking at each day of the last year by itself.
fn expected(model: &Model, of: UserId, now: Timestamp) -> Vec<Nightly> {
    let Some(calendar) = model.calendar(of) else { return Vec::new() };
    let (days, active) = (model.days(of).unwrap(), model.activity(of).unwrap());
    let last = yesterday(&calendar, now);
    let first = last.plus(1 - i32::try_from(LOOK_BACK_DAYS).unwrap());
    let mut rows = Vec::new();
    for date in first.through(last) {
        let has_session = (0..i32::try_from(ACTIVE_DAYS).unwrap()).any(|back| days.contains_key(&date.plus(-back)));
        if has_session && calendar.exists(date) {
            rows.push(nightly(date, &days, &active, &calendar));
        }
    }
    rows
}

/// Learners whose rows are not what they should be.
async fn wrong(store: &dyn Store, model: &Model, keys: KeyType, now: Timestamp) -> BTreeMap<UserId, String> {
    let mut wrong = BTreeMap::new();
    for n in 1..=LEARNERS {
        let of = user(keys, n);
        let (found, expected) = (rows(store, of).await, expected(model, of, now));
        if found != expected {
            wrong.insert(of, format!("found {found:#?}, expected {expected:#?}"));
        }
    }
    wrong
}

async fn rows_are_what_the_sessions_say_after_any_history(dialect: Dialect, keys: KeyType) {
    for seed in 1..=SEEDS {
        let fresh = Fresh::migrated(dialect, keys).await;
        let mut history = History {
            chance: Chance::new(seed),
            model: Model::new(Zone::utc(), DayStart::default()),
            store: fresh.store().await,
            outside: fresh.outside().await,
            fresh: &fresh,
            keys,
            now: at("2025-06-20T09:00:00Z"),
        };
        for number in 1..=DEEDS {
            let deed = history.deed().await;
            if number % 3 == 0 {
                let store = &*history.store;
                update(store, history.now).await;
                let wrong = wrong(store, &history.model, keys, history.now).await;
                assert!(wrong.is_empty(), "{dialect:?} seed {seed}, deed {number}: {deed}: {wrong:?}");
                let again = update(store, history.now).await;
                assert_eq!((again.rows_written, again.rows_removed), (0, 0), "seed {seed}, deed {number}: {deed}");
            }
        }
        history.store.close().await;
    }
}

struct History<'a> {
    chance: Chance,
    model: Model,
    store: Arc<dyn Store>,
    outside: Outside,
    fresh: &'a Fresh,
    keys: KeyType,
    now: Timestamp,
}

impl History<'_> {
    fn start(&mut self) -> Timestamp {
        self.now + SignedDuration::from_mins(24 * 60 - i64::from(self.chance.below(60 * 24 * 60)))
    }

    async fn deed(&mut self) -> &'static str {
        let keys = self.keys;
        match self.chance.below(16) {
            0..=4 => {
                for _ in 0..=self.chance.below(4) {
                    let mut row = self.chance.row(keys);
                    row.start_time = self.start();
                    row.end_time = None;
                    self.store.write_sessions(vec![row.clone()]).await.unwrap();
                    self.model.write(&row);
                }
                "sessions come, or change"
            }
            5..=6 => {
                let (n, zone) = (1 + self.chance.below(LEARNERS), self.chance.one_of(&ZONES).map(str::to_owned));
                self.store.write_users(vec![learner(keys, n, zone.as_deref())]).await.unwrap();
                self.model.put_learner(user(keys, n), zone);
                "a learner comes, or moves"
            }
            7 => {
                let (start, ids) = (self.start(), self.model.live.keys().copied().collect::<Vec<_>>());
                if !ids.is_empty() {
                    let id = *self.chance.one_of(&ids);
                    self.outside.run(&outside::set_start(self.fresh.dialect, "study_sessions", id, start)).await;
                    self.model.live.get_mut(&id).unwrap().start_time = start;
                }
                "a session moves"
            }
            8 => {
                let ids = self.model.live.keys().copied().collect::<Vec<_>>();
                if !ids.is_empty() {
                    let id = *self.chance.one_of(&ids);
                    self.outside.run(&outside::delete("study_sessions", id)).await;
                    self.model.live.remove(&id);
                }
                "a session goes"
            }
            9 => {
                let before = self.start();
                self.outside.run(&outside::archive_before(self.fresh.dialect, before)).await;
                let old = self.model.live.iter().filter(|(_, row)| row.start_time < before && !row.is_active);
                let old: Vec<_> = old.map(|(id, row)| (*id, row.clone())).collect();
                for (id, row) in old {
                    self.model.live.remove(&id);
                    self.model.archived.insert(id, row);
                }
                "old sessions are archived"
            }
            10 => {
                let ids: Vec<_> = self.model.archived.keys().copied().take(3).collect();
                self.store.delete_archived(&ids, Keep::Summaries).await.unwrap();
                self.model.age(&ids);
                "archived sessions are deleted by age"
            }
            11 => {
                let ids: Vec<_> = self.model.archived.keys().copied().take(2).collect();
                self.store.delete_archived(&ids, Keep::Nothing).await.unwrap();
                self.model.archived.retain(|id, _| !ids.contains(id));
                "archived sessions are deleted with their numbers"
            }
            12 => {
                rederive(&self.fresh.url, &options(OpenMode::Existing)).await.unwrap();
                "all is built anew"
            }
            13 => {
                self.store.forget(&[user(keys, 1 + self.chance.below(LEARNERS))]).await.unwrap();
                "a learner is built anew"
            }
            14 => {
                let of = user(keys, 1 + self.chance.below(LEARNERS));
                self.outside.run(&outside::delete_user(of)).await;
                self.model.learners.remove(&of);
                "a learner goes"
            }
            _ => {
                self.now += SignedDuration::from_hours(i64::from(self.chance.below(100)));
                "time passes"
            }
        }
    }
}

/// Learner 1 in Shanghai, with a session on each of some days at noon there.
async fn studied(dialect: Dialect, days: &[&str]) -> (Fresh, Arc<dyn Store>) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let store = fresh.store().await;
    store.write_users(vec![learner(KEYS, 1, Some("Asia/Shanghai"))]).await.unwrap();
    for (n, day) in (1..).zip(days) {
        store.write_sessions(vec![session(KEYS, n, 1, &format!("{day}T04:00:00Z"), 30)]).await.unwrap();
    }
    settle(&*store).await;
    (fresh, store)
}

/// Three in the morning of a day in Shanghai.
fn night(day: &str) -> Timestamp {
    at(&format!("{day}T00:00:00+08:00")) + SignedDuration::from_hours(3)
}

async fn late_session_changes_the_rows_of_its_day_and_later_ones(dialect: Dialect) {
    let (_fresh, store) = studied(dialect, &["2024-12-29", "2024-12-31"]).await;
    update(&*store, night("2025-01-01")).await;
    let before = rows(&*store, user(KEYS, 1)).await;
    let mut late = session(KEYS, 9, 1, "2024-12-30T04:00:00Z", 60);
    late.effectiveness_rating = Some(4);
    late.focus_hundredths = Some(85);
    late.break_count = 1;
    store.write_sessions(vec![late]).await.unwrap();

    let updated = update(&*store, night("2025-01-01")).await;

    let after = rows(&*store, user(KEYS, 1)).await;
    assert_eq!(before.iter().map(|row| row.current_streak).collect::<Vec<_>>(), [1, 0, 1]);
    assert_eq!(after.iter().map(|row| row.current_streak).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((updated.rows_written, updated.rows_removed), (2, 0), "the day before stays as it is");
    let row = &after[1];
    assert_eq!((row.date, row.iso_year, row.iso_week), (day("2024-12-30"), 2025, 1));
    assert_eq!((row.productive_sessions, row.productivity_rate), (1, Some(1.0)));
    assert_eq!((row.most_productive_hour, row.improvement_trend), (Some(12), Trend::Unknown));
}

async fn without_its_mark_a_late_session_is_missed(dialect: Dialect) {
    let (fresh, store) = studied(dialect, &["2025-06-10"]).await;
    let outside = fresh.outside().await;
    update(&*store, night("2025-06-12")).await;
    let before = rows(&*store, user(KEYS, 1)).await;
    outside.run("create table aside as select * from tierkeep_analytics_due").await;
    store.write_sessions(vec![session(KEYS, 9, 1, "2025-06-11T04:00:00Z", 60)]).await.unwrap();
    settle(&*store).await;
    outside
        .run("delete from tierkeep_analytics_due; insert into tierkeep_analytics_due select user_id, first_day from aside")
        .await;

    update(&*store, night("2025-06-12")).await;

    assert_eq!(rows(&*store, user(KEYS, 1)).await, before, "nothing told that the row is wrong");
}

async fn nights_on_which_nobody_ran_are_made_up_for(dialect: Dialect) {
    let (_fresh, store) = studied(dialect, &["2025-06-10"]).await;
    update(&*store, night("2025-06-12")).await;
    assert_eq!(dates(&*store, 1).await, ["2025-06-10", "2025-06-11"]);

    update(&*store, night("2025-06-15")).await;
    assert_eq!(dates(&*store, 1).await.last().unwrap(), "2025-06-14");
    update(&*store, night("2025-08-01")).await;

    assert_eq!(dates(&*store, 1).await.len(), 7, "until the session is too old");
    assert_eq!(store.queues().await.unwrap().analytics_due, 0, "nobody waits any more");
}

async fn deleted_session_takes_its_rows_along(dialect: Dialect) {
    let (fresh, store) = studied(dialect, &["2025-06-01", "2025-06-10"]).await;
    update(&*store, night("2025-06-12")).await;
    let outside = fresh.outside().await;
    outside.run("delete from study_sessions where id = 2").await;

    let updated = update(&*store, night("2025-06-12")).await;

    assert_eq!(updated.rows_removed, 2);
    assert_eq!(dates(&*store, 1).await.last().unwrap(), "2025-06-07");
}

async fn raised_fence_lets_nothing_be_written(dialect: Dialect) {
    let (fresh, store) = studied(dialect, &["2025-06-10"]).await;
    let outside = fresh.outside().await;
    outside.run("insert into tierkeep_fence (name, token) values ('update-analytics', 5)").await;
    let with = async |token| {
        let fence = Fence::new("update-analytics", token);
        store.update_analytics(night("2025-06-12"), ACTIVE_DAYS, None, 10, Some(&fence)).await
    };

    let refused = with(4).await.unwrap_err();

    assert!(matches!(refused, StoreError::Database(tierkeep_db::Error::Fenced { .. })), "{refused:?}");
    assert!(dates(&*store, 1).await.is_empty());
    assert_eq!(with(5).await.unwrap().rows_written, 2);
}

async fn batches_go_on_where_the_last_one_ended(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KEYS).await;
    let store = fresh.store().await;
    for n in 1..=5 {
        store.write_users(vec![learner(KEYS, n, None)]).await.unwrap();
        store.write_sessions(vec![session(KEYS, n, n, "2025-06-10T12:00:00Z", 30)]).await.unwrap();
    }
    settle(&*store).await;
    let now = at("2025-06-11T03:00:00Z");
    let first = store.update_analytics(now, ACTIVE_DAYS, None, 2, None).await.unwrap();
    assert_eq!((first.learners, first.rows_written, first.last), (2, 2, Some(user(KEYS, 2))));
    store.close().await;

    // another process, which begins anew
    let store = fresh.store().await;
    let rest = update(&*store, now).await;

    assert_eq!((rest.learners, rest.rows_written), (3, 3));
    assert_eq!(fresh.outside().await.count("tierkeep_learning_analytics").await, 5);
}

async fn fold_of_a_learner_on_the_list_writes_nothing_to_it(dialect: Dialect) {
    let (fresh, store) = studied(dialect, &["2025-06-10"]).await;
    let outside = fresh.outside().await;
    let version = match dialect {
        Dialect::Sqlite => "select cast(first_day as text) from tierkeep_analytics_due",
        Dialect::Postgres => "select first_day || ' ' || ctid::text || ' ' || xmax::text from tierkeep_analytics_due",
    };
    let before = outside.texts(version).await;

    store.write_sessions(vec![session(KEYS, 9, 1, "2025-06-11T04:00:00Z", 60)]).await.unwrap();
    settle(&*store).await;

    assert_eq!(outside.texts(version).await, before);
    store.write_sessions(vec![session(KEYS, 10, 1, "2025-06-09T04:00:00Z", 60)]).await.unwrap();
    settle(&*store).await;
    assert_ne!(outside.texts(version).await, before);
}

async fn move_to_another_zone_reaches_rows_of_days_without_sessions(dialect: Dialect) {
    let (_fresh, store) = studied(dialect, &[]).await;
    let now = store.database_now().await.unwrap();
    let start = (now - SignedDuration::from_hours(72)).to_string();
    store.write_sessions(vec![session(KEYS, 1, 1, &start, 30)]).await.unwrap();
    // by a clock that runs ahead, so that days after the move have rows
    let later = now + SignedDuration::from_hours(48);
    update(&*store, later).await;
    let before = rows(&*store, user(KEYS, 1)).await;
    store.write_users(vec![learner(KEYS, 1, Some("Europe/Paris"))]).await.unwrap();

    let updated = update(&*store, later).await;

    let after = rows(&*store, user(KEYS, 1)).await;
    assert!(before.iter().all(|row| row.time_zone.name() == "Asia/Shanghai"));
    assert_eq!(after.first().unwrap().time_zone.name(), "Asia/Shanghai", "days before the move keep theirs");
    // not the last, perhaps: a day that is over in Shanghai and not in Paris keeps its row until it is
    assert!(after.iter().any(|row| row.time_zone.name() == "Europe/Paris"), "{after:?}");
    assert!(updated.rows_written > 0, "{updated:?}");
}

async fn erased_learner_has_no_rows(dialect: Dialect) {
    let (fresh, store) = studied(dialect, &["2025-06-10"]).await;
    update(&*store, night("2025-06-12")).await;

    let erased = store.erase(user(KEYS, 1)).await.unwrap().unwrap();

    assert_eq!((erased.removed["tierkeep_learning_analytics"], erased.removed["tierkeep_analytics_due"]), (2, 1));
    assert!(erased.is_complete(), "{:?}", erased.remaining);
    assert!(rows(&*store, user(KEYS, 1)).await.is_empty());
    let outside = fresh.outside().await;
    assert_eq!(
        outside
            .number(&format!(
                "select count(*) from tierkeep_analytics_due where user_id = {}",
                key_literal(user(KEYS, 1).key())
            ))
            .await,
        0
    );
}

async fn reader_writes_none(dialect: Dialect) {
    let (fresh, _store) = studied(dialect, &["2025-06-10"]).await;
    let reader = fresh.reader().await;

    let updated = reader.update_analytics(night("2025-06-12"), ACTIVE_DAYS, None, 10, None).await.unwrap();

    assert_eq!(updated, Updated::default());
    assert!(rows(&*reader, user(KEYS, 1)).await.is_empty());
}
