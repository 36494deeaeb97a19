//! Where the programs of a server are installed, and what to run when they are not.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The directories that are searched for server programs, in order.
#[derive(Clone, Debug)]
pub struct SearchPath(Vec<PathBuf>);

impl SearchPath {
    /// Searches exactly these directories.
    pub fn new(directories: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(directories.into_iter().collect())
    }

    /// Directories of PostgreSQL: `TIERKEEP_TEST_PG_BIN`, `PATH`, then the places packages install
    /// to, the highest version first.
    pub fn postgres() -> Self {
        let mut directories: Vec<PathBuf> =
            environment("TIERKEEP_TEST_PG_BIN").map(PathBuf::from).into_iter().collect();
        directories.extend(path_variable());
        directories.extend(versioned(Path::new("/usr/lib/postgresql"), ""));
        directories.push(PathBuf::from("/usr/local/bin"));
        directories.extend(versioned(Path::new("/usr"), "pgsql-"));
        Self(directories)
    }

    /// Directories of Redis and Valkey: `PATH`, `/usr/bin` and `/usr/local/bin`.
    pub fn redis() -> Self {
        let mut directories = path_variable();
        directories.extend(["/usr/bin", "/usr/local/bin"].map(PathBuf::from));
        Self(directories)
    }

    /// The first directory that holds all of `programs`.
    fn directory_with(&self, programs: &[&str]) -> Option<&Path> {
        self.0
            .iter()
            .find(|directory| programs.iter().all(|program| directory.join(program).is_file()))
            .map(PathBuf::as_path)
    }
}

/// Programs of one PostgreSQL installation.
#[derive(Clone, Debug)]
pub(crate) struct PostgresPrograms {
    pub(crate) initdb: PathBuf,
    pub(crate) postgres: PathBuf,
    /// May be missing where only a server is installed; only standbys need it.
    pub(crate) pg_basebackup: PathBuf,
}

impl PostgresPrograms {
    /// The first installation on the path.
    ///
    /// # Errors
    /// None is installed; the message is the line that installs it.
    pub(crate) fn find(path: &SearchPath) -> Result<Self> {
        let Some(directory) = path.directory_with(&["initdb", "postgres"]) else {
            bail!("postgres not found: run \"apt-get install postgresql\" (or scripts/setup)");
        };
        let postgres = directory.join("postgres");
        // Of the programs some may be linked to from elsewhere, and not this one.
        let pg_basebackup = std::fs::canonicalize(&postgres).unwrap_or_default().with_file_name("pg_basebackup");
        Ok(Self { initdb: directory.join("initdb"), postgres, pg_basebackup })
    }
}

/// The first `redis-server` on the path, or else the first `valkey-server`.
///
/// # Errors
/// Neither is installed; the message is the line that installs one.
pub(crate) fn find_redis(path: &SearchPath) -> Result<PathBuf> {
    let found = ["redis-server", "valkey-server"]
        .into_iter()
        .find_map(|program| path.directory_with(&[program]).map(|directory| directory.join(program)));
    found.context("redis-server not found: run \"apt-get install redis-server\" (or scripts/setup)")
}

/// Directories named by the `PATH` variable.
fn path_variable() -> Vec<PathBuf> {
    environment("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// `<parent>/<prefix><version>/bin` for every version, the highest first.
fn versioned(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(Vec<u32>, PathBuf)> = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(prefix)?;
            let numbers = version.split('.').map(|part| part.parse().ok());
            Some((numbers.collect::<Option<Vec<u32>>>()?, entry.path().join("bin")))
        })
        .collect();
    found.sort_by(|left, right| right.0.cmp(&left.0));
    found.into_iter().map(|(_, directory)| directory).collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tests have no configuration file: where servers are installed is a fact of the machine"
)]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn highest_version_comes_first_and_other_names_are_ignored() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["9.6", "15", "16", "lib", "16-old"] {
            fs::create_dir(parent.path().join(name)).unwrap();
        }

        let found = versioned(parent.path(), "");

        let expected = ["16", "15", "9.6"].map(|version| parent.path().join(version).join("bin"));
        assert_eq!(found, expected);
    }

    #[test]
    fn prefix_of_a_versioned_directory_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        fs::create_dir(parent.path().join("pgsql-17")).unwrap();

        assert_eq!(versioned(parent.path(), "pgsql-"), [parent.path().join("pgsql-17/bin")]);
    }

    #[test]
    fn installation_without_initdb_is_passed_over() {
        let client_only = tempfile::tempdir().unwrap();
        let complete = tempfile::tempdir().unwrap();
        fs::write(client_only.path().join("postgres"), "").unwrap();
        fs::write(complete.path().join("postgres"), "").unwrap();
        fs::write(complete.path().join("initdb"), "").unwrap();
        let path = SearchPath::new([client_only.path().to_owned(), complete.path().to_owned()]);

        let found = PostgresPrograms::find(&path).unwrap();

        assert_eq!(found.postgres, complete.path().join("postgres"));
    }

    #[test]
    fn missing_postgres_names_the_command_that_installs_it() {
        let error = PostgresPrograms::find(&SearchPath::new([])).unwrap_err();

        assert_eq!(error.to_string(), "postgres not found: run \"apt-get install postgresql\" (or scripts/setup)");
    }

    #[test]
    fn valkey_serves_where_redis_is_not_installed() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("valkey-server"), "").unwrap();

        let found = find_redis(&SearchPath::new([directory.path().to_owned()])).unwrap();

        assert_eq!(found, directory.path().join("valkey-server"));
    }

    #[test]
    fn missing_redis_names_the_command_that_installs_it() {
        let error = find_redis(&SearchPath::new([])).unwrap_err();

        assert_eq!(
            error.to_string(),
            "redis-server not found: run \"apt-get install redis-server\" (or scripts/setup)"
        );
    }
}
