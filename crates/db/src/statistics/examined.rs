//! What was found, or why nothing could be; and numbers that say what they are.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a reader found, or why it could not look.
///
/// An empty list inside of [`Found`](Self::Found) means that there is nothing; that nobody looked is another value.
///
/// # Examples
///
/// ```
/// use tierkeep_db::statistics::Examined;
///
/// let hidden: Examined<u32> =
///     Examined::NotPermitted { needs: "pg_read_all_stats".into(), command: "grant pg_read_all_stats to app".into() };
/// assert_eq!(hidden.to_string(), "not permitted, needs pg_read_all_stats: grant pg_read_all_stats to app");
/// assert_eq!(hidden.found(), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Examined<T> {
    /// It was looked at.
    Found(T),
    /// The role may not look.
    NotPermitted {
        /// The privilege that is missing.
        needs: String,
        /// The statement by which a superuser or the owner gives it.
        command: String,
    },
    /// It was not looked at, for another reason.
    NotExamined {
        /// The reason.
        why: String,
        /// What would change it, if anything would.
        command: Option<String>,
    },
}

impl<T> Examined<T> {
    /// What was found, if it was looked at.
    pub fn found(&self) -> Option<&T> {
        match self {
            Self::Found(found) => Some(found),
            Self::NotPermitted { .. } | Self::NotExamined { .. } => None,
        }
    }

    /// Why it was not looked at, with the command that would help; `None` if it was.
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Found(_) => None,
            Self::NotPermitted { needs, command } => Some(format!("not permitted, needs {needs}: {command}")),
            Self::NotExamined { why, command: Some(command) } => Some(format!("not examined, {why}: {command}")),
            Self::NotExamined { why, command: None } => Some(format!("not examined, {why}")),
        }
    }

    /// Makes something of what was found; the reasons stay.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Examined<U> {
        match self {
            Self::Found(found) => Examined::Found(f(found)),
            Self::NotPermitted { needs, command } => Examined::NotPermitted { needs, command },
            Self::NotExamined { why, command } => Examined::NotExamined { why, command },
        }
    }

    pub(super) fn not_examined(why: impl Into<String>) -> Self {
        Self::NotExamined { why: why.into(), command: None }
    }

    pub(super) fn after(why: impl Into<String>, command: impl Into<String>) -> Self {
        Self::NotExamined { why: why.into(), command: Some(command.into()) }
    }
}

impl<T: fmt::Display> fmt::Display for Examined<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.reason()) {
            (Self::Found(found), _) => found.fmt(f),
            (_, reason) => f.write_str(&reason.unwrap_or_default()),
        }
    }
}

/// A number that the database estimates, written as `~1200`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Estimate(pub u64);

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "~{}", self.0)
    }
}

/// A size, written as `640 B`, `1.5 KiB`, `64.0 MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut size = self.0 as f64;
        let mut unit = "B";
        for next in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
            if size < 1024.0 {
                break;
            }
            (size, unit) = (size / 1024.0, next);
        }
        write!(f, "{size:.1} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_in_the_largest_unit_that_leaves_one_or_more() {
        let shown: Vec<String> = [0, 1023, 1024, 1536, 64 << 20, u64::MAX].map(|n| Bytes(n).to_string()).into();

        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "64.0 MiB", "16.0 EiB"]);
    }

    #[test]
    fn reason_says_what_to_do_if_anything_can_be_done() {
        assert_eq!(Examined::<u8>::not_examined("too small").to_string(), "not examined, too small");
        assert_eq!(
            Examined::<u8>::after("never analysed", "analyze t").to_string(),
            "not examined, never analysed: analyze t"
        );
        assert_eq!(Examined::Found(3).map(|n| n + 1), Examined::Found(4));
    }
}
