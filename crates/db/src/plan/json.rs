//! Plans as PostgreSQL writes them in JSON.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Estimate, Hints, Measured, Node, Plan, PlanError, time};
use crate::Dialect;

/// Reads a plan and works out where its time goes.
pub(super) fn read(text: &str) -> Result<Plan, PlanError> {
    let malformed = |reason: String| PlanError::Malformed { reason };
    let value: Value = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
    // One statement was explained, in a list of its own.
    let answer = match value {
        Value::Array(mut answers) if answers.len() == 1 => answers.remove(0),
        Value::Object(_) => value,
        _ => return Err(malformed("accepted is one plan".to_owned())),
    };
    let Value::Object(mut answer) = answer else { return Err(malformed("the plan is no object".to_owned())) };
    let Some(Value::Object(root)) = answer.remove("Plan") else {
        return Err(malformed("there is no \"Plan\"".to_owned()));
    };
    let number = |name: &str| answer.get(name).and_then(Value::as_f64);
    let jit_ms = answer.get("JIT").and_then(|jit| {
        let timing = jit.get("Timing")?;
        timing.get("Total").and_then(Value::as_f64)
    });
    let triggers = answer.get("Triggers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let triggers = triggers
        .iter()
        .filter_map(|trigger| {
            let name = trigger.get("Constraint Name").or_else(|| trigger.get("Trigger Name"))?.as_str()?;
            Some((name.to_owned(), trigger.get("Time").and_then(Value::as_f64)?))
        })
        .collect();
    let mut plan = Plan {
        dialect: Dialect::Postgres,
        root: node(root)?,
        planning_ms: number("Planning Time"),
        execution_ms: number("Execution Time"),
        jit_ms,
        triggers,
        table_rows: BTreeMap::new(),
        hints: Hints::default(),
    };
    time::attribute(&mut plan.root);
    Ok(plan)
}

fn node(mut details: Map<String, Value>) -> Result<Node, PlanError> {
    let Some(Value::String(kind)) = details.remove("Node Type") else {
        return Err(PlanError::Malformed { reason: "a node has no \"Node Type\"".to_owned() });
    };
    let children = match details.remove("Plans") {
        Some(Value::Array(plans)) => plans,
        _ => Vec::new(),
    };
    let children = children
        .into_iter()
        .map(|child| match child {
            Value::Object(child) => node(child),
            _ => Err(PlanError::Malformed { reason: "a child of a node is no object".to_owned() }),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let number = |name: &str| details.get(name).and_then(Value::as_f64);
    let estimate = number("Plan Rows").map(|rows| Estimate {
        startup_cost: number("Startup Cost").unwrap_or(0.0),
        total_cost: number("Total Cost").unwrap_or(0.0),
        rows,
        width: number("Plan Width").unwrap_or(0.0),
    });
    // Rows and times are averages of the runs.
    let measured = number("Actual Loops").map(|loops| Measured {
        loops,
        rows: number("Actual Rows").unwrap_or(0.0) * loops,
        ms: number("Actual Total Time").unwrap_or(0.0) * loops,
        self_ms: 0.0,
    });
    Ok(Node { kind, estimate, measured, details, children })
}
