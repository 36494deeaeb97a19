//! A clean-up for people: a table, and what follows from it.

use std::fmt::Write as _;
use std::path::Path;

use comfy_table::{CellAlignment, Table, TableStyle};
use tierkeep_learning::retention::{ARCHIVE, DELETE, INVALID, PURGE};
use tierkeep_learning::store::Cleanup;
use tierkeep_retention::{Ended, Outcome, Plan, Planned};

use super::instant;

/// The instants that count as old.
pub(super) fn cutoffs(cleanup: &Cleanup) -> String {
    let cutoffs = cleanup.cutoffs;
    let mut text = format!("present {}", cutoffs.now);
    for (phase, what, cutoff) in [
        (ARCHIVE, "archives sessions that began before", cutoffs.archive),
        (DELETE, "deletes what is from before", cutoffs.delete),
        (PURGE, "empties the quarantine of what came before", cutoffs.purge),
    ] {
        if cleanup.phases.contains(&phase) {
            // writing to a text cannot fail
            let _ = write!(text, "; {what} {cutoff}");
        }
    }
    text
}

/// What would be done.
pub(in crate::commands) fn plan(plan: &Plan, cleanup: &Cleanup, export: Option<&Path>, is_forced: bool) -> String {
    let mut table = table(["phase", "rule", "rows", "about", "batches", "with them", "oldest", "youngest", "such as"]);
    for planned in &plan.rules {
        let Planned { phase, rule, rows, bytes, batches, samples, .. } = planned;
        let [oldest, youngest] = ages(planned);
        let row = [
            phase.clone(),
            rule.clone(),
            rows.to_string(),
            bytes.filter(|_| *rows > 0).map(size).unwrap_or_default(),
            batches.to_string(),
            with_them(planned),
            oldest,
            youngest,
            samples.join(", "),
        ];
        table.add_row(row);
    }
    align_counts(&mut table, &[2, 3, 4]);
    let mut text = format!("{table}\n\n");
    for found in &plan.tables {
        let bytes = found.bytes.map(|bytes| format!(", {}", size(bytes))).unwrap_or_default();
        text.push_str(&format!("{} has {} rows{bytes}.\n", found.table, found.rows));
    }
    text.push_str(&format!("{}.\n", sentence(&cutoffs(cleanup))));
    let deletes =
        plan.rules.iter().any(|planned| [DELETE, PURGE].contains(&planned.phase.as_str()) && planned.rows > 0);
    if deletes {
        text.push_str(&match export {
            Some(directory) => format!("What is deleted is exported to {} before.\n", directory.display()),
            None => "What is deleted is not exported, and nothing brings it back.\n".to_owned(),
        });
    }
    for objection in &plan.objections {
        let verdict = if is_forced { "It is carried out all the same" } else { "A run would be refused" };
        text.push_str(&format!("{verdict}: {objection}.\n"));
    }
    text.push_str("This was a dry run: nothing was written.\n");
    text
}

/// What was done.
pub(super) fn outcome(outcome: &Outcome) -> String {
    let Outcome { run, plan, report, ended, reason, took } = outcome;
    let mut table = table(["phase", "rule", "rows", "planned", "with them", "oldest", "youngest"]);
    for planned in &plan.rules {
        let with: Vec<String> = report.dependants.get(&planned.rule).into_iter().flatten().map(of_table).collect();
        let [oldest, youngest] = ages(planned);
        let rows = report.rows(&planned.rule);
        let counts = [rows.to_string(), planned.rows.to_string()];
        let [done, expected] = counts;
        let row = [planned.phase.clone(), planned.rule.clone(), done, expected, with.join(", "), oldest, youngest];
        table.add_row(row);
    }
    align_counts(&mut table, &[2, 3]);
    let mut text = format!("{table}\n\n");
    let rows: u64 = report.rules.values().sum();
    let seconds = took.as_secs_f64();
    let verdict = match ended {
        Ended::Done => "is done".to_owned(),
        Ended::Refused => "was refused".to_owned(),
        Ended::Budget | Ended::Signal | Ended::Failed | Ended::Crashed => "stopped early".to_owned(),
    };
    text.push_str(&format!("Run {run} {verdict}: {rows} rows in {} batches, {seconds:.1} s.\n", report.batches));
    if let Some(reason) = reason {
        text.push_str(&format!("{}.\n", sentence(reason)));
    }
    for (rule, rows) in &report.repointed {
        text.push_str(&format!("{rows} rows were turned to the one that stays ({rule}).\n"));
    }
    for (rule, rows) in &report.left {
        text.push_str(&format!(
            "{rows} rows of {rule} were locked or changed by others; the next run meets them again.\n"
        ));
    }
    for file in &report.files {
        text.push_str(&format!("Exported to {file}.\n"));
    }
    for found in &report.tables {
        if let (Some(before), Some(after)) = (found.bytes_before, found.bytes_after) {
            text.push_str(&format!("{}: {} before, {} after.\n", found.subject, size(before), size(after)));
        }
    }
    for advice in &report.advice {
        text.push_str(&format!("{}.\n", sentence(advice)));
    }
    if matches!(ended, Ended::Budget | Ended::Signal | Ended::Failed | Ended::Crashed) {
        text.push_str("What was committed is complete. The same command goes on where this run ended.\n");
    }
    let can_be_undone = plan
        .rules
        .iter()
        .any(|planned| [INVALID, ARCHIVE].contains(&planned.phase.as_str()) && report.rows(&planned.rule) > 0);
    if can_be_undone {
        text.push_str(&format!("To undo what was archived or put into quarantine: tierkeep restore --run {run}\n"));
    }
    text
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(TableStyle::default());
    table.set_header(header);
    table
}

fn align_counts(table: &mut Table, columns: &[usize]) {
    for column in columns {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn ages(planned: &Planned) -> [String; 2] {
    match &planned.ages {
        Some((first, last)) if planned.rows > 0 => [instant(first), instant(last)],
        _ => [String::new(), String::new()],
    }
}

fn with_them(planned: &Planned) -> String {
    let with = planned.dependants.iter().filter(|(_, rows)| *rows > 0);
    with.map(|(table, rows)| of_table((table, rows))).collect::<Vec<_>>().join(", ")
}

fn of_table((table, rows): (&String, &u64)) -> String {
    format!("{rows} {table}")
}

/// With a capital letter, and without the stop that comes.
fn sentence(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Bytes for people: three digits.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn size(bytes: u64) -> String {
    let mut amount = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if amount < 1000.0 {
            let digits = usize::from(amount < 10.0 && unit != "B");
            return format!("{amount:.digits$} {unit}");
        }
        amount /= 1024.0;
    }
    format!("{amount:.1} TiB")
}

#[cfg(test)]
mod tests;
