//! The fixed statements, rendered once for a database: its kind of key, and the prefix of a mapping.

use tierkeep_db::{Dialect, StatementError, with_prefix};

use crate::key::KeyType;

macro_rules! statements {
    (mapped: $($mapped:ident),+; changing: $($changing:ident),+; own: $($own:ident),+ $(,)?) => {
        /// Text of every statement that reads or folds, by the name of its file.
        #[derive(Debug)]
        pub(crate) struct Statements {
            $(pub(crate) $mapped: String,)+
            $(pub(crate) $changing: String,)+
            $(pub(crate) $own: String,)+
        }

        impl Statements {
            /// Renders all statements. `prefix` shows a platform's tables under the canonical names; empty on own ones.
            pub(super) fn render(
                dialect: Dialect,
                keys: KeyType,
                learners: Learners,
                prefix: &[String],
            ) -> Result<Self, StatementError> {
                let text = |postgres: &str, sqlite: &str| {
                    let text = match dialect { Dialect::Postgres => postgres, Dialect::Sqlite => sqlite };
                    render(&text.replace("{learners}", learners.relation()), dialect, keys)
                };
                Ok(Self {
                    $($mapped: with_prefix(prefix, &text(
                        include_str!(concat!("sql/postgres/", stringify!($mapped), ".sql")),
                        include_str!(concat!("sql/sqlite/", stringify!($mapped), ".sql")),
                    ))?,)+
                    $($changing: changing(prefix, text(
                        include_str!(concat!("sql/postgres/", stringify!($changing), ".sql")),
                        include_str!(concat!("sql/sqlite/", stringify!($changing), ".sql")),
                    )),)+
                    $($own: text(
                        include_str!(concat!("sql/postgres/", stringify!($own), ".sql")),
                        include_str!(concat!("sql/sqlite/", stringify!($own), ".sql")),
                    ),)+
                })
            }
        }
    };
}

statements! {
    mapped: learner_facts, learner_days, learner_activity, moved_zones, settle_unbuilt, platform_rows, session_rows,
        course_rows, global_pass, global_recent, users_first_page, users_next_page, sessions_first_page,
        sessions_next_page, export_user, export_progress, export_sessions, export_archive, verify_learners,
        verify_random, erase_traces, base_known, aging_facts, backlog, erase_leaving, erase_due, erase_is_due,
        write_session, write_elsewhere, write_learner, write_course, write_overlap, active_learners, learner_ids,
        sweep_learners;
    changing: repair_note, erase_note_departed, erase_returned, sweep_nights;
    own: global_stored, fold_claim, fold_lock, fold_read, changed_everything,
        fold_state, fold_changes, fold_pages, fold_save_learners, fold_save_pages, fold_delete_pages,
        fold_delete_learners, fold_global, fold_consume, settle_everything, settle_changed,
        settle_is_built, settle_done, import_users_insert, import_users_update, import_progress_insert,
        import_progress_update, import_sessions_insert, import_sessions_update, import_archive_update, lease_take,
        lease_release, token_all, token_unrevoked, token_create, token_revoke, token_used,
        verify_state, verify_pages, verify_studying, verify_totals, repair_pages, repair_learners,
        repair_totals, base_read, base_save, export_base, export_quarantine, erase_tombstone, erase_among, erase_outbox,
        write_learner_kept, write_course_of, write_made_id, write_pass_ids, write_deleted, write_take_key,
        write_read_key, write_keep_answer, write_keep_learners, write_forget_keys, nightly_note, nightly_pick,
        nightly_lock, nightly_due, nightly_pages, nightly_save, nightly_remove, nightly_advance, nightly_done,
        nightly_rows, sweep_old_nights, sweep_answers, sweep_snapshots, snapshot_read, snapshot_save, table_sizes,
        queues,
}

/// Puts the prefix before a statement that reads a platform's tables and changes one of ours.
fn changing(prefix: &[String], text: String) -> String {
    if prefix.is_empty() { text } else { ["with ", &prefix.join(", "), " ", &text].concat() }
}

/// How many learners a statement on PostgreSQL is asked about. A parameter of its own for one learner lets the planner
/// search every table by key; for an array it plans for ten and reads small tables as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Learners {
    One,
    Many,
}

impl Learners {
    /// The relation `a (id, ord)` of the learners in `$1`.
    fn relation(self) -> &'static str {
        match self {
            Self::One => "(select $1::{key} as id, 1::bigint as ord) as a",
            Self::Many => "unnest($1::{key}[]) with ordinality as a (id, ord)",
        }
    }
}

/// Puts the type of the keys into a text.
pub(super) fn render(text: &str, dialect: Dialect, keys: KeyType) -> String {
    let key = match (dialect, keys) {
        (Dialect::Postgres, KeyType::Uuid) => "uuid",
        (Dialect::Postgres, KeyType::Int) => "bigint",
        (Dialect::Sqlite, KeyType::Uuid) => "text",
        (Dialect::Sqlite, KeyType::Int) => "integer",
    };
    body(text).replace("{key_type}", &keys.to_string()).replace("{key}", key)
}

/// A statement without the comment at the head of its file, which would travel with each call.
pub(super) fn body(text: &str) -> String {
    let mut body = String::with_capacity(text.len());
    for line in text.lines().skip_while(|line| line.starts_with("--") || line.is_empty()) {
        body.push_str(line);
        body.push('\n');
    }
    body
}

/// What stands in a prefix for the archive that a platform does not have.
pub(super) fn no_archive() -> String {
    "study_sessions_archive as not materialized (select * from study_sessions where false)".to_owned()
}

/// What stands in a prefix for the stored zones of learners and the bases of their days, where nothing is stored.
pub(super) fn absent_summaries(dialect: Dialect, keys: KeyType) -> [String; 2] {
    let texts = match dialect {
        Dialect::Postgres => [
            "tierkeep_learner as not materialized (select cast(null as {key}) as user_id, cast(null as text) as zones where false)",
            "tierkeep_base as not materialized (select cast(null as {key}) as user_id where false)",
        ],
        Dialect::Sqlite => [
            "tierkeep_learner as not materialized (select null as user_id, null as zones where false)",
            "tierkeep_base as not materialized (select null as user_id where false)",
        ],
    };
    texts.map(|text| render(text, dialect, keys))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_carry_the_type_of_the_keys_and_no_comment() {
        let statements = Statements::render(Dialect::Postgres, KeyType::Int, Learners::Many, &[]).unwrap();

        assert!(statements.session_rows.starts_with("select"), "{}", statements.session_rows);
        assert!(statements.session_rows.contains("$1::bigint[]"));
    }

    #[test]
    fn a_question_about_one_learner_has_a_key_of_its_own() {
        let one = Statements::render(Dialect::Postgres, KeyType::Uuid, Learners::One, &[]).unwrap();
        let many = Statements::render(Dialect::Postgres, KeyType::Uuid, Learners::Many, &[]).unwrap();

        assert!(one.learner_days.contains("$1::uuid as id") && !one.learner_days.contains("unnest"));
        assert!(many.learner_days.contains("unnest($1::uuid[])"));
    }

    #[test]
    fn only_statements_on_the_platforms_tables_get_the_prefix() {
        let prefix = ["users as not materialized (select 1 as id)".to_owned()];

        let statements = Statements::render(Dialect::Sqlite, KeyType::Uuid, Learners::One, &prefix).unwrap();

        assert!(statements.users_first_page.starts_with("with users as"));
        assert!(statements.fold_state.starts_with("select"));
    }
}
