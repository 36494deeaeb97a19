//! What can be wrong with a configuration: each message says where, which key, and what is accepted.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// A configuration that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is no TOML.
    #[error("{place}: {reason}")]
    Syntax {
        /// File and line.
        place: String,
        /// What the parser says.
        reason: String,
    },
    /// A key or a section that does not exist.
    #[error("{place}: unknown {what} `{key}`; the nearest known one is `{nearest}`")]
    Unknown {
        /// File and line.
        place: String,
        /// `key` or `section`.
        what: &'static str,
        /// What was given.
        key: String,
        /// The most similar one there is.
        nearest: String,
    },
    /// A value that is not accepted.
    #[error("{place}: `{key}` is {given}; accepted: {accepted}")]
    Value {
        /// File and line, variable, or flag.
        place: String,
        /// The key.
        key: &'static str,
        /// What was given, without passwords.
        given: String,
        /// What would be.
        accepted: &'static str,
    },
    /// The `[mapping]` table does not fit.
    #[error("{place}: `mapping`: {reason}")]
    Mapping {
        /// File and line.
        place: String,
        /// Why.
        reason: String,
    },
    /// A variable of the environment is no text.
    #[error("the environment variable {variable} is not valid unicode")]
    NotUnicode {
        /// Its name.
        variable: &'static str,
    },
}
