//! When a connection gives its page cache back.

use std::time::{Duration, Instant};

/// How long is looked at: work that comes again within it finds its pages.
const WINDOW: Duration = Duration::from_secs(10);
/// A connection that worked for less of a window than one part of this many can read its pages again: what it is asked then
/// is small, such as whether anything has changed.
const LITTLE: u32 = 100;

/// How much a connection has worked lately.
pub(super) struct Ease {
    since: Instant,
    worked: Duration,
    /// Whether it may hold pages.
    is_used: bool,
}

impl Ease {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, worked: Duration::ZERO, is_used: false }
    }

    /// It worked from one moment to another.
    pub(super) fn worked(&mut self, from: Instant, to: Instant) {
        self.worked += to.saturating_duration_since(from);
        self.is_used = true;
    }

    /// When to ask next; `None` = not before it has worked.
    pub(super) fn due(&self) -> Option<Instant> {
        self.is_used.then(|| self.since + WINDOW)
    }

    /// Whether it is to give its pages back now.
    pub(super) fn gives_back(&mut self, now: Instant) -> bool {
        if now < self.since + WINDOW {
            return false;
        }
        let gives_back = self.is_used && self.worked < now.saturating_duration_since(self.since) / LITTLE;
        self.is_used &= !gives_back;
        self.worked = Duration::ZERO;
        self.since = now;
        gives_back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn worked(ease: &mut Ease, from: Instant, took: Duration) {
        ease.worked(from, from + took);
    }

    #[test]
    fn pages_are_given_back_once_after_a_window_of_little_work() {
        let began = Instant::now();
        let mut ease = Ease::new(began);
        worked(&mut ease, began, 50 * MILLISECOND);

        assert!(!ease.gives_back(began + WINDOW - MILLISECOND));
        assert!(ease.gives_back(began + WINDOW));
        assert!(!ease.gives_back(began + 2 * WINDOW));
        assert_eq!(ease.due(), None);
    }

    #[test]
    fn a_connection_at_work_keeps_its_pages_until_it_rests() {
        let began = Instant::now();
        let mut ease = Ease::new(began);
        worked(&mut ease, began, 500 * MILLISECOND);

        assert!(!ease.gives_back(began + WINDOW));
        assert_eq!(ease.due(), Some(began + 2 * WINDOW));
        assert!(ease.gives_back(began + 2 * WINDOW));
    }

    #[test]
    fn a_connection_that_never_worked_has_nothing_to_give_back() {
        let began = Instant::now();
        let mut ease = Ease::new(began);

        assert_eq!(ease.due(), None);
        assert!(!ease.gives_back(began + 3 * WINDOW));
    }
}
