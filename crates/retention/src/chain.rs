//! Runs and batches as a chain of digests, so that what was removed or altered afterwards shows.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::ledger::Batch;
pub(crate) use audit::{audit_postgres, audit_sqlite};

mod audit;

/// A place where the record of runs does not hold.
///
/// Each run's beginning (number, command, start, fence, plan) is digested together with the digest that the run before it
/// ended with, and each batch with the digest before it. So the audit sees
///
/// - a batch whose row was altered, in whichever column, removed, added, renumbered or exchanged with another;
/// - a run whose beginning was altered, or that was removed, with or without its batches;
/// - batches or runs removed at the end: each run says how many batches and rows it has and with which digest it ends.
///
/// It cannot see: how a run ended and what it reported (both change while it works), the removal of the newest *runs* as a
/// whole, the removal of the newest batches by somebody who also adjusts the run's row, and the work of somebody who
/// computes all later digests anew. Against these only a copy helps that is kept elsewhere, of the last digest at least.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// Number of the run, as it is stored: that may be the very thing that was altered.
    pub run: i64,
    /// Number of the batch, as it is stored; absent if the run as a whole is meant.
    pub number: Option<i64>,
    /// What does not hold.
    pub why: String,
}

/// What the chain goes over of a run's beginning.
#[derive(Debug)]
pub(crate) struct RunLink<'a> {
    pub(crate) id: i64,
    pub(crate) command: &'a str,
    /// Microseconds since 1970; absent if what is stored is no such number.
    pub(crate) started_at: Option<i64>,
    pub(crate) fence: i64,
    pub(crate) plan: &'a str,
}

/// What the chain goes over of a batch.
#[derive(Debug)]
pub(crate) struct BatchLink<'a> {
    pub(crate) run: i64,
    pub(crate) number: i64,
    /// Microseconds since 1970; absent if what is stored is no such number.
    pub(crate) at: Option<i64>,
    pub(crate) rule: &'a str,
    pub(crate) rows: i64,
    pub(crate) digest_left: Option<&'a str>,
    pub(crate) digest_arrived: Option<&'a str>,
    pub(crate) first_age: Option<&'a str>,
    pub(crate) last_age: Option<&'a str>,
}

impl RunLink<'_> {
    /// The digest of this beginning after a run that ended with `before`.
    pub(crate) fn digest(&self, before: &str) -> String {
        let (id, fence) = (self.id.to_string(), self.fence.to_string());
        let started_at = self.started_at.map(|at| at.to_string());
        digest([
            Some("run"),
            Some(before),
            Some(&id),
            Some(self.command),
            started_at.as_deref(),
            Some(&fence),
            Some(self.plan),
        ])
    }
}

impl<'a> BatchLink<'a> {
    /// The batch that follows `batches` others.
    pub(crate) fn next(batch: &Batch<'a>, batches: i64, now: i64) -> Self {
        Self {
            run: batch.run.get(),
            number: batches.saturating_add(1),
            at: Some(now),
            rule: batch.rule,
            rows: i64::try_from(batch.rows).unwrap_or(i64::MAX),
            digest_left: batch.digest_left,
            digest_arrived: batch.digest_arrived,
            first_age: batch.first_age,
            last_age: batch.last_age,
        }
    }

    /// The digest of this batch after one with the digest `before`.
    pub(crate) fn digest(&self, before: &str) -> String {
        let (run, number, rows) = (self.run.to_string(), self.number.to_string(), self.rows.to_string());
        let at = self.at.map(|at| at.to_string());
        digest([
            Some("batch"),
            Some(before),
            Some(&run),
            Some(&number),
            at.as_deref(),
            Some(self.rule),
            Some(&rows),
            self.digest_left,
            self.digest_arrived,
            self.first_age,
            self.last_age,
        ])
    }
}

/// SHA-256, in hexadecimal, of fields with their lengths, so that no two lists of fields have the same text.
fn digest<'a>(fields: impl IntoIterator<Item = Option<&'a str>>) -> String {
    let mut hash = Sha256::new();
    for field in fields {
        match field {
            Some(text) => hash.update(format!("{}:{text}", text.len())),
            None => hash.update("-"),
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_the_one_that_is_written_here() {
        // sha256 of "5:batch0:-2:ab"
        let expected = "cb61e9cac53aaa8bf21a495ef5d3df5718abdf0f3135f4d582c9beb886b58b94";

        assert_eq!(digest([Some("batch"), Some(""), None, Some("ab")]), expected);
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let lists: [&[Option<&str>]; 6] = [
            &[Some("ab"), Some("c")],
            &[Some("a"), Some("bc")],
            &[Some("abc"), None],
            &[None, Some("abc")],
            &[Some("abc"), Some("")],
            &[Some("2:ab1:c")],
        ];

        let mut digests: Vec<String> = lists.iter().map(|list| digest(list.iter().copied())).collect();

        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), lists.len());
    }
}
