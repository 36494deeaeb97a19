//! Every SQL file exists for both databases, and migrations have the same numbers.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, SourceFile};

/// Folders of the two dialects.
const DIALECTS: [&str; 2] = ["postgres", "sqlite"];

/// Migrations whose text belongs to another crate: the tables of retention, and of the schedule.
const ELSEWHERE: [u32; 2] = [10, 11];

/// Files of one dialect in an `sql` or `migrations` folder that the other one lacks.
pub fn pairs(files: &[SourceFile]) -> Vec<Finding> {
    let files: Vec<Located<'_>> = files.iter().filter_map(Located::read).collect();
    let known: BTreeSet<(&str, &str, &str)> = files.iter().map(|file| (file.folder, file.dialect, file.name)).collect();
    let mut findings = Vec::new();
    for Located { file, folder, dialect, name } in files {
        for other in DIALECTS.into_iter().filter(|other| *other != dialect) {
            if !known.contains(&(folder, other, name)) {
                let message = format!("has no twin; accepted: also {folder}/{other}/{name}");
                findings.push(Finding::new(file, 1, message));
            }
        }
    }
    findings
}

/// Migrations whose name is not `V<number>__<name>.sql`, or whose number is missing or taken.
pub fn migration_numbers(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut numbered: BTreeMap<(&str, &str), Vec<(u32, &SourceFile)>> = BTreeMap::new();
    for Located { file, folder, dialect, name } in files.iter().filter_map(Located::read) {
        if !is_migrations(folder) {
            continue;
        }
        match number(name) {
            Some(number) => numbered.entry((folder, dialect)).or_default().push((number, file)),
            None => findings.push(Finding::new(file, 1, "not a migration's name; accepted: V<number>__<name>.sql")),
        }
    }
    for migrations in numbered.values_mut() {
        migrations.sort_by_key(|(number, file)| (*number, &file.path));
        for (expected, (number, file)) in (1..).filter(|number| !ELSEWHERE.contains(number)).zip(migrations) {
            if *number != expected {
                let message = format!("number {number} leaves a gap or is taken; accepted here: {expected}");
                findings.push(Finding::new(file, 1, message));
                break;
            }
        }
    }
    findings
}

/// Whether a path belongs to migrations.
pub(super) fn is_migration(path: &str) -> bool {
    path.ends_with(".sql") && path.split('/').any(|part| part == "migrations")
}

/// An SQL file `<folder>/<dialect>/<name>`, where the folder is called `sql` or `migrations`.
struct Located<'a> {
    file: &'a SourceFile,
    folder: &'a str,
    dialect: &'a str,
    name: &'a str,
}

impl<'a> Located<'a> {
    fn read(file: &'a SourceFile) -> Option<Self> {
        if !file.path.ends_with(".sql") {
            return None;
        }
        DIALECTS.into_iter().find_map(|dialect| {
            let (folder, name) = file.path.split_once(&format!("/{dialect}/"))?;
            let is_ours = is_migrations(folder) || folder == "sql" || folder.ends_with("/sql");
            is_ours.then_some(Self { file, folder, dialect, name })
        })
    }
}

fn is_migrations(folder: &str) -> bool {
    folder == "migrations" || folder.ends_with("/migrations")
}

fn number(name: &str) -> Option<u32> {
    let (number, name) = name.strip_prefix('V')?.strip_suffix(".sql")?.split_once("__")?;
    let is_plain = |part: &str| part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if number.starts_with('0') || name.is_empty() || !is_plain(name) {
        return None;
    }
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Vec<SourceFile> {
        paths.iter().map(|path| SourceFile::new(*path, "")).collect()
    }

    #[test]
    fn file_of_one_dialect_only_is_found() {
        let planted = files(&[
            "crates/learning/src/page/sql/postgres/rows.sql",
            "crates/learning/src/page/sql/sqlite/rows.sql",
            "crates/learning/src/page/sql/postgres/extra.sql",
        ]);

        let findings = pairs(&planted);

        assert_eq!(findings.len(), 1);
        assert_eq!(
            findings[0].to_string(),
            "crates/learning/src/page/sql/postgres/extra.sql:1: has no twin; accepted: also \
             crates/learning/src/page/sql/sqlite/extra.sql"
        );
    }

    #[test]
    fn twin_in_another_folder_is_no_twin() {
        let planted = files(&["a/sql/postgres/rows.sql", "b/sql/sqlite/rows.sql"]);

        assert_eq!(pairs(&planted).len(), 2);
    }

    #[test]
    fn migration_of_one_dialect_only_is_found() {
        assert_eq!(pairs(&files(&["crates/db/migrations/sqlite/V1__first.sql"])).len(), 1);
    }

    #[test]
    fn gap_between_migrations_is_found_once() {
        let planted = files(&[
            "migrations/sqlite/V1__first.sql",
            "migrations/sqlite/V3__third.sql",
            "migrations/sqlite/V4__fourth.sql",
        ]);

        let findings = migration_numbers(&planted);

        assert_eq!(findings.len(), 1);
        assert!(findings[0].path.ends_with("V3__third.sql"));
        assert!(findings[0].message.ends_with("accepted here: 2"));
    }

    #[test]
    fn number_that_is_used_twice_is_found() {
        let planted = files(&["migrations/sqlite/V1__first.sql", "migrations/sqlite/V1__other.sql"]);

        assert_eq!(migration_numbers(&planted).len(), 1);
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        let paths: Vec<String> = (1..=12)
            .filter(|number| !ELSEWHERE.contains(number))
            .map(|number| format!("migrations/sqlite/V{number}__m.sql"))
            .collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();

        assert_eq!(migration_numbers(&files(&paths)), []);
    }

    #[test]
    fn migration_with_another_name_is_found() {
        for name in ["1__first.sql", "V1_first.sql", "V01__first.sql", "V1__.sql", "V1__First.sql"] {
            assert_eq!(migration_numbers(&files(&[&format!("migrations/sqlite/{name}")])).len(), 1, "{name}");
        }
    }
}
