//! What a clean-up did, or would do, as a document.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tierkeep_learning::mapping::Source;
use tierkeep_learning::retention::{
    ARCHIVE, ARCHIVE_RULE, ARCHIVED, ARCHIVED_SESSIONS, DELETE, INACTIVE_USERS, PURGE, QUARANTINED_ROWS, SUPERSEDED,
};
use tierkeep_learning::store::Cleanup;
use tierkeep_retention::{Ended, Outcome, Plan, RunId};
use utoipa::ToSchema;

/// What a clean-up did, or would do.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Document {
    /// The run's number; null if nothing was begun.
    #[schema(value_type = Option<i64>, required)]
    pub run_id: Option<RunId>,
    /// Whether this is what would be done.
    pub dry_run: bool,
    /// Rows by phase and rule.
    pub phases: Phases,
    /// Batches that were committed, or are expected.
    pub batches: u64,
    /// Time it took.
    pub seconds: f64,
    /// `done`, `budget`, `signal`, `refused` or `failed`.
    pub ended: &'static str,
    /// Why, unless it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The instants that count as old.
    pub cutoffs: Cutoffs,
    /// Rows that others held or changed meanwhile, by rule: for the next run.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    pub left: BTreeMap<String, u64>,
    /// Files that rows were exported to before they were deleted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub files: Vec<String>,
    /// Why a run would be refused; empty = it would not. Of a dry run only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objections: Option<Vec<String>>,
    /// The plan, rule by rule, with sizes, ages as the database writes them, and keys of some rows. Of a dry run only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub plan: Option<Plan>,
}

/// The instants that count as old, of the phases that are run; the others have none.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct Cutoffs {
    /// The present they were counted from.
    #[schema(value_type = String, format = DateTime)]
    now: jiff::Timestamp,
    /// Sessions that began before are archived.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    archive: Option<jiff::Timestamp>,
    /// Archived sessions that began before, and learners not seen since, are deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    delete: Option<jiff::Timestamp>,
    /// What came into quarantine before is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    purge: Option<jiff::Timestamp>,
}

impl Cutoffs {
    fn of(cleanup: &Cleanup) -> Self {
        let tierkeep_learning::retention::Cutoffs { now, archive, delete, purge } = cleanup.cutoffs;
        let of = |phase: &str, cutoff| cleanup.phases.contains(&phase).then_some(cutoff);
        Self { now, archive: of(ARCHIVE, archive), delete: of(DELETE, delete), purge: of(PURGE, purge) }
    }
}

/// Rows by phase and rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Phases {
    /// Put into quarantine.
    pub invalid: Invalid,
    /// Moved out of the live table.
    pub archive: Archive,
    /// Removed.
    pub delete: Delete,
    /// Removed from quarantine.
    pub purge: Purge,
}

/// Invalid rows, each under the first kind that fits it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Invalid {
    negative_duration: u64,
    end_before_start: u64,
    bad_rating: u64,
    bad_focus: u64,
    duplicate_progress: u64,
    orphan: u64,
}

/// Old sessions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Archive {
    /// Sessions that went to the archive.
    rows: u64,
    /// Archived sessions that went to quarantine, since their id is live again.
    superseded: u64,
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Delete {
    /// Archived sessions, for their age.
    archived_rows: u64,
    /// Learners who were not seen for as long; their own rows stay.
    inactive_users: u64,
    /// Sessions of those learners, live and archived.
    sessions: u64,
    /// Course progress of those learners.
    course_progress: u64,
}

/// What left the quarantine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Purge {
    quarantined: u64,
}

impl Phases {
    /// From rows by rule, and rows of other tables that went with those of inactive learners, by table.
    fn of(rows: impl Fn(&str) -> u64, with_learners: impl Fn(&str) -> u64) -> Self {
        Self {
            invalid: Invalid {
                negative_duration: rows("negative_duration"),
                end_before_start: rows("end_before_start"),
                bad_rating: rows("bad_rating"),
                bad_focus: rows("bad_focus"),
                duplicate_progress: rows("duplicate_progress"),
                orphan: rows("orphan"),
            },
            archive: Archive { rows: rows(ARCHIVE_RULE), superseded: rows(SUPERSEDED) },
            delete: Delete {
                archived_rows: rows(ARCHIVED_SESSIONS),
                inactive_users: rows(INACTIVE_USERS),
                sessions: with_learners(Source::StudySessions.name()) + with_learners(ARCHIVED),
                course_progress: with_learners(Source::CourseProgress.name()),
            },
            purge: Purge { quarantined: rows(QUARANTINED_ROWS) },
        }
    }
}

impl Document {
    /// What would be done.
    #[must_use]
    pub fn of_plan(plan: Plan, cleanup: &Cleanup, took: Duration) -> Self {
        let with_learners = |table: &str| {
            let with = plan.rule(INACTIVE_USERS).map_or(&[][..], |planned| &planned.dependants);
            with.iter().filter(|(subject, _)| subject == table).map(|(_, rows)| rows).sum()
        };
        Self {
            dry_run: true,
            phases: Phases::of(|rule| plan.rows(rule), with_learners),
            batches: plan.rules.iter().map(|planned| planned.batches).sum(),
            ended: Ended::Done.word(),
            objections: Some(plan.objections.clone()),
            plan: Some(plan),
            ..Self::nothing(cleanup, took)
        }
    }

    /// What was done.
    #[must_use]
    pub fn of_outcome(outcome: &Outcome, cleanup: &Cleanup) -> Self {
        let report = &outcome.report;
        Self {
            run_id: Some(outcome.run),
            phases: Phases::of(|rule| report.rows(rule), |table| report.dependants_of(INACTIVE_USERS, table)),
            batches: report.batches,
            ended: outcome.ended.word(),
            reason: outcome.reason.clone(),
            left: report.left.clone(),
            files: report.files.clone(),
            ..Self::nothing(cleanup, outcome.took)
        }
    }

    /// It was refused before anything was recorded.
    #[must_use]
    pub fn refused(reason: String, cleanup: &Cleanup, took: Duration) -> Self {
        Self { ended: Ended::Refused.word(), reason: Some(reason), ..Self::nothing(cleanup, took) }
    }

    fn nothing(cleanup: &Cleanup, took: Duration) -> Self {
        Self {
            run_id: None,
            dry_run: false,
            phases: Phases::default(),
            batches: 0,
            seconds: took.as_secs_f64(),
            ended: Ended::Done.word(),
            reason: None,
            cutoffs: Cutoffs::of(cleanup),
            left: BTreeMap::new(),
            files: Vec::new(),
            objections: None,
            plan: None,
        }
    }
}
