//! `[log]`: what is said of a run.

use std::time::Duration;

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Which lines, in the syntax of `RUST_LOG`.
    pub filter: String,
    /// For whom.
    pub format: LogFormat,
    /// From how long on a read is told of as slow, and why; 0 = never.
    pub slow: Duration,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Text, slow: Duration::from_millis(250) }
    }
}

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// A JSON object.
    Json,
}
