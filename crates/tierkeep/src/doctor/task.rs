//! What is worth doing, and how much.

use std::cmp::Ordering;

use serde::Serialize;
use tierkeep_db::Dialect;
use tierkeep_db::query::{Kind, Query};
use tierkeep_db::statistics::{Bytes, Estimate, Examined, IndexFinding, Shortcoming, SlowQueries, TableStatistics};
use tierkeep_learning::store::OwnIndex;
use utoipa::ToSchema;

use super::{Examination, first_word, is_about_rows};

/// Rows below which nobody notices that a table was never analysed.
const FEW_ROWS: u64 = 500;
/// Share of rows that are dead from which on a table should be vacuumed, and how many that must be.
const DEAD_SHARE: f64 = 0.2;
const DEAD_ROWS: u64 = 10_000;
/// Characters of a statement that is shown beside a command that is not about it alone.
const MOST_CHARS: usize = 120;

/// Something worth doing.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Task {
    /// What kind of thing it is.
    pub(crate) urgency: Urgency,
    /// What is the matter.
    pub(crate) what: String,
    /// The command or statement that does something about it.
    pub(crate) command: String,
    /// Among those of one kind, how much it matters; of each kind in its own unit.
    #[serde(skip)]
    pub(crate) weight: f64,
}

/// What kinds of things are worth doing, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Urgency {
    /// It costs and gives nothing, or something that others rest on is not there.
    Broken,
    /// An index would pay for itself.
    MissingIndex,
    /// A statement keeps people waiting.
    SlowQuery,
    /// The planner, or the disk, is kept in the dark.
    Upkeep,
    /// Space, and time of writes.
    Waste,
    /// Something could not be looked at.
    Blind,
}

impl Urgency {
    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::MissingIndex => "missing index",
            Self::SlowQuery => "slow query",
            Self::Upkeep => "upkeep",
            Self::Waste => "waste",
            Self::Blind => "not examined",
        }
    }
}

impl Examination {
    /// Everything worth doing, the most urgent first, in an order that does not depend on chance.
    pub(crate) fn tasks(&self) -> Vec<Task> {
        let mut tasks: Vec<Task> = self.missing().map(|index| missing(index, self.dialect)).collect();
        tasks.extend(self.findings().iter().map(shortcoming));
        tasks.extend(self.advice.iter().flat_map(|advice| advice.suggestions.iter()).map(|suggestion| Task {
            urgency: Urgency::MissingIndex,
            what: format!(
                "an index on {} would help {} of the statements that take most of the time",
                suggestion.index.table,
                suggestion.gains.len()
            ),
            command: suggestion.statement.clone(),
            weight: suggestion.saves,
        }));
        tasks.extend(self.slow());
        let tables = self.tables.found().map_or(&[][..], Vec::as_slice);
        match self.dialect {
            Dialect::Postgres => tasks.extend(tables.iter().filter_map(upkeep)),
            Dialect::Sqlite => tasks.extend(never_analysed(tables)),
        }
        tasks.extend(blind(&self.statements, "which statements are slow is not known"));
        tasks.extend(blind(&self.tables, "how the tables are is not known"));
        tasks.sort_by(order);
        tasks
    }

    fn slow(&self) -> Vec<Task> {
        let Some(snapshot) = self.statements.found() else { return Vec::new() };
        let period = snapshot.whole();
        let slow = period.slowest(SlowQueries::default()).into_iter().filter_map(|query| {
            let command = remedy(self.dialect, &query.text)?;
            let told = format!("a statement takes {:.0} ms, and was run {} times", query.mean_ms(), query.calls);
            // a command that is not about this statement alone does not show it
            let what = match command.as_str() {
                INDEXES | ADVISE | LIST => format!("{told}: {}", cut(&query.text)),
                _ => told,
            };
            Some(Task { urgency: Urgency::SlowQuery, what, command, weight: query.total_ms() })
        });
        slow.collect()
    }
}

/// What an insert pays for: each index.
const INDEXES: &str = "tierkeep doctor indexes";
/// What finds rows to change, and what each change costs.
const ADVISE: &str = "tierkeep doctor advise";
/// What shows a statement as a whole.
const LIST: &str = "tierkeep doctor slow-queries";

/// The command that looks into a statement; `None` where no command does, as with `commit` or `analyze`. `explain` takes a
/// `select` that it understands, and no text that was cut.
fn remedy(dialect: Dialect, text: &str) -> Option<String> {
    let Ok(query) = Query::parse(dialect, text) else {
        return is_about_rows(text).then(|| LIST.to_owned());
    };
    match query.kind() {
        Kind::Select => Some(format!("tierkeep doctor explain {}", quoted(query.sql()))),
        Kind::Write if matches!(first_word(query.sql()).as_str(), "insert" | "replace") => Some(INDEXES.to_owned()),
        Kind::Write => Some(ADVISE.to_owned()),
        Kind::Utility => None,
    }
}

/// The beginning of a statement in one line.
fn cut(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn order(a: &Task, b: &Task) -> Ordering {
    a.urgency.cmp(&b.urgency).then(b.weight.total_cmp(&a.weight)).then_with(|| a.what.cmp(&b.what))
}

fn missing(index: &OwnIndex, dialect: Dialect) -> Task {
    let command = match dialect {
        // writers are not kept waiting
        Dialect::Postgres => index.statement.replacen("index ", "index concurrently ", 1),
        Dialect::Sqlite => index.statement.clone(),
    };
    Task {
        urgency: Urgency::Broken,
        what: format!("{} on {} is not there, which Tierkeep has made and relies on", index.name, index.table),
        command,
        weight: f64::INFINITY,
    }
}

fn shortcoming(finding: &IndexFinding) -> Task {
    let urgency = match &finding.shortcoming {
        Shortcoming::Invalid { .. } => Urgency::Broken,
        Shortcoming::ForeignKeyWithoutIndex { .. } => Urgency::MissingIndex,
        _ => Urgency::Waste,
    };
    let told = finding.to_string();
    // the command stands for itself
    let what = told.replacen(&format!(": {}", finding.command), "", 1);
    Task {
        urgency,
        what,
        command: finding.command.clone(),
        weight: finding.frees.map_or(0.0, |Bytes(bytes)| bytes as f64),
    }
}

fn rows(rows: &Examined<Estimate>) -> u64 {
    rows.found().map_or(0, |rows| rows.0)
}

fn is_unknown(table: &TableStatistics) -> bool {
    table.upkeep.is_never_analysed && rows(&table.live) >= FEW_ROWS
}

/// One task for all tables of a file: a single `analyze` looks at them in a moment.
fn never_analysed(tables: &[TableStatistics]) -> Option<Task> {
    let unknown: Vec<&TableStatistics> = tables.iter().filter(|table| is_unknown(table)).collect();
    let largest = unknown.iter().max_by_key(|table| rows(&table.live))?;
    let live = rows(&largest.live);
    let others = match unknown.len() - 1 {
        0 => String::new(),
        1 => " and 1 other table".to_owned(),
        others => format!(" and {others} other tables"),
    };
    Some(Task {
        urgency: Urgency::Upkeep,
        what: format!("{} with {live} rows{others}: never analysed, so the planner guesses", largest.table),
        command: "pragma analysis_limit = 1000; analyze".to_owned(),
        weight: live as f64,
    })
}

fn upkeep(table: &TableStatistics) -> Option<Task> {
    let (live, dead) = (rows(&table.live), rows(&table.dead));
    let name = table.table.quoted();
    if dead >= DEAD_ROWS && table.dead_share().is_some_and(|share| share >= DEAD_SHARE) {
        return Some(Task {
            urgency: Urgency::Upkeep,
            what: format!(
                "{}: {:.0} % of the rows are dead",
                table.table,
                table.dead_share().unwrap_or_default() * 100.0
            ),
            command: format!("vacuum (analyze) {name}"),
            weight: dead as f64,
        });
    }
    is_unknown(table).then(|| Task {
        urgency: Urgency::Upkeep,
        what: format!("{} was never analysed: the planner guesses", table.table),
        command: format!("analyze {name}"),
        weight: live as f64,
    })
}

fn blind<T>(examined: &Examined<T>, what: &str) -> Option<Task> {
    let (why, command) = match examined {
        Examined::NotPermitted { needs, command } => (format!("needs {needs}"), command.clone()),
        Examined::NotExamined { why, command: Some(command) } => (why.clone(), command.clone()),
        // nothing can be done about the others
        Examined::NotExamined { command: None, .. } | Examined::Found(_) => return None,
    };
    Some(Task { urgency: Urgency::Blind, what: format!("{what}: {why}"), command, weight: 0.0 })
}

/// As one word of a shell, in one line if that does not change what it says.
fn quoted(text: &str) -> String {
    // a comment may end with its line, and what is in dollars or behind a backslash is not read here
    let is_plain = !["--", "/*", "$$", "\\"].iter().any(|mark| text.contains(mark));
    let line = if is_plain { one_line(text) } else { text.to_owned() };
    format!("'{}'", line.replace('\'', "'\\''"))
}

/// Single spaces for blanks that are not within quotes.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    let mut open = None;
    for letter in text.trim().chars() {
        match open {
            Some(quote) if quote == letter => open = None,
            None if matches!(letter, '\'' | '"' | '`') => open = Some(letter),
            _ => {}
        }
        if open.is_some() || !letter.is_whitespace() {
            line.push(letter);
        } else if !line.ends_with(' ') {
            line.push(' ');
        }
    }
    line
}

#[cfg(test)]
mod tests;
