//! The statement that shows the program of another one.

/// On SQLite, what lists the program of a statement instead of running it. The statement is the caller's own, and was
/// compiled before: its text is not checked here.
pub(crate) fn opcodes_of(statement: &str) -> String {
    format!("explain {statement}")
}
