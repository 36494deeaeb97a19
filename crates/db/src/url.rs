//! Addresses of databases, parsed once and printed without passwords.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// Where a database is.
///
/// # Examples
///
/// ```
/// use tierkeep_db::DatabaseUrl;
///
/// let url: DatabaseUrl = "postgres://app:secret@db.example:5432/learning".parse()?;
/// assert_eq!(url.to_string(), "postgres://app:***@db.example:5432/learning");
///
/// let url: DatabaseUrl = "sqlite://tierkeep.db".parse()?;
/// assert!(matches!(url, DatabaseUrl::Sqlite(file) if file.path().ends_with("tierkeep.db")));
/// # Ok::<(), tierkeep_db::UrlError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum DatabaseUrl {
    /// A PostgreSQL server.
    Postgres(PostgresUrl),
    /// A file of SQLite.
    Sqlite(SqlitePath),
}

/// Address of a database on a PostgreSQL server, with a user and a database name.
///
/// Accepted is what `libpq` accepts as a connection URI:
/// `postgres://user[:password]@host[:port]/database[?parameter=value…]`, a socket directory as `?host=/dir`. Special
/// characters in the user and the password are percent-encoded. `Display` and `Debug` never show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    config: Box<Config>,
    redacted: String,
}

/// Path of a SQLite database file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SqlitePath {
    path: PathBuf,
}

/// Why a text is not the address of a database. No variant holds a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// The text starts with no known scheme.
    #[error(
        "`{given}` is not a database address, accepted are postgres://user@host/database, postgresql://… and sqlite://path"
    )]
    UnknownScheme {
        /// The text that was given, redacted.
        given: String,
    },
    /// A PostgreSQL address names no user. There is no default, so that all hosts behave alike.
    #[error("`{given}` names no user, accepted is postgres://user[:password]@host/database")]
    MissingUser {
        /// The text that was given, redacted.
        given: String,
    },
    /// A PostgreSQL address names no database.
    #[error("`{given}` names no database, accepted is postgres://user[:password]@host/database")]
    MissingDatabase {
        /// The text that was given, redacted.
        given: String,
    },
    /// A PostgreSQL address names neither a host nor a socket directory.
    #[error(
        "`{given}` names no host, accepted is postgres://user@host/database or postgres://user@/database?host=/socket/directory"
    )]
    MissingHost {
        /// The text that was given, redacted.
        given: String,
    },
    /// The host of a PostgreSQL address contains an `@`, so the password was not percent-encoded.
    #[error("`{given}` has more than one @, write an @ in the user or the password as %40")]
    UnencodedAt {
        /// The text that was given, redacted.
        given: String,
    },
    /// An `sslmode` that is not known here.
    #[error(
        "`{given}` has an sslmode that is not accepted, accepted are disable, prefer and require (which verifies the server)"
    )]
    SslMode {
        /// The text that was given, redacted.
        given: String,
    },
    /// A PostgreSQL address the driver cannot read.
    #[error("`{given}` cannot be read")]
    Malformed {
        /// The text that was given, redacted.
        given: String,
        /// What the driver says.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A SQLite address with no path, with parameters, or in memory.
    #[error(
        "`{given}` names no database file, accepted are sqlite://relative.db and sqlite:///absolute.db, without parameters"
    )]
    NotAFile {
        /// The text that was given.
        given: String,
    },
}

impl PostgresUrl {
    /// Returns the driver's settings, password included.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

impl SqlitePath {
    /// Takes a path as it is.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl FromStr for DatabaseUrl {
    type Err = UrlError;

    fn from_str(given: &str) -> Result<Self, UrlError> {
        if given.starts_with("postgres://") || given.starts_with("postgresql://") {
            given.parse().map(Self::Postgres)
        } else if given.starts_with("sqlite://") {
            given.parse().map(Self::Sqlite)
        } else {
            Err(UrlError::UnknownScheme { given: redact(given) })
        }
    }
}

impl FromStr for PostgresUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let given = redact(text);
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(UrlError::UnknownScheme { given });
        }
        let config: Config = match text.parse() {
            Ok(config) => config,
            Err(_) if text.contains("sslmode=") && !has_known_sslmode(text) => {
                return Err(UrlError::SslMode { given });
            }
            Err(source) => return Err(UrlError::Malformed { given, source }),
        };
        if config.get_user().is_none_or(str::is_empty) {
            return Err(UrlError::MissingUser { given });
        }
        if config.get_dbname().is_none_or(str::is_empty) {
            return Err(UrlError::MissingDatabase { given });
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(UrlError::MissingHost { given });
        }
        if config.get_hosts().iter().any(|host| matches!(host, Host::Tcp(name) if name.contains('@'))) {
            return Err(UrlError::UnencodedAt { given });
        }
        Ok(Self { config: Box::new(config), redacted: given })
    }
}

impl FromStr for SqlitePath {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let not_a_file = || UrlError::NotAFile { given: redact(text) };
        let path = text.strip_prefix("sqlite://").ok_or_else(not_a_file)?;
        let refused = path.is_empty()
            || path.ends_with('/')
            || path.contains(['?', '\0'])
            || path.starts_with(':')
            || path.starts_with("file:");
        if refused {
            return Err(not_a_file());
        }
        Ok(Self::new(path))
    }
}

impl TryFrom<String> for DatabaseUrl {
    type Error = UrlError;

    fn try_from(text: String) -> Result<Self, UrlError> {
        text.parse()
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(url) => url.fmt(f),
            Self::Sqlite(file) => file.fmt(f),
        }
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresUrl").field(&self.redacted).finish()
    }
}

impl fmt::Display for SqlitePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sqlite://{}", self.path.display())
    }
}

fn has_known_sslmode(text: &str) -> bool {
    ["disable", "prefer", "require"]
        .iter()
        .any(|mode| text.split(['?', '&']).any(|part| part.strip_prefix("sslmode=") == Some(*mode)))
}

/// Replaces every part that may be a password by `***`.
///
/// Works on texts that are no valid address as well, so it assumes the worst: credentials reach to the *last* `@`, and
/// anything between their first `:` and that `@` is secret.
fn redact(text: &str) -> String {
    let start = text.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = text.split_at(start);
    let rest = match rest.rfind('@') {
        Some(at) => match rest[..at].split_once(':') {
            Some((user, _)) => format!("{user}:***{}", &rest[at..]),
            None => rest.to_owned(),
        },
        None => rest.to_owned(),
    };
    let mut redacted = scheme.to_owned();
    for (index, part) in rest.split_inclusive(['?', '&']).enumerate() {
        let separator = part.ends_with(['?', '&']).then(|| &part[part.len() - 1..]);
        let body = part.strip_suffix(['?', '&']).unwrap_or(part);
        match body.split_once('=') {
            Some((key, _)) if index > 0 && is_secret(key) => {
                redacted.push_str(key);
                redacted.push_str("=***");
            }
            _ => redacted.push_str(body),
        }
        redacted.push_str(separator.unwrap_or_default());
    }
    redacted
}

/// Keys may be percent-encoded too, and the driver decodes them.
fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key.contains("pass") || key.contains('%')
}

#[cfg(test)]
mod tests;
