//! The workspace keeps the rules of its style guide and design that a text can break.
//!
//! A finding says where, and what is accepted. The rules and the proofs that each of them fails on a
//! planted violation are in `src/tidy`.

use std::path::Path;
use std::sync::LazyLock;

use tierkeep_testkit::tidy::{self, Finding, SourceFile, architecture, dialects, lines, modules, statements};

static SOURCES: LazyLock<Vec<SourceFile>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    tidy::sources(&root).expect("the sources of the workspace can be read")
});

fn assert_none(findings: &[Finding]) {
    let shown: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(findings.is_empty(), "{} findings:\n{}", shown.len(), shown.join("\n"));
}

#[test]
fn sources_are_those_of_the_workspace() {
    let has = |path: &str| SOURCES.iter().any(|file| file.path == path);

    assert!(has("Cargo.toml") && has("crates/testkit/src/tidy.rs"));
    assert!(!SOURCES.iter().any(|file| file.path.starts_with("target/")));
}

#[test]
fn crates_depend_only_along_allowed_arrows() {
    assert_none(&architecture::arrows(&SOURCES).unwrap());
}

#[test]
fn every_dependency_has_a_reason() {
    assert_none(&architecture::dependency_reasons(&SOURCES).unwrap());
}

#[test]
fn versions_stand_only_in_the_workspace() {
    assert_none(&architecture::versions_stand_in_the_workspace(&SOURCES).unwrap());
}

#[test]
fn modules_are_named_for_what_they_know() {
    assert_none(&modules::names(&SOURCES));
}

#[test]
fn long_files_say_why() {
    assert_none(&modules::lengths(&SOURCES));
}

#[test]
fn sql_exists_for_both_databases() {
    assert_none(&dialects::pairs(&SOURCES));
}

#[test]
fn migrations_are_numbered_without_gaps() {
    assert_none(&dialects::migration_numbers(&SOURCES));
}

#[test]
fn sql_holds_nothing_refused() {
    assert_none(&statements::refused(&SOURCES));
}

#[test]
fn rust_holds_nothing_refused() {
    assert_none(&lines::refused(&SOURCES));
}

#[test]
fn days_are_not_counted_in_seconds_by_sql() {
    assert_none(&lines::seconds_of_a_day_in_sql(&SOURCES));
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    assert_none(&lines::machine_paths(&SOURCES));
}

#[test]
fn the_cache_alone_needs_few_packages_and_no_c_compiler() {
    let cargo = env!("CARGO");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut tree = std::process::Command::new(cargo);
    tree.args(["tree", "--locked", "--offline", "--package", "tierkeep-cache", "--edges", "normal,build"]);
    tree.args(["--prefix", "none", "--format", "{p}"]).current_dir(root);

    let output = tree.output().expect("cargo runs");

    let listed = String::from_utf8(output.stdout).expect("names of packages are text");
    let names: std::collections::BTreeSet<&str> =
        listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let needs_c = names.iter().filter(|name| name.ends_with("-sys") || ["cc", "cmake", "bindgen"].contains(name));
    assert!(names.contains("tierkeep-cache"), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(names.len() <= 80, "{} packages", names.len());
    assert_eq!(needs_c.count(), 0, "{names:?}");
}
