//! `doctor advise`: which indexes a workload wants, and making them.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};
use tierkeep_db::Database;
use tierkeep_db::advice::create::{Benefit, CreateOptions, Created, Runs, Timing, Verdict, create, judge, measure};
use tierkeep_db::advice::{Advice, AdviceOptions, Suggestion, Workload};
use tierkeep_db::plan::Options;

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
    let opened = File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let workload = Workload::read(db.dialect(), &mut BufReader::new(opened))
        .with_context(|| format!("{} cannot be read", file.display()))?;
    if workload.statements().is_empty() && workload.omissions().is_empty() {
        return Err(Failure::usage(anyhow!("{} holds no statement", file.display())));
    }
    Ok(workload)
}

/// What became of a suggestion.
struct Made {
    statement: String,
    outcome: Result<(Created, Option<Benefit>), String>,
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
        let outcome = one(db, suggestion).await;
        made.push(Made { statement: suggestion.statement.clone(), outcome });
    }
    Ok(made)
}

async fn one(db: &Database, suggestion: &Suggestion) -> Result<(Created, Option<Benefit>), String> {
    let before = timings(db, suggestion).await;
    let created = create(db, &suggestion.index, &CreateOptions::default()).await;
    let created = created.map_err(|error| Chain(&error).to_string())?;
    let after = timings(db, suggestion).await;
    let benefit = before.zip(after).map(|(before, after)| judge(&before, &after));
    Ok((created, benefit))
}

/// How long the statements take that should gain; `None` where they cannot be run, as without values for their parameters.
async fn timings(db: &Database, suggestion: &Suggestion) -> Option<Vec<Timing>> {
    let statements: Vec<(&str, f64)> = suggestion.gains.iter().map(|gain| (gain.sql.as_str(), gain.calls)).collect();
    let runs = Runs { count: RUNS, limits: Options { analyze: true, ..Options::default() } };
    measure(db, &statements, &runs).await.ok()
}

impl Made {
    fn document(&self) -> Value {
        match &self.outcome {
            Ok((created, benefit)) => json!({
                "statement": self.statement,
                "created": created,
                "verdict": benefit.as_ref().map(|benefit| benefit.verdict),
            }),
            Err(error) => json!({ "statement": self.statement, "error": error }),
        }
    }
}

impl std::fmt::Display for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.outcome {
            Err(error) => write!(f, "{}: not made: {error}", self.statement),
            Ok((Created::Present { name }, _)) => write!(f, "{}: {name} is there already", self.statement),
            Ok((_, None)) => {
                write!(f, "{}: made; its statements have parameters, so nothing was timed", self.statement)
            }
            Ok((_, Some(benefit))) => {
                let told = match benefit.verdict {
                    Verdict::Kept => "its statements are faster: keep it",
                    Verdict::Neutral => "no difference beyond that between runs",
                    Verdict::Harmful => "its statements are slower: drop it",
                };
                write!(f, "{}: made; {told}", self.statement)?;
                for (sql, _, before, after) in &benefit.statements {
                    let sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
                    write!(f, "\n   {before:.3} ms, now {after:.3} ms: {sql}")?;
                }
                Ok(())
            }
        }
    }
}
