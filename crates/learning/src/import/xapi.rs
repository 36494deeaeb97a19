//! xAPI statements into sessions.

use std::collections::BTreeMap;

use crate::estimator::Estimator;
use crate::store::Written;

/// What an import of xAPI statements did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct XapiImported {
    /// Statements found, rejected ones included.
    pub statements: u64,
    /// Statements rejected.
    pub rejected: u64,
    /// Statements whose id had been seen: one of each id counts.
    pub duplicates: u64,
    /// Those of the duplicates that say something else than the one that counts.
    pub conflicts: u64,
    /// Statements taken back by a voiding statement of this file.
    pub voided: u64,
    /// Durations stated in years or months: they have no fixed length and count nothing.
    pub nominal_durations: u64,
    /// Statements that could be read, by verb.
    pub verbs: BTreeMap<String, u64>,
    /// Verbs without a role of their own; they were taken as activity.
    pub unknown_verbs: Vec<String>,
    /// Learners with a statement that counts.
    pub learners: u64,
    /// Sessions recorded by their source: statements with a duration.
    pub recorded_sessions: u64,
    /// Sittings inferred by the gap rule.
    pub sittings: u64,
    /// Seconds of the sittings: the sum of their microseconds, cut off.
    pub counted_seconds: u64,
    /// The rule by which sittings were inferred.
    pub estimator: Estimator,
    /// Rows stored: learners that were new, and sessions.
    pub written: Written,
}
