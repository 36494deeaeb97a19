//! What time it is: the only place that reads the wall clock.

use jiff::Timestamp;

/// Where `now` comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Clock {
    /// The clock of this machine.
    #[default]
    Wall,
    /// An instant that was given with `--now`.
    Fixed(Timestamp),
}

impl Clock {
    /// The present instant, in whole microseconds.
    #[must_use]
    pub fn now(self) -> Timestamp {
        match self {
            Self::Wall => wall(),
            Self::Fixed(instant) => instant,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one reader of the wall clock")]
fn wall() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_present_has_whole_microseconds() {
        assert_eq!(Clock::Wall.now().as_nanosecond() % 1000, 0);
    }
}
