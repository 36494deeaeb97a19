//! What a run left undone: how old it is, and when it could be done.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tierkeep_db::{Dialect, SqlType};

use crate::error::RetentionError;
use crate::plan::Plan;
use crate::report::Report;
use crate::rule::{Action, Rule};
use crate::running::{Running, Session};
use crate::statements::{Found, fill, statement};

/// The oldest row that a rule is still about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    /// The rule.
    pub rule: String,
    /// How old the row is: the instant that the rule goes by.
    pub oldest: Timestamp,
    /// Seconds since then.
    pub age_seconds: u64,
}

/// What was planned and is not done, of a run that ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remaining {
    /// Rows.
    pub rows: u64,
    /// Seconds that they take at the speed of this run, its pauses included; `None` if it did nothing that could be measured.
    pub seconds: Option<u64>,
    /// When they would be done if a run went on at once.
    pub done_at: Option<Timestamp>,
}

impl Remaining {
    /// From what was planned, what was done, and how long that took.
    pub(crate) fn estimate(plan: &Plan, report: &Report, took: Duration, now: Timestamp) -> Self {
        let done: u64 = plan.rules.iter().map(|rule| report.rows(&rule.rule)).sum();
        let left = plan.rules.iter().map(|rule| rule.rows.saturating_sub(report.rows(&rule.rule))).sum();
        let micros = (done > 0).then(|| took.as_micros() * u128::from(left) / u128::from(done));
        let seconds = micros.and_then(|micros| u64::try_from(micros.div_ceil(1_000_000)).ok());
        let done_at = seconds.and_then(|seconds| now.checked_add(Duration::from_secs(seconds)).ok());
        Self { rows: left, seconds, done_at }
    }
}

impl Running<'_> {
    /// The oldest row that a rule is still about that goes by age. A look into an index for each rule.
    pub(crate) async fn backlog(&mut self) -> Result<Option<Backlog>, RetentionError> {
        let policy = &self.engine.policy;
        let mut backlog: Option<Backlog> = None;
        for rule in policy.rules.iter().filter(|rule| goes_by_age(rule)) {
            let found = self.survey.found(policy, rule.subject)?;
            let Some(text) = oldest(rule, &found)? else { continue };
            let Some(oldest) = self.instant(text).await?.and_then(|at| Timestamp::from_microsecond(at).ok()) else {
                continue;
            };
            if backlog.as_ref().is_none_or(|known| oldest < known.oldest) {
                let age = self.order.now().duration_since(oldest).as_secs();
                let age_seconds = u64::try_from(age).unwrap_or(0);
                backlog = Some(Backlog { rule: rule.name.to_owned(), oldest, age_seconds });
            }
        }
        Ok(backlog)
    }

    async fn instant(&mut self, text: String) -> Result<Option<i64>, RetentionError> {
        match &mut self.session {
            Session::Postgres(db) => {
                let tx = db.transaction().await?;
                // where no index serves, an answer is not worth reading the table for
                tx.batch_execute("set local statement_timeout = '5s'").await?;
                let rows = tx.query_typed(&text, &[]).await?;
                rows.first().map_or(Ok(None), |row| Ok(row.try_get(0)?))
            }
            Session::Sqlite(file) => {
                file.read(move |db| {
                    let mut statement = db.prepare(&text)?;
                    let mut rows = statement.query([])?;
                    rows.next()?.map_or(Ok(None), |row| Ok(row.get(0)?))
                })
                .await
            }
        }
    }
}

fn goes_by_age(rule: &Rule) -> bool {
    rule.by_age && matches!(rule.action, Action::Archive { .. } | Action::Delete)
}

/// The statement that finds the oldest row; `None` where ages are no instants.
fn oldest(rule: &Rule, found: &Found<'_>) -> Result<Option<String>, RetentionError> {
    if !matches!(found.subject.age, Some((_, SqlType::Timestamptz))) {
        return Ok(None);
    }
    let (table, age, condition) = (found.table(), found.age("t")?, found.condition(&rule.condition)?);
    let dialect: Dialect = found.dialect;
    let places = [("table", table.as_str()), ("age", &age), ("condition", &condition)];
    Ok(Some(fill(statement!(dialect, "backlog"), &places)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Planned;

    fn planned(rows: u64) -> Plan {
        Plan { rules: vec![Planned { rule: "archive".to_owned(), rows, ..Planned::default() }], ..Plan::default() }
    }

    #[test]
    fn what_remains_takes_as_long_as_what_was_done() {
        let mut report = Report::default();
        report.rules.insert("archive".to_owned(), 250);
        let now: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();

        let remaining = Remaining::estimate(&planned(1000), &report, Duration::from_secs(100), now);

        assert_eq!((remaining.rows, remaining.seconds), (750, Some(300)));
        assert_eq!(remaining.done_at, Some("2026-06-01T00:05:00Z".parse().unwrap()));
    }

    #[test]
    fn nothing_done_is_no_speed() {
        let now = Timestamp::UNIX_EPOCH;

        let remaining = Remaining::estimate(&planned(1000), &Report::default(), Duration::from_secs(100), now);

        assert_eq!(remaining, Remaining { rows: 1000, seconds: None, done_at: None });
    }
}
