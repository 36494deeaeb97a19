//! A plan as people read it.

use std::fmt;

use super::{Node, Plan};

impl fmt::Display for Plan {
    /// A tree, one line per node: what it does, rows against expected rows, its own time and its share of the whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total_ms();
        write_node(f, &self.root, "", "", total)?;
        if let Some(ms) = self.planning_ms {
            writeln!(f, "planning {ms:.3} ms")?;
        }
        if let Some(ms) = self.execution_ms {
            writeln!(f, "execution {ms:.3} ms")?;
        }
        Ok(())
    }
}

fn write_node(f: &mut fmt::Formatter<'_>, node: &Node, lead: &str, below: &str, total: Option<f64>) -> fmt::Result {
    write!(f, "{lead}{}", node.label())?;
    match (&node.measured, &node.estimate) {
        (Some(measured), _) if measured.loops == 0.0 => write!(f, "  never run")?,
        (Some(measured), estimate) => {
            write!(f, "  rows {}", count(measured.rows))?;
            if let Some(estimate) = estimate {
                write!(f, " (expected {})", count(estimate.rows * measured.loops))?;
            }
            if measured.loops > 1.0 {
                write!(f, ", {} runs", count(measured.loops))?;
            }
            write!(f, ", own {:.3} ms", measured.self_ms)?;
            if let Some(total) = total.filter(|total| *total > 0.0) {
                write!(f, " {:.0}%", measured.self_ms / total * 100.0)?;
            }
        }
        (None, Some(estimate)) => {
            write!(f, "  expected rows {}, cost {:.2}", count(estimate.rows), estimate.total_cost)?;
        }
        (None, None) => {}
    }
    for condition in ["Index Cond", "Recheck Cond", "Hash Cond", "Merge Cond", "Join Filter", "Filter"] {
        if let Some(text) = node.text(condition) {
            write!(f, "\n{below}    {condition}: {text}")?;
        }
    }
    writeln!(f)?;
    for (number, child) in node.children.iter().enumerate() {
        let is_last = number + 1 == node.children.len();
        let (branch, line) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        write_node(f, child, &format!("{below}{branch}"), &format!("{below}{line}"), total)?;
    }
    Ok(())
}

/// A number of rows without digits that nobody needs.
pub(super) fn count(number: f64) -> String {
    if number.fract() == 0.0 || number >= 100.0 { format!("{number:.0}") } else { format!("{number:.1}") }
}
