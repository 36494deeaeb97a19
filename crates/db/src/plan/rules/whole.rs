//! Rules about the statement as a whole.

use super::{At, Confidence, Finding, Rule};
use crate::plan::show::count;

/// Largest share of the time for what is not the statement's own work.
const OVERHEAD: f64 = 0.2;
/// Milliseconds of planning below which nobody would notice.
const PLANNING_MS: f64 = 5.0;
/// Pages from outside below which nobody would notice.
const READ_PAGES: f64 = 100.0;
/// Pages from outside for each that was in memory.
const COLD: f64 = 2.0;

pub(super) fn jit_share(at: &At<'_>) -> Option<Finding> {
    let (jit, execution) = (at.plan.jit_ms?, at.plan.execution_ms?);
    if !at.is_root() || jit <= OVERHEAD * execution {
        return None;
    }
    at.finding(
        Rule::JitShare,
        Confidence::High,
        vec![("JIT ms", jit), ("Execution Time", execution)],
        format!("compiling takes {jit:.0} of {execution:.0} ms"),
        "set jit = off for this statement, or a higher jit_above_cost".to_owned(),
    )
}

pub(super) fn planning_share(at: &At<'_>) -> Option<Finding> {
    let (planning, execution) = (at.plan.planning_ms?, at.plan.execution_ms?);
    if !at.is_root() || planning <= execution || planning <= PLANNING_MS {
        return None;
    }
    at.finding(
        Rule::PlanningShare,
        Confidence::High,
        vec![("Planning Time", planning), ("Execution Time", execution)],
        format!("planning takes {planning:.1} ms, running {execution:.1} ms"),
        "prepare the statement once; fewer partitions or joins; lower statistics targets".to_owned(),
    )
}

pub(super) fn trigger_time(at: &At<'_>) -> Option<Finding> {
    let execution = at.plan.execution_ms?;
    let total: f64 = at.plan.triggers.iter().map(|(_, ms)| ms).sum();
    if !at.is_root() || total <= OVERHEAD * execution {
        return None;
    }
    let (slowest, _) = at.plan.triggers.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    at.finding(
        Rule::TriggerTime,
        Confidence::High,
        vec![("trigger ms", total), ("Execution Time", execution)],
        format!("triggers take {total:.0} of {execution:.0} ms, {slowest} the most"),
        "if it is a foreign key, an index on the referring columns of the child table".to_owned(),
    )
}

pub(super) fn cold_cache(at: &At<'_>) -> Option<Finding> {
    let (hit, read) = (at.node.number("Shared Hit Blocks")?, at.node.number("Shared Read Blocks")?);
    if !at.is_root() || read < READ_PAGES || read < COLD * hit {
        return None;
    }
    at.finding(
        Rule::ColdCache,
        Confidence::Medium,
        vec![("Shared Read Blocks", read), ("Shared Hit Blocks", hit)],
        format!("{} of {} pages were not in the server's memory", count(read), count(read + hit)),
        "run it again before drawing conclusions: the second run differs".to_owned(),
    )
}
