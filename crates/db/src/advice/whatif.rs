//! What a statement would cost if indexes were there that are not.

use std::collections::BTreeSet;
use std::future::Future;

use crate::statement::IndexDefinition;

pub(super) mod clone;
pub(super) mod hypothetical;
pub(super) mod statistics;

/// What a statement costs with some candidates.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Evaluation {
    /// In the unit of the method; only ratios within one method mean something.
    pub(super) cost: f64,
    /// Those of the candidates that its plan would use.
    pub(super) used: BTreeSet<usize>,
    /// Names of indexes that are there and that its plan would use.
    pub(super) others: BTreeSet<String>,
}

/// A way to find out.
pub(super) trait WhatIf: Send {
    /// The cost of a statement, by its number, with the candidates of these numbers.
    ///
    /// # Errors
    ///
    /// What the database says of the statement.
    fn evaluate(
        &mut self,
        statement: usize,
        candidates: &[usize],
    ) -> impl Future<Output = Result<Evaluation, String>> + Send;
}

/// The candidates, by their numbers.
pub(super) type Candidates = std::sync::Arc<Vec<IndexDefinition>>;

/// What the database said, without what was being done when it said so.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
