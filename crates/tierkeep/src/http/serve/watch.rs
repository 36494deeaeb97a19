//! How far a connection is, and until when it may stay so.
//!
//! Whoever reads, writes and answers notes it here; the task of the connection looks when its alarm rings. So a request sets
//! no timer, which is what a request on a connection that is kept costs most for.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::Connections;

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// It is new, and nothing was read.
    New,
    /// It was answered, and nothing was read since.
    Idle,
    /// The beginning of a request was read.
    Head,
    /// A request is being worked on.
    Asked,
    /// An answer is being made while it is written.
    Answering,
    /// The answer is made, and the last of it is being written.
    Flushing,
}

const PHASES: [Phase; 6] = [Phase::New, Phase::Idle, Phase::Head, Phase::Asked, Phase::Answering, Phase::Flushing];

/// What is known of a connection. Only its own task changes it, so the numbers need no order among each other.
#[derive(Debug)]
pub(super) struct Watch {
    began: Instant,
    phase: AtomicU8,
    /// When that began, or when the client took something last, in microseconds.
    since: AtomicU64,
    leave: Notify,
    is_to_leave: AtomicBool,
}

/// What the alarm of a connection finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is wrong; this is the time to look again.
    Fine(Duration),
    /// Headers take too long.
    SlowHead,
    /// Nothing happens.
    Idle,
}

impl Watch {
    /// A connection that begins now; times count from `began`.
    pub(super) fn new(began: Instant) -> Self {
        let watch = Self {
            began,
            phase: AtomicU8::new(Phase::New as u8),
            since: AtomicU64::new(0),
            leave: Notify::new(),
            is_to_leave: AtomicBool::new(false),
        };
        watch.enter(Phase::New);
        watch
    }

    pub(super) fn phase(&self) -> Phase {
        PHASES[usize::from(self.phase.load(Ordering::Relaxed))]
    }

    /// Bytes were read.
    pub(super) fn heard(&self) {
        if matches!(self.phase(), Phase::New | Phase::Idle) {
            // a new connection has no more time for its headers than others
            if self.phase() == Phase::Idle {
                self.touch();
            }
            self.set(Phase::Head);
        }
    }

    /// A request was read.
    pub(super) fn asked(&self) {
        self.set(Phase::Asked);
    }

    /// The head of an answer is made.
    pub(super) fn answering(&self) {
        self.enter(Phase::Answering);
    }

    /// An answer is made.
    pub(super) fn answered(&self) {
        self.set(Phase::Flushing);
    }

    /// The client has taken something after a pause.
    pub(super) fn touch(&self) {
        self.since.store(self.now(), Ordering::Relaxed);
    }

    /// Everything that there was to write is written.
    pub(super) fn flushed(&self) {
        if self.phase() == Phase::Flushing {
            self.enter(Phase::Idle);
        }
    }

    /// Since when it has waited for a request; `None` = it does not.
    pub(super) fn waiting_since(&self) -> Option<u64> {
        let is_waiting = matches!(self.phase(), Phase::New | Phase::Idle | Phase::Head);
        is_waiting.then(|| self.since.load(Ordering::Relaxed))
    }

    /// Asks it to make room.
    pub(super) fn ask_to_leave(&self) {
        self.is_to_leave.store(true, Ordering::Relaxed);
        self.leave.notify_one();
    }

    /// Returns when it was asked to make room and can: it is not asked again once it answers somebody.
    pub(super) async fn is_to_leave(&self) {
        loop {
            self.leave.notified().await;
            if self.waiting_since().is_some() {
                return;
            }
        }
    }

    #[cfg(test)]
    pub(super) fn was_asked_to_leave(&self) -> bool {
        self.is_to_leave.load(Ordering::Relaxed)
    }

    /// Whether it has been as it is for too long.
    pub(super) fn verdict(&self, connections: &Connections) -> Verdict {
        let since = Duration::from_micros(self.since.load(Ordering::Relaxed));
        let so_far = Duration::from_micros(self.now()).saturating_sub(since);
        let Connections { header_timeout, idle_timeout, .. } = *connections;
        let (most, end) = match self.phase() {
            Phase::New | Phase::Head => (header_timeout, Verdict::SlowHead),
            Phase::Idle | Phase::Answering | Phase::Flushing => (idle_timeout, Verdict::Idle),
            // what a handler may take is limited elsewhere
            Phase::Asked => return Verdict::Fine(header_timeout.min(idle_timeout)),
        };
        // whatever begins after this look has at least this time
        match most.checked_sub(so_far) {
            None | Some(Duration::ZERO) => end,
            Some(left) => Verdict::Fine(left.min(header_timeout).min(idle_timeout)),
        }
    }

    fn enter(&self, phase: Phase) {
        self.touch();
        self.set(phase);
    }

    fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Microseconds since the beginning: 584,000 years of them.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn every_phase_has_its_time() {
        let connections = Connections::default();
        let watch = Watch::new(Instant::now());
        let verdict = || watch.verdict(&connections);
        tokio::time::advance(4 * SECOND).await;
        watch.heard();
        assert_eq!(verdict(), Verdict::Fine(6 * SECOND), "the first request counts from the connection");
        tokio::time::advance(6 * SECOND).await;
        assert_eq!(verdict(), Verdict::SlowHead);

        watch.asked();
        tokio::time::advance(3600 * SECOND).await;
        assert_eq!(verdict(), Verdict::Fine(10 * SECOND), "a handler is not limited here");
        watch.answering();
        tokio::time::advance(70 * SECOND).await;
        assert_eq!(verdict(), Verdict::Fine(5 * SECOND));
        watch.touch();
        watch.answered();
        tokio::time::advance(74 * SECOND).await;
        assert_eq!(verdict(), Verdict::Fine(SECOND), "the client has taken something");
        watch.flushed();
        watch.flushed();
        tokio::time::advance(74 * SECOND).await;
        watch.heard();
        assert_eq!((watch.phase(), verdict()), (Phase::Head, Verdict::Fine(10 * SECOND)));
        tokio::time::advance(9 * SECOND).await;
        watch.heard();
        assert_eq!(verdict(), Verdict::Fine(SECOND), "further bytes win no time");
    }
}
