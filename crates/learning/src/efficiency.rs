//! How well a session went: rating, focus, breaks, and the two figures made of them, in exact integers.

use std::fmt;

use thiserror::Error;

/// A self-reported effectiveness rating, 1 (poor) to 5 (excellent).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rating(u8);

/// A focus score from 0.00 to 1.00, kept in hundredths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Focus(u8);

/// An efficiency from 0.00 to 1.00, kept in hundredths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Efficiency(u8);

/// A number outside the range of its meaning.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what} {value} is outside {accepted}")]
pub struct RangeError {
    what: &'static str,
    value: i64,
    accepted: &'static str,
}

impl RangeError {
    pub(crate) fn new(what: &'static str, value: i64, accepted: &'static str) -> Self {
        Self { what, value, accepted }
    }
}

impl Rating {
    /// # Errors
    /// [`RangeError`] outside 1..=5.
    pub fn new(value: i64) -> Result<Self, RangeError> {
        match u8::try_from(value) {
            Ok(rating @ 1..=5) => Ok(Self(rating)),
            _ => Err(RangeError::new("rating", value, "1 to 5")),
        }
    }

    /// 1 to 5.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

impl Focus {
    /// Takes hundredths: 85 is a focus of 0.85.
    ///
    /// # Errors
    /// [`RangeError`] outside 0..=100.
    pub fn from_hundredths(value: i64) -> Result<Self, RangeError> {
        match u8::try_from(value) {
            Ok(focus @ 0..=100) => Ok(Self(focus)),
            _ => Err(RangeError::new("focus in hundredths", value, "0 to 100")),
        }
    }

    /// 0 to 100.
    #[must_use]
    pub fn hundredths(self) -> u8 {
        self.0
    }
}

/// The rating an unrated session counts with in its efficiency.
const UNRATED: i64 = 3;
/// The focus, in hundredths, a session without one counts with in its efficiency.
const UNFOCUSED: i64 = 70;
/// Minutes from which a session can be productive.
const PRODUCTIVE_MINUTES: i32 = 25;
/// Rating from which a session can be productive; an unrated one never is.
const PRODUCTIVE_RATING: u8 = 3;
/// Efficiency, in hundredths, from which a session can be productive.
const PRODUCTIVE_EFFICIENCY: u8 = 60;

/// Ten times the break factor: 8 below 0.5 breaks an hour, 10 from 0.5 to 2 inclusive, 6 above.
fn break_factor_tenths(duration_minutes: i32, break_count: i32) -> i64 {
    let minutes = i64::from(duration_minutes);
    let breaks = i64::from(break_count);
    // breaks / (minutes / 60) < 1/2  <=>  120 breaks < minutes;  > 2  <=>  30 breaks > minutes
    if 120 * breaks < minutes {
        8
    } else if 30 * breaks > minutes {
        6
    } else {
        10
    }
}

impl Efficiency {
    /// Rating / 5 × focus × break factor, rounded half up to two decimals; 0 for a session of no minutes.
    ///
    /// An unrated session counts with 3, one without focus with 0.70 (contract, section 3). `duration_minutes` below 0
    /// counts as 0.
    #[must_use]
    pub fn of(duration_minutes: i32, rating: Option<Rating>, focus: Option<Focus>, break_count: i32) -> Self {
        if duration_minutes <= 0 {
            return Self(0);
        }
        let rating = rating.map_or(UNRATED, |rating| i64::from(rating.0));
        let focus = focus.map_or(UNFOCUSED, |focus| i64::from(focus.0));
        // rating/5 × focus/100 × factor/10, in hundredths: rating × focus × factor / 50, half up
        let hundredths = (rating * focus * break_factor_tenths(duration_minutes, break_count) + 25) / 50;
        Self(u8::try_from(hundredths).expect("5 × 100 × 10 / 50 is the largest value, 100"))
    }

    /// 0 to 100.
    #[must_use]
    pub fn hundredths(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Efficiency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// Whether a session was productive: at least 25 minutes, rated at least 3, efficiency at least 0.60.
#[must_use]
pub fn is_productive(duration_minutes: i32, rating: Option<Rating>, focus: Option<Focus>, break_count: i32) -> bool {
    duration_minutes >= PRODUCTIVE_MINUTES
        && rating.is_some_and(|rating| rating.0 >= PRODUCTIVE_RATING)
        && Efficiency::of(duration_minutes, rating, focus, break_count).0 >= PRODUCTIVE_EFFICIENCY
}

#[cfg(test)]
mod tests {
    use super::*;

    fn efficiency(minutes: i32, rating: i64, focus: i64, breaks: i32) -> u8 {
        let rating = Rating::new(rating).ok();
        let focus = Focus::from_hundredths(focus).ok();
        Efficiency::of(minutes, rating, focus, breaks).hundredths()
    }

    #[test]
    fn the_seeds_crash_case_has_a_value() {
        // learning.md S5: focus 0.85, rating 4, 60 min, 1 break
        assert_eq!(efficiency(60, 4, 85, 1), 68);
        assert!(is_productive(60, Rating::new(4).ok(), Focus::from_hundredths(85).ok(), 1));
    }

    #[test]
    fn focus_zero_is_a_focus_and_not_a_missing_one() {
        assert_eq!(efficiency(60, 5, 0, 1), 0);
        assert_eq!(efficiency(60, 5, -1, 1), 70);
    }

    #[test]
    fn break_factor_changes_exactly_at_half_and_two_breaks_an_hour() {
        for (minutes, breaks, expected) in [
            (120, 1, 100), // 0.5 an hour: ideal
            (121, 1, 80),  // just below
            (60, 2, 100),  // 2 an hour: ideal
            (59, 2, 60),   // just above
            (29, 1, 60),
            (30, 1, 100),
            (25, 0, 80),
        ] {
            assert_eq!(efficiency(minutes, 5, 100, breaks), expected, "{minutes} min, {breaks} breaks");
        }
    }

    #[test]
    fn halves_round_up() {
        // 1/5 × 0.05 × 0.8 = 0.008 -> 0.01; 3/5 × 0.70 × 0.8 = 0.336 -> 0.34; 1/5 × 0.25 × 0.6 = 0.03
        assert_eq!(efficiency(130, 1, 5, 1), 1);
        assert_eq!(efficiency(130, 3, 70, 1), 34);
        // 1/5 × 0.25 × 0.5 has no factor; 1/5 × 0.025 is no focus: the only halves come from factor 1
        // 1/5 × 0.x5 × 1.0: 0.05/5 = 0.01 exact; 3/5 × 0.75 = 0.45; 1/5 × 0.08 × 0.8 = 0.0128
        assert_eq!(efficiency(60, 1, 8, 1), 2); // 0.016 -> 0.02
        assert_eq!(efficiency(60, 1, 7, 1), 1); // 0.014 -> 0.01
    }

    #[test]
    fn every_combination_agrees_with_decimal_text_arithmetic() {
        for rating in 1..=5i64 {
            for focus in 0..=100i64 {
                for (minutes, breaks, tenths) in [(121, 1, 8i64), (60, 1, 10), (10, 5, 6)] {
                    // thousandths × 100, then half up by remainder: another road to the same number
                    let scaled = rating * 20 * focus * tenths; // in 1/100_000
                    let (whole, rest) = (scaled / 1000, scaled % 1000);
                    let expected = whole + i64::from(rest >= 500);

                    assert_eq!(i64::from(efficiency(minutes, rating, focus, breaks)), expected);
                }
            }
        }
    }

    #[test]
    fn a_session_is_productive_only_with_time_rating_and_efficiency() {
        let focus = Focus::from_hundredths(100).ok();
        assert!(is_productive(30, Rating::new(3).ok(), focus, 1));
        assert!(!is_productive(24, Rating::new(5).ok(), focus, 0));
        assert!(!is_productive(30, Rating::new(2).ok(), focus, 1));
        assert!(!is_productive(30, None, focus, 1), "an unrated session is never productive");
        assert!(!is_productive(30, Rating::new(3).ok(), Focus::from_hundredths(99).ok(), 1), "0.594 rounds to 0.59");
    }

    #[test]
    fn ranges_are_checked() {
        assert!(Rating::new(0).is_err() && Rating::new(6).is_err());
        assert!(Focus::from_hundredths(101).is_err() && Focus::from_hundredths(-1).is_err());
    }
}
