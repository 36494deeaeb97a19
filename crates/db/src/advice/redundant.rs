//! Indexes that could go.

use std::collections::BTreeSet;

use crate::statement::IndexDefinition;
use crate::{Dialect, Ident, TableName};

use super::facts::{ExistingIndex, Facts, TableFacts, plain};
use super::{Redundant, RedundantReason};

/// Scans of a table without which an index that was never scanned says nothing.
const SCANS: i64 = 100;

/// Names what could go, with the suggested indexes in place. `used` are names of indexes that the workload uses.
pub(super) fn redundant(
    dialect: Dialect,
    facts: &Facts,
    suggested: &[IndexDefinition],
    used: &BTreeSet<String>,
) -> Vec<Redundant> {
    let mut found = Vec::new();
    for (name, table) in &facts.tables {
        for (number, index) in table.indexes.iter().enumerate() {
            if let Some(reason) = reason((name, table), number, index, suggested, used) {
                found.push(Redundant::new(dialect, name, index, reason));
            }
        }
    }
    found
}

fn reason(
    (name, table): (&TableName, &TableFacts),
    number: usize,
    index: &ExistingIndex,
    suggested: &[IndexDefinition],
    used: &BTreeSet<String>,
) -> Option<RedundantReason> {
    if index.is_constraint {
        return None;
    }
    if !index.is_valid {
        return Some(RedundantReason::Invalid);
    }
    if index.is_unique || !index.is_tree() {
        return None;
    }
    let others = table.indexes.iter().enumerate().filter(|(other, by)| *other != number && by.is_valid && by.is_tree());
    for (other, by) in others {
        if begins_like(by, index) {
            // Of two that are the same the one that a constraint needs stays, or the first.
            let is_same = by.keys.len() == index.keys.len() && by.include == index.include;
            if is_same && (by.is_constraint || by.is_unique || other < number) {
                return Some(RedundantReason::Duplicate { of: by.name.clone() });
            }
            if !is_same && (by.keys.len() > index.keys.len() || by.include.len() > index.include.len()) {
                return Some(RedundantReason::Prefix { of: by.name.clone() });
            }
        }
    }
    let by_suggested = suggested.iter().find(|by| by.table == *name && replaces(by, index));
    if let Some(by) = by_suggested {
        return Some(RedundantReason::Prefix { of: by.name() });
    }
    let is_watched = table.scans.is_some_and(|scans| scans >= SCANS);
    let is_unused = index.scans == Some(0) && is_watched && !used.contains(index.name.as_str());
    (is_unused && !supports_foreign_key(table, number, index)).then_some(RedundantReason::Unused)
}

/// Whether whatever `index` serves is served by `by` as well: the same rows, and keys and columns that begin with its own.
fn begins_like(by: &ExistingIndex, index: &ExistingIndex) -> bool {
    let is_same_predicate = by.predicate.as_deref().map(plain) == index.predicate.as_deref().map(plain);
    let has =
        |column: &Ident| by.include.contains(column) || by.keys.iter().any(|key| key.column.as_ref() == Some(column));
    is_same_predicate
        && by.keys.len() >= index.keys.len()
        && by.keys.iter().zip(&index.keys).all(|(a, b)| {
            let is_same_expression = a.expression.as_deref().map(plain) == b.expression.as_deref().map(plain);
            a.column == b.column
                && is_same_expression
                && (a.is_descending, a.nulls_first, a.is_default) == (b.is_descending, b.nulls_first, b.is_default)
        })
        && index.include.iter().all(has)
}

/// Whether a suggested index begins with the keys of one that is there.
fn replaces(by: &IndexDefinition, index: &ExistingIndex) -> bool {
    let keys: Vec<_> = by.keys.iter().take(index.keys.len()).cloned().collect();
    if keys.len() < index.keys.len() || by.predicate.is_some() || index.predicate.is_some() {
        return false;
    }
    let beginning = IndexDefinition { keys, include: Vec::new(), ..by.clone() };
    let own = ExistingIndex { include: Vec::new(), ..index.clone() };
    own.is(&beginning) && index.include.iter().all(|column| by.columns().any(|other| other == column))
}

/// Whether it is the only index that finds the rows that refer to a row of another table.
fn supports_foreign_key(table: &TableFacts, number: usize, index: &ExistingIndex) -> bool {
    let supports = |index: &ExistingIndex, key: &[Ident]| {
        index.predicate.is_none()
            && index.keys.len() >= key.len()
            && index.keys[..key.len()].iter().all(|own| own.column.as_ref().is_some_and(|column| key.contains(column)))
    };
    table.foreign_keys.iter().any(|key| {
        supports(index, key)
            && !table.indexes.iter().enumerate().any(|(other, by)| other != number && by.is_valid && supports(by, key))
    })
}

#[cfg(test)]
mod tests;
