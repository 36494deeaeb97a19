//! Study sessions as the statistics see them, and what makes one invalid.

use std::fmt;

use compact_str::CompactString;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::efficiency::{Focus, Rating, is_productive};
use crate::estimator::Estimator;

/// What the statistics need to know of a session, as stored: any value that fits its column may stand here.
///
/// The learner and the id are not part of it; a reader always knows whose sessions it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFacts {
    /// When the session began; it belongs to the local day of this instant.
    pub start: Timestamp,
    /// When it ended; `None` while it has not.
    pub end: Option<Timestamp>,
    /// Minutes studied, as recorded (not `end` − `start`).
    pub duration_minutes: i32,
    /// Self-reported effectiveness; valid from 1 to 5.
    pub rating: Option<i16>,
    /// Focus score in hundredths; valid from 0 to 100.
    pub focus_hundredths: Option<i16>,
    /// Breaks taken.
    pub break_count: i32,
    /// Whether the session is open.
    pub is_active: bool,
    /// Where: home, library, … ; empty = unknown.
    pub environment: CompactString,
    /// On what: mobile, laptop, … ; empty = unknown.
    pub device: CompactString,
    /// Which subject; empty = none.
    pub subject: CompactString,
    /// The rule that inferred this session from activity; `None` for a recorded one.
    pub estimator: Option<Estimator>,
}

/// Why a row does not count. The order is the order in which clean-up counts a row that has several faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvalidKind {
    /// `duration_minutes` below 0.
    NegativeDuration,
    /// `end_time` before `start_time`.
    EndBeforeStart,
    /// A rating outside 1 to 5.
    BadRating,
    /// A focus score outside 0 to 1.
    BadFocus,
    /// A course-progress row that another row of the same learner and content supersedes.
    DuplicateProgress,
    /// A session whose learner does not exist.
    Orphan,
}

impl fmt::Display for InvalidKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NegativeDuration => "negative_duration",
            Self::EndBeforeStart => "end_before_start",
            Self::BadRating => "bad_rating",
            Self::BadFocus => "bad_focus",
            Self::DuplicateProgress => "duplicate_progress",
            Self::Orphan => "orphan",
        })
    }
}

impl SessionFacts {
    /// A recorded session of a given length with nothing else known: what tests and builders start from.
    #[must_use]
    pub fn recorded(start: Timestamp, duration_minutes: i32) -> Self {
        Self {
            start,
            end: None,
            duration_minutes,
            rating: None,
            focus_hundredths: None,
            break_count: 0,
            is_active: false,
            environment: CompactString::default(),
            device: CompactString::default(),
            subject: CompactString::default(),
            estimator: None,
        }
    }

    /// The first fault of this row by itself, if any. Whether its learner exists (`Orphan`) the caller knows.
    #[must_use]
    pub fn fault(&self) -> Option<InvalidKind> {
        if self.duration_minutes < 0 {
            Some(InvalidKind::NegativeDuration)
        } else if self.end.is_some_and(|end| end < self.start) {
            Some(InvalidKind::EndBeforeStart)
        } else if self.rating.is_some_and(|rating| Rating::new(rating.into()).is_err()) {
            Some(InvalidKind::BadRating)
        } else if self.focus_hundredths.is_some_and(|focus| Focus::from_hundredths(focus.into()).is_err()) {
            Some(InvalidKind::BadFocus)
        } else {
            None
        }
    }

    /// The rating, if there is a valid one.
    #[must_use]
    pub fn valid_rating(&self) -> Option<Rating> {
        self.rating.and_then(|rating| Rating::new(rating.into()).ok())
    }

    /// The focus score, if there is a valid one.
    #[must_use]
    pub fn valid_focus(&self) -> Option<Focus> {
        self.focus_hundredths.and_then(|focus| Focus::from_hundredths(focus.into()).ok())
    }

    /// Whether the session was productive (see [`is_productive`]).
    #[must_use]
    pub fn is_productive(&self) -> bool {
        is_productive(self.duration_minutes, self.valid_rating(), self.valid_focus(), self.break_count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> SessionFacts {
        SessionFacts::recorded("2025-06-27T08:00:00Z".parse().unwrap(), 30)
    }

    #[test]
    fn an_end_equal_to_the_start_is_valid() {
        let mut row = session();
        row.end = Some(row.start);

        assert_eq!(row.fault(), None);
    }

    #[test]
    fn a_row_with_several_faults_has_the_first_in_order() {
        let mut row = session();
        row.focus_hundredths = Some(-1);
        assert_eq!(row.fault(), Some(InvalidKind::BadFocus));
        row.rating = Some(0);
        assert_eq!(row.fault(), Some(InvalidKind::BadRating));
        row.end = Some("2025-06-27T07:59:59.999999Z".parse().unwrap());
        assert_eq!(row.fault(), Some(InvalidKind::EndBeforeStart));
        row.duration_minutes = -1;
        assert_eq!(row.fault(), Some(InvalidKind::NegativeDuration));
    }

    #[test]
    fn nulls_are_no_faults() {
        assert_eq!(session().fault(), None);
    }
}
