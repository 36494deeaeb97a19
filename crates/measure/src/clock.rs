//! Where measurements take the time from.

use std::future::Future;
use std::time::{Duration, Instant};

/// A clock that never goes back.
pub trait Clock {
    /// The time since a moment that does not change.
    fn now(&self) -> Duration;
}

/// A clock that can be waited for. What waits must not keep the thread.
pub trait Timer: Clock {
    /// Ends at this time of the clock, or a little later; at once if it has passed.
    fn sleep_until(&self, at: Duration) -> impl Future<Output = ()> + Send;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct Monotonic(Instant);

impl Monotonic {
    /// The machine's clock, from now on.
    #[must_use]
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Default for Monotonic {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for Monotonic {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The clock of a tokio runtime, which a test may have paused. It is made, asked and waited for within one.
#[cfg(feature = "tokio")]
#[derive(Clone, Copy, Debug)]
pub struct TokioTimer(tokio::time::Instant);

#[cfg(feature = "tokio")]
impl TokioTimer {
    /// The runtime's clock, from now on.
    #[must_use]
    pub fn new() -> Self {
        Self(tokio::time::Instant::now())
    }
}

#[cfg(feature = "tokio")]
impl Default for TokioTimer {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(feature = "tokio")]
impl Clock for TokioTimer {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(feature = "tokio")]
impl Timer for TokioTimer {
    /// Within the millisecond to which tokio's timers are exact.
    fn sleep_until(&self, at: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep_until(self.0 + at)
    }
}
