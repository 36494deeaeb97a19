//! How export files are called.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest name of a table in a file's name, in bytes: that of PostgreSQL.
const TABLE_BYTES: usize = 63;

/// The name of an export file, `TABLE-runID-NNNN.csv.gz`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileName {
    text: String,
    table_bytes: usize,
    run: i64,
    number: u32,
}

/// A name that export files do not have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no name of an export file; accepted: TABLE-runID-NNNN.csv.gz, the table in up to 63 ASCII letters, digits \
     and underscores, the run and the number from 1"
)]
pub struct FileNameError(String);

impl FileName {
    /// The name of the `number`th file (from 1) with rows of a table that a run makes.
    ///
    /// # Errors
    /// [`FileNameError`] if the table's name holds anything but ASCII letters, digits and underscores, or a number is
    /// not positive.
    pub fn new(table: &str, run: i64, number: u32) -> Result<Self, FileNameError> {
        let text = format!("{table}-run{run}-{number:04}.csv.gz");
        let is_plain = table.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if table.is_empty() || table.len() > TABLE_BYTES || !is_plain || run < 1 || number < 1 {
            return Err(FileNameError(text));
        }
        Ok(Self { text, table_bytes: table.len(), run, number })
    }

    /// The name as it stands in the directory.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The table that the rows are of.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.text[..self.table_bytes]
    }

    /// The run that made it.
    #[must_use]
    pub fn run(&self) -> i64 {
        self.run
    }

    /// Which of the run's files of this table it is, from 1.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl FromStr for FileName {
    type Err = FileNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = || {
            let (table, rest) = text.strip_suffix(".csv.gz")?.split_once("-run")?;
            let (run, number) = rest.split_once('-')?;
            Self::new(table, run.parse().ok()?, number.parse().ok()?).ok()
        };
        // written another way (`+7`, `01`) it would be another file
        parts().filter(|name| name.text == text).ok_or_else(|| FileNameError(text.to_owned()))
    }
}

impl TryFrom<String> for FileName {
    type Error = FileNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<FileName> for String {
    fn from(name: FileName) -> Self {
        name.text
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_into_their_parts() {
        for (table, run, number, text) in [
            ("study_sessions", 7, 1, "study_sessions-run7-0001.csv.gz"),
            ("T2", i64::MAX, 12_345, "T2-run9223372036854775807-12345.csv.gz"),
        ] {
            let name = FileName::new(table, run, number).unwrap();

            assert_eq!(name.as_str(), text);
            let read: FileName = text.parse().unwrap();
            assert_eq!((read.table(), read.run(), read.number()), (table, run, number));
            assert_eq!(read, name);
        }
    }

    #[test]
    fn names_that_lead_elsewhere_or_mean_another_file_are_refused() {
        for (table, run, number) in [
            ("", 1, 1),
            ("../users", 1, 1),
            ("a b", 1, 1),
            ("ü", 1, 1),
            ("a-run2", 1, 1),
            ("a", 0, 1),
            ("a", -1, 1),
            ("a", 1, 0),
        ] {
            assert!(FileName::new(table, run, number).is_err(), "{table} {run} {number}");
        }
        assert!(FileName::new(&"a".repeat(64), 1, 1).is_err());
        for text in [
            "",
            "a",
            "a.csv.gz",
            "a-run1-1.csv.gz",
            "a-run01-0001.csv.gz",
            "a-run+1-0001.csv.gz",
            "a-run1-00001.csv.gz",
            "a-run1-0001.csv",
            "a-run1-0001.csv.gz ",
            "x/a-run1-0001.csv.gz",
            "a-run99999999999999999999-0001.csv.gz",
        ] {
            assert!(text.parse::<FileName>().is_err(), "{text}");
        }
    }
}
