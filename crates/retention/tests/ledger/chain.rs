//! What was altered afterwards shows.

use anyhow::Result;
use serde_json::json;
use tierkeep_retention::{Ended, Ledger, RunId};

use crate::fixture::{Platform, on_both, take};
use crate::runs::record;

on_both!(
    every_column_of_every_batch_is_covered,
    removed_batches_are_found,
    exchanged_batches_are_found,
    what_a_run_was_begun_with_is_covered,
    removed_runs_are_found,
    what_the_documentation_says_is_not_seen_is_not_seen,
);

/// The tables whose rows are altered, and put back.
const TABLES: [&str; 2] = ["tierkeep_run", "tierkeep_run_batch"];

/// Three runs of 3, 0 and 2 batches, and a fourth that works.
async fn history(platform: &Platform) -> Result<(Ledger, Vec<RunId>)> {
    let db = platform.database().await;
    let (ledger, hold) = (Ledger::new(&db), take(&db).await?);
    let mut runs = Vec::new();
    for batches in [3, 0, 2, 1] {
        let run = ledger.begin(&hold, "cleanup", &json!({ "batches": batches })).await?;
        for rows in 1..=batches {
            record(&db, &hold, run, rows).await?;
        }
        if batches != 1 {
            ledger.finish(&hold, run, Ended::Done, None, &json!({})).await?;
        }
        runs.push(run);
    }
    hold.release().await?;
    for table in TABLES {
        platform.execute(&format!("create table saved_{table} as select * from {table}")).await;
    }
    assert_eq!(ledger.audit().await?, []);
    Ok((ledger, runs))
}

async fn put_back(platform: &Platform) {
    for table in TABLES {
        platform.execute(&format!("delete from {table}")).await;
        let overriding = if platform.is_postgres() { "overriding system value" } else { "" };
        platform.execute(&format!("insert into {table} {overriding} select * from saved_{table}")).await;
    }
}

/// Where an audit finds something after a statement, which is undone afterwards.
async fn found(platform: &Platform, ledger: &Ledger, sql: &str) -> Result<Vec<(i64, Option<i64>)>> {
    assert!(platform.execute(sql).await > 0, "{sql}");
    let found = ledger.audit().await?;
    put_back(platform).await;
    assert_eq!(ledger.audit().await?, []);
    Ok(found.into_iter().map(|broken| (broken.run, broken.number)).collect())
}

async fn every_column_of_every_batch_is_covered(platform: Platform) -> Result<()> {
    let (ledger, runs) = history(&platform).await?;
    let microsecond = if platform.is_postgres() { "at + interval '1 microsecond'" } else { "at + 1" };
    // Alterations of what a batch says are found in the batch itself, and nowhere else.
    let inside = [
        format!("at = {microsecond}"),
        "rule = 'delete'".to_owned(),
        "digest_left = '18'".to_owned(),
        "digest_left = null".to_owned(),
        "digest_arrived = '71'".to_owned(),
        "first_age = first_age || ' '".to_owned(),
        "last_age = ''".to_owned(),
        "last_age = '-'".to_owned(),
        "chain = '00'".to_owned(),
    ];
    // These also are at odds with what the run says.
    let outside = ["rows = rows + 1", "number = number + 90", "number = -number", "run_id = 7777", "run_id = -run_id"];
    let columns = "select count(*) from saved_tierkeep_run_batch";
    assert_eq!(platform.value(columns).await.as_deref(), Some("6"));

    for (run, batches) in [(runs[0], 3), (runs[2], 2), (runs[3], 1)] {
        for number in 1..=batches {
            let place = format!("where run_id = {run} and number = {number}");
            for change in &inside {
                let found =
                    found(&platform, &ledger, &format!("update tierkeep_run_batch set {change} {place}")).await?;
                assert_eq!(found.first(), Some(&(run.get(), Some(number))), "{change} {place}");
                // A digest at the end of a run is also said by the run.
                assert!(found.len() == 1 || change.starts_with("chain"), "{change} {place}: {found:?}");
            }
            for change in outside {
                let found =
                    found(&platform, &ledger, &format!("update tierkeep_run_batch set {change} {place}")).await?;
                assert!(!found.is_empty(), "{change} {place}");
            }
        }
    }
    Ok(())
}

async fn removed_batches_are_found(platform: Platform) -> Result<()> {
    let (ledger, runs) = history(&platform).await?;
    for (run, batches) in [(runs[0], 3), (runs[2], 2), (runs[3], 1)] {
        for number in 1..=batches {
            let place = format!("where run_id = {run} and number = {number}");

            let found = found(&platform, &ledger, &format!("delete from tierkeep_run_batch {place}")).await?;

            assert!(found.contains(&(run.get(), None)), "{place}: {found:?}");
            let follower = (number < batches).then_some((run.get(), Some(number + 1)));
            assert!(follower.is_none_or(|follower| found.contains(&follower)), "{place}: {found:?}");
        }
    }
    Ok(())
}

async fn exchanged_batches_are_found(platform: Platform) -> Result<()> {
    let (ledger, runs) = history(&platform).await?;
    let places = [(runs[0], 1), (runs[0], 2), (runs[0], 3), (runs[2], 1), (runs[2], 2), (runs[3], 1)];
    for (at, one) in places.iter().enumerate() {
        for other in &places[at + 1..] {
            let moves = [
                (*one, (999, 999)),
                (*other, (one.0.get(), one.1)),
                ((RunId::new(999)?, 999), (other.0.get(), other.1)),
            ];
            for ((run, number), (to_run, to_number)) in moves {
                let exchange = format!(
                    "update tierkeep_run_batch set run_id = {to_run}, number = {to_number}
                     where run_id = {run} and number = {number}"
                );
                assert_eq!(platform.execute(&exchange).await, 1);
            }

            let found = ledger.audit().await?;

            put_back(&platform).await;
            assert!(!found.is_empty(), "{one:?} for {other:?}");
        }
    }
    Ok(())
}

async fn what_a_run_was_begun_with_is_covered(platform: Platform) -> Result<()> {
    let (ledger, runs) = history(&platform).await?;
    let microsecond = if platform.is_postgres() { "interval '1 microsecond'" } else { "1" };
    let changes = [
        "command = 'cleanup --force'".to_owned(),
        format!("started_at = started_at + {microsecond}"),
        "fence = fence + 1".to_owned(),
        "plan = '{}'".to_owned(),
        "batches = batches + 1".to_owned(),
        "rows = rows - 1".to_owned(),
        "begun = chain || 'a'".to_owned(),
        "chain = begun || 'a'".to_owned(),
    ];
    for run in runs {
        for change in &changes {
            let sql = format!("update tierkeep_run set {change} where id = {run}");

            let found = found(&platform, &ledger, &sql).await?;

            assert_eq!(found.first(), Some(&(run.get(), None)), "{sql}");
        }
    }
    Ok(())
}

async fn removed_runs_are_found(platform: Platform) -> Result<()> {
    let (ledger, runs) = history(&platform).await?;
    for (removed, next) in runs.iter().zip(&runs[1..]) {
        platform.execute(&format!("delete from tierkeep_run_batch where run_id = {removed}")).await;

        let found = found(&platform, &ledger, &format!("delete from tierkeep_run where id = {removed}")).await?;

        assert_eq!(found, [(next.get(), None)]);
    }
    // Without its batches being removed as well.
    let found = found(&platform, &ledger, &format!("delete from tierkeep_run where id = {}", runs[3])).await?;
    assert_eq!(found, [(runs[3].get(), None)]);
    Ok(())
}

async fn what_the_documentation_says_is_not_seen_is_not_seen(platform: Platform) -> Result<()> {
    let (ledger, runs) = history(&platform).await?;

    assert_eq!(
        found(&platform, &ledger, "update tierkeep_run set ended = 'done', report = '[]', reason = ''").await?,
        []
    );
    platform.execute(&format!("delete from tierkeep_run_batch where run_id = {}", runs[3])).await;
    assert_eq!(found(&platform, &ledger, &format!("delete from tierkeep_run where id = {}", runs[3])).await?, []);
    Ok(())
}
