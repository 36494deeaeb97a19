//! `work`: a node that does what is due and does not listen.

use std::sync::Arc;

use anyhow::anyhow;
use tierkeep_learning::service::Statistics;
use tierkeep_learning::store::{OpenMode, Store};
use tierkeep_schedule::{RunState, Scheduler};
use tokio_util::sync::CancellationToken;

use super::{Context, Ending, Failure, schedule};
use crate::access::{Access, Reach};
use crate::cli::WorkArgs;
use crate::node::Node;
use crate::signals;

pub(super) async fn run(arguments: &WorkArgs, context: &Context) -> Result<(), Failure> {
    context.guard_writing("work")?;
    let stop = signals::stop_token()?;
    let store = context.open(&context.config().database.url, OpenMode::Existing).await?;
    let done = work(arguments, Arc::clone(&store), context, &stop).await;
    store.close().await;
    done
}

async fn work(
    arguments: &WorkArgs,
    store: Arc<dyn Store>,
    context: &Context,
    stop: &CancellationToken,
) -> Result<(), Failure> {
    // nobody can ask this process for anything
    let access = Access::without_tokens(Arc::clone(&store), Reach::Loopback);
    let (app, scheduler) = context.app(Statistics::new(store, context.config().days.clone()), access, stop).await?;
    let scheduler = scheduler.ok_or_else(schedule::nothing_scheduled)?;
    if arguments.once {
        let done = once(&scheduler, context, stop).await;
        app.notices.close().await;
        app.tiers.close().await;
        return done;
    }
    let node = Node::begin(app, context.config(), Some(scheduler), stop.clone())?;
    context.console.note("does what is due, until it is told to end");
    stop.cancelled().await;
    node.end().await?;
    context.console.note("stopped");
    Ok(())
}

async fn once(scheduler: &Scheduler, context: &Context, stop: &CancellationToken) -> Result<(), Failure> {
    let runs = scheduler.run_due(stop).await.map_err(schedule::failure)?;
    context.console.result(&schedule::shown(&runs, context.console.output()))?;
    // one that waits is tried again by whoever looks when its pause is over
    let failed = runs.iter().filter(|run| run.state != RunState::Done).count();
    match failed {
        _ if stop.is_cancelled() => {
            Err(Failure { ending: Ending::Stopped, error: anyhow!("told to end; what is left is due still") })
        }
        0 => Ok(()),
        _ => Err(anyhow!("{failed} of {} runs failed", runs.len()).into()),
    }
}
