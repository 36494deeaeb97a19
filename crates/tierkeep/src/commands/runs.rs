//! `runs`: what clean-ups there were, and how they ended.

use anyhow::anyhow;
use comfy_table::{Table, TableStyle};
use tierkeep_learning::store::{OpenMode, Store};
use tierkeep_retention::{Broken, RunEntry};

use super::{Context, Failure};
use crate::cli::RunsArgs;
use crate::console::Output;

pub(super) async fn run(arguments: &RunsArgs, context: &Context) -> Result<(), Failure> {
    let mode = if context.read_only { OpenMode::ReadOnly } else { OpenMode::Existing };
    let store = context.open(&context.config().database.url, mode).await?;
    let listed = list(&*store, arguments, context).await;
    store.close().await;
    listed
}

async fn list(store: &dyn Store, arguments: &RunsArgs, context: &Context) -> Result<(), Failure> {
    let runs = store.retention_runs(arguments.before, arguments.limit).await?;
    let text = match context.console.output() {
        Output::Json => serde_json::to_string(&runs).map_err(anyhow::Error::from)?,
        Output::Human => table(&runs),
    };
    context.console.result(&text)?;
    // where nothing is attached there is no record
    let broken = if store.installation().await?.is_none() { Vec::new() } else { store.audit_runs().await? };
    for place in &broken {
        context.console.note(format_args!("the record of the runs was altered: {}", where_broken(place)));
    }
    if arguments.audit && !broken.is_empty() {
        return Err(anyhow!("the record of the runs was altered in {} places", broken.len()).into());
    }
    Ok(())
}

fn where_broken(Broken { run, number, why }: &Broken) -> String {
    let batch = number.map_or_else(String::new, |number| format!(", batch {number}"));
    format!("run {run}{batch}: {why}")
}

fn table(runs: &[RunEntry]) -> String {
    if runs.is_empty() {
        return "there are no runs".to_owned();
    }
    let mut table = Table::new();
    table.load_style(TableStyle::default());
    table.set_header(["run", "command", "started at", "ended at", "ended", "rows", "batches", "reason"]);
    for run in runs {
        table.add_row([
            run.run_id.to_string(),
            run.command.clone(),
            run.started_at.to_string(),
            run.ended_at.map_or_else(|| "-".to_owned(), |end| end.to_string()),
            run.state.to_string(),
            run.rows.to_string(),
            run.batches.to_string(),
            run.reason.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table.to_string()
}
