//! What is answered while the platform writes.

use tierkeep_learning::key::UserId;
use tierkeep_learning::mapping::Mapping;
use tierkeep_learning::store::{
    AttachOptions, Basis, OpenMode, OpenOptions, Store, StoreError, attach, attach_sql, migrate, open, rederive,
};

use super::super::fresh::options;
use super::super::rows::{ALL_DAYS, day, key, key_literal, user};
use super::site::{BOTH, Platform, Site, archive_before, settle};

/// Asks the feed, as a node does all the time.
async fn changes(store: &dyn Store, after: u64) -> tierkeep_learning::store::Changes {
    store.changes(after).await.unwrap().expect("an attached store is told changes")
}

async fn bases(store: &dyn Store, users: &[UserId]) -> Vec<Basis> {
    let answers = store.learner_days(users, ALL_DAYS).await.unwrap();
    answers.into_iter().flatten().map(|answer| answer.clock.basis).collect()
}

/// What the platform does next, and the same in the model.
async fn write(site: &mut Site, deed: u32) -> &'static str {
    let (platform, keys) = (site.platform, site.platform.keys());
    let (table, [owner, start, minutes]) = (platform.sessions(), platform.columns());
    let id = |n: u32| key_literal(key(keys, n));
    match deed {
        0 => {
            site.insert(&[platform.row(1, 1, "2025-06-27T12:00:00Z", 30)]).await;
            "insert"
        }
        1 => {
            let rows: Vec<_> = (2..8).map(|n| platform.row(n, 1 + n % 3, "2025-06-26T23:30:00Z", 10)).collect();
            site.copy(&rows).await;
            "copy"
        }
        2 => {
            site.run(&format!("update {table} set {minutes} = 77 where id = {}", id(1))).await;
            site.model
                .live
                .values_mut()
                .filter(|row| row.id.key() == key(keys, 1))
                .for_each(|row| row.duration_minutes = 77);
            "update of the minutes"
        }
        3 => {
            site.run(&format!("update {table} set {start} = {start} - interval '40 days' where {owner} = {}", id(2)))
                .await;
            let back = jiff::SignedDuration::from_hours(40 * 24);
            site.model
                .live
                .values_mut()
                .filter(|row| row.user_id == user(keys, 2))
                .for_each(|row| row.start_time -= back);
            "update that moves days"
        }
        4 => {
            site.run(&format!("update {table} set {owner} = {} where {owner} = {}", id(4), id(3))).await;
            let mine = site.model.live.values_mut().filter(|row| row.user_id == user(keys, 3));
            mine.for_each(|row| row.user_id = user(keys, 4));
            "update that gives sessions to another learner"
        }
        5 => {
            let row = platform.row(1, 2, "2025-06-24T01:00:00Z", 5);
            let insert = platform.insert(table, std::slice::from_ref(&row));
            let columns = platform.names().split(", ").skip(1);
            let sets: Vec<String> = columns.map(|column| format!("{column} = excluded.{column}")).collect();
            site.run(&format!("{insert} on conflict (id) do update set {}", sets.join(", "))).await;
            site.know(row);
            "upsert"
        }
        6 => {
            archive_before(site, "2025-06-01T00:00:00Z").await;
            "move to the archive"
        }
        7 => {
            site.run(&format!("delete from {table} where id in ({}, {})", id(1), id(5))).await;
            site.model.live.retain(|row, _| ![key(keys, 1), key(keys, 5)].contains(&row.key()));
            "delete"
        }
        8 => {
            site.run(&format!("delete from {} where {} = {}", platform.users(), user_id(platform), id(4))).await;
            site.model.learners.remove(&user(keys, 4));
            site.model.live.retain(|_, row| row.user_id != user(keys, 4));
            "cascade"
        }
        _ => {
            site.run(&format!("truncate {table}")).await;
            site.model.live.clear();
            "truncate"
        }
    }
}

fn user_id(platform: Platform) -> &'static str {
    if platform == Platform::Guide { "uuid" } else { "id" }
}

#[tokio::test]
async fn answers_follow_every_writer_and_summaries_are_stored() {
    for platform in BOTH {
        let mut site = Site::new(platform).await;
        let attached = site.attach().await.unwrap();
        assert_eq!((attached.ids, attached.is_changed, attached.watched.len()), (platform.keys(), true, 3));
        let (node, other) = (site.store().await, site.store().await);
        site.compare(&*node, "attached").await;

        for deed in 0..10 {
            let before = changes(&*other, 0).await.position;
            let context = write(&mut site, deed).await;
            assert!(changes(&*other, before).await.position > before, "{context} is told");
            site.compare(&*node, context).await;
            settle(&*node).await;
            site.compare(&*other, &format!("{context}, settled")).await;
            let bases = bases(&*other, &site.users()).await;
            assert!(bases.iter().all(|basis| *basis == Basis::Summaries), "{context}: {bases:?}");
        }
        // who only reads finds what is stored, and makes the rest
        let reader = site.open(OpenMode::ReadOnly).await.unwrap();
        site.compare(&*reader, "read only").await;
        site.insert(&[platform.row(50, 2, "2025-06-20T12:00:00Z", 30)]).await;
        site.compare(&*reader, "read only, and something changed").await;
        assert_eq!(reader.changes(0).await.unwrap(), None);
        assert!(node.installation().await.unwrap().is_some());
        node.check().await.unwrap();
    }
}

/// Without triggers the stored numbers are old: the comparisons above would see it. A node that asks notices.
#[tokio::test]
async fn without_the_triggers_stored_numbers_are_old_until_the_node_notices() {
    let mut site = Site::attached(Platform::Django).await;
    let store = site.store().await;
    settle(&*store).await;
    let known = changes(&*store, 0).await.position;
    site.run("drop trigger tierkeep_insert on study_studysession").await;
    site.insert(&[Platform::Django.row(1, 1, "2025-06-27T12:00:00Z", 30)]).await;

    let unnoticed = store.learner_days(&site.users()[..1], ALL_DAYS).await.unwrap().remove(0).unwrap().days;
    assert_ne!(Some(unnoticed), site.model.days(site.users()[0]));
    let noticed = changes(&*store, known).await;
    assert!(noticed.broken.iter().any(|why| why.contains("tierkeep_insert")), "{noticed:?}");
    site.compare(&*store, "noticed").await;

    // attaching again puts it right, and nothing that was kept counts
    assert!(site.attach().await.unwrap().is_changed);
    let repaired = changes(&*store, known).await;
    assert!(repaired.broken.is_empty() && repaired.everybody.is_some(), "{repaired:?}");
    site.compare(&*store, "repaired").await;
}

#[tokio::test]
async fn attaching_again_changes_nothing_and_repairs_what_is_old() {
    for platform in BOTH {
        let site = Site::attached(platform).await;
        let store = site.store().await;
        settle(&*store).await;
        let (catalog, position) = (site.catalog().await, changes(&*store, 0).await.position);

        // also while the platform writes
        let mut writer = site.fresh.outside().await;
        let open = writer.postgres().transaction().await.unwrap();
        open.batch_execute(&format!("lock table {} in row exclusive mode", platform.sessions())).await.unwrap();
        let again = site.attach().await.unwrap();
        open.rollback().await.unwrap();

        assert!(!again.is_changed && !again.is_mapping_changed, "{again:?}");
        assert_eq!((site.catalog().await, changes(&*store, 0).await.position), (catalog.clone(), position));
        // an older version's function, a trigger that was switched off, the outbox emptied by hand
        let old = "create or replace function tierkeep_note_users() returns trigger language plpgsql as \
                   'begin return null; end'";
        site.run(&format!("{old}; alter table {} disable trigger tierkeep_update", platform.sessions())).await;
        assert_eq!(changes(&*store, position).await.broken.len(), 2);
        assert!(site.attach().await.unwrap().is_changed);
        assert_eq!(site.catalog().await, catalog);
        assert!(changes(&*store, position).await.broken.is_empty());
        site.run("truncate tierkeep_outbox").await;
        site.compare(&*store, "the outbox was emptied").await;
    }
}

#[tokio::test]
async fn printed_statements_attach_as_well_and_a_node_needs_no_more_rights_than_printed() {
    for platform in BOTH {
        let (mut printed, attached) = (Site::new(platform).await, Site::attached(platform).await);
        let script = attach_sql(&printed.fresh.url, &printed.options()).await.unwrap();
        let before = printed.catalog().await;
        printed.run(&script.join("\n\n")).await;
        assert_ne!(before, printed.catalog().await);
        assert_eq!(printed.catalog().await, attached.catalog().await);
        assert!(!printed.attach().await.unwrap().is_changed);

        let role = format!("node_of_{}", printed.outside.texts("select current_database()::text").await[0]);
        let rights: String = script.last().unwrap().lines().filter_map(|line| line.strip_prefix("--   ")).collect();
        printed.run(&format!("create role {role} login; {}", rights.replace("\"node\"", &role))).await;
        let url = printed.fresh.text.replacen("postgres@", &format!("{role}@"), 1).parse().unwrap();
        let node = open(&url, &printed.options().open).await.unwrap();
        printed.insert(&[platform.row(1, 1, "2025-06-27T12:00:00Z", 30)]).await;
        printed.compare(&*node, "a node with few rights").await;
        settle(&*node).await;
        node.prune_changes(std::time::Duration::ZERO, 0, 1 << 30).await.unwrap();
        assert!(changes(&*node, 0).await.broken.is_empty());
        printed.compare(&*node, "settled and pruned").await;
    }
}

#[tokio::test]
async fn another_mapping_is_refused_until_it_is_attached_and_then_builds_all_anew() {
    let mut site = Site::attached(Platform::Django).await;
    let old = site.store().await;
    settle(&*old).await;
    let known = changes(&*old, 0).await.position;
    let mut other: serde_json::Value = serde_json::to_value(Platform::Django.mapping()).unwrap();
    // only a column that no trigger reads
    other["study_sessions"]["duration_minutes"] = "rating".into();
    let mapping: Mapping = serde_json::from_value(other).unwrap();
    let mut options = site.options();
    options.open.mapping = mapping;
    assert!(matches!(open(&site.fresh.url, &options.open).await, Err(StoreError::MappingChanged)));
    assert!(matches!(rederive(&site.fresh.url, &options.open).await, Err(StoreError::MappingChanged)));

    let attached = attach(&site.fresh.url, &options).await.unwrap();

    assert!(attached.is_mapping_changed);
    // what the old node would fold is refused even before it has heard
    let fold = old.learner_days(&site.users()[..1], ALL_DAYS).await;
    assert!(matches!(fold, Err(StoreError::MappingChanged)), "{fold:?}");
    let told = changes(&*old, known).await;
    assert!(told.everybody.is_some() && told.broken[0].contains("another [mapping]"), "{told:?}");
    assert!(matches!(old.learner_courses(&site.users()).await, Err(StoreError::MappingChanged)));
    assert!(matches!(old.check().await, Err(StoreError::MappingChanged)));
    let new = open(&site.fresh.url, &options.open).await.unwrap();
    for row in site.model.live.values_mut() {
        row.duration_minutes = row.effectiveness_rating.unwrap_or_default().into();
    }
    site.compare(&*new, "the new mapping").await;
    // back again
    site.attach().await.unwrap();
    changes(&*old, known).await;
    old.check().await.unwrap();
    let minutes = old.global_totals(day("2025-06-28")).await.unwrap().totals.minutes;
    assert!(minutes > 16 * 20);
    // without a mapping these are nobody's tables
    let own = OpenOptions { mapping: Mapping::default(), ..site.options().open };
    assert!(matches!(open(&site.fresh.url, &own).await, Err(StoreError::MappingChanged)));
    assert!(matches!(migrate(&site.fresh.url, &own).await, Err(StoreError::MappingChanged)));
}

#[tokio::test]
async fn rows_are_the_platforms_to_write() {
    let site = Site::attached(Platform::Guide).await;
    let store = site.open(OpenMode::Create { ids: None }).await.unwrap();

    for refused in [
        store.write_sessions(Vec::new()).await.unwrap_err(),
        store.write_users(Vec::new()).await.unwrap_err(),
        store.write_progress(Vec::new()).await.unwrap_err(),
        migrate(&site.fresh.url, &site.options().open).await.unwrap_err(),
    ] {
        assert!(matches!(refused, StoreError::PlatformTables(_)), "{refused}");
    }
    // what depends on [days] can be built anew
    let other = OpenOptions { default_zone: tierkeep_learning::calendar::Zone::utc(), ..site.options().open };
    assert!(matches!(open(&site.fresh.url, &other).await, Err(StoreError::DaysChanged { .. })));
    let days = AttachOptions { open: other.clone(), is_zone_chosen: true };
    assert!(matches!(attach(&site.fresh.url, &days).await, Err(StoreError::DaysChanged { .. })));
    rederive(&site.fresh.url, &other).await.unwrap();
    open(&site.fresh.url, &other).await.unwrap();
    assert!(options(OpenMode::Existing).mapping.is_own());
}

#[tokio::test]
async fn schemas_with_odd_names_and_partitions_are_watched() {
    let mut site = Site::new(Platform::Guide).await;
    let start = "alter table study_sessions rename to plain; create table study_sessions (like plain including all, \
                 primary key (id, start_time)) partition by range (start_time)";
    let start = start.replace("including all", "including defaults");
    site.run(&format!(
        "{start}; create table early partition of study_sessions for values from (minvalue) to ('2025-06-01Z'); \
         create table late partition of study_sessions default; insert into study_sessions select * from plain; \
         drop table plain; create schema \"Learning Keeper\"; \
         do $$ begin execute format('alter database %I set search_path = \"Learning Keeper\", public', current_database()); end $$"
    ))
    .await;
    site.attach().await.unwrap();
    let store = site.store().await;
    settle(&*store).await;

    site.outside = site.fresh.outside().await;
    let rows =
        [Platform::Guide.row(1, 1, "2025-06-27T12:00:00Z", 30), Platform::Guide.row(2, 1, "2025-03-10T12:00:00Z", 30)];
    site.run(&Platform::Guide.insert("late", &rows[..1])).await;
    site.run(&Platform::Guide.insert("study_sessions", &rows[1..])).await;
    rows.into_iter().for_each(|row| site.know(row));

    site.compare(&*store, "written to partitions").await;
    let ours = "select count(*) from pg_class c join pg_namespace n on n.oid = relnamespace \
                where relname like 'tierkeep%' and nspname = 'public'";
    assert_eq!(site.outside.number(ours).await, 0);
    tierkeep_learning::store::detach(
        &site.fresh.url,
        &site.options().open,
        tierkeep_learning::store::ArchivedRows::Refuse,
    )
    .await
    .unwrap();
    let left = "select count(*) from pg_class where relname like 'tierkeep%' or relname like '%sessions_archive%'";
    assert_eq!(site.outside.number(left).await, 0);
}
