//! What must not stand in an SQL file.

use super::dialects::is_migration;
use super::{Finding, SourceFile, line_of, words};

/// Files of the learning crate that may read sessions row by row: the summary queries, what becomes the
/// base of a day, what waits for retention, who studied lately, and the pages that list rows. Every other number comes from day
/// summaries, or it would not survive rows that leave for the archive.
const SESSION_READERS: [&str; 9] = [
    "active_learners",
    "backlog",
    "session_rows",
    "platform_rows",
    "global_pass",
    "global_recent",
    "aging_facts",
    "sessions_first_page",
    "sessions_next_page",
];

/// Imports write sessions and look up those they replace.
const IMPORT_PREFIX: &str = "import_";

/// Erasure removes and counts a learner's rows, export hands them out.
const WHOLE_LEARNER_PREFIXES: [&str; 2] = ["erase_", "export_"];

/// Writes for the API look up the one row they are about.
const WRITE_PREFIX: &str = "write_";

/// The folder of the statements that `copy` rows in.
const COPY_FOLDER: &str = "/sql/copy/";

/// Words that may stand between `create` and `view`.
const VIEW_WORDS: [&str; 6] = ["or", "replace", "temp", "temporary", "materialized", "recursive"];

/// SQL that the design rules out: offsets, notifications by writers, views, references between tables,
/// statistics read from sessions.
pub fn refused(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".sql")) {
        let sql = without_comments(&file.text);
        let mut refuse = |offsets: Vec<usize>, message: &str| {
            findings.extend(offsets.into_iter().map(|at| Finding::new(file, line_of(&sql, at), message)));
        };
        refuse(words(&sql, "offset").collect(), "OFFSET reads what it skips; accepted: a condition on the last key");
        refuse(
            views(&sql),
            "a view blocks migrations of the tables it reads; accepted: a `with` prefix made from the mapping",
        );
        if is_migration(&file.path) || words(&sql, "trigger").next().is_some() {
            let notifications = words(&sql, "notify").chain(words(&sql, "pg_notify")).collect();
            refuse(notifications, "a writer that notifies commits 18 times slower; accepted: NOTIFY from the relay");
        }
        if is_migration(&file.path) {
            refuse(
                words(&sql, "references").collect(),
                "a foreign key trips a platform's migrations; accepted: the key alone, checked by `verify`",
            );
            refuse(checks(&sql), "a CHECK trips a platform's migrations; accepted: types that refuse the value");
        }
        if file.path.starts_with("crates/learning/src/") && !may_read_sessions(file) {
            refuse(
                words(&sql, "study_sessions").collect(),
                &format!(
                    "statistics come from day summaries; accepted in: {}, {IMPORT_PREFIX}*, {WRITE_PREFIX}*",
                    SESSION_READERS.join(", ")
                ),
            );
        }
    }
    findings
}

fn may_read_sessions(file: &SourceFile) -> bool {
    is_migration(&file.path)
        || file.path.contains(COPY_FOLDER)
        || file.stem().starts_with(IMPORT_PREFIX)
        || WHOLE_LEARNER_PREFIXES.iter().any(|prefix| file.stem().starts_with(prefix))
        || file.stem().starts_with(WRITE_PREFIX)
        || SESSION_READERS.contains(&file.stem())
}

/// Offsets of `create … view`.
fn views(sql: &str) -> Vec<usize> {
    let creates_view = |&at: &usize| {
        sql[at..]
            .split_whitespace()
            .skip(1)
            .find(|word| !VIEW_WORDS.iter().any(|skipped| word.eq_ignore_ascii_case(skipped)))
            .is_some_and(|word| word.eq_ignore_ascii_case("view"))
    };
    words(sql, "create").filter(creates_view).collect()
}

/// Offsets of `check (`.
fn checks(sql: &str) -> Vec<usize> {
    words(sql, "check").filter(|at| sql[at + "check".len()..].trim_start().starts_with('(')).collect()
}

/// The text with `--` and `/* */` comments blanked, byte for byte. Two dashes in a string count as a
/// comment, too: no statement of ours has them.
fn without_comments(sql: &str) -> String {
    let mut clean = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(at) = rest.find("--").into_iter().chain(rest.find("/*")).min() {
        let (before, comment) = rest.split_at(at);
        let length = if comment.starts_with("--") {
            comment.find('\n').unwrap_or(comment.len())
        } else {
            comment.find("*/").map_or(comment.len(), |end| end + 2)
        };
        clean.push_str(before);
        clean.extend(comment[..length].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
        rest = &comment[length..];
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, sql: &str) -> Vec<usize> {
        refused(&[SourceFile::new(path, sql)]).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn offset_is_found() {
        assert_eq!(lines("a.sql", "select 1\nlimit 5 OFFSET 10"), [2]);
        assert_eq!(lines("a.sql", "select utc_offset -- no offset"), [] as [usize; 0]);
    }

    #[test]
    fn view_is_found_in_every_spelling() {
        for sql in ["create view v", "CREATE OR REPLACE VIEW v", "create\nmaterialized view v", "create temp view v"] {
            assert_eq!(lines("a.sql", sql), [1], "{sql}");
        }
        assert_eq!(lines("a.sql", "create table view_counts (x int)"), [] as [usize; 0]);
    }

    #[test]
    fn notification_by_a_trigger_or_migration_is_found() {
        assert_eq!(lines("crates/db/migrations/postgres/V1__a.sql", "notify changes"), [1]);
        assert_eq!(lines("a.sql", "create function f() returns trigger as $$\nperform pg_notify('a', '');"), [2]);
        assert_eq!(lines("relay.sql", "select pg_notify('a', '')"), [] as [usize; 0]);
    }

    #[test]
    fn reference_between_tables_is_found_in_migrations() {
        let path = "crates/learning/migrations/sqlite/V1__a.sql";

        assert_eq!(lines(path, "create table a (\n  b bigint references c,\n  d int check (d > 0)\n)"), [2, 3]);
        assert_eq!(lines(path, "/* references\n check ( */ select 1"), [] as [usize; 0]);
    }

    #[test]
    fn statistic_that_reads_sessions_is_found() {
        let sql = "select count(*)\nfrom study_sessions";

        assert_eq!(lines("crates/learning/src/store/sql/sqlite/streak.sql", sql), [2]);
        assert_eq!(lines("crates/learning/src/store/sql/sqlite/session_rows.sql", sql), [] as [usize; 0]);
        assert_eq!(lines("crates/learning/src/store/sql/sqlite/import_merge.sql", sql), [] as [usize; 0]);
        assert_eq!(lines("crates/learning/src/store/sql/sqlite/write_session.sql", sql), [] as [usize; 0]);
        assert_eq!(lines("crates/learning/src/store/sql/copy/sessions_direct.sql", sql), [] as [usize; 0]);
        assert_eq!(lines("crates/learning/src/migrations/sqlite/V1__a.sql", sql), [] as [usize; 0]);
    }
}
