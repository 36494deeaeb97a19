//! Whether an index helps, by real runs.

use serde::Serialize;

use super::super::sampled::{SampledValue, sampled_values, texts};
use crate::plan::{Options, PlanError, bind, explain, run_values};
use crate::query::{Kind, Query};
use crate::statistics::Examined;
use crate::{Database, Error};

/// Runs that are thrown away: they fill caches.
const WARM_UP: usize = 1;
/// A change below this share of the time is none.
const NOTICED: f64 = 0.1;
/// Runs on each side from which on it is no chance that all of one side are faster than all of the other: one in 126.
const SEPARATES: usize = 5;

/// A statement with a value for each of its parameters.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trial {
    /// The statement.
    pub sql: String,
    /// The values; none for a statement without parameters.
    pub values: Vec<SampledValue>,
    /// How often it runs in the workload.
    pub calls: f64,
}

/// Real runs of one statement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timing {
    /// What was run.
    pub trial: Trial,
    /// Milliseconds of each run, in the order of the runs.
    pub runs_ms: Vec<f64>,
}

/// How statements are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runs {
    /// Runs of each statement that count, one more is thrown away; default 7.
    pub count: usize,
    /// Limits of each run; [`Options::analyze`] is not looked at.
    pub limits: Options,
}

/// What an index did to a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The workload got faster: keep it.
    Kept,
    /// No difference that is larger than that between runs.
    Neutral,
    /// The workload got slower: drop it.
    Harmful,
}

/// A comparison of runs before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Benefit {
    /// For the workload as a whole.
    pub verdict: Verdict,
    /// For each statement, with the values that it was run with, and its median before and after in milliseconds.
    pub statements: Vec<(String, Verdict, f64, f64)>,
}

/// Finds values for the parameters of a `select`, so that it can be run: up to three sets of those that are in the tables, as
/// [`sampled_plans`](crate::advice::sampled_plans) takes them, among which the calls are divided. One trial for a statement
/// without parameters. Ask once, and use the same trials before and after: what is in the tables changes.
///
/// # Errors
///
/// [`PlanError`], also if it is no `select`.
pub async fn trials(db: &Database, sql: &str, calls: f64) -> Result<Examined<Vec<Trial>>, PlanError> {
    let query = Query::parse(db.dialect(), sql)?;
    if query.kind() != Kind::Select {
        return Err(PlanError::NotASelect { found: "statement that writes, locks, or does neither" });
    }
    Ok(sampled_values(db, &query).await?.map(|sets| {
        let calls = calls / sets.len().max(1) as f64;
        sets.into_iter().map(|values| Trial { sql: sql.to_owned(), values, calls }).collect()
    }))
}

/// Runs statements in turn, so that whatever else the machine does hits all of them alike.
///
/// Call it before an index is made and after it, with the same statements; [`judge`] compares. On PostgreSQL each run is
/// an `explain analyze` in a transaction that cannot write; on SQLite the statement is run and its rows are thrown away.
/// A statement with parameters cannot be run without their values: see [`trials`].
///
/// # Errors
///
/// [`PlanError`], also if any of the statements is no `select`.
pub async fn measure(db: &Database, statements: &[(&str, f64)], runs: &Runs) -> Result<Vec<Timing>, PlanError> {
    let trial = |&(sql, calls): &(&str, f64)| Trial { sql: sql.to_owned(), values: Vec::new(), calls };
    measure_trials(db, &statements.iter().map(trial).collect::<Vec<_>>(), runs).await
}

/// The same with values for parameters.
///
/// # Errors
///
/// [`PlanError`], as [`measure`] does.
pub async fn measure_trials(db: &Database, trials: &[Trial], runs: &Runs) -> Result<Vec<Timing>, PlanError> {
    let mut timings: Vec<Timing> =
        trials.iter().map(|trial| Timing { trial: trial.clone(), runs_ms: Vec::with_capacity(runs.count) }).collect();
    for round in 0..WARM_UP + runs.count {
        for timing in &mut timings {
            let ms = Box::pin(run(db, &timing.trial, &runs.limits)).await?;
            if round >= WARM_UP {
                timing.runs_ms.push(ms);
            }
        }
    }
    Ok(timings)
}

async fn run(db: &Database, trial: &Trial, limits: &Options) -> Result<f64, PlanError> {
    let query = Query::parse(db.dialect(), &trial.sql)?;
    let values = if trial.values.is_empty() { Vec::new() } else { texts(&query, &trial.values) };
    match db {
        Database::Postgres(_) if values.is_empty() => {
            let plan = explain(db, &trial.sql, &Options { analyze: true, ..limits.clone() }).await?;
            Ok(plan.execution_ms.unwrap_or_default())
        }
        Database::Postgres(_) if query.kind() != Kind::Select => {
            Err(PlanError::NotASelect { found: "statement that writes, locks, or does neither" })
        }
        Database::Postgres(pool) => {
            let plan = run_values(pool, &query, limits, &values).await?;
            Ok(plan.execution_ms.unwrap_or_default())
        }
        Database::Sqlite(inner) => {
            // Refuses what writes, and what is not one statement.
            explain(db, &trial.sql, &Options { analyze: false, ..limits.clone() }).await?;
            let sql = trial.sql.clone();
            let run = inner.read(move |connection| {
                let mut statement = connection.prepare(&sql).map_err(Error::from)?;
                // One that is not bound would be null, with which hardly anything is found.
                let parameters = statement.parameter_count();
                if values.len() != parameters {
                    return Err(PlanError::ValuesMissing { parameters: u16::try_from(parameters).unwrap_or(u16::MAX) });
                }
                bind(&mut statement, &values).map_err(Error::from)?;
                let began = std::time::Instant::now();
                let mut rows = statement.raw_query();
                while rows.next().map_err(Error::from)?.is_some() {}
                Ok(began.elapsed().as_secs_f64() * 1000.0)
            });
            run.await
        }
    }
}

/// Compares runs before and after by their medians. A statement has changed if its median has by more than a tenth, and by
/// more than half of its runs differ among each other, unless all of at least five runs are faster, or slower, than all before;
/// the workload, if the sum of those changes has.
///
/// Pure. Statements that are missing on one side are not compared.
#[must_use]
pub fn judge(before: &[Timing], after: &[Timing]) -> Benefit {
    let mut statements = Vec::new();
    let (mut total, mut change) = (0.0, 0.0);
    for old in before {
        let is_same = |new: &&Timing| new.trial.sql == old.trial.sql && new.trial.values == old.trial.values;
        let Some(new) = after.iter().find(is_same) else { continue };
        let (Some((was, was_spread)), Some((is, is_spread))) = (middle(&old.runs_ms), middle(&new.runs_ms)) else {
            continue;
        };
        let change_ms = (is - was).abs();
        let is_within_spread = change_ms <= (was_spread + is_spread) / 2.0 && !is_apart(&old.runs_ms, &new.runs_ms);
        let is_noise = change_ms <= NOTICED * was || is_within_spread;
        let verdict = match is_noise {
            true => Verdict::Neutral,
            false if is < was => Verdict::Kept,
            false => Verdict::Harmful,
        };
        total += was * old.trial.calls;
        if !is_noise {
            change += (is - was) * old.trial.calls;
        }
        statements.push((old.trial.to_string(), verdict, was, is));
    }
    let verdict = if change < 0.0 && -change > NOTICED / 10.0 * total {
        Verdict::Kept
    } else if change > NOTICED / 10.0 * total {
        Verdict::Harmful
    } else {
        Verdict::Neutral
    };
    Benefit { verdict, statements }
}

/// Whether all runs of one side are faster than all of the other, as on a busy machine, where runs differ much among each other.
fn is_apart(some: &[f64], others: &[f64]) -> bool {
    let least = |runs: &[f64]| runs.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = |runs: &[f64]| runs.iter().copied().fold(0.0, f64::max);
    some.len().min(others.len()) >= SEPARATES && (greatest(some) < least(others) || greatest(others) < least(some))
}

/// The median, and the distance between the quartiles.
fn middle(runs: &[f64]) -> Option<(f64, f64)> {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted.get(((sorted.len().checked_sub(1)?) as f64 * share).round() as usize).copied();
    Some((at(0.5)?, at(0.75)? - at(0.25)?))
}

impl std::fmt::Display for Trial {
    /// The statement, and what its parameters are.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.sql)?;
        for (nth, value) in self.values.iter().enumerate() {
            write!(f, "{}parameter {} {:?}", if nth == 0 { ", " } else { " and " }, value.parameter, value.value)?;
        }
        Ok(())
    }
}

impl Default for Runs {
    fn default() -> Self {
        Self { count: 7, limits: Options::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(sql: &str, calls: f64, runs_ms: &[f64]) -> Timing {
        Timing { trial: Trial { sql: sql.to_owned(), values: Vec::new(), calls }, runs_ms: runs_ms.to_vec() }
    }

    #[test]
    fn verdict_follows_what_the_workload_gains() {
        let before = [timing("a", 100.0, &[10.0, 10.4, 9.8, 10.1]), timing("b", 10.0, &[5.0, 5.1, 4.9, 5.0])];
        let faster = [timing("a", 100.0, &[1.0, 1.2, 0.9, 1.0]), before[1].clone()];
        let slower = [before[0].clone(), timing("b", 10.0, &[50.0, 51.0, 49.0, 50.0])];
        let mixed = [timing("a", 100.0, &[1.0, 1.2, 0.9, 1.0]), timing("b", 10.0, &[8.0, 8.1, 7.9, 8.0])];

        assert_eq!(judge(&before, &faster).verdict, Verdict::Kept);
        assert_eq!(judge(&before, &slower).verdict, Verdict::Harmful);
        assert_eq!(judge(&before, &mixed).verdict, Verdict::Kept);
        assert_eq!(judge(&before, &mixed).statements[1].1, Verdict::Harmful);
        assert_eq!(judge(&before, &before).verdict, Verdict::Neutral);
    }

    /// Runs of a busy machine: they differ by more than the index saves, and yet it is plain that it does.
    #[test]
    fn runs_that_are_all_faster_count_whatever_they_differ_among_each_other() {
        let before = [timing("a", 1.0, &[1.8, 1.9, 9.0, 12.0, 1.7])];
        let after = [timing("a", 1.0, &[0.02, 0.03, 0.02, 0.9, 0.02])];

        assert_eq!(judge(&before, &after).verdict, Verdict::Kept);
        assert_eq!(judge(&after, &before).verdict, Verdict::Harmful);
        let overlapping = [timing("a", 1.0, &[0.02, 0.03, 0.02, 1.7, 0.02])];
        assert_eq!(judge(&before, &overlapping).verdict, Verdict::Neutral);
        let few = [timing("a", 1.0, &[0.02, 0.03, 0.02, 0.9])];
        assert_eq!(judge(&before, &few).verdict, Verdict::Neutral);
    }

    #[test]
    fn difference_within_the_spread_of_runs_is_none() {
        let before = [timing("a", 1.0, &[8.0, 10.0, 12.0, 14.0, 9.0])];
        let after = [timing("a", 1.0, &[7.0, 9.0, 11.0, 8.0, 12.0])];

        assert_eq!(judge(&before, &after).verdict, Verdict::Neutral);
        assert_eq!(judge(&before, &[]).statements, []);
        assert_eq!(judge(&[timing("a", 1.0, &[])], &after).verdict, Verdict::Neutral);
    }
}
