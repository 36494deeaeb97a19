//! Rules about what SQLite says.

use super::scans::BIG_TABLE;
use super::{At, Confidence, Finding, Rule};
use crate::plan::Node;
use crate::plan::show::count;

/// Rows that may be skipped before anybody would notice.
const SKIPPED: f64 = 1000.0;

pub(super) fn full_scan(at: &At<'_>) -> Option<Finding> {
    let table = scanned(at.node)?;
    let rows = *at.plan.table_rows.get(table)?;
    if rows < BIG_TABLE || !at.plan.hints.filtered.contains(&table.to_lowercase()) {
        return None;
    }
    at.finding(
        Rule::SequentialScan,
        Confidence::Medium,
        vec![("rows", rows)],
        format!("all of {table} is read, {} rows, though a condition chooses among them", count(rows)),
        format!("an index on the columns of the condition: ask for index advice for this statement on {table}"),
    )
}

pub(super) fn sort_step(at: &At<'_>) -> Option<Finding> {
    let wanted = at.node.kind.strip_prefix("USE TEMP B-TREE FOR ")?;
    let rows = at.above.iter().flat_map(|above| below(above)).filter_map(|node| rows_of(at, node)).fold(0.0, f64::max);
    if rows < BIG_TABLE {
        return None;
    }
    at.finding(
        Rule::SortStep,
        Confidence::Medium,
        vec![("rows", rows)],
        format!("rows are kept in a tree of their own for {wanted}, before the first is returned"),
        "an index whose columns are those of the equality conditions, then those of the order".to_owned(),
    )
}

pub(super) fn automatic_index(at: &At<'_>) -> Option<Finding> {
    if !at.node.kind.contains("USING AUTOMATIC") {
        return None;
    }
    let table = at.node.kind.split_whitespace().nth(1)?;
    let columns = at.node.kind.split_once('(').map_or("", |(_, columns)| columns.trim_end_matches(')'));
    let rows = at.plan.table_rows.get(table).copied();
    at.finding(
        Rule::AutomaticIndex,
        Confidence::High,
        rows.map(|rows| ("rows", rows)).into_iter().collect(),
        format!("each time the statement runs an index on {table} is made for {columns}, and thrown away"),
        format!("a lasting index on {table} for {columns}"),
    )
}

pub(super) fn correlated_scan(at: &At<'_>) -> Option<Finding> {
    if !at.node.kind.starts_with("CORRELATED") {
        return None;
    }
    let (table, rows) = below(at.node).find_map(|node| Some((scanned(node)?, rows_of(at, node)?)))?;
    if rows < BIG_TABLE / 10.0 {
        return None;
    }
    at.finding(
        Rule::CorrelatedScan,
        Confidence::Medium,
        vec![("rows", rows)],
        format!("for each row outside all of {table} is read, {} rows", count(rows)),
        "an index on the column that is compared with the outer row, or a join".to_owned(),
    )
}

pub(super) fn or_keyset(at: &At<'_>) -> Option<Finding> {
    let condition = at.plan.hints.keyset.as_ref().filter(|_| at.is_root())?;
    at.finding(
        Rule::OrKeyset,
        Confidence::Medium,
        Vec::new(),
        format!("the page begins behind a key by {condition}, which does not enter an index at one place"),
        "compare rows: (a, b) > (?, ?), with an index on (a, b)".to_owned(),
    )
}

pub(super) fn deep_offset(at: &At<'_>) -> Option<Finding> {
    let offset = at.plan.hints.offset.filter(|offset| at.is_root() && *offset >= SKIPPED)?;
    at.finding(
        Rule::DeepOffset,
        Confidence::High,
        vec![("offset", offset)],
        format!("{} rows are read to be skipped", count(offset)),
        "page by key: where (a, b) > (?, ?) order by a, b limit n".to_owned(),
    )
}

/// The table that is read whole and not by an index; one that is followed in the order of an index is not meant.
fn scanned(node: &Node) -> Option<&str> {
    let rest = node.kind.strip_prefix("SCAN ")?;
    let mut words = rest.split_whitespace();
    let table = words.next()?;
    let more: Vec<&str> = words.collect();
    (more.is_empty() || more.contains(&"COVERING")).then_some(table)
}

fn rows_of(at: &At<'_>, node: &Node) -> Option<f64> {
    let rest = node.kind.strip_prefix("SCAN ").or_else(|| node.kind.strip_prefix("SEARCH "))?;
    at.plan.table_rows.get(rest.split_whitespace().next()?).copied()
}

fn below(node: &Node) -> impl Iterator<Item = &Node> {
    let mut open: Vec<&Node> = node.children.iter().rev().collect();
    std::iter::from_fn(move || {
        let next = open.pop()?;
        open.extend(next.children.iter().rev());
        Some(next)
    })
}
