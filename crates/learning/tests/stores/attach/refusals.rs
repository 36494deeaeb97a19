//! What cannot be attached to, and what is said about it. Nothing is changed by a refusal.

use tierkeep_db::Dialect;
use tierkeep_learning::key::KeyType;
use tierkeep_learning::mapping::Mapping;
use tierkeep_learning::store::{
    ArchivedRows, AttachOptions, OpenMode, OpenOptions, StoreError, attach, attach_sql, detach, open,
};

use super::super::fresh::{Fresh, options};
use super::super::opening::message;
use super::site::{BOTH, Platform, Site};

/// A refusal that says all of this, and leaves everything as it was.
async fn refused(site: &Site, options: &AttachOptions, words: &[&str]) {
    let before = site.catalog().await;
    let error = attach(&site.fresh.url, options).await.unwrap_err();
    assert!(matches!(error, StoreError::Attaching(_)), "{words:?}: {}", message(&error));
    for word in words {
        assert!(error.to_string().contains(word), "{word:?} is not in: {error}");
    }
    assert_eq!(site.catalog().await, before, "{words:?}");
}

fn mapped(site: &Site, change: impl Fn(&mut serde_json::Value)) -> AttachOptions {
    let mut mapping = serde_json::to_value(site.platform.mapping()).unwrap();
    change(&mut mapping);
    let mut options = site.options();
    options.open.mapping = serde_json::from_value(mapping).unwrap();
    options
}

#[tokio::test]
async fn what_is_no_table_of_a_platform_is_refused() {
    let site = Site::new(Platform::Django).await;
    site.run(
        "create view a_view as select * from study_studysession;
         create materialized view a_copy as select * from study_studysession;
         create foreign data wrapper nowhere; create server far foreign data wrapper nowhere;
         create foreign table abroad (id bigint, student_id bigint, started_at timestamptz, minutes integer) server far;
         create table odd (id bigint primary key, student_id bigint, started_at timestamptz, minutes interval, place text);
         create table named (id uuid primary key, student_id uuid, started_at timestamptz, minutes integer)",
    )
    .await;
    let table = |name: &str| mapped(&site, |mapping| mapping["study_sessions"]["table"] = name.into());
    refused(&site, &table("a_view"), &["\"a_view\"", "is a view", "[mapping.study_sessions]"]).await;
    refused(&site, &table("a_copy"), &["materialized view"]).await;
    refused(&site, &table("abroad"), &["foreign table"]).await;
    refused(&site, &table("nothing"), &["there is no table \"nothing\"", "[mapping.study_sessions]"]).await;
    let column = |name: &str| mapped(&site, |mapping| mapping["study_sessions"]["start_time"] = name.into());
    refused(&site, &column("began_at"), &["no column \"began_at\"", "started_at"]).await;
    let odd = |table: &str| {
        mapped(&site, |mapping| {
            mapping["study_sessions"] = serde_json::json!({
                "table": table, "user_id": "student_id", "start_time": "started_at", "duration_minutes": "minutes",
            });
        })
    };
    refused(&site, &odd("odd"), &["cannot be read as what it stands for", "interval"]).await;
    refused(&site, &odd("named"), &["uuid", "accepted as a key: bigint"]).await;
    let own = AttachOptions { open: options(OpenMode::Existing), is_zone_chosen: true };
    refused(&site, &own, &["[mapping]", "preset"]).await;
}

#[tokio::test]
async fn a_platform_without_zones_needs_one_that_was_chosen() {
    for platform in BOTH {
        let site = Site::new(platform).await;
        let unchosen = AttachOptions { is_zone_chosen: false, ..site.options() };
        refused(&site, &unchosen, &["time_zone in [days]", "[mapping.users]"]).await;

        site.run(&format!("alter table {} add column time_zone text", platform.users())).await;
        attach(&site.fresh.url, &unchosen).await.unwrap();
    }
}

#[tokio::test]
async fn names_that_somebody_else_has_are_left_alone() {
    let site = Site::new(Platform::Guide).await;
    let archive = |name: &str| mapped(&site, |mapping| mapping["archive"] = name.into());
    refused(&site, &archive("study_sessions"), &["one of the platform's tables"]).await;
    site.run("create table study_sessions_archive (id uuid)").await;
    refused(&site, &site.options(), &["\"study_sessions_archive\"", "did not make it", "archive ="]).await;
    attach(&site.fresh.url, &archive("old_sessions")).await.unwrap();
    detach(&site.fresh.url, &site.options().open, ArchivedRows::Refuse).await.unwrap();
    site.run("drop table study_sessions_archive").await;

    for taken in
        ["table tierkeep_notes (id integer)", "table tierkeep_migrations (id integer)", "sequence tierkeep_feed_lost"]
    {
        site.run(&format!("create {taken}")).await;
        refused(&site, &site.options(), &[taken.split(' ').nth(1).unwrap(), "did not make", "search_path"]).await;
        site.run(&format!("drop {}", taken.split(" (").next().unwrap())).await;
    }
    site.run("create function tierkeep_note_users() returns integer language sql as 'select 1'").await;
    refused(&site, &site.options(), &["tierkeep_note_users()"]).await;
    site.run("drop function tierkeep_note_users()").await;
    site.attach().await.unwrap();

    // another installation would take the triggers of the first for its own
    site.run("create schema other; do $$ begin execute format('alter database %I set search_path = other, public', current_database()); end $$").await;
    refused(&site, &archive("other.archive"), &["another installation", "\"public\""]).await;
}

#[tokio::test]
async fn own_tables_are_neither_attached_to_nor_detached_from() {
    let fresh = Fresh::migrated(Dialect::Postgres, KeyType::Uuid).await;
    let mapping: Mapping = serde_json::from_value(serde_json::json!({ "preset": "none", "archive": "old" })).unwrap();
    let open = OpenOptions { mapping, ..options(OpenMode::Existing) };

    let error = attach(&fresh.url, &AttachOptions { open: open.clone(), is_zone_chosen: true }).await.unwrap_err();
    assert!(error.to_string().contains("tierkeep's own tables"), "{error}");
    let error = detach(&fresh.url, &open, ArchivedRows::Keep).await.unwrap_err();
    assert!(error.to_string().contains("own tables"), "{error}");
    assert!(matches!(open_with(&fresh, &open).await, StoreError::NotAttached));
}

async fn open_with(fresh: &Fresh, options: &OpenOptions) -> StoreError {
    open(&fresh.url, options).await.unwrap_err()
}

#[tokio::test]
async fn sqlite_is_refused() {
    let fresh = Fresh::empty(Dialect::Sqlite).await;
    let open = OpenOptions { mapping: Platform::Guide.mapping(), ..options(OpenMode::Existing) };
    let options = AttachOptions { open: open.clone(), is_zone_chosen: true };

    for error in [
        attach(&fresh.url, &options).await.unwrap_err(),
        attach_sql(&fresh.url, &options).await.unwrap_err(),
        detach(&fresh.url, &open, ArchivedRows::Refuse).await.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Attaching(_)), "{error}");
        assert!(error.to_string().contains("PostgreSQL") && error.to_string().contains("--read-only"), "{error}");
    }
}

#[tokio::test]
async fn missing_rights_are_named_with_what_grants_them() {
    let site = Site::new(Platform::Guide).await;
    let database = site.outside.texts("select current_database()::text").await.remove(0);
    let (role, owner) = (format!("app_of_{database}"), format!("owner_of_{database}"));
    site.run(&format!(
        "create role {role} login; create role {owner}; revoke create on schema public from public; \
         alter table users owner to {owner}; alter table course_progress owner to {role}"
    ))
    .await;
    let url = site.fresh.text.replacen("postgres@", &format!("{role}@"), 1).parse().unwrap();
    let before = site.catalog().await;

    let error = attach(&url, &site.options()).await.unwrap_err().to_string();

    for word in [
        format!("\"users\" belongs to \"{owner}\""),
        format!("grant \"{owner}\" to \"{role}\""),
        "\"study_sessions\" belongs to \"postgres\"".to_owned(),
        format!("grant create on schema \"public\" to \"{role}\""),
        "--print-sql".to_owned(),
    ] {
        assert!(error.contains(&word), "{word} is not in: {error}");
    }
    assert!(!error.contains("\"course_progress\" belongs"), "{error}");
    assert_eq!(site.catalog().await, before);
    // what may not be run can be printed
    assert!(attach_sql(&url, &site.options()).await.unwrap().len() > 5);
    // what helps helps
    site.run(&format!(
        "alter table study_sessions owner to {owner}; grant {owner} to {role}; grant create on schema public to {role}"
    ))
    .await;
    attach(&url, &site.options()).await.unwrap();
}

#[tokio::test]
async fn where_nothing_can_be_written_nothing_is_tried() {
    let site = Site::new(Platform::Guide).await;
    site.run("do $$ begin execute format('alter database %I set default_transaction_read_only = on', current_database()); end $$").await;

    refused(&site, &site.options(), &["read-only"]).await;
}

#[tokio::test]
async fn locks_that_are_not_to_be_had_are_given_up_without_harm() {
    let site = Site::new(Platform::Guide).await;
    let mut other = site.fresh.outside().await;
    let held = other.postgres().transaction().await.unwrap();
    held.batch_execute("update users set username = username").await.unwrap();

    refused(&site, &site.options(), &["stayed locked", "pg_stat_activity"]).await;
    held.commit().await.unwrap();

    site.attach().await.unwrap();
}
