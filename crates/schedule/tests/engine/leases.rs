//! Nodes that are gone, that stand still, or that have lost the database.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use tierkeep_db::{Database, Error};
use tierkeep_schedule::{JobError, Pace, RunState};

use crate::fixture::{Node, PACE, PATIENCE, Platform, on_both, open, task, told, write};

on_both!(
    killed_node_is_replaced_at_once,
    node_that_stood_still_is_replaced_and_writes_nothing_more,
    lease_that_was_lost_stops_the_job,
    lease_is_renewed_while_the_job_works,
    run_whose_nodes_die_fails_in_the_end,
    run_by_hand_whose_node_dies_is_not_tried_again,
    finish_waits_for_the_database,
    job_is_stopped_when_its_lease_cannot_be_renewed,
);

async fn killed_node_is_replaced_at_once(platform: Platform) -> Result<()> {
    let (job, mut ear) = told();
    let first = Node::start(platform.node(vec![(task("sweep"), Arc::clone(&job))]).await);
    first.knows(&platform).await?;
    platform.make_due().await;
    let begun = ear.next().await?;
    let other = Node::start(platform.node(vec![(task("sweep"), job)]).await);
    // It was there when the other one looked.
    other.knows(&platform).await?;
    assert!(ear.is_silent());

    first.kill().await;

    // Within less than a lease.
    let again = ear.next().await?;
    assert_eq!((again.attempt.run, again.attempt.number), (begun.attempt.run, 2));
    assert_eq!(again.attempt.fence.token(), begun.attempt.fence.token() + 1);
    again.succeeds();
    other.sees(RunState::Done).await?;
    other.stop().await
}

async fn node_that_stood_still_is_replaced_and_writes_nothing_more(platform: Platform) -> Result<()> {
    let db = open(&platform.url()).await;
    let (job, mut ear) = told();
    let tasks = || vec![(task("sweep"), Arc::clone(&job))];
    let (one, other) = (Node::start(platform.node(tasks()).await), Node::start(platform.node(tasks()).await));
    one.knows(&platform).await?;
    platform.make_due().await;
    let paused = ear.next().await?;
    write(&db, &paused.attempt.fence, true).await?;

    platform.expire().await;

    // On the other node: the one that works at it leaves its own run alone.
    let successor = ear.next().await?;
    write(&db, &successor.attempt.fence, true).await?;
    let woken = write(&db, &paused.attempt.fence, true).await;
    assert!(matches!(woken, Err(Error::Fenced { .. })), "{woken:?}");
    let token = paused.attempt.fence.token();
    assert_eq!(platform.work().await, [token, token + 1]);
    paused.ends(Ok(Value::Null));
    write(&db, &successor.attempt.fence, true).await?;
    successor.ends(Ok(Value::Bool(true)));
    let run = one.sees(RunState::Done).await?;
    assert_eq!((run.attempts, run.output), (2, Some(Value::Bool(true))));
    assert!(platform.work().await.is_sorted());

    // The control: without the fence the same transaction commits, and shows.
    write(&db, &tierkeep_db::Fence::new("task sweep", token), false).await?;
    assert!(!platform.work().await.is_sorted());
    one.stop().await?;
    other.stop().await
}

async fn lease_that_was_lost_stops_the_job(platform: Platform) -> Result<()> {
    let (job, mut ear) = told();
    let pace = Pace { lease: Duration::from_millis(300), ..PACE };
    let node = Node::start(platform.node(vec![(task("sweep"), job)]).await.pace(pace));
    node.knows(&platform).await?;
    platform.make_due().await;
    let begun = ear.next().await?;

    platform.execute("update tierkeep_schedule_run set token = token + 1").await;

    tokio::time::timeout(PATIENCE, begun.attempt.stop.cancelled()).await?;
    begun.succeeds();
    // It counts for nothing: another node has it.
    let overtaken = async {
        while node.scheduler.counts()[0].overtaken == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, overtaken).await?;
    node.kill().await;
    Ok(())
}

async fn lease_is_renewed_while_the_job_works(platform: Platform) -> Result<()> {
    let (job, mut ear) = told();
    let pace = Pace { lease: Duration::from_millis(600), ..PACE };
    let tasks = || vec![(task("sweep"), Arc::clone(&job))];
    let one = Node::start(platform.node(tasks()).await.pace(pace));
    one.knows(&platform).await?;
    platform.make_due().await;
    let begun = ear.next().await?;
    let other = Node::start(platform.node(tasks()).await.pace(pace));
    let until = "select cast(max(lease_until) as text) from tierkeep_schedule_run";

    // Each look sees another end: nobody else gets it, for longer than a lease.
    let mut seen = platform.text(until).await;
    for _ in 0..6 {
        let next = async {
            loop {
                let now = platform.text(until).await;
                if now != seen {
                    break now;
                }
            }
        };
        seen = tokio::time::timeout(PATIENCE, next).await?;
    }

    assert!(ear.is_silent() && !begun.attempt.stop.is_cancelled());
    begun.succeeds();
    assert_eq!(other.sees(RunState::Done).await?.attempts, 1);
    one.stop().await?;
    other.stop().await
}

async fn run_whose_nodes_die_fails_in_the_end(platform: Platform) -> Result<()> {
    let (job, mut ear) = told();
    for number in 1..=4 {
        let node = Node::start(platform.node(vec![(task("sweep"), Arc::clone(&job))]).await);
        node.knows(&platform).await?;
        if number == 1 {
            platform.make_due().await;
        }
        let begun = ear.next().await?;
        assert_eq!(begun.attempt.number, number);
        node.kill().await;
    }

    let node = Node::start(platform.node(vec![(task("sweep"), job)]).await);

    let run = node.sees(RunState::Failed).await?;
    assert_eq!((run.attempts, run.error.as_deref()), (4, Some("the node that did it is gone")));
    let scheduler = Arc::clone(&node.scheduler);
    node.stop().await?;
    assert_eq!(scheduler.counts()[0].failed, 1);
    assert!(ear.is_silent());
    Ok(())
}

async fn run_by_hand_whose_node_dies_is_not_tried_again(platform: Platform) -> Result<()> {
    let (job, mut ear) = told();
    let by_hand = Arc::new(platform.node(vec![(task("sweep"), Arc::clone(&job))]).await);
    let run = tokio::spawn(async move { by_hand.run_now("sweep", &Default::default()).await.map(drop) });
    let _begun = ear.next().await?;
    run.abort();

    let node = Node::start(platform.node(vec![(task("sweep"), job)]).await);

    let run = node.sees(RunState::Failed).await?;
    assert_eq!((run.attempts, run.error.as_deref()), (1, Some("the node that did it is gone")));
    node.stop().await?;
    assert!(ear.is_silent());
    Ok(())
}

async fn finish_waits_for_the_database(platform: Platform) -> Result<()> {
    let (job, mut ear) = told();
    let node = Node::start(platform.node(vec![(task("sweep"), job)]).await);
    node.knows(&platform).await?;
    platform.make_due().await;
    let begun = ear.next().await?;

    platform.execute("alter table tierkeep_schedule rename to away").await;
    begun.ends(Err(JobError::Refused("no backup".to_owned())));
    platform.execute("alter table away rename to tierkeep_schedule").await;

    assert_eq!(node.sees(RunState::Refused).await?.error.as_deref(), Some("no backup"));
    // The looks that failed did not end it either.
    platform.make_due().await;
    ear.next().await?.succeeds();
    node.sees(RunState::Done).await?;
    node.stop().await
}

async fn job_is_stopped_when_its_lease_cannot_be_renewed(platform: Platform) -> Result<()> {
    let (job, mut ear) = told();
    let pace = Pace { lease: Duration::from_millis(300), ..PACE };
    let node = Node::start(platform.node(vec![(task("sweep"), job)]).await.pace(pace));
    node.knows(&platform).await?;
    platform.make_due().await;
    let begun = ear.next().await?;

    platform.execute("alter table tierkeep_schedule_run rename to away").await;

    tokio::time::timeout(PATIENCE, begun.attempt.stop.cancelled()).await?;
    begun.ends(Err(JobError::Stopped));
    platform.execute("alter table away rename to tierkeep_schedule_run").await;
    let again = ear.next().await?;
    assert_eq!(again.attempt.number, 2);
    again.succeeds();
    node.sees(RunState::Done).await?;
    node.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn successor_waits_for_the_transaction_in_flight() -> Result<()> {
    let platform = Platform::postgres().await?;
    let Database::Postgres(pool) = open(&platform.url()).await else { panic!("not a pool") };
    let (job, mut ear) = told();
    let tasks = || vec![(task("sweep"), Arc::clone(&job))];
    let one = Node::start(platform.node(tasks()).await);
    one.knows(&platform).await?;
    platform.make_due().await;
    let begun = ear.next().await?;
    let mut connection = pool.get().await?;
    let tx = connection.transaction().await?;
    begun.attempt.fence.hold_postgres(&tx).await?;
    let limit = tx.query_one("show idle_in_transaction_session_timeout", &[]).await?;
    assert_eq!(limit.get::<_, &str>(0), "30s");
    one.kill().await;
    let other = Node::start(platform.node(tasks()).await);
    let waits = "select coalesce(max(query), '') from pg_stat_activity
                 where wait_event_type = 'Lock' and query like '%the leave to write%' and datname = current_database()";
    let waiting = async { while platform.text(waits).await.is_none_or(|query| query.is_empty()) {} };
    tokio::time::timeout(PATIENCE, waiting).await?;
    assert!(ear.is_silent());

    tx.commit().await?;

    ear.next().await?.succeeds();
    other.sees(RunState::Done).await?;
    other.stop().await
}
