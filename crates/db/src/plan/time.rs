//! Whose time it is.
//!
//! A node's time holds that of what is below it, with three exceptions. Processes that work side by side report the sum of
//! their times. A `with` query hangs below the node that declares it, while its time is in that of whoever reads it. And a
//! subquery that is computed once hangs below the top of its query, while its time is in that of whoever needs it first.

use std::collections::HashMap;

use super::{Node, Plan};

/// Turns the sums of parallel processes into time as a clock sees it, and takes from each node what is not its own.
pub(super) fn attribute(root: &mut Node) {
    wall(root, 1.0);
    let mut borrowed = Borrowed::default();
    lend(root, &mut Vec::new(), &mut borrowed);
    own(root, &mut Vec::new(), &borrowed);
}

/// `processes` ran this node side by side.
fn wall(node: &mut Node, processes: f64) {
    if let Some(measured) = &mut node.measured {
        // A node that ran less often than there are processes ran in so many of them.
        measured.ms /= processes.min(measured.loops.max(1.0));
    }
    let launched = node.number("Workers Launched");
    let below = match (node.kind.as_str(), launched) {
        ("Gather" | "Gather Merge", Some(launched)) => {
            // The leader works, too, unless it is told not to; then nothing says so, and its share is nothing.
            processes * (launched + 1.0)
        }
        _ => processes,
    };
    for child in &mut node.children {
        wall(child, below);
    }
}

/// Time of parts that hang elsewhere than where they are waited for, by the path of who waits.
#[derive(Default)]
struct Borrowed {
    by: HashMap<Vec<usize>, f64>,
}

/// Finds who waits for each `with` query and each subquery that is computed once.
fn lend(node: &Node, path: &mut Vec<usize>, borrowed: &mut Borrowed) {
    for (number, child) in node.children.iter().enumerate() {
        if is_apart(child) {
            let mut left = child.measured.map_or(0.0, |measured| measured.ms);
            let mut readers = Vec::new();
            for (other_number, other) in node.children.iter().enumerate().filter(|(other, _)| *other != number) {
                path.push(other_number);
                find_readers(other, child, path, &mut readers);
                path.pop();
            }
            for (reader, ms) in readers {
                let share = left.min(ms);
                left -= share;
                *borrowed.by.entry(reader).or_default() += share;
            }
            if left > 0.0 {
                *borrowed.by.entry(path.clone()).or_default() += left;
            }
        }
        path.push(number);
        lend(child, path, borrowed);
        path.pop();
    }
}

fn is_apart(child: &Node) -> bool {
    child.text("Parent Relationship") == Some("InitPlan")
}

/// Nodes that read a `with` query, or name the result of a subquery, with their own share of time.
fn find_readers(node: &Node, part: &Node, path: &mut Vec<usize>, readers: &mut Vec<(Vec<usize>, f64)>) {
    let name = part.text("Subplan Name").unwrap_or_default();
    let reads = match name.strip_prefix("CTE ") {
        Some(cte) => node.text("CTE Name") == Some(cte),
        None => {
            // `InitPlan 1 (returns $0)` until version 16, `InitPlan 1` since.
            let parameter = name.split_once("(returns ").map(|(_, returns)| returns.trim_end_matches(')'));
            let needle = parameter.unwrap_or(name);
            !needle.is_empty()
                && node.details.iter().any(|(key, value)| {
                    key != "Subplan Name" && value.as_str().is_some_and(|text| mentions(text, needle))
                })
        }
    };
    if reads {
        let below: f64 = node.children.iter().map(|child| child.measured.map_or(0.0, |measured| measured.ms)).sum();
        readers.push((path.clone(), (node.measured.map_or(0.0, |measured| measured.ms) - below).max(0.0)));
    }
    for (number, child) in node.children.iter().enumerate() {
        path.push(number);
        find_readers(child, part, path, readers);
        path.pop();
    }
}

/// Whether a text names `$1` and not only `$10`.
fn mentions(text: &str, needle: &str) -> bool {
    text.match_indices(needle).any(|(at, found)| !text[at + found.len()..].starts_with(|c: char| c.is_ascii_digit()))
}

fn own(node: &mut Node, path: &mut Vec<usize>, borrowed: &Borrowed) {
    let below: f64 = node
        .children
        .iter()
        .filter(|child| !is_apart(child))
        .map(|child| child.measured.map_or(0.0, |measured| measured.ms))
        .sum();
    if let Some(measured) = &mut node.measured {
        let elsewhere = borrowed.by.get(path.as_slice()).copied().unwrap_or(0.0);
        measured.self_ms = (measured.ms - below - elsewhere).max(0.0);
    }
    for (number, child) in node.children.iter_mut().enumerate() {
        path.push(number);
        own(child, path, borrowed);
        path.pop();
    }
}

impl Plan {
    /// The nodes with the most time of their own, the largest first, with their share of the whole from 0 to 1. Empty if
    /// nothing was measured.
    #[must_use]
    pub fn hottest(&self) -> Vec<(Vec<usize>, &Node, f64)> {
        let Some(total) = self.total_ms().filter(|total| *total > 0.0) else { return Vec::new() };
        let mut nodes: Vec<_> = self
            .nodes()
            .into_iter()
            .filter_map(|(path, node)| Some((path, node, node.measured?.self_ms / total)))
            .collect();
        nodes.sort_by(|a, b| b.2.total_cmp(&a.2).then_with(|| a.0.cmp(&b.0)));
        nodes
    }
}
