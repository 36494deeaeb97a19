//! Rules about what does not fit into memory.

use serde_json::Value;

use super::{At, Confidence, Finding, Rule};
use crate::plan::show::count;

/// Rows read again because a bitmap had only room for their pages.
const RECHECKED: f64 = 1000.0;

pub(super) fn sort_spill(at: &At<'_>) -> Option<Finding> {
    if !matches!(at.node.kind.as_str(), "Sort" | "Incremental Sort" | "Materialize" | "CTE Scan" | "WindowAgg") {
        return None;
    }
    let kilobytes = disk(&at.node.details)
        + at.node
            .details
            .get("Workers")
            .and_then(Value::as_array)
            .map_or(0.0, |workers| workers.iter().filter_map(Value::as_object).map(disk).sum::<f64>());
    let below: f64 = at.node.children.iter().filter_map(|child| child.number("Temp Written Blocks")).sum();
    let written = (at.node.number("Temp Written Blocks").unwrap_or(0.0) - below).max(0.0);
    if kilobytes == 0.0 && written == 0.0 {
        return None;
    }
    let is_sort = at.node.kind.ends_with("Sort");
    let amount = if kilobytes > 0.0 { kilobytes } else { written * 8.0 };
    at.finding(
        Rule::SortSpill,
        Confidence::High,
        vec![("kB on disk", amount), ("Temp Written Blocks", written)],
        format!("{} kB do not fit into work_mem and are written to disk and read back", count(amount)),
        if is_sort {
            let key = at.node.details.get("Sort Key").map(ToString::to_string).unwrap_or_default();
            format!(
                "an index that gives the order {key}, or for this statement a work_mem of some {} kB",
                count(amount * 2.5)
            )
        } else {
            format!("for this statement a work_mem of some {} kB", count(amount * 2.0))
        },
    )
}

/// Kilobytes on disk, of a node or of one of its workers.
fn disk(details: &serde_json::Map<String, Value>) -> f64 {
    match details.get("Sort Space Type").and_then(Value::as_str) {
        Some("Disk") => details.get("Sort Space Used").and_then(Value::as_f64).unwrap_or(0.0),
        _ => 0.0,
    }
}

pub(super) fn hash_spill(at: &At<'_>) -> Option<Finding> {
    let hashed = at.node.number("Hash Batches").filter(|batches| *batches > 1.0);
    let grouped = at.node.number("HashAgg Batches").filter(|batches| *batches > 1.0);
    let batches = hashed.or(grouped)?;
    let original = at.node.number("Original Hash Batches").unwrap_or(batches);
    let peak = at.node.number("Peak Memory Usage").unwrap_or(0.0);
    at.finding(
        Rule::HashSpill,
        Confidence::High,
        vec![("Hash Batches", batches), ("Original Hash Batches", original), ("Peak Memory Usage kB", peak)],
        format!(
            "the hash table is {} times too large for memory and is worked off in parts, through disk",
            count(batches)
        ),
        if batches > original {
            "the planner expected fewer rows: analyze, or extended statistics on what is hashed".to_owned()
        } else {
            format!(
                "for this statement a work_mem of some {} kB, or fewer columns and rows in it",
                count(peak.max(1.0) * batches)
            )
        },
    )
}

pub(super) fn lossy_bitmap(at: &At<'_>) -> Option<Finding> {
    let lossy = at.node.number("Lossy Heap Blocks").filter(|blocks| *blocks > 0.0)?;
    let rechecked = at.counted("Rows Removed by Index Recheck")?;
    if rechecked < RECHECKED {
        return None;
    }
    at.finding(
        Rule::LossyBitmap,
        Confidence::High,
        vec![("Lossy Heap Blocks", lossy), ("Rows Removed by Index Recheck", rechecked)],
        format!(
            "{} pages are remembered only as a whole, so {} rows are checked again",
            count(lossy),
            count(rechecked)
        ),
        "a larger work_mem for this statement, or an index that finds fewer rows".to_owned(),
    )
}
