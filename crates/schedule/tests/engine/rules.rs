//! What becomes of a run, rule by rule.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tierkeep_schedule::{Attempt, Job, JobError, Missed, Pace, RunEntry, RunState, ScheduleError, Task, due};
use tokio_util::sync::CancellationToken;

use crate::fixture::{Node, PACE, PATIENCE, Platform, on_both, task, told};

on_both!(
    due_run_happens_once_on_any_number_of_nodes,
    failed_run_is_tried_again_later_and_then_fails,
    refused_run_is_not_tried_again,
    stopped_run_waits_at_once_and_loses_no_attempt,
    panic_is_a_failure_with_its_text,
    run_that_takes_too_long_is_asked_to_stop_and_then_abandoned,
    runs_of_one_task_do_not_overlap_and_those_of_two_do,
    each_missed_instant_is_a_run_as_the_policy_says,
    run_due_does_what_is_due_and_returns,
    run_now_works_beside_the_schedule_and_once,
    asked_for_run_begins_on_any_node,
    chance_delays_a_run_and_not_its_instant,
    unknown_task_is_told_of_those_that_are_like_it,
    output_beyond_the_limit_is_left_out,
);

async fn due_run_happens_once_on_any_number_of_nodes(platform: Platform) -> Result<()> {
    let (job, mut ear) = told();
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(Node::start(platform.node(vec![(task("sweep"), Arc::clone(&job))]).await));
    }
    nodes[0].knows(&platform).await?;

    for count in 1..=5 {
        platform.make_due().await;
        let begun = ear.next().await?;
        assert_eq!((begun.attempt.number, begun.attempt.fence.token()), (1, count));
        begun.succeeds();
        nodes[0].sees(RunState::Done).await?;
    }

    let history = nodes[0].scheduler.history(Some("sweep"), 100).await?;
    assert_eq!(history.len(), 5);
    assert!(history.iter().all(|run| run.attempts == 1 && run.output == Some(json!({ "rows": 1 }))), "{history:?}");
    let mut counted = 0;
    for node in nodes {
        let scheduler = Arc::clone(&node.scheduler);
        node.stop().await?;
        counted += scheduler.counts()[0].done;
    }
    assert!(ear.is_silent());
    assert_eq!(counted, 5);
    Ok(())
}

async fn failed_run_is_tried_again_later_and_then_fails(platform: Platform) -> Result<()> {
    let (job, mut ear) = told();
    let told_of = Arc::new(Mutex::new(Vec::new()));
    let observer = {
        let told_of = Arc::clone(&told_of);
        Arc::new(move |run: &RunEntry| told_of.lock().unwrap().push(run.error.clone()))
    };
    let node = Node::start(platform.node(vec![(task("sweep"), job)]).await.on_failure(observer));
    node.knows(&platform).await?;
    platform.make_due().await;

    for number in 1..=4_u32 {
        let begun = ear.next().await?;
        assert_eq!(begun.attempt.number, number);
        begun.ends(Err(JobError::Failed("no luck\0".to_owned())));
        let state = if number < 4 { RunState::Waiting } else { RunState::Failed };
        let run = node.sees_that(|run| run.state == state && run.attempts == number).await?;
        assert_eq!(run.error.as_deref(), Some("no luck"));
        if number < 4 {
            let pause = platform.text(if platform.is_postgres() {
                "select round(extract(epoch from run_at - ended_at))::text from tierkeep_schedule_run"
            } else {
                "select cast((run_at - ended_at + 500000) / 1000000 as text) from tierkeep_schedule_run"
            });
            assert_eq!(pause.await, Some((60 << (number - 1)).to_string()));
            platform.end_pauses().await;
        }
    }

    node.sees(RunState::Failed).await?;
    let state = node.scheduler.tasks().await?.remove(0);
    assert_eq!((state.failures, state.succeeded_at), (1, None));
    assert_eq!(state.last.unwrap().state, RunState::Failed);
    node.stop().await?;
    assert_eq!(*told_of.lock().unwrap(), [Some("no luck".to_owned())]);
    Ok(())
}

async fn refused_run_is_not_tried_again(platform: Platform) -> Result<()> {
    let (job, mut ear) = told();
    let node = Node::start(platform.node(vec![(task("sweep"), job)]).await);
    node.knows(&platform).await?;
    platform.make_due().await;

    ear.next().await?.ends(Err(JobError::Refused("no backup".to_owned())));

    let run = node.sees(RunState::Refused).await?;
    assert_eq!((run.attempts, run.error.as_deref()), (1, Some("no backup")));
    node.stop().await
}

async fn stopped_run_waits_at_once_and_loses_no_attempt(platform: Platform) -> Result<()> {
    let (job, mut ear) = told();
    for number in 1..=6 {
        let node = Node::start(platform.node(vec![(task("sweep"), Arc::clone(&job))]).await);
        node.knows(&platform).await?;
        if number == 1 {
            platform.make_due().await;
        }
        let begun = ear.next().await?;
        assert_eq!(begun.attempt.number, number);
        let stop = begun.attempt.stop.clone();

        let stopped = tokio::spawn(node.stop());

        stop.cancelled().await;
        if number % 2 == 0 {
            begun.ends(Err(JobError::Stopped));
        }
        // Otherwise it is dropped when the node has no more patience.
        stopped.await??;
    }
    let one = platform.node(vec![(task("sweep"), job)]).await;
    let run = one.history(None, 10).await?.remove(0);
    assert_eq!((run.state, run.attempts, run.error), (RunState::Waiting, 6, None));
    Ok(())
}

struct Panics;

#[async_trait]
impl Job for Panics {
    async fn run(&self, attempt: &Attempt) -> Result<Value, JobError> {
        panic!("of run {}", attempt.run)
    }
}

async fn panic_is_a_failure_with_its_text(platform: Platform) -> Result<()> {
    let node = platform.node(vec![(task("sweep"), Arc::new(Panics) as Arc<dyn Job>)]).await;

    let run = node.run_now("sweep", &CancellationToken::new()).await?;

    assert_eq!(run.state, RunState::Failed);
    assert_eq!(run.error, Some(format!("panicked: of run {}", run.id)));
    Ok(())
}

/// Works until it is asked to stop, or beyond that.
struct Works {
    obeys: bool,
}

#[async_trait]
impl Job for Works {
    async fn run(&self, attempt: &Attempt) -> Result<Value, JobError> {
        attempt.stop.cancelled().await;
        if !self.obeys {
            std::future::pending::<()>().await;
        }
        Err(JobError::Stopped)
    }
}

async fn run_that_takes_too_long_is_asked_to_stop_and_then_abandoned(platform: Platform) -> Result<()> {
    for obeys in [true, false] {
        let short = Task { time_limit: Duration::from_millis(50), ..task("sweep") };
        let node = platform.node(vec![(short, Arc::new(Works { obeys }) as Arc<dyn Job>)]).await;
        let grace = if obeys { Duration::from_secs(3600) } else { Duration::from_millis(50) };
        let node = node.pace(Pace { grace, ..PACE });

        let run = node.run_now("sweep", &CancellationToken::new()).await?;

        assert_eq!((run.state, run.error.as_deref()), (RunState::Failed, Some("took longer than 50ms")));
    }
    Ok(())
}

async fn runs_of_one_task_do_not_overlap_and_those_of_two_do(platform: Platform) -> Result<()> {
    let (job, mut ear) = told();
    let tasks = || vec![(task("one"), Arc::clone(&job)), (task("two"), Arc::clone(&job))];
    let (node, other) = (Node::start(platform.node(tasks()).await), Node::start(platform.node(tasks()).await));
    node.knows(&platform).await?;
    platform.make_due().await;

    let (first, second) = (ear.next().await?, ear.next().await?);

    assert_ne!(first.attempt.task, second.attempt.task);
    // Both are due again, and work still: nothing begins until one has ended.
    platform.make_due().await;
    let busy = node.scheduler.run_now("one", &CancellationToken::new()).await;
    assert!(matches!(busy, Err(ScheduleError::Busy { .. })), "{busy:?}");
    let busy = other.scheduler.ask_for("two").await;
    assert!(matches!(busy, Err(ScheduleError::Busy { .. })), "{busy:?}");
    assert!(ear.is_silent());
    let ended = first.attempt.task.clone();
    first.succeeds();
    let third = ear.next().await?;
    assert_eq!(third.attempt.task, ended);
    third.succeeds();
    second.succeeds();
    ear.next().await?.succeeds();
    node.stop().await?;
    other.stop().await
}

async fn each_missed_instant_is_a_run_as_the_policy_says(platform: Platform) -> Result<()> {
    let all = Missed::All { at_most: 3, within: SignedDuration::from_hours(100) };
    for missed in [Missed::Skip, Missed::Once, all] {
        let (job, mut ear) = told();
        let task = Task { missed, ..task("sweep") };
        let node = platform.node(vec![(task.clone(), job)]).await;
        node.run_due(&CancellationToken::new()).await?;
        // Five hours ago, on the hour.
        platform
            .execute_on(
                "delete from tierkeep_schedule_run;
                 update tierkeep_schedule set next_at = date_trunc('hour', clock_timestamp()) - interval '5 hours'",
                "delete from tierkeep_schedule_run;
                 update tierkeep_schedule
                 set next_at = (cast(strftime('%s', 'now') as integer) / 3600 - 5) * 3600000000",
            )
            .await;
        let next = node.tasks().await?.remove(0).next_at.unwrap();
        let now = platform.text(if platform.is_postgres() {
            "select cast(cast(extract(epoch from clock_timestamp()) * 1000000 as bigint) as text)"
        } else {
            "select cast(cast(strftime('%s', 'now') as integer) * 1000000 as text)"
        });
        let now = Timestamp::from_microsecond(now.await.unwrap().parse()?)?;
        let expected = due(&task.timing, &task.zone, missed, next, now).runs;

        let node = Node::start(node);
        let mut seen = Vec::new();
        for _ in &expected {
            let begun = ear.next().await?;
            seen.push(begun.attempt.due);
            begun.succeeds();
        }

        assert_eq!(seen, expected, "{missed:?}");
        let moved = async {
            while node.scheduler.tasks().await?[0].next_at.is_none_or(|at| at <= now) {}
            Ok::<_, ScheduleError>(())
        };
        tokio::time::timeout(PATIENCE, moved).await??;
        node.stop().await?;
        assert!(ear.is_silent());
    }
    Ok(())
}

async fn run_due_does_what_is_due_and_returns(platform: Platform) -> Result<()> {
    let (job, mut ear) = told();
    let node = Arc::new(platform.node(vec![(task("one"), Arc::clone(&job)), (task("two"), job)]).await);
    let stop = CancellationToken::new();
    assert!(node.run_due(&stop).await?.is_empty());
    platform.make_due().await;
    let runs = {
        let (node, stop) = (Arc::clone(&node), stop.clone());
        tokio::spawn(async move { node.run_due(&stop).await })
    };

    ear.next().await?.succeeds();
    ear.next().await?.ends(Err(JobError::Failed("no luck".to_owned())));

    let mut states: Vec<_> = runs.await??.into_iter().map(|run| run.state.as_str()).collect();
    states.sort_unstable();
    assert_eq!(states, ["done", "waiting"]);
    assert!(node.run_due(&stop).await?.is_empty());
    Ok(())
}

async fn run_now_works_beside_the_schedule_and_once(platform: Platform) -> Result<()> {
    let (job, mut ear) = told();
    let node = Arc::new(platform.node(vec![(task("sweep"), job)]).await);
    node.set_enabled("sweep", false).await?;
    for (end, state) in [
        (Ok(Value::Null), RunState::Done),
        (Err(JobError::Failed("no luck".to_owned())), RunState::Failed),
        (Err(JobError::Stopped), RunState::Failed),
    ] {
        let run = {
            let node = Arc::clone(&node);
            tokio::spawn(async move { node.run_now("sweep", &CancellationToken::new()).await })
        };

        ear.next().await?.ends(end);

        let run = run.await??;
        assert_eq!((run.state, run.is_asked_for, run.attempts), (state, true, 1), "{run:?}");
    }
    assert_eq!(node.tasks().await?[0].failures, 2);
    Ok(())
}

async fn asked_for_run_begins_on_any_node(platform: Platform) -> Result<()> {
    let (job, mut ear) = told();
    let tasks = || vec![(task("sweep"), Arc::clone(&job))];
    let asker = platform.node(tasks()).await;
    asker.set_enabled("sweep", false).await?;
    let run = asker.ask_for("sweep").await?;
    let twice = asker.ask_for("sweep").await;
    assert!(matches!(twice, Err(ScheduleError::Busy { run: other, .. }) if other == run), "{twice:?}");

    let node = Node::start(platform.node(tasks()).await);

    let begun = ear.next().await?;
    assert_eq!(begun.attempt.run, run);
    begun.succeeds();
    assert!(node.sees(RunState::Done).await?.is_asked_for);
    node.stop().await
}

async fn chance_delays_a_run_and_not_its_instant(platform: Platform) -> Result<()> {
    let (job, mut ear) = told();
    let jitter = Duration::from_secs(1_000_000);
    let node = Node::start(platform.node(vec![(Task { jitter, ..task("sweep") }, job)]).await);
    node.knows(&platform).await?;
    platform.make_due().await;

    node.sees(RunState::Waiting).await?;
    let runs = "select cast(count(*) as text) from tierkeep_schedule_run where run_at > due";
    assert_eq!(platform.text(runs).await.as_deref(), Some("1"));
    platform.end_pauses().await;

    ear.next().await?.succeeds();
    node.sees(RunState::Done).await?;
    node.stop().await
}

async fn unknown_task_is_told_of_those_that_are_like_it(platform: Platform) -> Result<()> {
    let (job, _ear) = told();
    let node = platform.node(vec![(task("archive"), Arc::clone(&job)), (task("sweep"), job)]).await;

    let error = node.ask_for("sweeep").await.unwrap_err();

    assert_eq!(error.to_string(), "there is no task \"sweeep\"; accepted: sweep, archive");
    assert!(matches!(node.history(Some("x"), 1).await, Err(ScheduleError::UnknownTask { .. })));
    assert!(matches!(node.set_enabled("", true).await, Err(ScheduleError::UnknownTask { .. })));
    let stop = CancellationToken::new();
    assert!(matches!(node.run_now("é", &stop).await, Err(ScheduleError::UnknownTask { .. })));
    Ok(())
}

async fn output_beyond_the_limit_is_left_out(platform: Platform) -> Result<()> {
    let (job, mut ear) = told();
    let node = Arc::new(platform.node(vec![(task("sweep"), job)]).await);
    let run = {
        let node = Arc::clone(&node);
        tokio::spawn(async move { node.run_now("sweep", &CancellationToken::new()).await })
    };

    ear.next().await?.ends(Ok(Value::String("x".repeat(65_535))));

    let output = run.await??.output.unwrap();
    assert_eq!(output, json!({ "left_out": "65537 bytes; at most 65536 are kept" }));
    Ok(())
}
