//! `schedule`: what nodes do by themselves, in the database, whether or not a node runs.

use std::io::{BufRead, IsTerminal};
use std::sync::Arc;

use anyhow::anyhow;
use comfy_table::{Table, TableStyle};
use serde_json::Value;
use tierkeep_learning::service::Statistics;
use tierkeep_learning::store::{OpenMode, Store};
use tierkeep_schedule::{RunEntry, RunState, ScheduleError, Scheduler, TaskState};
use tokio_util::sync::CancellationToken;

use super::cleanup::display;
use super::{Context, Ending, Failure};
use crate::access::{Access, Reach};
use crate::cli::ScheduleCommand;
use crate::config::TaskKind;
use crate::console::Output;
use crate::http::{App, run_document, task_document};
use crate::signals;

pub(super) async fn run(command: &ScheduleCommand, context: &Context) -> Result<(), Failure> {
    context.guard_writing("schedule")?;
    let store = context.open(&context.config().database.url, OpenMode::Existing).await?;
    let done = obey(command, Arc::clone(&store), context).await;
    store.close().await;
    done
}

async fn obey(command: &ScheduleCommand, store: Arc<dyn Store>, context: &Context) -> Result<(), Failure> {
    let stop = signals::stop_token()?;
    let access = Access::without_tokens(Arc::clone(&store), Reach::Loopback);
    let (app, scheduler) = context.app(Statistics::new(store, context.config().days.clone()), access, &stop).await?;
    let scheduler = scheduler.ok_or_else(nothing_scheduled)?;
    let done = match command {
        ScheduleCommand::List => list(&scheduler, context).await,
        ScheduleCommand::Run { name } => run_now(&scheduler, name, &stop, context).await,
        ScheduleCommand::Enable { name, yes } => enable(&scheduler, &app, name, *yes, context).await,
        ScheduleCommand::Disable { name } => switch(&scheduler, name, false, context).await,
        ScheduleCommand::History { name, limit } => history(&scheduler, name.as_deref(), *limit, context).await,
    };
    app.notices.close().await;
    app.tiers.close().await;
    done
}

async fn list(scheduler: &Scheduler, context: &Context) -> Result<(), Failure> {
    let tasks = scheduler.tasks().await.map_err(failure)?;
    let text = match context.console.output() {
        Output::Json => Value::from_iter(tasks.iter().map(task_document)).to_string(),
        Output::Human => table_of_tasks(&tasks),
    };
    Ok(context.console.result(&text)?)
}

async fn run_now(
    scheduler: &Scheduler,
    name: &str,
    stop: &CancellationToken,
    context: &Context,
) -> Result<(), Failure> {
    let run = scheduler.run_now(name, stop).await.map_err(failure)?;
    context.console.result(&shown(std::slice::from_ref(&run), context.console.output()))?;
    let why = run.error.unwrap_or_default();
    match run.state {
        RunState::Done => Ok(()),
        RunState::Refused => Err(Failure::refused(anyhow!("{name} was refused: {why}"))),
        RunState::Waiting | RunState::Works => {
            Err(Failure { ending: Ending::Stopped, error: anyhow!("{name} is not done yet: {why}") })
        }
        RunState::Failed => Err(anyhow!("{name} failed: {why}").into()),
    }
}

async fn enable(
    scheduler: &Scheduler,
    app: &App,
    name: &str,
    is_agreed: bool,
    context: &Context,
) -> Result<(), Failure> {
    let config = context.config();
    if name == TaskKind::Archive.name() {
        if config.retention.enabled == Some(false) {
            return Err(Failure::refused(anyhow!("retention.enabled is false in the configuration, which goes first")));
        }
        let store = Arc::clone(app.tiers.statistics().store());
        let (plan, cleanup) = app.retention.plan_scheduled(store, context.clock).await?;
        context.console.note("what the task would do if it ran now:");
        context.console.note(display::plan(&plan, &cleanup, Some(&config.retention.deletion.export_dir), false));
        if !is_agreed && !agrees(context)? {
            return Err(Failure::refused(anyhow!("{name} stays as it is")));
        }
    }
    switch(scheduler, name, true, context).await
}

/// Asks somebody; where nobody is, nobody agrees.
fn agrees(context: &Context) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::refused(anyhow!("nobody is there to be asked; accepted: --yes")));
    }
    context.console.note("switch it on? [y/N]");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

async fn switch(scheduler: &Scheduler, name: &str, is_enabled: bool, context: &Context) -> Result<(), Failure> {
    scheduler.set_enabled(name, is_enabled).await.map_err(failure)?;
    let tasks = scheduler.tasks().await.map_err(failure)?;
    let task = tasks.iter().find(|task| task.name.as_str() == name);
    let text = match (context.console.output(), task) {
        (Output::Json, Some(task)) => task_document(task).to_string(),
        (_, Some(TaskState { next_at: Some(next), .. })) => format!("{name} is on, and due at {next}"),
        _ => format!("{name} is off"),
    };
    Ok(context.console.result(&text)?)
}

async fn history(scheduler: &Scheduler, name: Option<&str>, limit: u32, context: &Context) -> Result<(), Failure> {
    let runs = scheduler.history(name, limit).await.map_err(failure)?;
    Ok(context.console.result(&shown(&runs, context.console.output()))?)
}

/// Runs for people or programs.
pub(super) fn shown(runs: &[RunEntry], output: Output) -> String {
    if let Output::Json = output {
        return Value::from_iter(runs.iter().map(run_document)).to_string();
    }
    if runs.is_empty() {
        return "there are no runs".to_owned();
    }
    let mut table = Table::new();
    table.load_style(TableStyle::default());
    table.set_header(["run", "task", "for", "state", "attempts", "started at", "seconds", "told"]);
    for run in runs {
        let told = match (&run.error, &run.output) {
            (Some(error), _) => error.clone(),
            (None, Some(output)) => told_by(output),
            (None, None) => "-".to_owned(),
        };
        table.add_row([
            run.id.to_string(),
            run.task.to_string(),
            if run.is_asked_for { "asked for".to_owned() } else { run.due.to_string() },
            run.state.as_str().to_owned(),
            run.attempts.to_string(),
            run.started_at.map_or_else(|| "-".to_owned(), |at| at.to_string()),
            seconds(run).map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1}")),
            told,
        ]);
    }
    table.to_string()
}

/// What a run tells, in a line: what it counted, without what it found nothing of and the time, which has its column.
fn told_by(output: &Value) -> String {
    let mut counted = Vec::new();
    collect_counts(&mut counted, None, output);
    if counted.is_empty() { "nothing to do".to_owned() } else { counted.join(", ") }
}

fn collect_counts(counted: &mut Vec<String>, name: Option<&str>, value: &Value) {
    match (name, value) {
        (Some("seconds" | "run_id" | "cutoffs"), _) => {}
        (_, Value::Object(fields)) => {
            for (name, value) in fields {
                collect_counts(counted, Some(name), value);
            }
        }
        (Some(name), Value::Number(number)) if number.as_f64() != Some(0.0) => {
            counted.push(format!("{} {number}", name.replace('_', " ")));
        }
        (Some("ended"), Value::String(ended)) if ended != "done" => counted.push(format!("ended: {ended}")),
        (Some("reason"), Value::String(reason)) => counted.push(reason.clone()),
        _ => {}
    }
}

fn seconds(run: &RunEntry) -> Option<f64> {
    Some(run.ended_at?.duration_since(run.started_at?).as_secs_f64())
}

fn table_of_tasks(tasks: &[TaskState]) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::default());
    table.set_header(["task", "due", "zone", "on", "next at", "last run", "last success", "failures"]);
    let at = |instant: Option<jiff::Timestamp>| instant.map_or_else(|| "-".to_owned(), |at| at.to_string());
    for task in tasks {
        let last = match (&task.works, &task.last) {
            (Some(run), _) => format!("works since {}", at(run.started_at)),
            (None, Some(run)) => format!("{} at {}", run.state.as_str(), at(run.ended_at)),
            (None, None) => "-".to_owned(),
        };
        table.add_row([
            task.name.to_string(),
            task.timing.clone(),
            task.zone.clone(),
            if task.is_enabled { "yes" } else { "no" }.to_owned(),
            at(task.next_at),
            last,
            at(task.succeeded_at),
            task.failures.to_string(),
        ]);
    }
    table.to_string()
}

pub(super) fn nothing_scheduled() -> Failure {
    Failure::refused(anyhow!("a platform's tables that are only read have no schedule; `tierkeep attach` makes one"))
}

pub(super) fn failure(error: ScheduleError) -> Failure {
    let ending = match &error {
        ScheduleError::UnknownTask { .. } => Ending::Usage,
        ScheduleError::Busy { .. } => Ending::Refused,
        _ => Ending::Failed,
    };
    Failure { ending, error: error.into() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::told_by;

    #[test]
    fn told_is_what_was_counted_and_how_it_ended() {
        let output = json!({
            "run_id": 7, "dry_run": false, "seconds": 3.5, "cutoffs": { "now": "2026-01-01T00:00:00Z" },
            "phases": { "invalid": { "bad_rating": 2, "orphan": 0 }, "archive": { "rows": 9 } },
            "ended": "budget", "reason": "the time was over",
        });

        assert_eq!(told_by(&output), "bad rating 2, rows 9, ended: budget, the time was over");
        assert_eq!(told_by(&json!({ "learners": 0, "seconds": 0.1 })), "nothing to do");
    }
}
