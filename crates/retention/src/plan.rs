//! What a run is going to do: a value, made from rules, counts and limits without asking anybody.

use serde::{Deserialize, Serialize};

use crate::count::Counted;
use crate::rule::{Action, Policy};

/// What a run is going to do. A dry run prints it, the run that follows carries it out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Rules with what goes by them, in their order.
    pub rules: Vec<Planned>,
    /// The tables, as they were found.
    pub tables: Vec<TablePlan>,
    /// Why the run is refused unless it is forced; empty = it is not.
    pub objections: Vec<String>,
}

/// One rule of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// The phase it belongs to.
    pub phase: String,
    /// The rule.
    pub rule: String,
    /// The table it is about, by the name of its subject.
    pub subject: String,
    /// Rows that go by it.
    pub rows: u64,
    /// Their size in bytes, estimated from the mean size of a row; `None` where the database does not tell.
    pub bytes: Option<u64>,
    /// How many batches that takes, estimated.
    pub batches: u64,
    /// How old the oldest and the youngest of them are, as the database writes it.
    pub ages: Option<(String, String)>,
    /// Keys of some of them.
    pub samples: Vec<String>,
    /// Rows of other subjects that go with them, by subject.
    pub dependants: Vec<(String, u64)>,
}

/// A table of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TablePlan {
    /// The name of the subject.
    pub subject: String,
    /// The table.
    pub table: String,
    /// Rows it has.
    pub rows: u64,
    /// Its size with its indexes, in bytes; `None` where the database does not tell.
    pub bytes: Option<u64>,
}

/// What was counted in one table.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    pub(crate) table: TablePlan,
    pub(crate) counted: Vec<Counted>,
}

/// Limits of a plan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlanLimits {
    /// The share of a table's rows, 0 to 1, above which a plan is objected to.
    pub max_fraction: f64,
    /// Rows of a batch.
    pub batch_rows: u64,
}

impl Plan {
    /// Puts counts together. `dependants` are rows that go with those of a rule, by rule and subject.
    pub(crate) fn make(
        policy: &Policy,
        tallies: &[Tally],
        dependants: Vec<(usize, String, u64)>,
        limits: PlanLimits,
    ) -> Self {
        let mut plan = Self { tables: tallies.iter().map(|tally| tally.table.clone()).collect(), ..Self::default() };
        for (number, rule) in policy.rules.iter().enumerate() {
            let mut planned = Planned {
                phase: rule.phase.to_owned(),
                rule: rule.name.to_owned(),
                subject: rule.subject.to_owned(),
                ..Planned::default()
            };
            for tally in tallies {
                let goes = |counted: &&Counted| counted.rule == Some(number) || counted.onward == Some(number);
                for counted in tally.counted.iter().filter(goes) {
                    planned.take(counted, &tally.table);
                }
            }
            planned.batches = planned.rows.div_ceil(limits.batch_rows.max(1));
            let own = dependants.iter().filter(|(of, _, _)| *of == number);
            planned.dependants = own.map(|(_, subject, rows)| (subject.clone(), *rows)).collect();
            plan.rules.push(planned);
        }
        plan.objections = objections(policy, &plan, tallies, limits.max_fraction);
        plan
    }

    /// A rule's part.
    #[must_use]
    pub fn rule(&self, name: &str) -> Option<&Planned> {
        self.rules.iter().find(|planned| planned.rule == name)
    }

    /// Rows that go by a rule.
    #[must_use]
    pub fn rows(&self, name: &str) -> u64 {
        self.rule(name).map_or(0, |planned| planned.rows)
    }
}

impl Planned {
    fn take(&mut self, counted: &Counted, table: &TablePlan) {
        self.rows += counted.rows;
        if let Some(bytes) = table.bytes {
            let share = u128::from(bytes) * u128::from(counted.rows) / u128::from(table.rows.max(1));
            self.bytes = Some(self.bytes.unwrap_or(0) + u64::try_from(share).unwrap_or(u64::MAX));
        }
        self.samples.extend(counted.samples.iter().cloned());
        if let (Some(first), Some(last)) = (&counted.first_age, &counted.last_age) {
            // rows of two tables: how the text of one sorts is not known here, so the first one that was met stays
            self.ages.get_or_insert_with(|| (first.clone(), last.clone()));
        }
    }
}

/// What speaks against a plan: shares of a table that nobody would expect to go at once.
fn objections(policy: &Policy, plan: &Plan, tallies: &[Tally], max_fraction: f64) -> Vec<String> {
    let mut objections = Vec::new();
    for tally in tallies {
        let subject = policy.subject(&tally.table.subject);
        if !subject.is_guarded {
            continue;
        }
        let is_archive = |name: &str| {
            policy.rules.iter().any(|rule| matches!(&rule.action, Action::Archive { into, .. } if *into == name))
        };
        let (mut quarantined, mut deleted) = (0, 0);
        for (rule, planned) in policy.rules.iter().zip(&plan.rules).filter(|(rule, _)| rule.subject == subject.name) {
            match &rule.action {
                Action::Quarantine { .. } if !is_archive(subject.name) => quarantined += planned.rows,
                Action::Delete | Action::DeleteDependants { .. } => deleted += planned.rows,
                _ => {}
            }
        }
        // rows that are archived by this run are there when it deletes
        let arriving: u64 = policy
            .rules
            .iter()
            .zip(&plan.rules)
            .filter(|(rule, _)| matches!(&rule.action, Action::Archive { into, .. } if *into == subject.name))
            .map(|(_, planned)| planned.rows)
            .sum();
        for (what, rows, of) in
            [("quarantine", quarantined, tally.table.rows), ("delete", deleted, tally.table.rows + arriving)]
        {
            if exceeds(rows, of, max_fraction) {
                objections.push(format!(
                    "it would {what} {rows} of {of} rows of {}, more than the {} % of max_fraction",
                    subject.name,
                    max_fraction * 100.0
                ));
            }
        }
    }
    objections
}

#[expect(clippy::cast_precision_loss, reason = "shares of fewer rows than a double counts exactly")]
fn exceeds(rows: u64, of: u64, max_fraction: f64) -> bool {
    // a quotient is the double next to the share that was written down; a product need not be
    rows > 0 && rows as f64 / of as f64 > max_fraction
}

#[cfg(test)]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers"
)]
mod tests {
    use super::*;

    #[test]
    fn share_that_is_exactly_the_limit_does_not_exceed_it() {
        for of in 1..=200 {
            for rows in 0..=of {
                let limit = format!("{:.4}", rows as f64 / of as f64).parse().unwrap();

                let exceeds = exceeds(rows, of, limit);

                let (rows, of) = (u128::from(rows) * 10_000, u128::from(of));
                let limit = (limit * 10_000.0_f64).round() as u128;
                assert_eq!(exceeds, rows > limit * of, "{rows} of {of}, {limit}");
            }
        }
    }

    #[test]
    fn nothing_of_nothing_exceeds_no_limit_and_a_row_exceeds_none() {
        assert!(!exceeds(0, 0, 0.0));
        assert!(!exceeds(0, 7, 0.0));
        assert!(exceeds(1, 1_000_000, 0.0));
        assert!(!exceeds(7, 7, 1.0));
    }
}
