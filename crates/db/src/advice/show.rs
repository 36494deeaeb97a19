//! Advice as people read it.

use std::fmt;

use super::{Advice, Method, Omission, OmissionReason, RedundantReason, Unit};

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Cost => "",
            Unit::Milliseconds => " ms",
        };
        writeln!(f, "{} candidates, {}", self.candidates, self.method)?;
        writeln!(f, "cost of the workload {:.0}{unit}, with these indexes {:.0}{unit}", self.before, self.after)?;
        if self.suggestions.is_empty() {
            writeln!(f, "no index is missing among what was looked at")?;
        }
        for (number, suggestion) in self.suggestions.iter().enumerate() {
            writeln!(f, "\n{}. {};", number + 1, suggestion.statement)?;
            writeln!(
                f,
                "   saves {:.0}{unit}, costs writes {:.0}{unit}, {}, pays for itself from {:.1} calls for each 1000 rows \
                 written",
                suggestion.saves,
                suggestion.upkeep,
                size(suggestion.bytes),
                suggestion.pays_from_calls
            )?;
            for gain in &suggestion.gains {
                let sql = one_line(&gain.sql);
                writeln!(f, "   {:>12.2} → {:>10.2}{unit}  {:>8.0} calls  {sql}", gain.before, gain.after, gain.calls)?;
            }
        }
        if !self.redundant.is_empty() {
            writeln!(f, "\nto drop")?;
        }
        for redundant in &self.redundant {
            writeln!(f, "   {};  -- {} ({})", redundant.statement, redundant.reason, size(redundant.bytes))?;
        }
        if !self.omissions.is_empty() {
            writeln!(f, "\nnot looked at")?;
        }
        for omission in &self.omissions {
            writeln!(f, "   {omission}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hypothetical => "costs by the planner with hypothetical indexes",
            Self::Statistics => "costs by a model from statistics (HypoPG is not installed in this database)",
            Self::Clone => "costs by the planner on an empty copy",
        })
    }
}

impl fmt::Display for RedundantReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate { of } => write!(f, "the same as {of}"),
            Self::Prefix { of } => write!(f, "{of} begins with its keys"),
            Self::Unused => f.write_str("never scanned since statistics were reset"),
            Self::Invalid => f.write_str("its creation failed, it serves nobody"),
        }
    }
}

impl fmt::Display for Omission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", one_line(&self.what), self.reason)
    }
}

impl fmt::Display for OmissionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUnderstood { message } => f.write_str(message),
            Self::Utility => f.write_str("neither reads nor writes rows"),
            Self::Unreadable { error } => write!(f, "{error}"),
            Self::NotPlanned { message } => write!(f, "the planner refuses it: {message}"),
            Self::SmallTable { rows } => write!(f, "{rows:.0} rows are too few for an index"),
            Self::NoStatistics => f.write_str("there are no statistics; analyze it"),
            Self::Partitioned => f.write_str("its partitions have indexes of their own; ask about those"),
            Self::NoTrigrams { column, command } => {
                write!(f, "texts in {column} are searched, for which the extension pg_trgm has an index: {command}")
            }
            Self::NotPermitted => f.write_str("this role may not read it, so its statistics are hidden"),
        }
    }
}

/// A statement in one line, cut where it gets long.
fn one_line(sql: &str) -> String {
    const LONGEST: usize = 100;
    let line = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((at, _)) => [&line[..at], "…"].concat(),
        None => line,
    }
}

fn size(bytes: u64) -> String {
    let kib = bytes as f64 / 1024.0;
    if kib < 1024.0 { format!("{kib:.0} KiB") } else { format!("{:.1} MiB", kib / 1024.0) }
}
