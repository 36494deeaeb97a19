//! Rules about reading tables and indexes.

use super::{At, Confidence, Finding, Rule};
use crate::plan::keyset;
use crate::plan::show::count;

/// Rows thrown away below which nobody would notice.
const WASTED_ROWS: f64 = 1000.0;
/// Rows thrown away for each that is kept.
const WASTE: f64 = 10.0;
/// Rows of a table that is worth an index.
pub(super) const BIG_TABLE: f64 = 10_000.0;
/// Largest share of a table that an index serves better than reading all of it.
const FEW: f64 = 0.1;
/// Rows fetched from the table, as a share of those that an index alone should have given.
const FETCHED: f64 = 0.1;
/// Fetches below which nobody would notice.
const FETCHES: f64 = 100.0;

pub(super) fn filter_waste(at: &At<'_>) -> Option<Finding> {
    let removed = at.counted("Rows Removed by Filter")?;
    let kept = at.node.measured?.rows;
    if removed < WASTED_ROWS || removed < WASTE * kept.max(1.0) || sequential_scan(at).is_some() {
        return None;
    }
    let filter = at.node.text("Filter").unwrap_or("the filter");
    let loops = at.node.measured?.loops;
    at.finding(
        Rule::FilterWaste,
        Confidence::High,
        vec![("Rows Removed by Filter", removed), ("Actual Rows", kept), ("Actual Loops", loops)],
        format!("{} rows are read and thrown away for {} that are kept, by {filter}", count(removed), count(kept)),
        match at.node.text("Index Name") {
            Some(index) => format!("an index that has the columns of the filter behind those of {index}"),
            None => "an index on the columns of the filter, or a partial one for this condition".to_owned(),
        },
    )
}

pub(super) fn sequential_scan(at: &At<'_>) -> Option<Finding> {
    if at.node.kind != "Seq Scan" {
        return None;
    }
    let filter = at.node.text("Filter")?;
    let (read, kept, confidence) = match at.node.measured {
        Some(measured) => {
            let read = measured.rows + at.counted("Rows Removed by Filter").unwrap_or(0.0);
            // Parallel processes share the table; elsewhere each run reads all of it.
            let is_shared = at.node.details.get("Parallel Aware").and_then(serde_json::Value::as_bool) == Some(true);
            let runs = if is_shared { 1.0 } else { measured.loops.max(1.0) };
            (read / runs, measured.rows / runs, Confidence::High)
        }
        None => {
            let rows = *at.plan.table_rows.get(&at.node.table()?)?;
            (rows, at.node.estimate?.rows, Confidence::Medium)
        }
    };
    if read < BIG_TABLE || kept > FEW * read {
        return None;
    }
    let table = at.node.table()?;
    at.finding(
        Rule::SequentialScan,
        confidence,
        vec![("rows read", read), ("rows kept", kept)],
        format!("all of {table} is read, {} rows, for {} that pass {filter}", count(read), count(kept)),
        format!("an index on the columns of the filter: ask for index advice for this statement on {table}"),
    )
}

pub(super) fn or_keyset(at: &At<'_>) -> Option<Finding> {
    let condition = keyset::in_filter(at.node.text("Filter")?)?;
    let (confidence, numbers) = match at.node.measured {
        Some(_) => {
            let removed = at.counted("Rows Removed by Filter").unwrap_or(0.0);
            if removed < WASTED_ROWS {
                return None;
            }
            (Confidence::High, vec![("Rows Removed by Filter", removed)])
        }
        None => (Confidence::Medium, Vec::new()),
    };
    at.finding(
        Rule::OrKeyset,
        confidence,
        numbers,
        format!("the page begins behind a key by {condition}, which is a filter and not where the index is entered"),
        "compare rows: (a, b) > ($1, $2), with an index on (a, b)".to_owned(),
    )
}

pub(super) fn heap_fetches(at: &At<'_>) -> Option<Finding> {
    if at.node.kind != "Index Only Scan" {
        return None;
    }
    // A total of all runs, unlike the other counters.
    let fetches = at.node.number("Heap Fetches")?;
    let rows = at.node.measured?.rows;
    if fetches < FETCHES || fetches <= FETCHED * rows {
        return None;
    }
    let table = at.node.table().unwrap_or_default();
    at.finding(
        Rule::HeapFetches,
        Confidence::High,
        vec![("Heap Fetches", fetches), ("Actual Rows", rows)],
        format!(
            "the index has all columns, and the table was still asked {} times whether rows are visible",
            count(fetches)
        ),
        format!("vacuum {table}, and let autovacuum come more often if it happens again"),
    )
}

pub(super) fn deep_offset(at: &At<'_>) -> Option<Finding> {
    if at.node.kind != "Limit" {
        return None;
    }
    let [below] =
        at.node.children.iter().filter(|c| c.text("Parent Relationship") != Some("InitPlan")).collect::<Vec<_>>()[..]
    else {
        return None;
    };
    let (kept, read, confidence) = match (at.node.measured, below.measured) {
        (Some(own), Some(below)) => (own.rows, below.rows, Confidence::High),
        // The cost until the first row is that of the rows that are skipped.
        _ => {
            let (own, below) = (at.node.estimate?, below.estimate?);
            let span = below.total_cost - below.startup_cost;
            if span <= 0.0 {
                return None;
            }
            let skipped = (own.startup_cost - below.startup_cost) / span * below.rows;
            (own.rows, skipped + own.rows, Confidence::Medium)
        }
    };
    if read < WASTED_ROWS || read < WASTE * kept.max(1.0) {
        return None;
    }
    at.finding(
        Rule::DeepOffset,
        confidence,
        vec![("rows below", read), ("Actual Rows", kept)],
        format!("{} rows are read to return {}: the others are what OFFSET skips", count(read), count(kept)),
        "page by key: where (a, b) > ($1, $2) order by a, b limit n".to_owned(),
    )
}
