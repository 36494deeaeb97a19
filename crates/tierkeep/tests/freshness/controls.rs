//! Negative controls: a bug is planted in front of a node's store, and the suite must find it.
//!
//! How soon it does tells how good the histories are at exciting it, so the bound on the seeds is part of each test.

use std::collections::BTreeSet;

use tierkeep_testkit::RedisServer;

use crate::driver::{Profile, run};
use crate::properties::{CALM, PARTITIONED};
use crate::store::Bug;

/// Seeds within which a bug must be found.
const MOST: u64 = 60;

async fn is_found(bug: Bug, profile: Profile) {
    let redis = RedisServer::launch().await.unwrap();
    for seed in 0..MOST {
        let profile = Profile { bug: Some(bug), ..profile };
        let (violations, _) = Box::pin(run(seed, profile, &redis)).await;
        let rules: BTreeSet<&str> = violations.iter().map(|violation| violation.rule).collect();
        if !rules.is_empty() {
            println!("{bug:?} breaks {rules:?} under seed {seed}");
            assert!(!rules.contains("truth"), "{:?}", violations[0]);
            return;
        }
    }
    panic!("{bug:?} was not found by {MOST} seeds");
}

#[tokio::test]
async fn a_cursor_over_ids_is_found() {
    Box::pin(is_found(Bug::CursorOverIds, CALM)).await;
}

#[tokio::test]
async fn notices_that_get_lost_are_found() {
    Box::pin(is_found(Bug::LostNotices, CALM)).await;
}

#[tokio::test]
async fn notices_before_the_commit_are_found() {
    Box::pin(is_found(Bug::NoticeBeforeCommit, CALM)).await;
}

#[tokio::test]
async fn a_fill_without_fence_is_found() {
    Box::pin(is_found(Bug::NoFence, CALM)).await;
}

#[tokio::test]
async fn triggers_on_the_parent_only_are_found() {
    Box::pin(is_found(Bug::ParentOnly, PARTITIONED)).await;
}

#[tokio::test]
async fn a_position_that_is_required_of_another_learner_is_found() {
    Box::pin(is_found(Bug::WrongLearner, CALM)).await;
}
