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

/// Asks for the plan of what [`prepare`] prepared, with a value for each parameter; `None` is a null.
pub(crate) fn explain_prepared(is_analyzed: bool, values: &[Option<String>]) -> String {
    let values: Vec<String> =
        values.iter().map(|value| value.as_deref().map_or_else(|| "null".to_owned(), quoted)).collect();
    let values = if values.is_empty() { String::new() } else { format!("({})", values.join(", ")) };
    let measured = if is_analyzed { "analyze, buffers, " } else { "" };
    format!("explain ({measured}verbose, settings, format json) execute {PREPARED}{values}")
}

/// A text whose type the server finds out; whatever is in it, it ends where it ends.
fn quoted(text: &str) -> String {
    format!(" E'{}'", text.replace('\\', "\\\\").replace('\'', "''").replace('\0', ""))
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
