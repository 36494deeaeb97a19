//! What is recorded of runs.

use anyhow::Result;
use serde_json::{Value, json};
use tierkeep_db::Database;
use tierkeep_retention::{Batch, Ended, Hold, Ledger, RetentionError, RunId, RunState};

use crate::fixture::{Platform, on_both, take};

on_both!(
    run_is_recorded_from_its_beginning_to_its_end,
    batch_that_is_rolled_back_leaves_no_trace,
    run_without_an_end_is_running_or_crashed,
    successor_closes_what_crashed,
    run_that_was_fenced_or_has_ended_records_nothing_more,
    run_ends_while_the_switch_is_set,
    runs_are_listed_newest_first_in_pages,
    row_that_cannot_be_read_is_named,
);

/// A batch of some rows, with the report that the run has then.
pub(crate) async fn record(db: &Database, hold: &Hold, run: RunId, rows: u64) -> Result<u64, RetentionError> {
    let (keeper, report) = (hold.keeper(), json!({ "last": rows }));
    match db {
        Database::Postgres(pool) => {
            let mut connection = pool.get().await?;
            let tx = connection.transaction().await?;
            keeper.keep_postgres(&tx).await?;
            let number = Ledger::record_postgres(&tx, &batch_of(run, rows, &report)).await?;
            tx.commit().await?;
            Ok(number)
        }
        Database::Sqlite(file) => {
            file.write(move |tx| {
                keeper.keep_sqlite(tx)?;
                Ledger::record_sqlite(tx, &batch_of(run, rows, &report))
            })
            .await
        }
    }
}

fn batch_of(run: RunId, rows: u64, report: &Value) -> Batch<'_> {
    Batch {
        run,
        rule: "archive",
        rows,
        digest_left: Some("17"),
        digest_arrived: Some("17"),
        first_age: Some("2020-01-01 00:00:00+00"),
        last_age: None,
        report,
    }
}

async fn run_is_recorded_from_its_beginning_to_its_end(platform: Platform) -> Result<()> {
    let db = platform.database().await;
    let (ledger, hold) = (Ledger::new(&db), take(&db).await?);

    let run = ledger.begin(&hold, "cleanup --only archive", &json!({ "archive": 5 })).await?;

    let entry = ledger.run(run).await?;
    assert_eq!((entry.state, entry.batches, entry.rows), (RunState::Running, 0, 0));
    assert_eq!((entry.command.as_str(), &entry.plan), ("cleanup --only archive", &json!({ "archive": 5 })));
    assert_eq!((entry.ended_at, entry.reason, entry.report), (None, None, json!({})));

    assert_eq!(record(&db, &hold, run, 3).await?, 1);
    assert_eq!(record(&db, &hold, run, 2).await?, 2);
    let entry = ledger.run(run).await?;
    assert_eq!((entry.batches, entry.rows, entry.report), (2, 5, json!({ "last": 2 })));

    ledger.finish(&hold, run, Ended::Budget, Some("10 s are over"), &json!({ "archive": 5 })).await?;
    hold.release().await?;
    let entry = ledger.run(run).await?;
    assert_eq!(entry.state, RunState::Ended(Ended::Budget));
    assert!(entry.ended_at.is_some_and(|at| at >= entry.started_at));
    assert_eq!(entry.reason.as_deref(), Some("10 s are over"));
    let shown = serde_json::to_value(&entry)?;
    assert_eq!((&shown["run_id"], &shown["ended"]), (&json!(run.get()), &json!("budget")));
    assert_eq!(ledger.audit().await?, []);
    Ok(())
}

async fn batch_that_is_rolled_back_leaves_no_trace(platform: Platform) -> Result<()> {
    let db = platform.database().await;
    let (ledger, hold) = (Ledger::new(&db), take(&db).await?);
    let run = ledger.begin(&hold, "cleanup", &json!({})).await?;
    record(&db, &hold, run, 1).await?;

    let keeper = hold.keeper();
    match &db {
        Database::Postgres(pool) => {
            let mut connection = pool.get().await?;
            let tx = connection.transaction().await?;
            keeper.keep_postgres(&tx).await?;
            assert_eq!(Ledger::record_postgres(&tx, &batch_of(run, 9, &json!({ "last": 9 }))).await?, 2);
            tx.rollback().await?;
        }
        Database::Sqlite(file) => {
            let failed = file.write(move |tx| {
                keeper.keep_sqlite(tx)?;
                assert_eq!(Ledger::record_sqlite(tx, &batch_of(run, 9, &json!({ "last": 9 })))?, 2);
                Err::<(), _>(RetentionError::Refused("counts differ".to_owned()))
            });
            assert!(failed.await.is_err());
        }
    }

    let entry = ledger.run(run).await?;
    assert_eq!((entry.batches, entry.rows, entry.report), (1, 1, json!({ "last": 1 })));
    // The chain goes on from what was committed.
    assert_eq!(record(&db, &hold, run, 2).await?, 2);
    assert_eq!(ledger.audit().await?, []);
    Ok(())
}

async fn run_without_an_end_is_running_or_crashed(platform: Platform) -> Result<()> {
    let db = platform.database().await;
    let (ledger, hold) = (Ledger::new(&db), take(&db).await?);
    let run = ledger.begin(&hold, "cleanup", &json!({})).await?;
    assert_eq!(ledger.run(run).await?.state, RunState::Running);

    platform.expire().await;
    let entry = ledger.run(run).await?;
    assert_eq!((entry.state, entry.ended_at), (RunState::Ended(Ended::Crashed), None));

    hold.renew().await?;
    assert_eq!(ledger.run(run).await?.state, RunState::Running);

    hold.release().await?;
    assert_eq!(ledger.run(run).await?.state, RunState::Ended(Ended::Crashed));
    Ok(())
}

async fn successor_closes_what_crashed(platform: Platform) -> Result<()> {
    let (one, other) = (platform.database().await, platform.database().await);
    let (ledger, hold) = (Ledger::new(&one), take(&one).await?);
    let done = ledger.begin(&hold, "cleanup", &json!({})).await?;
    ledger.finish(&hold, done, Ended::Done, None, &json!({})).await?;
    let crashed = ledger.begin(&hold, "cleanup", &json!({})).await?;
    record(&one, &hold, crashed, 4).await?;
    let _killed = platform.kill(hold).await;
    let successor = take(&other).await?;
    assert_eq!(ledger.run(crashed).await?.state, RunState::Ended(Ended::Crashed));

    let run = ledger.begin(&successor, "cleanup", &json!({})).await?;

    let entry = ledger.run(crashed).await?;
    assert_eq!(entry.state, RunState::Ended(Ended::Crashed));
    assert!(entry.ended_at.is_some() && entry.reason.is_some());
    assert_eq!((entry.rows, entry.report), (4, json!({ "last": 4 })));
    assert_eq!(ledger.run(done).await?.state, RunState::Ended(Ended::Done));
    assert_eq!(ledger.run(run).await?.state, RunState::Running);
    assert_eq!(ledger.audit().await?, []);
    Ok(())
}

async fn run_that_was_fenced_or_has_ended_records_nothing_more(platform: Platform) -> Result<()> {
    let (one, other) = (platform.database().await, platform.database().await);
    let (ledger, paused) = (Ledger::new(&one), take(&one).await?);
    let run = ledger.begin(&paused, "cleanup", &json!({})).await?;
    platform.expire().await;
    let successor = take(&other).await?;

    let fenced =
        |result: Result<(), RetentionError>| assert!(matches!(result, Err(RetentionError::Fenced)), "{result:?}");
    fenced(record(&one, &paused, run, 1).await.map(drop));
    fenced(ledger.finish(&paused, run, Ended::Done, None, &json!({})).await);
    fenced(ledger.begin(&paused, "cleanup", &json!({})).await.map(drop));
    assert_eq!(ledger.runs(None, 10).await?.len(), 1);

    let next = ledger.begin(&successor, "cleanup", &json!({})).await?;
    let ended = record(&other, &successor, run, 1).await;
    assert!(matches!(ended, Err(RetentionError::NotUnderWay(id)) if id == run), "{ended:?}");
    ledger.finish(&successor, next, Ended::Done, None, &json!({})).await?;
    let twice = ledger.finish(&successor, next, Ended::Failed, None, &json!({})).await;
    assert!(matches!(twice, Err(RetentionError::NotUnderWay(id)) if id == next), "{twice:?}");
    assert_eq!(ledger.run(next).await?.state, RunState::Ended(Ended::Done));
    Ok(())
}

async fn run_ends_while_the_switch_is_set(platform: Platform) -> Result<()> {
    let db = platform.database().await;
    let (ledger, hold) = (Ledger::new(&db), take(&db).await?);
    let run = ledger.begin(&hold, "cleanup", &json!({})).await?;
    platform.execute("update tierkeep_retention set stop = 'exams'").await;

    assert!(matches!(record(&db, &hold, run, 1).await, Err(RetentionError::Stopped(_))));
    assert!(matches!(ledger.begin(&hold, "cleanup", &json!({})).await, Err(RetentionError::Stopped(_))));
    ledger.finish(&hold, run, Ended::Signal, Some("exams"), &json!({})).await?;

    assert_eq!(ledger.run(run).await?.state, RunState::Ended(Ended::Signal));
    assert_eq!(ledger.runs(None, 10).await?.len(), 1);
    Ok(())
}

async fn runs_are_listed_newest_first_in_pages(platform: Platform) -> Result<()> {
    let db = platform.database().await;
    let (ledger, hold) = (Ledger::new(&db), take(&db).await?);
    assert_eq!(ledger.runs(None, 10).await?, []);
    let mut runs = Vec::new();
    for ended in Ended::ALL {
        let run = ledger.begin(&hold, "cleanup", &json!({})).await?;
        ledger.finish(&hold, run, ended, None, &json!({})).await?;
        runs.push(run);
    }
    runs.reverse();

    let first = ledger.runs(None, 4).await?;
    let second = ledger.runs(first.last().map(|entry| entry.run_id), 4).await?;

    let listed: Vec<RunId> = first.iter().chain(&second).map(|entry| entry.run_id).collect();
    assert_eq!(listed, runs);
    let words: Vec<&str> = first.iter().chain(&second).map(|entry| entry.state.word()).collect();
    assert_eq!(words, ["crashed", "failed", "refused", "signal", "budget", "done"]);
    assert_eq!(ledger.runs(Some(RunId::new(1)?), 4).await?, []);
    let unknown = ledger.run(RunId::new(i64::MAX)?).await.unwrap_err();
    assert!(matches!(unknown, RetentionError::UnknownRun(_)), "{unknown}");
    Ok(())
}

async fn row_that_cannot_be_read_is_named(platform: Platform) -> Result<()> {
    let db = platform.database().await;
    let (ledger, hold) = (Ledger::new(&db), take(&db).await?);
    let run = ledger.begin(&hold, "cleanup", &json!({})).await?;

    for (damage, named) in [
        ("update tierkeep_run set ended = 'somehow'", "somehow"),
        ("update tierkeep_run set ended = null, plan = '{'", "plan"),
        ("update tierkeep_run set plan = '{}', rows = -1", "rows"),
    ] {
        platform.execute(damage).await;
        let error = ledger.run(run).await.unwrap_err();
        assert!(matches!(error, RetentionError::Unreadable { .. }), "{error}");
        assert!(error.to_string().contains(named) && error.to_string().contains("tierkeep_run"), "{error}");
    }
    Ok(())
}
