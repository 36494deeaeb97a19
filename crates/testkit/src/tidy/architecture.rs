//! Which crate may depend on which, and that every dependency has a reason.

use anyhow::{Context, Result};
use toml::{Table, Value};

use super::{Finding, SourceFile};

/// Crates of the workspace with those they may depend on. An arrow is a promise to a reader that the
/// lower crate can be understood without the upper one.
const ARROWS: &[(&str, &[&str])] = &[
    ("tierkeep", &["learning", "retention", "schedule", "db", "cache", "measure", "macros", "heap"]),
    ("learning", &["db", "retention", "schedule"]),
    ("python", &["cache", "generations"]),
    ("retention", &["db"]),
    ("schedule", &["db"]),
    ("db", &[]),
    ("cache", &["macros"]),
    ("measure", &["macros"]),
    ("macros", &[]),
    ("generations", &[]),
    ("heap", &[]),
    ("testkit", &[]),
    ("xtask", &[]),
];

/// Arrows that are accepted only as an optional dependency, which a feature turns on.
const OPTIONAL_ARROWS: &[(&str, &str)] = &[("db", "cache")];

/// Our crates are called `tierkeep` or start with this.
const PREFIX: &str = "tierkeep-";

/// Tables of a manifest whose dependencies are part of the product; those of tests are free.
const DEPENDENCIES: [&str; 2] = ["dependencies", "build-dependencies"];

/// Dependencies between our crates that are not in the list of allowed arrows.
///
/// # Errors
/// A manifest is not TOML.
pub fn arrows(files: &[SourceFile]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in files {
        let Some(from) = crate_of_manifest(&file.path) else { continue };
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == from) else {
            findings.push(Finding::new(
                file,
                1,
                format!("crate {from} has no row in ARROWS of the tidy checks; add one"),
            ));
            continue;
        };
        for (key, to, value) in own_dependencies(&parse(file)?) {
            let is_optional = value.get("optional").and_then(Value::as_bool).unwrap_or(false);
            if allowed.contains(&to.as_str()) || (is_optional && OPTIONAL_ARROWS.contains(&(from, to.as_str()))) {
                continue;
            }
            let message = format!("{from} must not depend on {to}; accepted: {}", accepted(from, allowed));
            findings.push(Finding::new(file, line_of_key(&file.text, &key), message));
        }
    }
    Ok(findings)
}

/// Dependencies of the workspace without a reason beside them, or with default features that were not
/// decided on.
///
/// # Errors
/// The manifest is not TOML.
pub fn dependency_reasons(files: &[SourceFile]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path == "Cargo.toml") {
        let manifest = parse(file)?;
        let Some(dependencies) = table(&manifest, "workspace").and_then(|workspace| table(workspace, "dependencies"))
        else {
            continue;
        };
        for (name, value) in dependencies {
            if value.get("path").is_some() {
                continue;
            }
            let line = line_of_key(&file.text, name);
            let text = file.text.lines().nth(line - 1).unwrap_or_default();
            if text.split_once(" #").is_none_or(|(_, reason)| reason.trim().is_empty()) {
                let message = format!("{name} has no reason; accepted: `{name} = … # what it is needed for`");
                findings.push(Finding::new(file, line, message));
            }
            if value.is_table() && value.get("default-features").and_then(Value::as_bool) != Some(false) {
                let message =
                    format!("{name} has default features; accepted: `default-features = false`, or a version alone");
                findings.push(Finding::new(file, line, message));
            }
        }
    }
    Ok(findings)
}

/// Dependencies of a crate that have a version of their own.
///
/// # Errors
/// A manifest is not TOML.
pub fn versions_stand_in_the_workspace(files: &[SourceFile]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| crate_of_manifest(&file.path).is_some()) {
        for (name, value) in dependencies(&parse(file)?, &["dependencies", "build-dependencies", "dev-dependencies"]) {
            if value.get("workspace").and_then(Value::as_bool) != Some(true) {
                let message = format!("{name} has a version of its own; accepted: `{name}.workspace = true`");
                findings.push(Finding::new(file, line_of_key(&file.text, &name), message));
            }
        }
    }
    Ok(findings)
}

/// The crate whose manifest this is; `None` for the workspace's own and for other files.
fn crate_of_manifest(path: &str) -> Option<&str> {
    let directory = path.strip_suffix("/Cargo.toml")?;
    match directory.strip_prefix("crates/") {
        Some(name) if !name.contains('/') => Some(name),
        _ => (directory == "xtask").then_some(directory),
    }
}

/// Key, crate and value of the dependencies on our crates.
fn own_dependencies(manifest: &Table) -> Vec<(String, String, Value)> {
    let own = |(key, value): (String, Value)| {
        let package = value.get("package").and_then(Value::as_str).unwrap_or(&key);
        let to = if package == "tierkeep" { package } else { package.strip_prefix(PREFIX)? };
        Some((key.clone(), to.to_owned(), value))
    };
    dependencies(manifest, &DEPENDENCIES).into_iter().filter_map(own).collect()
}

/// All entries of the named tables, those for single targets included.
fn dependencies(manifest: &Table, tables: &[&str]) -> Vec<(String, Value)> {
    let targets = table(manifest, "target").into_iter().flat_map(Table::values).filter_map(Value::as_table);
    std::iter::once(manifest)
        .chain(targets)
        .flat_map(|place| tables.iter().filter_map(|name| table(place, name)))
        .flat_map(|dependencies| dependencies.iter().map(|(key, value)| (key.clone(), value.clone())))
        .collect()
}

fn table<'a>(parent: &'a Table, name: &str) -> Option<&'a Table> {
    parent.get(name).and_then(Value::as_table)
}

fn parse(file: &SourceFile) -> Result<Table> {
    file.text.parse().with_context(|| format!("{} is not TOML", file.path))
}

/// The first line that starts with a key; a wrong one is better than none in a message.
fn line_of_key(text: &str, key: &str) -> usize {
    let starts = |line: &str| {
        line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('=') || rest.starts_with('.'))
    };
    text.lines().position(starts).map_or(1, |index| index + 1)
}

fn accepted(from: &str, allowed: &[&str]) -> String {
    let optional = OPTIONAL_ARROWS.iter().filter(|(name, _)| *name == from);
    let names: Vec<String> =
        allowed.iter().map(|&name| name.to_owned()).chain(optional.map(|(_, to)| format!("{to} (optional)"))).collect();
    if names.is_empty() { "none of ours".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(path: &str, text: &str) -> [SourceFile; 1] {
        [SourceFile::new(path, text)]
    }

    fn shown(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(Finding::to_string).collect()
    }

    #[test]
    fn arrow_that_points_up_is_found() {
        let planted = manifest(
            "crates/db/Cargo.toml",
            "[dependencies]\nanyhow.workspace = true\ntierkeep-learning.workspace = true\n",
        );

        let findings = arrows(&planted).unwrap();

        assert_eq!(
            shown(&findings),
            ["crates/db/Cargo.toml:3: db must not depend on learning; accepted: cache (optional)"]
        );
    }

    #[test]
    fn arrow_under_another_name_is_found() {
        let planted = manifest(
            "crates/cache/Cargo.toml",
            "[dependencies]\nstore = { package = \"tierkeep-db\", workspace = true }\n",
        );

        assert_eq!(arrows(&planted).unwrap().len(), 1);
    }

    #[test]
    fn arrow_for_one_target_is_found() {
        let planted = manifest("xtask/Cargo.toml", "[target.'cfg(unix)'.dependencies]\ntierkeep-db.workspace = true\n");

        assert_eq!(arrows(&planted).unwrap().len(), 1);
    }

    #[test]
    fn query_cache_of_db_must_be_optional() {
        let fixed = manifest("crates/db/Cargo.toml", "[dependencies]\ntierkeep-cache = { workspace = true }\n");
        let optional = manifest(
            "crates/db/Cargo.toml",
            "[dependencies]\ntierkeep-cache = { workspace = true, optional = true }\n",
        );

        assert_eq!(arrows(&fixed).unwrap().len(), 1);
        assert_eq!(arrows(&optional).unwrap(), []);
    }

    #[test]
    fn testkit_is_for_tests_only() {
        let product = manifest("crates/tierkeep/Cargo.toml", "[dependencies]\ntierkeep-testkit.workspace = true\n");
        let tests = manifest("crates/tierkeep/Cargo.toml", "[dev-dependencies]\ntierkeep-testkit.workspace = true\n");

        assert_eq!(arrows(&product).unwrap().len(), 1);
        assert_eq!(arrows(&tests).unwrap(), []);
    }

    #[test]
    fn crate_without_a_row_is_found() {
        assert_eq!(arrows(&manifest("crates/extra/Cargo.toml", "")).unwrap().len(), 1);
    }

    #[test]
    fn dependency_without_a_reason_is_found() {
        let planted =
            manifest("Cargo.toml", "[workspace.dependencies]\nanyhow = \"1\"\ntoml = \"1\" # configuration\n");

        let findings = dependency_reasons(&planted).unwrap();

        assert_eq!(
            shown(&findings),
            ["Cargo.toml:2: anyhow has no reason; accepted: `anyhow = … # what it is needed for`"]
        );
    }

    #[test]
    fn undecided_default_features_are_found() {
        let planted = manifest("Cargo.toml", "[workspace.dependencies]\nclap = { version = \"4\" } # command line\n");

        assert!(dependency_reasons(&planted).unwrap()[0].message.contains("default-features = false"));
    }

    #[test]
    fn own_crate_needs_no_reason() {
        let own = manifest("Cargo.toml", "[workspace.dependencies]\ntierkeep-db = { path = \"crates/db\" }\n");

        assert_eq!(dependency_reasons(&own).unwrap(), []);
    }

    #[test]
    fn version_in_a_crate_is_found() {
        let planted =
            manifest("crates/db/Cargo.toml", "[dev-dependencies]\nproptest = \"1\"\ntoml = { workspace = true }\n");

        assert_eq!(
            shown(&versions_stand_in_the_workspace(&planted).unwrap()),
            ["crates/db/Cargo.toml:2: proptest has a version of its own; accepted: `proptest.workspace = true`"]
        );
    }
}
