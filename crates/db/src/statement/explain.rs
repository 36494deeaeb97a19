//! Statements that ask for plans. The text inside was parsed as one statement before.

use super::Ident;

/// The name of the prepared statement whose plan is asked for; taken back when the answer is there.
pub(crate) const PREPARED: &str = "tierkeep_explained";

/// Prepares a statement for [`explain_prepared`].
///
/// `prepare` takes one statement that reads or writes rows and nothing else, whatever its text says.
pub(crate) fn prepare(statement: &str) -> String {
    // On a line of its own, so that a comment at its end hides nothing of ours.
    format!("prepare {PREPARED} as {statement}\n")
}

/// Asks for the plan of what [`prepare`] prepared, with a null for each parameter.
pub(crate) fn explain_prepared(is_analyzed: bool, parameters: u16) -> String {
    let nulls = vec!["null"; usize::from(parameters)].join(", ");
    let values = if nulls.is_empty() { nulls } else { format!("({nulls})") };
    let measured = if is_analyzed { "analyze, buffers, " } else { "" };
    format!("explain ({measured}verbose, settings, format json) execute {PREPARED}{values}")
}

/// Takes the prepared statement back.
pub(crate) fn deallocate() -> String {
    format!("deallocate {PREPARED}")
}

/// Asks SQLite for a plan.
pub(crate) fn explain_query_plan(statement: &str) -> String {
    format!("explain query plan {statement}")
}

/// Asks SQLite how many rows a table had at most, by its highest row number.
pub(crate) fn highest_rowid(table: &Ident) -> String {
    format!("select max(rowid) from {}", table.quoted())
}
