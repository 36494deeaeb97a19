//! Rules about expectations, joins and processes.

use super::{At, Confidence, Finding, Rule};
use crate::plan::Node;
use crate::plan::show::count;

/// How many times more or fewer rows than expected.
const OFF: f64 = 10.0;
/// Rows below which a wrong number does no harm.
const FEW_ROWS: f64 = 100.0;
/// Smallest share of the time that is worth a word.
const SHARE: f64 = 0.1;
/// Pairs that do not match below which nobody would notice.
const PAIRS: f64 = 10_000.0;

pub(super) fn misestimate(at: &At<'_>) -> Option<Finding> {
    if !is_misestimated(at.node) || at.share() <= SHARE {
        return None;
    }
    // The deepest wrong number is the cause of those above it.
    if below(at.node).any(is_misestimated) {
        return None;
    }
    let measured = at.node.measured?;
    let (expected, actual) = (at.node.estimate?.rows * measured.loops, measured.rows);
    if actual < expected && is_cut_short(at) {
        return None;
    }
    let table = at.node.table();
    at.finding(
        Rule::Misestimate,
        Confidence::High,
        vec![("Plan Rows", expected), ("Actual Rows", actual), ("Actual Loops", measured.loops)],
        format!(
            "{} rows where {} were expected: whatever is above was planned for another number",
            count(actual),
            count(expected)
        ),
        match table {
            Some(table) => format!(
                "analyze {table}; if the number stays wrong, extended statistics on the columns of the condition, or an \
                 index on the expression"
            ),
            None => "analyze the tables below; extended statistics where columns depend on each other".to_owned(),
        },
    )
}

fn is_misestimated(node: &Node) -> bool {
    let (Some(estimate), Some(measured)) = (node.estimate, node.measured) else { return false };
    if measured.loops == 0.0 {
        return false;
    }
    let (expected, actual) = (estimate.rows * measured.loops, measured.rows);
    if expected.max(actual) < FEW_ROWS {
        return false;
    }
    let ratio = actual.max(1.0) / expected.max(1.0);
    ratio >= OFF || ratio <= 1.0 / OFF
}

/// Whether somebody above stops asking for rows before they are all there.
fn is_cut_short(at: &At<'_>) -> bool {
    for above in at.above.iter().rev() {
        match above.kind.as_str() {
            "Limit" | "Nested Loop" | "Merge Join" => return true,
            "Sort" | "Hash" | "Aggregate" | "HashAggregate" | "Materialize" | "Bitmap Heap Scan" => return false,
            _ => {}
        }
    }
    false
}

fn below(node: &Node) -> impl Iterator<Item = &Node> {
    let mut open: Vec<&Node> = node.children.iter().collect();
    std::iter::from_fn(move || {
        let next = open.pop()?;
        open.extend(&next.children);
        Some(next)
    })
}

pub(super) fn nested_loop(at: &At<'_>) -> Option<Finding> {
    if at.node.kind != "Nested Loop" {
        return None;
    }
    let [outer, inner] = at.node.children.as_slice() else { return None };
    let (outside, inside) = (outer.measured?, inner.measured?);
    let total = at.plan.total_ms()?;
    let expected = outer.estimate?.rows * outside.loops;
    if inside.ms <= total / 2.0 || outside.rows < OFF * expected.max(1.0) {
        return None;
    }
    at.finding(
        Rule::NestedLoop,
        Confidence::High,
        vec![("Actual Loops", inside.loops), ("Plan Rows", expected), ("inner ms", inside.ms)],
        format!(
            "{} runs {} times instead of {}, and takes {:.0} of {:.0} ms",
            inner.label(),
            count(inside.loops),
            count(expected),
            inside.ms,
            total
        ),
        "what makes the number of outer rows right (analyze, extended statistics) lets the planner choose a hash join; an \
         index on the inner join column makes each run cheap"
            .to_owned(),
    )
}

pub(super) fn join_filter_waste(at: &At<'_>) -> Option<Finding> {
    let removed = at.counted("Rows Removed by Join Filter")?;
    let kept = at.node.measured?.rows;
    if removed < PAIRS || removed < OFF * kept.max(1.0) {
        return None;
    }
    let filter = at.node.text("Join Filter").unwrap_or("the join condition");
    at.finding(
        Rule::JoinFilterWaste,
        Confidence::High,
        vec![("Rows Removed by Join Filter", removed), ("Actual Rows", kept)],
        format!("{} pairs of rows are compared for {} that match {filter}", count(removed + kept), count(kept)),
        "a join condition that compares columns for equality, with equal types on both sides, can be hashed or looked up"
            .to_owned(),
    )
}

pub(super) fn workers_missing(at: &At<'_>) -> Option<Finding> {
    let planned = at.node.number("Workers Planned")?;
    let launched = at.node.number("Workers Launched")?;
    if launched >= planned {
        return None;
    }
    at.finding(
        Rule::WorkersMissing,
        Confidence::High,
        vec![("Workers Planned", planned), ("Workers Launched", launched)],
        format!("{} processes helped where {} were planned", count(launched), count(planned)),
        "raise max_parallel_workers, or ask for fewer at a time: others had them".to_owned(),
    )
}
