//! Archived and back, in the tables of a platform with its keys, checks and identities.

use std::sync::Arc;

use tierkeep_learning::retention::ARCHIVE;
use tierkeep_learning::rows::SessionRow;
use tierkeep_retention::RestoreReport;

use super::super::restore::of_run;
use super::super::retention::run;
use super::super::rows::{key_literal, user};
use super::site::{BOTH, Platform, Site, settle};

async fn rows(site: &Site) -> Vec<String> {
    site.outside.texts(&format!("select t::text from {} as t order by 1", site.platform.sessions())).await
}

/// A platform with sessions that are old enough, ten of each of two learners.
async fn old(platform: Platform) -> Site {
    let mut site = Site::attached(platform).await;
    let rows: Vec<SessionRow> = (0..20)
        .map(|n| {
            let mut row = platform.row(200 + n, 1 + n % 2, &format!("2024-03-{:02}T08:00:00Z", 1 + n), 30);
            row.is_active = false;
            row
        })
        .collect();
    site.insert(&rows).await;
    site
}

#[tokio::test]
async fn rows_come_back_to_a_platform_as_they_were() {
    for platform in BOTH {
        let site = old(platform).await;
        let store = site.store().await;
        settle(&*store).await;
        let before = rows(&site).await;

        let cleaned = run(&store, &[ARCHIVE]).await;
        site.compare(&*store, "archived").await;
        assert_ne!(rows(&site).await, before);
        let planned = Arc::clone(&store).plan_restore(&of_run(cleaned.run)).await.unwrap();
        let restored = Arc::clone(&store).restore(&of_run(cleaned.run)).await.unwrap();

        assert_eq!(restored.reason, None);
        assert_eq!(RestoreReport { batches: 0, ..restored.report.clone() }, planned);
        let archived = cleaned.report.rows("archive");
        assert!(archived >= 20, "{:?}", cleaned.report);
        assert_eq!((restored.report.restored(), restored.report.stayed), (archived, 0), "{:?}", restored.report);
        assert_eq!(rows(&site).await, before, "{platform:?}");
        assert_eq!(run(&store, &[ARCHIVE]).await.report.batches, 0, "they are left alone");
        site.compare(&*store, "restored").await;
    }
}

#[tokio::test]
async fn rows_of_a_learner_who_is_gone_stay_in_the_archive() {
    for platform in BOTH {
        let site = old(platform).await;
        let store = site.store().await;
        let cleaned = run(&store, &[ARCHIVE]).await;
        let (users, column) = (site.platform.users(), site.platform.columns()[0]);
        let id = if platform == Platform::Guide { "uuid" } else { "id" };
        let gone = key_literal(user(platform.keys(), 2).key());
        site.run(&format!("delete from {users} where {id} = {gone}")).await;

        let theirs = format!("select count(*) from study_sessions_archive where {column} = {gone}");
        let theirs = site.outside.number(&theirs).await.unsigned_abs();

        let planned = Arc::clone(&store).plan_restore(&of_run(cleaned.run)).await.unwrap();
        let restored = Arc::clone(&store).restore(&of_run(cleaned.run)).await.unwrap();

        assert_eq!(restored.reason, None);
        let (report, archived) = (restored.report, cleaned.report.rows("archive"));
        assert!(theirs >= 10 && archived > theirs);
        assert_eq!((report.restored(), report.stayed), (archived - theirs, theirs), "{report:?}");
        let why = format!("what it refers to by \"{column}\" is gone");
        assert!(report.stays.iter().all(|stay| stay.why == why), "{report:?}");
        assert_eq!(RestoreReport { batches: 0, ..report }, planned);
        assert_eq!(site.outside.count("study_sessions_archive").await.unsigned_abs(), theirs);
    }
}
