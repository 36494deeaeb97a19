//! The number of a run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Number of a run: 1 or more.
///
/// # Examples
///
/// ```
/// use tierkeep_retention::RunId;
///
/// let run: RunId = "7".parse()?;
/// assert_eq!(run.get(), 7);
/// assert_eq!(
///     "seven".parse::<RunId>().unwrap_err().to_string(),
///     "\"seven\" is no number of a run; accepted: a whole number from 1 to 9223372036854775807, as `runs` lists them"
/// );
/// # Ok::<(), tierkeep_retention::RunIdError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct RunId(i64);

/// What was given is no number of a run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{given:?} is no number of a run; accepted: a whole number from 1 to {max}, as `runs` lists them", max = i64::MAX)]
pub struct RunIdError {
    given: String,
}

impl RunId {
    /// Checks a number.
    ///
    /// # Errors
    ///
    /// It is less than 1.
    pub fn new(number: i64) -> Result<Self, RunIdError> {
        if number < 1 { Err(RunIdError { given: number.to_string() }) } else { Ok(Self(number)) }
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }
}

impl FromStr for RunId {
    type Err = RunIdError;

    fn from_str(text: &str) -> Result<Self, RunIdError> {
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = if is_plain { text.parse().ok() } else { None };
        number.and_then(|number| Self::new(number).ok()).ok_or_else(|| RunIdError { given: text.to_owned() })
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<i64> for RunId {
    type Error = RunIdError;

    fn try_from(number: i64) -> Result<Self, RunIdError> {
        Self::new(number)
    }
}

impl From<RunId> for i64 {
    fn from(run: RunId) -> Self {
        run.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_below_one_and_other_texts_are_refused() {
        for text in ["0", "-1", "", " 1", "1 ", "+1", "1.0", "9223372036854775808", "１"] {
            assert!(text.parse::<RunId>().is_err(), "{text:?}");
        }
        for text in ["1", "007", "9223372036854775807"] {
            assert!(text.parse::<RunId>().is_ok(), "{text:?}");
        }
        assert!(serde_json::from_str::<RunId>("0").is_err());
        assert_eq!(serde_json::to_string(&RunId::new(3).unwrap()).unwrap(), "3");
    }
}
