//! `restore`: what a run moved, or all that was moved of a learner, comes back.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use anyhow::anyhow;
use tierkeep_learning::store::{OpenMode, Store};
use tierkeep_retention::{Ended, RestoreOrder};
use tokio_util::sync::CancellationToken;

use super::observing::Progress;
use super::{Context, Ending, Failure};
use crate::cleanup::{RestoreDocument, Surroundings};
use crate::cli::RestoreArgs;
use crate::console::Output;
use crate::signals;

pub(super) async fn run(arguments: &RestoreArgs, context: &Context) -> Result<(), Failure> {
    if !arguments.dry_run {
        context.guard_writing("restore without --dry-run")?;
    }
    let stop = signals::stop_token()?;
    let mode = if context.read_only { OpenMode::ReadOnly } else { OpenMode::Existing };
    let store = context.open(&context.config().database.url, mode).await?;
    let done = restore(Arc::clone(&store), arguments, context, stop).await;
    store.close().await;
    done
}

async fn restore(
    store: Arc<dyn Store>,
    arguments: &RestoreArgs,
    context: &Context,
    stop: CancellationToken,
) -> Result<(), Failure> {
    let (began, config) = (Instant::now(), &context.config().retention);
    let progress = Arc::new(Progress::new(context.console));
    let surroundings = Surroundings {
        clock: context.clock,
        stop,
        observer: Arc::clone(&progress) as _,
        installation: store.installation().await?,
    };
    let order = RestoreOrder {
        scope: arguments.scope(),
        grace: config.restore_grace,
        order: arguments.request().order(config, surroundings),
    };
    if arguments.dry_run {
        let plan = store.plan_restore(&order).await?;
        return show(&RestoreDocument::of_plan(plan, began.elapsed()), context);
    }
    let done = store.restore(&order).await;
    progress.finish();
    let document = RestoreDocument::of_restored(&done?);
    show(&document, context)?;
    if document.ended == Ended::Done.word() {
        return Ok(());
    }
    let reason = document.reason.unwrap_or_default();
    let error = anyhow!("stopped early: {reason}; the same command goes on where it ended");
    Err(Failure { ending: Ending::Stopped, error })
}

fn show(document: &RestoreDocument, context: &Context) -> Result<(), Failure> {
    let text = match context.console.output() {
        Output::Json => serde_json::to_string(document).map_err(anyhow::Error::from)?,
        Output::Human => told(document),
    };
    Ok(context.console.result(&text)?)
}

fn told(document: &RestoreDocument) -> String {
    let verb = if document.dry_run { "would come back to" } else { "came back to" };
    let mut text = String::new();
    let mut say = |line: std::fmt::Arguments<'_>| {
        // writing to a text cannot fail
        let _ = writeln!(text, "{line}");
    };
    if document.rows.values().all(|rows| *rows == 0) {
        say(format_args!("0 rows {verb} where they were: nothing is left of this."));
    }
    for (table, rows) in document.rows.iter().filter(|(_, rows)| **rows > 0) {
        say(format_args!("{rows} rows {verb} {table}."));
    }
    if document.repointed > 0 {
        say(format_args!("{} references were turned back to them.", document.repointed));
    }
    if document.left > 0 {
        say(format_args!("{} rows were locked by others; the same command brings them back later.", document.left));
    }
    if document.stayed > 0 {
        say(format_args!("{} rows cannot come back, and stay where they are:", document.stayed));
    }
    for stay in &document.stays {
        say(format_args!("  {} {}: {}", stay.source, stay.key, stay.why));
    }
    if document.dry_run {
        say(format_args!("This was a dry run: nothing was written."));
    } else if document.rows.values().any(|rows| *rows > 0) {
        say(format_args!("The next clean-ups leave them alone for retention.restore_grace."));
    }
    text
}
