//! Which indexes could serve a scan.

use std::collections::{BTreeMap, BTreeSet};

use crate::query::{Filter, Literal, Scan, Test};
use crate::statement::{IndexDefinition, IndexKey, IndexMethod, IndexPredicate, KeyOrder, Keyed};
use crate::{Dialect, Ident, TableName};

use super::facts::{RANGE_PAGES, TableFacts};

/// Keys of an index. More make it large and seldom serve a second statement.
const MAX_KEYS: usize = 4;
/// Columns that are kept beside the keys, so that the table need not be read.
const MAX_INCLUDED: usize = 4;
/// Candidates of one scan.
const MAX_CANDIDATES: usize = 24;
/// A value is left out of the keys and made the condition of the index, if so many calls ask for it.
const PARTIAL_CALLS: f64 = 0.9;
/// Most different values of a column of which one may be the condition of an index.
const PARTIAL_VALUES: f64 = 20.0;
/// Largest share of rows in a partial index; a larger one is no better than a whole one.
const PARTIAL_ROWS: f64 = 0.3;

/// Pages of a table from which on ranges of its blocks are worth an index: below, reading it all is as quick.
const BLOCKS_PAGES: f64 = 10.0 * RANGE_PAGES;
/// How closely rows must lie in the order of the values, from 0 to 1, for an index of ranges of blocks.
const BLOCKS_CORRELATION: f64 = 0.95;

/// With which values columns are compared, over the whole workload.
#[derive(Debug, Default)]
pub(super) struct Constants {
    by_column: BTreeMap<(TableName, Ident), Comparisons>,
}

/// Calls that compare a column: by value, and in all.
#[derive(Debug, Default)]
struct Comparisons {
    by_value: BTreeMap<Option<Literal>, f64>,
    total: f64,
}

impl Constants {
    /// Counts the comparisons of a scan.
    pub(super) fn count(&mut self, scan: &Scan, calls: f64) {
        for filter in &scan.filters {
            let (Keyed::Column(column), Test::Equal) = (&filter.on, filter.test) else { continue };
            let comparisons = self.by_column.entry((scan.table.clone(), column.clone())).or_default();
            *comparisons.by_value.entry(filter.value.clone()).or_default() += calls;
            comparisons.total += calls;
        }
    }

    /// Whether nearly all comparisons of a column are with this value.
    fn is_usual(&self, table: &TableName, column: &Ident, value: &Literal) -> bool {
        let Some(comparisons) = self.by_column.get(&(table.clone(), column.clone())) else { return false };
        let calls = comparisons.by_value.get(&Some(value.clone())).copied().unwrap_or(0.0);
        calls > 0.0 && calls >= PARTIAL_CALLS * comparisons.total
    }
}

/// The candidates for a scan, those that serve it best first.
pub(super) fn candidates(
    dialect: Dialect,
    scan: &Scan,
    facts: &TableFacts,
    constants: &Constants,
    has_trigrams: bool,
) -> Vec<IndexDefinition> {
    let wishes = Wishes::of(dialect, scan, facts);
    let mut found = Found { dialect, scan, facts, indexes: Vec::new() };
    for partial in std::iter::once(None).chain(partials(scan, facts, constants).into_iter().map(Some)) {
        let without = partial.as_ref().map(IndexPredicate::column);
        let equal: Vec<&Filter> =
            wishes.equal.iter().copied().filter(|filter| Some(filter.on.column()) != without).collect();
        let own: Vec<&Filter> = equal.iter().copied().filter(|filter| filter.test != Test::Join).collect();
        let joined: Vec<&Filter> = equal.iter().copied().filter(|filter| filter.test == Test::Join).collect();
        // All equalities; only those with the statement's own values; only those with other tables.
        for equal in [&equal, &own, &joined] {
            let head: Vec<IndexKey> = equal.iter().map(|filter| key(&filter.on, KeyOrder::Ascending)).collect();
            found.add(&head, &wishes.order, &partial);
            for range in &wishes.ranges {
                found.add(&head, std::slice::from_ref(range), &partial);
            }
            found.add(&head, &wishes.group, &partial);
            found.add(&head, &[], &partial);
        }
        for filter in &equal {
            found.add(&[key(&filter.on, KeyOrder::Ascending)], &[], &partial);
        }
    }
    for arm in scan.alternatives.iter().flatten() {
        if arm.test.is_equality() || matches!(arm.test, Test::Range) {
            found.add(&[key(&arm.on, KeyOrder::Ascending)], &[], &None);
        }
    }
    found.indexes.truncate(MAX_CANDIDATES);
    if dialect == Dialect::Postgres {
        for filter in &scan.filters {
            let Keyed::Column(column) = &filter.on else { continue };
            let follows = facts.columns.get(column).is_some_and(|own| own.correlation.abs() >= BLOCKS_CORRELATION);
            if filter.test == Test::Range && follows && facts.pages >= BLOCKS_PAGES {
                found.push(other_kind(scan, IndexMethod::Blocks, column));
            }
        }
        for column in searched(scan).filter(|_| has_trigrams) {
            found.push(other_kind(scan, IndexMethod::Trigrams, column));
        }
    }
    found.indexes
}

/// Columns in whose texts a scan looks for something that may be anywhere in them.
pub(super) fn searched(scan: &Scan) -> impl Iterator<Item = &Ident> {
    scan.filters.iter().filter_map(|filter| match (&filter.on, filter.test) {
        (Keyed::Column(column), Test::Contains) => Some(column),
        _ => None,
    })
}

fn other_kind(scan: &Scan, method: IndexMethod, column: &Ident) -> IndexDefinition {
    IndexDefinition {
        table: scan.table.clone(),
        method,
        keys: vec![IndexKey::ascending(column.clone())],
        include: Vec::new(),
        predicate: None,
    }
}

/// What a scan wants of an index.
struct Wishes<'a> {
    /// Columns that are compared for equality, the most selective first.
    equal: Vec<&'a Filter>,
    ranges: Vec<IndexKey>,
    order: Vec<IndexKey>,
    group: Vec<IndexKey>,
}

impl<'a> Wishes<'a> {
    fn of(dialect: Dialect, scan: &'a Scan, facts: &TableFacts) -> Self {
        let mut equal: Vec<&Filter> = Vec::new();
        let mut ranges = Vec::new();
        for filter in &scan.filters {
            if filter.test.is_equality() {
                if !equal.iter().any(|other| other.on == filter.on) {
                    equal.push(filter);
                }
            } else if let Test::Range | Test::Prefix = filter.test {
                let needs_pattern = facts.columns.get(filter.on.column()).is_some_and(|column| column.needs_pattern);
                let by_bytes = filter.test == Test::Prefix && needs_pattern && dialect == Dialect::Postgres;
                let range = key(&filter.on, if by_bytes { KeyOrder::Pattern } else { KeyOrder::Ascending });
                if !ranges.contains(&range) {
                    ranges.push(range);
                }
            }
        }
        // Equal selectivities keep the order of the statement.
        equal.sort_by(|a, b| facts.selectivity(a).total_cmp(&facts.selectivity(b)));
        let group = scan.group.iter().cloned().map(IndexKey::ascending).collect();
        Self { equal, ranges, order: order(dialect, scan), group }
    }
}

/// The order of a scan as keys. One that is the reverse of an ascending one is read backwards.
fn order(dialect: Dialect, scan: &Scan) -> Vec<IndexKey> {
    let keys: Vec<IndexKey> = scan
        .order
        .iter()
        .map(|order| {
            let order_of_nulls = order.nulls_first.filter(|_| dialect == Dialect::Postgres);
            let kept = match (order.is_descending, order_of_nulls) {
                (false, None | Some(false)) => KeyOrder::Ascending,
                (false, Some(true)) => KeyOrder::AscendingNullsFirst,
                (true, None | Some(true)) => KeyOrder::Descending,
                (true, Some(false)) => KeyOrder::DescendingNullsLast,
            };
            key(&order.by, kept)
        })
        .collect();
    if keys.iter().all(|key| key.order == KeyOrder::Descending) {
        return keys.into_iter().map(|key| IndexKey { order: KeyOrder::Ascending, ..key }).collect();
    }
    keys
}

/// Conditions that nearly all calls share, and that few rows meet.
fn partials(scan: &Scan, facts: &TableFacts, constants: &Constants) -> Vec<IndexPredicate> {
    let is_shared = |predicate: &IndexPredicate, value: &Option<Literal>| {
        let column = predicate.column();
        let Some(known) = facts.columns.get(column) else { return false };
        let is_usual = value.as_ref().is_none_or(|value| {
            // One of many values would be an index for one value.
            known.distinct <= PARTIAL_VALUES && constants.is_usual(&scan.table, column, value)
        });
        is_usual && facts.covered(Some(predicate)) <= PARTIAL_ROWS
    };
    let found = predicates(scan).into_iter().filter(|(predicate, value)| is_shared(predicate, value));
    found.map(|(predicate, _)| predicate).collect()
}

/// What a scan says of single columns that could be the condition of an index, with the value if it is one.
pub(super) fn predicates(scan: &Scan) -> Vec<(IndexPredicate, Option<Literal>)> {
    let mut found = Vec::new();
    for filter in &scan.filters {
        let Keyed::Column(column) = &filter.on else { continue };
        let column = column.clone();
        let predicate = match (filter.test, &filter.value) {
            (Test::IsNull, _) => IndexPredicate::IsNull(column),
            (Test::IsNotNull, _) => IndexPredicate::IsNotNull(column),
            (Test::Equal, Some(Literal::Boolean(true))) => IndexPredicate::IsTrue(column),
            (Test::Equal, Some(Literal::Boolean(false))) => IndexPredicate::IsFalse(column),
            // A backslash may or may not mean itself.
            (Test::Equal, Some(Literal::Text(text))) if !text.contains('\\') => {
                IndexPredicate::TextIs(column, text.clone())
            }
            (Test::Equal, Some(Literal::Number(number))) => match number.parse() {
                Ok(number) => IndexPredicate::NumberIs(column, number),
                Err(_) => continue,
            },
            _ => continue,
        };
        let value = if filter.test == Test::Equal { filter.value.clone() } else { None };
        found.push((predicate, value));
    }
    found
}

fn key(by: &Keyed, order: KeyOrder) -> IndexKey {
    IndexKey { by: by.clone(), order }
}

struct Found<'a> {
    dialect: Dialect,
    scan: &'a Scan,
    facts: &'a TableFacts,
    indexes: Vec<IndexDefinition>,
}

impl Found<'_> {
    /// Adds an index with these keys, and one that has all columns of the scan if they are few.
    fn add(&mut self, head: &[IndexKey], tail: &[IndexKey], predicate: &Option<IndexPredicate>) {
        let mut keys: Vec<IndexKey> = Vec::new();
        for key in head.iter().chain(tail) {
            if !keys.iter().any(|other| other.by == key.by) {
                keys.push(key.clone());
            }
        }
        keys.truncate(MAX_KEYS);
        if keys.is_empty() {
            return;
        }
        let index = IndexDefinition {
            table: self.scan.table.clone(),
            method: IndexMethod::Tree,
            keys,
            include: Vec::new(),
            predicate: predicate.clone(),
        };
        let keyed: BTreeSet<&Ident> = index.keys.iter().filter_map(|key| plain_column(&key.by)).collect();
        let left: Vec<Ident> = self.scan.columns.iter().filter(|column| !keyed.contains(column)).cloned().collect();
        // A function of a column is recomputed from the column, which the index would have to have as well.
        let is_plain = index.keys.iter().all(|key| plain_column(&key.by).is_some());
        let covering = (!self.scan.is_whole && is_plain && !left.is_empty() && left.len() <= MAX_INCLUDED)
            .then(|| IndexDefinition { include: left, ..index.clone() });
        self.push(index);
        if let Some(covering) = covering {
            self.push(covering);
        }
    }

    fn push(&mut self, index: IndexDefinition) {
        let is_there = match self.dialect {
            Dialect::Postgres => self.facts.indexes.iter().any(|existing| existing.serves(&index)),
            // Included columns are keys there.
            Dialect::Sqlite => {
                let keys = index.keys.iter().cloned().chain(index.include.iter().cloned().map(IndexKey::ascending));
                let whole = IndexDefinition { keys: keys.collect(), include: Vec::new(), ..index.clone() };
                self.facts.indexes.iter().any(|existing| existing.serves(&whole))
            }
        };
        if !is_there && !self.indexes.contains(&index) {
            self.indexes.push(index);
        }
    }
}

fn plain_column(by: &Keyed) -> Option<&Ident> {
    match by {
        Keyed::Column(column) => Some(column),
        Keyed::Function(..) => None,
    }
}
