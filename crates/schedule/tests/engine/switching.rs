//! Tasks that are switched, nodes that differ, and a history that is pruned.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use jiff::SignedDuration;
use tierkeep_schedule::{JobError, RunState, Task, Timing};
use tokio_util::sync::CancellationToken;

use crate::fixture::{Node, Platform, on_both, task, told};

on_both!(
    task_that_is_off_is_not_due_and_makes_nothing_up,
    retry_of_a_task_that_is_switched_off_is_closed,
    node_that_started_last_says_when_a_task_is_due,
    configuration_switches_a_task_until_somebody_does,
    task_of_a_newer_node_is_left_alone,
    instant_that_comes_again_is_not_run_again,
    history_is_pruned_but_for_the_last_success,
);

async fn task_that_is_off_is_not_due_and_makes_nothing_up(platform: Platform) -> Result<()> {
    let (job, mut ear) = told();
    let node = Arc::new(platform.node(vec![(Task { is_enabled: false, ..task("sweep") }, job)]).await);
    let stop = CancellationToken::new();
    assert!(node.run_due(&stop).await?.is_empty());
    assert_eq!(node.tasks().await?[0].next_at, None);

    node.set_enabled("sweep", true).await?;
    let next = node.tasks().await?[0].next_at;
    node.set_enabled("sweep", false).await?;
    platform.make_due().await;
    assert!(node.run_due(&stop).await?.is_empty());
    node.set_enabled("sweep", true).await?;

    let state = node.tasks().await?.remove(0);
    assert!(state.is_enabled && state.next_at >= next, "{state:?}");
    assert!(node.run_due(&stop).await?.is_empty());
    // Twice is as once.
    platform.make_due().await;
    node.set_enabled("sweep", true).await?;
    let run = tokio::spawn(async move { node.run_due(&stop).await });
    ear.next().await?.succeeds();
    assert_eq!(run.await??.len(), 1);
    Ok(())
}

async fn retry_of_a_task_that_is_switched_off_is_closed(platform: Platform) -> Result<()> {
    let (job, mut ear) = told();
    let node = Node::start(platform.node(vec![(task("sweep"), job)]).await);
    node.knows(&platform).await?;
    platform.make_due().await;
    ear.next().await?.ends(Err(JobError::Failed("no luck".to_owned())));
    node.sees_that(|run| run.state == RunState::Waiting && run.error.is_some()).await?;

    node.scheduler.set_enabled("sweep", false).await?;

    assert_eq!(node.sees(RunState::Failed).await?.error.as_deref(), Some("no luck"));
    // One that works while it is switched off ends, and is not tried again.
    node.scheduler.set_enabled("sweep", true).await?;
    platform.make_due().await;
    let begun = ear.next().await?;
    node.scheduler.set_enabled("sweep", false).await?;
    begun.ends(Err(JobError::Failed("no luck either".to_owned())));
    node.sees_that(|run| run.state == RunState::Failed && run.error.as_deref() == Some("no luck either")).await?;
    node.stop().await
}

async fn node_that_started_last_says_when_a_task_is_due(platform: Platform) -> Result<()> {
    let (job, _ear) = told();
    let daily = Task { timing: Timing::Every(SignedDuration::from_hours(24)), ..task("sweep") };
    let one = platform.node(vec![(task("sweep"), Arc::clone(&job))]).await;
    let other = platform.node(vec![(daily, job)]).await;
    let stop = CancellationToken::new();
    one.run_due(&stop).await?;
    let hourly = one.tasks().await?.remove(0);

    // Looking changes nothing.
    assert_eq!(other.tasks().await?[0].timing, hourly.timing);
    other.run_due(&stop).await?;

    let state = one.tasks().await?.remove(0);
    assert_ne!(state.timing, hourly.timing);
    assert_eq!(state.next_at.unwrap().as_second() % (24 * 3600), 0);
    one.set_enabled("sweep", false).await?;
    one.set_enabled("sweep", true).await?;
    assert_eq!(one.tasks().await?[0].timing, state.timing);
    Ok(())
}

async fn configuration_switches_a_task_until_somebody_does(platform: Platform) -> Result<()> {
    let (job, _ear) = told();
    let off = platform.node(vec![(Task { is_enabled: false, ..task("sweep") }, Arc::clone(&job))]).await;
    let on = platform.node(vec![(task("sweep"), job)]).await;
    let stop = CancellationToken::new();
    off.run_due(&stop).await?;
    assert!(!on.tasks().await?[0].is_enabled, "looking changes nothing");

    on.run_due(&stop).await?;
    let state = on.tasks().await?.remove(0);
    assert!(state.is_enabled && state.next_at.is_some(), "{state:?}");
    off.run_due(&stop).await?;
    assert!(!off.tasks().await?[0].is_enabled);

    // Off as it was, but now because somebody said so.
    off.set_enabled("sweep", false).await?;
    on.run_due(&stop).await?;
    assert!(!on.tasks().await?[0].is_enabled);
    on.set_enabled("sweep", true).await?;
    off.run_due(&stop).await?;
    assert!(off.tasks().await?[0].is_enabled);
    Ok(())
}

async fn task_of_a_newer_node_is_left_alone(platform: Platform) -> Result<()> {
    let (job, _ear) = told();
    let newer = platform.node(vec![(task("dream"), Arc::clone(&job))]).await;
    let older = platform.node(vec![(task("sweep"), job)]).await;
    let stop = CancellationToken::new();
    newer.run_due(&stop).await?;
    newer.ask_for("dream").await?;

    assert!(older.run_due(&stop).await?.is_empty());

    assert_eq!(older.tasks().await?.len(), 1);
    assert_eq!(newer.history(None, 10).await?[0].state, RunState::Waiting);
    Ok(())
}

async fn instant_that_comes_again_is_not_run_again(platform: Platform) -> Result<()> {
    for has_index in [true, false] {
        let (job, mut ear) = told();
        let node = Arc::new(platform.node(vec![(task("sweep"), job)]).await);
        let stop = CancellationToken::new();
        node.run_due(&stop).await?;
        platform.make_due().await;
        platform.execute("create table before as select next_at from tierkeep_schedule").await;
        let due = || {
            let (node, stop) = (Arc::clone(&node), stop.clone());
            tokio::spawn(async move { node.run_due(&stop).await })
        };
        let first = due();
        ear.next().await?.succeeds();
        assert_eq!(first.await??.len(), 1);
        if !has_index {
            // The control.
            platform.execute("drop index tierkeep_schedule_run_once").await;
        }

        // The clock was set back, or the schedule restored from a copy.
        platform.execute("update tierkeep_schedule set next_at = (select next_at from before)").await;
        let again = due();
        if !has_index {
            ear.next().await?.succeeds();
        }

        assert_eq!(again.await??.len(), usize::from(!has_index));
        platform.execute("drop table before; delete from tierkeep_schedule_run").await;
    }
    Ok(())
}

async fn history_is_pruned_but_for_the_last_success(platform: Platform) -> Result<()> {
    let (job, mut ear) = told();
    let node = Arc::new(platform.node(vec![(task("sweep"), job)]).await);
    for works in [true, true, false, false, false] {
        let run = {
            let node = Arc::clone(&node);
            tokio::spawn(async move { node.run_now("sweep", &CancellationToken::new()).await })
        };
        let begun = ear.next().await?;
        if works {
            begun.succeeds();
        } else {
            begun.ends(Err(JobError::Refused("no".to_owned())));
        }
        run.await??;
    }
    node.ask_for("sweep").await?;
    let left = async || -> Result<Vec<&str>> {
        Ok(node.history(None, 100).await?.into_iter().map(|run| run.state.as_str()).collect())
    };
    let long = Duration::from_secs(3600);

    assert_eq!(node.prune_history(long, 5).await?, 0);
    assert_eq!(node.prune_history(long, 2).await?, 2);
    assert_eq!(left().await?, ["waiting", "refused", "refused", "done"]);
    platform.execute("update tierkeep_schedule_run set ended_at = null where state = 'waiting'").await;
    platform
        .execute_on(
            "update tierkeep_schedule_run set ended_at = ended_at - interval '2 hours'",
            "update tierkeep_schedule_run set ended_at = ended_at - 7200000000",
        )
        .await;
    assert_eq!(node.prune_history(long, 100).await?, 2);
    assert_eq!(left().await?, ["waiting", "done"]);
    Ok(())
}
