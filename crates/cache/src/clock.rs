//! The node's own monotonic clock, in whole milliseconds. It is never compared with another node's.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How often the coarse clock is advanced: what a time to live may be off by, and far below any that makes sense.
const COARSE_STEP: Duration = Duration::from_millis(2);

/// Clocks begin this late, in milliseconds (400 days), so that a value may be older than the process that reads it.
const ORIGIN: u64 = 400 * 24 * 3600 * 1000;

/// A moment on a [`Clock`], in milliseconds since some time before the clock began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

impl Tick {
    /// The end of time: for what never expires.
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment so many milliseconds after the beginning.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the clock's beginning.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The moment this much later, at most [`Tick::NEVER`].
    pub fn after(self, period: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(period.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The moment this much earlier, at least the clock's beginning.
    pub fn before(self, period: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(period.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Time since `earlier`; zero if that is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Where a cache takes its time from.
///
/// [`Clock::coarse`] costs one atomic read; a thread of the process advances it every 2 ms.
/// [`Clock::precise`] asks the operating system each time (about 100 ns more for every hit) and is what the
/// [`Strict`](crate::Promise::Strict) promise takes, because a thread that was not scheduled cannot make it late.
/// [`Clock::manual`] and [`Clock::simulated`] are for tests.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    Coarse(&'static AtomicU64),
    Precise,
    Manual(Arc<AtomicU64>),
    Tokio(tokio::time::Instant, Duration),
}

impl Clock {
    /// The default: exact to 2 ms as long as the process runs.
    #[expect(clippy::disallowed_methods, reason = "the clock is advanced by a thread that does nothing else")]
    pub fn coarse() -> Self {
        static NOW: AtomicU64 = AtomicU64::new(0);
        static STARTED: OnceLock<bool> = OnceLock::new();
        let started = STARTED.get_or_init(|| {
            NOW.store(monotonic_millis(), Ordering::Release);
            let advance = || loop {
                std::thread::sleep(COARSE_STEP);
                NOW.store(monotonic_millis(), Ordering::Release);
            };
            std::thread::Builder::new().name("tierkeep-clock".into()).spawn(advance).is_ok()
        });
        // Without a thread to advance it a coarse clock would stand still.
        if *started { Self(Source::Coarse(&NOW)) } else { Self::precise() }
    }

    /// The operating system's monotonic clock, read at each use.
    pub fn precise() -> Self {
        Self(Source::Precise)
    }

    /// A clock that stands still until it is told otherwise, by [`Clock::advance`].
    pub fn manual() -> Self {
        Self(Source::Manual(Arc::new(AtomicU64::new(ORIGIN))))
    }

    /// The clock of the current tokio runtime, which may be paused, `offset` ahead.
    pub fn simulated(offset: Duration) -> Self {
        Self(Source::Tokio(tokio::time::Instant::now(), offset))
    }

    /// The time now.
    #[inline]
    pub fn now(&self) -> Tick {
        Tick(match &self.0 {
            Source::Coarse(now) => now.load(Ordering::Acquire),
            Source::Precise => monotonic_millis(),
            Source::Manual(now) => now.load(Ordering::Acquire),
            Source::Tokio(start, offset) => ORIGIN + as_millis(start.elapsed() + *offset),
        })
    }

    /// Moves a [`Clock::manual`] on.
    ///
    /// # Panics
    /// On any other clock: nobody can move those.
    pub fn advance(&self, period: Duration) {
        let Source::Manual(now) = &self.0 else { panic!("only a manual clock can be advanced") };
        now.fetch_add(as_millis(period), Ordering::AcqRel);
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({} ms)", self.now().as_millis())
    }
}

fn monotonic_millis() -> u64 {
    static BEGINNING: OnceLock<std::time::Instant> = OnceLock::new();
    ORIGIN + as_millis(BEGINNING.get_or_init(std::time::Instant::now).elapsed())
}

fn as_millis(period: Duration) -> u64 {
    u64::try_from(period.as_millis()).unwrap_or(u64::MAX)
}
