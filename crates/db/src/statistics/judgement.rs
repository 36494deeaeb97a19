//! What is wrong with indexes: pure, deterministic, and careful about those that somebody needs.

use std::collections::BTreeSet;
use std::fmt;

use super::{Bytes, Estimate, Examined, ForeignKey, Index, IndexReading, ScanWindow};
use crate::TableName;

/// An index is oversized from this multiple of the size that a new build would have.
const OVERSIZED: u64 = 2;
/// Indexes below this are not called oversized: 1 MiB.
const OVERSIZED_FLOOR: u64 = 1 << 20;

/// Something that should be done about an index.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexFinding {
    /// The table.
    pub table: TableName,
    /// What is wrong.
    pub shortcoming: Shortcoming,
    /// The statement that puts it right.
    pub command: String,
    /// What would be won, if it is known.
    pub frees: Option<Bytes>,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Shortcoming {
    /// A build failed: it costs every write and serves no query.
    Invalid {
        /// The index.
        index: TableName,
    },
    /// Another index is the same.
    Duplicate {
        /// The one to drop.
        index: TableName,
        /// The one to keep.
        of: TableName,
    },
    /// It is the beginning of another index, which serves the same queries.
    Redundant {
        /// The one to drop.
        index: TableName,
        /// The one to keep.
        covered_by: TableName,
    },
    /// Nobody scanned it.
    Unused {
        /// The index.
        index: TableName,
        /// Over which time and where.
        window: ScanWindow,
    },
    /// It is much larger than a new build would be.
    Oversized {
        /// The index.
        index: TableName,
        /// Its size.
        size: Bytes,
        /// What a new build would have.
        expected: Estimate,
    },
    /// No index finds the rows that refer to a row: each delete and each change of a key reads the whole table.
    ForeignKeyWithoutIndex {
        /// The foreign key's columns.
        columns: Vec<String>,
        /// The table that is referred to.
        refers_to: TableName,
    },
}

/// Judges indexes: invalid ones first, then equal ones, those that are the beginning of others, unused, oversized, and
/// foreign keys without an index. Each index is named once at most.
///
/// Never told to be dropped is an index with a [role](super::IndexRole), nor the last that serves a foreign key once all
/// others that were named are gone, nor what takes over the queries of one that was named. Unused are only indexes whose scans were counted; [`Shortcoming::Unused`] says over
/// which time, and that replicas were not seen. Cost: the square of the number of indexes of one table.
#[must_use]
pub fn judge(reading: &IndexReading) -> Vec<IndexFinding> {
    let mut verdict = Verdict { reading, dropped: BTreeSet::new(), findings: Vec::new() };
    verdict.invalid();
    verdict.repeated();
    verdict.unused();
    verdict.oversized();
    verdict.foreign_keys();
    verdict.findings
}

struct Verdict<'a> {
    reading: &'a IndexReading,
    /// Places of those that were named for dropping.
    dropped: BTreeSet<usize>,
    findings: Vec<IndexFinding>,
}

impl<'a> Verdict<'a> {
    fn invalid(&mut self) {
        for (at, index) in self.reading.indexes.iter().enumerate() {
            if !index.is_valid && !index.is_in_progress {
                // One with a role is built again instead, in place.
                let command = if index.roles.is_empty() { drop_of(index) } else { reindex(index) };
                self.name(at, Shortcoming::Invalid { index: index.name.clone() }, command);
            }
        }
    }

    fn repeated(&mut self) {
        for (at, index) in self.reading.indexes.iter().enumerate() {
            if !self.may_go(at) {
                continue;
            }
            let same = self.others(at).find(|(other_at, other)| is_same(index, other) && self.stays(at, *other_at));
            if let Some((_, other)) = same {
                self.drop(at, Shortcoming::Duplicate { index: index.name.clone(), of: other.name.clone() });
                continue;
            }
            let covering = self.others(at).filter(|(_, other)| is_beginning_of(index, other));
            if let Some((_, other)) = covering.min_by_key(|(_, other)| (other.keys.len(), other.name.to_string())) {
                self.drop(at, Shortcoming::Redundant { index: index.name.clone(), covered_by: other.name.clone() });
            }
        }
    }

    fn unused(&mut self) {
        let Examined::Found(window) = self.reading.window else { return };
        for (at, index) in self.reading.indexes.iter().enumerate() {
            let is_unused = index.scans.found().is_some_and(|scans| scans.count == 0);
            if is_unused && self.may_go(at) && !self.is_last_support(at) && !self.is_heir(at) {
                self.drop(at, Shortcoming::Unused { index: index.name.clone(), window });
            }
        }
    }

    fn oversized(&mut self) {
        for (at, index) in self.reading.indexes.iter().enumerate() {
            let (Some(size), Some(expected)) = (index.size.found(), index.expected_size.found()) else { continue };
            let is_oversized = size.0 >= OVERSIZED_FLOOR && size.0 >= expected.0.saturating_mul(OVERSIZED);
            if is_oversized && index.is_valid && !self.dropped.contains(&at) {
                let shortcoming =
                    Shortcoming::Oversized { index: index.name.clone(), size: *size, expected: *expected };
                let frees = Some(Bytes(size.0.saturating_sub(expected.0)));
                self.findings.push(IndexFinding {
                    table: index.table.clone(),
                    shortcoming,
                    command: reindex(index),
                    frees,
                });
            }
        }
    }

    fn foreign_keys(&mut self) {
        for key in &self.reading.foreign_keys {
            if self.supports(key).next().is_some() {
                continue;
            }
            let columns: Vec<String> = key.columns.iter().map(|column| quoted(column)).collect();
            let how = if key.table.schema().is_some() { "concurrently " } else { "" };
            // SQLite needs a name.
            let name = match key.table.schema() {
                Some(_) => String::new(),
                None => format!("{} ", quoted(&format!("{}_{}", key.table.name(), key.columns.join("_")))),
            };
            self.findings.push(IndexFinding {
                table: key.table.clone(),
                shortcoming: Shortcoming::ForeignKeyWithoutIndex {
                    columns: key.columns.clone(),
                    refers_to: key.refers_to.clone(),
                },
                command: format!("create index {how}{name}on {} ({})", key.table.quoted(), columns.join(", ")),
                frees: None,
            });
        }
    }

    /// The indexes of the same table that are valid and were not named.
    fn others(&self, at: usize) -> impl Iterator<Item = (usize, &'a Index)> + use<'a, '_> {
        let index = &self.reading.indexes[at];
        self.reading
            .indexes
            .iter()
            .enumerate()
            .filter(move |(other_at, other)| *other_at != at && other.table == index.table && other.is_valid)
            .filter(|(other_at, _)| !self.dropped.contains(other_at))
    }

    fn may_go(&self, at: usize) -> bool {
        let index = &self.reading.indexes[at];
        index.roles.is_empty() && index.is_valid && !self.dropped.contains(&at)
    }

    /// Of two equal ones stays the one with a role, then the one that is used more, then the first by name.
    fn stays(&self, at: usize, other: usize) -> bool {
        let rank = |at: usize| {
            let index = &self.reading.indexes[at];
            let scans = index.scans.found().map_or(0, |scans| scans.count);
            (index.roles.is_empty(), std::cmp::Reverse(scans), index.name.to_string())
        };
        rank(other) < rank(at)
    }

    fn supports(&self, key: &ForeignKey) -> impl Iterator<Item = usize> + use<'a, '_> {
        let key = key.clone();
        let indexes = self.reading.indexes.iter().enumerate();
        indexes.filter(move |(at, index)| !self.dropped.contains(at) && key.is_served_by(index)).map(|(at, _)| at)
    }

    /// Whether a foreign key would be left without an index.
    fn is_last_support(&self, at: usize) -> bool {
        self.reading.foreign_keys.iter().any(|key| self.supports(key).eq([at]))
    }

    /// Whether it alone serves the queries of an index that was used and is to be dropped.
    fn is_heir(&self, at: usize) -> bool {
        let serves = |other: &Index, index: &Index| is_same(index, other) || is_beginning_of(index, other);
        self.dropped.iter().map(|gone| (*gone, &self.reading.indexes[*gone])).any(|(gone, index)| {
            let was_used = index.is_valid && index.scans.found().is_none_or(|scans| scans.count > 0);
            let mut heirs = self.others(gone).filter(|(_, other)| serves(other, index)).map(|(heir, _)| heir);
            was_used && heirs.next() == Some(at) && heirs.next().is_none()
        })
    }

    fn drop(&mut self, at: usize, shortcoming: Shortcoming) {
        let command = drop_of(&self.reading.indexes[at]);
        self.name(at, shortcoming, command);
    }

    fn name(&mut self, at: usize, shortcoming: Shortcoming, command: String) {
        let index = &self.reading.indexes[at];
        self.dropped.insert(at);
        let frees = index.size.found().copied();
        self.findings.push(IndexFinding { table: index.table.clone(), shortcoming, command, frees });
    }
}

/// Whether two indexes answer the same queries at the same price.
fn is_same(a: &Index, b: &Index) -> bool {
    a.method == b.method
        && a.predicate == b.predicate
        && a.keys == b.keys
        && is_subset(&a.included, &b.included)
        && is_subset(&b.included, &a.included)
}

/// Whether every query that `short` serves is served by `long`: its keys come first there, and what it carries is there.
fn is_beginning_of(short: &Index, long: &Index) -> bool {
    let carried = |column: &String| {
        long.included.contains(column) || long.keys.iter().any(|key| key.is_column && key.expression == *column)
    };
    short.method == "btree"
        && long.method == "btree"
        && short.predicate == long.predicate
        && long.keys.starts_with(&short.keys)
        && short.included.iter().all(carried)
        && !is_same(short, long)
}

fn is_subset(a: &[String], b: &[String]) -> bool {
    a.iter().all(|column| b.contains(column))
}

fn drop_of(index: &Index) -> String {
    match index.name.schema() {
        Some(_) => format!("drop index concurrently {}", index.name.quoted()),
        None => format!("drop index {}", index.name.quoted()),
    }
}

fn reindex(index: &Index) -> String {
    match index.name.schema() {
        Some(_) => format!("reindex index concurrently {}", index.name.quoted()),
        None => format!("reindex {}", index.name.quoted()),
    }
}

/// A column's name as the catalog has it, in double quotes.
fn quoted(column: &str) -> String {
    format!("\"{}\"", column.replace('"', "\"\""))
}

impl fmt::Display for IndexFinding {
    /// One line with what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = &self.table;
        match &self.shortcoming {
            Shortcoming::Invalid { index } => {
                write!(
                    f,
                    "{index} on {table} is left of a build that failed: it costs every write and serves no query"
                )?;
            }
            Shortcoming::Duplicate { index, of } => write!(f, "{index} on {table} is the same as {of}; drop it")?,
            Shortcoming::Redundant { index, covered_by } => {
                write!(f, "{index} on {table} repeats the beginning of {covered_by}; drop it")?;
            }
            Shortcoming::Unused { index, window } => write!(f, "{index} on {table} was never scanned, {window}")?,
            Shortcoming::Oversized { index, size, expected } => {
                write!(f, "{index} on {table} takes {size}, a new build ~{}", Bytes(expected.0))?;
            }
            Shortcoming::ForeignKeyWithoutIndex { columns, refers_to } => write!(
                f,
                "{table} ({}) refers to {refers_to} and has no index: each delete there reads all of it",
                columns.join(", ")
            )?,
        }
        write!(f, ": {}", self.command)?;
        match self.frees {
            Some(frees) if frees.0 > 0 => write!(f, " (frees {frees})"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
