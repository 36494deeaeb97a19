//! How study time was inferred where nobody recorded it; named in every answer that rests on it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The gap rule and its parameters: a pause strictly shorter than `timeout_s` counts in full, a longer one ends the
/// sitting, which then receives `tail_s`.
///
/// Kovanović et al. (LAK 2015) found that such choices change conclusions, so they travel with the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Estimator {
    kind: Kind,
    timeout_s: u32,
    tail_s: u32,
    version: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Gap,
}

/// Version of the rule; it rises when equal parameters would give other numbers.
const VERSION: u8 = 1;
/// Longest pause that may be asked to count: a day.
const MAX_TIMEOUT_S: u32 = 24 * 60 * 60;

/// Parameters that make no gap rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}; accepted: a timeout of 1 to 86,400 seconds and a tail of 0 to the timeout")]
pub struct EstimatorError(String);

impl Estimator {
    /// The gap rule.
    ///
    /// # Errors
    /// [`EstimatorError`] when `timeout_s` is outside 1..=86,400 or `tail_s` exceeds it.
    pub fn gap(timeout_s: u32, tail_s: u32) -> Result<Self, EstimatorError> {
        if !(1..=MAX_TIMEOUT_S).contains(&timeout_s) || tail_s > timeout_s {
            return Err(EstimatorError(format!("timeout {timeout_s} s with tail {tail_s} s is no gap rule")));
        }
        Ok(Self { kind: Kind::Gap, timeout_s, tail_s, version: VERSION })
    }

    /// Seconds from which a pause ends a sitting.
    #[must_use]
    pub fn timeout_s(self) -> u32 {
        self.timeout_s
    }

    /// Seconds added at the end of a sitting.
    #[must_use]
    pub fn tail_s(self) -> u32 {
        self.tail_s
    }
}

impl Default for Estimator {
    /// Ten minutes, no tail.
    fn default() -> Self {
        Self { kind: Kind::Gap, timeout_s: 600, tail_s: 0, version: VERSION }
    }
}

/// The form stored beside a session: `gap/600/0/1`.
impl fmt::Display for Estimator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gap/{}/{}/{}", self.timeout_s, self.tail_s, self.version)
    }
}

impl FromStr for Estimator {
    type Err = EstimatorError;

    fn from_str(text: &str) -> Result<Self, EstimatorError> {
        let unreadable = || EstimatorError(format!("{:?} is no stored estimator", crate::key::clip(text)));
        let mut parts = text.split('/');
        let (Some("gap"), Some(timeout), Some(tail), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(unreadable());
        };
        let mut estimator =
            Self::gap(timeout.parse().map_err(|_| unreadable())?, tail.parse().map_err(|_| unreadable())?)?;
        estimator.version = version.parse().map_err(|_| unreadable())?;
        Ok(estimator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_form_is_read_back() {
        let estimator = Estimator::gap(300, 30).unwrap();

        assert_eq!(estimator.to_string(), "gap/300/30/1");
        assert_eq!(estimator.to_string().parse(), Ok(estimator));
        assert_eq!(
            serde_json::to_string(&Estimator::default()).unwrap(),
            r#"{"kind":"gap","timeout_s":600,"tail_s":0,"version":1}"#
        );
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        assert!(Estimator::gap(0, 0).is_err());
        assert!(Estimator::gap(60, 61).is_err());
        assert!("gap/60".parse::<Estimator>().is_err());
        assert!("gap/60/0/1/2".parse::<Estimator>().is_err());
    }
}
