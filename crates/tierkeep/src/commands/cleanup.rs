//! `cleanup`: what is invalid or old goes, batch by batch.

pub(super) mod display;

use std::sync::Arc;
use std::time::Instant;

use anyhow::anyhow;
use jiff::Timestamp;
use tierkeep_learning::store::{Cleanup, OpenMode, Store, StoreError};
use tierkeep_retention::{Ended, RetentionError};
use tokio_util::sync::CancellationToken;

use super::observing::Progress;
use super::{Context, Ending, Failure};
use crate::chain::Chain;
use crate::cleanup::{Document, Request, Surroundings, present};
use crate::cli::CleanupArgs;
use crate::console::Output;
use crate::signals;

pub(super) async fn run(arguments: &CleanupArgs, context: &Context) -> Result<(), Failure> {
    let request = arguments.request();
    if !arguments.dry_run {
        context.guard_writing("cleanup without --dry-run")?;
    }
    request.ages(&context.config().retention).map_err(Failure::usage)?;
    let stop = signals::stop_token()?;
    let mode = if context.read_only { OpenMode::ReadOnly } else { OpenMode::Existing };
    let store = context.open(&context.config().database.url, mode).await?;
    let done = clean_up(Arc::clone(&store), arguments.dry_run, &request, context, stop).await;
    store.close().await;
    done
}

async fn clean_up(
    store: Arc<dyn Store>,
    is_dry_run: bool,
    request: &Request,
    context: &Context,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let now = present(&*store, context.clock).await?;
    let cleanup = request.cleanup(now, &context.config().retention).map_err(Failure::usage)?;
    context.console.note(display::cutoffs(&cleanup));
    if is_dry_run {
        plan(store, request, cleanup, context).await
    } else {
        work(store, request, cleanup, context, stop).await
    }
}

async fn plan(store: Arc<dyn Store>, request: &Request, cleanup: Cleanup, context: &Context) -> Result<(), Failure> {
    let (began, config) = (Instant::now(), &context.config().retention);
    let planned = store.plan_cleanup(&cleanup, request.limits(config), request.is_forced).await;
    let plan = planned.map_err(|error| refusal(error, &cleanup, began, context))?;
    let text = match context.console.output() {
        Output::Human => display::plan(&plan, &cleanup, request.export_dir(config).as_deref(), request.is_forced),
        Output::Json => document(&Document::of_plan(plan, &cleanup, began.elapsed()))?,
    };
    Ok(context.console.result(&text)?)
}

async fn work(
    store: Arc<dyn Store>,
    request: &Request,
    cleanup: Cleanup,
    context: &Context,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let began = Instant::now();
    let progress = Arc::new(Progress::new(context.console));
    let surroundings = Surroundings {
        clock: context.clock,
        stop: stop.clone(),
        observer: Arc::clone(&progress) as _,
        installation: store.installation().await?,
    };
    let order = request.order(&context.config().retention, surroundings);
    let done = store.clean_up(&cleanup, &order).await;
    progress.finish();
    let outcome = match done {
        Ok(outcome) => outcome,
        Err(StoreError::Retention(RetentionError::Busy { .. })) if stop.is_cancelled() => {
            let error = anyhow!("told to end while another run worked; nothing was begun");
            return Err(Failure { ending: Ending::Stopped, error });
        }
        Err(error) => return Err(refusal(error, &cleanup, began, context)),
    };
    let text = match context.console.output() {
        Output::Human => display::outcome(&outcome),
        Output::Json => document(&Document::of_outcome(&outcome, &cleanup))?,
    };
    context.console.result(&text)?;
    let reason = outcome.reason.unwrap_or_default();
    match outcome.ended {
        Ended::Done => Ok(()),
        Ended::Refused => Err(Failure::refused(anyhow!(reason))),
        Ended::Budget | Ended::Signal | Ended::Failed | Ended::Crashed => {
            let error = anyhow!("run {} stopped early: {reason}; the same command goes on where it ended", outcome.run);
            Err(Failure { ending: Ending::Stopped, error })
        }
    }
}

/// Why nothing was begun. Programs get a document of what a guard refused, too.
fn refusal(error: StoreError, cleanup: &Cleanup, began: Instant, context: &Context) -> Failure {
    let failure = Failure::from(error);
    if failure.ending == Ending::Refused && context.console.output() == Output::Json {
        let reason = Chain(failure.error.as_ref()).to_string();
        let written = document(&Document::refused(reason, cleanup, began.elapsed()));
        let told = written.and_then(|text| Ok(context.console.result(&text)?));
        if let Err(untold) = told {
            return untold;
        }
    }
    failure
}

fn document(document: &Document) -> Result<String, Failure> {
    Ok(serde_json::to_string(document).map_err(anyhow::Error::from)?)
}

/// An age as the database writes it, as an instant if it is one.
fn instant(text: &str) -> String {
    let micros = text.parse().ok().and_then(|micros| Timestamp::from_microsecond(micros).ok());
    let found = micros.or_else(|| text.parse().ok());
    found.map_or_else(|| text.to_owned(), |instant| instant.to_string())
}
