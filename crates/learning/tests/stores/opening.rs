//! Opening and migrating: what is made, what is refused, and what a refusal says.

use std::error::Error;

use tierkeep_db::{Dialect, PoolConfig};
use tierkeep_learning::calendar::{DayStart, Zone};
use tierkeep_learning::key::KeyType;
use tierkeep_learning::mapping::Mapping;
use tierkeep_learning::store::{Migrated, OpenMode, OpenOptions, StoreError, migrate, open, rederive};
use tierkeep_testkit::SqliteFile;

use super::fresh::{Fresh, options};
use super::rows::{ALL_DAYS, day, learner, session, user};

on_both!(
    migrating_twice_changes_nothing_the_second_time,
    database_without_tables_is_named_as_such,
    newer_database_is_refused_and_left_alone,
    empty_tables_change_their_type_of_key_and_used_ones_do_not,
    what_cannot_be_made_again_keeps_the_type_of_key,
    other_days_than_stored_are_refused_until_rederived,
    store_that_was_open_while_days_changed_saves_nothing,
    mapping_to_what_is_not_there_says_what_is_there,
    platforms_tables_are_only_read,
    tables_that_somebody_else_made_are_left_alone,
    closed_store_answers_with_an_error,
    migration_by_many_at_once_is_one_migration,
);

/// The message of an error with those of its causes.
/// Number of the last migration, and how many there are.
const NEWEST: u32 = 13;
const MIGRATIONS: u32 = 13;

pub(crate) fn message(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        message = format!("{message}: {inner}");
        cause = inner.source();
    }
    message
}

fn assert_says(error: &StoreError, words: &[&str]) {
    let message = message(error);
    for word in words {
        assert!(message.contains(word), "{word:?} is missing in {message:?}");
    }
    assert!(!message.contains('\n') && !message.ends_with('.'), "{message:?}");
}

fn create(ids: Option<KeyType>) -> OpenOptions {
    options(OpenMode::Create { ids })
}

async fn migrating_twice_changes_nothing_the_second_time(dialect: Dialect) {
    let fresh = Fresh::empty(dialect).await;

    let first = migrate(&fresh.url, &create(None)).await.unwrap();
    let second = migrate(&fresh.url, &create(None)).await.unwrap();

    assert_eq!(first, Migrated { ids: KeyType::Uuid, version: NEWEST, applied: MIGRATIONS });
    assert_eq!(second, Migrated { ids: KeyType::Uuid, version: NEWEST, applied: 0 });
    let store = open(&fresh.url, &create(None)).await.unwrap();
    assert_eq!((store.key_type(), store.is_read_only()), (KeyType::Uuid, false));
    store.check().await.unwrap();
}

async fn database_without_tables_is_named_as_such(dialect: Dialect) {
    let fresh = Fresh::empty(dialect).await;
    if dialect == Dialect::Sqlite {
        let error = fresh.open(OpenMode::Existing).await.unwrap_err();
        assert_says(&error, &["test.db", "does not exist"]);
        let error = fresh.open(OpenMode::ReadOnly).await.unwrap_err();
        assert_says(&error, &["test.db", "does not exist"]);
        let error = rederive(&fresh.url, &options(OpenMode::Existing)).await.unwrap_err();
        assert_says(&error, &["test.db", "does not exist"]);
        fresh.outside().await.run("pragma user_version = 7").await;
    }

    let error = fresh.open(OpenMode::Existing).await.unwrap_err();

    assert!(matches!(error, StoreError::NotMigrated), "{error}");
    assert_says(&error, &["no tables", "tierkeep migrate", "--read-only"]);
    let error = rederive(&fresh.url, &options(OpenMode::Existing)).await.unwrap_err();
    assert!(matches!(error, StoreError::NotMigrated), "{error}");
    let error = fresh.open(OpenMode::ReadOnly).await.unwrap_err();
    assert_says(&error, &["no table", "users", "[mapping"]);
}

async fn newer_database_is_refused_and_left_alone(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KeyType::Uuid).await;
    let outside = fresh.outside().await;
    let columns = outside.texts(match dialect {
        Dialect::Sqlite => "select name from pragma_table_info('tierkeep_migrations') where name <> 'version'",
        Dialect::Postgres => {
            "select column_name::text from information_schema.columns \
             where table_name = 'tierkeep_migrations' and column_name <> 'version'"
        }
    });
    let columns = columns.await.join(", ");
    let newer = format!(
        "insert into tierkeep_migrations (version, {columns}) \
         select 99, {columns} from tierkeep_migrations where version = 4"
    );
    outside.run(&newer).await;

    for refused in [
        fresh.open(OpenMode::Existing).await.unwrap_err(),
        fresh.open(OpenMode::ReadOnly).await.unwrap_err(),
        fresh.open(OpenMode::Create { ids: None }).await.unwrap_err(),
        migrate(&fresh.url, &create(Some(KeyType::Int))).await.unwrap_err(),
        rederive(&fresh.url, &options(OpenMode::Existing)).await.unwrap_err(),
    ] {
        assert_says(&refused, &["99", "newer"]);
    }
    assert_eq!(outside.count("tierkeep_migrations").await, i64::from(MIGRATIONS) + 1);
    assert_eq!(outside.texts("select key_type from tierkeep_state").await, ["uuid"]);
}

async fn empty_tables_change_their_type_of_key_and_used_ones_do_not(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KeyType::Uuid).await;

    let changed = migrate(&fresh.url, &create(Some(KeyType::Int))).await.unwrap();
    assert_eq!(changed, Migrated { ids: KeyType::Int, version: NEWEST, applied: MIGRATIONS });
    assert_eq!(migrate(&fresh.url, &create(None)).await.unwrap().ids, KeyType::Int);
    let store = fresh.store().await;
    store.write_users(vec![learner(KeyType::Int, 1, None)]).await.unwrap();
    store.write_sessions(vec![session(KeyType::Int, 1, 1, "2025-06-27T08:00:00Z", 30)]).await.unwrap();

    let refused = migrate(&fresh.url, &create(Some(KeyType::Uuid))).await.unwrap_err();

    assert!(matches!(refused, StoreError::OtherKeyType { found: KeyType::Int, asked: KeyType::Uuid }), "{refused}");
    assert_says(&refused, &["int", "uuid", "empty"]);
    assert_eq!(
        store.learner_days(&[user(KeyType::Int, 1)], ALL_DAYS).await.unwrap()[0].as_ref().unwrap().days.len(),
        1
    );
}

async fn what_cannot_be_made_again_keeps_the_type_of_key(dialect: Dialect) {
    for (kept, columns, values) in [
        ("tierkeep_base", "user_id, month, days", if dialect == Dialect::Sqlite { "1, 1, x''" } else { "1, 1, ''" }),
        ("tierkeep_quarantine", "run_id, kind, source, row_key, content", "1, 'orphan', 'x', 'y', '{}'"),
    ] {
        let fresh = Fresh::migrated(dialect, KeyType::Int).await;
        let outside = fresh.outside().await;
        outside.run(&format!("insert into {kept} ({columns}) values ({values})")).await;

        let refused = migrate(&fresh.url, &create(Some(KeyType::Uuid))).await.unwrap_err();

        assert!(matches!(refused, StoreError::OtherKeyType { .. }), "{kept}: {refused}");
        outside.run(&format!("delete from {kept}")).await;
        assert_eq!(migrate(&fresh.url, &create(Some(KeyType::Uuid))).await.unwrap().ids, KeyType::Uuid);
    }
}

async fn other_days_than_stored_are_refused_until_rederived(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KeyType::Int).await;
    let store = fresh.store().await;
    let rows = vec![
        session(KeyType::Int, 1, 1, "2025-06-27T20:00:00Z", 30),
        session(KeyType::Int, 2, 2, "2025-06-27T20:00:00Z", 3),
    ];
    store
        .write_users(vec![learner(KeyType::Int, 1, None), learner(KeyType::Int, 2, Some("America/New_York"))])
        .await
        .unwrap();
    store.write_sessions(rows).await.unwrap();
    while store.settle().await.unwrap().more {}
    store.close().await;
    let shanghai = |mode| OpenOptions { default_zone: Zone::new("Asia/Shanghai").unwrap(), ..options(mode) };
    let late = |mode| OpenOptions { day_start: DayStart::new(21).unwrap(), ..options(mode) };

    for other in [shanghai(OpenMode::Existing), late(OpenMode::ReadOnly), shanghai(OpenMode::Create { ids: None })] {
        let refused = open(&fresh.url, &other).await.unwrap_err();
        assert!(matches!(refused, StoreError::DaysChanged { .. }), "{refused}");
        assert_says(&refused, &["[days]", "UTC", "day_start", "tierkeep rederive"]);
    }
    rederive(&fresh.url, &shanghai(OpenMode::Existing)).await.unwrap();

    let store = open(&fresh.url, &shanghai(OpenMode::Existing)).await.unwrap();
    let reader = open(&fresh.url, &shanghai(OpenMode::ReadOnly)).await.unwrap();
    for is_settled in [false, true] {
        for store in [&reader, &store] {
            let answers = store.learner_days(&[user(KeyType::Int, 1), user(KeyType::Int, 2)], ALL_DAYS).await.unwrap();
            let days: Vec<_> = answers.into_iter().flat_map(|answer| answer.unwrap().days.into_keys()).collect();
            assert_eq!(days, [day("2025-06-28"), day("2025-06-27")]);
            let totals = store.global_totals(day("2025-06-28")).await.unwrap().totals;
            let by_day: Vec<_> = totals.by_day.into_iter().collect();
            assert_eq!((totals.users, totals.sessions), (2, 2), "{is_settled}");
            assert_eq!(by_day, [(day("2025-06-27"), 1), (day("2025-06-28"), 1)]);
        }
        while store.settle().await.unwrap().more {}
    }
    assert!(fresh.open(OpenMode::Existing).await.is_err(), "the old values are refused now");
}

async fn tables_that_somebody_else_made_are_left_alone(dialect: Dialect) {
    let fresh = Fresh::empty(dialect).await;
    fresh.outside().await.run("create table study_sessions (id integer)").await;

    let error = migrate(&fresh.url, &options(OpenMode::Create { ids: None })).await.unwrap_err();

    assert!(matches!(error, StoreError::ForeignTable(_)), "{error}");
    assert_says(&error, &["study_sessions", "empty database", "--read-only", "[mapping]"]);
}

async fn store_that_was_open_while_days_changed_saves_nothing(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KeyType::Uuid).await;
    let old = fresh.store().await;
    old.write_users(vec![learner(KeyType::Uuid, 1, None)]).await.unwrap();
    old.write_sessions(vec![session(KeyType::Uuid, 1, 1, "2025-06-27T20:00:00Z", 5)]).await.unwrap();
    let tokyo = OpenOptions { default_zone: Zone::new("Asia/Tokyo").unwrap(), ..options(OpenMode::Existing) };
    rederive(&fresh.url, &tokyo).await.unwrap();

    let error = old.learner_days(&[user(KeyType::Uuid, 1)], ALL_DAYS).await.unwrap_err();
    assert!(matches!(error, StoreError::DaysChanged { .. }), "{error}");
    assert!(matches!(old.settle().await.unwrap_err(), StoreError::DaysChanged { .. }));

    let new = open(&fresh.url, &tokyo).await.unwrap();
    let answer = new.learner_days(&[user(KeyType::Uuid, 1)], ALL_DAYS).await.unwrap().remove(0).unwrap();
    assert_eq!(answer.days.into_keys().collect::<Vec<_>>(), [day("2025-06-28")]);
    let error = old.learner_days(&[user(KeyType::Uuid, 1)], ALL_DAYS).await.unwrap_err();
    assert!(matches!(error, StoreError::DaysChanged { .. }), "also when the summaries are built: {error}");
}

async fn mapping_to_what_is_not_there_says_what_is_there(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KeyType::Int).await;
    let with = async |mapping: serde_json::Value| {
        let mapping: Mapping = serde_json::from_value(mapping).unwrap();
        open(&fresh.url, &OpenOptions { mapping, ..options(OpenMode::ReadOnly) }).await.unwrap_err()
    };

    let table = with(serde_json::json!({ "users": { "table": "accounts" } })).await;
    let column = with(serde_json::json!({ "study_sessions": { "duration_minutes": "minutes" } })).await;
    let canonical = with(serde_json::json!({ "users": { "zone": "time_zone" } })).await;
    let missing = with(serde_json::json!({ "study_sessions": { "table": "users", "user_id": "id" } })).await;

    assert_says(&table, &["accounts", "users", "[mapping.users]"]);
    assert_says(&column, &["study_sessions", "\"minutes\"", "duration_minutes"]);
    assert_says(&canonical, &["\"zone\"", "time_zone", "[mapping.users]"]);
    assert_says(&missing, &["start_time", "needed", "[mapping]"]);
    if dialect == Dialect::Postgres {
        let key = with(serde_json::json!({ "users": { "id": "is_active" } })).await;
        assert_says(&key, &["is_active", "boolean", "uuid", "bigint"]);
        let text = with(serde_json::json!({ "study_sessions": { "user_id": "notes" } })).await;
        assert_says(&text, &["notes", "text", "bigint"]);
    }
}

async fn platforms_tables_are_only_read(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KeyType::Int).await;
    let mapping: Mapping = serde_json::from_value(serde_json::json!({ "preset": "none" })).unwrap();
    let with = |mode| OpenOptions { mapping: mapping.clone(), ..options(mode) };

    for refused in [
        open(&fresh.url, &with(OpenMode::Existing)).await.unwrap_err(),
        open(&fresh.url, &with(OpenMode::Create { ids: None })).await.unwrap_err(),
    ] {
        match dialect {
            Dialect::Postgres => assert!(matches!(refused, StoreError::NotAttached), "{refused}"),
            Dialect::Sqlite => assert!(matches!(refused, StoreError::Attaching(_)), "{refused}"),
        }
        let can_be_attached = if dialect == Dialect::Postgres { "tierkeep attach" } else { "PostgreSQL only" };
        assert_says(&refused, &["[mapping]", "--read-only", can_be_attached]);
    }
    let refused = migrate(&fresh.url, &with(OpenMode::Create { ids: None })).await.unwrap_err();
    assert!(matches!(refused, StoreError::PlatformTables("migrate")), "{refused}");
    let store = open(&fresh.url, &with(OpenMode::ReadOnly)).await.unwrap();
    assert!(store.is_read_only());
    for refused in [
        store.write_users(vec![learner(KeyType::Int, 1, None)]).await.unwrap_err(),
        store.add_missing_users(Vec::new()).await.unwrap_err(),
        store.write_sessions(Vec::new()).await.unwrap_err(),
        store.write_progress(Vec::new()).await.unwrap_err(),
        store.settle().await.unwrap_err(),
    ] {
        assert!(matches!(refused, StoreError::ReadOnly(_)), "{refused}");
        assert_says(&refused, &["read-only"]);
    }
}

async fn closed_store_answers_with_an_error(dialect: Dialect) {
    let fresh = Fresh::migrated(dialect, KeyType::Int).await;
    let store = fresh.store().await;

    store.close().await;
    store.close().await;

    assert!(store.users(None, 1).await.is_err());
    assert!(store.settle().await.is_err());
    assert!(store.check().await.is_err());
}

async fn migration_by_many_at_once_is_one_migration(dialect: Dialect) {
    let fresh = Fresh::empty(dialect).await;
    let nodes: Vec<_> = (0..4)
        .map(|_| {
            let url = fresh.url.clone();
            tokio::spawn(async move { migrate(&url, &create(None)).await.unwrap().applied })
        })
        .collect();

    let mut applied = Vec::new();
    for node in nodes {
        applied.push(node.await.unwrap());
    }

    applied.sort_unstable();
    assert_eq!(applied, [0, 0, 0, MIGRATIONS]);
    fresh.store().await.check().await.unwrap();
}

#[tokio::test]
async fn server_that_is_not_there_is_named_without_the_password() {
    let directory = SqliteFile::new().unwrap();
    let nowhere = directory.path().parent().unwrap().to_string_lossy().replace('/', "%2F");
    let url = format!("postgresql://app:secret@{nowhere}/learning").parse().unwrap();
    let options = OpenOptions {
        pool: PoolConfig { connect_timeout: std::time::Duration::from_secs(2), ..PoolConfig::default() },
        ..options(OpenMode::Existing)
    };

    for error in [open(&url, &options).await.unwrap_err(), migrate(&url, &options).await.unwrap_err()] {
        assert_says(&error, &["cannot connect", "learning"]);
        assert!(!message(&error).contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn file_that_is_no_database_is_named() {
    let file = SqliteFile::new().unwrap();
    std::fs::write(file.path(), "this is no database, but long enough to look at its head".repeat(20)).unwrap();
    let url = file.url().parse().unwrap();

    for mode in [OpenMode::Existing, OpenMode::ReadOnly, OpenMode::Create { ids: None }] {
        let error = open(&url, &options(mode)).await.unwrap_err();
        assert_says(&error, &["test.db"]);
    }
}

/// Defaults and triggers run inside whatever program writes, with the SQLite it was built with. `unixepoch` came in 3.38
/// and its `subsec` in 3.42; before, the default was null and every such write failed.
#[test]
fn migrations_of_sqlite_use_no_function_that_older_programs_lack() {
    for text in [
        include_str!("../../src/store/migrations/sqlite/V1__tables.sql"),
        include_str!("../../src/store/migrations/sqlite/V2__summaries.sql"),
        include_str!("../../src/store/migrations/sqlite/V3__capture.sql"),
        include_str!("../../src/store/migrations/sqlite/V7__erasure.sql"),
    ] {
        let statements = text.lines().filter(|line| !line.trim_start().starts_with("--"));
        assert!(statements.into_iter().all(|line| !line.contains("unixepoch") && !line.contains("subsec")));
    }
}
