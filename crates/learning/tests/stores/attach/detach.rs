//! Leaving, with all rows where they belong and no trace.

use tierkeep_learning::key::SessionId;
use tierkeep_learning::store::{ArchivedRows, Detached, Keep, OpenMode, StoreError, detach};

use super::super::rows::ALL_DAYS;
use super::super::rows::{key, key_literal};
use super::site::{BOTH, Platform, Site, archive_before, settle};

async fn leave(site: &Site, rows: ArchivedRows) -> Result<Detached, StoreError> {
    // whatever mapping is configured by then
    let mut options = site.options().open;
    options.mapping = tierkeep_learning::mapping::Mapping::default();
    detach(&site.fresh.url, &options, rows).await
}

/// All rows of a table, in an order.
async fn rows(site: &Site, table: &str) -> Vec<String> {
    site.outside.texts(&format!("select t::text from {table} t order by 1")).await
}

#[tokio::test]
async fn nothing_is_left() {
    for platform in BOTH {
        let mut site = Site::new(platform).await;
        let (catalog, before) = (site.catalog().await, rows(&site, platform.sessions()).await);
        for choice in [ArchivedRows::Refuse, ArchivedRows::RestoreAll, ArchivedRows::Keep] {
            site.attach().await.unwrap();
            let store = site.store().await;
            settle(&*store).await;

            assert_eq!(leave(&site, choice).await.unwrap(), Detached { restored: 0, kept: None });

            assert_eq!(site.catalog().await, catalog, "{platform:?} {choice:?}");
            assert_eq!(rows(&site, platform.sessions()).await, before);
            // the node that ran meanwhile says so, and serves nothing
            let told = store.changes(0).await.unwrap().unwrap();
            assert!(told.broken.iter().any(|why| why.contains("detached")), "{told:?}");
            let answer = store.learner_days(&site.users(), ALL_DAYS).await.unwrap_err();
            assert!(answer.misfit().is_some(), "{answer}");
        }
        let error = leave(&site, ArchivedRows::Refuse).await.unwrap_err();
        assert!(error.to_string().contains("nothing to detach"), "{error}");
        assert!(matches!(site.open(OpenMode::Existing).await, Err(StoreError::NotAttached)));
        // and attaching again begins anew
        site.attach().await.unwrap();
        site.insert(&[platform.row(1, 1, "2025-06-27T12:00:00Z", 30)]).await;
        site.compare(&*site.store().await, "attached again").await;
    }
}

#[tokio::test]
async fn archived_sessions_are_not_lost_by_accident_and_go_back_column_for_column() {
    for platform in BOTH {
        let mut site = Site::new(platform).await;
        let (catalog, before) = (site.catalog().await, rows(&site, platform.sessions()).await);
        site.attach().await.unwrap();
        archive_before(&mut site, "2025-06-28T00:00:00Z").await;
        let attached = site.catalog().await;
        assert_eq!(rows(&site, "study_sessions_archive").await.len(), 8);

        let error = leave(&site, ArchivedRows::Refuse).await.unwrap_err();
        assert!(matches!(error, StoreError::Attaching(_)));
        assert!(error.to_string().contains("--restore-all") && error.to_string().contains("--keep-archive"), "{error}");
        assert_eq!(site.catalog().await, attached);

        assert_eq!(leave(&site, ArchivedRows::RestoreAll).await.unwrap(), Detached { restored: 8, kept: None });
        assert_eq!(rows(&site, platform.sessions()).await, before);
        assert_eq!(site.catalog().await, catalog);
    }
}

#[tokio::test]
async fn archived_sessions_that_cannot_go_back_are_listed_and_nothing_moves() {
    for platform in BOTH {
        let mut site = Site::attached(platform).await;
        archive_before(&mut site, "2025-06-28T00:00:00Z").await;
        // one is live again, and the learner of some is gone
        let live = platform.row(100, 1, "2025-06-27T12:00:00Z", 30);
        site.insert(std::slice::from_ref(&live)).await;
        let (users, id) = (platform.users(), key_literal(key(platform.keys(), 2)));
        let column = if platform == Platform::Guide { "uuid" } else { "id" };
        site.run(&format!("delete from {users} where {column} = {id}")).await;
        let (catalog, archived) = (site.catalog().await, rows(&site, "study_sessions_archive").await);

        let error = leave(&site, ArchivedRows::RestoreAll).await.unwrap_err().to_string();

        for n in [100, 101, 105] {
            let id = key(platform.keys(), n).to_string();
            assert!(error.contains(&id), "{id} is not in: {error}");
        }
        assert!(error.starts_with("3 archived sessions"), "{error}");
        assert_eq!((site.catalog().await, rows(&site, "study_sessions_archive").await), (catalog, archived));
        site.run(&format!("delete from study_sessions_archive where id in (select id from {})", platform.sessions()))
            .await;
        let [owner, ..] = platform.columns();
        site.run(&format!("delete from study_sessions_archive where {owner} = {id}")).await;
        assert_eq!(leave(&site, ArchivedRows::RestoreAll).await.unwrap().restored, 5);
    }
}

#[tokio::test]
async fn an_archive_that_was_kept_is_found_again() {
    for platform in BOTH {
        let mut site = Site::attached(platform).await;
        archive_before(&mut site, "2025-06-28T00:00:00Z").await;

        let left = leave(&site, ArchivedRows::Keep).await.unwrap();

        assert_eq!(left.kept.as_deref(), Some("\"study_sessions_archive\""));
        let ours = site.catalog().await.into_iter().filter(|line| line.contains("tierkeep")).collect::<Vec<_>>();
        assert_eq!(ours.len(), 1, "the comment: {ours:?}");
        // the platform goes on meanwhile: a column comes, one gets wider, one goes
        site.run(&format!(
            "alter table {table} add column mood text not null default 'fine', alter column {minutes} type bigint, \
             drop column {gone}",
            table = platform.sessions(),
            minutes = platform.columns()[2],
            gone = if platform == Platform::Guide { "goal_id" } else { "comment" },
        ))
        .await;
        let mut options = site.options();
        if platform == Platform::Django {
            let mut mapping = serde_json::to_value(platform.mapping()).unwrap();
            mapping["study_sessions"]["notes"] = "".into();
            options.open.mapping = serde_json::from_value(mapping).unwrap();
        }
        tierkeep_learning::store::attach(&site.fresh.url, &options).await.unwrap();
        let store = tierkeep_learning::store::open(&site.fresh.url, &options.open).await.unwrap();
        site.compare(&*store, "attached again").await;
        // rows of before the new column have no value for it, and which one is right only the platform knows
        let error = leave(&site, ArchivedRows::RestoreAll).await.unwrap_err().to_string();
        assert!(error.contains("mood") && error.contains("nothing was changed"), "{error}");
        site.run("update study_sessions_archive set mood = 'fine'").await;
        assert_eq!(leave(&site, ArchivedRows::RestoreAll).await.unwrap().restored, 8);
    }
}

#[tokio::test]
async fn day_bases_and_quarantined_rows_are_dropped_only_when_told() {
    for platform in BOTH {
        for (choice, kept) in
            [(ArchivedRows::RestoreAll, None), (ArchivedRows::Keep, Some("\"study_sessions_archive\""))]
        {
            let mut site = Site::attached(platform).await;
            let store = site.store().await;
            archive_before(&mut site, "2025-06-28T00:00:00Z").await;
            let all: Vec<SessionId> = site.model.archived.keys().copied().collect();
            let (deleted, left) = all.split_at(5);

            assert_eq!(store.delete_archived(deleted, Keep::Summaries).await.unwrap(), 5);

            assert_eq!(site.model.age(deleted), 5);
            site.compare(&*store, "deleted").await;
            settle(&*store).await;
            site.compare(&*store, "deleted, from summaries").await;
            site.compare(&*site.open(OpenMode::ReadOnly).await.unwrap(), "deleted, read-only").await;
            let columns = "(run_id, kind, source, row_key, content)";
            for (table, what) in [
                ("study_sessions_archive", "archived sessions"),
                ("tierkeep_base", "day bases"),
                ("tierkeep_quarantine", "quarantined rows"),
            ] {
                site.run(&format!(
                    "begin; insert into tierkeep_quarantine {columns} values (1, 'orphan', 'x', 'y', '{{}}'); commit"
                ))
                .await;
                for other in ["study_sessions_archive", "tierkeep_base", "tierkeep_quarantine"] {
                    if other != table {
                        site.run(&format!("create table aside_{other} as table {other}; delete from {other}")).await;
                    }
                }
                let error = leave(&site, ArchivedRows::Refuse).await.unwrap_err().to_string();
                assert!(error.contains(what) && error.contains("--restore-all"), "{error}");
                for other in ["study_sessions_archive", "tierkeep_base"] {
                    if other != table {
                        site.run(&format!("insert into {other} select * from aside_{other}")).await;
                    }
                }
                site.run(
                    "drop table if exists aside_study_sessions_archive, aside_tierkeep_base, aside_tierkeep_quarantine",
                )
                .await;
            }

            let done = leave(&site, choice).await.unwrap();

            let restored = if choice == ArchivedRows::RestoreAll { left.len() as u64 } else { 0 };
            assert_eq!(done, Detached { restored, kept: kept.map(str::to_owned) });
            let tables = "select tablename::text from pg_tables where tablename like 'tierkeep%'";
            assert_eq!(site.outside.texts(tables).await, [] as [String; 0]);
        }
    }
}
