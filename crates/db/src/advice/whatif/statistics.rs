//! A model of what the planner would say, from the statistics alone.
//!
//! The cost of a scan is the least of reading the whole table and of each index that enters it by its first keys. The unit
//! is one page read in sequence, as in PostgreSQL's planner, with the planner's default constants.

use std::collections::BTreeSet;

use super::{Candidates, Evaluation, WhatIf};
use crate::Ident;
use crate::advice::candidate::predicates;
use crate::advice::facts::{ExistingIndex, Facts, RANGE_PAGES, TableFacts, plain};
use crate::query::{Filter, Literal, Ordering, Reading, Scan, Test};
use crate::statement::{IndexDefinition, IndexMethod, IndexPredicate, KeyOrder, Keyed};

/// A page that is not next to the last one.
const RANDOM_PAGE: f64 = 4.0;
/// Looking at a row.
const ROW: f64 = 0.01;
/// Looking at an entry of an index.
const ENTRY: f64 = 0.005;
/// One comparison.
const COMPARISON: f64 = 0.0025;
/// Rows that a `limit` is taken to want.
const LIMIT: f64 = 20.0;
/// Trigrams that are looked up for a text.
const LISTS: f64 = 4.0;
/// How much longer the list of one of them is than what all have in common.
const LONGER: f64 = 5.0;
/// Bytes of a page.
const PAGE: f64 = 8192.0;

/// The model with what it knows.
pub(in crate::advice) struct Statistics {
    pub(in crate::advice) facts: Facts,
    pub(in crate::advice) readings: Vec<Reading>,
    pub(in crate::advice) candidates: Candidates,
}

impl WhatIf for Statistics {
    async fn evaluate(&mut self, statement: usize, candidates: &[usize]) -> Result<Evaluation, String> {
        let reading = &self.readings[statement];
        let mut evaluation = Evaluation { cost: 0.0, used: BTreeSet::new(), others: BTreeSet::new() };
        for (number, scan) in reading.scans.iter().enumerate() {
            let Some(table) = self.facts.tables.get(&scan.table) else {
                return Err(["there is nothing known of ", scan.table.name().as_str()].concat());
            };
            // A scan that is joined runs once for each row of the other that gives the fewest.
            let others = reading.scans.iter().enumerate().filter(|(other, _)| *other != number);
            let loops = others
                .filter_map(|(_, other)| Some(rows_out(other, self.facts.tables.get(&other.table)?, false)))
                .fold(f64::INFINITY, f64::min);
            let loops = if loops.is_finite() { loops.max(1.0) } else { 1.0 };
            let (mut least, mut own, mut best) = (whole(scan, table), None, None);
            let predicates = predicates(scan);
            for existing in table.indexes.iter().filter(|index| index.is_valid) {
                let Some(view) = View::existing(existing, &predicates) else { continue };
                let cost = entered(scan, table, &view, loops).unwrap_or(f64::INFINITY);
                if cost < least {
                    (least, own) = (cost, Some(existing.name.to_string()));
                }
            }
            for candidate in candidates {
                let index = &self.candidates[*candidate];
                if index.table != scan.table || !implies(scan, index.predicate.as_ref()) {
                    continue;
                }
                let cost = entered(scan, table, &View::wanted(index, table), loops).unwrap_or(f64::INFINITY);
                if cost < least {
                    (least, best) = (cost, Some(*candidate));
                }
            }
            evaluation.cost += least;
            if best.is_none() {
                evaluation.others.extend(own);
            }
            evaluation.used.extend(best);
        }
        Ok(evaluation)
    }
}

/// An index as the model sees it.
struct View<'a> {
    keys: Vec<(Option<Keyed>, bool)>,
    include: Vec<&'a Ident>,
    predicate: Option<&'a IndexPredicate>,
    bytes: f64,
    method: IndexMethod,
}

impl<'a> View<'a> {
    /// None if it has not all rows that the scan wants, or is of a kind that is not known.
    fn existing(index: &'a ExistingIndex, of_scan: &'a [(IndexPredicate, Option<Literal>)]) -> Option<Self> {
        let predicate = match &index.predicate {
            Some(own) => Some(&of_scan.iter().find(|(of_scan, _)| plain(&of_scan.to_string()) == plain(own))?.0),
            None => None,
        };
        let keys = index.keys.iter().map(|key| (key.column.clone().map(Keyed::Column), key.is_descending)).collect();
        let (include, method) = (index.include.iter().collect(), index.method?);
        Some(Self { keys, include, predicate, bytes: index.bytes as f64, method })
    }

    fn wanted(index: &'a IndexDefinition, table: &TableFacts) -> Self {
        let keys = index.keys.iter().map(|key| {
            (Some(key.by.clone()), matches!(key.order, KeyOrder::Descending | KeyOrder::DescendingNullsLast))
        });
        Self {
            keys: keys.collect(),
            include: index.include.iter().collect(),
            predicate: index.predicate.as_ref(),
            bytes: table.index_bytes(index) as f64,
            method: index.method,
        }
    }
}

/// Rows that a scan gives; without those of conditions that compare with other tables if `with_joins` is false.
fn rows_out(scan: &Scan, table: &TableFacts, with_joins: bool) -> f64 {
    let share: f64 = distinct(&scan.filters)
        .filter(|filter| with_joins || filter.test != Test::Join)
        .map(|filter| table.selectivity(filter))
        .product();
    (table.row_count() * share).max(1.0)
}

/// One condition for each thing that is compared; one with a value of the statement's own rather than one with a column of
/// another table.
fn distinct(filters: &[Filter]) -> impl Iterator<Item = &Filter> {
    filters
        .iter()
        .enumerate()
        .filter(|(at, filter)| {
            let is_same = |other: &Filter| other.on == filter.on;
            let is_preferred = |other: &Filter| is_same(other) && filter.test == Test::Join && other.test != Test::Join;
            let comes_before =
                |other: &Filter| is_same(other) && (filter.test == Test::Join) == (other.test == Test::Join);
            !filters.iter().any(is_preferred) && !filters[..*at].iter().any(comes_before)
        })
        .map(|(_, filter)| filter)
}

/// Reading all of it, and sorting what is left.
fn whole(scan: &Scan, table: &TableFacts) -> f64 {
    let conditions = scan.filters.len() as f64;
    table.pages + table.row_count() * (ROW + COMPARISON * conditions) + sorting(scan, rows_out(scan, table, false))
}

fn sorting(scan: &Scan, rows: f64) -> f64 {
    if scan.order.is_empty() && scan.group.is_empty() { 0.0 } else { 2.0 * COMPARISON * rows * rows.max(2.0).log2() }
}

/// Entering an index, if its first key is of use.
fn entered(scan: &Scan, table: &TableFacts, index: &View<'_>, loops: f64) -> Option<f64> {
    match index.method {
        IndexMethod::Tree => {}
        IndexMethod::Blocks => return by_blocks(scan, table, index),
        IndexMethod::Trigrams => return by_trigrams(scan, table, index),
    }
    let rows = table.row_count();
    let part = table.covered(index.predicate);
    let mut share = 1.0;
    let mut used = 0;
    let mut by_join = false;
    for (key, _) in &index.keys {
        let Some(key) = key else { break };
        let Some(filter) = distinct(&scan.filters).find(|filter| filter.on == *key && filter.test != Test::IsNotNull)
        else {
            break;
        };
        share *= table.selectivity(filter);
        used += 1;
        by_join |= filter.test == Test::Join;
        if !filter.test.is_equality() {
            break;
        }
    }
    let gives_order = ordered(&scan.order, index, scan);
    let gives_groups = !scan.group.is_empty() && groups(scan, index);
    if used == 0 && index.predicate.is_none() && !gives_order && !gives_groups {
        return None;
    }
    let matched = (rows * (share * part).min(share)).max(1.0);
    // With the order given, a limit stops as soon as enough rows have passed the other conditions.
    let stops = if gives_order && scan.is_limited {
        let passing = rows_out(scan, table, true) / matched;
        (LIMIT / (matched * passing.clamp(1e-6, 1.0))).min(1.0)
    } else {
        1.0
    };
    let read = matched * stops;
    let runs = if by_join { loops } else { 1.0 };
    let has = |column: &Ident| {
        index.include.contains(&column)
            || index.keys.iter().any(|(key, _)| matches!(key, Some(Keyed::Column(own)) if own == column))
    };
    let is_covering = !scan.is_whole && scan.columns.iter().all(has);
    let leaves = (index.bytes / PAGE * read / (rows * part).max(1.0)).ceil().max(1.0);
    let descent = RANDOM_PAGE + COMPARISON * 50.0 * (rows.max(2.0).log2() / 8.0).ceil();
    let heap = if is_covering { 0.0 } else { heap_pages(table, index, read) };
    let one = descent + leaves + heap + read * (ENTRY + ROW);
    let sort = if gives_order || gives_groups { 0.0 } else { sorting(scan, rows_out(scan, table, true)) };
    Some(one * runs + sort)
}

/// Reading the ranges of blocks that may have a row: the fewer, the closer rows lie in the order of the values.
fn by_blocks(scan: &Scan, table: &TableFacts, index: &View<'_>) -> Option<f64> {
    let key = index.keys.first().and_then(|(key, _)| key.as_ref())?;
    let wanted = |filter: &&Filter| filter.on == *key && matches!(filter.test, Test::Equal | Test::Range);
    let share: f64 = table.selectivity(distinct(&scan.filters).find(wanted)?);
    let correlation = table.columns.get(key.column()).map_or(0.0, |column| column.correlation).abs().max(0.01);
    let pages = table.pages.max(1.0);
    let ranges = (pages / RANGE_PAGES).ceil();
    let read = ((ranges * share).ceil() / correlation).min(ranges) * RANGE_PAGES.min(pages);
    let rows = table.row_count() * read.min(pages) / pages;
    let own = RANDOM_PAGE + index.bytes / PAGE + ranges * COMPARISON;
    Some(own + RANDOM_PAGE + read.min(pages) + rows * (ROW + COMPARISON) + sorting(scan, rows_out(scan, table, true)))
}

/// Finding the rows that have all trigrams of a text, and looking whether they have the text.
fn by_trigrams(scan: &Scan, table: &TableFacts, index: &View<'_>) -> Option<f64> {
    let key = index.keys.first().and_then(|(key, _)| key.as_ref())?;
    let filter = distinct(&scan.filters).find(|filter| filter.on == *key && filter.test == Test::Contains)?;
    let found = (table.row_count() * table.selectivity(filter)).max(1.0);
    let pages = table.pages.max(1.0);
    let heap = (2.0 * pages * found / (2.0 * pages + found)).min(pages) * RANDOM_PAGE;
    // A few trigrams, of which each has a list that is longer than what they have in common.
    let lists = LISTS * (RANDOM_PAGE + found * LONGER * ENTRY);
    Some(lists + heap + found * (ROW + COMPARISON) + sorting(scan, rows_out(scan, table, true)))
}

/// Pages of the table that are read for so many rows: each its own if they lie anywhere, next to each other if the table
/// follows the order of the first key.
fn heap_pages(table: &TableFacts, index: &View<'_>, rows: f64) -> f64 {
    let pages = table.pages.max(1.0);
    let correlation = match index.keys.first() {
        Some((Some(key), _)) => table.columns.get(key.column()).map_or(0.0, |column| column.correlation),
        _ => 0.0,
    };
    let follows = correlation * correlation;
    let scattered = (2.0 * pages * rows / (2.0 * pages + rows)).min(pages) * RANDOM_PAGE;
    let together = (rows / table.row_count() * pages).ceil() + RANDOM_PAGE;
    follows * together.min(scattered) + (1.0 - follows) * scattered
}

/// Whether the index has the order behind keys that have one value each.
fn ordered(order: &[Ordering], index: &View<'_>, scan: &Scan) -> bool {
    if order.is_empty() {
        return false;
    }
    let mut wanted = order.iter().peekable();
    let mut is_reversed = None;
    for (key, is_descending) in &index.keys {
        let Some(next) = wanted.peek() else { return true };
        if key.as_ref() == Some(&next.by) {
            let reversed = *is_descending != next.is_descending;
            if is_reversed.is_some_and(|before| before != reversed) {
                return false;
            }
            is_reversed = Some(reversed);
            wanted.next();
        } else if !scan.filters.iter().any(|filter| Some(&filter.on) == key.as_ref() && filter.test == Test::Equal) {
            return false;
        }
    }
    wanted.peek().is_none()
}

fn groups(scan: &Scan, index: &View<'_>) -> bool {
    let mut columns = index
        .keys
        .iter()
        .filter_map(|(key, _)| key.as_ref())
        .skip_while(|key| scan.filters.iter().any(|filter| filter.on == **key && filter.test == Test::Equal));
    scan.group.iter().all(|column| columns.next().is_some_and(|key| *key == Keyed::Column(column.clone())))
}

/// Whether every row that the scan wants is in an index with this condition.
fn implies(scan: &Scan, predicate: Option<&IndexPredicate>) -> bool {
    let Some(predicate) = predicate else { return true };
    let by_value = |literal: &Literal| {
        scan.filters.iter().any(|filter| {
            filter.on == Keyed::Column(predicate.column().clone())
                && filter.test == Test::Equal
                && filter.value.as_ref() == Some(literal)
        })
    };
    match predicate {
        IndexPredicate::IsNull(column) => {
            scan.filters.iter().any(|f| f.on.column() == column && f.test == Test::IsNull)
        }
        IndexPredicate::IsNotNull(column) => {
            scan.filters.iter().any(|f| f.on.column() == column && f.test != Test::IsNull)
        }
        IndexPredicate::IsTrue(_) => by_value(&Literal::Boolean(true)),
        IndexPredicate::IsFalse(_) => by_value(&Literal::Boolean(false)),
        IndexPredicate::TextIs(_, text) => by_value(&Literal::Text(text.clone())),
        IndexPredicate::NumberIs(_, number) => by_value(&Literal::Number(number.to_string())),
    }
}

/// Rows that a statement writes in a call: those that its conditions find, or one.
pub(in crate::advice) fn written_rows(reading: &Reading, facts: &Facts) -> f64 {
    let Some(written) = &reading.written else { return 0.0 };
    let scan = reading.scans.iter().find(|scan| scan.table == *written.table());
    match (scan, facts.tables.get(written.table())) {
        (Some(scan), Some(table)) => rows_out(scan, table, true),
        _ => 1.0,
    }
}
