//! The indexes that Tierkeep's own migrations make.

use tierkeep_db::Dialect;

use super::open::{MIGRATIONS, OF_OWN_ROWS};

/// An index that Tierkeep's own migrations make.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnIndex {
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// The statement that makes it, without a semicolon.
    pub statement: String,
}

/// The indexes that the migrations up to one of them have made; `of_rows`: whether the tables of learners and sessions are
/// Tierkeep's own, and not a platform's.
#[must_use]
pub fn own_indexes(dialect: Dialect, up_to: u32, of_rows: bool) -> Vec<OwnIndex> {
    let applied = MIGRATIONS.iter().filter(|(version, ..)| *version <= up_to);
    let made = applied.filter(|(version, ..)| of_rows || !OF_OWN_ROWS.contains(version));
    let texts = made.map(|(_, _, postgres, sqlite)| match dialect {
        Dialect::Postgres => *postgres,
        Dialect::Sqlite => *sqlite,
    });
    let mut indexes: Vec<OwnIndex> = Vec::new();
    for statement in texts.flat_map(statements) {
        if let Some(table) = statement.strip_prefix("drop table ") {
            indexes.retain(|index| index.table != table);
        }
        indexes.extend(index(statement));
    }
    indexes.sort();
    indexes
}

/// The statements of a migration, each on one line. What is cut apart inside of a function looks like none that is looked for.
fn statements(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    lines.join(" ").split(';').map(|statement| statement.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// The index that a statement makes.
fn index(statement: String) -> Option<OwnIndex> {
    let rest = statement.strip_prefix("create unique index ").or_else(|| statement.strip_prefix("create index "))?;
    let rest = rest.strip_prefix("if not exists ").unwrap_or(rest);
    let (name, rest) = rest.split_once(" on ")?;
    let (table, _) = rest.split_once(' ')?;
    let (table, name) = (table.to_owned(), name.to_owned());
    Some(OwnIndex { table, name, statement })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All migrations as one text.
    fn written(dialect: Dialect) -> String {
        let texts = MIGRATIONS.iter().map(|(_, _, postgres, sqlite)| match dialect {
            Dialect::Postgres => postgres.to_lowercase(),
            Dialect::Sqlite => sqlite.to_lowercase(),
        });
        texts.collect()
    }

    #[test]
    fn every_index_that_migrations_make_and_leave_is_found() {
        for dialect in [Dialect::Postgres, Dialect::Sqlite] {
            let (text, indexes) = (written(dialect), own_indexes(dialect, u32::MAX, true));
            let made = text.matches("create index").count() + text.matches("create unique index").count();

            // the outbox was made anew, and its first index went with it
            assert_eq!(indexes.len() + 1, made, "{indexes:#?}");
            assert_eq!((text.matches("drop table").count(), text.matches("drop index").count()), (1, 0));
            assert!(indexes.iter().all(|index| index.name != "tierkeep_outbox_user"));
            assert!(indexes.iter().any(|index| {
                (index.name.as_str(), index.table.as_str()) == ("study_sessions_user_start", "study_sessions")
            }));
        }
    }

    #[test]
    fn a_platforms_tables_have_none_of_ours_and_later_migrations_are_not_expected() {
        let names = |up_to, of_rows| -> Vec<String> {
            own_indexes(Dialect::Postgres, up_to, of_rows).into_iter().map(|index| index.name).collect()
        };

        assert!(names(u32::MAX, false).iter().all(|name| name.starts_with("tierkeep_")));
        assert!(names(4, true).contains(&"study_sessions_user_start".to_owned()));
        assert!(!names(4, true).contains(&"tierkeep_token_name".to_owned()));
    }
}
