//! Who studied lately, of a platform's learners.

use jiff::SignedDuration;
use tierkeep_learning::store::{ActiveWithin, OpenMode, Store};

use super::super::rows::at;
use super::site::{BOTH, Site, archive_before, settle};

#[tokio::test]
async fn active_learners_of_a_platform_are_those_of_the_model() {
    for platform in BOTH {
        let mut site = Site::new(platform).await;
        let unattached = site.open(OpenMode::ReadOnly).await.unwrap();
        compare(&site, &*unattached, "not attached").await;
        site.attach().await.unwrap();
        let store = site.store().await;
        compare(&site, &*store, "attached").await;
        settle(&*store).await;

        site.insert(&[platform.row(1, 1, "2025-06-30T03:59:00Z", 30), platform.row(2, 2, "2025-06-30T04:00:00Z", 0)])
            .await;
        archive_before(&mut site, "2025-06-28T00:00:00Z").await;

        compare(&site, &*store, "archived in part").await;
        let ids = store.learner_ids(None, 100).await.unwrap();
        assert_eq!(ids, site.users()[..ids.len()], "{platform:?}");
        assert_eq!(ids.len(), site.model.learners.len());
    }
}

async fn compare(site: &Site, store: &dyn Store, context: &str) {
    let mut sizes = std::collections::BTreeSet::new();
    for days in [1, 2, 3, 90, 120, 36_500] {
        for hours in (-30..120).step_by(5) {
            let now = at("2025-06-28T03:59:00Z") + SignedDuration::from_hours(hours);
            let wanted = site.model.active(days, now);
            let within = ActiveWithin::new(days.into()).unwrap();
            let found = store.active_learners(within, now, None, 100).await.unwrap();
            assert_eq!(found, wanted, "{days} days up to {now}: {:?}, {context}", site.platform);
            sizes.insert(found.len());
        }
    }
    assert!(sizes.len() > 1, "every question had the same answer");
}
