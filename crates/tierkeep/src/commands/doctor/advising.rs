//! `doctor advise`: which indexes a workload wants, and making them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, stdin};
use std::path::Path;

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};
use tierkeep_db::Database;
use tierkeep_db::advice::create::{
    Benefit, CreateOptions, Created, Runs, Timing, Trial, Verdict, create, judge, measure_trials, trials,
};
use tierkeep_db::advice::{Advice, AdviceOptions, Suggestion, Workload};
use tierkeep_db::plan::Options;
use tierkeep_db::statistics::Examined;

use super::{not_examined, say};
use crate::chain::Chain;
use crate::cli::AdviseArgs;
use crate::commands::{Context, Ending, Failure};
use crate::config::ByteSize;
use crate::console::Output;
use crate::doctor::{advised, counted, workload};
use crate::signals;

/// How often a statement is run before and after an index is made.
const RUNS: usize = 5;

pub(super) async fn run(db: &Database, arguments: &AdviseArgs, context: &Context) -> Result<(), Failure> {
    let workload = match &arguments.queries {
        Some(file) => read(db, file)?,
        None => {
            let statements = counted(db).await.map_err(anyhow::Error::from)?;
            match workload(db.dialect(), &statements) {
                Some(workload) => workload,
                None if statements.found().is_none() => {
                    context.console.note("a file of statements, separated by semicolons, can be named with --queries");
                    return not_examined("statements", &statements, context);
                }
                None => return Err(anyhow!("no statement has been counted yet; name a file with --queries").into()),
            }
        }
    };
    let options = AdviceOptions {
        max_indexes: usize::try_from(arguments.max_indexes).unwrap_or(usize::MAX),
        max_bytes: arguments.max_size.map_or(u64::MAX, ByteSize::get),
        ..AdviceOptions::default()
    };
    let advice = advised(db, &workload, &options).await.map_err(anyhow::Error::from)?;
    let made = if arguments.create { make(db, &advice, context).await? } else { Vec::new() };
    let is_stopped = arguments.create && made.len() < advice.suggestions.len();
    match context.console.output() {
        Output::Json => {
            let made: Vec<Value> = made.iter().map(Made::document).collect();
            say(&json!({ "advice": advice, "created": arguments.create.then_some(made) }), context)?;
        }
        Output::Human => {
            context.console.result(&advice.to_string())?;
            for made in &made {
                context.console.result(&made.to_string())?;
            }
        }
    }
    match made.iter().filter(|made| made.outcome.is_err()).count() {
        0 if is_stopped => {
            Err(Failure { ending: Ending::Stopped, error: anyhow!("stopped early; the same command goes on") })
        }
        0 => Ok(()),
        count => Err(anyhow!("{count} of {} indexes could not be made", made.len()).into()),
    }
}

fn read(db: &Database, file: &Path) -> Result<Workload, Failure> {
    let (name, mut source): (_, Box<dyn BufRead>) = match file.to_str() {
        Some("-") => ("standard input".to_owned(), Box::new(stdin().lock())),
        _ => {
            let opened = File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
            (file.display().to_string(), Box::new(BufReader::new(opened)))
        }
    };
    let workload = Workload::read(db.dialect(), &mut source).with_context(|| format!("{name} cannot be read"))?;
    if workload.statements().is_empty() && workload.omissions().is_empty() {
        return Err(Failure::usage(anyhow!("{name} holds no statement")));
    }
    Ok(workload)
}

/// What became of a suggestion.
struct Made {
    statement: String,
    outcome: Result<(Created, Benefit), String>,
    /// Why statements that should gain were not timed, each once.
    untimed: BTreeSet<String>,
}

/// Makes what is suggested until somebody stops it; one that fails keeps no other from being made.
async fn make(db: &Database, advice: &Advice, context: &Context) -> Result<Vec<Made>, Failure> {
    let stop = signals::stop_token()?;
    let mut made = Vec::new();
    for suggestion in &advice.suggestions {
        if stop.is_cancelled() {
            context.console.note("stopped: the other indexes were not begun");
            break;
        }
        context.console.note(format_args!("{} ...", suggestion.statement));
        // told to end, the one under way is finished: half an index is worth nothing
        made.push(one(db, suggestion).await);
    }
    Ok(made)
}

async fn one(db: &Database, suggestion: &Suggestion) -> Made {
    let mut untimed = BTreeSet::new();
    let trials = runnable(db, suggestion, &mut untimed).await;
    let before = timings(db, &trials, &mut untimed).await;
    let created = create(db, &suggestion.index, &CreateOptions::default()).await;
    let outcome = match created {
        Ok(created) => Ok((created, judge(&before, &timings(db, &trials, &mut untimed).await))),
        Err(error) => Err(Chain(&error).to_string()),
    };
    Made { statement: suggestion.statement.clone(), outcome, untimed }
}

/// The statements that should gain, with values of the tables for their parameters, as far as they can be run.
async fn runnable(db: &Database, suggestion: &Suggestion, untimed: &mut BTreeSet<String>) -> Vec<Trial> {
    let mut found = Vec::new();
    for gain in &suggestion.gains {
        match trials(db, &gain.sql, gain.calls).await {
            Ok(Examined::Found(trials)) => found.extend(trials),
            Ok(other) => untimed.extend(other.reason()),
            // what writes is not run
            Err(error) => {
                untimed.insert(Chain(&error).to_string());
            }
        }
    }
    found
}

/// How long each takes; one that cannot be run keeps no other from being timed.
async fn timings(db: &Database, trials: &[Trial], untimed: &mut BTreeSet<String>) -> Vec<Timing> {
    let runs = Runs { count: RUNS, limits: Options { analyze: true, ..Options::default() } };
    let mut timings = Vec::new();
    for trial in trials {
        match measure_trials(db, std::slice::from_ref(trial), &runs).await {
            Ok(timed) => timings.extend(timed),
            Err(error) => {
                untimed.insert(Chain(&error).to_string());
            }
        }
    }
    timings
}

impl Made {
    fn document(&self) -> Value {
        match &self.outcome {
            Ok((created, benefit)) => {
                let is_timed = !benefit.statements.is_empty();
                let timed = |(sql, verdict, before, after): &(String, Verdict, f64, f64)| json!({ "sql": sql, "verdict": verdict, "before_ms": before, "after_ms": after });
                json!({
                    "statement": self.statement,
                    "created": created,
                    "verdict": is_timed.then_some(benefit.verdict),
                    "timings": benefit.statements.iter().map(timed).collect::<Vec<_>>(),
                    "not_timed": self.untimed,
                })
            }
            Err(error) => json!({ "statement": self.statement, "error": error }),
        }
    }
}

impl std::fmt::Display for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let benefit = match &self.outcome {
            Err(error) => return write!(f, "{}: not made: {error}", self.statement),
            Ok((Created::Present { name }, _)) => return write!(f, "{}: {name} is there already", self.statement),
            Ok((_, benefit)) => benefit,
        };
        let told = match benefit.verdict {
            _ if benefit.statements.is_empty() => "nothing was timed",
            Verdict::Kept => "its statements are faster: keep it",
            Verdict::Neutral => "no difference beyond that between runs",
            Verdict::Harmful => "its statements are slower: drop it",
        };
        write!(f, "{}: made; {told}", self.statement)?;
        for (sql, _, before, after) in &benefit.statements {
            let sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
            write!(f, "\n   {before:.3} ms, now {after:.3} ms: {sql}")?;
        }
        for reason in &self.untimed {
            write!(f, "\n   not timed: {reason}")?;
        }
        Ok(())
    }
}
