//! The table of rules, and what a finding is.

use std::fmt;

use serde::Serialize;

use super::{Node, Plan};
use crate::Dialect;

mod joins;
mod memory;
mod scans;
mod sqlite;
mod whole;

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Rule {
    /// Most rows that are read are thrown away.
    FilterWaste,
    /// A large table is read whole for few rows.
    SequentialScan,
    /// A condition that pages by key cannot be served by an index.
    OrKeyset,
    /// There are far more or fewer rows than the planner expected.
    Misestimate,
    /// A loop runs far more often than was expected.
    NestedLoop,
    /// Most pairs of rows that a join looks at do not match.
    JoinFilterWaste,
    /// A sort does not fit into memory.
    SortSpill,
    /// A hash table does not fit into memory.
    HashSpill,
    /// An index alone does not suffice, since the table was not vacuumed.
    HeapFetches,
    /// A bitmap does not fit into memory.
    LossyBitmap,
    /// Compiling takes much of the time.
    JitShare,
    /// Planning takes longer than running.
    PlanningShare,
    /// Triggers take much of the time.
    TriggerTime,
    /// Fewer processes helped than were planned.
    WorkersMissing,
    /// Most pages were not in memory.
    ColdCache,
    /// Rows are read in order to be skipped.
    DeepOffset,
    /// Rows are sorted that an index could give in order. SQLite.
    SortStep,
    /// An index is made for one statement and thrown away. SQLite.
    AutomaticIndex,
    /// A subquery reads a table once for each row. SQLite.
    CorrelatedScan,
}

/// How sure a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// It depends on things that the plan does not say.
    Low,
    /// It follows from what the planner expects.
    Medium,
    /// It was measured.
    High,
}

/// One thing that a plan shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Which rule.
    pub rule: Rule,
    /// The node, as the numbers of the children to take from the root.
    pub path: Vec<usize>,
    /// What the node is.
    pub node: String,
    /// What was compared, by the names that servers use for it.
    pub numbers: Vec<(&'static str, f64)>,
    /// What follows.
    pub consequence: String,
    /// What helps.
    pub remedy: String,
    /// How sure that is.
    pub confidence: Confidence,
}

/// A node where it stands.
pub(super) struct At<'a> {
    pub(super) plan: &'a Plan,
    pub(super) node: &'a Node,
    pub(super) path: &'a [usize],
    /// From the root to the parent.
    pub(super) above: &'a [&'a Node],
}

/// A rule looks at one node.
type Check = fn(&At<'_>) -> Option<Finding>;

/// In the order in which findings of one node are listed.
const POSTGRES: [Check; 16] = [
    scans::filter_waste,
    scans::sequential_scan,
    scans::or_keyset,
    joins::misestimate,
    joins::nested_loop,
    joins::join_filter_waste,
    memory::sort_spill,
    memory::hash_spill,
    scans::heap_fetches,
    memory::lossy_bitmap,
    whole::jit_share,
    whole::planning_share,
    whole::trigger_time,
    joins::workers_missing,
    whole::cold_cache,
    scans::deep_offset,
];

const SQLITE: [Check; 6] = [
    sqlite::full_scan,
    sqlite::sort_step,
    sqlite::automatic_index,
    sqlite::correlated_scan,
    sqlite::or_keyset,
    sqlite::deep_offset,
];

pub(super) fn findings(plan: &Plan) -> Vec<Finding> {
    let checks: &[Check] = match plan.dialect {
        Dialect::Postgres => &POSTGRES,
        Dialect::Sqlite => &SQLITE,
    };
    let mut findings = Vec::new();
    visit(plan, &plan.root, &mut Vec::new(), &mut Vec::new(), checks, &mut findings);
    findings
}

fn visit<'a>(
    plan: &'a Plan,
    node: &'a Node,
    path: &mut Vec<usize>,
    above: &mut Vec<&'a Node>,
    checks: &[Check],
    findings: &mut Vec<Finding>,
) {
    let at = At { plan, node, path, above };
    findings.extend(checks.iter().filter_map(|check| check(&at)));
    above.push(node);
    for (number, child) in node.children.iter().enumerate() {
        path.push(number);
        visit(plan, child, path, above, checks, findings);
        path.pop();
    }
    above.pop();
}

impl At<'_> {
    fn finding(
        &self,
        rule: Rule,
        confidence: Confidence,
        numbers: Vec<(&'static str, f64)>,
        consequence: String,
        remedy: String,
    ) -> Option<Finding> {
        let (path, node) = (self.path.to_vec(), self.node.label());
        Some(Finding { rule, path, node, numbers, consequence, remedy, confidence })
    }

    /// A counter of all runs together; the server says the average of one.
    fn counted(&self, name: &str) -> Option<f64> {
        Some(self.node.number(name)? * self.node.measured?.loops)
    }

    /// Share of the whole time that this node takes with what is below it.
    fn share(&self) -> f64 {
        match (self.node.measured, self.plan.total_ms()) {
            (Some(measured), Some(total)) if total > 0.0 => measured.ms / total,
            _ => 0.0,
        }
    }

    /// Whether this is the last node.
    fn is_root(&self) -> bool {
        self.path.is_empty()
    }
}

impl Rule {
    /// Its name in machine output.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::FilterWaste => "filter-waste",
            Self::SequentialScan => "sequential-scan",
            Self::OrKeyset => "or-keyset",
            Self::Misestimate => "misestimate",
            Self::NestedLoop => "nested-loop",
            Self::JoinFilterWaste => "join-filter-waste",
            Self::SortSpill => "sort-spill",
            Self::HashSpill => "hash-spill",
            Self::HeapFetches => "heap-fetches",
            Self::LossyBitmap => "lossy-bitmap",
            Self::JitShare => "jit-share",
            Self::PlanningShare => "planning-share",
            Self::TriggerTime => "trigger-time",
            Self::WorkersMissing => "workers-missing",
            Self::ColdCache => "cold-cache",
            Self::DeepOffset => "deep-offset",
            Self::SortStep => "sort-step",
            Self::AutomaticIndex => "automatic-index",
            Self::CorrelatedScan => "correlated-scan",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path: Vec<String> = self.path.iter().map(ToString::to_string).collect();
        writeln!(f, "{} at /{} {} (confidence {})", self.rule, path.join("/"), self.node, self.confidence)?;
        let numbers: Vec<String> =
            self.numbers.iter().map(|(name, number)| format!("{name} {}", super::show::count(*number))).collect();
        if !numbers.is_empty() {
            writeln!(f, "  {}", numbers.join(", "))?;
        }
        write!(f, "  {}\n  {}", self.consequence, self.remedy)
    }
}
