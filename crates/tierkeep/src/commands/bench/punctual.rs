//! A clock that can be waited for to a tenth of a millisecond.

use std::thread::park_timeout;
use std::time::{Duration, Instant};

use tierkeep_measure::{Clock, Timer};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// tokio's timers end up to a millisecond late, which is more than an answer takes: the last part is waited for in a thread.
const LAST_PART: Duration = Duration::from_millis(3);

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Punctual(Instant);

impl Punctual {
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for Punctual {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

impl Timer for Punctual {
    /// Dropped, it leaves a thread that waits for the last part.
    async fn sleep_until(&self, at: Duration) {
        let left = at.saturating_sub(self.now());
        if left > LAST_PART {
            sleep(left - LAST_PART).await;
        }
        let clock = *self;
        let parked = spawn_blocking(move || {
            loop {
                let left = at.saturating_sub(clock.now());
                if left.is_zero() {
                    break;
                }
                park_timeout(left);
            }
        });
        // it neither panics nor is it aborted; a runtime that ends asks for nothing more
        let _ = parked.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_is_woken_too_early() {
        let timer = Punctual::new();

        for milliseconds in [0, 1, 5] {
            let at = timer.now() + Duration::from_millis(milliseconds);
            timer.sleep_until(at).await;
            assert!(timer.now() >= at);
        }
        timer.sleep_until(Duration::ZERO).await;
    }
}
