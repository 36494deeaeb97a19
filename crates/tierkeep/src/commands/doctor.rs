//! `doctor`: what is worth doing about the database.

mod advising;

use std::collections::BTreeSet;
use std::io::Read as _;

use anyhow::{Context as _, anyhow};
use comfy_table::{Table, TableStyle};
use serde_json::{Value, json};
use tierkeep_db::advice::{SampledPlan, SampledValue, sampled_plans};
use tierkeep_db::plan::{Options, Plan, PlanError, explain};
use tierkeep_db::statistics::{Bytes, Examined, Growth, QueryCounters, SlowQueries, SlowestBy, TableStatistics};
use tierkeep_db::{Access, Database, DatabaseUrl, Pool, SqliteConfig, SqliteDatabase};

use super::{Context, Ending, Failure};
use crate::cli::{DoctorArgs, DoctorCommand, Order};
use crate::console::Output;
use crate::doctor::{self, Document, Examination, GrowthByTable, Task};

/// Tasks that are told of where nothing else is asked.
const MOST: usize = 5;
/// Bytes of a statement that is read from standard input.
const STATEMENT_BYTES: u64 = 1 << 20;

pub(super) async fn run(arguments: &DoctorArgs, context: &Context) -> Result<(), Failure> {
    let is_writing = matches!(&arguments.command, Some(DoctorCommand::Advise(advise)) if advise.create);
    if is_writing && context.read_only {
        return Err(Failure::usage(anyhow!("--create makes indexes, so it cannot be had with --read-only")));
    }
    let db = open(context, is_writing).await?;
    let done = look(&db, arguments.command.as_ref(), context).await;
    match &db {
        Database::Postgres(pool) => pool.close().await,
        Database::Sqlite(db) => db.close().await,
    }
    done
}

async fn open(context: &Context, is_writing: bool) -> Result<Database, Failure> {
    let config = &context.config().database;
    let opened = match &config.url {
        DatabaseUrl::Postgres(url) => Pool::new(url, config.pool.clone()).map(Database::Postgres),
        DatabaseUrl::Sqlite(path) => {
            let access = if is_writing { Access::ReadWrite } else { Access::ReadOnly };
            let config = SqliteConfig { access, ..SqliteConfig::default() };
            SqliteDatabase::open(path, config).await.map(Database::Sqlite)
        }
    };
    Ok(opened.with_context(|| format!("{} cannot be opened", config.url))?)
}

async fn look(db: &Database, command: Option<&DoctorCommand>, context: &Context) -> Result<(), Failure> {
    match command {
        None => everything(db, context).await,
        Some(DoctorCommand::SlowQueries { threshold, by, limit }) => {
            let by = match by {
                Order::Total => SlowestBy::Total,
                Order::Mean => SlowestBy::Mean,
            };
            let limit = usize::try_from(*limit).unwrap_or(usize::MAX);
            slow_queries(db, SlowQueries { threshold_ms: *threshold, by, limit }, context).await
        }
        Some(DoctorCommand::Tables) => tables(db, context).await,
        Some(DoctorCommand::Indexes) => indexes(db, context).await,
        Some(DoctorCommand::Explain { sql, analyze }) => explained(db, sql, *analyze, context).await,
        Some(DoctorCommand::Advise(arguments)) => advising::run(db, arguments, context).await,
    }
}

async fn examined(db: &Database, context: &Context) -> Result<Examination, Failure> {
    let examined = Examination::of(db).await;
    Ok(examined.with_context(|| format!("{} cannot be looked at", context.config().database.url))?)
}

async fn everything(db: &Database, context: &Context) -> Result<(), Failure> {
    let examination = examined(db, context).await?.with_advice(db).await.map_err(anyhow::Error::from)?;
    match context.console.output() {
        Output::Json => say(&serde_json::to_value(Document::of(&examination)).map_err(anyhow::Error::from)?, context),
        Output::Human => {
            context.console.result(&most_worth_doing(&examination.tasks()))?;
            note_omissions(&examination, context);
            Ok(())
        }
    }
}

fn most_worth_doing(tasks: &[Task]) -> String {
    if tasks.is_empty() {
        return "nothing is worth doing among what was looked at".to_owned();
    }
    let mut text = String::new();
    for (number, Task { urgency, what, command, .. }) in tasks.iter().take(MOST).enumerate() {
        text.push_str(&format!("{}. {}: {what}\n   {command}\n", number + 1, urgency.name()));
    }
    if tasks.len() > MOST {
        text.push_str(&format!("and {} more, in --json\n", tasks.len() - MOST));
    }
    text
}

fn note_omissions(examination: &Examination, context: &Context) {
    for omission in examination.omissions() {
        context.console.note(omission);
    }
}

fn say(value: &Value, context: &Context) -> Result<(), Failure> {
    Ok(context.console.result(&value.to_string())?)
}

async fn slow_queries(db: &Database, wanted: SlowQueries, context: &Context) -> Result<(), Failure> {
    let statements = doctor::counted(db).await.map_err(anyhow::Error::from)?;
    let Some(snapshot) = statements.found() else {
        return not_examined("statements", &statements, context);
    };
    let period = snapshot.whole();
    let slowest = period.slowest(wanted);
    match context.console.output() {
        Output::Json => {
            let list: Vec<Value> = slowest.into_iter().map(doctor::query).collect();
            say(&json!({ "examined": true, "complete": period.completeness, "slow_queries": list }), context)
        }
        Output::Human if slowest.is_empty() => {
            let SlowQueries { threshold_ms, .. } = wanted;
            let told = format!("no statement takes {threshold_ms} ms or more on average; {}", period.completeness);
            Ok(context.console.result(&told)?)
        }
        Output::Human => {
            context.console.result(&slowest.iter().map(|query| line(query)).collect::<String>())?;
            context.console.note(period.completeness);
            Ok(())
        }
    }
}

fn line(query: &QueryCounters) -> String {
    format!("{query}\n")
}

/// What was not looked at is never told as an empty list.
fn not_examined<T>(what: &str, examined: &Examined<T>, context: &Context) -> Result<(), Failure> {
    let reason = examined.reason().unwrap_or_default();
    match context.console.output() {
        Output::Json => say(&json!({ "examined": false, "reason": reason }), context)?,
        Output::Human => context.console.result(&format!("{what}: {reason}"))?,
    }
    Ok(())
}

async fn tables(db: &Database, context: &Context) -> Result<(), Failure> {
    let examination = examined(db, context).await?;
    let Some(tables) = examination.tables.found() else {
        return not_examined("tables", &examination.tables, context);
    };
    match context.console.output() {
        Output::Json => {
            let list: Vec<Value> = tables.iter().map(|table| doctor::table(table, &examination.growth)).collect();
            say(&json!({ "examined": true, "tables": list }), context)
        }
        Output::Human => {
            context.console.result(&listed(tables, &examination.growth))?;
            for reason in reasons(tables) {
                context.console.note(format_args!("?: {reason}"));
            }
            Ok(())
        }
    }
}

fn listed(tables: &[TableStatistics], growth: &GrowthByTable) -> String {
    if tables.is_empty() {
        return "there are no tables".to_owned();
    }
    let mut list = Table::new();
    list.load_style(TableStyle::default());
    list.set_header(["table", "rows", "dead", "size", "indexes", "bloat", "growth a day", "upkeep"]);
    for table in tables {
        let shown = |text: String| text.strip_prefix(", ").map(str::to_owned).unwrap_or(text);
        list.add_row([
            table.table.to_string(),
            cell(&table.live),
            cell(&table.dead),
            cell(&table.table_size),
            cell(&table.index_size),
            cell(&table.bloat),
            growth.get(&table.table.to_string()).map_or_else(|| "-".to_owned(), shown_growth),
            shown(table.upkeep.to_string()),
        ]);
    }
    list.to_string()
}

/// The reason would not fit into a cell.
fn cell<T: std::fmt::Display>(examined: &Examined<T>) -> String {
    examined.found().map_or_else(|| "?".to_owned(), ToString::to_string)
}

/// Why cells are `?`, each reason once.
fn reasons(tables: &[TableStatistics]) -> BTreeSet<String> {
    let of = |table: &TableStatistics| {
        let sizes = [table.table_size.reason(), table.index_size.reason()];
        [table.live.reason(), table.dead.reason(), table.bloat.reason()].into_iter().chain(sizes)
    };
    tables.iter().flat_map(of).flatten().collect()
}

fn shown_growth(growth: &Growth) -> String {
    let bytes = Bytes(growth.bytes_per_day.abs() as u64);
    let sign = if growth.bytes_per_day < 0.0 { "-" } else { "" };
    format!("{:.0} rows, {sign}{bytes}", growth.rows_per_day)
}

async fn indexes(db: &Database, context: &Context) -> Result<(), Failure> {
    let examination = examined(db, context).await?;
    let (findings, count) = (examination.findings(), examination.indexes.indexes.len());
    match context.console.output() {
        Output::Json => {
            let list: Vec<Value> = findings.iter().map(doctor::finding).collect();
            let missing: Vec<Value> = examination
                .missing()
                .map(|index| json!({ "table": index.table, "index": index.name, "command": index.statement }))
                .collect();
            say(&json!({ "indexes": count, "findings": list, "missing": missing }), context)
        }
        Output::Human => {
            let mut text = String::new();
            for index in examination.missing() {
                text.push_str(&format!("{} on {} is not there: {}\n", index.name, index.table, index.statement));
            }
            for finding in &findings {
                text.push_str(&format!("{finding}\n"));
            }
            if text.is_empty() {
                text = format!("nothing is wrong with {count} indexes");
            }
            context.console.result(&text)?;
            context.console.note(&examination.indexes.window);
            Ok(())
        }
    }
}

async fn explained(db: &Database, sql: &str, analyze: bool, context: &Context) -> Result<(), Failure> {
    let sql = statement(sql)?;
    let options = Options { analyze, ..Options::default() };
    let plan = explain(db, &sql, &options).await.map_err(refusal)?;
    let findings = plan.findings();
    let sampled =
        if analyze { Examined::Found(Vec::new()) } else { sampled_plans(db, &sql, &options).await.map_err(refusal)? };
    match context.console.output() {
        Output::Json => {
            let (samples, reason) = (sampled.found(), sampled.reason());
            say(&json!({ "plan": plan, "findings": findings, "samples": samples, "no_samples": reason }), context)
        }
        Output::Human => {
            let mut text = plan.to_string();
            for finding in &findings {
                text.push_str(&format!("\n{finding}\n"));
            }
            if findings.is_empty() {
                text.push_str("\nno rule finds anything wrong with this plan\n");
            }
            for sample in sampled.found().into_iter().flatten() {
                text.push_str(&with_values(sample, &plan));
            }
            if let Some(reason) = sampled.reason() {
                context.console.note(format_args!("plans for values that are in the tables: {reason}"));
            }
            Ok(context.console.result(&text)?)
        }
    }
}

/// A plan for values that are in the tables, beside the one for all values.
fn with_values(SampledPlan { values, plan }: &SampledPlan, generic: &Plan) -> String {
    let told = values.iter().map(|SampledValue { parameter, column, value }| match column {
        Some(column) => format!("{column} = {value:?} (parameter {parameter})"),
        None => format!("{value} (parameter {parameter})"),
    });
    let told = told.collect::<Vec<_>>().join(", ");
    let cost = plan.root.estimate.map_or_else(String::new, |estimate| format!(", cost {:.2}", estimate.total_cost));
    if plan.is_like(generic) {
        return format!("\nwith {told}: the same plan{cost}\n");
    }
    format!("\nwith {told}: another plan{cost}\n{plan}")
}

fn statement(sql: &str) -> Result<String, Failure> {
    if sql != "-" {
        return Ok(sql.to_owned());
    }
    let mut text = String::new();
    std::io::stdin().take(STATEMENT_BYTES).read_to_string(&mut text).context("standard input cannot be read")?;
    Ok(text)
}

/// What was asked wrongly, what is refused, and what failed.
fn refusal(error: PlanError) -> Failure {
    let ending = match &error {
        PlanError::Query(_) | PlanError::ValuesMissing { .. } | PlanError::NotMeasurable => Ending::Usage,
        PlanError::NotASelect { .. } | PlanError::Writes(_) | PlanError::BeyondTransactions { .. } => Ending::Refused,
        _ => Ending::Failed,
    };
    Failure { ending, error: error.into() }
}
