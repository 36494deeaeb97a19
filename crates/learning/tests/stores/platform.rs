//! Reading only: on our own tables and on a platform's, with no right but SELECT, and leaving no trace.

use std::sync::Arc;

use tierkeep_db::Dialect;
use tierkeep_learning::calendar::{DayStart, Zone};
use tierkeep_learning::key::{Key, KeyType, UserId};
use tierkeep_learning::language::Language;
use tierkeep_learning::local_day::{LocalDay, Year};
use tierkeep_learning::mapping::Mapping;
use tierkeep_learning::rows::{ProgressRow, SessionRow, UserRow};
use tierkeep_learning::service::{Settings, Statistics};
use tierkeep_learning::store::{OpenMode, OpenOptions, Store, migrate, open};
use tierkeep_testkit::SqliteFile;

use super::fresh::{Fresh, Outside, options};
use super::model::Model;
use super::rows::{
    at, day, instant_literal, key_literal, learner, progress, session, session_values, text_literal, user,
};
use super::seeded::Chance;

on_both_with_both_keys!(reading_only_gives_the_stored_answers_and_changes_nothing);

const PLATFORM: &str = include_str!("schemas/platform.sql");
const DJANGO: &str = include_str!("schemas/django_default.sql");
const STRANGE: &str = include_str!("schemas/strange.sql");

/// Everything in the database that somebody made, by kind and name.
const INSTALLED: &str = "select kind || ' ' || name from (
    select 'relation' as kind, relname::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'
    union all select 'trigger', tgname || ' ' || tgenabled::text from pg_trigger
    union all select 'function', proname::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname not like 'pg\\_%' and n.nspname <> 'information_schema'
    union all select 'schema', nspname::text from pg_namespace where nspname not like 'pg\\_temp%' and nspname not like 'pg\\_toast%'
) as found order by 1";

async fn reading_only_gives_the_stored_answers_and_changes_nothing(dialect: Dialect, keys: KeyType) {
    let fresh = Fresh::migrated(dialect, keys).await;
    let (store, outside) = (fresh.store().await, fresh.outside().await);
    let mut model = Model::new(Zone::utc(), DayStart::default());
    let mut chance = Chance::new(77);
    for (n, zone) in [(1, Some("Asia/Shanghai")), (2, None), (3, Some("Pacific/Apia"))] {
        store.write_users(vec![learner(keys, n, zone)]).await.unwrap();
        model.put_learner(user(keys, n), zone.map(str::to_owned));
    }
    let users: Vec<UserId> = (1..=8).map(|n| user(keys, n)).collect();
    let span = (day("2025-03-01"), day("2025-12-31"));

    // nothing folded, all folded, part of it changed since
    for part in ["unfolded", "folded", "changed"] {
        if part != "folded" {
            let rows: Vec<SessionRow> = (0..40).map(|_| chance.row(keys)).collect();
            store.write_sessions(rows.clone()).await.unwrap();
            rows.iter().for_each(|row| model.write(row));
        }
        if part == "folded" {
            while store.settle().await.unwrap().more {}
        }
        let reader = reader_with_select_only(&fresh, &outside).await;
        let before = contents(dialect, &outside).await;

        model.compare(&*reader, &users, span, part).await;
        model.compare(&*reader, &users[..1], span, part).await;
        model.compare_totals(&*reader, day("2025-06-28"), part).await;
        assert_eq!(reader.users(None, 10).await.unwrap(), store.users(None, 10).await.unwrap());
        let listed = reader.sessions(users[0], None, 50).await.unwrap();
        assert_eq!(listed, store.sessions(users[0], None, 50).await.unwrap());
        reader.check().await.unwrap();
        assert!(reader.is_read_only());
        assert!(reader.settle().await.is_err() && reader.write_sessions(Vec::new()).await.is_err());

        assert_eq!(contents(dialect, &outside).await, before, "{part}");
        reader.close().await;
    }
}

/// A store as a role that may read and do nothing else.
async fn reader_with_select_only(fresh: &Fresh, outside: &Outside) -> Arc<dyn Store> {
    if fresh.dialect == Dialect::Sqlite {
        return fresh.reader().await;
    }
    open_as_reader(fresh, outside, &options(OpenMode::ReadOnly)).await
}

async fn open_as_reader(fresh: &Fresh, outside: &Outside, options: &OpenOptions) -> Arc<dyn Store> {
    let role = format!("reader_of_{}", outside.texts("select current_database()::text").await[0]);
    outside
        .run(&format!(
            "do $$ begin create role {role} login; exception when duplicate_object then null; end $$; \
             grant select on all tables in schema public to {role}"
        ))
        .await;
    let url = fresh.text.replacen("postgres@", &format!("{role}@"), 1).parse().unwrap();
    let store = open(&url, options).await.unwrap();
    let refused = open(&url, &OpenOptions { mode: OpenMode::Create { ids: None }, ..options.clone() }).await;
    assert!(refused.is_err(), "the role may do no more");
    store
}

/// Every row of every table with what tells its version, and what is installed.
async fn contents(dialect: Dialect, outside: &Outside) -> Vec<String> {
    let mut contents = Vec::new();
    match dialect {
        Dialect::Sqlite => {
            contents.push(outside.number("pragma data_version").await.to_string());
            contents.extend(outside.texts("select type || name || coalesce(sql, '') from sqlite_schema").await);
        }
        Dialect::Postgres => {
            contents.extend(outside.texts(INSTALLED).await);
            let tables = "select format('%I', tablename) from pg_tables where schemaname = 'public' order by 1";
            for table in outside.texts(tables).await {
                let rows =
                    format!("select xmin::text || ' ' || ctid::text || ' ' || t::text from {table} t order by 1");
                contents.extend(outside.texts(&rows).await);
            }
        }
    }
    contents
}

/// Rows that fit the platform's constraints.
fn valid_rows(chance: &mut Chance, count: u32) -> Vec<SessionRow> {
    let mut rows = Vec::new();
    while rows.len() < count as usize {
        let mut row = chance.row(KeyType::Uuid);
        let n = 1000 + u32::try_from(rows.len()).unwrap();
        row.id = session(KeyType::Uuid, n, 1, "2025-01-01T00:00:00Z", 0).id;
        row.subject_category.truncate(0);
        let facts = super::rows::facts(&row);
        if facts.fault().is_none() && row.end_time != Some(row.start_time) && row.user_id <= user(KeyType::Uuid, 6) {
            rows.push(row);
        }
    }
    rows
}

fn courses(keys: KeyType) -> Vec<ProgressRow> {
    let mut rows: Vec<ProgressRow> = (1..=6).map(|n| progress(keys, 500 + n, 1 + n % 4, 700 + n)).collect();
    rows[0].est_finish_hour = None;
    rows[1].learning_hour_total = 99;
    rows[2].subject_name = "топология".to_owned();
    rows
}

/// The same rows in a platform's tables.
async fn fill_platform(outside: &Outside, users: &[UserRow], courses: &[ProgressRow], sessions: &[SessionRow]) {
    let mut sql = String::new();
    for row in users {
        let id = key_literal(row.id.key());
        let (email, name) = (text_literal(&row.email), text_literal(&row.username));
        sql += &format!(
            "insert into users values ({id}, {email}, {name}, '!', null, '2025-01-01Z', {}, false, false);",
            row.is_active
        );
    }
    for row in courses {
        let content = key_literal(row.content_id.key());
        sql += &format!("insert into course_contents values ({content}, '[1]', '[]', now(), now());");
        sql += &format!(
            "insert into course_progress values ({}, {}, '', {}, {}, {}, {}, {}, '{{}}', '{}', '{}', {content}, {});",
            key_literal(row.id.key()),
            text_literal(&row.subject_name),
            row.proficiency_level,
            row.learning_hour_week,
            row.learning_hour_total,
            row.est_finish_hour.map_or_else(|| "null".to_owned(), |hours| hours.to_string()),
            row.difficulty,
            row.created_at,
            row.updated_at,
            key_literal(row.user_id.key()),
        );
    }
    for row in sessions {
        let values = session_values(Dialect::Postgres, row);
        sql += &format!("insert into study_sessions ({}) values {values};", super::rows::SESSION_COLUMNS);
    }
    outside.run(&sql).await;
}

fn platform_options(zone: &str) -> OpenOptions {
    let mapping: Mapping = serde_json::from_value(serde_json::json!({ "preset": "platform" })).unwrap();
    OpenOptions { mapping, default_zone: Zone::new(zone).unwrap(), ..options(OpenMode::ReadOnly) }
}

#[tokio::test]
async fn platform_is_read_as_the_model_says_and_nothing_is_installed() {
    let fresh = Fresh::with_schema(PLATFORM).await;
    let outside = fresh.outside().await;
    let users: Vec<UserRow> = (1..=6).map(|n| learner(KeyType::Uuid, n, None)).collect();
    let sessions = valid_rows(&mut Chance::new(5), 150);
    let courses = courses(KeyType::Uuid);
    fill_platform(&outside, &users, &courses, &sessions).await;
    let before = contents(Dialect::Postgres, &outside).await;

    for zone in ["UTC", "America/New_York", "Pacific/Apia"] {
        let store = open_as_reader(&fresh, &outside, &platform_options(zone)).await;
        let mut model = Model::new(Zone::new(zone).unwrap(), DayStart::default());
        users.iter().for_each(|row| model.put_learner(row.id, None));
        sessions.iter().for_each(|row| model.write(row));

        let asked: Vec<UserId> = (1..=7).map(|n| user(KeyType::Uuid, n)).collect();
        let span = (day("2025-03-08"), day("2025-06-30"));
        model.compare(&*store, &asked, span, zone).await;
        model.compare(&*store, &asked[..1], span, zone).await;
        model.compare(&*store, &asked[6..], span, zone).await;
        for today in ["2025-03-10", "2025-06-28", "2011-12-31", "2090-03-01"] {
            model.compare_totals(&*store, day(today), zone).await;
        }
        assert_eq!(store.users(None, 50).await.unwrap(), users);
        assert_eq!(store.users(Some(users[3].id), 1).await.unwrap(), users[4..5]);
        for id in &asked {
            let mut wanted: Vec<SessionRow> = sessions.iter().filter(|row| row.user_id == *id).cloned().collect();
            wanted.sort_by_key(|row| std::cmp::Reverse((row.start_time, row.id)));
            let listed = store.sessions(*id, None, 200).await.unwrap();
            assert_eq!(listed.is_some(), model.learners.contains_key(id));
            let listed = listed.unwrap_or_default();
            assert!(listed.iter().all(|listed| !listed.archived));
            assert_eq!(listed.into_iter().map(|listed| listed.row).collect::<Vec<_>>(), wanted);
        }
        let found = store.learner_courses(&asked).await.unwrap();
        for (id, found) in asked.iter().zip(found) {
            let mut found: Vec<_> = found.map(|found| found.rows).unwrap_or_default();
            found.sort_by_key(|row| row.id);
            let wanted: Vec<_> = courses.iter().filter(|row| row.user_id == *id).collect();
            assert_eq!(found.len(), wanted.len());
            for (found, wanted) in found.iter().zip(wanted) {
                assert_eq!((found.id, found.content_id), (wanted.id, wanted.content_id));
                assert_eq!(
                    (found.est_finish_hour, &found.subject_name),
                    (wanted.est_finish_hour, &wanted.subject_name)
                );
                assert_eq!(
                    (found.learning_hour_total, found.updated_at),
                    (wanted.learning_hour_total, wanted.updated_at)
                );
            }
        }
        store.check().await.unwrap();
        store.close().await;
    }

    assert_eq!(contents(Dialect::Postgres, &outside).await, before);
}

#[tokio::test]
async fn second_platform_is_read_through_its_own_names() {
    let fresh = Fresh::with_schema(DJANGO).await;
    let outside = fresh.outside().await;
    outside
        .run(
            "insert into auth_user values (1, 'ann', 'a@example.org', true, null, '2025-01-01Z'),
                (2, 'bob', 'b@example.org', false, '2025-02-01Z', '2025-01-01Z');
             insert into study_studysession values
                (1, 1, '2025-06-27 20:00Z', null, 30, 4, false, 'home', 'art', 'x', '2025-06-27Z'),
                (2, 1, '2025-06-28 20:00Z', '2025-06-28 21:00Z', 40, null, true, '', '', '', '2025-06-27Z'),
                (3, 1, '2025-06-28 20:00Z', '2025-06-28 19:00Z', 50, null, true, '', '', '', '2025-06-27Z'),
                (4, 1, '2025-06-28 20:00Z', null, -1, null, true, '', '', '', '2025-06-27Z'),
                (5, null, '2025-06-28 20:00Z', null, 60, null, true, '', '', '', '2025-06-27Z'),
                (6, 2, '2025-06-28 20:00Z', null, 70, 9, true, '', '', '', '2025-06-27Z');
             insert into courses_enrollment values (9, 1, 5, 'art', 50, 10, null, '2025-06-27Z')",
        )
        .await;
    let mapping: Mapping = serde_json::from_value(serde_json::json!({
        "preset": "none",
        "users": { "table": "auth_user", "created_at": "date_joined" },
        "study_sessions": {
            "table": "study_studysession", "user_id": "student_id", "start_time": "started_at", "end_time": "ended_at",
            "duration_minutes": "minutes", "effectiveness_rating": "rating", "is_active": "not finished",
            "learning_environment": "place", "subject_category": "subject", "notes": "comment", "updated_at": "modified",
        },
        "course_progress": {
            "table": "courses_enrollment", "user_id": "student_id", "content_id": "course_id", "subject_name": "subject",
            "proficiency_level": "percent", "learning_hour_total": "hours", "est_finish_hour": "hours_expected",
            "updated_at": "modified",
        },
    }))
    .unwrap();
    let before = contents(Dialect::Postgres, &outside).await;
    let store = open_as_reader(&fresh, &outside, &OpenOptions { mapping, ..options(OpenMode::ReadOnly) }).await;

    assert_eq!(store.key_type(), KeyType::Int);
    let asked = [user(KeyType::Int, 1), user(KeyType::Int, 2), user(KeyType::Int, 3)];
    let mut answers = store.learner_days(&asked, day("2025-06-01")..=day("2025-06-30")).await.unwrap();
    assert!(answers.pop().unwrap().is_none());
    assert!(answers.pop().unwrap().unwrap().days.is_empty(), "a rating of 9 is invalid");
    let days = answers.pop().unwrap().unwrap().days;
    let found: Vec<_> = days.iter().map(|(day, found)| (*day, found.sessions, found.minutes, found.active)).collect();
    assert_eq!(found, [(day("2025-06-27"), 1, 30, 1), (day("2025-06-28"), 1, 40, 0)]);
    assert_eq!(days[&day("2025-06-27")].environments.most(), Some("home"));
    assert!(days[&day("2025-06-27")].devices.is_empty());
    let totals = store.global_totals(day("2025-06-28")).await.unwrap().totals;
    assert_eq!((totals.users, totals.sessions, totals.minutes), (1, 2, 70));
    let listed = store.sessions(asked[0], None, 10).await.unwrap().unwrap();
    let ids: Vec<_> = listed.iter().map(|listed| listed.row.id.key()).collect();
    assert_eq!(ids, [4, 3, 2, 1].map(Key::Int));
    assert!(listed[3].row.is_active && listed[3].row.notes == "x" && listed[3].row.focus_hundredths.is_none());
    let users = store.users(None, 10).await.unwrap();
    assert_eq!(users.iter().map(|row| row.username.as_str()).collect::<Vec<_>>(), ["ann", "bob"]);
    assert_eq!(store.users(Some(asked[0]), 10).await.unwrap(), users[1..]);
    let courses = store.learner_courses(&asked[..1]).await.unwrap().remove(0).unwrap().rows;
    assert_eq!((courses.len(), courses[0].proficiency_level, courses[0].learning_hour_week), (1, 50, 0));

    assert_eq!(contents(Dialect::Postgres, &outside).await, before);
}

fn strange_mapping(course: &serde_json::Value) -> Mapping {
    serde_json::from_value(serde_json::json!({
        "preset": "none",
        "users": { "table": "person", "time_zone": "tz" },
        "study_sessions": {
            "table": "sitting", "user_id": "person", "start_time": "started", "end_time": "ended",
            "duration_minutes": "minutes", "effectiveness_rating": "stars", "focus_score": "focus",
            "break_count": "breaks", "learning_environment": "place",
        },
        "course_progress": course,
    }))
    .unwrap()
}

#[tokio::test]
async fn columns_of_other_widths_are_read_and_values_outside_every_range_do_not_count() {
    let fresh = Fresh::with_schema(STRANGE).await;
    let outside = fresh.outside().await;
    outside
        .run(
            "insert into person values (1, 'Asia/Shanghai'), (2, null), (3, 'Nowhere'), (2147483647, '');
             insert into sitting values
                (1, 1, '2025-06-27 20:00', '2025-06-27 21:00', 30, 5, 0.29, 2, 'home'),
                (2, 1, '2025-06-27 20:00', null, null, null, null, null, null),
                (3, 1, '2025-06-27 20:00', null, 30, 2147483647, null, 0, ''),
                (4, 1, '2025-06-27 20:00', null, 30, -1, null, 0, ''),
                (5, 1, '2025-06-27 20:00', null, 30, null, 'NaN', 0, ''),
                (6, 1, '2025-06-27 20:00', null, 30, null, 1.0001, 0, ''),
                (7, 1, '2025-06-27 20:00', null, 30, null, -0.0001, 0, ''),
                (8, 1, '2025-06-27 20:00', null, 30, null, 'infinity', 0, ''),
                (9, 1, 'infinity', null, 30, null, null, 0, ''),
                (10, 1, '-infinity', null, 30, null, null, 0, ''),
                (11, 1, '20000-01-01', null, 30, null, null, 0, ''),
                (12, 1, null, null, 30, null, null, 0, ''),
                (13, 1, '2025-06-27 20:00', 'infinity', 9223372036854775807, null, 1.0, 9223372036854775807, ''),
                (14, 1, '2025-06-27 20:00', '-infinity', 30, null, null, 0, ''),
                (15, 2147483647, '2025-06-27 20:00', null, 1, null, 0, 0, 'x');
             alter database current_database_name set timezone = 'Asia/Tokyo'"
                .replace("current_database_name", &outside.texts("select current_database()::text").await[0])
                .as_str(),
        )
        .await;
    let nothing = strange_mapping(&serde_json::json!({ "table": "nothing" }));
    let refused = open(&fresh.url, &OpenOptions { mapping: nothing, ..options(OpenMode::ReadOnly) }).await;
    assert!(refused.unwrap_err().to_string().contains("nothing"));
    let course = serde_json::json!({ "table": "course", "user_id": "person", "content_id": "content" });
    let options = OpenOptions { mapping: strange_mapping(&course), ..options(OpenMode::ReadOnly) };
    let store = open(&fresh.url, &options).await.unwrap();

    let asked = [1, 2, 3, i32::MAX.unsigned_abs()].map(|n| user(KeyType::Int, n));
    for users in [&asked[..], &asked[..1]] {
        let answer = store.learner_days(users, super::rows::ALL_DAYS).await.unwrap().remove(0).unwrap();
        let found: Vec<_> = answer.days.iter().map(|(day, found)| (*day, found.sessions, found.minutes)).collect();
        assert_eq!(found, [(day("2025-06-28"), 3, 30 + u64::try_from(i32::MAX).unwrap())]);
        assert_eq!(answer.days[&day("2025-06-28")].focus_hundredths, 129);
    }
    let totals = store.global_totals(day("2025-06-28")).await.unwrap().totals;
    assert_eq!((totals.users, totals.sessions), (2, 4));
    assert_eq!(totals.minutes, 31 + u64::try_from(i32::MAX).unwrap());
    assert_eq!(totals.by_day.into_iter().collect::<Vec<_>>(), [(day("2025-06-27"), 1), (day("2025-06-28"), 3)]);
    let mut after = None;
    let mut listed = Vec::new();
    while let Some(page) = store.users(after, 1).await.unwrap().pop() {
        after = Some(page.id);
        listed.push(page.time_zone);
    }
    assert_eq!(listed.len(), 4);
    let mut after = None;
    let mut count = 0;
    while let Some(page) = store.sessions(asked[0], after, 1).await.unwrap().unwrap().pop() {
        after = Some(tierkeep_learning::store::SessionPlace { start_time: page.row.start_time, id: page.row.id });
        count += 1;
    }
    assert_eq!(count, 10, "all but those that start at no instant");
    assert_eq!(store.learner_courses(&asked).await.unwrap().len(), 4);
}

#[tokio::test]
async fn same_rows_give_the_same_json_wherever_they_lie() {
    let users: Vec<UserRow> = (1..=6).map(|n| learner(KeyType::Uuid, n, None)).collect();
    let sessions = valid_rows(&mut Chance::new(11), 240);
    let courses = courses(KeyType::Uuid);
    let platform = Fresh::with_schema(PLATFORM).await;
    let outside = platform.outside().await;
    fill_platform(&outside, &users, &courses, &sessions).await;

    for zone in ["UTC", "America/New_York", "Australia/Lord_Howe"] {
        let mut stores = vec![open(&platform.url, &platform_options(zone)).await.unwrap()];
        let (file, server) = (SqliteFile::new().unwrap(), Fresh::empty(Dialect::Postgres).await);
        for url in [file.url().parse().unwrap(), server.url.clone()] {
            let options = OpenOptions {
                default_zone: Zone::new(zone).unwrap(),
                ..options(OpenMode::Create { ids: Some(KeyType::Uuid) })
            };
            migrate(&url, &options).await.unwrap();
            let store = open(&url, &options).await.unwrap();
            store.write_users(users.clone()).await.unwrap();
            store.write_progress(courses.clone()).await.unwrap();
            store.write_sessions(sessions.clone()).await.unwrap();
            stores.push(store);
        }

        let mut answers = Vec::new();
        for store in stores {
            let settings = Settings {
                default_zone: Zone::new(zone).unwrap(),
                day_start: DayStart::default(),
                language: Language::En,
            };
            answers.push(Box::pin(all_json(&Statistics::new(store, settings), &sessions)).await);
        }
        assert!(answers[0].len() > 900, "240 learner-days, four statistics each, and the others");
        for (n, first) in answers[0].iter().enumerate() {
            assert_eq!(&answers[1][n], first, "SQLite, {zone}");
            assert_eq!(&answers[2][n], first, "PostgreSQL, {zone}");
        }
    }
}

/// Every statistic on days with sessions, as text without the clock.
async fn all_json(statistics: &Statistics, sessions: &[SessionRow]) -> Vec<String> {
    fn show<T: serde::Serialize>(answers: impl IntoIterator<Item = T>) -> Vec<String> {
        let text = |answer| {
            let mut json = serde_json::to_value(answer).unwrap();
            json.as_object_mut().unwrap().remove("as_of").unwrap();
            json.to_string()
        };
        answers.into_iter().map(text).collect()
    }
    let users: Vec<UserId> = (1..=6).map(|n| user(KeyType::Uuid, n)).collect();
    let mut all = Vec::new();
    for row in sessions {
        let now = row.start_time;
        let one = [row.user_id];
        let day = LocalDay::clamped(now.to_zoned(jiff::tz::TimeZone::UTC).date());
        all.extend(show(statistics.daily(&one, Some(day), now).await.unwrap().into_iter().map(Result::unwrap)));
        all.extend(show(statistics.daily(&one, None, now).await.unwrap().into_iter().map(Result::unwrap)));
        all.extend(show(statistics.weekly(&one, Some(day), now).await.unwrap().into_iter().map(Result::unwrap)));
        let window = tierkeep_learning::statistic::WindowDays::default();
        let analytics = statistics.analytics(&one, None, window, None, now).await.unwrap();
        all.extend(show(analytics.into_iter().map(Result::unwrap)));
    }
    for now in ["2025-03-09T12:00:00Z", "2025-06-28T00:30:00Z", "2090-03-01T00:00:00Z"] {
        let now = at(now);
        all.extend(show(statistics.monthly(&users, None, now).await.unwrap().into_iter().map(Result::unwrap)));
        all.extend(show(statistics.streaks(&users, now).await.unwrap().into_iter().map(Result::unwrap)));
        let year = Some(Year::new(2025).unwrap()).filter(|_| now > at("2025-06-01T00:00:00Z"));
        all.extend(show(statistics.heatmap(&users, year, now).await.unwrap().into_iter().map(Result::unwrap)));
        all.extend(show(statistics.courses(&users, now).await.unwrap().into_iter().map(Result::unwrap)));
        all.extend(show([statistics.global(now).await.unwrap()]));
    }
    all
}

#[tokio::test]
async fn platform_of_another_schema_is_found_by_its_full_name() {
    let fresh =
        Fresh::with_schema("create schema \"Learning Platform\"; set search_path = \"Learning Platform\"").await;
    let outside = fresh.outside().await;
    outside.run(&format!("set search_path = \"Learning Platform\"; {PLATFORM}")).await;
    let start = instant_literal(Dialect::Postgres, at("2025-06-27T20:00:00Z"));
    fill_platform(
        &outside,
        &[learner(KeyType::Uuid, 1, None)],
        &[],
        &[session(KeyType::Uuid, 1, 1, "2025-06-27T20:00:00Z", 5)],
    )
    .await;
    let mapping: Mapping = serde_json::from_value(serde_json::json!({
        "preset": "platform",
        "users": { "table": "Learning Platform.users" },
        "course_progress": { "table": "Learning Platform.course_progress" },
        "study_sessions": { "table": "Learning Platform.study_sessions" },
    }))
    .unwrap();

    let store = open(&fresh.url, &OpenOptions { mapping, ..options(OpenMode::ReadOnly) }).await.unwrap();

    let listed = store.sessions(user(KeyType::Uuid, 1), None, 5).await.unwrap().unwrap();
    assert_eq!(instant_literal(Dialect::Postgres, listed[0].row.start_time), start);
}
