//! How modules are named and how long a file may be.

use super::rust_text::RustText;
use super::{Finding, SourceFile, line_of, words};

/// Names that say what kind of code a module holds, not what it knows. `prelude` and `mod` have
/// rules of their own in the style guide.
const REFUSED: [&str; 9] = ["utils", "helpers", "common", "misc", "types", "manager", "core", "prelude", "mod"];

/// Lines of a file without its tests, past which it needs a reason.
const LENGTH_MAX: usize = 500;

/// The line of a file's header that gives the reason.
const LENGTH_REASON: &str = "//! Length: ";

/// Modules with a refused name, as files, as directories and as inline modules.
pub fn names(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let Some(text) = RustText::read(file) else { continue };
        if let Some(name) = refused_part(&file.path) {
            findings.push(Finding::new(file, 1, message(name)));
        }
        for name in REFUSED {
            for at in words(&text.code, name) {
                let declares = text.code[..at].trim_end_matches(' ').ends_with("mod");
                if declares && text.code[at..].starts_with(name) {
                    findings.push(Finding::new(file, line_of(&text.code, at), message(name)));
                }
            }
        }
    }
    findings
}

/// Files over 500 lines, tests at their end not counted, without a reason in their header.
pub fn lengths(files: &[SourceFile]) -> Vec<Finding> {
    let is_long = |file: &&SourceFile| {
        let text = RustText::read(file)?;
        let lines = file.text.lines().count();
        let length = text.tests_from().filter(|from| *from > 1).map_or(lines, |from| from - 1);
        let has_reason = file
            .text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .any(|line| line.strip_prefix(LENGTH_REASON).is_some_and(|reason| !reason.trim().is_empty()));
        let message = format!("{length} lines; accepted: {LENGTH_MAX}, or a header line `{LENGTH_REASON}<reason>`");
        (length > LENGTH_MAX && !has_reason).then(|| Finding::new(file, 1, message))
    };
    files.iter().filter_map(|file| is_long(&file)).collect()
}

/// The refused name among the directories and the stem below `src`.
fn refused_part(path: &str) -> Option<&'static str> {
    let (_, modules) = path.strip_suffix(".rs")?.rsplit_once("src/")?;
    REFUSED.into_iter().find(|name| modules.split('/').any(|part| part == *name))
}

fn message(name: &str) -> String {
    format!("a module called {name}; accepted: the name of what it knows (and foo.rs beside foo/, not foo/mod.rs)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(path: &str, text: &str) -> Vec<Finding> {
        names(&[SourceFile::new(path, text)])
    }

    fn long(path: &str, text: String) -> Vec<Finding> {
        lengths(&[SourceFile::new(path, text)])
    }

    #[test]
    fn refused_file_and_directory_are_found() {
        assert_eq!(named("crates/db/src/utils.rs", "").len(), 1);
        assert_eq!(named("crates/db/src/common/pool.rs", "").len(), 1);
        assert_eq!(named("crates/db/src/pool/mod.rs", "").len(), 1);
        assert_eq!(named("crates/db/src/pool.rs", "").len(), 0);
    }

    #[test]
    fn inline_module_is_found_at_its_line() {
        let findings = named("crates/db/src/pool.rs", "// mod misc\npub mod prelude {}\n");

        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].line, 2);
    }

    #[test]
    fn path_through_the_core_library_is_no_module() {
        assert_eq!(named("crates/db/src/pool.rs", "use core::fmt;\n"), []);
    }

    #[test]
    fn file_past_the_limit_is_found() {
        assert_eq!(long("crates/db/src/pool.rs", "//\n".repeat(500)), []);
        assert_eq!(long("crates/db/src/pool.rs", "//\n".repeat(501)).len(), 1);
    }

    #[test]
    fn tests_at_the_end_are_not_counted() {
        let text = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", "//\n".repeat(499), "//\n".repeat(100));

        assert_eq!(long("crates/db/src/pool.rs", text), []);
    }

    #[test]
    fn long_file_with_a_reason_is_accepted() {
        let text = |reason: &str| format!("//! A table.\n//!\n{LENGTH_REASON}{reason}\n{}", "//\n".repeat(501));

        assert_eq!(long("a.rs", text("one row per zone")), []);
        assert_eq!(long("a.rs", text("")).len(), 1);
    }
}
